"""Heart-rate variability against published values, closed forms and plain twins of the kernels."""

import naive_cardiac as naive
import numpy as np
import pytest
from cardiac_records import column, sinus_ms
from kernel_modes import fewer, heavy

from dsp.arrays import as_f64
from dsp.cardiac import complexity, spectrum
from dsp.cardiac.circadian import profile
from dsp.cardiac.phase_rectified import capacity, prsa
from dsp.cardiac.respiration import by_minutes
from dsp.cardiac.time_domain import TimeDomain, time_domain
from dsp.cardiac.turbulence import turbulence
from dsp.cardiac.variability import MEASURES, Variability, reasons, variability, windows

ALL = 1e-4

# Two 5-minute windows of the Normal Sinus Rhythm RR Interval Database. Time domain and sample entropy agree with
# NeuroKit2 0.2.13 where it follows the same definition, DFA with PhysioNet's dfa (boxes 4-16, not overlapping).
REFERENCE = {
    "nsr2db_nsr001_rr.csv.gz": {
        "mean_nn_ms": 985.7370,
        "sdnn_ms": 60.0840,
        "rmssd_ms": 51.9872,
        "sdsd_ms": 52.0732,
        "pnn50_pct": 31.0231,
        "sd1_ms": 36.8213,
        "sd2_ms": 76.7202,
        "sample_entropy": 1.6950038,
        "dfa_a1": 0.97615,
    },
    "nsr2db_nsr004_rr.csv.gz": {
        "sdnn_ms": 58.2873,
        "rmssd_ms": 48.2576,
        "pnn50_pct": 1.6949,
        "sample_entropy": 0.93522,
        "dfa_a1": 1.03103,
    },
}


def whole(rr_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return as_f64(np.cumsum(rr_ms) / 1000), as_f64(rr_ms), np.ones(len(rr_ms))


@pytest.mark.parametrize(("file", "name"), [(f, n) for f, values in REFERENCE.items() for n in values])
def test_reference_window(file: str, name: str) -> None:
    found = variability(*whole(column(file, "rr_ms")))
    assert getattr(found, name) == pytest.approx(REFERENCE[file][name], rel=ALL)


def test_reference_window_bands() -> None:
    found = variability(*whole(column("nsr2db_nsr001_rr.csv.gz", "rr_ms")))
    assert [found.vlf_ms2, found.lf_ms2, found.hf_ms2] == pytest.approx([993, 1241, 1213], abs=0.5)
    assert found.lf_hf == pytest.approx(1.023, abs=5e-4)


def modulated(amplitude_ms: float, hz: float) -> np.ndarray:
    """Beats whose intervals follow a sine in time, as the test patterns of ANSI/AAMI EC57 do."""
    t_s, rr = 0.0, []
    while t_s < 300.0:
        rr.append(800.0 + amplitude_ms * np.sin(2 * np.pi * hz * t_s))
        t_s += rr[-1] / 1000.0
    return as_f64(rr)


@pytest.mark.parametrize(("hz", "band", "amplitude"), [(0.25, "hf_ms2", 35.0), (0.1, "lf_ms2", 70.0)])
def test_power_of_a_known_sine_is_half_its_square(hz: float, band: str, amplitude: float) -> None:
    rr = modulated(amplitude, hz)
    found = spectrum.lomb_bands(*whole(rr)[:2])
    assert getattr(found, band) == pytest.approx(amplitude**2 / 2, rel=0.01)
    assert sum((found.vlf_ms2, found.lf_ms2, found.hf_ms2)) == pytest.approx(rr.var(), rel=0.02)
    assert getattr(spectrum.welch_bands(*whole(rr)[:2]), band) == pytest.approx(amplitude**2 / 2, rel=0.04)


def test_alternating_intervals_closed_form() -> None:
    found = time_domain(as_f64(np.tile([800.0, 850.0], 100)), np.ones(200))
    want = {"mean_nn_ms": 825.0, "sdnn_ms": 25.0 * np.sqrt(200 / 199), "rmssd_ms": 50.0, "sd2_ms": 0.0}
    want |= {"pnn50_pct": 0.0, "pnn20_pct": 100.0, "sd1_ms": 35.44406025041676, "triangular_index": 2.0}
    assert {name: getattr(found, name) for name in want} == pytest.approx(want, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_kernels_agree_with_their_twins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nn_ms = sinus_ms(seed, 130)
    follows = as_f64(rng.random(130) > 0.1)
    t_s = as_f64(np.cumsum(nn_ms) / 1000 + np.cumsum(follows == 0.0) * 3.0)
    assert time_domain(nn_ms, follows)._asdict() == pytest.approx(
        naive.time_domain(nn_ms, follows), rel=1e-12
    )
    psd = naive.lomb_psd(t_s, nn_ms, 0.4)
    np.testing.assert_allclose(spectrum.lomb_psd(t_s, nn_ms, 0.4), psd, rtol=1e-6, atol=1e-6)
    step_hz = 129 / 130 / (t_s[-1] - t_s[0])
    bands = spectrum.band_powers(as_f64(psd), step_hz, 300.0, 1.0)
    assert bands.lf_ms2 == pytest.approx(naive.band_power(psd, step_hz, 0.04, 0.15))
    r = 0.2 * nn_ms.std(ddof=1)
    entropy = complexity.sample_entropy(nn_ms, follows, 2.0, r)
    assert entropy == pytest.approx(naive.sample_entropy(nn_ms, follows, 2, r), nan_ok=True)
    assert complexity.dfa_fluctuation(nn_ms, 7.0) == pytest.approx(naive.dfa_fluctuation(nn_ms, 7))
    assert complexity.dfa_alpha(nn_ms, 4.0, 16.0) == pytest.approx(naive.dfa_alpha(nn_ms, 4, 16))
    course, anchors = naive.prsa(nn_ms, follows, 3, -1.0)
    np.testing.assert_allclose(prsa(nn_ms, follows, 3.0, -1.0), [*course, anchors])
    at_s = as_f64(np.sort(rng.uniform(t_s[0], t_s[-1], 50)))
    np.testing.assert_allclose(spectrum.spline(t_s, nn_ms, at_s), naive.spline(t_s, nn_ms, at_s), rtol=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_sample_entropy_of_longer_templates(m: int) -> None:
    x, follows = sinus_ms(3, 150), np.ones(150)
    assert complexity.sample_entropy(x, follows, float(m), 15.0) == pytest.approx(
        naive.sample_entropy(x, follows, m, 15.0)
    )


def test_capacity_is_a_quarter_of_four_means() -> None:
    nn_ms, follows = sinus_ms(1, 3000), np.ones(3000)
    course, anchors = naive.prsa(nn_ms, follows, 2, 1.0)
    found = capacity(nn_ms, follows)
    assert found.deceleration_ms == pytest.approx((course[2] + course[3] - course[1] - course[0]) / 4)
    assert found.decelerations == anchors
    assert found.acceleration_ms < 0 < found.deceleration_ms


def test_turbulence_knows_its_course() -> None:
    """Premature beats in a steady 800 ms, each followed by 780, 780 and then 6 ms more per beat for five beats."""
    after = [780.0, 780.0, 786.0, 792.0, 798.0, 804.0] + [800.0] * 20
    rr = as_f64(([800.0] * 10 + [500.0, 1100.0, *after]) * 8)
    premature = as_f64(rr == 500.0)
    found = turbulence(rr, np.ones(rr.size), premature)
    assert found == pytest.approx(naive.turbulence(rr, np.ones(rr.size), premature))
    assert (found.premature_beats, found.onset_pct) == (8, pytest.approx(-2.5))
    assert found.slope_ms_per_beat == pytest.approx(6.0)
    assert np.isnan(turbulence(rr[:150], np.ones(150), premature[:150]).onset_pct)


@pytest.mark.parametrize(("gap", "counts"), [(-5, True), (-4, False), (0, False), (16, False), (17, True)])
def test_turbulence_takes_nothing_across_a_gap(gap: int, counts: bool) -> None:
    rr = as_f64(([800.0] * 15 + [500.0, 1100.0] + [800.0] * 20) * 8)
    premature = np.flatnonzero(rr == 500.0)
    follows = np.ones(rr.size)
    follows[premature[2] + gap] = 0.0
    found = turbulence(rr, follows, as_f64(rr == 500.0))
    assert found.premature_beats == (8 if counts else 7)
    assert found == pytest.approx(naive.turbulence(rr, follows, as_f64(rr == 500.0)))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 20])
def test_too_little_is_nan_with_a_reason(n: int) -> None:
    found = variability(*whole(sinus_ms(0, n)))
    missing = reasons(found)
    assert set(missing) == {name for name, v in found._asdict().items() if np.isnan(v)}
    assert {"dfa_a1", "sample_entropy", "vlf_ms2"} <= set(missing)
    assert all(reason != "needs " for reason in missing.values())


@pytest.mark.parametrize("rr_ms", [750.0, 813.89, 833.33, 2500.0 / 3.0])
@pytest.mark.parametrize("rounding", [0.0, 1e-10])
@pytest.mark.parametrize("beats", [400, fewer(6000, 500)])
def test_constant_intervals_have_no_complexity_and_no_power(
    rr_ms: float, rounding: float, beats: int
) -> None:
    found = variability(*whole(rr_ms * (1.0 + rounding * (np.arange(beats) % 3))))
    spreads = ("sdnn_ms", "rmssd_ms", "sdsd_ms", "sd1_ms", "sd2_ms", "vlf_ms2", "lf_ms2", "hf_ms2")
    assert {getattr(found, name) for name in spreads} == {0.0}
    ratios = {"lf_hf", "lf_nu", "lf_peak_hz", "hf_peak_hz", "sample_entropy", "dfa_a1", "dfa_a2"}
    assert ratios <= {name for name, why in reasons(found).items() if "vary" in why}


def test_every_measure_names_unit_and_settings() -> None:
    assert tuple(MEASURES) == Variability._fields
    assert all(measure.unit and measure.settings for measure in MEASURES.values())


def test_windows_are_the_windows() -> None:
    t_s, nn_ms, follows = whole(sinus_ms(4, fewer(1500, 700)))
    found = windows(t_s, nn_ms, follows, 300.0, 60.0)
    assert [start for start, _ in found] == [60.0 * k for k in range(len(found))]
    at = (t_s >= 120.0) & (t_s < 420.0)
    assert found[2][1] == pytest.approx(variability(t_s[at], nn_ms[at], follows[at], 300.0), nan_ok=True)
    assert found[-1][0] + 300.0 <= t_s[-1] < found[-1][0] + 360.0


@pytest.mark.parametrize(("end_s", "count"), [(3600.0, 12), (3599.0, 11), (299.0, 0), (300.0, 1)])
def test_windows_follow_from_the_length_of_the_record(end_s: float, count: int) -> None:
    """Not from where the normal beats end: what has none says so."""
    t_s, nn_ms, follows = whole(sinus_ms(4, 200))
    found = windows(t_s, nn_ms, follows, 300.0, 300.0, end_s=end_s)
    assert [start for start, _ in found] == [300.0 * k for k in range(count)]
    for _, empty in found[1:]:
        assert (empty.beats, empty.coverage_pct) == (0.0, 0.0)
        assert reasons(empty)["rmssd_ms"] == "needs 2 successive beats"


def test_windows_may_end_within_the_interval_after_the_last_beat() -> None:
    beats = whole(np.full(749, 800.0))  # 599.2 s
    assert len(windows(*beats, 300.0, 300.0)) == 2
    beats = whole(np.full(747, 800.0))  # 597.6 s
    assert len(windows(*beats, 300.0, 300.0)) == 1


@heavy
def test_bands_of_a_long_record_are_the_mean_of_its_windows() -> None:
    t_s, nn_ms, follows = whole(sinus_ms(7, 6000))
    t_s = as_f64(t_s + 7200.0 * (np.arange(6000) >= 3000))
    found = variability(t_s, nn_ms, follows)
    each = [v for _, v in windows(t_s, nn_ms, follows, 300.0, 300.0) if v.coverage_pct >= 50.0]
    assert 16 <= len(each) <= 17
    for name in ("vlf_ms2", "lf_ms2", "hf_ms2", "hf_peak_hz"):
        assert getattr(found, name) == pytest.approx(np.nanmean([getattr(v, name) for v in each]), rel=0.03)
    assert found.lf_hf == pytest.approx(found.lf_ms2 / found.hf_ms2)
    assert "mean of 5-min windows" in MEASURES["lf_ms2"].settings


def test_breathing_of_a_window_is_that_of_its_minutes() -> None:
    """12 breaths in the first of ten minutes, then 18; and a first minute that says nothing."""
    t, rr = 0.0, []
    while t < 600.0:
        rr.append(900.0 + 40.0 * np.sin(2.0 * np.pi * (0.2 if t < 60.0 else 0.3) * t))
        t += rr[-1] / 1000.0
    t_s, rr_ms, _ = whole(np.array(rr))
    assert by_minutes(t_s, rr_ms, 0.0, 60.0).rate_bpm == pytest.approx(12.0, abs=0.3)
    assert by_minutes(t_s, rr_ms, 0.0, 300.0).rate_bpm == pytest.approx(18.0, abs=0.3)
    first = t_s < 60.0
    rr_ms[first] = 900.0 + np.random.default_rng(0).normal(0.0, 20.0, first.sum())
    assert np.isnan(by_minutes(t_s, rr_ms, 0.0, 60.0).rate_bpm)
    assert by_minutes(t_s, rr_ms, 0.0, 300.0).rate_bpm == pytest.approx(18.0, abs=0.3)
    assert by_minutes(t_s, rr_ms, 900.0, 300.0) == pytest.approx((np.nan, 0.0), nan_ok=True)


def test_night_takes_no_difference_across_the_day() -> None:
    """From 23:00: 1000 ms until six, then 700 ms."""
    rr, t_h = [], 23.0
    while t_h < 47.0:
        rr.append((1000.0 if t_h + 1002.0 / 3.6e6 < 30.0 else 700.0) + len(rr) % 2)
        t_h += rr[-1] / 3.6e6
    found = profile(*whole(np.array(rr)), 23.0)
    assert found.night.rmssd_ms == pytest.approx(1.0)
    assert found.day.rmssd_ms == pytest.approx(1.0)


def test_circadian_finds_the_cosine() -> None:
    t_s = as_f64(np.arange(0.0, 86400.0, 0.9))
    hr = 65.0 + 10.0 * np.cos(2 * np.pi * (t_s / 3600.0 + 20.0 - 15.0) / 24.0)
    found = profile(t_s, as_f64(60000.0 / hr), np.ones(t_s.size), 20.0)
    assert (found.mesor_bpm, found.amplitude_bpm) == (
        pytest.approx(65.0, abs=0.1),
        pytest.approx(10.0, abs=0.2),
    )
    assert found.acrophase_h == pytest.approx(15.0, abs=0.05)
    assert found.day.hr_mean_bpm > found.night.hr_mean_bpm
    assert isinstance(found.night, TimeDomain)
