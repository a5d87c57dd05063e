"""What is the same for all commands: help, version, errors, exit codes, interrupts, pipes, and what the guides say."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from tools import terminal
from tools.cli import app

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = [
    [], ["run"], ["simulate"], ["demo"], ["status"], ["decode"],
    ["analyse"], ["analyse", "glucose"], ["analyse", "rr"], ["analyse", "ecg"], ["reprocess"],
    ["alert"], ["alert", "list"], ["alert", "test"], ["alert", "snooze"], ["alert", "ack"], ["alert", "replay"],
    ["sensor"], ["sensor", "pair"], ["sensor", "calibrate"],
    ["capture"], ["capture", "record"], ["capture", "show"], ["capture", "convert"],
    ["rig"], ["rig", "run"], ["rig", "list"], ["rig", "check"], ["rig", "schema"], ["rig", "explore"],
]  # fmt: skip


def test_every_command_is_among_those_tested() -> None:
    group = typer.main.get_command(app)
    found: list[list[str]] = [[]]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found += [[name], *([name, inner] for inner in getattr(command, "commands", {}))]
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_is_asked_for_in_either_way_and_flags_have_no_type(command: list[str]) -> None:
    long, short = (CliRunner().invoke(app, [*command, option]) for option in ("--help", "-h"))
    assert (long.exit_code, short.exit_code) == (0, 0)
    assert long.stdout == short.stdout
    assert "--help" in long.stdout
    assert "<bool>" not in long.stdout


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"vitalgate {version('vitalgate')}\n")


def test_the_command_is_called_vitalgate_however_it_was_started() -> None:
    command = [sys.executable, "-P", "-m", "tools", "status", "-h"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Usage: vitalgate status" in done.stdout


def test_a_name_that_the_system_does_not_take_is_one_line() -> None:
    name = "x" * 300
    done = CliRunner().invoke(app, ["analyse", "ecg", name])
    assert done.exit_code == 2
    assert done.stderr == f"vitalgate: {name}.hea: File name too long; name another file or directory\n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("alert ack glucose_low", "missing argument 'SENSOR'; `vitalgate alert ack --help`"),
        ("status", "missing option '--config'"),
        ("status --confg x", "no such option: --confg"),
        ("stats", "no such command 'stats'"),
        ("--verbose", "no such option: --verbose"),
        ("sensor pear cgm", "no such command 'pear'"),
        ("status --config x extra", "unexpected extra argument"),
    ],
)
def test_a_call_that_is_wrong_is_told_in_one_line(call: str, said: str) -> None:
    done = CliRunner().invoke(app, call.split(), prog_name="vitalgate")
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("vitalgate: ")
    assert said in line
    assert "--help` shows how it is called" in line


def closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["decode", "2A19", "64"], ["analyse", "-h"]]
)
def test_a_reader_that_has_seen_enough_is_no_failure(arguments: list[str]) -> None:
    command = [sys.executable, "-P", "-m", "tools", *arguments]
    output = closed_pipe()
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(output)
    assert (done.returncode, done.stderr) == (0, b"")


BEYOND = [
    ("simulate", "--config", "x.toml", "--history-hours", value) for value in ("inf", "1e9", "nan", "-1")
] + [
    ("demo", option, value)
    for option in ("--hours", "--speed", "--drops-per-hour")
    for value in ("inf", "1e12", "nan", "-1")
]


@pytest.mark.parametrize("arguments", BEYOND, ids=" ".join)
def test_a_number_beyond_all_measure_is_refused(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert arguments[-2] in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--glucose", "/dev/zero"),
        ("demo", "--heart", "/dev/zero"),
        ("simulate", "--config", "x.toml", "--glucose", "/dev/zero"),
        ("analyse", "rr", "/dev/zero"),
        ("analyse", "glucose", "/dev/zero"),
        ("analyse", "ecg", "/dev/zero", "--rate", "130"),
    ],
    ids=" ".join,
)
def test_a_file_without_an_end_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert "the first line of /dev/zero does not end" in line


def test_of_a_second_line_without_an_end_only_the_beginning_is_read(tmp_path: Path) -> None:
    endless = tmp_path / "rr.csv"
    os.mkfifo(endless)
    written: list[int] = []

    def write() -> None:
        with suppress(BrokenPipeError), endless.open("wb", buffering=0) as pipe:
            pipe.write(b"rr_ms\n")
            while len(written) < 100:
                written.append(pipe.write(bytes(1 << 20)))

    writing = threading.Thread(target=write)
    writing.start()
    done = CliRunner().invoke(app, ["analyse", "rr", str(endless)])
    writing.join()
    assert len(written) < 10
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("vitalgate: FILE: cannot read")


def interrupted(monkeypatch: pytest.MonkeyPatch, raised: BaseException, *, told: bool) -> Any:
    commands = typer.Typer(pretty_exceptions_enable=False)

    @commands.command()
    def work() -> None:
        with terminal.one_line_errors() if told else nullcontext():
            raise raised

    monkeypatch.setattr(sys, "argv", ["vitalgate"])
    with pytest.raises(SystemExit) as end:
        terminal.main(commands, "vitalgate")
    return end.value.code


@pytest.mark.parametrize("told", [False, True])
def test_an_interrupt_anywhere_is_told_once(
    told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interrupted(monkeypatch, KeyboardInterrupt(), told=told) == 130
    assert capsys.readouterr().err == "vitalgate: interrupted\n"


INTERRUPTED = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "tools.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
runpy.run_module("tools", run_name="__main__", alter_sys=True)
"""


def test_an_interrupt_before_anything_is_set_up_ends_the_process_without_a_word() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTERRUPTED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def calls(text: str) -> list[list[str]]:
    """The command lines in a text, without `vitalgate`."""
    found = re.findall(
        r"(?:^ +\.venv/bin/|`(?:\.venv/bin/)?|Example: )vitalgate ([^`#\n;]+)", text, re.MULTILINE
    )
    return [shlex.split(call) for call in found]


def epilogs() -> str:
    texts = []
    for command in COMMANDS[1:]:
        found: Any = typer.main.get_command(app)
        for name in command:
            found = found.commands[name]
        texts.append(f"{found.help}\n{found.epilog or ''}\n")
    return "".join(texts)


GUIDES = "".join((ROOT / name).read_text() for name in ("README.md", "edge/README.md", "tools/README.md"))


@pytest.mark.parametrize("text", [GUIDES, epilogs()], ids=["guides", "help"])
def test_every_call_that_is_shown_is_one_that_is_understood(text: str) -> None:
    shown = [call for call in calls(text) if not call[0].startswith("-")]
    assert len(shown) >= 6
    for call in shown:
        command: Any = typer.main.get_command(app)
        rest = list(call)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        unknown = {word.split("=")[0] for word in rest if word.startswith("--")} - known - {"--help"}
        assert not unknown, call


def test_guides_and_help_say_the_same_of_a_world() -> None:
    for text in (GUIDES, epilogs()):
        of_a_world = [call for call in calls(text) if "--world" in call]
        assert of_a_world
        assert all(call[0] == "run" and "--simulate" not in call for call in of_a_world)


def test_the_own_command_is_one_that_a_shell_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "a home" / ".venv" / "bin"
    programs.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert terminal.own_command() == f"'{programs / 'python'}' -P -m tools"
    (programs / "vitalgate").touch()
    assert terminal.own_command() == f"'{programs / 'vitalgate'}'"
    monkeypatch.chdir(tmp_path / "a home")
    assert terminal.own_command() == ".venv/bin/vitalgate"
