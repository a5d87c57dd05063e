"""Glucose and its rate of change behind a sensor's coloured noise: Kalman filters, one reading at a time.

Sensor noise is not white: it drifts for half an hour, and a filter that takes it for white noise lags without
becoming better. So the noise is part of the state. Two filters run side by side, one for calm hours and one for
meals, and what they say is weighed by how well each has foretold the last readings. Strictly causal.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from dsp.arrays import F64

# By how many times the innovations exceed what the filters expect: light from 1.8, medium 2.5, heavy 3.3. Of real
# G6 readings about 75 % are clean and 1 % heavy. The first half hour of a stretch of readings is the warm-up.
GRADES = ("clean", "light", "medium", "heavy", "warm_up")
STATE_SIZE = 80


class Dynamics(NamedTuple):
    """How glucose moves, and what the sensor adds.

    Glucose is the integral of its rate; the rate follows a drive with time constant `rate_tau_min`; the drive
    decays with `drive_tau_min` and is stirred by white noise of density `calm` or `active`. The sensor adds a
    second-order autoregression in steps of 5 min with real roots, and rounding.

    The autoregression is the population mean published for the Dexcom G6 (Vettoretti et al. 2019), the rest
    was chosen on simulated bodies.
    """

    rate_tau_min: float = 30.0
    drive_tau_min: float = 14.0
    calm: float = 1.5e-5
    active: float = 3e-4
    noise: tuple[float, float] = (1.22, -0.331)
    noise_var: float = 3.641
    rounding_var: float = 1.0 / 12.0
    memory: float = 0.8

    def packed(self) -> F64:
        """As the kernel takes it, with the roots of the autoregression in place of its coefficients."""
        roots = np.roots([1.0, -self.noise[0], -self.noise[1]]).real
        tail = (*roots, self.noise_var, self.rounding_var, self.memory)
        return np.array([self.rate_tau_min, self.drive_tau_min, self.calm, self.active, *tail])


class Smoothed(NamedTuple):
    """What the filters say at a reading; see `advance`."""

    glucose_mg_dl: float
    rate_mg_dl_min: float
    rate_sd_mg_dl_min: float
    noise: float
    grade: float
    active: float


def initial_state() -> F64:
    """State before the first reading."""
    state = np.zeros(STATE_SIZE)
    state[0] = np.nan
    return state


@njit(cache=True)
def _span(rate_tau: float, drive_tau: float, dt: float, f: F64, q: F64) -> None:
    """Fill in transition f[9] of glucose, rate and drive over `dt` min, and the covariance q[9] that a drive
    of unit density adds: eight-point Gauss-Legendre quadrature of the response to it.
    """
    a = 1.0 / rate_tau
    b = 1.0 / drive_tau
    q[:] = 0.0
    for node in range(9):
        if node == 8:
            t = dt
            weight = 0.0
        else:
            i = node // 2
            place = (0.1834346424956498, 0.5255324099163290, 0.7966664774136267, 0.9602898564975363)[i]
            weight = (0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763)[i]
            t = 0.5 * dt * (1.0 + (place if node % 2 == 0 else -place))
            weight *= 0.5 * dt
        e1 = np.exp(-a * t)
        e2 = np.exp(-b * t)
        f[2] = ((1.0 - e2) / b - (1.0 - e1) / a) / (a - b)
        f[5] = (e2 - e1) / (a - b)
        f[8] = e2
        f[1] = (1.0 - e1) / a
        f[4] = e1
        for i in range(3):
            for j in range(3):
                q[3 * i + j] += weight * f[3 * i + 2] * f[3 * j + 2]
    f[0] = 1.0


@njit(cache=True)
def _step(
    kalman: F64, f: F64, q: F64, density: float, noise: F64, dt: float, g: float
) -> tuple[float, float]:
    """Predict and correct one filter in place; innovation and its variance.

    kalman: x[5] = glucose, rate, drive, two modes of the noise; P[25].
    """
    x = kalman[:5]
    p = kalman[5:]
    z1 = noise[0] ** (dt / 5.0)
    z2 = noise[1] ** (dt / 5.0)
    x[0] += f[1] * x[1] + f[2] * x[2]
    x[1] = f[4] * x[1] + f[5] * x[2]
    x[2] *= f[8]
    x[3] *= z1
    x[4] *= z2
    for j in range(5):
        p[j] += f[1] * p[5 + j] + f[2] * p[10 + j]
        p[5 + j] = f[4] * p[5 + j] + f[5] * p[10 + j]
        p[10 + j] *= f[8]
        p[15 + j] *= z1
        p[20 + j] *= z2
    for i in range(5):
        j = 5 * i
        p[j] += f[1] * p[j + 1] + f[2] * p[j + 2]
        p[j + 1] = f[4] * p[j + 1] + f[5] * p[j + 2]
        p[j + 2] *= f[8]
        p[j + 3] *= z1
        p[j + 4] *= z2
    for i in range(3):
        for j in range(3):
            p[5 * i + j] += density * q[3 * i + j]
    p[18] += noise[2] * (1.0 - z1 * z1) / (1.0 - noise[0] * noise[0])
    p[19] += noise[2] * (1.0 - z1 * z2) / (1.0 - noise[0] * noise[1])
    p[23] = p[19]
    p[24] += noise[2] * (1.0 - z2 * z2) / (1.0 - noise[1] * noise[1])
    h1 = noise[0] / (noise[0] - noise[1])
    h2 = -noise[1] / (noise[0] - noise[1])
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


@njit(cache=True)
def _begin(state: F64, t: float, g: float, dynamics: F64) -> None:
    """A new stretch of readings: level known, rate 0, both within the population's spread."""
    noise = dynamics[4:9]
    state[1:61] = 0.0
    for c in range(2):
        x = state[1 + 30 * c : 31 + 30 * c]
        x[0] = g
        x[5] = 1e4
        x[11] = 0.5
        x[17] = 1e-3
        for i in range(2):
            for j in range(2):
                x[5 + 5 * (3 + i) + 3 + j] = noise[2] / (1.0 - noise[i] * noise[j])
        state[61 + c] = 0.0
    state[63] = 1.0
    state[64] = t


@njit(cache=True)
def advance(state: F64, t_min: F64, glucose_mg_dl: F64, dynamics: F64) -> F64:
    """Take in readings, oldest first.

    Args:
        state: float64[80] of `initial_state`, changed in place.
        t_min: float64[n], min.
        glucose_mg_dl: float64[n], mg/dL.
        dynamics: float64[9], `Dynamics.packed`.

    Returns:
        float64[n, 6]: the fields of `Smoothed` at each reading: glucose; rate; its SD; how many times as large
        as expected the last hour's innovations are (root mean square); the grade, an index of `GRADES`; the
        weight of the active filter. NaN where a reading is no number or is not newer than the one before: it
        is passed over. After a gap of more than 60 min the filters start anew with rate 0.
    """
    noise = dynamics[4:9]
    f = np.zeros(9)
    q = np.zeros(9)
    out = np.full((t_min.size, 6), np.nan)
    for k in range(t_min.size):
        t = t_min[k]
        g = glucose_mg_dl[k]
        if not np.isfinite(t) or not np.isfinite(g) or t <= state[0]:
            continue
        dt = t - state[0]
        if not dt <= 60.0:
            _begin(state, t, g, dynamics)
            dt = 0.0
        least = np.inf
        _span(dynamics[0], dynamics[1], dt, f, q)
        for c in range(2):
            e, s = _step(state[1 + 30 * c : 31 + 30 * c], f, q, dynamics[2 + c], noise, dt, g)
            state[61 + c] = noise[4] * state[61 + c] - 0.5 * (min(e * e / s, 25.0) + np.log(s))
            least = min(least, e * e / s)
        if dt > 0.0:
            state[63] += (min(least, 25.0) - state[63]) * 0.08
        state[0] = t
        active = 1.0 / (1.0 + np.exp(min(50.0, max(-50.0, state[61] - state[62]))))
        calm = 1.0 - active
        out[k, 0] = calm * state[1] + active * state[31]
        out[k, 1] = calm * state[2] + active * state[32]
        gap = state[32] - state[2]
        out[k, 2] = np.sqrt(max(0.0, calm * state[12] + active * state[42] + calm * active * gap * gap))
        out[k, 3] = np.sqrt(state[63])
        grade = 3.0 if state[63] > 11.0 else (2.0 if state[63] > 6.25 else (1.0 if state[63] > 3.24 else 0.0))
        out[k, 4] = 4.0 if t - state[64] < 30.0 else grade
        out[k, 5] = active
    return out
