"""Glucose and its rate of change behind a sensor's coloured noise: Kalman filters, one reading at a time.

Sensor noise is not white: it drifts for half an hour, and a filter that takes it for white noise lags without
becoming better. So the noise is part of the state. Glucose itself is calm for hours and then moves at once, when
a meal or insulin acts: an interacting multiple model (Blom and Bar-Shalom 1988) has a filter for each mode and
weighs them by how well they have foretold the readings. Strictly causal.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.compiled import njit
from dsp.glucose.readings import STEP_MG_DL_MIN

# By how many times the innovations exceed a good sensor's: light from 2.2, medium 3.4, heavy 5.2. Of real G6
# readings 75 % are clean and 1 % heavy. The first half hour of a stretch of readings is the warm-up.
GRADES = ("clean", "light", "medium", "heavy", "warm_up")
# Time of the newest reading, time of the first of its stretch, surprise, scale of the noise's variance, weights of
# the four modes, and a filter for each: x[5] = glucose, rate, drive, two parts of the noise, and P[25]. Newest reading.
STATE_SIZE = 8 + 4 * 30 + 1

Four = tuple[float, float, float, float]


class Dynamics(NamedTuple):
    """How glucose moves, and what the sensor adds.

    Glucose is the integral of its rate, which follows a drive with time constant `rate_tau_min`; the drive
    returns to the mode's `drive` (mg/dL/min^2) with time constant `drive_tau_min` and is stirred by white noise
    of the mode's density `stir`. The modes are calm, rise, fall and sudden rise; `switch` has the odds of
    changing from one (row) to another (column) within five minutes. The sensor adds a second-order
    autoregression in steps of 5 min with real roots, and rounding.

    The autoregression is the population mean published for the Dexcom G6 (Vettoretti et al. 2019). The rest
    was fitted by CMA-ES to the rates of 8 virtual patients of UVA/Padova, 6 bodies of Hovorka and 6 smoothed
    recordings of AZT1D behind that noise; `tools/bench/glucose_live.py` has 38 people and other days.
    """

    drive_tau_min: float = 11.2
    rate_tau_min: Four = (52.9, 17.3, 16.7, 8.2)
    drive: Four = (0.0, 0.0961, -0.0508, 0.105)
    stir: Four = (2.23e-06, 0.000381, 0.000151, 0.0143)
    switch: tuple[Four, Four, Four, Four] = (
        (0.9795, 0.0149, 0.0006, 0.005),
        (0.0152, 0.8272, 0.1369, 0.0207),
        (0.0758, 0.0132, 0.9081, 0.0029),
        (0.0026, 0.088, 0.073, 0.8364),
    )
    noise: tuple[float, float] = (1.22, -0.331)
    noise_var: float = 3.641
    rounding_var: float = 1.0 / 12.0
    fastest_mg_dl_min: float = STEP_MG_DL_MIN

    def packed(self) -> F64:
        """As the kernels take it, with the roots of the autoregression in place of its coefficients."""
        roots = np.roots([1.0, -self.noise[0], -self.noise[1]]).real
        modes = np.ravel((self.rate_tau_min, self.drive, self.stir, *self.switch))
        one = (self.noise_var, self.rounding_var, self.drive_tau_min)
        return np.array([*roots, *one, *modes, self.fastest_mg_dl_min])


class Smoothed(NamedTuple):
    """What the filters say at a reading; see `advance`."""

    glucose_mg_dl: float
    rate_mg_dl_min: float
    rate_sd_mg_dl_min: float
    noise: float
    grade: float


def initial_state() -> F64:
    """State before the first reading."""
    state = np.zeros(STATE_SIZE)
    state[0] = np.nan
    state[2] = state[3] = 1.0
    return state


@njit
def _begin(state: F64, t: float, g: float, noise: F64) -> None:
    """A new stretch of readings: level known, rate 0, both within the population's spread."""
    state[1] = t
    state[4:8] = 0.25
    state[8:128] = 0.0
    for m in range(4):
        kalman = state[8 + 30 * m : 38 + 30 * m]
        kalman[0] = g
        kalman[5] = 1e4
        kalman[11] = 0.5
        kalman[17] = 1e-3
        for i in range(2):
            for j in range(2):
                kalman[5 + 5 * (3 + i) + 3 + j] = noise[2] / (1.0 - noise[i] * noise[j])


@njit
def _mix(state: F64, switch: F64, dt: float) -> None:
    """Each filter goes on from the mixture of all that may have turned into its mode; weights in place."""
    before = state[8:128].copy()
    share = np.zeros(16)
    weights = state[4:8].copy()
    for i in range(4):
        leave = 0.0
        for j in range(4):
            if j != i:
                share[4 * i + j] = weights[i] * min(0.25, switch[4 * i + j] * dt / 5.0)
                leave += share[4 * i + j]
        share[5 * i] = weights[i] - leave
    for m in range(4):
        total = share[m] + share[4 + m] + share[8 + m] + share[12 + m]
        state[4 + m] = total
        kalman = state[8 + 30 * m : 38 + 30 * m]
        kalman[:] = 0.0
        for i in range(4):
            for a in range(5):
                kalman[a] += share[4 * i + m] / total * before[30 * i + a]
        for i in range(4):
            part = share[4 * i + m] / total
            for a in range(5):
                off = part * (before[30 * i + a] - kalman[a])
                for b in range(a, 5):
                    kalman[5 + 5 * a + b] += part * before[30 * i + 5 + 5 * a + b] + off * (
                        before[30 * i + b] - kalman[b]
                    )
        for a in range(5):
            for b in range(a):
                kalman[5 + 5 * a + b] = kalman[5 + 5 * b + a]


@njit
def _predict(kalman: F64, rate_tau: float, drive_tau: float, drive: float, stir: float, dt: float) -> None:
    """Glucose, rate and drive after `dt` min: the linear system integrated exactly, in place."""
    a = 1.0 / rate_tau
    b = 1.0 / drive_tau
    c = 1.0 / (a - b)
    e1 = np.exp(-a * dt)
    e2 = np.exp(-b * dt)
    f01 = (1.0 - e1) / a
    f12 = c * (e2 - e1)
    to_drive = (1.0 - e2) / b
    f02 = c * (to_drive - f01)
    x = kalman[:5]
    p = kalman[5:]
    # Beyond its mean the drive is a state that decays; what the mean does is integrated apart.
    x[2] -= drive
    x[0] += f01 * x[1] + f02 * x[2] + drive * (dt - f01) / a
    x[1] = e1 * x[1] + f12 * x[2] + drive * f01
    x[2] = drive + e2 * x[2]
    for j in range(5):
        p[j] += f01 * p[5 + j] + f02 * p[10 + j]
        p[5 + j] = e1 * p[5 + j] + f12 * p[10 + j]
        p[10 + j] *= e2
    for i in range(0, 25, 5):
        p[i] += f01 * p[i + 1] + f02 * p[i + 2]
        p[i + 1] = e1 * p[i + 1] + f12 * p[i + 2]
        p[i + 2] *= e2
    # Integrals over dt of the products of the responses to the noise that stirs the drive.
    aa = (1.0 - e1 * e1) / (2.0 * a)
    bb = (1.0 - e2 * e2) / (2.0 * b)
    ab = (1.0 - e1 * e2) / (a + b)
    d = 1.0 / b - 1.0 / a
    q00 = d * d * dt + bb / (b * b) + aa / (a * a) - 2.0 * (d * to_drive / b - d * f01 / a + ab / (a * b))
    q01 = d * (to_drive - f01) - bb / b + ab / a + ab / b - aa / a
    q02 = d * to_drive - bb / b + ab / a
    p[0] += stir * c * c * q00
    p[1] += stir * c * c * q01
    p[2] += stir * c * q02
    p[6] += stir * c * c * (bb - 2.0 * ab + aa)
    p[7] += stir * c * (bb - ab)
    p[12] += stir * bb
    p[5], p[10], p[11] = p[1], p[2], p[7]


@njit
def _correct(kalman: F64, noise: F64, z1: float, z2: float, g: float) -> tuple[float, float]:
    """The noise's own step, by z1 and z2, then the reading, in place; innovation and its variance."""
    x = kalman[:5]
    p = kalman[5:]
    x[3] *= z1
    x[4] *= z2
    for i in range(5):
        p[15 + i] *= z1
        p[20 + i] *= z2
    for i in range(0, 25, 5):
        p[i + 3] *= z1
        p[i + 4] *= z2
    slow = noise[2] * (1.0 - z1 * z1) / (1.0 - noise[0] * noise[0])
    fast = noise[2] * (1.0 - z2 * z2) / (1.0 - noise[1] * noise[1])
    p[18] += slow
    # Between its steps of 5 min no autoregression exists; one that did would have less in common than this.
    p[19] += min(noise[2] * (1.0 - z1 * z2) / (1.0 - noise[0] * noise[1]), np.sqrt(slow * fast))
    p[23] = p[19]
    p[24] += fast
    h1 = noise[0] / (noise[0] - noise[1])
    h2 = 1.0 - h1
    ph = np.empty(5)
    for i in range(5):
        ph[i] = p[5 * i] + h1 * p[5 * i + 3] + h2 * p[5 * i + 4]
    s = ph[0] + h1 * ph[3] + h2 * ph[4] + noise[3]
    e = g - x[0] - h1 * x[3] - h2 * x[4]
    for i in range(5):
        x[i] += ph[i] * e / s
        for j in range(i, 5):
            p[5 * i + j] -= ph[i] * ph[j] / s
            p[5 * j + i] = p[5 * i + j]
    return e, s


@njit
def _filter(state: F64, dt: float, g: float, dynamics: F64) -> float:
    """All filters and their weights by one reading; its squared innovation relative to that of a good sensor.

    A sensor may be noisier than the published one: over hours the variance follows the innovations.
    """
    noise = dynamics[:4].copy()
    noise[2] *= state[3]
    z1 = noise[0] ** (dt / 5.0)
    z2 = noise[1] ** (dt / 5.0)
    _mix(state, dynamics[17:33], dt)
    mean = square = 0.0
    misfit = np.empty(4)
    for m in range(4):
        kalman = state[8 + 30 * m : 38 + 30 * m]
        _predict(kalman, dynamics[5 + m], dynamics[4], dynamics[9 + m], dynamics[13 + m], dt)
        e, s = _correct(kalman, noise, z1, z2, g)
        mean += state[4 + m] * e
        square += state[4 + m] * (s + e * e)
        misfit[m] = e * e / s + np.log(s)
    least = np.inf
    for m in range(4):
        least = min(least, misfit[m])
    total = 0.0
    for m in range(4):
        state[4 + m] *= np.exp(0.5 * (least - misfit[m]))
        total += state[4 + m]
    for m in range(4):
        state[4 + m] = max(1e-9, state[4 + m] / total)  # no mode is ever given up for lost
    spread = square - mean * mean
    surprise = min(9.0, mean * mean / spread) if spread > 0.0 else 9.0
    scale = min(16.0, max(1.0, float(state[3]) * (1.0 + 0.01 * (surprise - 1.0))))
    state[3] = scale
    return surprise * scale


@njit
def _answer(state: F64) -> tuple[float, float, float]:
    """Glucose, rate and the rate's SD of the filters together."""
    glucose = rate = square = 0.0
    for m in range(4):
        kalman = state[8 + 30 * m : 38 + 30 * m]
        glucose += state[4 + m] * kalman[0]
        rate += state[4 + m] * kalman[1]
        square += state[4 + m] * (kalman[11] + kalman[1] * kalman[1])
    return glucose, rate, np.sqrt(max(0.0, square - rate * rate))


@njit
def _can_be(dynamics: F64) -> bool:
    """Time constants above 0, each mode's other than the drive's, and two parts of the noise that die away."""
    slow, fast, drive_tau = dynamics[0], dynamics[1], dynamics[4]
    can_be = 0.0 <= slow < 1.0 and 0.0 <= fast < 1.0 and slow != fast and drive_tau > 0.0
    for m in range(4):
        can_be = can_be and dynamics[5 + m] > 0.0 and dynamics[5 + m] != drive_tau
    return bool(can_be)


@njit
def step(state: F64, t: float, g: float, dynamics: F64) -> tuple[float, float, float, float, float]:
    """Take in one reading, see `advance`: the fields of `Smoothed`."""
    if not np.isfinite(t) or not np.isfinite(g) or t <= state[0] or not _can_be(dynamics):
        return np.nan, np.nan, np.nan, np.nan, np.nan
    glucose, rate, sd = g, np.inf, np.inf
    apart = t - state[0]
    if apart <= 60.0 and abs(g - state[128]) <= dynamics[33] * max(5.0, apart):
        surprise = _filter(state, t - state[0], g, dynamics)
        state[2] += 0.08 * (surprise - state[2])
        glucose, rate, sd = _answer(state)
    if abs(glucose - g) > 60.0 or abs(rate) > 30.0:
        _begin(state, t, g, dynamics[:4])
        _filter(state, 0.0, g, dynamics)
        glucose, rate, sd = _answer(state)
    state[0], state[128] = t, g
    grade = 3.0 if state[2] > 27.0 else (2.0 if state[2] > 11.6 else (1.0 if state[2] > 4.84 else 0.0))
    if t - state[1] < 30.0:
        grade = 4.0
    return glucose, rate, sd, np.sqrt(state[2]), grade


@njit
def advance(state: F64, t_min: F64, glucose_mg_dl: F64, dynamics: F64) -> F64x2:
    """Take in readings, oldest first.

    Args:
        state: float64[129] of `initial_state`, changed in place.
        t_min: float64[n], min.
        glucose_mg_dl: float64[n], mg/dL.
        dynamics: float64[34], `Dynamics.packed`.

    Returns:
        float64[n, 5]: the fields of `Smoothed` at each reading: glucose; rate; its SD; how many times as large
        as a good sensor's the last hour's innovations are (root mean square); the grade, an index of `GRADES`. NaN
        where a reading is no number or is not newer than the one before: it is passed over. After a gap of
        more than 60 min or a step that no body makes, and where the glucose would be more than 60 mg/dL off the
        reading or the rate beyond 30 mg/dL/min, the filters start anew with rate 0. NaN throughout for dynamics that
        cannot be: a mode as slow as the drive, or noise that does not die away.
    """
    out = np.empty((t_min.size, 5))
    for k in range(t_min.size):
        out[k] = step(state, t_min[k], glucose_mg_dl[k], dynamics)
    return out
