import math

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsp.arrays import as_f64
from dsp.cardiac.hrv import HeartStats, heart_stats


def stats(rr_ms: list[float], follows: list[float] | None = None) -> HeartStats:
    return heart_stats(as_f64(rr_ms), as_f64([1.0] * len(rr_ms) if follows is None else follows))


def test_closed_forms() -> None:
    # Alternating 900 and 1100 ms: RMSSD is the step, the variance is 100^2 * n / (n - 1).
    n = 300
    found = stats([900.0, 1100.0] * (n // 2))
    assert found.hr_mean_bpm == pytest.approx(60.0, rel=1e-12)
    assert found.rmssd_ms == pytest.approx(200.0, rel=1e-12)
    assert found.sdnn_ms == pytest.approx(100.0 * math.sqrt(n / (n - 1)), rel=1e-12)
    assert found.hr_min_bpm == found.hr_max_bpm == pytest.approx(60.0, rel=1e-12)
    assert found.covered_ms == 300_000.0


def test_one_long_interval_does_not_make_the_lowest_rate() -> None:
    found = stats([500.0] * 20 + [2500.0] + [500.0] * 20)
    assert found.hr_min_bpm == pytest.approx(60_000 / ((7 * 500 + 2500) / 8))
    assert found.hr_max_bpm == pytest.approx(120.0)


def test_no_difference_is_taken_across_a_gap() -> None:
    rr_ms = [800.0] * 10 + [1000.0] * 10
    follows = [1.0] * 10 + [0.0] + [1.0] * 9
    assert stats(rr_ms, follows).rmssd_ms == 0.0
    assert stats(rr_ms).rmssd_ms > 0.0


@pytest.mark.parametrize(
    ("rr_ms", "defined"),
    [
        ([], set()),
        ([0.0], set()),
        ([800.0], {"hr_mean_bpm", "covered_ms"}),
        ([800.0, 900.0], {"hr_mean_bpm", "sdnn_ms", "rmssd_ms", "covered_ms"}),
    ],
)
def test_too_little_is_nan(rr_ms: list[float], defined: set[str]) -> None:
    found = stats(rr_ms)._asdict()
    assert {name for name, value in found.items() if not math.isnan(value)} == defined | {"covered_ms"}


@given(st.lists(st.tuples(st.floats(200.0, 3000.0), st.sampled_from([0.0, 1.0])), max_size=40))
def test_equals_its_plain_twin(beats: list[tuple[float, float]]) -> None:
    rr_ms, follows = [rr for rr, _ in beats], [f for _, f in beats]
    expected = naive.heart_stats(rr_ms, follows)
    np.testing.assert_allclose(stats(rr_ms, follows), expected, rtol=1e-9, atol=1e-9, equal_nan=True)
