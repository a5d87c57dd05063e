"""How much the wearer of a Polar sensor moves, from its acceleration.

Contract: pure. Of the samples nothing is kept but what an epoch needs that has not ended. The measure is the mean
amplitude deviation (MAD): how far the length of the acceleration is from its own mean, in the mean of `EPOCH_S`; in
milli-g. What cannot be an acceleration on the earth, because it was scaled wrongly or the sensor is broken, is nothing.

Source: Vaha-Ypya et al., Clin Physiol Funct Imaging 2015;35:64-70.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from protocols.polar_time import Timed

EPOCH_S: Final = 5.0
# Whatever the wearer does, the mean of five seconds is about 1 g.
MEAN_MG_MIN, MEAN_MG_MAX = 250.0, 4000.0
# A device that names a rate of a million fills no memory.
SAMPLES_MAX: Final = 4096


class Motion:
    """The epochs of one stream."""

    def __init__(self) -> None:
        self._lengths_mg: F64 = np.zeros(0)

    def take(self, samples_mg: npt.NDArray[np.float64], timed: Timed) -> list[float | None]:
        """The samples of a frame, a row each; the MAD of each epoch that has ended. None: it is no acceleration."""
        lengths_mg = np.sqrt((samples_mg[:, :3] ** 2).sum(axis=1))
        before_mg = np.zeros(0) if timed.begins else self._lengths_mg
        rest_mg = as_f64(np.concatenate([before_mg, lengths_mg]))
        size = (
            max(1, min(round(EPOCH_S * 1e9 / timed.step_ns), SAMPLES_MAX)) if timed.step_ns else SAMPLES_MAX
        )
        ended = rest_mg.size // size
        self._lengths_mg = as_f64(rest_mg[ended * size :])
        return [_deviation(rest_mg[n * size : (n + 1) * size]) for n in range(ended)]


def _deviation(lengths_mg: F64) -> float | None:
    mean_mg = float(lengths_mg.mean())
    if not MEAN_MG_MIN <= mean_mg <= MEAN_MG_MAX:
        return None
    return float(np.abs(lengths_mg - mean_mg).mean())
