"""Episodes: AF, high and low heart rate, pauses - from judged beats, in order of time.

The functions take whole records; an episode that is still open at the end is reported up to the last beat. A gap
ends an episode, unless it is shorter than what is bridged of other beats: lost notifications, or a single value
that is none, do not cut a night of AF to pieces.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64
from dsp.cardiac import af_stream
from dsp.cardiac.intervals import Beat

RATE_S_MIN = 60.0
RATE_BRIDGED_S = 10.0
RATE_BEATS = 15  # of whose intervals the rate is the median: an artefact of seven beats leaves it alone
REST_BPM_RANGE = 20.0  # within a minute, more than this is not rest
PAUSE_MS_MIN = 2000.0

Flags = npt.NDArray[np.bool_]
Span = tuple[int, int]  # first and last beat


class Episode(NamedTuple):
    """One stretch of time."""

    kind: str  # "af", "tachycardia", "bradycardia"
    start_s: float
    end_s: float
    hr_mean_bpm: float
    probability: float  # mean, of AF; NaN for others


class Pause(NamedTuple):
    """One long interval, or a break in the record."""

    end_s: float
    length_ms: float
    may_be_missed_beats: bool  # a whole multiple of the intervals around it
    may_be_lost_data: bool  # longer than any interval: asystole and a lost signal look the same


class Burden(NamedTuple):
    """How much AF there was in the time observed."""

    af_pct: float
    longest_s: float
    episodes: int
    observed_s: float


def af_episodes(t_s: F64, rr_ms: F64, follows: F64, probability: F64, threshold: float) -> list[Episode]:
    """AF of at least 30 s, interruptions shorter than 30 s bridged.

    Args:
        t_s: float64[n], time of each beat, s.
        rr_ms: float64[n], the interval that ends there.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap.
        probability: float64[n], of AF.
        threshold: at and above, a beat is in AF.
    """
    state = af_stream.new_state()
    spans = af_stream.follow(state, t_s, rr_ms, follows, probability, threshold)
    last = af_stream.newest(state)
    return [
        Episode("af", span.start_s, span.end_s, span.hr_mean_bpm, span.probability)
        for span in [*spans, *([last] if last else [])]
    ]


def burden(episodes: list[Episode], t_s: F64, rr_ms: F64) -> Burden:
    """Share of the observed time (that of the intervals, without gaps) in AF episodes, and the longest."""
    spans = [(e.start_s, e.end_s) for e in episodes if e.kind == "af"]
    total_ms = np.concatenate([[0.0], np.cumsum(rr_ms)])
    middle_s = t_s - rr_ms / 2000.0
    af_ms = sum(float(np.diff(total_ms[np.searchsorted(middle_s, span)])[0]) for span in spans)
    share = 100.0 * af_ms / float(total_ms[-1]) if total_ms[-1] > 0.0 else float("nan")
    longest_s = max((end - start for start, end in spans), default=0.0)
    return Burden(share, longest_s, len(spans), float(total_ms[-1]) / 1000.0)


def rate_episodes(
    t_s: F64,
    rr_ms: F64,
    follows: F64,
    corrected_ms: F64,
    low_bpm: float = 50.0,
    high_bpm: float = 100.0,
) -> list[Episode]:
    """Heart rate at rest below or above the limits for at least a minute, from where it became so.

    The rate is the median over 15 beats, of pairs of intervals (so that bigeminy has the rate of its beats) and of
    corrected ones (so that undetected and false beats have none): both must lie beyond the limit. Intervals alone
    do not show rest: it is taken for granted for every minute beyond the limit that stays within 20 beats/min,
    which exercise and waking up do not.

    Args:
        t_s: float64[n], time of each beat, s.
        rr_ms: float64[n], the interval that ends there.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap.
        corrected_ms: float64[n], as `intervals.Judged` has them.
        low_bpm: bradycardia below this.
        high_bpm: tachycardia above this.
    """
    if rr_ms.size < RATE_BEATS:
        return []
    pair_ms = 0.5 * (rr_ms + np.append(rr_ms[1:], rr_ms[-1]))
    # Of an interval that was split, the whole stands at its second part.
    whole_ms = np.where(np.isnan(corrected_ms), np.append(corrected_ms[1:], rr_ms[-1]), corrected_ms)
    rates = _rate_bpm(np.stack([_running_median(pair_ms), _running_median(whole_ms)]))
    slower, faster = rates.min(axis=0), rates.max(axis=0)
    found = []
    for kind, rate, flag in (
        ("bradycardia", faster, faster < low_bpm),
        ("tachycardia", slower, slower > high_bpm),
    ):
        for span in _spans(t_s, rr_ms, follows, flag, RATE_BRIDGED_S):
            for a, b in _at_rest(t_s, rr_ms, rate, span):
                hr_bpm = float(rate[a : b + 1].mean())
                found.append(Episode(kind, _start_s(t_s, rr_ms, a), float(t_s[b]), hr_bpm, float("nan")))
    return sorted(found, key=lambda episode: episode.start_s)


def pauses(t_s: F64, rr_ms: F64, follows: F64, beat: F64, end_s: float) -> list[Pause]:
    """Intervals of at least 2 s, and breaks as long: between two intervals, or before the record's end."""
    found = [
        Pause(float(t_s[k]), float(rr_ms[k]), bool(beat[k] == Beat.MISSED), may_be_lost_data=False)
        for k in np.flatnonzero(rr_ms >= PAUSE_MS_MIN)
    ]
    after = np.flatnonzero(follows[1:] == 0.0) + 1
    breaks = [(float(t_s[k - 1]), _start_s(t_s, rr_ms, k)) for k in after.tolist()]
    breaks += [(float(t_s[-1]), end_s)] if t_s.size else []
    found += [
        Pause(stop_s, 1000.0 * (stop_s - start_s), may_be_missed_beats=False, may_be_lost_data=True)
        for start_s, stop_s in breaks
        if 1000.0 * (stop_s - start_s) >= PAUSE_MS_MIN
    ]
    return sorted(found, key=lambda pause: pause.end_s)


def _rate_bpm(rr_ms: F64 | np.float64) -> F64:
    """Of intervals; NaN for what is not above 0."""
    return np.divide(60000.0, rr_ms, out=np.full(np.shape(rr_ms), np.nan), where=np.greater(rr_ms, 0.0))


def _start_s(t_s: F64, rr_ms: F64, k: int) -> float:
    """An interval's time is the time before its beat."""
    return float(t_s[k] - rr_ms[k] / 1000.0)


def _spans(t_s: F64, rr_ms: F64, follows: F64, flag: Flags, bridged_s: float) -> list[Span]:
    """Runs of flagged beats, joined where less than `bridged_s` lies between them."""
    joins = (follows == 1.0) & np.concatenate([[False], flag[:-1]])
    first = np.flatnonzero(flag & ~joins)
    last = np.flatnonzero(flag & ~np.append(flag[1:] & joins[1:], False))
    between_s = t_s[first[1:]] - rr_ms[first[1:]] / 1000.0 - t_s[last[:-1]]
    apart = between_s >= bridged_s
    return _pairs(first, last, apart)


def _pairs(first: npt.NDArray[np.intp], last: npt.NDArray[np.intp], apart: Flags) -> list[Span]:
    """Runs, those joined that are not apart from the run before."""
    if first.size == 0:
        return []
    begins = first[np.concatenate([[True], apart])]
    ends = last[np.append(apart, True)]
    return list(zip(begins.tolist(), ends.tolist(), strict=True))


def _at_rest(t_s: F64, rr_ms: F64, rate: F64, span: Span) -> list[Span]:
    """The minutes within a span whose rate keeps its range, joined."""
    a, b = span
    since_s = t_s[a : b + 1] - RATE_S_MIN
    since = np.searchsorted(t_s, since_s, side="right")
    whole = since_s >= _start_s(t_s, rr_ms, a)
    ends = [
        a + k for k in np.flatnonzero(whole).tolist() if np.ptp(rate[since[k] : a + k + 1]) <= REST_BPM_RANGE
    ]
    last = np.array(ends, dtype=np.intp)
    apart = t_s[last[1:]] - RATE_S_MIN - t_s[last[:-1]] >= RATE_BRIDGED_S
    return _pairs(since[last - a], last, apart)


def _running_median(x: F64) -> F64:
    """Median of the `RATE_BEATS` values around each; it keeps a step where it is."""
    side = RATE_BEATS // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(x, side, mode="edge"), RATE_BEATS)
    return np.asarray(np.median(around, axis=1))
