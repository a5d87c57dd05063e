"""Which of the intervals that a Polar sensor sends its ECG confirms.

Contract: pure. An interval is judged once the ECG of its time is, and only within what can be trusted. It is confirmed
if, with the delay of the sensor's stream taken off, it begins and ends at beats of the ECG that follow each other, and
is as long as theirs to within `SAME_MS`. At most `WAITING_MAX` intervals wait; the oldest are dropped.
"""

from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac.alignment import MATCH_S, align
from edge.sensors.polar.ecg import Ecg

SAME_MS: Final = 50.0
WAITING_MAX: Final = 1024
# So few do not tell the delay.
TOGETHER_MIN: Final = 10
# The longest delay of the sensor's stream that is looked for.
DELAY_S_MAX: Final = 10.0
# Intervals that the figure is of: some minutes of them.
OF_MAX: Final = 300


class Agreement:
    """The intervals of one sensor, and the beats of its ECG.

    Attributes:
        delay_s: how far the intervals come behind the ECG, as far as that is known.
    """

    def __init__(self) -> None:
        self.delay_s: float | None = None
        self._waiting: deque[tuple[float, float]] = deque(maxlen=WAITING_MAX)
        self._newest: deque[bool] = deque(maxlen=OF_MAX)

    def take(self, beats: Iterable[tuple[float, float]]) -> None:
        """Beats of the sensor, each with its time since boot in s and the interval before it in ms."""
        self._waiting.extend(beats)

    def judge(self, ecg: Ecg) -> tuple[int, int]:
        """Judge what can be judged now; how many intervals, and how many of them are confirmed."""
        ahead_ns = ecg.ahead_ns
        if ahead_ns is None:
            return 0, 0
        until_s = ahead_ns / 1e9 + ecg.judged_s - DELAY_S_MAX
        count = sum(t_s <= until_s for t_s, _ in self._waiting)
        if count < TOGETHER_MIN:
            return 0, 0
        beats = [self._waiting.popleft() for _ in range(count)]
        ends_s = as_f64([t_s - ahead_ns / 1e9 for t_s, _ in beats])
        found = align(ecg.beats_s, ends_s, DELAY_S_MAX)
        if found.matched:
            self.delay_s = found.delay_s
        ends_s = as_f64(ends_s - (self.delay_s or 0.0))
        judged = [
            _is_confirmed(ecg.beats_s, end_s, rr_ms)
            for end_s, (_, rr_ms) in zip(ends_s.tolist(), beats, strict=True)
            if ecg.is_clear(end_s - rr_ms / 1000.0, end_s)
        ]
        self._newest.extend(judged)
        return len(judged), sum(judged)

    @property
    def confirmed_pct(self) -> float | None:
        """Share of the last intervals that are confirmed; None without any."""
        return 100.0 * sum(self._newest) / len(self._newest) if self._newest else None

    @property
    def intervals(self) -> int:
        """How many those are."""
        return len(self._newest)


def _is_confirmed(ecg_s: F64, end_s: float, rr_ms: float) -> bool:
    near_s = ecg_s[np.searchsorted(ecg_s, end_s - rr_ms / 1000.0 - MATCH_S) :]
    near_s = near_s[: np.searchsorted(near_s, end_s + MATCH_S, "right")]
    return any(
        abs(after - end_s) <= MATCH_S and abs(1000.0 * (after - before) - rr_ms) <= SAME_MS
        for before, after in pairwise(near_s.tolist())
    )
