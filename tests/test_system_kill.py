"""`kill -9` of a real gateway process in real time, again and again: the CGM's storage arrives whole and once.

Two real processes, joined by HCI over TCP: the sensors outlive the gateway, as they do in a home. Real time
passes here, so waiting is polling for what must happen, up to a limit.
"""

import csv
import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cardiac_records import RECORDINGS
from fhir_directory import LOINC, receive

from tools.rig.language.scenario import CGM, home_of

# Five-minute readings, played as one a minute, of a sensor that has stored them for five hours already. None of
# the recorded gaps follows on that.
PACE, HISTORY_HOURS, KILLS, LIVE = 5, 5, 4, 1
# Of the soak.
HOMES, KILLS_A_HOME = 50, 20
LIMIT_S = 150.0
VITALGATE = (sys.executable, "-P", "-m", "tools")


def recorded() -> list[tuple[float, float]]:
    """(s since the sensor was put on, mg/dL), in the order the sensor takes them."""
    with gzip.open(RECORDINGS / "azt1d_09_glucose.csv.gz", "rt") as file:
        rows = [(datetime.fromisoformat(r["time"]), float(r["glucose_mg_dl"])) for r in csv.DictReader(file)]
    midnight = rows[0][0].replace(hour=0, minute=0)
    return [((time - midnight).total_seconds() / PACE, value) for time, value in rows]


def arrived(directory: Path) -> list[tuple[int, float]]:
    received = receive(directory / "bundles")
    readings = received.with_code(LOINC, "99504-3")
    assert all(received.times_sent[reading["id"]] == 1 for reading in readings), "a reading was sent twice"
    return sorted(
        (round(datetime.fromisoformat(r["effectiveDateTime"]).timestamp()), r["valueQuantity"]["value"])
        for r in readings
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[str]:
    """The sensors as a process of their own; where they listen."""
    home_of(CGM).configure(tmp_path)
    command = [*VITALGATE, "simulate", "--config", str(tmp_path / "gateway.toml"), "--listen", "127.0.0.1:0"]
    command += ["--history-hours", str(HISTORY_HOURS), "--glucose-pace", str(PACE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listening on ").strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def start_gateway(tmp_path: Path, world: str) -> subprocess.Popen[Any]:
    command = [*VITALGATE, "run", "--config", str(tmp_path / "gateway.toml"), "--simulate", "--world", world]
    with (tmp_path / "log").open("ab") as log:
        return subprocess.Popen(command, stderr=log)


def written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def await_write(path: Path, before_ns: int, deadline_s: float) -> None:
    while written(path) == before_ns:
        assert time.monotonic() < deadline_s, f"{path} is not written"
        time.sleep(0.02)


def kill(tmp_path: Path, world: str, rng: random.Random, deadline_s: float) -> None:
    """Start a gateway, and kill it some time after it began to write."""
    wal = tmp_path / "state" / "store.db-wal"
    before_ns = written(wal)
    gateway = start_gateway(tmp_path, world)
    # Once it writes it is at work: connecting, fetching or sending, wherever the moment falls.
    await_write(wal, before_ns, deadline_s)
    time.sleep(rng.uniform(0.0, 3.0))
    os.kill(gateway.pid, signal.SIGKILL)
    gateway.wait()


def test_nothing_the_sensor_stored_is_lost_or_doubled(tmp_path: Path, world: str) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    rng = random.Random(8)
    for _ in range(KILLS):
        kill(tmp_path, world, rng, deadline_s)
    require_all(tmp_path, world, deadline_s)


@pytest.mark.soak
@pytest.mark.parametrize("home", range(HOMES))
def test_nothing_is_lost_or_doubled_over_a_thousand_kills(tmp_path: Path, world: str, home: int) -> None:
    """Each home anew, because what is at stake is fetched and sent after some lives: an hour and a half in all."""
    rng = random.Random(f"home {home}")
    for _ in range(KILLS_A_HOME):
        kill(tmp_path, world, rng, time.monotonic() + LIMIT_S)
    require_all(tmp_path, world, time.monotonic() + LIMIT_S)


def require_all(tmp_path: Path, world: str, deadline_s: float) -> None:
    """A last gateway lives until all has arrived; everything did so once, in order, and as it was recorded."""
    expected = recorded()
    stored = sum(t_s < HISTORY_HOURS * 3600 for t_s, _ in expected)
    gateway = start_gateway(tmp_path, world)
    while len(readings := arrived(tmp_path)) < stored + LIVE:
        assert time.monotonic() < deadline_s, f"{len(readings)} of {stored + LIVE} readings arrived"
        assert gateway.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.5)
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(20) == 0
    readings = arrived(tmp_path)
    assert [value for _, value in readings] == [value for _, value in expected[: len(readings)]]
    steps_s = [later - earlier for (earlier, _), (later, _) in pairwise(readings)]
    assert steps_s == [
        60 * (int(later // 60) - int(earlier // 60))
        for (earlier, _), (later, _) in pairwise(expected[: len(readings)])
    ]
