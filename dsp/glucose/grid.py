"""Readings on a regular grid, which the metrics over time are defined on.

The grid is that of iglu: from the local midnight before the first reading, one point every `step_min`, values
interpolated linearly, nothing inside gaps.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit
from dsp.glucose.readings import DAY_MIN, Trace

GAP_MIN = 45.0
DAYS_MAX = 36_525.0  # a century: only a wrong clock makes a trace longer
POINTS_MAX = 1440.0 * (DAYS_MAX + 1.0)


class Grid(NamedTuple):
    """A trace on a regular grid.

    Attributes:
        step_min: distance of the points, a divisor of 1440.
        glucose_mg_dl: float64[days * slots], the k-th value k + 1 steps after the first midnight; NaN in gaps
            longer than 45 min, before the first and after the last reading.
        by_clock_mg_dl: float64[days * slots], day after day by the wearer's clock, the first slot one step
            after midnight, the last at the next midnight. The same values, except around a change of the
            clocks: an hour that the clock skips is NaN, of an hour that it shows twice the second counts.
        slots: points of a day.
    """

    step_min: float
    glucose_mg_dl: F64
    by_clock_mg_dl: F64
    slots: int


def usual_min(t_min: F64) -> float:
    """The usual distance of readings: the median, in whole minutes, at least 1; NaN for fewer than two."""
    if t_min.size < 2:
        return float("nan")
    return max(1.0, float(np.round(np.median(np.diff(t_min)))))


def divisor_of_a_day(usual: float) -> float:
    """The usual distance; if 1440 is no multiple of it, the nearest multiple of 5 min up to 20. NaN for none."""
    if not usual > 0.0:
        return float("nan")
    if DAY_MIN % usual == 0.0:
        return usual
    return 20.0 if usual > 20.0 else max(5.0, 5.0 * float(np.floor(usual / 5.0 + 0.5)))


def step_min(t_min: F64) -> float:
    """The step of a trace's grid."""
    return divisor_of_a_day(usual_min(t_min))


def grid(trace: Trace, step: float) -> Grid:
    """The trace on the grid of iglu's `CGMS2DayByDay` with steps of `step` min.

    A trace of fewer than two readings, or of more than a century, gives an empty grid, and so does a step below
    a minute.
    """
    slots = round(DAY_MIN / step) if step >= 1.0 else 0
    if trace.t_min.size < 2 or slots == 0 or trace.t_min[-1] - trace.t_min[0] > DAYS_MAX * DAY_MIN:
        empty = np.zeros(0)
        return Grid(step, empty, empty, slots)
    days = int(np.ceil((trace.t_min[-1] - trace.t_min[0]) / DAY_MIN + 1.0))
    values = interpolate(trace.t_min, trace.glucose_mg_dl, float(step), float(days * slots), GAP_MIN)
    shift = trace.clock_min - trace.t_min
    if np.all(np.abs(shift) < 1e-6):
        return Grid(step, values, values, slots)
    reading = np.searchsorted(trace.t_min, step * np.arange(1, values.size + 1), side="right") - 1
    clock = step * np.arange(1, values.size + 1) + shift[np.maximum(reading, 0)]
    place = np.round(clock / step).astype(np.int64) - 1
    by_clock = np.full(values.size + slots, np.nan)
    seen = ~np.isnan(values) & (place >= 0) & (place < by_clock.size)
    by_clock[place[seen]] = values[seen]
    return Grid(step, values, by_clock, slots)


@njit
def interpolate(t_min: F64, glucose_mg_dl: F64, step: float, points: float, gap_min: float) -> F64:
    """Linear interpolation at step, 2 step, ..., points * step.

    Args:
        t_min: float64[n], strictly increasing, n > 0.
        glucose_mg_dl: float64[n].
        step: min.
        points: how many, a whole number up to `POINTS_MAX`.
        gap_min: points strictly between readings further apart than this get NaN.

    Returns:
        float64[points]; NaN before the first and after the last reading, and inside gaps. Empty for any other
        number of points.
    """
    if not 0.0 <= points <= POINTS_MAX:
        return np.empty(0)
    n = t_min.size
    values = np.full(int(points), np.nan)
    after = 0
    for k in range(values.size):
        t = step * (k + 1)
        while after < n and t_min[after] < t:
            after += 1
        if after == n:
            break
        if t_min[after] == t:
            values[k] = glucose_mg_dl[after]
        elif after > 0:
            t0 = t_min[after - 1]
            t1 = t_min[after]
            if t1 - t0 <= gap_min:
                g0 = glucose_mg_dl[after - 1]
                values[k] = g0 + (glucose_mg_dl[after] - g0) * ((t - t0) / (t1 - t0))
    return values
