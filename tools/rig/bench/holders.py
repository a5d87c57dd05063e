"""Which process holds something: told apart from every other one there was, on this machine, and whether it lives.

Contract: a number of a process is given again, so a holder is named by boot, number and time of its start; and by the
namespace of numbers, because a process in another container cannot be looked for from here. `is_gone` is true only of
a holder that certainly does nothing any more.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple

from edge import clock

_STATE, _STARTED = 0, 19
"""Fields of /proc/PID/stat behind the name of the program: proc(5) has them as 3 and 22."""
# A zombie has ended, and a dead one nearly so: neither runs any more.
_ENDED: Final = ("Z", "X", "x")


class Holder(NamedTuple):
    """A process; `started` is in clock ticks since boot."""

    boot_id: str
    namespace: str
    pid: int
    started: int


def this_process() -> Holder:
    pid = os.getpid()
    stat = _stat(pid)
    assert stat is not None, "this process runs"
    return Holder(clock.boot_id(), _namespace(), pid, int(stat[_STARTED]))


def is_gone(holder: Holder) -> bool:
    """Whether it has ended. One that cannot be looked for from here is not known to have."""
    if holder.boot_id != clock.boot_id():
        return True
    if holder.namespace != _namespace():
        return False
    stat = _stat(holder.pid)
    if stat is None:
        return not _exists(holder.pid)
    if int(stat[_STARTED]) != holder.started:
        return True
    return stat[_STATE] in _ENDED and not _has_threads(holder.pid)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program stands in brackets and may itself hold blanks and brackets.
    return text.rpartition(")")[2].split()


def _has_threads(pid: int) -> bool:
    """Whether threads outlive the first one: what the process has open is closed when the last one ends."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def _exists(pid: int) -> bool:
    """Whether it runs although /proc does not show it to this user (hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())
