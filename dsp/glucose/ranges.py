"""What a day of CGM readings says: mean, SD, CV, GMI and the five consensus ranges.

A choice among the measures of `dsp.glucose.distribution`, under the names of the gateway's daily summary, of readings
as they come.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.glucose.distribution import distribution
from dsp.glucose.readings import on_scale


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


def glucose_stats(glucose_mg_dl: F64) -> GlucoseStats:
    """Mean, SD, CV, GMI and times in ranges of a set of readings.

    Args:
        glucose_mg_dl: float64[n], mg/dL, in any order; NaN or not above 0 = no valid measurement, +inf and -inf =
            above and below what the sensor can measure: they count as 401 and 39, as everywhere in `dsp.glucose`.

    Returns:
        Mean and SD (n - 1 in the denominator) in mg/dL, CV and GMI in %; the shares of very low (< 54), low
        (54 to < 70), in range (70 to 180 inclusive), high (> 180 to 250) and very high (> 250) in %. NaN: all
        without a reading; SD and CV for fewer than two.

    Source: see `distribution`.
    """
    values = on_scale(glucose_mg_dl)
    found = distribution(np.sort(values[~np.isnan(values)]))
    return GlucoseStats(
        found.mean_mg_dl,
        found.sd_mg_dl,
        found.cv_pct,
        found.gmi_pct,
        found.below_54_pct,
        found.low_54_69_pct,
        found.in_70_180_pct,
        found.high_181_250_pct,
        found.above_250_pct,
    )
