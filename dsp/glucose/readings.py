"""One person's readings in order: the form in which every metric takes them.

This is the only place that knows about unsorted rows, repeated stamps, readings off the sensor's scale and
changes of the clocks. Nothing is interpolated here.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64

DAY_MIN = 1440.0
MG_DL_PER_MMOL_L = 18.0  # as sensors and the sources of the metrics convert; the molar mass would say 18.016
# Readings below and above what a sensor can tell count as just outside the scale common to today's sensors.
LO_MG_DL, HI_MG_DL = 39.0, 401.0
# No body is as fast: the sensor was changed, calibrated or pressed. Over less than 5 min it counts as over 5.
STEP_MG_DL_MIN = 10.0
# What departs so far from the trend before is no trend itself: the sensor was restarted, calibrated or lain on. Of
# 550,000 readings (AZT1D, half of BrisT1D) few in 1,000 do, and forecasts that begin anew there are no worse.
JUMP_MG_DL_MIN = 5.0
T_MAX_MIN = 1e12


class Trace(NamedTuple):
    """Readings of one sensor wearer, oldest first, no two at the same time.

    Attributes:
        t_min: float64[n], minutes that passed since the local midnight before the first reading.
        glucose_mg_dl: float64[n], all finite and above 0.
        clock_min: float64[n], the same instants by the wearer's clock: 1440 * day + minutes since midnight.
            Differs from `t_min` only after a change of the clocks.
    """

    t_min: F64
    glucose_mg_dl: F64
    clock_min: F64


def in_time(t_min: F64) -> F64:
    """NaN for a time so far from the origin (two million years) that it cannot be told from the next."""
    return np.where(np.abs(t_min) <= T_MAX_MIN, t_min, np.nan)


def on_scale(glucose_mg_dl: F64) -> F64:
    """LO and HI (-inf and +inf) as 39 and 401; NaN for what is not above 0: no sensor measures that."""
    g = np.where(np.isinf(glucose_mg_dl), np.where(glucose_mg_dl > 0.0, HI_MG_DL, LO_MG_DL), glucose_mg_dl)
    return np.where(g > 0.0, g, np.nan)


def trace(utc_min: npt.ArrayLike, glucose_mg_dl: npt.ArrayLike, utc_offset_min: npt.ArrayLike = 0.0) -> Trace:
    """Readings as they come, put in order.

    Readings without a time or a value (NaN, or not above 0) are left out, the rest is sorted by time, and of
    readings with the same time the last given is kept. Infinite values stand for LO and HI and become 39 and
    401 mg/dL.

    Args:
        utc_min: n times in minutes, on an axis without jumps; any origin.
        glucose_mg_dl: n values in mg/dL; NaN no measurement, -inf LO, +inf HI.
        utc_offset_min: what the wearer's clock showed beyond `utc_min` at each reading, one or n values.
    """
    t = in_time(as_f64(utc_min))
    g = as_f64(glucose_mg_dl)
    offset = np.broadcast_to(np.asarray(utc_offset_min, dtype=np.float64), t.shape)
    g = on_scale(g)
    valid = ~np.isnan(t) & ~np.isnan(g)
    t, g, offset = t[valid], g[valid], offset[valid]
    if t.size == 0:
        return Trace(as_f64([]), as_f64([]), as_f64([]))
    first = t.size - 1 - np.argmin(t[::-1])
    midnight = np.floor((t[first] + offset[first]) / DAY_MIN) * DAY_MIN
    passed = t - (midnight - offset[first])
    clock = t + (offset - midnight)
    if not np.all(passed[1:] > passed[:-1]):
        order = np.argsort(passed, kind="stable")
        kept = order[np.append(np.diff(passed[order]) > 0.0, True)]
        passed, g, clock = passed[kept], g[kept], clock[kept]
    return Trace(as_f64(passed), as_f64(g), as_f64(clock))
