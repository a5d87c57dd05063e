"""The ambulatory glucose profile: percentiles of glucose by time of day."""

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit
from dsp.glucose.grid import Grid

PERCENTILES = (5, 25, 50, 75, 95)
PROFILE_DAYS = 14
SLOTS_MAX = 86_400.0  # one a second


@njit
def clock_percentiles(by_clock_mg_dl: F64, slots: float) -> F64:
    """5th, 25th, 50th, 75th and 95th percentile of each slot of the day.

    Args:
        by_clock_mg_dl: float64[days * slots], day after day, NaN where missing.
        slots: points of a day, a whole number from 1 to `SLOTS_MAX`.

    Returns:
        float64[5 * slots], the five percentiles of the first slot, then of the second; R's type 7; NaN in slots
        without a value. Empty for any other number of slots.

    Source: Battelino et al. 2019, doi 10.2337/dci19-0028.
    """
    if not 1.0 <= slots <= SLOTS_MAX:
        return np.empty(0)
    width = int(slots)
    days = by_clock_mg_dl.size // width
    profile = np.full(5 * width, np.nan)
    ordered = np.empty(days)
    for slot in range(width):
        n = 0
        for day in range(days):
            g = by_clock_mg_dl[day * width + slot]
            if g != g:
                continue
            place = n
            while place > 0 and ordered[place - 1] > g:
                ordered[place] = ordered[place - 1]
                place -= 1
            ordered[place] = g
            n += 1
        if n == 0:
            continue
        for p in range(5):
            share = 0.05 if p == 0 else (0.95 if p == 4 else 0.25 * p)
            h = (n - 1) * share
            k = int(h)
            above = ordered[min(k + 1, n - 1)]
            profile[5 * slot + p] = ordered[k] + (h - k) * (above - ordered[k])
    return profile


def agp(on_grid: Grid, days: int = PROFILE_DAYS) -> F64:
    """Profile of the `days` times 24 hours that end with the last reading, by the wearer's clock.

    Returns:
        float64[slots, 5]: `PERCENTILES` one step after midnight, two steps, ..., at the next midnight; no rows
        for an empty grid.
    """
    if on_grid.slots == 0 or on_grid.by_clock_mg_dl.size == 0:
        return np.zeros((0, len(PERCENTILES)))
    seen = np.flatnonzero(~np.isnan(on_grid.by_clock_mg_dl))
    begin = max(0, seen[-1] + 1 - days * on_grid.slots) if seen.size else 0
    midnight = begin // on_grid.slots * on_grid.slots
    lately = on_grid.by_clock_mg_dl[midnight:].copy()
    lately[: begin - midnight] = np.nan
    return clock_percentiles(lately, float(on_grid.slots)).reshape(-1, len(PERCENTILES))
