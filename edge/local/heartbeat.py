"""The heartbeat: a small file that says that the event loop turns, for `tools/watch_alerts.py`, which rings if it ends.

    phase    | is entered when                            | means to the watchman
    ---------|--------------------------------------------|--------------------------------------------
    starting | the process begins, or begins a new store  | it has a while to get to `running`
    running  | the gateway's tasks begin                  | sensors are watched, and alerts ring
    stopping | somebody tells the process to end          | it may stay away for a while, not for ever

Contract: the file is rewritten each `BEAT_S` seconds by a timer of the event loop and by nothing else. So it grows old
when the process ends, is stopped, or keeps the loop from turning, and not when the disk or the store hangs: it lies on
a tmpfs, in the directory that the service manager makes (`RUNTIME_DIRECTORY`). Where there is none, no watchman
watches, and nothing is written. It holds no health data, and everybody may read it. A beat that cannot be written costs
a line of the log, never the gateway. Each beat and each phase goes to systemd, too (`service_manager`).

The file is one line of JSON, filled up with spaces to `LINE_BYTES`: `boot` (the id of this boot), `phase`, `since_s`
(when the phase began) and `at_s` (when the loop last turned), both in seconds of the clock of the event loop
(CLOCK_MONOTONIC), which stands still while the machine sleeps.
"""

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from edge.local.service_manager import ServiceManager

log = logging.getLogger(__name__)

FILE_NAME: Final = "heartbeat"
BEAT_S: Final = 15.0
LINE_BYTES: Final = 160
READABLE_BY_ALL: Final = 0o644


class Phase(Enum):
    """Where the process is; see the table above."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


def file_of_service(environment: Mapping[str, str]) -> Path | None:
    """Where a service is to beat, by the variable in which systemd names the directories that it made for it."""
    first = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(first) / FILE_NAME if first else None


class Heartbeat:
    """Beats from `start` to `stop`, on the event loop that runs then; `beat_s` is when it did last."""

    def __init__(self, path: Path | None, boot_id: str, manager: ServiceManager | None = None) -> None:
        """`path` None: no watchman watches; `manager` None: no service manager does."""
        self.beat_s = 0.0
        self._manager = manager or ServiceManager(None)
        self._phase = Phase.STARTING
        self._path = path
        self._boot_id = boot_id
        self._file: int | None = None
        self._head = b""
        self._timer: asyncio.TimerHandle | None = None
        self._complained = False

    def start(self) -> None:
        self.enter(Phase.STARTING)
        self._await_next()

    def enter(self, phase: Phase) -> None:
        """Say that a phase begins."""
        self._phase = phase
        saying = {
            Phase.STARTING: self._manager.on_starting,
            Phase.RUNNING: self._manager.on_running,
            Phase.STOPPING: self._manager.on_stopping,
        }
        saying[phase]()
        since_s = round(asyncio.get_running_loop().time(), 3)
        fields = json.dumps({"boot": self._boot_id, "phase": phase.value, "since_s": since_s})
        self._head = fields[:-1].encode() + b', "at_s": '
        self._beat()

    def stop(self) -> None:
        """Beat no more; what was said last stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._let_go()

    def _await_next(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._turn)

    def _turn(self) -> None:
        self._await_next()
        self._beat()

    def _beat(self) -> None:
        self.beat_s = asyncio.get_running_loop().time()
        self._manager.on_beat(is_starting=self._phase is Phase.STARTING)
        if self._path is None:
            return
        line = self._head + b"%.3f}" % self.beat_s
        try:
            # Opening the file each time, or replacing it by another, would double the 3 microseconds of a beat.
            file = self._file
            if file is None or os.fstat(file).st_nlink == 0:
                file = self._open(self._path)
            os.pwrite(file, line.ljust(LINE_BYTES - 1) + b"\n", 0)
        except OSError as fault:
            if not self._complained:
                log.warning("the heartbeat cannot be written to %s: %s", self._path, fault.strerror)
            self._complained = True
            self._let_go()
        else:
            self._complained = False

    def _open(self, path: Path) -> int:
        self._let_go()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, READABLE_BY_ALL)
        # The umask would hold for all threads.
        os.fchmod(self._file, READABLE_BY_ALL)
        return self._file

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
