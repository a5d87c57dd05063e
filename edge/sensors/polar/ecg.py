"""The beats in the ECG of a Polar sensor as it comes, and how far it can be trusted.

Contract: pure. Samples are not kept; of beats and judgements the last minutes are. Two detectors look at each sample
(`dsp.cardiac.signal_quality`): where both see the same beats clearly, the ECG can be trusted. Times are on an axis of
the stream's own, in seconds; `ahead_ns` puts them on that of the boot, by the frame that came soonest after it was
taken.
"""

from collections import deque
from typing import Final, NamedTuple

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs, signal_quality
from protocols.polar_time import Timed

KEEP_S: Final = 240.0
WINDOW_S: Final = 10.0
# A window is judged with two on either side.
AROUND: Final = 2
# A beat is found some seconds after it was, one that was overdue later still.
SETTLED_S: Final = 3.0
# Of the frames, that one was on its way for the shortest time.
ARRIVALS: Final = 128
# What is missing for so long is stood in for: the detectors go on. Else they learn the signal anew.
PADDED_S_MAX: Final = 10.0
# Of the step between samples, as far as one frame changes it.
STEP_SHARE: Final = 0.1
# Of the named step: a device whose rate is that far from the one it names has a clock that cannot be believed.
STEP_SHARE_MIN, STEP_SHARE_MAX = 0.25, 4.0
RATE_OVER_S: Final = 60.0
RATE_BEATS_MIN: Final = 5


class Window(NamedTuple):
    """`WINDOW_S` that were judged: when they began, and whether they can be trusted."""

    begin_s: float
    is_clear: bool


class Ecg:
    """One stream.

    Attributes:
        beats_s: the beats of the last minutes, as the first detector sees them.
        windows: the last ones judged, the newest last.
    """

    def __init__(self, rate_hz: float) -> None:
        """`rate_hz`: within what `dsp.cardiac.qrs` takes."""
        self._rate_hz = rate_hz
        self._begin(0)

    def _begin(self, origin_ns: int) -> None:
        """Nothing says how what comes next follows what came before."""
        self._detectors = qrs.new_state(self._rate_hz), signal_quality.second_detector(self._rate_hz)
        self._origin_ns = origin_ns
        self._count = 0
        self._last_s = 0.0
        self._step_s = 1.0 / self._rate_hz
        self._ahead_ns: deque[int] = deque(maxlen=ARRIVALS)
        self._prominence: F64 = np.zeros(0)
        self._others_s: F64 = np.zeros(0)
        self._next_s = 0.0
        self.beats_s: F64 = np.zeros(0)
        self.windows: list[Window] = []

    @property
    def ahead_ns(self) -> float | None:
        """How far the time since boot is ahead of the axis; None before a frame has come."""
        return self._origin_ns + min(self._ahead_ns) if self._ahead_ns else None

    def take(self, samples_uv: F64, timed: Timed, arrival_ns: int) -> int:
        """The samples of a frame that arrived at a moment of this boot; how many windows were judged."""
        if not STEP_SHARE_MIN <= timed.step_ns * self._rate_hz / 1e9 <= STEP_SHARE_MAX:
            timed = Timed(timed.last_ns, 1e9 / self._rate_hz, begins=True)
        missing = self._missing(samples_uv.size, timed)
        if missing is None:
            self._begin(timed.last_ns - round((samples_uv.size - 1) * timed.step_ns))
            missing = 0
        self._step_s += STEP_SHARE * (timed.step_ns / 1e9 - self._step_s)
        self._last_s = (timed.last_ns - self._origin_ns) / 1e9
        self._ahead_ns.append(arrival_ns - timed.last_ns)
        self._detect(as_f64(np.concatenate([np.full(missing, np.nan), samples_uv])))
        judged = 0
        while self._next_s + (1 + AROUND) * WINDOW_S + SETTLED_S <= self._last_s:
            self._judge()
            judged += 1
        if judged:
            self._forget()
        return judged

    def _missing(self, count: int, timed: Timed) -> int | None:
        """How many samples are missing before those of a frame; None: too many, or nobody knows."""
        if not self._count:
            return None
        if not timed.begins:
            return 0
        gap_s = (timed.last_ns - self._origin_ns - count * timed.step_ns) / 1e9 - self._last_s
        return round(gap_s / self._step_s) if 0.0 < gap_s < PADDED_S_MAX else None

    def _detect(self, samples_uv: F64) -> None:
        self._count += samples_uv.size
        first, second = (qrs.detect(state, samples_uv) for state in self._detectors)
        self.beats_s = self._with(self.beats_s, first.apex)
        self._prominence = as_f64(np.concatenate([self._prominence, first.prominence]))
        self._others_s = self._with(self._others_s, second.apex)

    def _with(self, before_s: F64, apex: F64) -> F64:
        """Times with those of further complexes, whose places are samples since the stream began."""
        if not apex.size:
            return before_s
        found_s = self._last_s - (self._count - 1 - apex) * self._step_s
        return as_f64(np.maximum.accumulate(np.concatenate([before_s, found_s])))

    def _judge(self) -> None:
        """One more window, by those around it."""
        starts_s = as_f64(self._next_s + WINDOW_S * np.arange(-AROUND, AROUND + 1))
        quality = signal_quality.quality(self.beats_s, self._others_s, starts_s, WINDOW_S)
        good = signal_quality.good(quality, self.beats_s, self._prominence, starts_s, WINDOW_S)
        self.windows.append(Window(self._next_s, bool(good[AROUND])))
        self._next_s += WINDOW_S

    def _forget(self) -> None:
        edge_s = self._last_s - KEEP_S
        old = int(np.searchsorted(self.beats_s, edge_s))
        self.beats_s, self._prominence = self.beats_s[old:].copy(), self._prominence[old:].copy()
        self._others_s = self._others_s[int(np.searchsorted(self._others_s, edge_s)) :].copy()
        self.windows = [window for window in self.windows if window.begin_s >= edge_s]

    def is_clear(self, begin_s: float, end_s: float) -> bool:
        """Whether a stretch of the axis was judged, and can be trusted from its beginning to its end."""
        over = [w.is_clear for w in self.windows if w.begin_s < end_s and w.begin_s + WINDOW_S > begin_s]
        return bool(self.windows) and end_s <= self.judged_s and bool(over) and all(over)

    @property
    def judged_s(self) -> float:
        """Up to which moment windows are judged."""
        return self._next_s

    def rate_bpm(self) -> float | None:
        """Of the last beats that can be trusted; None if they are too few."""
        beats_s = self.beats_s[self.beats_s >= self.judged_s - RATE_OVER_S]
        rr_s = [
            after - before
            for before, after in zip(beats_s[:-1].tolist(), beats_s[1:].tolist(), strict=True)
            if self.is_clear(before, after)
        ]
        return 60.0 * len(rr_s) / sum(rr_s) if len(rr_s) >= RATE_BEATS_MIN else None

    def quality_pct(self) -> float | None:
        """Share of the last windows that can be trusted; None before one was judged."""
        if not self.windows:
            return None
        return 100.0 * sum(window.is_clear for window in self.windows) / len(self.windows)
