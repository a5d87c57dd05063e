"""A heart: RR intervals with the structure of a day, and the truth behind them.

The sinus rhythm is the sum of what modulates it: the time of day, slow wandering (Ornstein-Uhlenbeck
processes of minutes to hours, which together fall off like 1/f), the 0.1 Hz wave of blood pressure and
respiratory sinus arrhythmia; the last two swell at night. Premature beats and episodes of atrial fibrillation
come on top. The amplitudes are chosen so that 24-hour SDNN and 5-minute SDNN and RMSSD lie within the ranges
published for healthy adults (Task Force 1996; Nunan et al. 2010).

Must not be here: anything about how a sensor measures or sends beats.
"""

import math
from collections.abc import Iterator
from random import Random

_DAY_S = 86_400.0
_REFRACTORY_MS = 270.0  # nothing conducts sooner


class _Wander:
    """An Ornstein-Uhlenbeck process of zero mean and the given standard deviation."""

    def __init__(self, random: Random, time_constant_s: float, sd: float) -> None:
        self._random = random
        self._time_constant_s = time_constant_s
        self._sd = sd
        self.value = random.gauss(0, sd)

    def step(self, dt_s: float) -> float:
        kept = math.exp(-dt_s / self._time_constant_s)
        self.value = kept * self.value + math.sqrt(1 - kept * kept) * self._random.gauss(0, self._sd)
        return self.value


class Heart(Iterator[float]):
    """Gives RR intervals in ms, one after the other, and remembers what each of them was.

    Truth, one entry a beat given: `beat_s` (seconds since the beginning), `beat` ("N" sinus or conducted
    fibrillation, "A" premature atrial, "V" premature ventricular), `rhythm` ("N" or "AFIB").
    """

    def __init__(
        self,
        seed: int,
        *,
        clock_s: float = 0.0,
        premature_per_h: float = 2.0,
        af_per_day: float = 0.0,
        af_s_mean: float = 1800.0,
    ) -> None:
        """`clock_s` is the local time of day at which it begins."""
        self.beat_s: list[float] = []
        self.beat: list[str] = []
        self.rhythm: list[str] = []
        self._random = random = Random(seed)
        self._clock_s = clock_s
        self._premature_per_s = premature_per_h / 3600
        self._af_per_s = af_per_day / _DAY_S
        self._af_s_mean = af_s_mean
        self._af_until_s = -math.inf
        self._t_s = 0.0
        self._pause_ms = 0.0
        self._rest_ms = random.gauss(860, 50)
        self._slow = [_Wander(random, tau_s, sd) for tau_s, sd in ((60, 0.035), (600, 0.05), (5400, 0.07))]
        self._breath_hz = _Wander(random, 30, 0.015)
        self._breath_phase = self._mayer_phase = 0.0
        self._breath_depth = _Wander(random, 60, 0.2)
        self._mayer_depth = _Wander(random, 60, 0.3)

    def __next__(self) -> float:
        sinus_ms = self._sinus_ms()
        chance = self._random.random()
        if self._t_s < self._af_until_s or self._fibrillates(sinus_ms):
            beat, rr_ms = "N", self._fibrillation_ms()
        elif self._pause_ms:
            beat, rr_ms, self._pause_ms = "N", self._pause_ms, 0.0
        elif chance < self._premature_per_s * sinus_ms / 1000:
            beat, rr_ms = self._premature(sinus_ms)
        else:
            beat, rr_ms = "N", sinus_ms
        rr_ms = max(rr_ms, _REFRACTORY_MS)
        self.rhythm.append("AFIB" if self._t_s < self._af_until_s else "N")
        self._t_s += rr_ms / 1000
        self.beat_s.append(self._t_s)
        self.beat.append(beat)
        return rr_ms

    def _sinus_ms(self) -> float:
        dt_s = self._rest_ms / 1000
        night = (1 + math.cos(2 * math.pi * ((self._clock_s + self._t_s) / _DAY_S - 4 / 24))) / 2
        self._breath_phase += 2 * math.pi * dt_s * min(max(0.25 + self._breath_hz.step(dt_s), 0.17), 0.38)
        self._mayer_phase += 2 * math.pi * dt_s * 0.1
        vagal_ms = 17 + 30 * night
        wave_ms = vagal_ms * (1 + self._breath_depth.step(dt_s)) * math.sin(self._breath_phase)
        wave_ms += 1.1 * vagal_ms * (1 + self._mayer_depth.step(dt_s)) * math.sin(self._mayer_phase)
        slow = sum(process.step(dt_s) for process in self._slow)
        return self._rest_ms * (0.84 + 0.3 * night) * math.exp(slow) + wave_ms + self._random.gauss(0, 6)

    def _fibrillates(self, sinus_ms: float) -> bool:
        begins = self._random.random() < self._af_per_s * sinus_ms / 1000
        if begins:
            self._pause_ms = 0.0
            self._af_until_s = self._t_s + self._random.expovariate(1 / self._af_s_mean)
        return begins

    def _fibrillation_ms(self) -> float:
        """Irregularly irregular: what the atrioventricular node lets through, without memory."""
        return 290 + self._random.gammavariate(5.0, 72.0)

    def _premature(self, sinus_ms: float) -> tuple[str, float]:
        """A premature ventricular beat leaves the sinus node alone: the pause makes up for it in full.

        A premature atrial beat resets the node: the next beat comes little later than usual.
        """
        if self._random.random() < 0.5:
            early_ms = sinus_ms * self._random.uniform(0.5, 0.7)
            self._pause_ms = 2 * sinus_ms - early_ms
            return "V", early_ms
        self._pause_ms = sinus_ms * self._random.uniform(1.02, 1.15)
        return "A", sinus_ms * self._random.uniform(0.6, 0.78)
