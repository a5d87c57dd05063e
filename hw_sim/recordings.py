"""Recordings of real people as endless sources that a simulated sensor can wear.

A beat source is an iterator of RR intervals in ms; a glucose source is an iterator of (seconds since the
source began, mg/dL) with increasing times. The body models in `physiology` give the same two shapes.

Must not be here: files, and anything that knows a sensor, a radio or a clock.
"""

import math
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DAY_S = 86_400.0


class GlucoseRecording(NamedTuple):
    """A glucose trace: times since local midnight of its first day, and mg/dL (NaN, -inf LO, +inf HI)."""

    t_s: NDArray[np.float64]
    glucose_mg_dl: NDArray[np.float64]


def repeat(rr_ms: NDArray[np.float64]) -> Iterator[float]:
    """The beats of a recording, over and over."""
    beats = rr_ms.tolist()
    while True:
        yield from beats


def repeat_days(recording: GlucoseRecording) -> Iterator[tuple[float, float]]:
    """The readings of a recording, over and over, each round at the same times of day."""
    readings = list(zip(*(column.tolist() for column in recording), strict=True))
    round_s = math.ceil((readings[-1][0] + 1) / _DAY_S) * _DAY_S
    for n in count():
        for t_s, glucose_mg_dl in readings:
            yield t_s + n * round_s, glucose_mg_dl
