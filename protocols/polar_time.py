"""When the samples of successive Polar frames were taken, on the device's clock.

Contract: pure. A frame's time stamp is that of its last sample, so the step between samples follows from the stamp of
the frame before. What devices do to their clocks and what is lost on the way never makes times go back, nor stretches
samples over a gap. The rate that a device names may be far from the one it has: it serves until the step is known.

    the time stamp is                                      | the samples' step         | the chain
    -------------------------------------------------------|---------------------------|----------------
    the first                                              | by the named rate         | begins
    not after the one before                               | as known                  | begins
    so late that samples are missing                       | as known                  | begins
    any other                                              | since the one before      | goes on

Samples are missing where a step is longer than `GAP` times the shortest of the last `STEPS`.
"""

from collections import deque
from typing import Final, NamedTuple

GAP: Final = 1.5
STEPS: Final = 8


class Timed(NamedTuple):
    """When the samples of a frame were taken.

    Attributes:
        last_ns: the last one.
        step_ns: from one to the next.
        begins: whether a chain begins with them: nothing says that they follow what came before.
    """

    last_ns: int
    step_ns: float
    begins: bool


class Chain:
    """The frames of one stream, one after the other."""

    def __init__(self, rate_hz: float) -> None:
        """`rate_hz`: as the device names it."""
        self._named_ns = 1e9 / rate_hz
        self._steps_ns: deque[float] = deque(maxlen=STEPS)
        self._last_ns: int | None = None

    def take(self, timestamp_ns: int, count: int) -> Timed:
        """A frame of `count` samples, at least 1."""
        known_ns = min(self._steps_ns, default=self._named_ns)
        before_ns, self._last_ns = self._last_ns, timestamp_ns
        if before_ns is None or timestamp_ns <= before_ns:
            return Timed(timestamp_ns, known_ns, begins=True)
        step_ns = (timestamp_ns - before_ns) / count
        is_gap = bool(self._steps_ns) and step_ns > GAP * known_ns
        self._steps_ns.append(step_ns)
        return Timed(timestamp_ns, known_ns if is_gap else step_ns, begins=is_gap)
