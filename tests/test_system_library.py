"""A gateway whose kernels come from the library, and its sensors in another process: its memory, and no compiler in it.

Takes ten minutes of real time:

    .venv/bin/python -P -m pytest -q -m soak tests/test_system_library.py
    LIBRARY_MINUTES=60 .venv/bin/python -P -m pytest -q -m soak tests/test_system_library.py
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kernel_modes import environment

from edge.local import control
from tools.rig.language.scenario import CGM, STRAP, home_of

MINUTES = float(os.environ.get("LIBRARY_MINUTES", "10"))
RSS_MB_MAX = 90.0
STREAMS_S_MAX = 60.0

# From here on the system refuses memory that becomes executable, as systemd's MemoryDenyWriteExecute does, whatever
# programs the process becomes; Linux before 6.3 does not know it.
GATEWAY = """
import ctypes, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE
from tools.cli import main
sys.argv[0] = "vitalgate"
main()
"""

pytestmark = pytest.mark.soak


@contextmanager
def python(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A process in which kernels come from the library."""
    with subprocess.Popen(
        [sys.executable, "-P", *command], stdout=subprocess.PIPE, text=True, env=environment("library")
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def status(state_dir: Path) -> dict[str, Any] | None:
    answer = control.ask(state_dir, {"do": "status"})
    return None if answer is None else json.loads(answer)


def streams(state_dir: Path) -> bool:
    document = status(state_dir)
    return document is not None and all(sensor["phase"] == "streaming" for sensor in document["sensors"])


def rss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024.0


def test_it_needs_little_memory_and_no_compiler(tmp_path: Path) -> None:
    state = home_of(STRAP, CGM).configure(tmp_path).gateway.state_dir
    config = ("--config", str(tmp_path / "gateway.toml"))
    # Two days of readings, which are fewer than the sensor stores: one day of them is whole, whatever hour it is.
    listen = ("--listen", "127.0.0.1:0", "--history-hours", "48")
    with python("-m", "tools", "simulate", *config, *listen) as home:
        world = line(home).removeprefix("listening on ")
        with python("-c", GATEWAY, "run", "--simulate", "--world", world, *config) as gateway:
            begun_s = time.monotonic()
            while not streams(state):
                assert gateway.poll() is None
                assert time.monotonic() < begun_s + STREAMS_S_MAX
                time.sleep(0.5)
            largest_mb = 0.0
            while time.monotonic() < begun_s + 60 * MINUTES:
                time.sleep(5.0)
                largest_mb = max(largest_mb, rss_mb(gateway.pid))
            document = status(state)
            loaded = Path(f"/proc/{gateway.pid}/maps").read_text()
            gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(30.0) == 0
    print(f"\nRSS after {MINUTES:g} min: at most {largest_mb:.1f} MB")
    assert largest_mb <= RSS_MB_MAX
    assert "sqlcipher3" in loaded
    assert not [name for name in ("numba", "llvmlite") if f"/{name}/" in loaded]
    assert document is not None
    # The kernels have been at work: of a strap, and of the days that the CGM had stored.
    summarised = {summary["kind"] for summary in document["summaries"]}
    assert {"glucose_day"} | ({"heart_5min"} if MINUTES >= 10 else set()) <= summarised
