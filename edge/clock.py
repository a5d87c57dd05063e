"""The only place that reads clocks. Everything else is given a `Clock`.

Data is stamped with the time since boot, because a Raspberry Pi has no clock that survives a power cut. Anchors
(`edge.anchors`) say which wall time a moment of a boot was, and how far that may be wrong. The wall clock is trusted
only while the system says that it is synchronised, or if the operator vouches for it.
"""

import ctypes
import time
from pathlib import Path
from typing import Protocol

NS_PER_S = 1_000_000_000

# Sums of seconds are rounded. Who waits for less looks at the clock again and again, and finds it is not yet time.
REST_S_MIN = 0.001

_STA_UNSYNC = 0x0040
# How far a battery-backed clock may be wrong that the operator vouches for.
VOUCHED_ERROR_MS = 10_000


def rest_s(until_s: float, now_s: float) -> float:
    """How long to wait until a moment that has not come yet by the time that was read."""
    return max(REST_S_MIN, until_s - now_s)


class Clock(Protocol):
    """What the gateway knows of time: a boot, nanoseconds since it, and the wall clock."""

    @property
    def boot_id(self) -> str: ...

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspension included; never goes back."""
        ...

    def utc_ns(self) -> int:
        """Wall clock, nanoseconds since 1970-01-01 UTC; may step, and may be wrong by years."""
        ...

    def utc_error_ms(self) -> int | None:
        """How far the wall clock may be wrong; None while it is not trusted."""
        ...


def boot_id() -> str:
    """The system's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2) on 64-bit Linux, as far as it is read here."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror_us", ctypes.c_long),
        ("esterror_us", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


class SystemClock:
    """The machine's own clocks."""

    def __init__(self, *, vouched: bool = False) -> None:
        """`vouched`: the operator says that this machine's clock is right, although nothing synchronises it."""
        self.boot_id = boot_id()
        self._vouched = vouched
        self._adjtimex = ctypes.CDLL(None).adjtimex

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc_ns(self) -> int:
        return time.time_ns()

    def utc_error_ms(self) -> int | None:
        timex = _Timex()
        if self._adjtimex(ctypes.byref(timex)) >= 0 and not timex.status & _STA_UNSYNC:
            return int(timex.maxerror_us // 1000) + 1
        return VOUCHED_ERROR_MS if self._vouched else None
