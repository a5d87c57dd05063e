"""Says where the event loop stands when it stands still, from a thread of its own.

Contract: the heartbeat says when the loop turned last, as it says it to the watchman and to systemd. When a beat is
overdue by `STALL_S`, one line of the log names the frames in which the thread of the loop stands, the innermost first;
another one follows when it turns again. Nothing is ended here: systemd ends a process whose beats fail (`WatchdogSec`),
and what it did by then stands in the log.
"""

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

from edge.local.heartbeat import BEAT_S, Heartbeat

log = logging.getLogger(__name__)

STALL_S: Final = 10.0
LOOK_S: Final = 5.0
FRAMES_MAX: Final = 12


class LoopWatch:
    """Watches the loop of the thread that makes it, from `start` to `stop`."""

    def __init__(
        self,
        heartbeat: Heartbeat,
        now_s: Callable[[], float],
        look_s: float = LOOK_S,
        stall_s: float = STALL_S,
    ) -> None:
        """`now_s` tells the loop's time."""
        self._heartbeat = heartbeat
        self._now_s = now_s
        self._look_s = look_s
        self._stall_s = stall_s
        self._watched = threading.get_ident()
        self._told_beat_s: float | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._look_s):
            self.look()

    def look(self) -> None:
        """Say so if the loop stands still, once for each time."""
        beat_s, now_s = self._heartbeat.beat_s, self._now_s()
        if self._told_beat_s is not None and beat_s != self._told_beat_s:
            log.error("the event loop turns again, after %.0f s", beat_s - self._told_beat_s)
            self._told_beat_s = None
        if self._told_beat_s is None and now_s - beat_s >= BEAT_S + self._stall_s:
            self._told_beat_s = beat_s
            frame = sys._current_frames().get(self._watched)
            log.critical(
                "the event loop stands still for %.0f s, in %s", now_s - beat_s - BEAT_S, where(frame)
            )


def where(frame: FrameType | None) -> str:
    """The frames in one line, the innermost first."""
    named: list[str] = []
    while frame is not None and len(named) < FRAMES_MAX:
        code = frame.f_code
        named.append(f"{'/'.join(Path(code.co_filename).parts[-2:])}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(named)
