"""The command line as its user meets it."""

import asyncio
import json
import os
import pwd
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import typer.testing
from fhir_directory import bundles
from service_user import NOBODY, another_user, open_place, without_power_over_files

from edge.lock import lock
from hw_sim.radio.air import Air
from hw_sim.radio.hci_server import serve
from tools.cli import app, one_line_errors
from tools.rig.home import simulated_gateway
from tools.rig.language.scenario import CGM, home_of
from tools.terminal import own_command


def vitalgate(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "tools", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def document(directory: Path, *arguments: str) -> dict[str, Any]:
    done = vitalgate("demo", "--json", "--out", str(directory), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a demo says whose directory nobody changes."""
    return document(tmp_path_factory.mktemp("demo") / "out", "--hours", "0.5", "--bodies")


@pytest.fixture
def home(said: dict[str, Any], tmp_path: Path) -> Path:
    """The directory that a demo has left, for one test."""
    return Path(shutil.copytree(Path(said["config"]).parent, tmp_path / "out"))


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
    home_of(CGM).configure(tmp_path)
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


def test_a_state_that_is_a_file_is_not_the_worlds_fault(tmp_path: Path) -> None:
    home_of(CGM).configure(tmp_path)
    (tmp_path / "state").touch()

    async def run_on_a_world() -> subprocess.CompletedProcess[str]:
        async with await serve(Air(), "127.0.0.1", 0) as server:
            world = "{}:{}".format(*server.sockets[0].getsockname())
            arguments = ("run", "--config", str(tmp_path / "gateway.toml"), "--world", world)
            return await asyncio.to_thread(vitalgate, *arguments)

    done = asyncio.run(run_on_a_world())
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("vitalgate: gateway.state_dir: ")
    assert "Traceback" not in done.stderr


def test_an_unreadable_configuration_is_told_by_who_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gateway.toml"
    home_of(CGM).configure(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # what a mode says, it does not say to root
    monkeypatch.setattr(Path, "open", refuse)
    done = typer.testing.CliRunner().invoke(app, ["status", "--config", str(file)])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"vitalgate: {file}: Permission denied; ")


def test_to_ask_for_the_status_takes_no_compiler() -> None:
    code = "import sys, tools.status_view; print([name for name in ('numba', 'dsp') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_status_of_what_never_ran_is_one_line(tmp_path: Path) -> None:
    home_of(CGM).configure(tmp_path)
    done = vitalgate("status", "--config", str(tmp_path / "gateway.toml"))
    assert done.returncode == 2
    assert "run the gateway first" in done.stderr
    assert not (tmp_path / "state").exists()


def test_status_of_another_users_gateway_says_whose_it_is_and_how_to_ask() -> None:
    user = another_user()
    with open_place() as place:
        home_of(CGM).configure(place)
        state, owner = place / "state", pwd.getpwuid(0).pw_name
        if os.geteuid() != 0:
            state = Path(pwd.getpwuid(0).pw_dir) / "vitalgate"
            text = (place / "gateway.toml").read_text().replace('"state"', f'"{state}"')
            (place / "gateway.toml").write_text(text)
        else:
            state.mkdir(mode=0o700)
            if "user" not in user:  # the child is root, too
                os.chown(state, NOBODY, NOBODY)
                owner = pwd.getpwuid(NOBODY).pw_name
        done = vitalgate("status", "--config", str(place / "gateway.toml"), **user)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"belongs to the user {owner}" in line
    assert f"sudo -u {owner} {own_command()} status --config {place / 'gateway.toml'}" in line


def test_status_on_a_read_only_directory_says_that(home: Path) -> None:
    state = home / "state"
    state.chmod(0o500)
    done = vitalgate("status", "--config", str(home / "gateway.toml"), preexec_fn=without_power_over_files)
    state.chmod(0o700)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{state} is read-only" in line


@pytest.mark.parametrize("is_locked", [True, False])
def test_status_does_not_take_a_locked_directory_for_one_where_no_gateway_runs(
    home: Path, is_locked: bool
) -> None:
    held = lock(home / "state")
    if not is_locked:
        os.close(held)
    done = vitalgate("status", "--config", str(home / "gateway.toml"))
    assert done.returncode == (1 if is_locked else 0)
    assert ("a gateway runs on" in done.stderr) == is_locked


def test_demo_then_status(said: dict[str, Any]) -> None:
    assert said["simulated"] is True
    assert said["recordings"] == {"heart": None, "glucose": None}
    assert len(said["summaries"]["heart_5min"]) == 6
    assert said["summaries"]["glucose_so_far"]["readings"] == 6
    assert all(Path(path).exists() for path in said["bundles"])
    live = said["status"]
    assert (live["running"], [sensor["phase"] for sensor in live["sensors"]]) == (True, ["streaming"] * 2)
    done = vitalgate("status", "--config", said["config"], "--json")
    status = json.loads(done.stdout)
    assert (status["running"], status["simulated"]) == (False, True)
    assert status.keys() == live.keys()
    for name in ("store", "deliveries", "alerts", "summaries"):
        assert [list(part) for part in listed(status[name])] == [list(part) for part in listed(live[name])]
    assert status["summaries"] == live["summaries"]
    for stopped, running in zip(status["sensors"], live["sensors"], strict=True):
        assert list(stopped) == list(running)
        assert [v["measurement"] for v in stopped["values"]] == [v["measurement"] for v in running["values"]]
        assert stopped["phase"] == "stopped"
    cgm, was = status["sensors"][1]["session"], live["sensors"][1]["session"]
    assert {**cgm, "missing": None} == {**was, "missing": None}
    assert cgm["readings"]["glucose"] >= 6
    assert "stopped" in vitalgate("status", "--config", said["config"]).stdout


def listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else [part]


def test_status_leaves_a_damaged_database_where_it_is(home: Path) -> None:
    database = home / "state" / "store.db"
    database.write_bytes(b"damage" + database.read_bytes()[6:])
    before = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()}
    done = vitalgate("status", "--config", str(home / "gateway.toml"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "damaged" in line
    assert {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()} == before


def test_the_same_seed_gives_the_same_run_and_another_another(tmp_path: Path) -> None:
    def summaries(seed: int, name: str) -> Any:
        arguments = ("--hours", "0.3", "--bodies", "--drops-per-hour", "15", "--seed", str(seed))
        return document(tmp_path / name, *arguments)["summaries"]

    first = summaries(5, "a")
    assert summaries(5, "b") == first
    assert summaries(6, "c") != first


def test_a_demo_directory_is_used_anew(home: Path) -> None:
    anew = document(home, "--hours", "0.1")
    assert len(bundles(home / "bundles")) == len(anew["bundles"])
    # Of the half hour before, with its six windows, nothing is left.
    assert len(anew["summaries"]["heart_5min"]) == 2


def test_a_demo_directory_in_use_stays_as_it_is(home: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    held = lock(home / "state")
    done = vitalgate("demo", "--hours", "0.1", "--out", str(home))
    os.close(held)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--out: a gateway is running on" in line
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("kilobytes", [30, 300])  # too little for the database to open, and to grow
def test_a_full_disk_ends_the_demo_with_one_line(tmp_path: Path, kilobytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, resource.RLIM_INFINITY))

    arguments = ("demo", "--hours", "2", "--bodies", "--json", "--out", str(tmp_path))
    done = vitalgate(*arguments, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("vitalgate: the database cannot be used")


def test_real_time_can_be_scaled(tmp_path: Path) -> None:
    said = document(tmp_path, "--hours", "0.1", "--speed", "120")
    assert said["elapsed_s"] >= 360 / 120
    assert said["summaries"]["heart_5min"][0]["beats"] > 300


def test_the_plain_report_ends_with_tables_and_where_the_bundles_are(tmp_path: Path) -> None:
    out = tmp_path / "an out"
    done = vitalgate("demo", "--hours", "0.5", "--out", str(out))
    assert done.returncode == 0
    for word in ("RMSSD", "GMI", "HTEST", str(out / "bundles")):
        assert word in done.stdout.replace("\n", "")
    # Nothing of ours is on the PATH of a shell that sets up and runs the demo.
    (more,) = re.findall("^More: (.*)$", done.stdout, re.MULTILINE)
    environment = {**os.environ, "PATH": os.defpath}
    assert "strap" in subprocess.check_output(more, shell=True, env=environment, text=True, timeout=60)


def test_an_interrupt_that_a_compiled_kernel_wrapped_is_an_interrupt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as exit_code, one_line_errors():
        raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
    assert exit_code.value.exit_code == 130
    assert capsys.readouterr().err == "vitalgate: interrupted\n"
    with pytest.raises(SystemError), one_line_errors():
        raise SystemError("of another cause")


@pytest.mark.parametrize("world", [None, "127.0.0.1:1"])
def test_the_simulation_is_not_imported_by_the_thread_of_the_loop(
    world: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    @asynccontextmanager
    async def home(*_: object) -> AsyncIterator[str]:
        yield "radio"

    def remembered(what: object) -> Callable[[], object]:
        def work() -> object:
            threads.append(threading.current_thread())
            return what

        return work

    simulation = SimpleNamespace(own_radio=home, world_radio=home)
    monkeypatch.setattr(simulated_gateway, "simulation_extra", remembered(simulation))
    monkeypatch.setattr(simulated_gateway, "own_recordings", remembered(None))

    async def open_it() -> None:
        async with simulated_gateway.simulated_radio(world, 0)(None) as radio:
            assert radio == "radio"

    asyncio.run(open_it())
    assert threads
    assert threading.main_thread() not in threads
