"""Which RR intervals are artefacts or premature beats, and what should stand in their place: streaming.

An interval is judged `LAG` beats after it came, against medians of the beats around it, so the reference neither
inflates with frequent ectopy (as a quartile-based threshold does) nor has to be learned again after a change.
Feeding beats one by one, in packets or all at once gives the same result: all state is in one vector, which can
be copied, stored and put back.

What is not NORMAL is left out of variability, and no difference is taken across it.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.compiled import njit

LAG = 10
LEVEL_MAX = 1000.0  # no shift is as large


class Beat(IntEnum):
    """What an interval is."""

    NORMAL = 0
    PREMATURE = 1  # the beat that ends it came early
    PAUSE = 2  # begins with a premature beat, or is long by itself
    MISSED = 3  # holds 2 to 6 beats of which some were not detected
    EXTRA = 4  # part of one interval, split by a beat that was none
    MISPLACED = 5  # one of two neighbours whose common beat was detected too early or too late


class Judged(NamedTuple):
    """Intervals judged by now: as many as were fed, but `LAG` beats later."""

    beat: F64  # float64[m], values of `Beat`
    corrected_ms: F64  # float64[m]; what should stand there; NaN for the first part of a split interval
    rr_ms: F64  # float64[m], as fed
    follows: F64  # float64[m], as fed


def new_state() -> F64:
    """State before the first beat.

    Class and value due for the next interval, class of the last, usual shift, then the last 2 LAG + 1 beats.
    """
    state = np.full(4 + 2 * (2 * LAG + 1), np.nan)
    state[0] = -1.0
    return state


def judge(state: F64, rr_ms: F64, follows: F64) -> Judged:
    """Feed intervals, get those that have become old enough to be judged.

    Args:
        state: of `new_state`, changed in place; copy it to save it.
        rr_ms: float64[n], ms, oldest first; 0 <= n.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap.
    """
    return Judged(*judge_beats(state, rr_ms, follows))


def finish(state: F64) -> Judged:
    """The last `LAG` intervals, judged with what there is; the state is spent."""
    return Judged(*judge_beats(state, np.full(LAG, np.nan), np.zeros(LAG)))


def judge_all(rr_ms: F64, follows: F64) -> Judged:
    """A whole record at once, same result."""
    state = new_state()
    parts = zip(judge(state, rr_ms, follows), finish(state), strict=True)
    return Judged(*[as_f64(np.concatenate(pair)) for pair in parts])


def normal(judged: Judged, t_s: F64) -> tuple[F64, F64, F64]:
    """Normal beats only, as `dsp.cardiac.variability` takes them.

    Args:
        judged: the intervals.
        t_s: float64[n], time of the beat that ends each, s.

    Returns:
        Time, NN interval in ms, and whether it follows the NN interval before it directly.
    """
    is_normal = judged.beat == Beat.NORMAL
    after_normal = np.concatenate([[False], is_normal[:-1]])
    follows = as_f64((judged.follows == 1.0) & after_normal)
    return as_f64(t_s[is_normal]), as_f64(judged.rr_ms[is_normal]), as_f64(follows[is_normal])


@njit
def judge_beats(state: F64, rr_ms: F64, follows: F64) -> tuple[F64, F64, F64, F64]:
    """Kernel of `judge`; a NaN interval stands for the end of the record."""
    size = (state.size - 4) // 2
    middle = size // 2
    window = state[4 : 4 + size]
    linked = state[4 + size :]
    beat = np.empty(rr_ms.size)
    corrected = np.empty(rr_ms.size)
    judged_rr = np.empty(rr_ms.size)
    judged_follows = np.empty(rr_ms.size)
    order = np.empty(size)
    done = 0
    for n in range(rr_ms.size):
        for k in range(size - 1):
            window[k] = window[k + 1]
            linked[k] = linked[k + 1]
        window[size - 1] = rr_ms[n]
        linked[size - 1] = follows[n]
        if np.isnan(window[middle]):
            continue
        state[3] = _usual_level(state[3], window, order)
        if state[0] >= 0.0:
            beat[done] = state[0]
            corrected[done] = state[1]
            state[0] = -1.0
        else:
            beat[done], corrected[done], state[0], state[1] = _verdict(
                window, linked, _shift_at(state[3]), order
            )
            if beat[done] == 0.0 and state[2] == 1.0 and linked[middle] == 1.0:
                beat[done] = 2.0
        state[2] = beat[done]
        judged_rr[done] = window[middle]
        judged_follows[done] = linked[middle]
        done += 1
    return beat[:done], corrected[:done], judged_rr[:done], judged_follows[:done]


@njit
def _verdict(window: F64, linked: F64, usual_shift: float, order: F64) -> tuple[float, float, float, float]:
    """Class and value of the middle interval, and of the next if that is settled with it (else -1)."""
    c = window.size // 2
    x = window[c]
    ref = _median(window, c - 5, c + 5, order)
    step = _usual_step(window, linked, order)
    tolerance = min(max(5.0 * step, 0.05 * ref), 0.15 * ref)
    has_next = not np.isnan(window[c + 1]) and linked[c + 1] == 1.0
    after = window[c + 1] if has_next else np.nan
    both = x + after
    is_premature = _is_premature(window, ref, order)
    if not is_premature and has_next and _is_misplaced(window, ref, usual_shift):
        return 5.0, 0.5 * both, 5.0, 0.5 * both
    if has_next and _is_split(window, ref, tolerance):
        return 4.0, np.nan, 4.0, both
    # Amid a swing of the heart rate an interval is far from the median, but close to one of its neighbours.
    nearer = min(abs(x - window[c - 1]), abs(x - window[c + 1]))
    is_gradual = nearer <= 0.7 * tolerance and abs(x - ref) <= 0.25 * ref
    if (abs(x - ref) <= tolerance or is_gradual) and not is_premature:
        return 0.0, x, -1.0, np.nan
    if x < ref or is_premature:
        if is_premature:
            if has_next and after > ref + tolerance and after < 1.75 * ref:
                return 1.0, ref, 2.0, ref
            return 1.0, ref, -1.0, np.nan
        return 5.0, ref, -1.0, np.nan
    parts = np.floor(x / ref + 0.5) if ref > 0.0 else np.nan
    if 2.0 <= parts <= 6.0 and abs(x / parts - ref) <= 0.15 * ref:
        return 3.0, x / parts, -1.0, np.nan
    if x > 1.25 * ref:
        return 2.0, ref, -1.0, np.nan
    return 5.0, ref, -1.0, np.nan


@njit
def _is_split(window: F64, ref: float, tolerance: float) -> bool:
    """Whether the middle interval and the next are one, with something in it taken for a beat.

    No two beats come within a quarter of the usual interval. A couplet of premature beats ends in a pause, or
    its second comes sooner than its first; a split interval does not: what is taken for a beat in it is mostly
    the T wave, in its first half.
    """
    c = window.size // 2
    x, after = window[c], window[c + 1]
    if abs(x + after - ref) > min(tolerance, 0.1 * ref):
        return False
    if min(x, after) < 0.25 * ref:
        return True
    is_couplet = window[c + 2] > ref + tolerance or 0.38 * ref < after < x
    return bool(max(x, after) < 0.85 * ref and not is_couplet)


@njit
def _is_misplaced(window: F64, ref: float, usual_shift: float) -> bool:
    """Whether moving the beat between the middle interval and the next would make the steps around it usual.

    A beat moved by s lengthens one interval and shortens the other: the three steps change by s, -2 s and s.
    That pattern must explain nearly all of them (of a single odd interval it explains 3/4), the shift that fits
    must be the largest around and far more than breathing gives, and the two must take the time of two.
    """
    c = window.size // 2
    shift = abs(_shift(window, c))
    if not shift >= max(0.02 * ref, 5.5 * usual_shift):
        return False
    if abs(window[c] + window[c + 1] - 2.0 * ref) > shift + 0.1 * ref:
        return False
    is_late = 1.1 * ref <= window[c] <= 1.45 * ref
    if window[c + 1] < 0.85 * ref and (not is_late or window[c + 2] > 1.08 * ref):
        return False  # a premature beat: after a usual interval or a pause, or with one behind it
    if shift < abs(_shift(window, c - 1)) or shift < abs(_shift(window, c + 1)):
        return False
    steps = 0.0
    for k in range(c, c + 3):
        steps += (window[k] - window[k - 1]) ** 2
    return bool(6.0 * shift * shift >= 0.8 * steps)


@njit
def _shift(window: F64, k: int) -> float:
    """Least-squares shift of the beat between intervals k and k + 1; NaN where a neighbour lacks."""
    return float(window[k - 1] - 3.0 * window[k] + 3.0 * window[k + 1] - window[k + 2]) / 6.0


@njit
def _usual_level(level: float, window: F64, order: F64) -> float:
    """Running median of the shifts that fit, followed by small steps so that outliers have no weight.

    It is a number of steps of 2.5 % from 0.1 ms. Where two records are the same from some beat on, it soon is so, too,
    to the last bit: a judgement depends on the last few hundred beats only.
    """
    if np.isnan(level):
        count = 0
        for k in range(1, window.size - 2):
            shift = abs(_shift(window, k))
            if not np.isnan(shift):
                count = _insert(order, count, shift)
        steps = np.floor(np.log(10.0 * order[count // 2]) / np.log(1.025) + 0.5) if count > 4 else np.nan
        return float(min(max(steps, 0.0), LEVEL_MAX)) if count > 4 else np.nan
    newest = abs(_shift(window, window.size - 3))
    usual = _shift_at(level)
    if newest > 1.0125 * usual:
        return min(level + 1.0, LEVEL_MAX)
    if 1.0125 * newest < usual:
        return max(level - 1.0, 0.0)
    return level


@njit
def _shift_at(level: float) -> float:
    return float(0.1 * 1.025**level)


@njit
def _is_premature(window: F64, ref: float, order: F64) -> bool:
    """Early against the beats around it, near and far, and no step of a steady rise in rate.

    The constants were set on half of the MIT-BIH Arrhythmia Database. In bigeminy the median around an early
    beat falls on the late ones: an odd window centred on it holds one more of them.
    """
    c = window.size // 2
    x = window[c]
    last_2 = 0.0
    last_3 = 0.0
    for k in range(1, 4):
        if not np.isnan(window[c - k]):
            last_3 = max(last_3, window[c - k])
            if k < 3:
                last_2 = last_3
    if last_3 > 0.0 and x >= 0.92 * last_3:
        return False
    if x < 0.75 * ref:
        return True
    # Breathing shortens intervals as much, but gradually: an early beat stands out against both sides.
    after = 0.0
    for k in range(1, 3):
        if not np.isnan(window[c + k]):
            after = max(after, window[c + k])
    if 1.4 * x * x > window[c - 1] * after:
        return False
    if x < 0.85 * ref or x < 0.85 * _median(window, c - 4, c + 4, order):
        return True
    return bool(x < 0.84 * last_2 and x < 0.85 * _median(window, 0, window.size - 1, order))


@njit
def _usual_step(window: F64, linked: F64, order: F64) -> float:
    """Median absolute difference of neighbours, ms; infinite with too few to say."""
    count = 0
    for k in range(1, window.size):
        if linked[k] == 1.0 and not np.isnan(window[k]) and not np.isnan(window[k - 1]):
            count = _insert(order, count, abs(window[k] - window[k - 1]))
    return order[count // 2] if count > 4 else np.inf


@njit
def _median(window: F64, first: int, last: int, order: F64) -> float:
    """Median of the beats that exist; the upper one of an even number."""
    count = 0
    for k in range(first, last + 1):
        if not np.isnan(window[k]):
            count = _insert(order, count, window[k])
    return float(order[count // 2])


@njit
def _insert(order: F64, count: int, value: float) -> int:
    k = count
    while k > 0 and order[k - 1] > value:
        order[k] = order[k - 1]
        k -= 1
    order[k] = value
    return count + 1
