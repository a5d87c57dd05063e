"""The real process on a disk that takes four seconds for every fsync: its loop waits for nothing, and it measures on.

Takes ten minutes of real time on a machine that does little else, and needs strace (`sudo apt-get install strace`):

    .venv/bin/python -P -m pytest -q -m soak tests/test_system_slow_disk.py
    SLOW_DISK_MINUTES=60 .venv/bin/python -P -m pytest -q -m soak tests/test_system_slow_disk.py
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from edge.local import control
from tools.bench.gateway_written import process

MINUTES = float(os.environ.get("SLOW_DISK_MINUTES", "10"))
START_S, SETTLE_S, ASKED_EVERY_S, ANSWERED_S_MAX = 120.0, 90.0, 10.0, 1.0
GLUCOSE_S = 60.0
STRACE = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null")
SLOW_FSYNC = ("--trace=fsync,fdatasync", "--inject=fsync,fdatasync:delay_enter=4s")

pytestmark = pytest.mark.soak


def status(directory: Path) -> dict[str, Any] | None:
    answer = control.ask(directory / "state", {"do": "status"})
    return None if answer is None else json.loads(answer)


def slow_callbacks(directory: Path) -> list[str]:
    """What asyncio says took too long on the loop: work in it, or waiting for it."""
    return [line for line in (directory / "log").read_text().splitlines() if " took " in line]


def ages_s(document: dict[str, Any]) -> dict[str, float]:
    return {
        value["measurement"]: value["age_s"] for sensor in document["sensors"] for value in sensor["values"]
    }


def test_nothing_on_the_loop_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("strace"), "this test needs strace: sudo apt-get install strace"
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    under = (*STRACE, *SLOW_FSYNC)
    with process(tmp_path, "--glucose-every", str(GLUCOSE_S), before=under) as running:
        begun_s = time.monotonic()
        while status(tmp_path) is None:
            assert running.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < begun_s + START_S
            time.sleep(0.5)
        time.sleep(SETTLE_S)
        seen: list[dict[str, float]] = []
        slowest_s = 0.0
        until_s = time.monotonic() + 60 * MINUTES
        while time.monotonic() < until_s:
            asked_s = time.monotonic()
            document = status(tmp_path)
            slowest_s = max(slowest_s, time.monotonic() - asked_s)
            assert document is not None, (tmp_path / "log").read_text()
            seen.append(ages_s(document))
            time.sleep(ASKED_EVERY_S)
    # From the start of the process to its end: the store is opened and closed off the loop, too.
    assert slow_callbacks(tmp_path) == []
    assert slowest_s <= ANSWERED_S_MAX
    assert max(ages["heart_rate"] for ages in seen) < 5.0
    assert max(ages["glucose"] for ages in seen) < 2 * GLUCOSE_S
