"""What a simulated Polar sensor feels: an electrocardiogram of its beats, and the acceleration of who wears it.

Each sample follows from its time and a seed, so that a signal has no memory and no beginning.

Must not be here: frames, and when they are sent.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Of each wave of a complex: where its peak is, in s after the R wave's, its height in microvolts, and its width in s. A
# lead of the chest, as in textbooks; T comes as late as at 70 a minute.
WAVES: Final = (
    (-0.17, 90.0, 0.025),
    (-0.028, -110.0, 0.009),
    (0.0, 1200.0, 0.010),
    (0.028, -260.0, 0.011),
    (0.26, 280.0, 0.055),
)
REACH_S: Final = 0.5
NOISE_UV: Final = 12.0
GRAVITY_MG: Final = 1000.0
TREMBLE_MG: Final = 4.0
STEPS_HZ: Final = 1.9

Moves = Callable[[float], float]
"""How hard the wearer moves at a moment, in milli-g; 0: not at all."""


def still(_: float) -> float:
    """Never moves."""
    return 0.0


def moving(*spans: tuple[float, float], by_mg: float = 350.0) -> Moves:
    """Moves within these spans of time."""
    return lambda at_s: by_mg if any(begin <= at_s < end for begin, end in spans) else 0.0


class BeatTimes(Iterator[float]):
    """Intervals that are passed on, one after the other, and looked at before that.

    Truth: `at_s`, when each beat is, in s since the first interval began.
    """

    def __init__(self, rr_ms: Iterator[float]) -> None:
        self._source = rr_ms
        self._rr_ms: list[float] = []
        self._given = 0
        self.at_s: list[float] = []

    def __next__(self) -> float:
        if self._given == len(self._rr_ms) and not self._draw():
            raise StopIteration
        self._given += 1
        return self._rr_ms[self._given - 1]

    def _draw(self) -> bool:
        rr_ms = next(self._source, None)
        if rr_ms is None:
            return False
        self._rr_ms.append(rr_ms)
        self.at_s.append((self.at_s[-1] if self.at_s else 0.0) + rr_ms / 1000)
        return True

    def between(self, from_s: float, to_s: float) -> Sequence[float]:
        """The beats of a stretch."""
        while not self.at_s or self.at_s[-1] <= to_s:
            if not self._draw():
                break
        return self.at_s[bisect_left(self.at_s, from_s) : bisect_left(self.at_s, to_s)]


def ecg_uv(beats: BeatTimes, at_s: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The samples at these moments, in whole microvolts."""
    signal = _noise(at_s, seed) * NOISE_UV
    for beat_s in beats.between(float(at_s[0]) - REACH_S, float(at_s[-1]) + REACH_S):
        for after_s, height_uv, width_s in WAVES:
            signal += height_uv * np.exp(-0.5 * ((at_s - beat_s - after_s) / width_s) ** 2)
    whole: NDArray[np.int64] = np.rint(signal).astype(np.int64)
    return whole


def acceleration_mg(moves: Moves, at_s: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """The samples at these moments, three axes each, in whole milli-g."""
    strength_mg = np.array([moves(moment) for moment in at_s.tolist()])
    step_mg = strength_mg * np.sin(2 * math.pi * STEPS_HZ * at_s)
    axes = [_noise(at_s, seed + axis) * TREMBLE_MG for axis in range(3)]
    felt_mg = np.stack([axes[0], axes[1] + 0.3 * step_mg, axes[2] + GRAVITY_MG + step_mg], axis=1)
    whole: NDArray[np.int64] = np.rint(felt_mg).astype(np.int64)
    return whole


def _noise(at_s: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    return np.random.default_rng([seed, round(abs(float(at_s[0])) * 1e6)]).standard_normal(at_s.size)


def delta_frame(rows: Sequence[Sequence[int]], octets: int) -> bytes:
    """Samples delta-compressed: the first as it is, then one block with the narrowest differences that hold all."""
    content = b"".join(value.to_bytes(octets, "little", signed=True) for value in rows[0])
    deltas = [new - old for before, after in pairwise(rows) for old, new in zip(before, after, strict=True)]
    width = max((delta if delta >= 0 else ~delta).bit_length() for delta in deltas) + 1
    packed = sum((delta & (1 << width) - 1) << width * n for n, delta in enumerate(deltas))
    return content + bytes([width, len(rows) - 1]) + packed.to_bytes(-(-width * len(deltas) // 8), "little")
