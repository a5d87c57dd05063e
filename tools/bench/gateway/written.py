"""Octets that a gateway process with a strap and a CGM writes in real time, as the kernel counts them.

Contract: `measure` takes as long as it is told. The process is `process`, on a store and a directory for
bundles on the disk of the temporary directory; it begins before the time that counts.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SETTLE_S: Final = 60.0
CONFIG: Final = """
[gateway]
id = "gw"
state_dir = "state"
trust_clock = true
[[people]]
id = "anna"
pseudonym = "p1"
[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
[upstream]
directory = "bundles"
[[sensors]]
id = "strap"
kind = "heart_rate"
address = "F0:00:00:00:00:01"
person = "anna"
[[sensors]]
id = "cgm"
kind = "cgm"
address = "F1:00:00:00:00:01"
person = "anna"
accept_just_works = true
"""


@contextmanager
def process(
    directory: Path, *options: str, before: tuple[str, ...] = ()
) -> "Iterator[subprocess.Popen[bytes]]":
    """A running gateway; its standard error goes into `log`. `before` is what it is run under."""
    config = directory / "gateway.toml"
    config.write_text(CONFIG)
    command = [*before, sys.executable, "-P", "-m", "tools.bench.gateway.process", str(config), *options]
    with (
        (directory / "log").open("wb") as log,
        # Away from the terminal, whose job control would stop a tracer in the background.
        subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
        ) as running,
    ):
        try:
            yield running
        finally:
            running.terminate()


def counted(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def measure(minutes: float) -> dict[str, float]:
    """Megabytes an hour: handed to write calls, and sent to the disk in pages."""
    with tempfile.TemporaryDirectory() as directory, process(Path(directory)) as running:
        time.sleep(SETTLE_S)
        before = counted(running.pid)
        time.sleep(60 * minutes)
        after = counted(running.pid)
    scale = 1e-6 * 60 / minutes
    return {
        "minutes": minutes,
        "MB an hour": scale * (after["write_bytes"] - before["write_bytes"]),
        "MB an hour, handed to write calls": scale * (after["wchar"] - before["wchar"]),
    }
