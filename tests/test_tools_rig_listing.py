"""`vitalgate rig` as it is typed: what is listed and checked, and calls that are refused before anything is played."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tools.cli import app
from tools.rig.run import play

GOOD = """
lasts = "10min"
sensors = [{ id = "strap", kind = "heart_rate" }]
expect = [{ what = "complete" }]
"""


def typed(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["rig", *map(str, words)])


def written(path: Path, text: str = GOOD) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_line_is_listed_for_a_scenario_that_says_nothing_about_itself(tmp_path: Path) -> None:
    file = written(tmp_path / "own.toml")
    assert typed("list", tmp_path).stdout == f"{file}  (10min; nothing goes wrong)\n"
    written(file, f'about = "All is well."\n{GOOD}')
    assert typed("list", tmp_path).stdout.splitlines()[1:] == ["    All is well."]


def test_whatever_is_wrong_is_told_on_stderr_a_line_for_each_file(tmp_path: Path) -> None:
    good, none = written(tmp_path / "good.toml"), tmp_path / "none.toml"
    bad = written(tmp_path / "bad.toml", GOOD.replace("lasts", "takes"))
    done = typed("check", bad, good, none)
    assert (done.exit_code, done.stdout) == (2, "")
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["vitalgate", str(bad)],
        ["vitalgate", str(none)],
    ]
    assert typed("check", good).stdout == "1 of 1 can be played\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--html", "a"], "a: it is a directory; name a file"),
        (["--junit", "a"], "a: it is a directory; name a file"),
        (["--junit", "none/report.xml"], "none/report.xml: its directory is not there"),
        (["--bench", "bench.toml"], "--bench: it means nothing with --setting virtual"),
        (["--gateway", "pi"], "--gateway: it means nothing with --setting virtual"),
        (["--artefacts", "kept"], "--artefacts: several files are called own"),
        (["--setting", "air"], "--bench: a bench is needed"),
        (["--setting", "moon"], "--setting: 'moon' is no setting"),
    ],
)
def test_a_call_that_cannot_end_well_is_refused_before_anything_is_played(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(play, "play", lambda *_: pytest.fail("it was played"))
    files = [written(Path(place) / "own.toml") for place in ("a", "b")]
    done = typed("run", *files, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"vitalgate: {said}")
    assert len(done.stderr.splitlines()) == 1
