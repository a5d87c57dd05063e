"""How long a sensor may be silent on a link before the link counts as lost: a few of its own intervals.

    learned so far                          a link may be silent for
    fewer than `GAPS_MIN` gaps              the limit of its kind, which is safe for every sensor of the kind
    `GAPS_MIN` gaps or more                 `INTERVALS` times the longest of the newest gaps; at least `LEAST_S`, and at
                                            most the limit
    the link was found silent all the same  twice as long as before, until `GAPS_MAX` gaps were seen; at most the limit

Contract: pure; a gap is the time between two packets of one link. Gaps of less than `GAP_S_MIN` say nothing: stored
records and answers come in bursts. Where the limit is no longer than `LEAST_S`, or the operator has set it, there is
nothing to learn. What is learned outlives the link, not the process.
"""

from collections import deque
from typing import Final

INTERVALS: Final = 3
LEAST_S: Final = 180.0
GAP_S_MIN: Final = 20.0
GAPS_MIN: Final = 3
GAPS_MAX: Final = 8
# When a stream has stopped, it is asked for again after so much of the time that it may be silent.
RESUBSCRIBE_SHARE: Final = 2 / 3


class Staleness:
    """What was learned about the intervals of one sensor."""

    def __init__(self, limit_s: float, *, is_fixed: bool = False) -> None:
        self._limit_s = limit_s
        self._learns = not is_fixed and limit_s > LEAST_S
        self._gaps_s: deque[float] = deque(maxlen=GAPS_MAX)
        self._doubled_s = 0.0
        self._gaps_to_trust = 0

    @property
    def stale_s(self) -> float:
        """How long it may be silent."""
        if not self._learns or len(self._gaps_s) < GAPS_MIN:
            return self._limit_s
        usual_s = max(LEAST_S, INTERVALS * max(self._gaps_s))
        return min(self._limit_s, max(usual_s, self._doubled_s))

    @property
    def gap_s_min(self) -> float:
        """The shortest gap that is worth telling."""
        return GAP_S_MIN if self._learns else float("inf")

    def on_gap(self, gap_s: float) -> None:
        """Two packets came so far apart."""
        self._gaps_s.append(gap_s)
        self._gaps_to_trust -= 1
        if self._gaps_to_trust <= 0:
            self._doubled_s = 0.0

    def on_silent(self) -> None:
        """A link was given up. If the sensor has only slowed down, the next one has to wait longer."""
        self._doubled_s, self._gaps_to_trust = 2 * self.stale_s, GAPS_MAX
