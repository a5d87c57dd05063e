"""Heart-rate turbulence: what sinus rhythm does after a ventricular premature beat."""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

PVC_MIN = 5


class Turbulence(NamedTuple):
    """Onset and slope over all premature beats that qualify; NaN for fewer than `PVC_MIN`."""

    onset_pct: float
    slope_ms_per_beat: float
    premature_beats: float


@njit
def turbulence(rr_ms: F64, follows: F64, is_premature: F64) -> Turbulence:
    """Turbulence onset and slope.

    A premature beat qualifies if its interval is at least 20 % shorter, and the next at least 20 % longer, than
    the mean of the five before; and if no gap lies among these, and the two intervals before it and the fifteen
    after its pause hold no other premature beat, lie within 300-2000 ms, within 20 % of that mean, and within
    200 ms of their neighbour.

    Args:
        rr_ms: float64[n], ms, as received, in beat order.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap.
        is_premature: float64[n], 1.0 where the beat that ends the interval is premature.

    Returns:
        Onset in %: the mean over the premature beats of the relative change from the two intervals before to the
        first two after the pause. Slope in ms per beat: the steepest line through five successive intervals of
        the averaged fifteen after the pause.

    Source: Schmidt et al., Lancet 1999;353:1390-1396; conditions after Bauer et al., J. Am. Coll. Cardiol.
    2008;52:1353-1365.
    """
    course = np.zeros(15)
    onset = 0.0
    count = 0
    for k in range(5, rr_ms.size - 16):
        if is_premature[k] != 1.0 or not _qualifies(rr_ms, follows, is_premature, k):
            continue
        before = rr_ms[k - 2] + rr_ms[k - 1]
        onset += (rr_ms[k + 2] + rr_ms[k + 3] - before) / before
        for i in range(15):
            course[i] += rr_ms[k + 2 + i]
        count += 1
    if count < 5:
        return Turbulence(np.nan, np.nan, count * 1.0)
    for i in range(15):
        course[i] /= count
    slope = -np.inf
    for i in range(11):
        tilt = 2.0 * (course[i + 4] - course[i]) + course[i + 3] - course[i + 1]
        slope = max(slope, tilt / 10.0)
    return Turbulence(100.0 * onset / count, slope, count * 1.0)


@njit
def _qualifies(rr_ms: F64, follows: F64, is_premature: F64, k: int) -> bool:
    mean_ms = (rr_ms[k - 5] + rr_ms[k - 4] + rr_ms[k - 3] + rr_ms[k - 2] + rr_ms[k - 1]) / 5.0
    if rr_ms[k] > 0.8 * mean_ms or rr_ms[k + 1] < 1.2 * mean_ms:
        return False
    for i in range(k - 4, k + 17):
        if follows[i] != 1.0:
            return False
    for i in range(k - 2, k + 17):
        if i in (k, k + 1):
            continue
        if is_premature[i] == 1.0 or not 300.0 <= rr_ms[i] <= 2000.0:
            return False
        if abs(rr_ms[i] - mean_ms) > 0.2 * mean_ms:
            return False
        if i not in (k - 2, k + 2) and abs(rr_ms[i] - rr_ms[i - 1]) > 200.0:
            return False
    return True
