"""The gateway as a service: a real process, under a user without a home, from an installation nobody may write to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_parts import MINIMAL
from kernel_modes import library_path
from service_user import NOBODY, another_user, open_place

from edge.config import KEY_SUFFIX, parse
from edge.identity import load
from edge.local import control
from edge.store.door import Store
from edge.workers import inline
from tools.rig.language.scenario import CGM, STRAP, home_of

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 90.0


# The daemon, as if the installation had compiled nothing.
COLD = """
import runpy
from pathlib import Path
from edge import kernel_cache
kernel_cache.INSTALLED = Path("/nonexistent")
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""


# A simulated home, whose gateway commits to a slow disk.
SLOW = """
import sys, time
from contextlib import contextmanager
from edge.store.database import Database
transaction = Database.transaction

@contextmanager
def slow(self):
    with transaction(self):
        yield
        time.sleep(0.7)

Database.transaction = slow
import runpy
runpy.run_module("tools.rig.home.simulated_gateway", run_name="__main__", alter_sys=True)
"""


class Service:
    """A running process and what it says."""

    def __init__(self, directory: Path, *command: str, **options: Any) -> None:
        self.errors = directory / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", *command], stderr=errors, stdout=errors, **options
            )

    def said(self) -> str:
        return self.errors.read_text()

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition says once it says something; fails when the process ends or time is up."""
        deadline = time.monotonic() + LIMIT_S
        while not (found := condition()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)
        return found

    def status(self, state_dir: Path) -> dict[str, Any] | None:
        answer = control.ask(state_dir, {"do": "status"})
        document: dict[str, Any] | None = None if answer is None else json.loads(answer)
        return document

    def end(self, number: int = signal.SIGTERM, limit_s: float = 30.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(limit_s)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def read_only_copy(place: Path, library: Path | None = None) -> Path:
    """Of the installation, with a library of kernels or without."""
    copy = place / "installation"
    for package in ("edge", "protocols", "dsp"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    if library is not None:
        shutil.copy(library, copy / "dsp")
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return copy


def installed(place: Path, copy: Path, *command: str) -> Service:
    """A gateway of that copy, run by a user without a home, who may write to `var` alone."""
    mine = place / "var"
    (mine / "upstream").mkdir(parents=True)
    (mine / "gateway.toml").write_text(MINIMAL)
    user = another_user()
    if "user" in user:
        for path in [mine, *mine.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(copy)}
    if "user" not in user:
        environment["HOME"] = str(copy / "nonexistent")
    config = str(mine / "gateway.toml")
    return Service(place, *command, "--config", config, cwd="/", env=environment, **user)


# The daemon, if one kernel were all: to compile all of them takes half a minute, and is the same.
ONE_KERNEL = """
import runpy, sys, types

def warm_gateway():
    import numpy as np
    from dsp.cardiac.hrv import extreme_rates
    extreme_rates(np.ones(9), np.ones(9))

sys.modules["dsp.warm"] = types.SimpleNamespace(warm_gateway=warm_gateway)
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""


def test_it_runs_from_a_read_only_installation_as_a_user_without_a_home(place: Path) -> None:
    copy = read_only_copy(place)
    state = place / "var/state"
    service = installed(place, copy, "-c", ONE_KERNEL)
    try:
        document = service.until(lambda: service.status(state))
        assert (document["running"], document["gateway"]) == (True, "gw-1")
        service.until(lambda: sorted((state / "kernels").rglob("*.nbc")))
        service.until(lambda: "kernels are compiled and kept" in service.said())
        assert service.end() == 0
    finally:
        service.kill()
    assert "Traceback" not in service.said()
    assert not list(copy.rglob("__pycache__"))


# The daemon where no temporary directory can be written to either.
WITHOUT_ROOM = """
import runpy, tempfile
tempfile.tempdir = "/nonexistent"
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""


def test_where_nothing_can_keep_its_kernels_it_says_so_and_runs(place: Path) -> None:
    copy = read_only_copy(place)
    state = place / "var/state"
    state.mkdir(parents=True)
    (state / "kernels").touch()
    service = installed(place, copy, "-c", WITHOUT_ROOM)
    try:
        service.until(lambda: service.status(state))
        assert service.end() == 0
    finally:
        service.kill()
    assert f"compiled kernels cannot be kept in {state / 'kernels'}" in service.said()
    assert "Traceback" not in service.said()


# The daemon where no compiler is installed, and where the system refuses memory that becomes executable.
WITHOUT_COMPILER = """
import ctypes, runpy, sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE; older systems than Linux 6.3 do not know it
runpy.run_module("edge", run_name="__main__", alter_sys=True)
"""


def test_with_a_library_it_needs_no_compiler_and_keeps_no_kernels(place: Path) -> None:
    copy = read_only_copy(place, library_path())
    state = place / "var/state"
    service = installed(place, copy, "-c", WITHOUT_COMPILER)
    try:
        service.until(lambda: service.status(state))
        assert str(copy / "dsp") in Path(f"/proc/{service.process.pid}/maps").read_text()
        assert service.end() == 0
    finally:
        service.kill()
    assert "kernels" not in service.said()
    assert "Traceback" not in service.said()
    assert not (state / "kernels").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["kernels are being compiled", "gw-1 runs"])
def test_a_signal_while_cold_kernels_are_compiled_ends_it_at_once(
    place: Path, number: int, moment: str
) -> None:
    (place / "upstream").mkdir()
    (place / "gateway.toml").write_text(MINIMAL)
    service = Service(place, "-c", COLD, "--config", str(place / "gateway.toml"))
    try:
        service.until(lambda: moment in service.said())
        assert service.end(number) == 0
    finally:
        service.kill()
    assert "Traceback" not in service.said()
    assert "kernels are compiled and kept" not in service.said()


@pytest.mark.parametrize("moment", ["started", "searching", "streaming"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_with_a_simulated_home_in_the_process_a_signal_ends_it_cleanly_at_any_moment(
    place: Path, moment: str, number: int
) -> None:
    home_of(STRAP, CGM).configure(place)
    service = Service(place, "-m", "tools", "run", "--simulate", "--config", str(place / "gateway.toml"))

    def phases() -> set[str]:
        document = service.status(place / "state")
        return {sensor["phase"] for sensor in document["sensors"]} if document else set()

    moments: dict[str, Callable[[], Any]] = {
        "started": lambda: " runs: vitalgate" in service.said(),
        "searching": phases,
        "streaming": lambda: phases() == {"streaming"},
    }
    try:
        service.until(moments[moment])
        assert service.end(number) == 0
    finally:
        service.kill()
    *_, last = service.said().splitlines()
    assert last.endswith("has stopped")
    assert "Traceback" not in service.said()
    assert "Error" not in service.said()


def test_on_a_slow_disk_a_process_manager_that_insists_changes_nothing(place: Path) -> None:
    home_of(STRAP).configure(place)
    service = Service(place, "-c", SLOW, "--config", str(place / "gateway.toml"))

    def packets() -> int:
        document = service.status(place / "state")
        return document["sensors"][0]["packets"] if document else 0

    try:
        service.until(lambda: packets() >= 3)
        counted = packets()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            service.process.send_signal(number)
            time.sleep(0.2)
        assert service.end() == 0
    finally:
        service.kill()
    *_, last = service.said().splitlines()
    assert last.endswith("has stopped")
    assert "Traceback" not in service.said()
    config = parse((place / "gateway.toml").read_bytes(), place / "gateway.toml")
    store = Store(config.database, load(config.key_file, config.database), simulated=None, workers=inline())
    chunks = store.tables.raw_chunks.between(1, 1, 0, 1 << 62)
    store.close()
    assert [path.name for path in (place / "state").iterdir() if path.suffix == KEY_SUFFIX] == ["store.key"]
    assert sum(len(chunk.packets) for chunk in chunks) >= counted
