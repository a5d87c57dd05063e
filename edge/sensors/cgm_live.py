"""Which records of a CGM sensor are live: that follows from their age, never from what else is going on.

Contract: pure; times are nanoseconds since boot. The offset of a record says how many minutes after the start of the
session it was taken. The start is reckoned from the sensor's clock, each time that is read. Reports of stored records
and new readings come over the same characteristic, and nothing in them says which is which.

    age of a record  | while a report with it is expected | otherwise
    -----------------|------------------------------------|----------
    below -2 min     | AHEAD                              | AHEAD
    up to 10 min     | LIVE                               | LIVE
    more             | STORED                             | STRAY

A LIVE value is known at once, before it is stored. An AHEAD record makes no sense, or the sensor's clock was set. A
STRAY one is of another session, or came too late. Neither is kept before the sensor has been looked at again. A report
is expected from its request to its answer, and for `TAIL_NS` longer if it was broken off; an old record that came in
that time is STORED, even if it is judged later.
"""

import math
from enum import Enum, auto
from typing import Final

from edge.clock import NS_PER_S
from edge.sensors.cgm_ledger import Range
from edge.sensors.validity import WARM_UP_MIN_MAX

NS_PER_MIN: Final = 60 * NS_PER_S
# The clock's minutes are rounded down, a record's may be rounded up.
AHEAD_NS_MAX: Final = 2 * NS_PER_MIN
LIVE_NS_MAX: Final = 10 * NS_PER_MIN
TAIL_NS: Final = 10 * NS_PER_S


class Sort(Enum):
    """What a record is."""

    LIVE = auto()
    STORED = auto()
    AHEAD = auto()
    STRAY = auto()


class Live:
    """A sensor's clock, and what follows from it.

    Attributes:
        start_boot_ns: when its session began, before this boot if below 0; None while its clock is not known.
        is_fresh: whether its clock was read since the newest report began or ended.
    """

    def __init__(self) -> None:
        self.start_boot_ns: int | None = None
        self.is_fresh = False
        self._expected: Range | None = None
        self._expected_until_boot_ns = 0.0

    def on_clock(self, offset_min: int, boot_ns: int) -> int:
        """The sensor's clock was read; returns by how much it was set since the last time, to whole minutes."""
        start_boot_ns = boot_ns - offset_min * NS_PER_MIN
        before_ns, self.start_boot_ns, self.is_fresh = self.start_boot_ns, start_boot_ns, True
        return 0 if before_ns is None else abs(start_boot_ns - before_ns)

    def clock_s(self, boot_ns: int) -> float:
        """What the sensor's clock shows."""
        assert self.start_boot_ns is not None
        return (boot_ns - self.start_boot_ns) / NS_PER_S

    def forget(self) -> None:
        """The link is gone, and with it what was expected of it."""
        self.start_boot_ns = None
        self.expect(None)

    def expect(self, asked: Range | None) -> None:
        """A report of these begins; None: nothing stored is expected any more."""
        self._expected, self._expected_until_boot_ns, self.is_fresh = asked, math.inf, False

    def expect_tail(self, boot_ns: int) -> None:
        """The report was broken off; what was under way may still come."""
        self._expected_until_boot_ns = boot_ns + TAIL_NS

    def is_expecting(self, boot_ns: int) -> bool:
        """Whether records may be reported now."""
        return self._expected is not None and boot_ns <= self._expected_until_boot_ns

    def is_expected(self, offset_min: int, boot_ns: int) -> bool:
        """Whether a report that may bring this record is under way at this moment."""
        return self._expected is not None and self.is_expecting(boot_ns) and self._expected.covers(offset_min)

    def sort(self, offset_min: int, boot_ns: int, *, was_expected: bool = False) -> Sort:
        """What a record is that has come at this moment; it may have been expected when it came."""
        assert self.start_boot_ns is not None
        age_ns = boot_ns - self.start_boot_ns - offset_min * NS_PER_MIN
        if age_ns < -AHEAD_NS_MAX:
            return Sort.AHEAD
        if age_ns <= LIVE_NS_MAX:
            return Sort.LIVE
        return Sort.STORED if was_expected or self.is_expected(offset_min, boot_ns) else Sort.STRAY

    def taken_boot_ns(self, offset_min: int, boot_ns: int) -> int:
        """When a record was taken that has come at this moment."""
        assert self.start_boot_ns is not None
        return min(boot_ns, self.start_boot_ns + offset_min * NS_PER_MIN)


def warm_up_left_s(age_ns: int) -> float | None:
    """How long a session of this age may still be without values; None once it should have some."""
    left_s = 60.0 * WARM_UP_MIN_MAX - age_ns / NS_PER_S
    return left_s if left_s > 0.0 else None


def wear_left_s(age_ns: int, run_time_h: int | None) -> float | None:
    """How long a session of this age goes on; below 0 if it should have ended."""
    return None if run_time_h is None else 3600.0 * run_time_h - age_ns / NS_PER_S
