"""Everything that is said about a reading the moment it comes: smoothing, rate, forecasts, alerts, labels.

One `Wearer` per person. It is a few thousand numbers, changed in place by every reading, and can be written
to a store and read back, so that what was learnt about its wearer survives a restart.
"""

import itertools
import math
import struct
import zlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from dsp.glucose import alerts, compression, forecast, smoothing
from dsp.glucose.arrows import DEXCOM, TREND_MIN, arrow
from dsp.glucose.population import POPULATION
from dsp.glucose.readings import HI_MG_DL, LO_MG_DL, T_MAX_MIN, in_time, on_scale

DYNAMICS = smoothing.Dynamics().packed()
RULES = alerts.Rules().packed()
SIGNS = compression.Signs().packed()
PACE = np.array(forecast.PACE)
MOST_MG_DL = 1000.0  # what is above counts as this: a slip of the comma must not spoil what was learnt

# So many readings in a row, each newer than the last but all older than the newest: the newest was misdated.
BEHIND = 6
CLOCK_SIZE = 3

_MAGIC = b"vgw4"
_SIZES = (smoothing.STATE_SIZE, forecast.STATE_SIZE, alerts.STATE_SIZE, compression.STATE_SIZE, CLOCK_SIZE)


class Wearer(NamedTuple):
    """What is known of a person: float64 vectors changed in place.

    Attributes:
        smoothing, forecast, alerts, compression: the states of the four kernels.
        clock: time of the newest reading, of the last one older than that, and how many of these in a row.
    """

    smoothing: F64
    forecast: F64
    alerts: F64
    compression: F64
    clock: F64


class Live(NamedTuple):
    """What a reading says. NaN where it says nothing: a reading without a value, or not newer than the last.

    Attributes:
        glucose_mg_dl: smoothed.
        rate_mg_dl_min: rate of change.
        rate_sd_mg_dl_min: its standard deviation.
        noise: size of the last hour's surprises, 1 = as expected of a good sensor.
        grade: index of `smoothing.GRADES`.
        trend_min: how many minutes before the reading are known, 0 to 55.
        steady: how many readings in a row are without a jump or more than 20 min between them.
        in_15_mg_dl .. in_60_high_mg_dl: forecasts, each with its 90 % interval.
        low .. high_ahead: alerts, 1.0 or 0.0.
        compression: 1.0 while the sensor is possibly compressed. A label only.
    """

    glucose_mg_dl: float
    rate_mg_dl_min: float
    rate_sd_mg_dl_min: float
    noise: float
    grade: float
    trend_min: float
    steady: float
    in_15_mg_dl: float
    in_15_low_mg_dl: float
    in_15_high_mg_dl: float
    in_30_mg_dl: float
    in_30_low_mg_dl: float
    in_30_high_mg_dl: float
    in_60_mg_dl: float
    in_60_low_mg_dl: float
    in_60_high_mg_dl: float
    low: float
    very_low: float
    high: float
    low_ahead: float
    high_ahead: float
    compression: float


def new_wearer() -> Wearer:
    """Someone of whom nothing is known yet: the population."""
    return Wearer(
        smoothing.initial_state(),
        forecast.initial_state(POPULATION),
        alerts.initial_state(),
        compression.initial_state(),
        np.array([np.nan, np.nan, 0.0]),
    )


def _turned_back(clock: F64, t: float, g: float) -> bool:
    """Whether the clock proves by this reading to have been ahead; from then on it is right."""
    if math.isnan(t) or math.isnan(g):
        return False
    if not t <= clock[0]:
        clock[0] = t
        if clock[2] > 0.0:
            clock[1:] = math.nan, 0.0
        return False
    clock[2] = 1.0 if not t >= clock[1] else clock[2] + float(t > clock[1])
    clock[1] = t
    if clock[2] < BEHIND:
        return False
    clock[:] = t, math.nan, 0.0
    return True


def begin_session(wearer: Wearer) -> None:
    """Another sensor begins, and its own time: forget the readings, in place. What was learnt of the wearer stays."""
    _lose_time(wearer)
    wearer.clock[:] = math.nan, math.nan, 0.0


def _lose_time(wearer: Wearer) -> None:
    wearer.smoothing[:] = smoothing.initial_state()
    forecast.lose_time(wearer.forecast)
    alerts.lose_time(wearer.alerts)
    wearer.compression[:] = compression.initial_state()


def follow(wearer: Wearer, t_min: npt.ArrayLike, glucose_mg_dl: npt.ArrayLike, rules: F64 = RULES) -> F64:
    """Take in any number of readings, oldest first; the fields of `Live` of each.

    A reading at a time is the same as all at once.

    Args:
        wearer: changed in place.
        t_min: n times in minutes on an axis without jumps. A reading not newer than the newest is passed over,
            except that a value beyond a limit alerts. The sixth in a row of such, each newer than the last, shows
            that the clock was ahead before: what was known of the last hour is given up, and all goes on from it.
        glucose_mg_dl: n values in mg/dL; NaN or not above 0 no measurement, -inf LO (39), +inf HI (401).
        rules: `alerts.Rules.packed`.

    Returns:
        float64[n, 22].
    """
    t = in_time(as_f64(t_min))
    g = np.minimum(on_scale(as_f64(glucose_mg_dl)), MOST_MG_DL)
    readings = enumerate(zip(t.tolist(), g.tolist(), strict=True))
    back = [k for k, (minute, value) in readings if _turned_back(wearer.clock, minute, value)]
    parts = []
    for first, end in itertools.pairwise((0, *back, t.size)):
        if first in back:
            _lose_time(wearer)
        parts.append(_follow(wearer, t[first:end], g[first:end], rules))
    return np.concatenate(parts)


def _follow(wearer: Wearer, t: F64, g: F64, rules: F64) -> F64:
    """Readings among which the clock is not turned back."""
    out = np.empty((t.size, len(Live._fields)))
    smooth = smoothing.advance(wearer.smoothing, t, g, DYNAMICS)
    ahead = forecast.advance(wearer.forecast, t, g, POPULATION, PACE)
    out[:, :5] = smooth
    out[:, 5:7] = ahead[:, 12:]
    out[:, 7:16] = ahead[:, :9]
    in_15, steady = ahead[:, 0].copy(), ahead[:, 13].copy()
    out[:, 16:21] = alerts.advance(wearer.alerts, t, g, in_15, steady, rules)[:, :5]
    out[:, 21] = compression.advance(wearer.compression, t, g, SIGNS)
    return out


def update(wearer: Wearer, t_min: float, glucose_mg_dl: float, rules: F64 = RULES) -> Live:
    """Take in one reading, as `follow` does, without its overhead for arrays."""
    t = float(t_min) if abs(t_min) <= T_MAX_MIN else math.nan
    g = float(glucose_mg_dl)
    if math.isinf(g):
        g = HI_MG_DL if g > 0.0 else LO_MG_DL
    g = min(g, MOST_MG_DL) if g > 0.0 else math.nan
    if _turned_back(wearer.clock, t, g):
        _lose_time(wearer)
    smooth = smoothing.step(wearer.smoothing, t, g, DYNAMICS)
    ahead = forecast.step(wearer.forecast, t, g, POPULATION, PACE)
    alarm = alerts.step(wearer.alerts, t, g, ahead[0], ahead[13], rules)
    label = compression.step(wearer.compression, t, g, SIGNS)
    return Live._make((*smooth, *ahead[12:], *ahead[:9], *alarm[:5], label))


def trend(live: Live, system: tuple[tuple[float, str], ...] = DEXCOM) -> str | None:
    """The arrow to draw; None where less than 15 min before the reading are known."""
    return arrow(live.rate_mg_dl_min, system) if live.trend_min >= TREND_MIN else None


def dump(wearer: Wearer) -> bytes:
    """A wearer as bytes, with a checksum."""
    body = b"".join(state.astype("<f8").tobytes() for state in wearer)
    return _MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def load(saved: bytes) -> Wearer:
    """A wearer from what `dump` wrote.

    Raises:
        ValueError: something else, or of another version; begin with `new_wearer` then.
    """
    body = saved[8:]
    if saved[:4] != _MAGIC or len(body) != 8 * sum(_SIZES):
        raise ValueError("not a saved wearer of this version")
    if struct.unpack("<I", saved[4:8]) != (zlib.crc32(body),):
        raise ValueError("the saved wearer is damaged")
    numbers = np.frombuffer(body, "<f8").astype(np.float64)
    return Wearer._make(as_f64(part) for part in np.split(numbers, np.cumsum(_SIZES)[:-1]))
