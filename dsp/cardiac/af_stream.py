"""AF episodes out of a stream of beats: found as the beats come, the same however the stream is cut.

An episode is made of runs of beats in AF; less than `AF_BRIDGED_S` between two runs makes them one. So it cannot be
known that an episode has ended before that much time has gone by. All state is in one vector, which can be copied,
stored and put back.

    the stream stands | a beat                                              | and then
    ------------------|-----------------------------------------------------|----------------------------------------
    outside           | not in AF                                           | outside
                      | in AF                                               | inside, from the start of its interval
    inside            | in AF, directly behind one in AF                    | inside, to this beat
                      | in AF, less than `AF_BRIDGED_S` behind the last one | inside, to this beat
                      | in AF, later                                        | the episode is told if it is long
                      |                                                     | enough; inside, from this interval on
                      | not in AF                                           | inside, to the last beat in AF
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.compiled import njit

AF_S_MIN = 30.0
AF_BRIDGED_S = 30.0  # sinus rhythm, or gap, between two runs that makes them one episode

OBSERVED_MS, IS_INSIDE, WAS_AF, NEWEST_S = 0, 1, 2, 3
START_S, END_S, START_MS, END_MS, BEATS, PROBABILITY = 4, 5, 6, 7, 8, 9
BEATS_SINCE, PROBABILITY_SINCE = 10, 11
SIZE = 12


class AfSpan(NamedTuple):
    """An episode: when it was, and which part of the time observed since the stream began."""

    start_s: float
    end_s: float
    start_ms: float
    end_ms: float
    beats: float
    probability: float  # mean

    @property
    def hr_mean_bpm(self) -> float:
        """Beats per time."""
        took_ms = self.end_ms - self.start_ms
        return 60_000.0 * self.beats / took_ms if took_ms > 0.0 else float("nan")


def new_state() -> F64:
    """State before the first beat."""
    state = np.zeros(SIZE)
    state[NEWEST_S] = np.nan
    return state


def follow(
    state: F64, t_s: F64, rr_ms: F64, follows: F64, probability: F64, threshold: float
) -> list[AfSpan]:
    """Feed beats, get the episodes that have ended, and that no later beat can lengthen.

    Args:
        state: of `new_state`, changed in place; copy it to save it.
        t_s: float64[n], time of each beat, s.
        rr_ms: float64[n], the interval that ends there.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap.
        probability: float64[n], of AF.
        threshold: at and above, a beat is in AF.
    """
    ended = follow_af(state, t_s, rr_ms, follows, probability, threshold)
    return [AfSpan(*row) for row in ended.tolist()]


def newest(state: F64) -> AfSpan | None:
    """The episode that the stream is in, up to its last beat in AF; None if it is in none that is long enough."""
    if state[IS_INSIDE] == 0.0 or state[END_S] - state[START_S] < AF_S_MIN:
        return None
    start_s, end_s, start_ms, end_ms, beats, probability = state[START_S : PROBABILITY + 1].tolist()
    return AfSpan(start_s, end_s, start_ms, end_ms, beats, probability / beats)


def is_over(state: F64) -> bool:
    """Whether the episode that the stream is in has been over for so long that it cannot go on."""
    return bool(state[NEWEST_S] - state[END_S] >= AF_BRIDGED_S)


@njit
def follow_af(state: F64, t_s: F64, rr_ms: F64, follows: F64, probability: F64, threshold: float) -> F64x2:
    """Kernel of `follow`: a row for each episode that has ended."""
    ended = np.empty((t_s.size, 6))
    count = 0
    for k in range(t_s.size):
        before_ms = state[OBSERVED_MS]
        state[OBSERVED_MS] += rr_ms[k]
        state[NEWEST_S] = t_s[k]
        is_af = probability[k] >= threshold
        start_s = t_s[k] - rr_ms[k] / 1000.0
        if state[IS_INSIDE] == 1.0:
            state[BEATS_SINCE] += 1.0
            state[PROBABILITY_SINCE] += probability[k]
        if is_af:
            joins = state[WAS_AF] == 1.0 and follows[k] == 1.0
            if state[IS_INSIDE] == 0.0 or not (joins or start_s - state[END_S] < AF_BRIDGED_S):
                if state[IS_INSIDE] == 1.0 and state[END_S] - state[START_S] >= AF_S_MIN:
                    for i in range(5):
                        ended[count, i] = state[START_S + i]
                    ended[count, 5] = state[PROBABILITY] / state[BEATS]
                    count += 1
                state[IS_INSIDE] = 1.0
                state[START_S], state[START_MS] = start_s, before_ms
                state[BEATS], state[PROBABILITY] = 0.0, 0.0
                state[BEATS_SINCE], state[PROBABILITY_SINCE] = 1.0, probability[k]
            state[END_S], state[END_MS] = t_s[k], state[OBSERVED_MS]
            state[BEATS] += state[BEATS_SINCE]
            state[PROBABILITY] += state[PROBABILITY_SINCE]
            state[BEATS_SINCE], state[PROBABILITY_SINCE] = 0.0, 0.0
        state[WAS_AF] = 1.0 if is_af else 0.0
    return ended[:count].copy()
