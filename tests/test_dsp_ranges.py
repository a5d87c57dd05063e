import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsp.arrays import as_f64
from dsp.glucose import metrics
from dsp.glucose.ranges import glucose_stats


def test_limits_belong_to_the_ranges_of_the_consensus() -> None:
    found = glucose_stats(as_f64([53.9, 54.0, 69.9, 70.0, 180.0, 180.1, 250.0, 250.1]))
    assert [found.very_low_pct, found.low_pct, found.in_range_pct, found.high_pct, found.very_high_pct] == [
        12.5,
        25.0,
        25.0,
        25.0,
        12.5,
    ]


def test_published_gmi() -> None:
    # Bergenstal 2018, table 2: mean glucose 150 mg/dL is a GMI of 6.9 %, 200 mg/dL one of 8.1 %.
    assert round(glucose_stats(as_f64([150.0, 150.0])).gmi_pct, 1) == 6.9
    assert round(glucose_stats(as_f64([200.0, 200.0])).gmi_pct, 1) == 8.1


def test_readings_off_the_scale_count_as_just_off_it_as_in_the_metrics() -> None:
    values = [math.inf, -math.inf, 100.0, 110.0, math.nan]
    found = glucose_stats(as_f64(values))
    assert found.mean_mg_dl == (401 + 39 + 100 + 110) / 4
    assert (found.very_low_pct, found.in_range_pct, found.very_high_pct) == (25.0, 50.0, 25.0)
    whole = metrics.metrics(5.0 * np.arange(5), values)
    for one, other in (
        ("mean_mg_dl",) * 2,
        ("sd_mg_dl",) * 2,
        ("gmi_pct",) * 2,
        ("in_range_pct", "in_70_180_pct"),
    ):
        assert getattr(found, one) == pytest.approx(whole[other], rel=1e-12)


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan, math.nan]])
def test_nothing_measured_is_nan(values: list[float]) -> None:
    assert all(math.isnan(value) for value in glucose_stats(as_f64(values)))


special = st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.lists(st.one_of(st.floats(20.0, 600.0), special), max_size=50))
def test_equals_its_plain_twin(values: list[float]) -> None:
    found = glucose_stats(as_f64(values))
    np.testing.assert_allclose(found, naive.glucose_stats(values), rtol=1e-9, atol=1e-9, equal_nan=True)
