"""Breathing rate from what breathing does to the heartbeat: to its intervals, or to the height of the R wave.

Intervals alone often carry no breathing at all, so a rate comes with a confidence, and below `CONFIDENCE_MIN`
there is none.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.cardiac.spectrum import lomb_psd

CONFIDENCE_MIN = 0.4
AGREEMENT_BPM = 1.5
LOWEST_HZ, HIGHEST_HZ = 0.15, 0.6
BEATS_MIN = 20
MINUTE_S = 60.0
GAPS_MAX = 0.1  # of the steps between beats that may be longer than one and a half


class Respiration(NamedTuple):
    """Breaths per minute, NaN if unsure, and how much of the power lies at the peak (0 to 1)."""

    rate_bpm: float
    confidence: float


SILENT = Respiration(float("nan"), 0.0)


def respiration(t_s: F64, values: F64) -> Respiration:
    """Breathing rate of a window of about a minute.

    Args:
        t_s: float64[n], time of each beat, s, rising.
        values: float64[n], NN intervals in ms, or R amplitudes in any unit.

    Returns:
        The highest peak of the Lomb-Scargle spectrum between 0.15 Hz and the lower of 0.6 Hz and half the heart
        rate, with the share of the power there that lies within one line of it. No rate for less than 20 beats,
        beats that take no time, and values that are not finite.
    """
    if t_s.size < BEATS_MIN or not (np.isfinite(values).all() and np.isfinite(t_s).all()):
        return SILENT
    steps_s = np.diff(t_s)
    usual_s = float(np.median(steps_s))
    if not usual_s > 0.0 or (steps_s > 1.5 * usual_s).mean() > GAPS_MAX:
        return SILENT
    top_hz = min(HIGHEST_HZ, 0.5 / usual_s)
    centred = values - np.polyval(np.polyfit(t_s - t_s[0], values, 1), t_s - t_s[0])
    psd = lomb_psd(t_s, centred, top_hz)
    step_hz = (t_s.size - 1) / (t_s.size * float(t_s[-1] - t_s[0]))
    first = int(np.ceil(LOWEST_HZ / step_hz)) - 1
    band = psd[first:]
    if band.size < 3 or not band.sum() > 0.0:
        return SILENT
    k = int(np.argmax(band))
    confidence = float(band[max(k - 1, 0) : k + 2].sum() / band.sum())
    if confidence < CONFIDENCE_MIN or k in (0, band.size - 1):
        return Respiration(float("nan"), confidence)
    before, top, after = band[k - 1 : k + 2]
    bend = before - 2.0 * top + after
    shift = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
    return Respiration(60.0 * (first + 1 + k + shift) * step_hz, confidence)


def by_minutes(t_s: F64, values: F64, start_s: float, length_s: float) -> Respiration:
    """Breathing rate of a window of any length: the median over its whole minutes that are confident.

    Args:
        t_s: float64[n], time of each beat, s, rising.
        values: float64[n], as `respiration` takes them.
        start_s: of the window.
        length_s: of the window; one shorter than a minute is judged as a whole.

    Returns:
        Medians of rate and confidence; without a confident minute no rate, and the confidence of all.
    """
    starts_s = start_s + MINUTE_S * np.arange(max(int(length_s // MINUTE_S), 1))
    first = np.searchsorted(t_s, starts_s)
    last = np.searchsorted(t_s, starts_s + min(length_s, MINUTE_S))
    found = np.array([respiration(t_s[a:b], values[a:b]) for a, b in zip(first, last, strict=True)])
    sure = found[~np.isnan(found[:, 0])]
    return Respiration(*np.median(sure if sure.size else found, axis=0).tolist())


def agreed(from_intervals: Respiration, from_amplitudes: Respiration) -> Respiration:
    """One rate from both: the amplitudes' where the intervals do not contradict it."""
    difference = abs(from_intervals.rate_bpm - from_amplitudes.rate_bpm)
    if difference > AGREEMENT_BPM:
        surer = max(from_intervals, from_amplitudes, key=lambda r: r.confidence)
        return Respiration(float("nan"), 1.0 - surer.confidence)
    if np.isnan(difference):
        return from_amplitudes if np.isnan(from_intervals.rate_bpm) else from_intervals
    return Respiration(from_amplitudes.rate_bpm, max(from_intervals.confidence, from_amplitudes.confidence))
