"""Power of NN intervals in the VLF, LF and HF bands, in ms²: Lomb-Scargle, and Welch for comparison.

Where tools differ, this is what is meant here:

| choice | here | elsewhere |
|---|---|---|
| unit | ms², so that all bands together give the variance | normalised to the largest power, or not scaled |
| bands | [0.003, 0.04), [0.04, 0.15), [0.15, 0.40) Hz | VLF from 0 or 0.0033 Hz |
| Lomb-Scargle | classic, mean removed, grid k / T with T = (t_N - t_1) N / (N - 1) | oversampled, unscaled |
| Welch | cubic spline at 4 Hz, 256 s Hann segments, half overlapping, each without its mean | 300 s; linear |

Lomb-Scargle needs no resampling and takes missing beats as they are: it is the default everywhere.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, SUMS_IN_ANY_ORDER, as_f64
from dsp.compiled import njit

BANDS_HZ = (0.003, 0.04, 0.15, 0.40)
LINES_MAX = 1e6  # of a spectrum: those of a month


class Bands(NamedTuple):
    """Power by band; NaN where the window is too short for a band."""

    vlf_ms2: float
    lf_ms2: float
    hf_ms2: float
    lf_hf: float
    lf_nu: float
    lf_peak_hz: float
    hf_peak_hz: float


@njit
def lomb_psd(t_s: F64, nn_ms: F64, top_hz: float) -> F64:
    """One-sided Lomb-Scargle power spectral density on the grid k / T, k = 1, 2, ... up to `top_hz`.

    Args:
        t_s: float64[n], time of each beat, s, rising.
        nn_ms: float64[n], the interval that ends there, ms.
        top_hz: highest frequency, Hz.

    Returns:
        float64[k], ms²/Hz; empty for n < 3, where no time passes, and for more than `LINES_MAX` lines. The grid
        step is (n - 1) / (n (t_n - t_1)).

    Source: Lomb, Astrophys. Space Sci. 1976;39:447; Scargle, Astrophys. J. 1982;263:835, eq. 10; scaled by
    2 T / n to a density.
    """
    n = nn_ms.size
    if n < 3 or not 0.0 < t_s[n - 1] - t_s[0] < np.inf:
        return np.empty(0)
    step_hz = (n - 1) / (n * (t_s[n - 1] - t_s[0]))
    if not 0.0 <= top_hz <= LINES_MAX * step_hz:
        return np.empty(0)
    # Line by line every beat's phase advances by rotation: no sine or cosine is evaluated per line.
    turn_c, turn_s = np.empty(n), np.empty(n)
    phase_c, phase_s = np.ones(n), np.zeros(n)
    deviation_ms = np.empty(n)
    total = 0.0
    for j in range(n):
        angle = 2.0 * np.pi * step_hz * (t_s[j] - t_s[0])
        turn_c[j], turn_s[j] = np.cos(angle), np.sin(angle)
        deviation_ms[j] = nn_ms[j] - nn_ms[0]
        total += deviation_ms[j]
    for j in range(n):
        deviation_ms[j] -= total / n  # zero if all are the same
    psd = np.empty(int(top_hz / step_hz))
    for k in range(psd.size):
        yc, ys, cc, cs = _rotate(phase_c, phase_s, turn_c, turn_s, deviation_ms)
        psd[k] = _power(yc, ys, cc, cs, n) / (n * step_hz)
    return psd


@njit(fastmath=SUMS_IN_ANY_ORDER)
def _rotate(
    phase_c: F64, phase_s: F64, turn_c: F64, turn_s: F64, y: F64
) -> tuple[float, float, float, float]:
    """Advance every beat's phase by its turn, in place; sums over the beats of y cos, y sin, cos cos, cos sin."""
    yc = ys = cc = cs = 0.0
    for j in range(y.size):
        c = phase_c[j] * turn_c[j] - phase_s[j] * turn_s[j]
        s = phase_s[j] * turn_c[j] + phase_c[j] * turn_s[j]
        phase_c[j] = c
        phase_s[j] = s
        yc += y[j] * c
        ys += y[j] * s
        cc += c * c
        cs += c * s
    return yc, ys, cc, cs


@njit
def _power(yc: float, ys: float, cc: float, cs: float, n: int) -> float:
    """Sums over the n beats -> power: that of the sinusoid of this frequency that fits best.

    The same as with Lomb's phase shift, which makes sine and cosine orthogonal; here their matrix is inverted.
    """
    ss = n - cc
    determinant = cc * ss - cs * cs
    if determinant > 1e-9 * n:
        return ((ss * yc - 2.0 * cs * ys) * yc + cc * ys * ys) / determinant
    # Beats at one phase of it, or opposite ones, see one combination of the two.
    return (yc * yc + ys * ys) / n


@njit
def band_powers(psd: F64, step_hz: float, span_s: float, lowest: float) -> Bands:
    """Integral of a density over the bands.

    Args:
        psd: float64[k], ms²/Hz, of the frequencies (lowest + k) * step_hz.
        step_hz: Hz.
        span_s: length of the window; a band needs: VLF 270 s, LF 110 s, HF 55 s: windows of 5, 2 and 1 min
            that begin and end between beats.
        lowest: 0.0 if the density starts at 0 Hz, 1.0 if at the first line.

    Returns:
        Power in ms², LF/HF, LF / (LF + HF) in %, and the frequency of the highest line of LF and of HF; NaN for
        a ratio or a line where there is no power, and everywhere without a step above 0.
    """
    if not step_hz > 0.0:
        return Bands(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan)
    powers = np.zeros(3)
    tops = np.zeros(3)
    peaks_hz = np.full(3, np.nan)
    for k in range(psd.size):
        f = (k + lowest) * step_hz
        band = -1
        if f >= 0.40:
            break
        if f >= 0.15:
            band = 2
        elif f >= 0.04:
            band = 1
        elif f >= 0.003:
            band = 0
        if band >= 0:
            powers[band] += psd[k] * step_hz
            if psd[k] > tops[band]:
                tops[band] = psd[k]
                peaks_hz[band] = f
    vlf = powers[0] if span_s >= 270.0 and psd.size > 0 else np.nan
    lf = powers[1] if span_s >= 110.0 and psd.size > 0 else np.nan
    hf = powers[2] if span_s >= 55.0 and psd.size > 0 else np.nan
    return Bands(
        vlf,
        lf,
        hf,
        lf / hf if hf > 0.0 else np.nan,
        100.0 * lf / (lf + hf) if lf + hf > 0.0 else np.nan,
        peaks_hz[1] if span_s >= 110.0 else np.nan,
        peaks_hz[2] if span_s >= 55.0 else np.nan,
    )


def lomb_bands(t_s: F64, nn_ms: F64) -> Bands:
    """Band powers by Lomb-Scargle: see `lomb_psd` and `band_powers`.

    Args:
        t_s: float64[n], time of each beat, s, rising; gaps are allowed.
        nn_ms: float64[n], ms.
    """
    n = nn_ms.size
    passed_s = float(t_s[-1] - t_s[0]) if n > 2 else 0.0
    span_s = passed_s + float(nn_ms[0]) / 1000.0 if passed_s > 0.0 else 0.0
    step_hz = (n - 1) / (n * passed_s) if passed_s > 0.0 else 1.0
    return Bands(*band_powers(lomb_psd(t_s, nn_ms, 0.40), step_hz, span_s, 1.0))


def mean_bands(t_s: F64, nn_ms: F64, length_s: float = 300.0) -> Bands:
    """Band powers of a long record: the mean over its windows that are at least half covered by intervals.

    Args:
        t_s: float64[n], time of each beat, s, rising; gaps are allowed.
        nn_ms: float64[n], ms; n > 0.
        length_s: of a window; they do not overlap.

    Returns:
        Mean powers, their ratios, and the means of the windows' highest lines; NaN where no window has any.
    """
    starts_s = np.arange(float(t_s[0]) - float(nn_ms[0]) / 1000.0, float(t_s[-1]), length_s)
    edges = np.searchsorted(t_s, np.append(starts_s, starts_s[-1] + length_s)).tolist()
    found = [
        lomb_bands(t_s[a:b], nn_ms[a:b])
        for a, b in pairwise(edges)
        if float(nn_ms[a:b].sum()) >= 500.0 * length_s
    ]
    means = [_mean(np.array(values)) for values in zip(*found, strict=True)] if found else [np.nan] * 7
    vlf, lf, hf, _, _, *peaks_hz = means
    ratio, share = (lf / hf, 100.0 * lf / (lf + hf)) if hf > 0.0 else (np.nan, np.nan)
    return Bands(vlf, lf, hf, ratio, share, *peaks_hz)


def _mean(x: F64) -> float:
    """Of what is not NaN."""
    seen = x[~np.isnan(x)]
    return float(seen.mean()) if seen.size else float("nan")


@njit
def spline(t_s: F64, y: F64, at_s: F64) -> F64:
    """Natural cubic spline through (t, y), read at rising times within [t_1, t_n].

    Args:
        t_s: float64[n], rising, n >= 3.
        y: float64[n].
        at_s: float64[m].

    Returns:
        float64[m] in the unit of y; NaN for n < 3, and where t does not rise throughout.
    """
    n = y.size
    h = np.empty(n)
    upper = np.zeros(n)
    curve = np.zeros(n)
    rising = n > 2
    for k in range(n - 1):
        h[k] = t_s[k + 1] - t_s[k]
        rising = rising and 0.0 < h[k] < np.inf
    out = np.full(at_s.size, np.nan)
    if not rising:
        return out
    for k in range(1, n - 1):
        pivot = 2.0 * (h[k - 1] + h[k]) - h[k - 1] * upper[k - 1]
        upper[k] = h[k] / pivot
        bend = (y[k + 1] - y[k]) / h[k] - (y[k] - y[k - 1]) / h[k - 1]
        curve[k] = (6.0 * bend - h[k - 1] * curve[k - 1]) / pivot
    for k in range(n - 2, 0, -1):
        curve[k] -= upper[k] * curve[k + 1]
    k = 0
    for i in range(at_s.size):
        while k < n - 2 and at_s[i] > t_s[k + 1]:
            k += 1
        a = (t_s[k + 1] - at_s[i]) / h[k]
        b = 1.0 - a
        bend = ((a * a * a - a) * curve[k] + (b * b * b - b) * curve[k + 1]) * h[k] * h[k] / 6.0
        out[i] = a * y[k] + b * y[k + 1] + bend
    return out


def welch_bands(t_s: F64, nn_ms: F64, segment_s: float = 256.0, rate_hz: float = 4.0) -> Bands:
    """Band powers by Welch's method on the resampled intervals.

    Args:
        t_s: float64[n], time of each beat, s, rising.
        nn_ms: float64[n], ms.
        segment_s: length of a Hann segment; segments overlap by half; shorter windows are one segment.
        rate_hz: of the resampling by cubic spline.

    Returns:
        See `band_powers`.

    Source: Welch, IEEE Trans. Audio Electroacoust. 1967;15:70-73.
    """
    if nn_ms.size < 4:
        return Bands(*[np.nan] * len(Bands._fields))
    grid_s = np.arange(t_s[0], t_s[-1], 1.0 / rate_hz)
    y = spline(t_s, nn_ms, as_f64(grid_s))
    size = min(y.size, round(segment_s * rate_hz))
    if size < 4:
        return Bands(*[np.nan] * len(Bands._fields))
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    starts = range(0, y.size - size + 1, max(size // 2, 1))
    segments = np.stack([y[k : k + size] for k in starts])
    segments -= segments.mean(axis=1, keepdims=True)
    power = (np.abs(np.fft.rfft(segments * hann)) ** 2).mean(axis=0) / (rate_hz * (hann**2).sum())
    power[1:-1] *= 2.0
    span_s = float(t_s[-1] - t_s[0] + nn_ms[0] / 1000.0)
    return Bands(*band_powers(as_f64(power), rate_hz / size, span_s, 0.0))
