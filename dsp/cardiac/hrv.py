"""What a short window of RR intervals says: heart rate, SDNN, RMSSD.

Artefacts are not removed here: the intervals are used as the sensor sent them, so the standard deviation is
over all beats (RR), and equals SDNN as far as the window holds normal beats only.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from dsp.arrays import F64


class HeartStats(NamedTuple):
    """Heart rate and variability of one window; NaN where the window holds too little."""

    hr_mean_bpm: float
    hr_min_bpm: float
    hr_max_bpm: float
    sdnn_ms: float
    rmssd_ms: float
    covered_ms: float


@njit(cache=True)
def heart_stats(rr_ms: F64, follows: F64) -> HeartStats:
    """Heart rate, SDNN and RMSSD of one window.

    The mean heart rate is beats per time (60000 / mean RR). The lowest and highest are means over 8 successive
    beats, because one interval alone is as likely an artefact as a rate. Differences are taken only between
    intervals that follow each other.

    Args:
        rr_ms: float64[n], ms, oldest first.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap; the
            first is not looked at.

    Returns:
        Rates in beats/min, SDNN (n - 1 in the denominator) and RMSSD in ms, and the sum of the intervals in
        ms. NaN: all without an interval above 0, lowest and highest without 8 successive beats, SDNN for n < 2,
        RMSSD without a pair of successive intervals.

    Source: Task Force of ESC and NASPE, Circulation 1996;93:1043-1065, table 1 (SDNN, RMSSD).
    """
    n = rr_ms.size
    total_ms = 0.0
    for k in range(n):
        total_ms += rr_ms[k]
    if total_ms <= 0.0:
        return HeartStats(np.nan, np.nan, np.nan, np.nan, np.nan, 0.0)
    mean_ms = total_ms / n
    deviations = 0.0
    differences = 0.0
    pairs = 0
    run = 0
    run_ms = 0.0
    longest_ms = -np.inf
    shortest_ms = np.inf
    for k in range(n):
        deviations += (rr_ms[k] - mean_ms) ** 2
        if k > 0 and follows[k] == 1.0:
            differences += (rr_ms[k] - rr_ms[k - 1]) ** 2
            pairs += 1
        else:
            run = 0
            run_ms = 0.0
        run += 1
        run_ms += rr_ms[k]
        if run > 8:
            run_ms -= rr_ms[k - 8]
        if run >= 8:
            longest_ms = max(longest_ms, run_ms)
            shortest_ms = min(shortest_ms, run_ms)
    return HeartStats(
        60000.0 / mean_ms,
        480000.0 / longest_ms if longest_ms > 0.0 else np.nan,
        480000.0 / shortest_ms if shortest_ms < np.inf else np.nan,
        np.sqrt(deviations / (n - 1)) if n > 1 else np.nan,
        np.sqrt(differences / pairs) if pairs > 0 else np.nan,
        total_ms,
    )
