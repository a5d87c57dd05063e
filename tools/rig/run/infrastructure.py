"""Whether this machine can play anything: what is looked at before a play, and again after one that has not passed.

Contract: sentences about what is wrong with the machine; none if nothing is. A play on a machine whose disk has run
full says nothing about the gateway.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tools.rig.verdict.blame import Blame, Finding

FREE_BYTES_MIN: Final = 64 << 20
MEMORY_BYTES_MIN: Final = 128 << 20


class Probes(NamedTuple):
    """How the machine is asked; others take their place in tests."""

    free_bytes: Callable[[Path], int] = lambda directory: shutil.disk_usage(directory).free
    is_writable: Callable[[Path], bool] = lambda directory: os.access(directory, os.W_OK | os.X_OK)
    memory_bytes: Callable[[], int | None] = lambda: _memory_bytes(Path("/proc/meminfo"))


def _memory_bytes(path: Path) -> int | None:
    """What programs may still have, as Linux reckons; None where nobody says."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines if line.startswith("MemAvailable:"))
    return next((int(words[1]) << 10 for words in found), None)


PROBES: Final = Probes()


def wrong_with(directory: Path, probes: Probes = PROBES) -> list[Finding]:
    """Of the machine, for plays whose files lie in a directory that is there."""
    return [Finding(Blame.INFRASTRUCTURE, text) for text in _sentences(directory, probes)]


def _sentences(directory: Path, probes: Probes) -> Iterator[str]:
    if not probes.is_writable(directory):
        yield f"nothing can be written into {directory}"
        return
    free_bytes = probes.free_bytes(directory)
    if free_bytes < FREE_BYTES_MIN:
        yield f"{free_bytes >> 20} MB are free for {directory}, and {FREE_BYTES_MIN >> 20} are needed"
    memory_bytes = probes.memory_bytes()
    if memory_bytes is not None and memory_bytes < MEMORY_BYTES_MIN:
        yield f"{memory_bytes >> 20} MB of memory are free, and {MEMORY_BYTES_MIN >> 20} are needed"
