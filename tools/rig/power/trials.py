"""One trial: a script is played in a process of its own, to which something is done, and what it leaves is judged.

Contract: the process is a copy of this one (`os.fork`), so that a trial costs a twentieth of a second. This process has
one thread. What is done to it, and by which tool, says the caller.
"""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tools.rig.power.cuts import acknowledged
from tools.rig.power.script import SCRIPTS, Script, judge, play, prepare, states

# Of `play`: to the end, or as far as the disk let it.
_DONE: Final = (0, 3)
# A script takes a tenth of a second; one that hangs is killed by SIGALRM.
SCRIPT_S_MAX: Final = 120


class Prepared(NamedTuple):
    """A script, the directory that it begins in, and what must be true after each step."""

    name: str
    script: Script
    template: Path
    expected: list[str]


class Trial(NamedTuple):
    """What a process said, how it ended (as `os.waitstatus_to_exitcode`), and what is wrong with what it left."""

    told: tuple[str, ...]
    code: int
    wrong: str | None


def prepared(name: str, directory: Path) -> Prepared:
    """Make the template of a script within a directory."""
    script = SCRIPTS[name]
    expected = states(script, directory / "expected")
    template = directory / f"{name}-template"
    prepare(script, template)
    return Prepared(name, script, template, expected)


def tried(
    one: Prepared, directory: Path, in_child: Callable[[], None], beside: Callable[[int], Callable[[], None]]
) -> Trial:
    """Play a script in `directory`, which is made for it.

    Args:
        one: the script.
        directory: where it writes.
        in_child: called in the new process, before the store is opened.
        beside: called here with the number of the process; what it returns is called when that has ended.
    """
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(one.template, directory)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run(one.script, directory, writing, in_child)
    os.close(writing)
    ended = beside(child)
    with os.fdopen(reading) as lines:
        told = tuple(line.strip() for line in lines)
    _, status = os.waitpid(child, 0)
    ended()
    code = os.waitstatus_to_exitcode(status)
    wrong = None if code in _DONE or code == -signal.SIGKILL else f"ended with {code}: {told[-1:]}"
    return Trial(told, code, wrong or judge(directory, one.expected, acknowledged(told)))


def _run(script: Script, directory: Path, writing: int, in_child: Callable[[], None]) -> None:
    """The new process; it never returns."""
    code = 70
    try:
        signal.alarm(SCRIPT_S_MAX)
        in_child()
        code = play(script, directory, lambda line: _tell(writing, line))
    finally:
        os._exit(code)


def _tell(writing: int, line: str) -> None:
    os.write(writing, f"{line}\n".encode())
