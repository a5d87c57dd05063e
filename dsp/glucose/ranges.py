"""What a day of CGM readings says: mean, SD, CV, GMI and the five consensus ranges."""

from typing import NamedTuple

import numpy as np
from numba import njit

from dsp.arrays import F64


class GlucoseStats(NamedTuple):
    """Glycaemia of one period; NaN where it holds too little."""

    mean_mg_dl: float
    sd_mg_dl: float
    cv_pct: float
    gmi_pct: float
    very_low_pct: float
    low_pct: float
    in_range_pct: float
    high_pct: float
    very_high_pct: float


@njit(cache=True)
def glucose_stats(glucose_mg_dl: F64) -> GlucoseStats:
    """Mean, SD, CV, GMI and times in ranges of a set of readings.

    Args:
        glucose_mg_dl: float64[n], mg/dL; NaN = no valid measurement, +inf and -inf = above and below what the
            sensor can measure.

    Returns:
        Mean and SD (n - 1 in the denominator) in mg/dL, CV and GMI in %, over the measured values; the shares
        of very low (< 54), low (54 to < 70), in range (70 to 180 inclusive), high (> 180 to 250) and very
        high (> 250) in % of the measured, off-scale readings included. NaN: all without a measured value;
        SD and CV for fewer than two.

    Source: ranges: Battelino et al. 2019, doi 10.2337/dci19-0028; GMI = 3.31 + 0.02392 mean: Bergenstal et
    al. 2018, doi 10.2337/dc18-1581.
    """
    total = 0.0
    measured = 0
    readings = 0
    counts = np.zeros(5)
    for g in glucose_mg_dl:
        if np.isnan(g):
            continue
        readings += 1
        if not np.isinf(g):
            measured += 1
            total += g
        if g < 54.0:
            counts[0] += 1.0
        elif g < 70.0:
            counts[1] += 1.0
        elif g <= 180.0:
            counts[2] += 1.0
        elif g <= 250.0:
            counts[3] += 1.0
        else:
            counts[4] += 1.0
    mean = total / measured if measured > 0 else np.nan
    deviations = 0.0
    for g in glucose_mg_dl:
        if not np.isnan(g) and not np.isinf(g):
            deviations += (g - mean) ** 2
    sd = np.sqrt(deviations / (measured - 1)) if measured > 1 else np.nan
    shares = 100.0 * counts / readings if readings > 0 else np.full(5, np.nan)
    return GlucoseStats(
        mean,
        sd,
        100.0 * sd / mean if mean > 0.0 else np.nan,
        3.31 + 0.02392 * mean,
        shares[0],
        shares[1],
        shares[2],
        shares[3],
        shares[4],
    )
