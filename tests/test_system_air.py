"""The air setting between processes: sensors on dongles, which are reached by TCP and by a serial line, and a gateway.

Three processes in real time: an air without a radio, the gateway, and the bench, which asks the gateway over its socket
and looks at what it has sent. One dongle is HCI over TCP, the other one HCI on a pseudo-terminal.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from edge.clock import SystemClock
from edge.local.control import ask
from tools.rig.bench.inventory import load
from tools.rig.bench.leases import Leases
from tools.rig.language import scenario

ROOT = Path(__file__).parents[1]
LIMIT_S = 120.0
SCENARIO = """
about = "A strap and a CGM on dongles: a link that fades is made anew, and all that the CGM had stored is upstream."
lasts = "60s"
history = "1h"
people = [{ id = "jo" }, { id = "al" }]
sensors = [
    { id = "strap", kind = "heart_rate" },
    { id = "cgm", kind = "cgm", person = "al", passkey = "123456" },
]
faults = [{ what = "link lost", at = "30s", sensors = ["strap"] }]
expect = [
    { what = "data", within = "28s" },
    { what = "data", after = "30s", within = "29s", sensors = ["strap"] },
    { what = "status", fields = { "sensors.strap.losses" = 1, "sensors.cgm.pairing.bonded" = true } },
    { what = "log", says = "strap: connected", times = 2 },
    { what = "complete", sensors = ["cgm"] },
]
"""
BENCH = """
[[dongles]]
id = "by-tcp"
transport = "tcp-client:{where}"

[[dongles]]
id = "by-serial"
transport = "serial:{line}"

[[gateways]]
id = "here"
config = "gateway.toml"
log = "gateway.log"
"""


@contextmanager
def process(*words: str, **streams: Any) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VITALGATE_KERNELS": "plain"}
    command = [sys.executable, "-P", "-m", *words]
    with subprocess.Popen(command, text=True, env=environment, **streams) as started:
        try:
            yield started
        finally:
            started.send_signal(signal.SIGTERM)


def first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Path]:
    """The inventory of a bench with a gateway that runs."""
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    wanted = scenario.load(tmp_path / "scenario.toml")
    wanted.configure(tmp_path)
    line = tmp_path / "line"
    with process("tools.rig.bench", "air", "--serial", str(line), stdout=subprocess.PIPE) as air:
        where = first_line(air.stdout).removeprefix("listening on ")
        (tmp_path / "bench.toml").write_text(BENCH.format(where=where, line=line))
        command = ["tools", "run", "--config", str(tmp_path / "gateway.toml"), "--world", where]
        with (tmp_path / "gateway.log").open("w") as log, process(*command, stderr=log) as gateway:
            deadline_s = time.monotonic() + LIMIT_S
            while ask(tmp_path / "state", {"do": "status"}) is None:
                assert gateway.poll() is None, (tmp_path / "gateway.log").read_text()
                assert time.monotonic() < deadline_s, "the gateway does not start"
                time.sleep(0.1)
            yield tmp_path / "bench.toml"


def test_a_scenario_is_played_on_dongles_that_are_reached_by_tcp_and_by_a_serial_line(bench: Path) -> None:
    play = [
        "tools",
        "rig",
        "run",
        str(bench.with_name("scenario.toml")),
        "--setting",
        "air",
        "--bench",
        str(bench),
    ]
    with process(*play, "--json", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as played:
        said, _ = played.communicate(timeout=2 * LIMIT_S)
    assert played.returncode == 0, said
    assert '"verdict": "passed"' in said or '"verdict":"passed"' in said, said
    inventory = load(bench)
    leases = Leases(inventory.leases, SystemClock())
    assert {(row.name, leases.state(row)) for row in leases.rows()} == {
        ("dongle by-tcp", "free"),
        ("dongle by-serial", "free"),
        ("gateway here", "free"),
    }
