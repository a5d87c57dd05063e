"""The command line as its user meets it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from fhir_directory import bundles
from simulated_gateway import configured

from tools.cli import one_line_errors


def vitalgate(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "tools", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


@pytest.mark.parametrize("command", ["run", "demo", "simulate", "status"])
def test_each_command_has_help_with_an_example(command: str) -> None:
    done = vitalgate(command, "--help")
    assert done.returncode == 0
    assert f"Example: vitalgate {command}" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    "arguments",
    [("demo", "--hours", "0"), ("demo", "--speed", "-1"), ("run",), ("nonsense",), ("demo", "--seed", "x")],
)
def test_a_wrong_call_is_exit_2_and_no_traceback(arguments: tuple[str, ...]) -> None:
    done = vitalgate(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("where", ["nowhere", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:1"])
def test_a_world_that_is_not_there_is_one_line(tmp_path: Path, where: str) -> None:
    configured(tmp_path, "cgm")
    done = vitalgate("run", "--config", str(tmp_path / "gateway.toml"), "--world", where)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--world" in line


def test_a_recording_that_is_none_is_one_line(tmp_path: Path) -> None:
    torn = tmp_path / "rr.csv"
    torn.write_text("rr_ms\n800\nhello\n")
    done = vitalgate("demo", "--hours", "0.1", "--heart", str(torn), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "line 3" in line


def test_status_of_what_never_ran_is_one_line(tmp_path: Path) -> None:
    configured(tmp_path, "cgm")
    done = vitalgate("status", "--config", str(tmp_path / "gateway.toml"))
    assert done.returncode == 2
    assert "run the gateway first" in done.stderr
    assert not (tmp_path / "state").exists()


def document(directory: Path, *arguments: str) -> dict[str, Any]:
    done = vitalgate("demo", "--json", "--out", str(directory), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_demo_then_status(tmp_path: Path) -> None:
    said = document(tmp_path / "out", "--hours", "0.5", "--bodies")
    assert said["simulated"] is True
    assert said["recordings"] == {"heart": None, "glucose": None}
    assert len(said["summaries"]["heart_5min"]) == 6
    assert said["summaries"]["glucose_so_far"]["readings"] == 6
    assert all(Path(path).exists() for path in said["bundles"])
    done = vitalgate("status", "--config", said["config"], "--json")
    status = json.loads(done.stdout)
    assert (status["running"], status["simulated"]) == (False, True)
    assert status["outbox"] == said["counts"]["outbox"]
    assert status["summaries"]["heart_5min"]["count"] == 6
    assert "stopped" in vitalgate("status", "--config", said["config"]).stdout


def test_status_leaves_a_damaged_database_where_it_is(tmp_path: Path) -> None:
    said = document(tmp_path / "out", "--hours", "0.1")
    database = tmp_path / "out" / "state" / "store.db"
    database.write_bytes(b"damage" + database.read_bytes()[6:])
    before = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()}
    done = vitalgate("status", "--config", said["config"])
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "damaged" in line
    assert {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()} == before


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path: Path) -> None:
    def summaries(seed: int, name: str) -> Any:
        arguments = ("--hours", "1", "--bodies", "--drops-per-hour", "4", "--seed", str(seed))
        return document(tmp_path / name, *arguments)["summaries"]

    first = summaries(5, "a")
    assert summaries(5, "b") == first
    assert summaries(6, "c") != first


def test_a_demo_directory_is_used_anew(tmp_path: Path) -> None:
    document(tmp_path, "--hours", "1")
    said = document(tmp_path, "--hours", "0.1")
    assert len(bundles(tmp_path / "bundles")) == said["counts"]["bundles"]
    # Of the hour before, with its twelve windows, nothing is left.
    assert len(said["summaries"]["heart_5min"]) == 2


def test_real_time_can_be_scaled(tmp_path: Path) -> None:
    said = document(tmp_path, "--hours", "0.1", "--speed", "120")
    assert said["elapsed_s"] >= 360 / 120
    assert said["summaries"]["heart_5min"][0]["beats"] > 300


def test_the_plain_report_ends_with_tables_and_where_the_bundles_are(tmp_path: Path) -> None:
    done = vitalgate("demo", "--hours", "0.5", "--out", str(tmp_path / "out"))
    assert done.returncode == 0
    for word in ("RMSSD", "GMI", "HTEST", str(tmp_path / "out" / "bundles")):
        assert word in done.stdout.replace("\n", "")


def test_an_interrupt_that_a_compiled_kernel_wrapped_is_an_interrupt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as exit_code, one_line_errors():
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
    assert exit_code.value.exit_code == 130
    assert capsys.readouterr().err == "vitalgate: interrupted\n"
    with pytest.raises(SystemError), one_line_errors():
        raise SystemError("of another cause")
