"""Phase-rectified signal averaging of NN intervals, with deceleration and acceleration capacity."""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

REACH_MAX = 1000.0  # beats


class Capacity(NamedTuple):
    """What the averaged intervals do around their anchors; NaN without an anchor."""

    deceleration_ms: float
    acceleration_ms: float
    decelerations: float
    accelerations: float


@njit
def prsa(nn_ms: F64, follows: F64, reach: float, sign: float) -> F64:
    """Mean course of the intervals around every deceleration (sign 1.0) or acceleration (-1.0).

    An anchor is an interval longer (shorter) than the one before it by at most 5 %.

    Args:
        nn_ms: float64[n], ms, normal beats only, oldest first.
        follows: float64[n], 1.0 where an interval follows the one before it directly: no course spans a gap.
        reach: beats on either side, a whole number up to `REACH_MAX`.
        sign: 1.0 or -1.0.

    Returns:
        float64[2 * reach + 1], ms: means, the anchor at index `reach`, and the number of anchors behind them
        last. The means are NaN if there is no anchor. Empty for another reach.

    Source: Bauer et al., Physica A 2006;364:423-434 (T = 1).
    """
    if not 0.0 <= reach <= REACH_MAX:
        return np.empty(0)
    side = int(reach)
    course = np.zeros(2 * side + 2)
    anchors = 0
    run = 0  # how many intervals up to k + side follow each other
    for last in range(nn_ms.size):
        run = run + 1 if last > 0 and follows[last] == 1.0 else 1
        k = last - side
        if run < 2 * side + 1 or k < 1:
            continue
        change = sign * (nn_ms[k] - nn_ms[k - 1])
        if change <= 0.0 or change > 0.05 * nn_ms[k - 1]:
            continue
        anchors += 1
        for i in range(2 * side + 1):
            course[i] += nn_ms[k - side + i]
    for i in range(2 * side + 1):
        course[i] = course[i] / anchors if anchors > 0 else np.nan
    course[2 * side + 1] = anchors
    return course


@njit
def capacity(nn_ms: F64, follows: F64) -> Capacity:
    """Deceleration and acceleration capacity: (X0 + X1 - X-1 - X-2) / 4 of the averaged course.

    Args:
        nn_ms: float64[n], ms, normal beats only, oldest first; a day for the published cut-offs.
        follows: float64[n], 1.0 where an interval follows the one before it directly.

    Returns:
        ms, and the number of anchors of each. The published risk groups are: deceleration capacity above 4.5 ms
        low, 2.6 to 4.5 ms intermediate, up to 2.5 ms high.

    Source: Bauer et al., Lancet 2006;367:1674-1681.
    """
    up = prsa(nn_ms, follows, 2.0, 1.0)
    down = prsa(nn_ms, follows, 2.0, -1.0)
    return Capacity(
        (up[2] + up[3] - up[1] - up[0]) / 4.0,
        (down[2] + down[3] - down[1] - down[0]) / 4.0,
        up[5],
        down[5],
    )
