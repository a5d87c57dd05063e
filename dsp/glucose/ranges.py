"""What a day of CGM readings says: mean, SD, CV, GMI and the five consensus ranges."""

from typing import NamedTuple

import numpy as np
from numba import njit

from dsp.arrays import F64
from dsp.glucose.readings import HI_MG_DL, LO_MG_DL


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
            sensor can measure: they count as 401 and 39, as everywhere in `dsp.glucose`.

    Returns:
        Mean and SD (n - 1 in the denominator) in mg/dL, CV and GMI in %; the shares of very low (< 54), low
        (54 to < 70), in range (70 to 180 inclusive), high (> 180 to 250) and very high (> 250) in %. NaN: all
        without a reading; SD and CV for fewer than two.

    Source: ranges: Battelino et al. 2019, doi 10.2337/dci19-0028; GMI = 3.31 + 0.02392 mean: Bergenstal et
    al. 2018, doi 10.2337/dc18-1581.
    """
    values = np.empty(glucose_mg_dl.size)
    readings = 0
    counts = np.zeros(5)
    for reading in glucose_mg_dl:
        if np.isnan(reading):
            continue
        g = min(HI_MG_DL, max(LO_MG_DL, reading)) if np.isinf(reading) else reading
        values[readings] = g
        readings += 1
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
    mean = np.sum(values[:readings]) / readings if readings > 0 else np.nan
    deviations = np.sum((values[:readings] - mean) ** 2)
    sd = np.sqrt(deviations / (readings - 1)) if readings > 1 else np.nan
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
