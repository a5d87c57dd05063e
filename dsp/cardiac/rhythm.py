"""How likely each beat lies in atrial fibrillation, from RR intervals alone: streaming, in two tiers.

A small network sees each interval and its changes against the seven before, turns them into 16 numbers, and
judges their means over windows of beats: the fast tier over the past, the sure tier over both sides, `SURE_LAG`
beats later. Intervals are taken as received; merged, split, lost and premature ones were part of the training, on
half of three public databases (the card is in `rhythm_weights`). Flutter and junctional rhythm count as non-AF.

All state is in one vector, which can be copied, stored and put back; beats may come one by one or all at once.
"""

import base64
from functools import cache
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from dsp.arrays import F64, as_f64
from dsp.cardiac import rhythm_weights

I64: TypeAlias = npt.NDArray[np.int64]

LAGS = 7  # intervals before that each is compared with
HIDDEN, WIDTH = 20, 16  # numbers per beat: inside, and kept
TIER_1, TIER_2 = 16, 8  # neurons of a tier's two layers
# Windows: beats before and after the beat in question, itself included besides.
FAST_WINDOWS = ((5, 0), (11, 0), (23, 0), (47, 0), (95, 0), (191, 0))
SURE_WINDOWS = ((11, 0), (0, 11), (31, 0), (0, 31), (63, 0), (0, 63), (8, 8), (24, 24), (63, 63), (191, 63))
SURE_LAG = 63
FAST_REACH = np.array(FAST_WINDOWS)
SURE_REACH = np.array(SURE_WINDOWS)
RING = 512  # beats whose running sums are kept
SHAPES = {
    "beat1_w": (LAGS + 1, HIDDEN),
    "beat1_b": (HIDDEN,),
    "beat2_w": (HIDDEN, WIDTH),
    "beat2_b": (WIDTH,),
    "fast1_w": (WIDTH * len(FAST_WINDOWS), TIER_1),
    "fast1_b": (TIER_1,),
    "fast2_w": (TIER_1, TIER_2),
    "fast2_b": (TIER_2,),
    "fast3_w": (TIER_2, 1),
    "fast3_b": (1,),
    "sure1_w": (WIDTH * len(SURE_WINDOWS), TIER_1),
    "sure1_b": (TIER_1,),
    "sure2_w": (TIER_1, TIER_2),
    "sure2_b": (TIER_2,),
    "sure3_w": (TIER_2, 1),
    "sure3_b": (1,),
}


class Tiers(NamedTuple):
    """Probabilities that became known: of the beats just fed, and of beats `SURE_LAG` before them."""

    fast: F64
    sure: F64


def new_state() -> F64:
    """State before the first beat."""
    return np.zeros(2 + LAGS + 1 + RING * WIDTH)


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
    return Tiers(*screen_beats(weights(), state, rr_ms, 0.0))


def finish(state: F64) -> F64:
    """Sure probabilities of the last beats, judged with what there is; the state is spent."""
    return screen_beats(weights(), state, np.zeros(0), 1.0)[1]


def screen_all(rr_ms: F64) -> Tiers:
    """A whole record at once, same result."""
    state = new_state()
    fast, sure = screen(state, rr_ms)
    return Tiers(fast, as_f64(np.concatenate([sure, finish(state)])))


@cache
def weights() -> F64:
    """The trained weights, in the order of `SHAPES`."""
    return as_f64(np.frombuffer(base64.b85decode(rhythm_weights.FLOAT16), np.dtype("<f2")))


@njit(cache=True)
def screen_beats(w: F64, state: F64, rr_ms: F64, finishing: float) -> tuple[F64, F64]:
    """Kernel of `screen`; with `finishing` 1.0, of `finish`."""
    count, judged = int(state[0]), int(state[1])
    levels = state[2 : 3 + LAGS]
    sums = state[3 + LAGS :].reshape(RING, WIDTH)
    fast = np.empty(rr_ms.size)
    sure = np.empty(rr_ms.size + SURE_LAG)
    done = 0
    beat_end = (LAGS + 1) * HIDDEN + HIDDEN + HIDDEN * WIDTH + WIDTH
    fast_end = beat_end + (WIDTH * 6 + 1) * TIER_1 + (TIER_1 + 1) * TIER_2 + TIER_2 + 1
    for k in range(rr_ms.size):
        level = np.log(min(max(rr_ms[k], 200.0), 2500.0) / 800.0)
        for i in range(LAGS):
            levels[i] = levels[i + 1]
        levels[LAGS] = level
        _add_beat(w, levels, sums, count)
        count += 1
        fast[k] = _tier(w[beat_end:fast_end], FAST_REACH, sums, count - 1, count)
        if count > SURE_LAG:
            sure[done] = _tier(w[fast_end:], SURE_REACH, sums, judged, count)
            done += 1
            judged += 1
    while finishing == 1.0 and judged < count:
        sure[done] = _tier(w[fast_end:], SURE_REACH, sums, judged, count)
        done += 1
        judged += 1
    state[0], state[1] = count, judged
    return fast, sure[:done].copy()


@njit(cache=True)
def _add_beat(w: F64, levels: F64, sums: F64, count: int) -> None:
    """Numbers of the newest beat, added to the running sums; levels before the first beat count as no change."""
    hidden = np.empty(HIDDEN)
    bias = (LAGS + 1) * HIDDEN
    for j in range(HIDDEN):
        hidden[j] = w[bias + j] + levels[LAGS] * w[j]
    for i in range(1, LAGS + 1):
        if count >= i:
            change = min(max(levels[LAGS] - levels[LAGS - i], -0.8), 0.8)
            row = w[i * HIDDEN : (i + 1) * HIDDEN]
            for j in range(row.size):
                hidden[j] += change * row[j]
    start = bias + HIDDEN
    kept = w[start + HIDDEN * WIDTH : start + HIDDEN * WIDTH + WIDTH].copy()
    for i in range(HIDDEN):
        if hidden[i] > 0.0:
            row = w[start + i * WIDTH : start + (i + 1) * WIDTH]
            for j in range(row.size):
                kept[j] += hidden[i] * row[j]
    before, now = sums[count % RING], sums[(count + 1) % RING]
    for j in range(WIDTH):
        now[j] = before[j] + max(kept[j], 0.0)


@njit(cache=True)
def _tier(w: F64, windows: I64, sums: F64, beat: int, count: int) -> float:
    """Probability of one beat from the means over its windows, as far as there are beats."""
    first = np.empty(TIER_1)
    size = len(windows) * WIDTH * TIER_1
    for j in range(TIER_1):
        first[j] = w[size + j]
    at = 0
    for k in range(len(windows)):
        before, after = windows[k, 0], windows[k, 1]
        lo, hi = max(beat - before, 0), min(beat + after + 1, count)
        share = 1.0 / (hi - lo)
        upper, lower = sums[hi % RING], sums[lo % RING]
        for i in range(WIDTH):
            mean = (upper[i] - lower[i]) * share
            row = w[at : at + TIER_1]
            for j in range(row.size):
                first[j] += mean * row[j]
            at += TIER_1
    at = size + TIER_1
    second = w[at + TIER_1 * TIER_2 : at + TIER_1 * TIER_2 + TIER_2].copy()
    for i in range(TIER_1):
        if first[i] > 0.0:
            row = w[at + i * TIER_2 : at + (i + 1) * TIER_2]
            for j in range(row.size):
                second[j] += first[i] * row[j]
    at += TIER_1 * TIER_2 + TIER_2
    logit = w[at + TIER_2]
    for j in range(TIER_2):
        logit += max(second[j], 0.0) * w[at + j]
    return float(1.0 / (1.0 + np.exp(-min(max(logit, -30.0), 30.0))))
