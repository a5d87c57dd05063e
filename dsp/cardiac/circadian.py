"""Day and night, and the daily course of the heart rate."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64
from dsp.cardiac.time_domain import TimeDomain, time_domain

DAY_H = (6.0, 22.0)
HOURS_MIN = 18  # of the 24, for a cosine to be fitted

Flags = npt.NDArray[np.bool_]


class Profile(NamedTuple):
    """One or more days folded into 24 hours of the clock."""

    hr_bpm: F64  # float64[24], by hour of the day; NaN = no beats
    rmssd_ms: F64  # float64[24]
    mesor_bpm: float  # of the cosine fitted to the hours; NaN if fewer than 18 have beats
    amplitude_bpm: float
    acrophase_h: float  # hour of the day at which the cosine is highest
    day: TimeDomain  # 06 to 22 h
    night: TimeDomain


def profile(t_s: F64, nn_ms: F64, follows: F64, start_h: float) -> Profile:
    """Folds a record into the hours of the clock.

    Args:
        t_s: float64[n], time of each beat, s since the record's start.
        nn_ms: float64[n], ms, normal beats only.
        follows: float64[n], 1.0 where an interval follows the one before it directly.
        start_h: hour of the day at which the record starts.

    Source: cosinor: Nelson et al., Chronobiologia 1979;6:305-323.
    """
    clock_h = (start_h + t_s / 3600.0) % 24.0
    hours = [_within(clock_h.astype(int) == h, nn_ms, follows) for h in range(24)]
    hr_bpm = np.array([hour.hr_mean_bpm for hour in hours])
    is_day = (clock_h >= DAY_H[0]) & (clock_h < DAY_H[1])
    seen = ~np.isnan(hr_bpm)
    mesor, cosine, sine = np.nan, np.nan, np.nan
    if seen.sum() >= HOURS_MIN:
        angle = 2.0 * np.pi * (np.flatnonzero(seen) + 0.5) / 24.0
        terms = np.stack([np.ones(angle.size), np.cos(angle), np.sin(angle)], axis=1)
        mesor, cosine, sine = np.linalg.lstsq(terms, hr_bpm[seen], rcond=None)[0]
    return Profile(
        hr_bpm,
        np.array([hour.rmssd_ms for hour in hours]),
        float(mesor),
        float(np.hypot(cosine, sine)),
        float(np.arctan2(sine, cosine) * 12.0 / np.pi % 24.0),
        _within(is_day, nn_ms, follows),
        _within(~is_day, nn_ms, follows),
    )


def _within(chosen: Flags, nn_ms: F64, follows: F64) -> TimeDomain:
    """Of the chosen beats; one whose predecessor is not chosen follows nothing."""
    follows = np.where(np.concatenate([[False], chosen[:-1]]), follows, 0.0)
    return time_domain(nn_ms[chosen], follows[chosen])
