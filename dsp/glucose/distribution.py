"""How often which glucose: mean, spread, quantiles, GMI and the times in ranges of a trace."""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

# The next number after each limit that belongs to the range below it.
ABOVE_140, ABOVE_180, ABOVE_250 = (float(np.nextafter(limit, np.inf)) for limit in (140.0, 180.0, 250.0))


class Distribution(NamedTuple):
    """What the values of a trace say without regard to their order."""

    mean_mg_dl: float
    median_mg_dl: float
    sd_mg_dl: float
    cv_pct: float
    min_mg_dl: float
    q25_mg_dl: float
    q75_mg_dl: float
    max_mg_dl: float
    range_mg_dl: float
    iqr_mg_dl: float
    mad_mg_dl: float
    gmi_pct: float
    ea1c_pct: float
    j_index: float
    below_54_pct: float
    below_63_pct: float
    below_70_pct: float
    in_63_140_pct: float
    in_70_140_pct: float
    in_70_180_pct: float
    above_140_pct: float
    above_180_pct: float
    above_250_pct: float
    low_54_69_pct: float
    high_181_250_pct: float
    gri: float
    cogi: float
    mage_naive_mg_dl: float


@njit
def _quantile(ordered: F64, p: float) -> float:
    """The type 7 quantile of R: linear between order statistics."""
    h = (ordered.size - 1) * p
    k = int(h)
    if k + 1 >= ordered.size:
        return float(ordered[ordered.size - 1])
    return float(ordered[k] + (h - k) * (ordered[k + 1] - ordered[k]))


@njit
def _below(ordered: F64, limit: float) -> int:
    """How many values are smaller than `limit`."""
    first, end = 0, ordered.size
    while first < end:
        middle = (first + end) // 2
        if ordered[middle] < limit:
            first = middle + 1
        else:
            end = middle
    return first


@njit
def _median_deviation(ordered: F64, centre: float) -> float:
    """Median of |x - centre|, by walking outwards from `centre`."""
    n = ordered.size
    right = _below(ordered, centre)
    left = right - 1
    before = 0.0
    now = 0.0
    for _ in range(n // 2 + 1):
        before = now
        if right < n and (left < 0 or ordered[right] - centre <= centre - ordered[left]):
            now = ordered[right] - centre
            right += 1
        else:
            now = centre - ordered[left]
            left -= 1
    return now if n % 2 == 1 else 0.5 * (before + now)


@njit
def _share(ordered: F64, low: float, high: float) -> float:
    """Percent of the values in [low, high)."""
    return 100.0 * (_below(ordered, high) - _below(ordered, low)) / ordered.size


@njit
def _spread(values: F64, mean: float) -> tuple[float, float]:
    """SD, and the mean distance from the mean of what is further than 1 SD; NaN where there is none."""
    squares = 0.0
    for v in values:
        squares += (v - mean) ** 2
    sd = np.sqrt(squares / (values.size - 1)) if values.size > 1 else np.nan
    far = 0.0
    count = 0
    for v in values:
        if abs(v - mean) > sd:
            far += abs(v - mean)
            count += 1
    return sd, far / count if count > 0 else np.nan


@njit
def _undefined() -> Distribution:
    nan = np.nan
    # fmt: off
    return Distribution(
        nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan,
        nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan,
    )
    # fmt: on


@njit
def distribution(ordered_mg_dl: F64) -> Distribution:
    """Mean, SD, CV, quantiles, GMI, eA1c, J index, times in ranges, GRI and COGI.

    Args:
        ordered_mg_dl: float64[n], mg/dL, ascending, all finite.

    Returns:
        Values in mg/dL, shares in %; SD with n - 1 in the denominator, MAD times 1.4826, quantiles of R's
        type 7. `in_` ranges include their ends, `below_` and `above_` exclude the limit. Everything is NaN for
        n = 0 and for what is not finite, SD, CV, J index, COGI and naive MAGE for n = 1, and CV for a mean not
        above 0.

    Sources: ranges: Battelino et al. 2019, doi 10.2337/dci19-0028; GMI: Bergenstal et al. 2018, doi
    10.2337/dc18-1581; eA1c: Nathan et al. 2008; J index: Wojcicki 1995; GRI: Klonoff et al. 2023; COGI:
    Leelarathna et al. 2019, as in iglu; naive MAGE: mean distance from the mean of what is further than 1 SD.
    """
    x = ordered_mg_dl
    n = x.size
    if n == 0 or not x[n - 1] - x[0] < np.inf:
        return _undefined()
    total = 0.0
    for v in x:
        total += v
    mean = total / n
    sd, naive = _spread(x, mean)
    median = _quantile(x, 0.5)
    q25 = _quantile(x, 0.25)
    q75 = _quantile(x, 0.75)
    below_54 = _share(x, -np.inf, 54.0)
    below_70 = _share(x, -np.inf, 70.0)
    above_180 = _share(x, ABOVE_180, np.inf)
    above_250 = _share(x, ABOVE_250, np.inf)
    tir = _share(x, 70.0, ABOVE_180)
    gri = 3.0 * below_54 + 2.4 * (below_70 - below_54) + 1.6 * above_250 + 0.8 * (above_180 - above_250)
    low_points = min(1.0, max(0.0, (15.0 - below_70) / 15.0))
    sd_points = min(1.0, max(0.0, (108.0 - sd) / 90.0)) if n > 1 else np.nan
    return Distribution(
        mean,
        median,
        sd,
        100.0 * sd / mean if mean > 0.0 else np.nan,
        x[0],
        q25,
        q75,
        x[n - 1],
        x[n - 1] - x[0],
        q75 - q25,
        1.4826 * _median_deviation(x, median),
        3.31 + 0.02392 * mean,
        (46.7 + mean) / 28.7,
        0.001 * (mean + sd) ** 2,
        below_54,
        _share(x, -np.inf, 63.0),
        below_70,
        _share(x, 63.0, ABOVE_140),
        _share(x, 70.0, ABOVE_140),
        tir,
        _share(x, ABOVE_140, np.inf),
        above_180,
        above_250,
        _share(x, 54.0, 70.0),
        _share(x, ABOVE_180, ABOVE_250),
        min(100.0, gri),
        100.0 * (0.5 * tir / 100.0 + 0.35 * low_points + 0.15 * sd_points),
        naive,
    )
