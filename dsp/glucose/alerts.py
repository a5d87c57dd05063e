"""Alerts: glucose is low or high now, or soon will be, within a budget of false alarms.

A reading beyond a limit always alerts: nothing here can hold that back. The alerts ahead of time come from the
forecast, or from a last step steep enough to reach the limit within five minutes. There is one for each approach to a
limit, and none for a jump: what a restarted or calibrated sensor says next is a level, and no trend. Each false alert
makes its wearer's rule stricter, time makes it as lenient as before.

    an alert ahead is | event                                                        | and becomes
    ------------------|--------------------------------------------------------------|----------------
    ready             | the danger reaches the strictness, readings are steady       | fires: given
    given             | the danger recedes by `recede_mg_dl`                         | ready
    any               | a reading is beyond the limit                                | reached
    reached           | the danger recedes by `recede_after_mg_dl`                   | ready
    any               | the first steady reading after a gap or jump is in danger    | waits as well
    waits             | the danger recedes, or grows, by `recede_mg_dl`              | as it is besides
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.compiled import njit

# Time of the newest reading, two sides, the times and the values of eight readings, and where the next one goes.
STATE_SIZE = 30
_SIDE = 6


class Rules(NamedTuple):
    """Limits and constants, fixed beforehand.

    The danger of a reading says how far beyond a margin before the limit the glucose to come is: the forecast for 15
    min, or the value five minutes on at the last step's rate. A false alarm (no reading beyond the limit within
    `horizon_min`) adds `penalty_mg_dl` to the strictness, up to `strictness_mg_dl_max`; it wears off as if
    `budget_per_day` of them were free. Tuned on AZT1D and half of BrisT1D: tools/bench/glucose_alerts.py.
    """

    low_mg_dl: float = 70.0
    very_low_mg_dl: float = 54.0
    high_mg_dl: float = 250.0
    low_forecast_margin_mg_dl: float = 11.5
    low_step_margin_mg_dl: float = 3.0
    high_forecast_margin_mg_dl: float = 14.0
    high_step_margin_mg_dl: float = 6.0
    budget_per_day: float = 1.0
    penalty_mg_dl: float = 0.5
    strictness_mg_dl_max: float = 8.0
    recede_mg_dl: float = 12.0
    recede_after_mg_dl: float = 2.0
    refractory_min: float = 30.0
    horizon_min: float = 60.0
    steady_readings: float = 3.0

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
    state[13:21] = np.nan
    for side in range(2):
        strictness = state[3 + _SIDE * side]
        state[1 + _SIDE * side : 7 + _SIDE * side] = (-1e9, 0.0, strictness, 0.0, -1e9, np.nan)


@njit
def _side(
    side: F64, t: float, dt: float, danger_mg_dl: float, beyond: bool, steady: float, rules: F64
) -> float:
    """One alert ahead of time: whether it fires at this reading.

    side: time of the last alert; by how much the danger has to recede before it is ready, 0 while it is; strictness;
    whether an alert waits for its event, and since when; the danger at the first steady reading, NaN once it receded.
    """
    budget, penalty, strictest, recede = rules[7], rules[8], rules[9], rules[10]
    side[2] = max(0.0, side[2] - penalty * budget * min(dt, 15.0) / 1440.0)
    if side[3] > 0.0:
        if beyond:
            side[3] = 0.0
        elif t - side[4] > rules[13]:
            side[3] = 0.0
            side[2] = min(strictest, side[2] + penalty)
    if steady == rules[14]:
        side[5] = danger_mg_dl
    if beyond or danger_mg_dl < side[2] - recede:
        side[5] = np.nan
    if beyond:
        side[1] = rules[11]
    elif danger_mg_dl < side[2] - side[1]:
        side[1] = 0.0
    waits = side[1] > 0.0 or not steady >= rules[14] or t - side[0] < rules[12]
    if beyond or waits or danger_mg_dl < side[2] or danger_mg_dl < side[5] + recede:
        return 0.0
    if side[3] > 0.0:
        side[2] = min(strictest, side[2] + penalty)
    side[0] = side[4] = t
    side[1] = recede
    side[3] = 1.0
    return 1.0


@njit
def _five_minutes_on(state: F64, t: float, g: float) -> float:
    """Glucose in five minutes at the rate since the newest reading 4 to 11 min old; NaN without one."""
    on = np.nan
    age = np.inf
    for i in range(8):
        since = t - state[13 + i]
        if 4.0 <= since <= 11.0 and since < age:
            age = since
            on = g + (g - state[21 + i]) * 5.0 / since
    return on


@njit
def step(
    state: F64, t: float, g: float, forecast_mg_dl: float, steady: float, rules: F64
) -> tuple[float, float, float, float, float, float, float]:
    """Take in one reading, see `advance`: the fields of `Alerts`."""
    low_ahead = high_ahead = 0.0
    if np.isfinite(t) and np.isfinite(g) and not t <= state[0]:
        dt = t - state[0] if state[0] == state[0] else 0.0
        if not steady > 1.0:
            state[13:21] = np.nan
        on = _five_minutes_on(state, t, g)
        low = high = -np.inf
        if forecast_mg_dl == forecast_mg_dl:
            low = rules[0] + rules[3] - forecast_mg_dl
            high = forecast_mg_dl - rules[2] + rules[5]
        if on == on:
            low = max(low, rules[0] + rules[4] - on)
            high = max(high, on - rules[2] + rules[6])
        low_ahead = _side(state[1:7], t, dt, low, g < rules[0], steady, rules)
        high_ahead = _side(state[7:13], t, dt, high, g > rules[2], steady, rules)
        state[0] = t
        slot = int(state[29])
        state[13 + slot] = t
        state[21 + slot] = g
        state[29] = (slot + 1) % 8
    is_low = 1.0 if g < rules[0] else 0.0
    is_very_low = 1.0 if g < rules[1] else 0.0
    is_high = 1.0 if g > rules[2] else 0.0
    return is_low, is_very_low, is_high, low_ahead, high_ahead, state[3], state[9]


@njit
def advance(
    state: F64, t_min: F64, glucose_mg_dl: F64, forecast_mg_dl: F64, steady: F64, rules: F64
) -> F64x2:
    """Take in readings, oldest first.

    Args:
        state: float64[30] of `initial_state`, changed in place.
        t_min: float64[n], min.
        glucose_mg_dl: float64[n], mg/dL.
        forecast_mg_dl: float64[n], forecast for 15 min made at each reading; NaN none.
        steady: float64[n], how many readings in a row are steady (`dsp.glucose.forecast.advance`); below
            `steady_readings` none alerts ahead of time.
        rules: float64[15], `Rules.packed`.

    Returns:
        float64[n, 7]: the fields of `Alerts`. Low, very low and high follow from the value alone, whatever its
        time; a NaN alerts to nothing; a reading not newer than the one before changes nothing else.
    """
    out = np.empty((t_min.size, 7))
    for k in range(t_min.size):
        out[k] = step(state, t_min[k], glucose_mg_dl[k], forecast_mg_dl[k], steady[k], rules)
    return out
