"""The guides say what is so: their examples run, their commands exist, their links and names lead somewhere.

In an example a comment at the end of a `print` line is what that line prints.
"""

import importlib.util
import pkgutil
import re
import shlex
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.testing import CliRunner

from tools import status_view
from tools.cli import app

ROOT = Path(__file__).resolve().parents[1]
GUIDES = (
    "README.md",
    "BENCHMARKS.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "protocols/README.md",
    "dsp/README.md",
    "hw_sim/README.md",
    "edge/README.md",
    "tools/README.md",
)
LINE_LENGTH_MAX = 120
PACKAGES = "protocols|dsp|hw_sim|edge|tools"


def text_of(guide: str) -> str:
    return (ROOT / guide).read_text()


def fenced(guide: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(guide), re.MULTILINE | re.DOTALL)


def commands(guide: str) -> Iterator[str]:
    """Shell commands: lines of blocks, indented or fenced, continued ones joined."""
    for line in text_of(guide).replace("\\\n", " ").splitlines():
        if re.match(r"( {4,}|)(sh tools/|\.venv/bin/|\.ci/|FUZZ_PACKETS)", line):
            yield line.strip()


def vitalgate_calls(guide: str) -> Iterator[list[str]]:
    """The arguments of each call of our command."""
    for command in commands(guide):
        first = command.split(" | ")[0]
        words = shlex.split(first, comments=True)
        if words[0] == ".venv/bin/vitalgate":
            yield words[1:]


PYTHON = [(guide, block) for guide in GUIDES for block in fenced(guide, "python")]
COMMANDS = [(guide, command) for guide in GUIDES for command in commands(guide)]
CALLS = [(guide, call) for guide in GUIDES for call in vitalgate_calls(guide)]


def test_the_guides_are_found() -> None:
    """What follows would hold of nothing, too."""
    assert len(PYTHON) >= 9
    assert {guide for guide, _ in PYTHON} == {"protocols/README.md", "dsp/README.md", "hw_sim/README.md"}
    assert {call[0] for _, call in CALLS} >= {"run", "status", "simulate", "decode", "analyse"}


@pytest.mark.parametrize(("guide", "block"), PYTHON)
def test_python_runs_and_prints_what_it_says(
    guide: str, block: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(block, guide, "exec"), {"__name__": "guide"})
    said = re.findall(r"^ *print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert said
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.parametrize("guide", GUIDES)
def test_indented_python_is_python(guide: str) -> None:
    for block in re.findall(
        r"(?:^ {4}(?:from|import) .*\n)(?:^(?: {4}.*)?\n)*", text_of(guide), re.MULTILINE
    ):
        compile(textwrap.dedent(block), guide, "exec")


def parsed(call: list[str]) -> None:
    """Let the command line read the arguments, without doing anything."""
    command = typer.main.get_command(app)
    words = list(call)
    while isinstance(command, TyperGroup) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    with suppress(typer.Exit):  # after --help
        command.make_context("", words)


@pytest.mark.parametrize(("guide", "call"), CALLS)
def test_calls_are_understood(guide: str, call: list[str], tmp_path: Path) -> None:
    # Recordings in the examples are the reader's own.
    own = tmp_path / "own.csv"
    own.touch()
    parsed([str(own) if re.search(r"\.(csv|hea)$", word) else word for word in call])


@pytest.mark.parametrize("call", [call for _, call in CALLS if call[0] == "decode"])
def test_calls_that_are_quick_succeed(call: list[str]) -> None:
    assert CliRunner().invoke(app, call).exit_code == 0


def test_a_call_that_is_wrong_is_noticed() -> None:
    with pytest.raises(TyperException):
        parsed(["demo", "--days", "2"])


@pytest.mark.parametrize(("guide", "command"), COMMANDS)
def test_scripts_modules_and_tests_in_commands_exist(guide: str, command: str) -> None:
    for verb in re.findall(r"tools/setup\.sh (\w+)", command):
        assert f"\n{verb})\n" in text_of("tools/setup.sh")
    for module in re.findall(r" -m ((?:tools|edge)[\w.]+)", command):
        assert importlib.util.find_spec(module)
    for path in re.findall(r"tests/\w+\.py|\.ci/\w+|tools/\w+\.sh", command):
        assert (ROOT / path).exists()


def test_the_scenario_in_the_guide_is_one_that_is_played() -> None:
    file = (ROOT / "tests" / "scenarios" / "out_of_reach.toml").read_text()
    assert textwrap.indent(file, "    ") in text_of("CONTRIBUTING.md")


def anchors(markdown: str) -> set[str]:
    """What headings are called in links."""
    titles = re.findall(r"^#+ (.*)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(guide)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / guide).parent / path if path else ROOT / guide
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_the_readme_leads_to_every_guide() -> None:
    links = set(re.findall(r"\]\(([^)#]+)", text_of("README.md")))
    assert set(GUIDES) - {"README.md"} <= links


@pytest.mark.parametrize("guide", GUIDES)
def test_files_and_names_exist(guide: str) -> None:
    for path in re.findall(rf"`((?:{PACKAGES}|tests|\.ci)/[\w./*-]*)`", text_of(guide)):
        assert list(ROOT.glob(path.rstrip("/"))), path
    for name in re.findall(rf"`((?:{PACKAGES})(?:\.\w+)+)[`(]", text_of(guide)):
        assert is_there(name), name


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_names_that_do_not_exist_are_noticed() -> None:
    assert is_there("edge.history.closing.COMPUTE")
    assert is_there("tools.bench.gateway")
    assert not is_there("edge.history.closing.GONE")
    assert not is_there("edge.gone.closing")


@pytest.mark.parametrize("guide", GUIDES)
def test_prose_fits_a_line(guide: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", text_of(guide), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in prose.splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LINE_LENGTH_MAX] == []


def test_the_sample_of_a_status_has_the_columns_of_one() -> None:
    (sample,) = fenced("edge/README.md", "text")
    table = status_view.sensor_table([])
    assert sample.splitlines()[2].split() == [str(column.header) for column in table.columns]
