"""Episodes: AF, high and low heart rate, pauses - from judged beats, in order of time.

The functions take whole records; an episode that is still open at the end is reported up to the last beat.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64
from dsp.cardiac.intervals import Beat

AF_S_MIN = 30.0
AF_BRIDGED_S = 30.0  # sinus rhythm between two episodes that makes them one
RATE_S_MIN = 60.0
REST_BPM_RANGE = 20.0  # within a minute, more than this is not rest
PAUSE_MS_MIN = 2000.0

Flags = npt.NDArray[np.bool_]


class Episode(NamedTuple):
    """One stretch of time."""

    kind: str  # "af", "tachycardia", "bradycardia"
    start_s: float
    end_s: float
    hr_mean_bpm: float
    probability: float  # mean, of AF; NaN for others


class Pause(NamedTuple):
    """One long interval."""

    end_s: float
    length_ms: float
    may_be_missed_beats: bool  # a whole multiple of the intervals around it


class Burden(NamedTuple):
    """How much AF there was in the time observed."""

    af_pct: float
    longest_s: float
    episodes: int
    observed_s: float


def af_episodes(t_s: F64, rr_ms: F64, probability: F64, threshold: float) -> list[Episode]:
    """AF of at least 30 s, interruptions shorter than 30 s bridged.

    Args:
        t_s: float64[n], time of each beat, s.
        rr_ms: float64[n], the interval that ends there.
        probability: float64[n], of AF.
        threshold: at and above, a beat is in AF.
    """
    spans = _joined(_stretches(t_s, rr_ms, probability >= threshold), AF_BRIDGED_S)
    return [_episode("af", t_s, rr_ms, probability, a, b) for a, b in spans if b - a >= AF_S_MIN]


def burden(episodes: list[Episode], rr_ms: F64) -> Burden:
    """Share of the observed time in AF episodes, and the longest."""
    lengths = [e.end_s - e.start_s for e in episodes if e.kind == "af"]
    observed_s = float(rr_ms.sum()) / 1000.0
    share = 100.0 * min(sum(lengths) / observed_s, 1.0) if observed_s > 0.0 else float("nan")
    return Burden(share, max(lengths, default=0.0), len(lengths), observed_s)


def rate_episodes(t_s: F64, rr_ms: F64, low_bpm: float = 50.0, high_bpm: float = 100.0) -> list[Episode]:
    """Heart rate at rest below or above the limits for at least a minute.

    The rate is the mean over 8 intervals. Intervals alone do not show rest: it is taken for granted while the
    rate of the last minute stays within 20 beats/min, which exercise and waking up do not.
    """
    if rr_ms.size < 8:
        return []
    rate = 60000.0 / _mean_of_last(rr_ms, 8)
    steady = _range_of_last(t_s, rate, 60.0) <= REST_BPM_RANGE
    found = []
    for kind, flag in (("bradycardia", rate < low_bpm), ("tachycardia", rate > high_bpm)):
        spans = _joined(_stretches(t_s, rr_ms, flag & steady), 10.0)
        nothing = np.full(rr_ms.size, np.nan)
        found += [_episode(kind, t_s, rr_ms, nothing, a, b) for a, b in spans if b - a >= RATE_S_MIN]
    return sorted(found, key=lambda episode: episode.start_s)


def pauses(t_s: F64, rr_ms: F64, beat: F64, shortest_ms: float = PAUSE_MS_MIN) -> list[Pause]:
    """Intervals of at least `shortest_ms`; gaps are no intervals."""
    long = np.flatnonzero(rr_ms >= shortest_ms)
    return [Pause(float(t_s[k]), float(rr_ms[k]), bool(beat[k] == Beat.MISSED)) for k in long]


def _stretches(t_s: F64, rr_ms: F64, flag: Flags) -> list[tuple[float, float]]:
    """Start and end of each run of flagged beats; an interval's time is the time before its beat."""
    edges = np.diff(flag.astype(np.int8), prepend=0, append=0)
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    starts = t_s[first] - rr_ms[first] / 1000.0
    return list(zip(starts.tolist(), t_s[last].tolist(), strict=True))


def _joined(spans: list[tuple[float, float]], bridged_s: float) -> list[tuple[float, float]]:
    whole: list[tuple[float, float]] = []
    for start, end in spans:
        if whole and start - whole[-1][1] < bridged_s:
            whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return whole


def _episode(kind: str, t_s: F64, rr_ms: F64, probability: F64, start_s: float, end_s: float) -> Episode:
    inside = (t_s > start_s) & (t_s <= end_s)
    hr_bpm = 60000.0 / float(rr_ms[inside].mean())
    return Episode(kind, start_s, end_s, hr_bpm, float(probability[inside].mean()))


def _mean_of_last(x: F64, count: int) -> F64:
    """Running mean; the first ones over what there is."""
    total = np.concatenate([[0.0], np.cumsum(x)])
    at = np.arange(1, x.size + 1)
    since = np.maximum(at - count, 0)
    return np.asarray((total[at] - total[since]) / (at - since))


def _range_of_last(t_s: F64, x: F64, span_s: float) -> F64:
    """Highest minus lowest value within the last `span_s`."""
    since = np.searchsorted(t_s, t_s - span_s)
    return np.array([np.ptp(x[a : k + 1]) for k, a in enumerate(since)])
