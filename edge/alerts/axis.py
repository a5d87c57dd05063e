"""The time of the alerts: seconds on an axis that never goes back and outlives reboots.

Contract: pure. Within a boot it goes as the time since boot, also from one process to the next. Over a reboot it goes
on by the wall time that has passed, as soon as both boots have a trusted one; until then as if none had. A mark is a
moment of both, which the store keeps for the next process.

    the mark is of | and both wall times are  | the axis
    ---------------|--------------------------|--------------------------------------------------------
    nothing        | -                        | begins, with the boot
    this boot      | -                        | goes on
    another boot   | trusted                  | goes on by the time between
                   | not trusted yet          | goes on from the mark; skips the rest when they are
"""

from typing import NamedTuple

from edge.anchors import Timeline
from edge.clock import NS_PER_S


class Mark(NamedTuple):
    """A moment of a boot, and what time of the alerts it was."""

    boot_no: int
    boot_ns: int
    at_s: float


class Axis:
    """The axis in one boot."""

    def __init__(self, mark: Mark | None, boot_no: int, boot_ns: int, timeline: Timeline) -> None:
        """`mark`: the newest that the store has; the rest is the present moment."""
        self._boot_no = boot_no
        self._zero_s = 0.0  # what time of the alerts it was at the boot
        self._former: Mark | None = None
        if mark is not None and mark.boot_no == boot_no:
            self._zero_s = mark.at_s - mark.boot_ns / NS_PER_S
        elif mark is not None:
            self._zero_s = mark.at_s - boot_ns / NS_PER_S
            self._former = mark
            self.look(boot_ns, timeline)

    def at_s(self, boot_ns: int) -> float:
        """The time of the alerts at a moment of this boot."""
        return self._zero_s + boot_ns / NS_PER_S

    def mark(self, boot_ns: int) -> Mark:
        return Mark(self._boot_no, boot_ns, self.at_s(boot_ns))

    def look(self, boot_ns: int, timeline: Timeline) -> float:
        """Skip the time that the machine was off, if that is known now; how many seconds were skipped."""
        if self._former is None:
            return 0.0
        was = timeline.place(self._former.boot_no, self._former.boot_ns)
        now = timeline.place(self._boot_no, boot_ns)
        if was is None or now is None or not (was.trusted and now.trusted):
            return 0.0
        passed_s = (now.utc_ns - was.utc_ns) / NS_PER_S
        skipped_s = max(0.0, self._former.at_s + passed_s - self.at_s(boot_ns))
        self._zero_s += skipped_s
        self._former = None
        return skipped_s
