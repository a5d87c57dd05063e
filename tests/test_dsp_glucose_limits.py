"""Whatever readings there are, every public function of `dsp.glucose` answers: NaN or a value that can be."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_modes import fewer

from dsp.glucose import agp, arrows, episodes, metrics, realtime
from dsp.glucose.distribution import distribution
from dsp.glucose.grid import grid, step_min
from dsp.glucose.mage import mage_iglu, mage_zigzag
from dsp.glucose.ranges import glucose_stats
from dsp.glucose.readings import trace
from dsp.glucose.risk import risk
from dsp.glucose.variability import changes, day_spread

NAN = math.nan
TIME = st.one_of(
    st.integers(0, 60).map(lambda k: 5.0 * k),
    st.floats(0, 30_000),
    st.sampled_from([NAN, math.inf, -math.inf, -1e6, 1e12, 1e300, -1e300]),
)
GLUCOSE = st.one_of(
    st.integers(40, 400).map(float),
    st.sampled_from([NAN, math.inf, -math.inf, 0.0, -5.0, 1e-3, 1.0, 54.0, 70.0, 180.0, 250.0, 1e6]),
)
READINGS = st.lists(st.tuples(TIME, GLUCOSE, st.sampled_from([0.0, 60.0, 120.0, -720.0])), max_size=60)
FORECASTS = [name for name in realtime.Live._fields if name.startswith("in_")]


@settings(max_examples=fewer(300, 4), deadline=None)
@given(READINGS)
def test_metrics_of_any_readings_are_possible_values(readings: list[tuple[float, float, float]]) -> None:
    t, g, offset = np.array(readings, dtype=float).reshape(-1, 3).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = trace(t, g, offset)
        found, kinds = metrics.metrics_of(one)
        profile = agp.agp(grid(one, step_min(one.t_min)))
    assert set(found) == set(metrics.metrics([0.0], [100.0]))
    n = int(found["readings"])
    assert n == one.t_min.size
    assert (n > 0) == ((abs(t) <= 1e12) & (np.isinf(g) | (g > 0))).any()
    assert (np.diff(one.t_min) > 0).all()
    for name, value in found.items():
        assert not math.isinf(value), name
        if name.endswith("_pct") and not name.startswith(("cv", "gvp", "gmi", "ea1c")):
            assert math.isnan(value) or -1e-9 <= value <= 100 + 1e-9, name
        if not name.startswith(("gmi", "step", "readings", "days")) and n == 0:
            assert math.isnan(value), name
        if name.startswith(
            ("sd_", "cv_", "conga", "modd", "mag", "lbgi", "hbgi", "auc", "grade", "gri", "pgs")
        ):
            assert not value < 0, name
    if n:
        kept = one.glucose_mg_dl
        assert kept.min() <= found["mean_mg_dl"] * (1 + 1e-12)
        assert found["mean_mg_dl"] <= kept.max() * (1 + 1e-12)
    for summary in kinds.values():
        assert summary.episodes >= 0
        assert math.isnan(summary.duration_min_mean) == (summary.episodes == 0)
    seen = profile[~np.isnan(profile[:, 0])]
    assert (np.diff(seen, axis=1) >= 0).all()


@settings(max_examples=fewer(300, 10), deadline=None)
@given(READINGS)
def test_live_values_of_any_readings_are_possible(readings: list[tuple[float, float, float]]) -> None:
    wearer = realtime.new_wearer()
    newest = -math.inf
    for t, g, _ in readings:
        live = realtime.update(wearer, t, g)
        counts = newest < t and abs(t) <= 1e12 and (g > 0 or g == -math.inf)
        newest = t if counts else newest
        assert math.isnan(live.glucose_mg_dl) == math.isnan(live.in_30_mg_dl) == (not counts)
        assert realtime.trend(live) in (None, *(a for a, _ in arrow_names()))
        if counts:
            assert abs(live.rate_mg_dl_min) <= 30
            for low, middle, high in zip(*(FORECASTS[k::3] for k in (1, 0, 2)), strict=True):
                assert 20 <= getattr(live, low) <= getattr(live, middle) <= getattr(live, high) <= 600
        if g > 0 or g == -math.inf:
            assert (live.low, live.high) == (g < 70, g > 250)
    later = (
        [realtime.update(wearer, newest + 1e4 + 5 * k, 120.0) for k in range(40)] if abs(newest) < 1e9 else []
    )
    assert not later or abs(later[-1].in_30_mg_dl - 120) < 25  # nothing that was taken in has lasting effects


def arrow_names() -> list[tuple[str, float]]:
    rates = (-4.0, -2.5, -1.5, 0.0, 1.5, 2.5, 4.0)
    return [(str(arrows.arrow(rate)), rate) for rate in rates]


def test_kernels_of_nothing_are_nan() -> None:
    nothing = np.zeros(0)
    missing = np.full(576, NAN)
    for found in (
        distribution(nothing),
        risk(nothing, nothing),
        glucose_stats(nothing),
        glucose_stats(missing),
        mage_zigzag(nothing),
        mage_zigzag(missing),
        mage_iglu(nothing),
        mage_iglu(missing),
        changes(nothing, 5.0),
        changes(missing, 5.0),
        day_spread(nothing, 5.0),
        day_spread(missing, 5.0),
    ):
        assert all(math.isnan(value) for value in found), found
    assert agp.agp(grid(trace([], []), NAN)).shape == (0, 5)
    assert np.isnan(agp.clock_percentiles(missing, 288.0)).all()
    for rows in (episodes.all_episodes(nothing, 5.0), episodes.all_episodes(missing, 5.0)):
        assert all(len(row) == 0 for row in rows.values())
    assert episodes.days_of_data(missing, 5.0) == 0.0
    assert all(math.isnan(value) for value in episodes.hypos_per_week(missing, 5.0))
    assert math.isnan(metrics.active_pct(nothing, 5.0))
    assert math.isnan(metrics.pgs(NAN, 100.0, 50.0, NAN, NAN))


def test_time_going_backwards_is_put_in_order_by_metrics_and_passed_over_live() -> None:
    t = 5.0 * np.arange(300)
    g = 140 + 50 * np.sin(t / 100)
    assert metrics.metrics(t[::-1], g[::-1]) == metrics.metrics(t, g)
    rows = realtime.follow(realtime.new_wearer(), t[::-1], g[::-1])
    assert np.isfinite(rows[0, :15]).all()
    assert np.isnan(rows[1:, :15]).all()
    np.testing.assert_array_equal(rows[:, realtime.Live._fields.index("low")], g[::-1] < 70)


@pytest.mark.parametrize("level", [39.0, 54.0, 100.0, 180.0, 401.0])
def test_constant_glucose_is_forecast_to_stay(level: float) -> None:
    n = fewer(2000, 300)
    rows = realtime.follow(realtime.new_wearer(), 5.0 * np.arange(n), np.full(n, level))
    last = realtime.Live._make(rows[-1])
    assert last.glucose_mg_dl == pytest.approx(level, abs=0.5)
    assert last.rate_mg_dl_min == pytest.approx(0.0, abs=0.01)
    assert last.in_30_mg_dl == pytest.approx(level, abs=3.0)


def test_a_century_is_the_longest_grid() -> None:
    found = metrics.metrics([0.0, 5.0, 1e12], [100.0, 110.0, 120.0])
    assert found["mean_mg_dl"] == pytest.approx(110.0)
    assert math.isnan(found["conga_1h_mg_dl"])
