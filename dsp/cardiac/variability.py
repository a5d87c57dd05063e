"""The heart-rate variability of one window, or of a record window by window.

Each measure has its unit and settings in `MEASURES`; a measure that the window is too short for is NaN, and
`reasons` says why. Artefacts are removed before (`dsp.cardiac.intervals`).
"""

import math
from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.cardiac.complexity import dfa_alpha, sample_entropy
from dsp.cardiac.phase_rectified import capacity
from dsp.cardiac.spectrum import lomb_bands, mean_bands
from dsp.cardiac.time_domain import time_domain

SAMPLE_ENTROPY_BEATS_MIN = 100
SAMPLE_ENTROPY_BEATS_MAX = 20_000  # its time grows with the square; a day is neither short nor stationary
ONE_SPECTRUM_S_MAX = 3600.0  # so does this one's; a longer record's bands are the mean of its windows
ROUNDING = 1e-9  # of the intervals: what varies less does not vary


class Measure(NamedTuple):
    """What a number is: unit, settings, and what a window must hold."""

    unit: str
    settings: str
    needs: str


# fmt: off
MEASURES = {
    "beats": Measure("1", "normal beats in the window", ""),
    "mean_nn_ms": Measure("ms", "arithmetic mean", "1 beat"),
    "hr_mean_bpm": Measure("1/min", "60000 / mean NN", "1 beat"),
    "sdnn_ms": Measure("ms", "n - 1", "2 beats"),
    "rmssd_ms": Measure("ms", "successive pairs only", "2 successive beats"),
    "sdsd_ms": Measure("ms", "signed differences, n - 1", "3 successive beats"),
    "pnn50_pct": Measure("%", "of the differences, > 50 ms", "2 successive beats"),
    "pnn20_pct": Measure("%", "of the differences, > 20 ms", "2 successive beats"),
    "sd1_ms": Measure("ms", "SDSD / sqrt 2", "3 successive beats"),
    "sd2_ms": Measure("ms", "SD of pair sums / sqrt 2, n - 1", "3 successive beats"),
    "triangular_index": Measure("1", "bins of 1/128 s", "1 beat"),
    "vlf_ms2": Measure("ms2", "Lomb-Scargle, 0.003-0.04 Hz; over 1 h: mean of 5-min windows", "270 s"),
    "lf_ms2": Measure("ms2", "Lomb-Scargle, 0.04-0.15 Hz; over 1 h: mean of 5-min windows", "110 s"),
    "hf_ms2": Measure("ms2", "Lomb-Scargle, 0.15-0.40 Hz; over 1 h: mean of 5-min windows", "55 s"),
    "lf_hf": Measure("1", "LF / HF", "110 s of beats that vary"),
    "lf_nu": Measure("%", "LF / (LF + HF)", "110 s of beats that vary"),
    "lf_peak_hz": Measure("Hz", "highest line of LF; over 1 h: mean of 5-min windows", "110 s of beats that vary"),
    "hf_peak_hz": Measure("Hz", "highest line of HF; over 1 h: mean of 5-min windows", "55 s of beats that vary"),
    "sample_entropy": Measure("1", "m = 2, r = 0.2 SD, <", "100 to 20000 beats that vary"),
    "dfa_a1": Measure("1", "boxes 4-16, not overlapping", "64 beats that vary"),
    "dfa_a2": Measure("1", "boxes 16-64, not overlapping", "256 beats that vary"),
    "deceleration_capacity_ms": Measure("ms", "PRSA, T = 1, <= 5 %", "a deceleration within 5 successive beats"),
    "acceleration_capacity_ms": Measure("ms", "PRSA, T = 1, <= 5 %", "an acceleration within 5 successive beats"),
    "coverage_pct": Measure("%", "of the window's time, in normal beats", ""),
}
# fmt: on


class Variability(NamedTuple):
    """One window's measures, in the order and units of `MEASURES`."""

    beats: float
    mean_nn_ms: float
    hr_mean_bpm: float
    sdnn_ms: float
    rmssd_ms: float
    sdsd_ms: float
    pnn50_pct: float
    pnn20_pct: float
    sd1_ms: float
    sd2_ms: float
    triangular_index: float
    vlf_ms2: float
    lf_ms2: float
    hf_ms2: float
    lf_hf: float
    lf_nu: float
    lf_peak_hz: float
    hf_peak_hz: float
    sample_entropy: float
    dfa_a1: float
    dfa_a2: float
    deceleration_capacity_ms: float
    acceleration_capacity_ms: float
    coverage_pct: float


def variability(t_s: F64, nn_ms: F64, follows: F64, window_s: float | None = None) -> Variability:
    """Every measure of one window.

    Args:
        t_s: float64[n], time of the beat that ends each interval, s, rising.
        nn_ms: float64[n], ms, normal beats only.
        follows: float64[n], 1.0 where an interval follows the one before it directly.
        window_s: length of the window, for coverage; None = from the first interval's start to the last beat.

    Returns:
        The measures; NaN where the window holds too little (see `reasons`).
    """
    if not (np.abs(nn_ms - nn_ms[:1]) > ROUNDING * nn_ms).any():
        nn_ms = np.repeat(nn_ms[:1], nn_ms.size)
    span_s = float(t_s[-1] - t_s[0]) + float(nn_ms[0]) / 1000.0 if nn_ms.size else 0.0
    in_time = time_domain(nn_ms, follows)
    entropy = np.nan
    if SAMPLE_ENTROPY_BEATS_MIN <= nn_ms.size <= SAMPLE_ENTROPY_BEATS_MAX:
        entropy = sample_entropy(nn_ms, follows, 2.0, 0.2 * in_time.sdnn_ms)
    slowing = capacity(nn_ms, follows)
    if window_s is None:
        window_s = span_s
    return Variability(
        *in_time,
        *(mean_bands if span_s > ONE_SPECTRUM_S_MAX else lomb_bands)(t_s, nn_ms),
        entropy,
        dfa_alpha(nn_ms, 4.0, 16.0),
        dfa_alpha(nn_ms, 16.0, 64.0),
        slowing.deceleration_ms,
        slowing.acceleration_ms,
        min(float(nn_ms.sum()) / (10.0 * window_s), 100.0) if window_s > 0.0 else 0.0,
    )


def windows(
    t_s: F64,
    nn_ms: F64,
    follows: F64,
    length_s: float,
    step_s: float,
    from_s: float = 0.0,
    end_s: float | None = None,
) -> list[tuple[float, Variability]]:
    """Measures of [start, start + length) for each start = from, from + step, ... that the record covers whole.

    Args:
        t_s: float64[n], time of the beat that ends each interval, s, rising.
        nn_ms: float64[n], ms, normal beats only.
        follows: float64[n], 1.0 where an interval follows the one before it directly.
        length_s: of a window.
        step_s: from one start to the next.
        from_s: the first start.
        end_s: where the record ends; None = an interval after the last of these beats.

    Returns:
        Start in s, and the measures of the intervals whose beats lie in the window. A window's first interval
        follows nothing.
    """
    if end_s is None:
        end_s = float(t_s[-1]) + float(np.median(nn_ms)) / 1000.0 if t_s.size else from_s
    left_s = end_s - from_s - length_s
    count = math.floor(left_s / step_s + 1e-9) + 1 if step_s > 0.0 and left_s > -step_s else 0
    starts_s = from_s + step_s * np.arange(count)
    first = np.searchsorted(t_s, starts_s, side="left")
    last = np.searchsorted(t_s, starts_s + length_s, side="left")
    return [
        (float(start), variability(t_s[a:b], nn_ms[a:b], follows[a:b], length_s))
        for start, a, b in zip(starts_s, first, last, strict=True)
    ]


def reasons(measured: Variability) -> dict[str, str]:
    """Why each measure that is NaN is: what it needs."""
    takes_time = not measured.beats > 0.0 or measured.mean_nn_ms > 0.0
    return {
        name: f"needs {MEASURES[name].needs if takes_time else 'intervals that take time'}"
        for name, value in zip(measured._fields, measured, strict=True)
        if np.isnan(value)
    }
