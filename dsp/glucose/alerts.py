"""Alerts: glucose is low or high now, or soon will be, within a budget of false alarms.

A reading beyond a limit always alerts: nothing here can hold that back. The alerts ahead of time come from the
forecast, or from a last step steep enough to reach the limit within five minutes; after one, the next must wait
until the danger has receded. Each false one makes its wearer's rule stricter, time makes it as lenient as before.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.compiled import njit

STATE_SIZE = 32
_SIDE = 5


class Rules(NamedTuple):
    """Limits and constants, fixed beforehand.

    The margins say how far before the limit the forecast for 15 min, or the value five minutes on at the last
    step's rate, alerts. A false alarm (no reading beyond the limit within `horizon_min`) adds `penalty_mg_dl`
    to the strictness, up to `strictness_mg_dl_max`; it wears off as if `budget_per_day` of them were free.
    """

    low_mg_dl: float = 70.0
    very_low_mg_dl: float = 54.0
    high_mg_dl: float = 250.0
    low_forecast_margin_mg_dl: float = 11.5
    low_step_margin_mg_dl: float = 3.0
    high_forecast_margin_mg_dl: float = 14.0
    high_step_margin_mg_dl: float = 6.0
    budget_per_day: float = 1.5
    penalty_mg_dl: float = 0.5
    strictness_mg_dl_max: float = 6.0
    recede_mg_dl: float = 4.0
    recede_min: float = 60.0
    refractory_min: float = 30.0
    horizon_min: float = 60.0

    def packed(self) -> F64:
        """As the kernel takes it."""
        return np.array(self)


class Alerts(NamedTuple):
    """1.0 where it alerts; the last two say how strict the rules for this wearer are at the time, in mg/dL."""

    low: float
    very_low: float
    high: float
    low_ahead: float
    high_ahead: float
    low_strictness_mg_dl: float
    high_strictness_mg_dl: float


def initial_state() -> F64:
    """State before the first reading."""
    state = np.zeros(STATE_SIZE)
    lose_time(state)
    return state


def lose_time(state: F64) -> None:
    """Forget the readings and when it alerted, in place; how strict the rules are for the wearer stays."""
    state[0] = np.nan
    state[11:19] = np.nan
    for side in range(2):
        strictness = state[3 + _SIDE * side]
        state[1 + _SIDE * side : 6 + _SIDE * side] = (-1e9, 1.0, strictness, 0.0, -1e9)


@njit
def _side(side: F64, t: float, dt: float, danger_mg_dl: float, beyond: bool, rules: F64) -> float:
    """One alert ahead of time: whether it fires at this reading.

    side: time of the last alert, armed, strictness, whether an alert still waits for its event, and since when.
    danger_mg_dl: how far beyond the margin the glucose to come is.
    """
    budget, penalty, strictest = rules[7], rules[8], rules[9]
    side[2] = max(0.0, side[2] - penalty * budget * min(dt, 15.0) / 1440.0)
    if side[3] > 0.0:
        if beyond:
            side[3] = 0.0
        elif t - side[4] > rules[13]:
            side[3] = 0.0
            side[2] = min(strictest, side[2] + penalty)
    if beyond or danger_mg_dl < side[2] - rules[10] or t - side[0] >= rules[11]:
        side[1] = 1.0
    if beyond or side[1] == 0.0 or danger_mg_dl < side[2] or t - side[0] < rules[12]:
        return 0.0
    if side[3] > 0.0:
        side[2] = min(strictest, side[2] + penalty)
    side[0] = side[4] = t
    side[1] = 0.0
    side[3] = 1.0
    return 1.0


@njit
def _five_minutes_on(state: F64, t: float, g: float) -> float:
    """Glucose in five minutes at the rate since the newest reading 4 to 11 min old; NaN without one."""
    on = np.nan
    age = np.inf
    for i in range(8):
        since = t - state[11 + i]
        if 4.0 <= since <= 11.0 and since < age:
            age = since
            on = g + (g - state[19 + i]) * 5.0 / since
    return on


@njit
def step(
    state: F64, t: float, g: float, forecast_mg_dl: float, rules: F64
) -> tuple[float, float, float, float, float, float, float]:
    """Take in one reading, see `advance`: the fields of `Alerts`."""
    low_ahead = high_ahead = 0.0
    if np.isfinite(t) and np.isfinite(g) and not t <= state[0]:
        dt = t - state[0] if state[0] == state[0] else 0.0
        on = _five_minutes_on(state, t, g)
        low = high = -np.inf
        if forecast_mg_dl == forecast_mg_dl:
            low = rules[0] + rules[3] - forecast_mg_dl
            high = forecast_mg_dl - rules[2] + rules[5]
        if on == on:
            low = max(low, rules[0] + rules[4] - on)
            high = max(high, on - rules[2] + rules[6])
        low_ahead = _side(state[1:6], t, dt, low, g < rules[0], rules)
        high_ahead = _side(state[6:11], t, dt, high, g > rules[2], rules)
        state[0] = t
        slot = int(state[27])
        state[11 + slot] = t
        state[19 + slot] = g
        state[27] = (slot + 1) % 8
    is_low = 1.0 if g < rules[0] else 0.0
    is_very_low = 1.0 if g < rules[1] else 0.0
    is_high = 1.0 if g > rules[2] else 0.0
    return is_low, is_very_low, is_high, low_ahead, high_ahead, state[3], state[8]


@njit
def advance(state: F64, t_min: F64, glucose_mg_dl: F64, forecast_mg_dl: F64, rules: F64) -> F64x2:
    """Take in readings, oldest first.

    Args:
        state: float64[32] of `initial_state`, changed in place.
        t_min: float64[n], min.
        glucose_mg_dl: float64[n], mg/dL.
        forecast_mg_dl: float64[n], forecast for 15 min made at each reading; NaN none.
        rules: float64[14], `Rules.packed`.

    Returns:
        float64[n, 7]: the fields of `Alerts`. Low, very low and high follow from the value alone, whatever its
        time; a NaN alerts to nothing; a reading not newer than the one before changes nothing else.
    """
    out = np.empty((t_min.size, 7))
    for k in range(t_min.size):
        out[k] = step(state, t_min[k], glucose_mg_dl[k], forecast_mg_dl[k], rules)
    return out
