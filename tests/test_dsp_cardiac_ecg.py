"""QRS detection on recordings and on made-up ECG whose apexes are known; quality, breathing, alignment."""

import numpy as np
import pytest
from cardiac_records import column, sinus_ms, words

from dsp.arrays import as_f64
from dsp.cardiac import qrs, signal_quality
from dsp.cardiac.alignment import align
from dsp.cardiac.respiration import CONFIDENCE_MIN, Respiration, agreed, respiration

TOLERANCE_S = 0.15


def made_up(apex_s: np.ndarray, rate_hz: float, noise_mv: float = 0.0, seed: int = 0) -> np.ndarray:
    """Gaussian QRS and T waves on a wandering baseline."""
    t_s = np.arange(0.0, apex_s[-1] + 1.0, 1.0 / rate_hz)
    ecg = 0.3 * np.sin(2 * np.pi * 0.25 * t_s)
    for apex in apex_s:
        near = slice(*np.searchsorted(t_s, [apex - 0.4, apex + 0.7]))
        d = t_s[near] - apex
        ecg[near] += np.exp(-((d / 0.012) ** 2)) - 0.2 * np.exp(-(((d - 0.03) / 0.012) ** 2))
        ecg[near] += 0.25 * np.exp(-(((d - 0.28) / 0.05) ** 2))
    return as_f64(ecg + noise_mv * np.random.default_rng(seed).standard_normal(t_s.size))


def f1_pct(found_s: np.ndarray, truth_s: np.ndarray) -> float:
    matched = (signal_quality.nearest_s(as_f64(truth_s), as_f64(found_s)) <= TOLERANCE_S).sum()
    return 200.0 * matched / (len(found_s) + len(truth_s))


@pytest.mark.parametrize("rate_hz", [100.0, 130.0, 250.0, 500.0, 1000.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_apex_lies_between_the_samples(rate_hz: float, sign: float) -> None:
    """The apex is known to a fraction of a sample, so intervals are good to about a millisecond at 130 Hz."""
    apex_s = 0.7 + np.cumsum(sinus_ms(1, 120)) / 1000
    found = qrs.detect_all(as_f64(sign * made_up(apex_s, rate_hz, 0.005)), rate_hz)
    assert found.apex.size == apex_s.size
    rr_error_ms = np.abs(np.diff(found.apex) / rate_hz - np.diff(apex_s)) * 1000
    assert np.median(rr_error_ms) < (1.0 if rate_hz >= 130.0 else 2.0)
    assert (np.sign(found.amplitude) == sign).all()


def test_noise_and_t_waves_are_no_beats() -> None:
    apex_s = 0.7 + np.cumsum(sinus_ms(5, 200)) / 1000
    found = qrs.detect_all(made_up(apex_s, 250.0, 0.08), 250.0)
    assert f1_pct(found.apex / 250.0, apex_s) >= 99.5


def test_recording_with_ventricular_beats() -> None:
    ecg, beats = column("mitdb_119_ecg.csv.gz", "ecg"), column("mitdb_119_beats.csv.gz", "sample")
    found = qrs.detect_all(ecg, 360.0)
    assert f1_pct(found.apex / 360.0, beats / 360.0) >= 99.6


def test_strap_agrees_with_its_own_ecg() -> None:
    """A Polar H10 sends ECG and RR intervals: the same beats, to within a millisecond."""
    ecg = column("polar_h10.csv.gz", "ecg")
    sent = [
        (t, rr)
        for t, rr in zip(*(words("polar_h10.csv.gz", n) for n in ("time_s", "rr_ms")), strict=True)
        if rr
    ]
    rr_ms = np.array([float(rr) for _, rr in sent])
    found = qrs.detect_all(ecg, 130.16)
    ours_ms = 1000 * np.diff(found.apex) / 130.16
    differences = []
    for at in range(0, 200, 20):  # A beat that only one of them saw shifts what follows.
        strap = rr_ms[at : at + 20]
        shifted = [ours_ms[k : k + 20] for k in range(max(at - 10, 0), at + 10)]
        differences.append(min(float(np.median(np.abs(ours - strap))) for ours in shifted))
    assert np.median(differences) <= 1.0
    axis_s = np.cumsum(rr_ms) / 1000
    aligned = align(as_f64(found.apex[:100] / 130.16), as_f64(axis_s[:80] + 5.0))
    assert aligned.matched >= 70
    assert aligned.spread_ms < 20.0


@pytest.mark.parametrize("cut", [1, 13, 130, 5000])
def test_any_cut_gives_the_same(cut: int) -> None:
    ecg = column("mitdb_119_ecg.csv.gz", "ecg")[:9000]
    state, parts = qrs.new_state(360.0), []
    for at in range(0, ecg.size, cut):
        state = as_f64(np.frombuffer(state.tobytes()))  # saved and restored
        parts.append(qrs.detect(state, ecg[at : at + cut]))
    parts.append(qrs.finish(state))
    for name, whole in qrs.detect_all(ecg, 360.0)._asdict().items():
        np.testing.assert_array_equal(whole, np.concatenate([getattr(p, name) for p in parts]))
    assert whole.size > 20


@pytest.mark.parametrize("ecg", [[], [0.5], np.zeros(5000), np.full(5000, np.nan)])
def test_silence_has_no_beats(ecg: np.ndarray) -> None:
    assert qrs.detect_all(as_f64(ecg), 130.0).apex.size == 0


def test_a_short_strip_is_enough() -> None:
    apex_s = 0.7 + np.arange(6) * 0.8
    found = qrs.detect_all(made_up(apex_s, 130.0), 130.0)
    assert f1_pct(found.apex / 130.0, apex_s) >= 90.0


def test_quality_falls_where_the_noise_is() -> None:
    apex_s = 0.7 + np.cumsum(sinus_ms(7, 140)) / 1000
    ecg = made_up(apex_s, 130.0)
    noisy = slice(40 * 130, 70 * 130)
    ecg[noisy] += 1.5 * np.random.default_rng(0).standard_normal(30 * 130)
    first = qrs.detect_all(ecg, 130.0).apex / 130.0
    state = signal_quality.second_detector(130.0)
    second = np.concatenate([p.apex for p in (qrs.detect(state, ecg), qrs.finish(state))]) / 130.0
    starts_s = as_f64(np.arange(0.0, 110.0, 10.0))
    found = signal_quality.quality(as_f64(first), as_f64(second), starts_s)
    assert found[[0, 1, 2, 9, 10]].min() > 0.9
    assert found[[4, 5, 6]].max() < 0.9


def test_breathing_is_found_or_not_at_all() -> None:
    t_s = as_f64(np.cumsum(np.full(75, 0.8)))
    breathing = as_f64(800 + 30 * np.sin(2 * np.pi * 0.25 * t_s))
    found = respiration(t_s, breathing)
    assert found.rate_bpm == pytest.approx(15.0, abs=0.3)
    assert found.confidence > 0.8
    silent = [respiration(t_s, as_f64(800 + np.random.default_rng(k).standard_normal(75))) for k in range(20)]
    assert sum(np.isnan(r.rate_bpm) for r in silent) >= 18
    assert all(np.isnan(r.rate_bpm) or r.confidence >= CONFIDENCE_MIN for r in silent)
    assert np.isnan(respiration(t_s[:5], breathing[:5]).rate_bpm)


def test_breathing_from_both() -> None:
    nothing = float("nan")
    assert agreed(Respiration(15.0, 0.5), Respiration(15.4, 0.9)) == Respiration(15.4, 0.9)
    assert np.isnan(agreed(Respiration(10.0, 0.5), Respiration(15.4, 0.9)).rate_bpm)
    assert agreed(Respiration(nothing, 0.1), Respiration(15.4, 0.9)).rate_bpm == 15.4
    assert np.isnan(agreed(Respiration(nothing, 0.1), Respiration(nothing, 0.2)).rate_bpm)


@pytest.mark.parametrize("delay_s", [-3.0, 0.0, 1.27])
def test_alignment_finds_the_delay(delay_s: float) -> None:
    beats_s = as_f64(np.cumsum(sinus_ms(3, 90)) / 1000)
    found = align(beats_s, as_f64(beats_s[5:80] + delay_s))
    assert found.delay_s == pytest.approx(delay_s, abs=1e-6)
    assert found.matched >= 75
    assert align(beats_s, as_f64([])).matched == 0
