"""Every write and sync of a script fails, or kills the process, one after the other: done by strace.

Contract: `calls` says which calls a script makes on its files; they are the same each time. A trial injects a
fault into one of them, from outside, before the kernel has done anything. That it was injected is read from strace's
own account: a fault that came to nothing is an error of the bench, not a pass.
"""

import ctypes
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from timeit import default_timer
from typing import Final, NamedTuple

from edge.errors import ConfigError
from tools.rig.power.script import STORE
from tools.rig.power.trials import Prepared, Trial, tried

CALLS: Final = "write,pwrite64,fsync,fdatasync,ftruncate,unlink,rename"
# By strace's --inject; the last goes on for good.
FAULTS: Final = {
    "kill": "signal=KILL:when={n}",
    "EIO": "error=EIO:when={n}",
    "ENOSPC": "error=ENOSPC:when={n}",
    "EIO for good": "error=EIO:when={n}+",
}
_SUFFIXES: Final = ("", "-wal", "-journal", ".keycheck", ".damaged", ".new", ".new-journal", ".new-wal")
_PR_SET_PTRACER: Final = 0x59616D61
_ATTACHED_S_MAX: Final = 60.0


class Call(NamedTuple):
    """The n-th call of this name, counted from 1 (strace counts each name by itself)."""

    name: str
    number: int


class BenchError(Exception):
    """The tool did not do what it was called for."""


def require() -> None:
    """Raises ConfigError if strace is missing."""
    if shutil.which("strace") is None:
        raise ConfigError("strace", "is missing", "apt-get install strace")


def calls(one: Prepared, directory: Path) -> list[Call]:
    """The calls when nothing fails, in order."""
    account = directory.with_suffix(".strace")
    trial = tried(one, directory, _await_tracer, _traced(directory, account, None))
    if trial.wrong or trial.code:
        raise BenchError(f"{one.name} fails without a fault: {trial}")
    counts: Counter[str] = Counter()
    made = []
    for name in re.findall(r"^(\w+)\(", account.read_text(), re.MULTILINE):
        counts[name] += 1
        made.append(Call(name, counts[name]))
    return made


def injected(one: Prepared, directory: Path, fault: str, call: Call) -> Trial:
    """Inject a fault at one call."""
    account = directory.with_suffix(".strace")
    inject = f"{call.name}:{FAULTS[fault].format(n=call.number)}"
    trial = tried(one, directory, _await_tracer, _traced(directory, account, inject))
    if trial.code != -9 and "INJECTED" not in account.read_text():
        raise BenchError(f"{one.name}: {fault} at {call.name} {call.number} was not injected")
    return trial


def _traced(directory: Path, account: Path, inject: str | None) -> Callable[[int], Callable[[], None]]:
    """Attach strace to a process, and wait for its end."""
    paths = [directory, *(directory / f"{STORE}{suffix}" for suffix in _SUFFIXES)]
    paths.append(directory / f".{STORE}.keycheck.part")
    command = ["strace", "-qq", "-o", str(account), "-e", f"trace={CALLS}", "-e", "signal=none"]
    command += [f"--trace-path={path}" for path in paths]
    if inject is not None:
        command += ["-e", f"inject={inject}"]

    def beside(child: int) -> Callable[[], None]:
        # Its complaints about paths that are not there yet concern nobody.
        tracer = subprocess.Popen(  # noqa: S603
            [*command, "-p", str(child)], stderr=subprocess.DEVNULL
        )

        def ended() -> None:
            tracer.wait()

        return ended

    return beside


def _await_tracer() -> None:
    """Let any process trace this one, and wait until one does."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1 & (1 << 64) - 1), 0, 0, 0)
    until_s = default_timer() + _ATTACHED_S_MAX
    while not _tracer():
        if default_timer() > until_s:
            os._exit(71)
        time.sleep(0.002)
    # It stops this process at once, and then is told of every call.
    time.sleep(0.02)


def _tracer() -> int:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("TracerPid"))
