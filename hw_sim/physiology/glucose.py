"""A person with type 1 diabetes: glucose under meals and insulin, and the truth behind the readings.

The body is the model of Hovorka et al. 2004 (Physiol. Meas. 25:905) for 75 kg with its published constants,
followed by interstitial fluid that lags behind blood. The person eats three meals and sometimes a snack,
counts carbohydrates with an error, injects before eating, corrects what is high and treats what is low.

Must not be here: anything about how a sensor stores or sends readings.
"""

import math
from collections.abc import Iterator
from random import Random

import numpy as np
from numpy.typing import NDArray

from hw_sim.physiology.sensor_noise import STEP_S, GlucoseSensorNoise

F64 = NDArray[np.float64]

_MG_DL = 18.016  # mg/dL in one mmol/L
_WEIGHT_KG = 75.0
_VG_L, _VI_L = 0.16 * _WEIGHT_KG, 0.12 * _WEIGHT_KG
_K12, _KE = 0.066, 0.138
_KA = np.array([0.006, 0.06, 0.03])
_KB = _KA * np.array([51.2e-4, 8.2e-4, 520e-4])  # the sensitivities of transport, disposal and production
_EGP0, _F01 = 0.0161 * _WEIGHT_KG, 0.0097 * _WEIGHT_KG
_AG, _T_MAX_G, _T_MAX_I = 0.8, 40.0, 55.0
LAG_MIN = 8.0  # of interstitial behind blood glucose
_START_MMOL_L = 7.5
_EATING_MIN = 15
_G_PER_UNIT, _MMOL_L_PER_UNIT = 24.0, 7.0  # what one unit of insulin is believed to cover
_MEALS = ((7.2, 60.0), (12.6, 80.0), (18.9, 90.0), (16.0, 25.0))  # hour of the day, grams
_SNACK = 3


def _slope(
    state: NDArray[np.float64], eaten: float, insulin: float, sensitivity: float
) -> NDArray[np.float64]:
    """Hovorka 2004, per minute. State: Q1 Q2 (mmol), S1 S2 (mU), I (mU/L), x1 x2 x3, D1 D2 (mmol), IG."""
    q1, q2, s1, s2, i, x1, x2, x3, d1, d2, ig = state.tolist()
    g = q1 / _VG_L
    used = _F01 * min(g / 4.5, 1.0)
    excreted = 0.003 * max(g - 9.0, 0.0) * _VG_L
    made = _EGP0 * max(1 - x3, 0.0)
    x_slopes = _KB * (sensitivity * i) - _KA * state[5:8]
    return np.array(
        (
            -used - x1 * q1 + _K12 * q2 - excreted + d2 / _T_MAX_G + made,
            x1 * q1 - (_K12 + x2) * q2,
            insulin - s1 / _T_MAX_I,
            (s1 - s2) / _T_MAX_I,
            s2 / (_T_MAX_I * _VI_L) - _KE * i,
            *x_slopes.tolist(),
            _AG * eaten - d1 / _T_MAX_G,
            (d1 - d2) / _T_MAX_G,
            (g - ig) / LAG_MIN,
        )
    )


def _after_a_minute(state: F64, eaten: float, insulin: float, sensitivity: float) -> F64:
    """One step of classical Runge-Kutta."""
    k1 = _slope(state, eaten, insulin, sensitivity)
    k2 = _slope(state + k1 / 2, eaten, insulin, sensitivity)
    k3 = _slope(state + k2 / 2, eaten, insulin, sensitivity)
    k4 = _slope(state + k3, eaten, insulin, sensitivity)
    return state + (k1 + 2 * k2 + 2 * k3 + k4) / 6


def _at_rest(insulin: float) -> F64:
    """The state under a constant infusion of insulin (mU/min) at the starting glucose."""
    i = insulin / (_VI_L * _KE)
    x = _KB * i / _KA
    q1 = _START_MMOL_L * _VG_L
    q2 = x[0] * q1 / (_K12 + x[1])
    stored = insulin * _T_MAX_I
    return np.array((q1, q2, stored, stored, i, *x.tolist(), 0.0, 0.0, _START_MMOL_L))


def _basal_mu_min() -> float:
    """The infusion that keeps the starting glucose, found by halving the interval."""
    low, high = 0.0, 60.0
    for _ in range(40):
        insulin = (low + high) / 2
        if _slope(_at_rest(insulin), 0.0, insulin, 1.0)[0] > 0:
            low = insulin
        else:
            high = insulin
    return high


class GlucoseBody(Iterator[tuple[float, float]]):
    """Gives a sensor's readings every five minutes as (seconds since the beginning, mg/dL; -inf LO, +inf HI).

    Truth, one entry a reading given: `t_s`, `blood_mg_dl`, `interstitial_mg_dl`.
    """

    def __init__(self, seed: int, *, clock_s: float = 0.0) -> None:
        """`clock_s` is the local time of day at which it begins."""
        self.t_s: list[float] = []
        self.blood_mg_dl: list[float] = []
        self.interstitial_mg_dl: list[float] = []
        self._random = Random(seed)
        self._sensor = GlucoseSensorNoise(self._random.getrandbits(32))
        self._minute = round(clock_s / 60)
        self._basal = _basal_mu_min()
        self._state = _at_rest(self._basal)
        self._sensitivity_log = self._random.gauss(0, 0.15)
        self._meals: dict[int, float] = {}
        self._eating_until, self._eaten_per_min = 0, 0.0
        self._treated_until = 0

    def __next__(self) -> tuple[float, float]:
        if self.t_s:
            for _ in range(round(STEP_S / 60)):
                self._live_a_minute()
        self.t_s.append(len(self.t_s) * STEP_S)
        self.blood_mg_dl.append(float(self._state[0]) / _VG_L * _MG_DL)
        self.interstitial_mg_dl.append(float(self._state[10]) * _MG_DL)
        return self.t_s[-1], self._sensor.read(self.interstitial_mg_dl[-1])

    def _live_a_minute(self) -> None:
        minute = self._minute
        if minute % 1440 == 0 or not self._meals:
            self._plan_day(minute - minute % 1440)
        bolus_mu = 0.0
        if minute in self._meals:
            bolus_mu = self._eat(minute, self._meals[minute])
        elif self._state[10] < 3.7 and minute >= self._treated_until:
            self._begin_eating(minute, 15.0)
            self._treated_until = minute + 20
        eaten = self._eaten_per_min if minute < self._eating_until else 0.0
        self._state = _after_a_minute(self._state, eaten, self._basal + bolus_mu, self._sensitivity())
        self._minute += 1

    def _plan_day(self, midnight: int) -> None:
        self._meals = {}
        for n, (hour, grams) in enumerate(_MEALS):
            if n != _SNACK or self._random.random() < 0.5:
                minute = midnight + round(60 * hour + self._random.gauss(0, 25))
                self._meals[minute] = grams * self._random.uniform(0.6, 1.4)

    def _eat(self, minute: int, grams: float) -> float:
        """Begins a meal; the insulin injected for it in mU, from what the person believes it needs."""
        self._begin_eating(minute, grams)
        units = grams * self._random.gauss(1, 0.25) / _G_PER_UNIT
        units += (float(self._state[10]) - 6.5) / _MMOL_L_PER_UNIT
        forgotten = self._random.random() < 0.05
        return 0.0 if forgotten else 1000 * max(units, 0.0)

    def _begin_eating(self, minute: int, grams: float) -> None:
        self._eating_until = minute + _EATING_MIN
        self._eaten_per_min = grams / 180.16 * 1000 / _EATING_MIN

    def _sensitivity(self) -> float:
        """To insulin: lowest at dawn, and different from day to day."""
        kept = math.exp(-1 / 480)
        self._sensitivity_log = kept * self._sensitivity_log + math.sqrt(1 - kept**2) * self._random.gauss(
            0, 0.2
        )
        dawn = math.cos(2 * math.pi * (self._minute / 1440 - 6 / 24))
        return math.exp(self._sensitivity_log - 0.15 * dawn)
