"""How likely each beat lies in atrial fibrillation, from RR intervals alone: streaming, in two tiers.

Each beat gets some numbers that tell how irregular it is among those before it: how far it lies from them, and how
often the last one, two and three intervals have come before (`statistics`). In AF intervals neither follow from the
one before nor repeat; ectopy, however frequent, repeats itself, and leaves a regular rhythm when taken out. Means of
these numbers over windows of beats, weighed by a logistic regression, are the probability. The sure tier looks at both
sides, `SURE_LAG` beats later. The fast tier looks at the past, by two regressions, of which the more alarmed one
counts: one over long windows, and one over short ones alone, which sees an onset sooner but needs more to be convinced
(`ONSET_MARGIN`).

Intervals are taken as received; merged, split, lost and premature ones were part of the training, on half of three
public databases (the card is in `rhythm_weights`). Flutter and junctional rhythm count as non-AF. All state is in
one vector, which can be copied, stored and put back; beats may come one by one or all at once.

Sources: recurrence of words of intervals as in recurrence analysis (Eckmann et al. 1987; Webber & Zbilut 1994);
medians of three compared over a short span, against ectopy (after Petrenas et al. 2015).
"""

import base64
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, F64x2, as_f64
from dsp.cardiac import rhythm_weights
from dsp.compiled import njit

I64: TypeAlias = npt.NDArray[np.int64]

COMPARED = 64  # beats before, among which an interval and the words it ends are sought
LATELY = 16  # of these, the ones among which words of one and two intervals have their nearest
KEPT = COMPARED + 3
AROUND = 9  # last intervals, which tell what is usual
EARLY = 0.16  # difference of logarithms by which a premature beat comes before most of these
USUAL = 9  # intervals kept that are neither premature nor pauses after premature ones
SPREAD = 7  # medians before, kept to compare a median of three with
# Where differences of logarithms (about: relative differences) saturate. Scales, not one threshold: their means over
# a window say how the differences are distributed.
STEP = np.array([0.02, 0.04, 0.08, 0.16, 0.32])  # from interval to interval
USUAL_STEP = np.array([0.2])  # between usual intervals
USUAL_SPREAD = np.array([0.15])  # of the last one from those before, on average
MEDIAN_STEP = np.array([0.02, 0.04, 0.08, 0.16])  # between medians of three, which single ectopy leaves alone
MEDIAN_SPREAD = np.array([0.04, 0.1])
NEAREST = (np.array([0.01, 0.03]), np.array([0.02, 0.05, 0.1]), np.array([0.05, 0.1]))  # by length of word
PAIR = np.array([0.04, 0.1])  # sums of two intervals: bigeminy keeps them
# Words are the same within: logarithm, logarithm, beats/min.
TOLERANCE = (0.04, 0.08, 4.0)
SCALES = (STEP, USUAL_STEP, USUAL_SPREAD, MEDIAN_STEP, MEDIAN_SPREAD, *NEAREST, PAIR)
STATISTICS = sum(widths.size for widths in SCALES) + 3 * len(TOLERANCE)
LOG_SHARE = np.log(np.arange(1, COMPARED + 2) / (COMPARED + 1))

# Windows: beats before and after the beat in question, itself included besides.
ONSET_WINDOWS = ((7, 0), (15, 0), (31, 0))
FAST_WINDOWS = (*ONSET_WINDOWS, (63, 0), (127, 0), (255, 0), (383, 0))
SURE_WINDOWS = (
    *((15, 0), (0, 15), (31, 0), (0, 31), (63, 0), (0, 63)),
    *((8, 8), (24, 24), (63, 63), (191, 63), (383, 63)),
)
SURE_LAG = 63
ONSET_MARGIN = 1.0  # of the logit
ONSET_REACH = np.array(ONSET_WINDOWS)
FAST_REACH = np.array(FAST_WINDOWS)
SURE_REACH = np.array(SURE_WINDOWS)
RING = 448  # beats whose running sums are kept: the longest window, ended `SURE_LAG` beats ago
MEMORY = 1 + 2 * KEPT + SPREAD + 1 + USUAL  # numbers of the state that `statistics` keeps


class Tiers(NamedTuple):
    """Probabilities that became known: of the beats just fed, and of beats `SURE_LAG` before them."""

    fast: F64
    sure: F64


class Weights(NamedTuple):
    """Of each regression: one weight for each statistic in each window, then the intercept."""

    onset: F64
    fast: F64
    sure: F64


def new_state() -> F64:
    """State before the first beat."""
    return np.zeros(MEMORY + 2 + RING * STATISTICS)


def screen(state: F64, rr_ms: F64) -> Tiers:
    """Feed intervals, get the probabilities of AF that are settled by now.

    Args:
        state: of `new_state`, changed in place; copy it to save it.
        rr_ms: float64[n], ms, as received, oldest first; gaps are simply left out.

    Returns:
        fast: float64[n], one for each interval fed. sure: float64[m], continuing where the call before left off.
        A beat counts as AF at and above `rhythm_weights.FAST_THRESHOLD` at once, and `SURE_THRESHOLD` of the sure
        tier; `ONSET_THRESHOLD` of the fast tier raises a first alarm sooner, and more often for nothing.
    """
    return Tiers(*judge(*weights(), state[MEMORY:], statistics(state[:MEMORY], rr_ms), 0.0))


def finish(state: F64) -> F64:
    """Sure probabilities of the last beats, judged with what there is; the state is spent."""
    return judge(*weights(), state[MEMORY:], np.zeros((0, STATISTICS)), 1.0)[1]


def screen_all(rr_ms: F64, w: Weights | None = None) -> Tiers:
    """A whole record at once, same result; with other weights than those shipped, if given."""
    state = new_state()
    return Tiers(*judge(*(w or weights()), state[MEMORY:], statistics(state[:MEMORY], rr_ms), 1.0))


@cache
def weights() -> Weights:
    """The trained weights."""
    every = np.frombuffer(base64.b85decode(rhythm_weights.FLOAT32), np.dtype("<f4"))
    onset = len(ONSET_WINDOWS) * STATISTICS + 1
    fast = onset + len(FAST_WINDOWS) * STATISTICS + 1
    return Weights(as_f64(every[:onset]), as_f64(every[onset:fast]), as_f64(every[fast:]))


@njit
def statistics(memory: F64, rr_ms: F64) -> F64x2:
    """Kernel: `STATISTICS` numbers of each beat; before the first one, all intervals count as equal to it.

    `memory` is the first part of the state: whether there was a beat, then the last intervals, as logarithms and as
    rates, medians of three, and usual intervals, newest last.
    """
    level, rate = memory[1 : 1 + KEPT], memory[1 + KEPT : 1 + 2 * KEPT]
    median, usual = memory[1 + 2 * KEPT : MEMORY - USUAL], memory[MEMORY - USUAL :]
    found = np.empty((rr_ms.size, STATISTICS))
    for k in range(rr_ms.size):
        rr = min(rr_ms[k], 2500.0) if rr_ms[k] > 200.0 else 200.0
        if memory[0] == 0.0:
            memory[0] = 1.0
            level[:], rate[:], median[:] = np.log(rr), 60000.0 / rr, np.log(rr)
            usual[:] = np.log(rr)
        _append(level, np.log(rr))
        _append(rate, 60000.0 / rr)
        a, b, c = level[KEPT - 3], level[KEPT - 2], level[KEPT - 1]
        _append(median, max(min(a, b), min(max(a, b), c)))
        if not _is_ectopic(level):
            _append(usual, c)
        _describe(level, rate, median, usual, found[k])
    return found


@njit
def judge(
    onset_w: F64, fast_w: F64, sure_w: F64, state: F64, beats: F64x2, finishing: float
) -> tuple[F64, F64]:
    """Kernel: both tiers, from the statistics of further beats; with `finishing` 1.0 to the last beat.

    `state` is the rest of the state: beats so far, beats judged by the sure tier, and running sums.
    """
    count, judged = int(state[0]), int(state[1])
    sums = state[2:]  # a row of `STATISTICS` after the other
    fast = np.empty(len(beats))
    sure = np.empty(len(beats) + SURE_LAG)
    done = 0
    for k in range(len(beats)):
        before, now = _row(sums, count), _row(sums, count + 1)
        for i in range(STATISTICS):
            now[i] = before[i] + beats[k, i]
        count += 1
        onset = _logit(onset_w, ONSET_REACH, sums, count - 1, count) - ONSET_MARGIN
        fast[k] = _probability(max(_logit(fast_w, FAST_REACH, sums, count - 1, count), onset))
        if count > SURE_LAG:
            sure[done] = _probability(_logit(sure_w, SURE_REACH, sums, judged, count))
            done += 1
            judged += 1
    while finishing == 1.0 and judged < count:
        sure[done] = _probability(_logit(sure_w, SURE_REACH, sums, judged, count))
        done += 1
        judged += 1
    state[0], state[1] = count, judged
    return fast, sure[:done].copy()


@njit
def _append(last: F64, value: float) -> None:
    for i in range(last.size - 1):
        last[i] = last[i + 1]
    last[last.size - 1] = value


@njit
def _is_ectopic(level: F64) -> bool:
    """Premature, or the pause after a premature beat; premature: before the median of those around."""
    now, before = level[KEPT - 1] + EARLY, level[KEPT - 2] + EARLY
    later_than_now = later_than_before = 0
    for k in range(KEPT - AROUND, KEPT):
        later_than_now += level[k] > now
        later_than_before += level[k] > before
    most = AROUND // 2
    return later_than_now > most or (later_than_before > most and level[KEPT - 1] > before)


@njit
def _describe(level: F64, rate: F64, median: F64, usual: F64, row: F64) -> None:
    at = _ramps(abs(level[KEPT - 1] - level[KEPT - 2]), STEP, row, 0)
    at = _ramps(abs(usual[USUAL - 1] - usual[USUAL - 2]), USUAL_STEP, row, at)
    total = 0.0
    for i in range(USUAL - 1):
        total += abs(usual[USUAL - 1] - usual[i])
    at = _ramps(total / (USUAL - 1), USUAL_SPREAD, row, at)
    at = _ramps(abs(median[SPREAD] - median[SPREAD - 1]), MEDIAN_STEP, row, at)
    row[at : at + MEDIAN_SPREAD.size] = 0.0
    for i in range(SPREAD - 1):
        for j in range(MEDIAN_SPREAD.size):
            row[at + j] += min(abs(median[SPREAD] - median[i]) / MEDIAN_SPREAD[j], 1.0) / (SPREAD - 1)
    at += MEDIAN_SPREAD.size
    one, two, three = _nearest(level)
    at = _ramps(one, NEAREST[0], row, at)
    at = _ramps(two, NEAREST[1], row, at)
    at = _ramps(three, NEAREST[2], row, at)
    pair = level[KEPT - 1] + level[KEPT - 2] - level[KEPT - 3] - level[KEPT - 4]
    at = _ramps(abs(pair), PAIR, row, at)
    at = _recurrence(level, TOLERANCE[0], row, at)
    at = _recurrence(level, TOLERANCE[1], row, at)
    at = _recurrence(rate, TOLERANCE[2], row, at)


@njit
def _ramps(distance: float, widths: F64, row: F64, at: int) -> int:
    for i in range(widths.size):
        row[at + i] = min(distance / widths[i], 1.0)
    return at + int(widths.size)


@njit
def _nearest(x: F64) -> tuple[float, float, float]:
    """Distance (maximum norm) to the nearest earlier word, of one, two and three intervals."""
    one = two = three = 9.0
    for k in range(1, COMPARED + 1):
        a = abs(x[KEPT - 1] - x[KEPT - 1 - k])
        b = max(a, abs(x[KEPT - 2] - x[KEPT - 2 - k]))
        if k <= LATELY:
            one, two = min(one, a), min(two, b)
        three = min(three, max(b, abs(x[KEPT - 3] - x[KEPT - 3 - k])))
    return one, two, three


@njit
def _recurrence(x: F64, tolerance: float, row: F64, at: int) -> int:
    """Logarithm of the share of earlier words that are the same, of one, two and three intervals."""
    one = two = three = 0
    for k in range(1, COMPARED + 1):
        a = abs(x[KEPT - 1] - x[KEPT - 1 - k]) < tolerance
        b = a & (abs(x[KEPT - 2] - x[KEPT - 2 - k]) < tolerance)
        one += a
        two += b
        three += b & (abs(x[KEPT - 3] - x[KEPT - 3 - k]) < tolerance)
    row[at], row[at + 1], row[at + 2] = LOG_SHARE[one], LOG_SHARE[two], LOG_SHARE[three]
    return at + 3


@njit
def _row(sums: F64, count: int) -> F64:
    """Sums over the first `count` beats."""
    at = count % RING * STATISTICS
    return sums[at : at + STATISTICS]


@njit
def _logit(w: F64, windows: I64, sums: F64, beat: int, count: int) -> float:
    """Of one beat, from the means over its windows, as far as there are beats."""
    logit = w[w.size - 1]
    for k in range(len(windows)):
        lo, hi = max(beat - windows[k, 0], 0), min(beat + windows[k, 1] + 1, count)
        upper, lower = _row(sums, hi), _row(sums, lo)
        total = 0.0
        for i in range(STATISTICS):
            total += w[k * STATISTICS + i] * (upper[i] - lower[i])
        logit += total / (hi - lo)
    return float(logit)


@njit
def _probability(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-min(max(logit, -30.0), 30.0))))
