"""Where nothing is measured, or no time passes, the functions around the kernels divide by nothing either."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from dsp.arrays import F64
from dsp.cardiac import (
    alignment,
    circadian,
    episodes,
    hrv,
    intervals,
    qrs,
    respiration,
    rhythm,
    signal_quality,
    spectrum,
    variability,
)
from dsp.cardiac.rr import Timeline, place
from dsp.glucose import agp, metrics, ranges, realtime
from dsp.glucose import episodes as glucose_episodes
from dsp.glucose.grid import divisor_of_a_day, grid
from dsp.glucose.readings import trace

INPUTS = {
    "nothing": np.zeros(0),
    "one": np.array([800.0]),
    "two": np.array([800.0, 800.0]),
    "zeros": np.zeros(40),
    "constant": np.full(40, 800.0),
    "missing": np.full(40, math.nan),
    "first missing": np.array([math.nan, *[800.0] * 39]),
}
NOW = np.zeros  # times of as many beats at once


def ones(x: F64) -> F64:
    return np.ones(x.size)


def later(x: F64) -> F64:
    """Times of as many beats, a second apart."""
    return np.arange(1.0, x.size + 1.0)


CALLS: dict[str, Callable[[F64], object]] = {
    "align": lambda x: alignment.align(later(x), later(x)),
    "circadian": lambda x: circadian.profile(later(x), x, ones(x), 6.0),
    "af": lambda x: episodes.af_episodes(later(x), x, ones(x), ones(x), 0.5),
    "burden": lambda x: episodes.burden([], later(x), x),
    "rates": lambda x: episodes.rate_episodes(later(x), x, ones(x), x),
    "pauses": lambda x: episodes.pauses(later(x), x, ones(x), NOW(x.size), 100.0),
    "heart_stats": lambda x: hrv.heart_stats(x, ones(x)),
    "judged": lambda x: intervals.judge_all(x, ones(x)),
    "ecg": lambda x: qrs.detect_all(x, 130.0),
    "breathing": lambda x: respiration.respiration(later(x), x),
    "breathing at once": lambda x: respiration.respiration(NOW(x.size), x),
    "breathing of an hour": lambda x: respiration.by_minutes(later(x), x, 0.0, 3600.0),
    "rhythm": lambda x: rhythm.screen_all(x),
    "quality": lambda x: signal_quality.quality(later(x), NOW(0), later(x)),
    "lomb": lambda x: spectrum.lomb_bands(later(x), x),
    "lomb at once": lambda x: spectrum.lomb_bands(NOW(x.size), x),
    "welch": lambda x: spectrum.welch_bands(later(x), x),
    "welch at once": lambda x: spectrum.welch_bands(NOW(x.size), x),
    "variability": lambda x: variability.variability(later(x), x, ones(x)),
    "variability at once": lambda x: variability.variability(NOW(x.size), x, ones(x)),
    "windows": lambda x: variability.windows(later(x), x, ones(x), 10.0, 5.0),
    "windows without step": lambda x: variability.windows(later(x), x, ones(x), 10.0, 0.0),
    "glucose_stats": ranges.glucose_stats,
    "metrics": lambda x: metrics.metrics(later(x), x),
    "metrics at once": lambda x: metrics.metrics(NOW(x.size), x),
    "active": lambda x: metrics.active_pct(later(x), 0.0),
    "profile": lambda x: agp.agp(grid(trace(later(x), x), 0.0)),
    "glucose episodes": lambda x: glucose_episodes.all_episodes(x, 0.0),
    "hypos": lambda x: glucose_episodes.hypos_per_week(x, 0.0),
    "live": lambda x: realtime.follow(realtime.new_wearer(), later(x), x),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_raises_and_nothing_warns(call: str, name: str) -> None:
    CALLS[call](INPUTS[name])


@pytest.mark.parametrize("rr_ms", [[0.0], [0.0, 0.0, 800.0], [800.0, 0.0]])
def test_intervals_of_no_length_are_placed(rr_ms: list[float]) -> None:
    timeline = Timeline(last_beat_s=1.0, arrival_s=1.0, step_s=1.0, suspect=3)
    for arrival_s in (5.0, 6.0, 20.0):
        timeline, placed = place(timeline, arrival_s, rr_ms)
        assert len(placed.t_s) == len(rr_ms)
        assert placed.t_s[-1] <= arrival_s


def test_a_record_of_no_time_has_no_rate() -> None:
    found = episodes.af_episodes(np.arange(60.0), np.zeros(60), np.ones(60), np.ones(60), 0.5)
    assert [math.isnan(episode.hr_mean_bpm) for episode in found] == [True]
    assert math.isnan(divisor_of_a_day(0.0))
    rows = np.array([[0.0, 3.0, 60.0, 55.0]])
    assert math.isnan(glucose_episodes.summarise(rows, 0.0, 5.0).per_day)
