"""Glucose 15, 30 and 60 minutes ahead, with an interval, learnt from the wearer as readings come.

A linear model on the last hour starts from the weights of a population and follows its wearer by recursive
least squares; the interval's width follows how well it has done. Strictly causal: a forecast is learnt from
only when the reading it was about has come.

The covariance can never exceed the population's, an error counts no more than 60 mg/dL, and a covariance that
rounding has spoilt starts anew: there is no wind-up and no divergence.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.compiled import njit
from dsp.glucose.readings import JUMP_MG_DL_MIN

HORIZONS_MIN = (15.0, 30.0, 60.0)
FEATURES = 20
SPREADS = 6
# What `Population.packed` and the state hold, one after the other.
POPULATION_SIZE = FEATURES * FEATURES + 3 * FEATURES + 3 * SPREADS + 6
LEAST_MG_DL, MOST_MG_DL = 20.0, 600.0  # of a forecast: what some sensor reports or some person survives
_RING = 32
_ENTRY = FEATURES + 11
# Forgetting factor of the weights, relative step of the interval's quantiles, as how many readings the population
# counts, and from which departure on a reading is a jump.
PACE = (0.9998, 0.02, 700.0, JUMP_MG_DL_MIN)
# Time of the newest reading, where in the ring the next one goes, how many are there, number of forecasts noted; ring
# of readings; forecasts; weights; covariances; quantiles; how many readings are steady.
STATE_SIZE = 4 + 2 * _RING + _RING * _ENTRY + 3 * FEATURES + 3 * FEATURES * FEATURES + 6 + 1


class Population(NamedTuple):
    """What a new wearer starts from.

    Attributes:
        whitening: float64[20, 20], lower triangle; makes the features uncorrelated with unit mean square.
        weights: float64[3, 20], of the whitened features, for the change to each horizon in 10 mg/dL.
        spread: float64[3, 6], the expected absolute error of each horizon in mg/dL, from `_spread`.
        quantiles: float64[3, 2], 5 % and 95 % quantile of error / expected absolute error, as distances.
    """

    whitening: F64
    weights: F64
    spread: F64
    quantiles: F64

    def packed(self) -> F64:
        """As the kernel takes it."""
        return np.concatenate([part.ravel() for part in self])


def initial_state(population: F64) -> F64:
    """State before the first reading of a wearer.

    Args:
        population: float64[484], `Population.packed`.
    """
    state = np.zeros(STATE_SIZE)
    state[0] = np.nan
    weights = 4 + 2 * _RING + _RING * _ENTRY
    state[weights : weights + 3 * FEATURES] = population[FEATURES**2 : FEATURES**2 + 3 * FEATURES]
    for h in range(3):
        at = weights + 3 * FEATURES + h * FEATURES**2
        state[at : at + FEATURES**2] = np.eye(FEATURES).ravel()
    state[-7:-1] = population[-6:]
    return state


def lose_time(state: F64) -> None:
    """Forget the readings and the forecasts not judged yet, in place; what was learnt stays."""
    state[0] = np.nan
    state[1:4] = 0.0
    state[-1] = 0.0


@njit
def _lags(t_ring: F64, g_ring: F64, newest: int, count: int) -> tuple[F64, int]:
    """Glucose 0, 5, ..., 55 min before the newest reading, and how many of them there are.

    Between readings at most 20 min apart it is interpolated; beyond the first longer distance, or before the first
    reading, the oldest value stands in.
    """
    lags = np.empty(12)
    known = 1
    lags[0] = g_ring[newest]
    now = t_ring[newest]
    back = 0
    for k in range(1, 12):
        t = now - 5.0 * k
        while back < count and t_ring[(newest - back) % 32] > t:
            back += 1
        if back >= count:
            break
        i = (newest - back) % 32
        j = (newest - back + 1) % 32
        apart = t_ring[j] - t_ring[i]
        if apart > 20.0:
            break
        lags[k] = g_ring[i] + (g_ring[j] - g_ring[i]) * (t - t_ring[i]) / apart
        known += 1
    lags[known:] = lags[known - 1]
    return lags, known


@njit
def _features(lags: F64) -> F64:
    """The twenty features: level, its hinges, eleven steps, and how fast and how unsteady it moves."""
    x = np.empty(20)
    level = (lags[0] - 140.0) / 50.0
    slope = (lags[0] - lags[3]) / 30.0
    for k in range(11):
        x[k] = (lags[k] - lags[k + 1]) / 10.0
    total = 0.0
    for g in lags:
        total += g
    mean = total / 12.0
    squares = 0.0
    for g in lags:
        squares += (g - mean) ** 2
    x[11] = 1.0
    x[12] = level
    x[13] = level * level
    x[14] = max(0.0, (90.0 - lags[0]) / 20.0)
    x[15] = max(0.0, (lags[0] - 250.0) / 50.0)
    x[16] = slope * level
    x[17] = abs(slope)
    x[18] = slope * abs(slope)
    x[19] = np.sqrt(squares / 12.0) / 20.0
    return x


@njit
def _spread(x: F64, known: int) -> F64:
    """What the expected absolute error depends on."""
    s = np.empty(6)
    s[0] = 1.0
    s[1] = x[17]
    s[2] = abs(x[0])
    s[3] = x[19]
    s[4] = max(0.0, min(x[12], 3.0))
    s[5] = (12.0 - known) / 12.0
    return s


@njit
def feature_rows(t_min: F64, glucose_mg_dl: F64, fastest: float) -> F64x2:
    """Features and spread of every reading of a trace, for training.

    Args:
        t_min: float64[n], min, strictly increasing.
        glucose_mg_dl: float64[n], mg/dL, finite.
        fastest: mg/dL/min; what departs farther from the trend is a jump, and ends what is known.

    Returns:
        float64[n, 27]: twenty features, six of the spread, the number of known lags.
    """
    rows = np.empty((t_min.size, 27))
    t_ring = np.zeros(32)
    g_ring = np.zeros(32)
    newest = -1
    count = 0
    for k in range(t_min.size):
        if _is_jump(t_ring, g_ring, newest, count, t_min[k], glucose_mg_dl[k], fastest):
            count = 0
        newest, count = _remember(t_ring, g_ring, newest, count, t_min[k], glucose_mg_dl[k])
        lags, known = _lags(t_ring, g_ring, newest, count)
        x = _features(lags)
        spread = _spread(x, known)
        for i in range(20):
            rows[k, i] = x[i]
        for i in range(6):
            rows[k, 20 + i] = spread[i]
        rows[k, 26] = known
    return rows


@njit
def _is_jump(t_ring: F64, g_ring: F64, newest: int, count: int, t: float, g: float, fastest: float) -> bool:
    """Whether a reading departs from the trend before it by more than `fastest` mg/dL/min, over 5 min at least.

    Where readings are missing before it, it counts as over 5 min: the sensor may have been restarted meanwhile.
    """
    if count < 1:
        return False
    apart = t - t_ring[newest]
    usual = apart
    rate = 0.0
    for k in range(min(count, 8) - 1):
        i = (newest - k) % 32
        j = (newest - k - 1) % 32
        step = t_ring[i] - t_ring[j]
        usual = min(usual, step)
        if k == 0 and step <= 20.0:
            rate = (g_ring[i] - g_ring[j]) / max(5.0, step)
    off = g - g_ring[newest] - min(3.0, max(-3.0, rate)) * apart
    is_after_missing = apart > 2.1 * max(5.0, usual)
    return bool(abs(off) > fastest * (5.0 if is_after_missing else max(5.0, apart)))


@njit
def _remember(t_ring: F64, g_ring: F64, newest: int, count: int, t: float, g: float) -> tuple[int, int]:
    """Put a reading into the ring; the one before it goes if it came within 2.5 min of its own predecessor."""
    if count >= 2 and t_ring[newest] - t_ring[(newest - 1) % 32] < 2.5:
        newest = (newest - 1) % 32
        count -= 1
    newest = (newest + 1) % 32
    t_ring[newest] = t
    g_ring[newest] = g
    return newest, min(count + 1, 32)


@njit
def _learn(weights: F64, p: F64, z: F64, error: float, forgetting: float, trust: float) -> None:
    """One step of recursive least squares on whitened features, in place.

    The covariance p starts as the unit matrix, whose trace bounds it: it forgets only while it is smaller.
    """
    n = z.size
    pz = np.zeros(n)
    trace = 0.0
    zpz = 0.0
    for j in range(n):
        row = p[j * n : j * n + n]
        zj = z[j]
        for i in range(n):
            pz[i] += row[i] * zj
        trace += row[j]
    for i in range(n):
        zpz += z[i] * pz[i]
    if not (zpz >= 0.0 and trace <= 2.0 * n):
        for i in range(n * n):
            p[i] = 1.0 if i % (n + 1) == 0 else 0.0
        return
    rate = forgetting if trace < forgetting * n else 1.0
    s = rate * trust + zpz
    if not (s > 0.0 and rate > 0.0):
        return
    step = min(6.0, max(-6.0, error)) / s
    shrink = 1.0 / s
    grow = 1.0 / rate
    for i in range(n):
        weights[i] += pz[i] * step
        row = p[i * n : i * n + n]
        pzi = pz[i]
        for j in range(n):
            row[j] = (row[j] - pzi * pz[j] * shrink) * grow


@njit
def _judge(state: F64, t: float, g: float, pace: F64) -> None:
    """Learn from the forecasts that were about this reading: weights, then quantiles of the interval."""
    at_w = 4 + 64 + 32 * 31
    at_p = at_w + 60
    at_q = state.size - 7
    for h in range(3):
        ahead = 15.0 * 2.0**h
        best = -1
        for i in range(32):
            e = 68 + i * 31
            if i >= state[3] or state[e + 1 + h] != 0.0:
                continue
            if abs(t - state[e] - ahead) < 2.5 and (
                best < 0 or abs(t - state[e] - ahead) < abs(t - state[best] - ahead)
            ):
                best = e
        if best < 0:
            continue
        state[best + 1 + h] = 1.0
        error = (g - state[best + 4 + h]) / state[best + 7 + h]
        q = state[at_q + 2 * h : at_q + 2 * h + 2]
        q[0] = min(12.0, max(0.3, q[0] + pace[1] * q[0] * ((1.0 if -error > q[0] else 0.0) - 0.047)))
        q[1] = min(12.0, max(0.3, q[1] + pace[1] * q[1] * ((1.0 if error > q[1] else 0.0) - 0.047)))
        w = state[at_w + 20 * h : at_w + 20 * h + 20]
        z = state[best + 11 : best + 31]
        change = 0.0
        for i in range(20):
            change += w[i] * z[i]
        _learn(
            w,
            state[at_p + 400 * h : at_p + 400 * h + 400],
            z,
            0.1 * (g - state[best + 10]) - change,
            pace[0],
            pace[2],
        )


@njit
def _keep(state: F64, t: float, g: float, z: F64, row: F64, known: int) -> None:
    """Note the forecast, to be judged later; one in 2.5 min, and only where at least half an hour is known."""
    if known < 7:
        return
    slot = int(state[3]) % 32
    newest = 68 + ((slot - 1) % 32) * 31
    if state[3] > 0.0 and t - state[newest] < 2.5:
        return
    e = 68 + slot * 31
    state[e] = t
    for h in range(3):
        state[e + 1 + h] = 0.0
        state[e + 4 + h] = row[3 * h]
        state[e + 7 + h] = row[9 + h]
    state[e + 10] = g
    for i in range(20):
        state[e + 11 + i] = z[i]
    state[3] += 1.0


@njit
def _forecast(state: F64, t: float, g: float, population: F64, pace: F64, row: F64) -> None:
    """Fill in what `advance` says at this reading, and note it, to be judged later."""
    at_w = 4 + 64 + 32 * 31
    newest, count = int(state[1]) - 1, int(state[2])
    if _is_jump(state[4:36], state[36:68], newest, count, t, g, pace[3]):
        count = 0
    is_steady = count > 0 and t - state[4 + newest % 32] <= 20.0
    state[state.size - 1] = state[state.size - 1] + 1.0 if is_steady else 1.0
    newest, count = _remember(state[4:36], state[36:68], newest, count, t, g)
    state[1] = newest + 1
    state[2] = count
    lags, known = _lags(state[4:36], state[36:68], newest, count)
    x = _features(lags)
    spread = _spread(x, known)
    z = np.zeros(20)
    for i in range(20):
        whitening = population[20 * i : 20 * i + i + 1]
        for j in range(i + 1):
            z[i] += whitening[j] * x[j]
    for h in range(3):
        change = 0.0
        for i in range(20):
            change += state[at_w + 20 * h + i] * z[i]
        expected = 0.0
        for i in range(6):
            expected += population[460 + 6 * h + i] * spread[i]
        expected = max(expected, 2.0)
        forecast = min(MOST_MG_DL, max(LEAST_MG_DL, g + 10.0 * change))
        q = state.size - 7 + 2 * h
        row[3 * h] = forecast
        row[3 * h + 1] = max(LEAST_MG_DL, forecast - state[q] * expected)
        row[3 * h + 2] = min(MOST_MG_DL, forecast + state[q + 1] * expected)
        row[9 + h] = expected
    row[12] = 5.0 * (known - 1)
    row[13] = state[state.size - 1]
    _keep(state, t, g, z, row, known)


@njit
def step(
    state: F64, t: float, g: float, population: F64, pace: F64
) -> tuple[float, float, float, float, float, float, float, float, float, float, float, float, float, float]:
    """Take in one reading and forecast: a row of `advance`."""
    row = np.full(14, np.nan)
    if np.isfinite(t) and np.isfinite(g) and not t <= state[0]:
        state[0] = t
        _judge(state, t, g, pace)
        _forecast(state, t, g, population, pace, row)
    return (
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        row[13],
    )


@njit
def advance(state: F64, t_min: F64, glucose_mg_dl: F64, population: F64, pace: F64) -> F64x2:
    """Take in readings, oldest first, and forecast at each.

    Args:
        state: float64[STATE_SIZE] of `initial_state`, changed in place.
        t_min: float64[n], min.
        glucose_mg_dl: float64[n], mg/dL.
        population: float64[484], `Population.packed`.
        pace: float64[4], `PACE`; without a positive trust or forgetting factor nothing is learnt.

    Returns:
        float64[n, 14]: forecast, lower and upper end of the 90 % interval for 15, 30 and 60 min in mg/dL, the
        three expected absolute errors, how many minutes before the reading are known (0 to 55), and how many
        readings in a row are steady: without a jump or more than 20 min between them. NaN where a reading is no
        number or not newer than the one before: it is passed over. After a gap or a jump, or at the beginning, the
        trend counts as level as far as it is unknown.
    """
    out = np.empty((t_min.size, 14))
    for k in range(t_min.size):
        out[k] = step(state, t_min[k], glucose_mg_dl[k], population, pace)
    return out
