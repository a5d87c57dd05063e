"""The only place that reads clocks. Everything else is given a `Clock`.

Data is stamped with time since boot, because a Raspberry Pi has no clock that survives a power cut; wall time
comes in through anchors that say which wall time a moment of a boot was.
"""

import time
from pathlib import Path
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """What the gateway knows of time: a boot, nanoseconds since it, and the wall clock."""

    @property
    def boot_id(self) -> str: ...

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspension included; never goes back."""
        ...

    def utc_ns(self) -> int:
        """Wall clock, nanoseconds since 1970-01-01 UTC; may step."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc_ns(self) -> int:
        return time.time_ns()
