"""Compression lows: the sensor reads low because its wearer lies on it. A label, never a reason for silence.

Pressure shows as a fall out of calm, steeper than the body's own, that ends as suddenly. About one real low in
twenty looks the same, so the label may be shown beside an alarm and must never hold one back.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

STATE_SIZE = 40
_RING = 16


class Signs(NamedTuple):
    """What counts as a fall out of calm, and when it is over. Fixed beforehand.

    A fall counts by how far it goes beyond what the trend before would have brought, and must reach both the
    mg/dL and the share of the level before it. Calm is a straight line: no step off it by more than
    `calm_step_mg_dl` per five minutes, and no steeper than `calm_rate_mg_dl_min`.
    """

    fall_5min_mg_dl: float = 12.0
    fall_10min_mg_dl: float = 23.0
    fall_5min_share: float = 0.17
    fall_10min_share: float = 0.235
    calm_min: float = 20.0
    calm_rate_mg_dl_min: float = 3.5
    calm_step_mg_dl: float = 20.0
    rebound: float = 0.65
    longest_min: float = 90.0

    def packed(self) -> F64:
        """As the kernel takes it."""
        return np.array(self)


def initial_state() -> F64:
    """State before the first reading."""
    state = np.zeros(STATE_SIZE)
    state[0] = state[1] = np.nan
    return state


@njit
def _at(state: F64, back: int) -> tuple[float, float]:
    """Time and glucose of the reading `back` before the newest; NaN if there is none."""
    if back >= state[5]:
        return np.nan, np.nan
    i = int(state[4] - 1 - back) % 16
    return state[8 + i], state[24 + i]


@njit
def _calm_rate(state: F64, back: int, signs: F64) -> float:
    """Rate before the reading `back` before the newest, in mg/dL/min; NaN if that time was not calm."""
    end, last = _at(state, back)
    oldest = back
    while oldest < 15:
        t, _ = _at(state, oldest + 1)
        if not end - t <= signs[4] + 2.5:
            break
        oldest += 1
    first, value = _at(state, oldest)
    if not (end - first >= signs[4] - 2.5 and end > first):
        return np.nan
    rate = (last - value) / (end - first)
    later, above = end, last
    for i in range(back + 1, oldest + 1):
        t, g = _at(state, i)
        if abs(above - g - rate * (later - t)) > signs[6] * max(1.0, (later - t) / 5.0):
            return np.nan
        later, above = t, g
    return rate if abs(rate) < signs[5] else np.nan


@njit
def _fallen_from(state: F64, t: float, g: float, signs: F64) -> float:
    """The level from which glucose has just fallen out of calm; NaN if it has not."""
    for back in range(1, 5):
        then, level = _at(state, back)
        if not t - then <= 11.5:
            break
        soon = t - then < 7.5
        least = max(signs[0], signs[2] * level) if soon else max(signs[1], signs[3] * level)
        if level - g >= least and level + _calm_rate(state, back, signs) * (t - then) - g >= least:
            return level
    return np.nan


@njit
def step(state: F64, t: float, g: float, signs: F64) -> float:
    """Take in one reading, see `advance`: 1.0 or 0.0."""
    if not np.isfinite(t) or not np.isfinite(g) or t <= state[0]:
        return 0.0
    state[0] = t
    newest, _ = _at(state, 0)
    before, _ = _at(state, 1)
    # The ring holds readings about 2.5 min apart, so that it spans the calm time of any sensor.
    if newest - before < 2.5:
        state[4] -= 1.0
        state[5] -= 1.0
    slot = int(state[4]) % 16
    state[8 + slot] = t
    state[24 + slot] = g
    state[4] += 1.0
    state[5] = min(16.0, state[5] + 1.0)
    if state[1] == state[1]:
        state[3] = min(state[3], g)
        if g >= state[3] + signs[7] * (state[2] - state[3]) or t - state[1] > signs[8]:
            state[1] = np.nan
    else:
        level = _fallen_from(state, t, g, signs)
        if level == level:
            state[1] = t
            state[2] = level
            state[3] = g
    return 1.0 if state[1] == state[1] else 0.0


@njit
def advance(state: F64, t_min: F64, glucose_mg_dl: F64, signs: F64) -> F64:
    """Take in readings, oldest first.

    Args:
        state: float64[40] of `initial_state`, changed in place.
        t_min: float64[n], min.
        glucose_mg_dl: float64[n], mg/dL.
        signs: float64[9], `Signs.packed`.

    Returns:
        float64[n]: 1.0 while the sensor is possibly compressed. It begins with a fall within five or ten
        minutes after 20 calm minutes, see `Signs`, and ends when 65 % of it are made up, or after 90 min.
        0.0 for a reading that is no number or not newer than the one before.
    """
    out = np.empty(t_min.size)
    for k in range(t_min.size):
        out[k] = step(state, t_min[k], glucose_mg_dl[k], signs)
    return out
