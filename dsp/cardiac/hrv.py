"""What the gateway says of a short window of RR intervals: heart rate, SDNN, RMSSD.

Artefacts are not removed here: the intervals are used as the sensor sent them, so the standard deviation is
over all beats (RR), and equals SDNN as far as the window holds normal beats only. The measures themselves are those
of `dsp.cardiac.time_domain`; here the lowest and highest rate come beside them.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.cardiac.time_domain import time_domain
from dsp.compiled import njit


class HeartStats(NamedTuple):
    """Heart rate and variability of one window; NaN where the window holds too little."""

    hr_mean_bpm: float
    hr_min_bpm: float
    hr_max_bpm: float
    sdnn_ms: float
    rmssd_ms: float
    covered_ms: float


def heart_stats(rr_ms: F64, follows: F64) -> HeartStats:
    """Heart rate, SDNN and RMSSD of one window.

    The mean heart rate is beats per time (60000 / mean RR); for the lowest and highest see `extreme_rates`.

    Args:
        rr_ms: float64[n], ms, oldest first.
        follows: float64[n], 1.0 where an interval follows the one before it directly, 0.0 after a gap; the
            first is not looked at.

    Returns:
        Rates in beats/min, SDNN and RMSSD in ms, and the sum of the intervals in ms. NaN: all without an interval
        above 0 (the sum is 0 then), lowest and highest without 8 successive beats, SDNN for n < 2, RMSSD without a
        pair of successive intervals.
    """
    whole = time_domain(rr_ms, follows)
    covered_ms = float(rr_ms.sum())
    if not covered_ms > 0.0:
        return HeartStats(np.nan, np.nan, np.nan, np.nan, np.nan, 0.0)
    lowest_bpm, highest_bpm = extreme_rates(rr_ms, follows)
    return HeartStats(whole.hr_mean_bpm, lowest_bpm, highest_bpm, whole.sdnn_ms, whole.rmssd_ms, covered_ms)


@njit
def extreme_rates(rr_ms: F64, follows: F64) -> tuple[float, float]:
    """Lowest and highest heart rate: means over 8 successive beats.

    One interval alone is as likely an artefact as a rate.

    Args:
        rr_ms: float64[n], ms, oldest first.
        follows: float64[n], 1.0 where an interval follows the one before it directly; the first is not looked at.

    Returns:
        Beats/min; NaN without 8 successive beats, and where they take no time.
    """
    run = 0
    run_ms = 0.0
    longest_ms = -np.inf
    shortest_ms = np.inf
    for k in range(rr_ms.size):
        if k == 0 or follows[k] != 1.0:
            run = 0
            run_ms = 0.0
        run += 1
        run_ms += rr_ms[k]
        if run > 8:
            run_ms -= rr_ms[k - 8]
        if run >= 8:
            longest_ms = max(longest_ms, run_ms)
            shortest_ms = min(shortest_ms, run_ms)
    return (
        480000.0 / longest_ms if longest_ms > 0.0 else np.nan,
        480000.0 / shortest_ms if 0.0 < shortest_ms < np.inf else np.nan,
    )
