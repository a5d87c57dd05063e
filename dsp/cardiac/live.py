"""Everything that is known of a stream of beats, as it comes: classes, both AF tiers, AF episodes, pauses.

The same as `intervals`, `rhythm` and `episodes` say of the whole record, to the last bit, however the stream is cut,
saved and restored; each only as late as it must be. Nothing is decided here that those do not decide.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2, as_f64
from dsp.cardiac import af_stream, intervals, rhythm
from dsp.cardiac.af_stream import AfSpan
from dsp.cardiac.episodes import Pause, pauses
from dsp.cardiac.rhythm_weights import SURE_THRESHOLD


class State(NamedTuple):
    """Where the stream stands: vectors of the parts, and the last beats; rows are time, interval, follows."""

    intervals: F64
    rhythm: F64
    af: F64
    late: F64x2


class Found(NamedTuple):
    """What has become known: of the beats just fed, of beats `intervals.LAG` before, of beats `SURE_LAG` before.

    `judged_s` and `sure_s` are the times of the beats that `judged` and `sure` are about.
    """

    fast: F64
    judged: intervals.Judged
    judged_s: F64
    sure: F64
    sure_s: F64
    sure_ms: F64
    ended: list[AfSpan]
    pauses: list[Pause]


def new_state() -> State:
    """State before the first beat."""
    return State(intervals.new_state(), rhythm.new_state(), af_stream.new_state(), np.zeros((3, 0)))


def feed(state: State, t_s: F64, rr_ms: F64, follows: F64) -> tuple[State, Found]:
    """Feed beats, get what they settle.

    Args:
        state: its vectors are changed in place; copy them to save it.
        t_s: float64[n], time of each beat, s, never falling.
        rr_ms: float64[n], the interval that ends there, above 0.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap.

    Returns:
        The state to go on with, and what has become known.
    """
    known = np.concatenate([state.late, np.stack([t_s, rr_ms, follows])], axis=1)
    size = known.shape[1]
    judged = intervals.judge(state.intervals, rr_ms, follows)
    tiers = rhythm.screen(state.rhythm, rr_ms)
    end = max(size - intervals.LAG, 0)
    begin = end - judged.beat.size
    sure_s, sure_ms, sure_follows = (as_f64(row) for row in known[:, : tiers.sure.size])
    ended = af_stream.follow(state.af, sure_s, sure_ms, sure_follows, tiers.sure, SURE_THRESHOLD)
    found = Found(
        tiers.fast,
        judged,
        as_f64(known[0, begin:end]),
        tiers.sure,
        sure_s,
        sure_ms,
        ended,
        _pauses(known[:, max(begin - 1, 0) : end], judged, is_first=begin == 0),
    )
    return State(*state[:3], np.ascontiguousarray(known[:, tiers.sure.size :])), found


def _pauses(known: F64x2, judged: intervals.Judged, *, is_first: bool) -> list[Pause]:
    """Those that end with the judged beats; without the first of all, the beat before them is known, too."""
    if judged.beat.size == 0:
        return []
    t_s, rr_ms, follows = (as_f64(row.copy()) for row in known)
    beat = judged.beat
    if not is_first:
        rr_ms[0] = 0.0  # told already
        beat = as_f64(np.concatenate([[0.0], beat]))
    return pauses(t_s, rr_ms, follows, beat, float(t_s[-1]))
