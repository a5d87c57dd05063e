"""What a glucose sensor makes of interstitial glucose: gain and offset that drift, coloured noise, limits.

The form is Facchinetti's: CGM = a(t) * IG + b(t) + v + cc, t in days since insertion, v and cc second-order
autoregressive, here with the population means published for the Dexcom G6 (2019). One sensor
differs from the next: a gain and an offset are drawn for each (7 % and 5 mg/dL, chosen so that the mean
absolute relative difference comes out as published, about 9 %).

Must not be here: time lags of the tissue (the body has them) and faults of the radio.
"""

import math
from random import Random

STEP_S = 300.0  # the autoregressions were fitted to one reading in five minutes
LOW_MG_DL, HIGH_MG_DL = 40, 400


class _Autoregression:
    """x[n] = a1 x[n-1] + a2 x[n-2] + Gaussian noise, started from far in the past."""

    def __init__(self, random: Random, a1: float, a2: float, variance: float) -> None:
        self._random = random
        self._a1, self._a2, self._sd = a1, a2, math.sqrt(variance)
        self._last = self._before = 0.0
        for _ in range(100):
            self.step()

    def step(self) -> float:
        value = self._a1 * self._last + self._a2 * self._before + self._random.gauss(0, self._sd)
        self._before, self._last = self._last, value
        return value


class GlucoseSensorNoise:
    """One sensor: turns interstitial glucose into readings, five minutes after five minutes."""

    def __init__(self, seed: int, age_s: float = 0.0) -> None:
        random = Random(seed)
        self._age_s = age_s
        self._gain = random.gauss(1, 0.07)
        self._offset_mg_dl = random.gauss(0, 5)
        self._v = _Autoregression(random, 1.22, -0.331, 3.641)
        self._cc = _Autoregression(random, 1.34, -0.492, 5.538)

    def read(self, interstitial_mg_dl: float) -> float:
        """The next reading: whole mg/dL, or -inf (LO) and +inf (HI) beyond what the sensor can tell."""
        days = self._age_s / 86_400
        self._age_s += STEP_S
        gain = self._gain * (1.048 - 0.033 * days + 0.002 * days**2)
        offset_mg_dl = self._offset_mg_dl - 6.398 + 6.179 * days - 0.448 * days**2
        mg_dl = round(gain * interstitial_mg_dl + offset_mg_dl + self._v.step() + self._cc.step())
        if mg_dl < LOW_MG_DL:
            return -math.inf
        return math.inf if mg_dl > HIGH_MG_DL else float(mg_dl)
