"""How glucose moves: differences over fixed times, and the standard deviations within and between days.

Everything here is computed on the regular grid of `dsp.glucose.grid`; a pair or window with a missing point
does not count.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, SUMS_IN_ANY_ORDER
from dsp.compiled import njit

STEP_MIN_MIN = 0.01  # no sensor is as fast


class Changes(NamedTuple):
    """Change over time; NaN where the trace holds no pair of points to compare."""

    conga_1h_mg_dl: float
    conga_2h_mg_dl: float
    conga_4h_mg_dl: float
    conga_24h_mg_dl: float
    modd_mg_dl: float
    mag_mg_dl_h: float
    mag_60min_mg_dl_h: float
    gvp_pct: float
    roc_sd_mg_dl_min: float
    lability_mmol2_l2_h: float
    auc_mg_dl: float
    excursions_per_day: float


class DaySpread(NamedTuple):
    """Standard deviations after Rodbard 2009, and the CV of days."""

    sd_within_days_mg_dl: float
    sd_between_clock_times_mg_dl: float
    sd_within_hours_mg_dl: float
    sd_daily_means_mg_dl: float
    sd_between_days_mg_dl: float
    sd_between_days_corrected_mg_dl: float
    cv_daily_mean_pct: float
    cv_daily_sd_pct: float


@njit(fastmath=SUMS_IN_ANY_ORDER)
def _lag_sd(glucose_mg_dl: F64, lag: int) -> float:
    """SD of x[k] - x[k - lag]."""
    count = 0.0
    total = 0.0
    for k in range(lag, glucose_mg_dl.size):
        d = glucose_mg_dl[k] - glucose_mg_dl[k - lag]
        total += d if d == d else 0.0
        count += 1.0 if d == d else 0.0
    if count < 2.0:
        return np.nan
    mean = total / count
    squares = 0.0
    for k in range(lag, glucose_mg_dl.size):
        d = glucose_mg_dl[k] - glucose_mg_dl[k - lag]
        squares += (d - mean) ** 2 if d == d else 0.0
    return float(np.sqrt(squares / (count - 1.0)))


@njit(fastmath=SUMS_IN_ANY_ORDER)
def _mean_step(glucose_mg_dl: F64, stride: int, lag: int) -> float:
    """Mean |x[k] - x[k - lag]| over every `stride`-th point."""
    count = 0.0
    total = 0.0
    for k in range(lag, glucose_mg_dl.size, stride):
        d = abs(glucose_mg_dl[k] - glucose_mg_dl[k - lag])
        total += d if d == d else 0.0
        count += 1.0 if d == d else 0.0
    return total / count if count > 0.0 else np.nan


@njit
def _large_moves(glucose_mg_dl: F64, least_mg_dl: float) -> float:
    """How many moves between turning points exceed `least_mg_dl`."""
    low = np.inf
    high = -np.inf
    direction = 0
    moves = 0.0
    for g in glucose_mg_dl:
        if g != g:
            continue
        low = min(low, g)
        high = max(high, g)
        if direction <= 0 and g - low > least_mg_dl:
            moves += 1.0
            direction = 1
            high = g
        elif direction >= 0 and high - g > least_mg_dl:
            moves += 1.0
            direction = -1
            low = g
    return moves


@njit
def changes(glucose_mg_dl: F64, step_min: float) -> Changes:
    """CONGA, MODD, MAG, GVP, SD of the rate of change, lability index, AUC and large excursions.

    Args:
        glucose_mg_dl: float64[n], mg/dL on the grid, NaN where missing.
        step_min: distance of the points, min, a divisor of 1440.

    Returns:
        CONGA(h) = SD of the difference to h hours before; MODD = mean |difference to the same time the day
        before|; MAG = mean |change| per hour, from step to step and from hour to hour; GVP = length of the
        trace over that of a flat one, - 100 %; SD of the rate over 15 min (over one step where steps are
        longer); lability = mean squared change (mmol/L) over an hour, per hour; AUC = area under the trace
        per hour, trapezoids between neighbouring points; excursions = moves of more than 75 mg/dL between
        turning points, per day of data.

    NaN throughout for a step outside 0.01 to 1440 min.

    Sources: CONGA: McDonnell et al. 2005; MODD: Molnar et al. 1972; MAG: Hermanides et al. 2010, as in iglu 4.3;
    GVP: Peyser et al. 2018; lability: Ryan et al. 2004; excursions: as AGATA's EF index.
    """
    n = glucose_mg_dl.size
    if not STEP_MIN_MIN <= step_min <= 1440.0:
        nan = np.nan
        return Changes(nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan)
    hour = max(1, round(60.0 / step_min))
    quarter = max(1, int(15.0 // step_min))
    path = area = square = 0.0
    steps = points = hours = 0
    for k in range(n):
        g = glucose_mg_dl[k]
        if g != g:
            continue
        points += 1
        if k > 0 and glucose_mg_dl[k - 1] == glucose_mg_dl[k - 1]:
            d = g - glucose_mg_dl[k - 1]
            path += np.sqrt(step_min**2 + d * d)
            area += 0.5 * (g + glucose_mg_dl[k - 1])
            steps += 1
        if k >= hour and glucose_mg_dl[k - hour] == glucose_mg_dl[k - hour]:
            square += ((g - glucose_mg_dl[k - hour]) / 18.0) ** 2
            hours += 1
    return Changes(
        _lag_sd(glucose_mg_dl, hour),
        _lag_sd(glucose_mg_dl, 2 * hour),
        _lag_sd(glucose_mg_dl, 4 * hour),
        _lag_sd(glucose_mg_dl, 24 * hour),
        _mean_step(glucose_mg_dl, 1, round(1440.0 / step_min)),
        _mean_step(glucose_mg_dl, 1, 1) * 60.0 / step_min,
        _mean_step(glucose_mg_dl, hour, hour) * 60.0 / (hour * step_min),
        100.0 * (path / (steps * step_min) - 1.0) if steps > 0 else np.nan,
        _lag_sd(glucose_mg_dl, quarter) / (quarter * step_min),
        square / hours if hours > 0 else np.nan,
        area / steps if steps > 0 else np.nan,
        _large_moves(glucose_mg_dl, 75.0) / (points * step_min / 1440.0) if points > 0 else np.nan,
    )


@njit(fastmath=SUMS_IN_ANY_ORDER)
def _running_sd(glucose_mg_dl: F64, width: int) -> float:
    """Mean of the SDs of all windows of `width` points, missing points left out.

    The windows are summed side by side, point by point, without a branch: so the compiler makes vectors of them.
    """
    windows = glucose_mg_dl.size - width + 1
    if windows < 1:
        return np.nan
    present = np.empty(glucose_mg_dl.size)
    filled = np.empty(glucose_mg_dl.size)
    for k in range(glucose_mg_dl.size):
        g = glucose_mg_dl[k]
        present[k] = 1.0 if g == g else 0.0
        filled[k] = g if g == g else 0.0
    mean = np.zeros(windows)
    count = np.zeros(windows)
    squares = np.zeros(windows)
    for offset in range(width):
        some, there = filled[offset:], present[offset:]
        for k in range(windows):
            mean[k] += some[k]
            count[k] += there[k]
    for k in range(windows):
        mean[k] /= max(count[k], 1.0)
    for offset in range(width):
        some, there = filled[offset:], present[offset:]
        for k in range(windows):
            squares[k] += there[k] * (some[k] - mean[k]) ** 2
    total = 0.0
    counted = 0.0
    for k in range(windows):
        enough = 1.0 if count[k] > 1.0 else 0.0
        total += enough * np.sqrt(squares[k] / max(count[k] - 1.0, 1.0))
        counted += enough
    return total / counted if counted > 0.0 else np.nan


@njit
def _moments(values: F64, first: int, stride: int, count: int) -> tuple[float, float]:
    """Mean and SD of `count` values from `first` on, NaN left out."""
    n = 0
    s = 0.0
    for k in range(count):
        v = values[first + k * stride]
        if v == v:
            s += v
            n += 1
    mean = s / n if n > 0 else np.nan
    squares = 0.0
    for k in range(count):
        v = values[first + k * stride]
        if v == v:
            squares += (v - mean) ** 2
    return mean, np.sqrt(squares / (n - 1)) if n > 1 else np.nan


@njit
def day_spread(by_clock_mg_dl: F64, step_min: float) -> DaySpread:
    """Rodbard's standard deviations, and mean and SD of the daily CVs.

    Args:
        by_clock_mg_dl: float64[days * slots], mg/dL, day after day on the grid by the clock, NaN where missing.
        step_min: distance of the points, min, a divisor of 1440.

    Returns:
        In mg/dL (CVs in %): mean SD of days (SDw), SD of the mean day (SDhh:mm), mean SD of running hours
        (SDws h), SD of daily means (SDdm), mean over clock times of the SD between days (SDb), and that
        after each day's mean is taken off (SDb//dm). A day or clock time with too few points is left out; NaN
        when none is left, and throughout for a step outside 0.01 to 1440 min.

    Source: Rodbard 2009, doi 10.1089/dia.2009.0015, as in iglu.
    """
    if not STEP_MIN_MIN <= step_min <= 1440.0:
        nan = np.nan
        return DaySpread(nan, nan, nan, nan, nan, nan, nan, nan)
    slots = round(1440.0 / step_min)
    days = by_clock_mg_dl.size // slots
    daily_mean = np.full(days, np.nan)
    daily_sd = np.full(days, np.nan)
    centred = by_clock_mg_dl.copy()
    for d in range(days):
        daily_mean[d], daily_sd[d] = _moments(by_clock_mg_dl, d * slots, 1, slots)
        for k in range(d * slots, (d + 1) * slots):
            centred[k] -= daily_mean[d]
    slot_mean = np.full(slots, np.nan)
    slot_sd = np.full(slots, np.nan)
    slot_centred_sd = np.full(slots, np.nan)
    for c in range(slots):
        slot_mean[c], slot_sd[c] = _moments(by_clock_mg_dl, c, slots, days)
        slot_centred_sd[c] = _moments(centred, c, slots, days)[1]
    cv_pct = np.full(days, np.nan)
    for d in range(days):
        if daily_mean[d] > 0.0:
            cv_pct[d] = 100.0 * daily_sd[d] / daily_mean[d]
    cv_mean, cv_sd = _moments(cv_pct, 0, 1, days)
    return DaySpread(
        _moments(daily_sd, 0, 1, days)[0],
        _moments(slot_mean, 0, 1, slots)[1],
        _running_sd(by_clock_mg_dl, max(2, round(60.0 / step_min))),
        _moments(daily_mean, 0, 1, days)[1],
        _moments(slot_sd, 0, 1, slots)[0],
        _moments(slot_centred_sd, 0, 1, slots)[0],
        cv_mean,
        cv_sd,
    )
