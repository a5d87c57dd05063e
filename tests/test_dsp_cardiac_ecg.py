"""QRS detection on recordings and on made-up ECG whose apexes are known; quality, breathing, alignment."""

import numpy as np
import pytest
from cardiac_records import column, sinus_ms, words
from kernel_modes import heavy

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


@pytest.mark.parametrize("rate_hz", [100.0, 130.0, 250.0, 500.0, 1000.0, 2000.0])
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


@pytest.mark.parametrize(
    "ecg",
    [
        [],
        [0.5],
        np.zeros(5000),
        np.full(5000, np.nan),
        np.full(21600, -0.145),
        np.repeat([-0.145, 1.0, 0.3], 8000),
        -0.145 + 0.005 * np.random.default_rng(0).integers(-1, 2, 20_000),
        0.3 * 0.9 ** np.arange(20_000),
    ],
)
def test_silence_has_no_beats(ecg: np.ndarray) -> None:
    """Nor has a constant that no binary number is, noise of the last bit, or what a filter leaves of a jump."""
    assert qrs.detect_all(as_f64(ecg), 130.0).apex.size == 0


FLAT_S = 60.0
OPEN_LEADS = {
    "constant": np.full(7800, -0.145),
    "at the limit": np.full(7800, 5.0),
    "last bit": -0.145 + 0.005 * np.random.default_rng(1).integers(-1, 2, 7800),
    "lost": np.full(7800, np.nan),
}


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("open_lead", OPEN_LEADS.values(), ids=OPEN_LEADS)
def test_open_lead_has_no_beats_and_spoils_none(open_lead: np.ndarray, before: bool) -> None:
    apex_s = 0.7 + np.cumsum(sinus_ms(8, 100)) / 1000
    ecg = 0.005 * np.round(made_up(apex_s, 130.0, 0.01) / 0.005) + 300.0 * before
    parts = [open_lead, ecg] if before else [ecg, open_lead, ecg]
    found_s = qrs.detect_all(as_f64(np.concatenate(parts)), 130.0).apex / 130.0
    later_s = ecg.size / 130.0 + FLAT_S
    truth_s = apex_s + FLAT_S if before else np.concatenate([apex_s, apex_s + later_s])
    assert truth_s.size <= found_s.size <= truth_s.size + 2  # a lead opens and closes with a jump
    assert signal_quality.nearest_s(as_f64(truth_s), as_f64(found_s)).max() < 0.02


def test_an_offset_changes_nothing() -> None:
    """Not even the first beat, 300 ms after the start."""
    ecg = made_up(0.3 + np.cumsum(sinus_ms(2, 30)) / 1000 - 0.8, 250.0)
    plain, raised = (qrs.detect_all(as_f64(ecg + offset), 250.0).apex for offset in (0.0, 1000.0))
    np.testing.assert_allclose(raised, plain, atol=1e-6)
    assert plain[0] < 100.0


def test_spikes_while_learning_hide_no_beats() -> None:
    apex_s = 0.7 + np.cumsum(sinus_ms(8, 60)) / 1000
    ecg = made_up(apex_s, 130.0, 0.01)
    spikes = [130, 400, 680]
    ecg[spikes] += 100.0
    found_s = as_f64(qrs.detect_all(ecg, 130.0).apex / 130.0)
    hidden = signal_quality.nearest_s(as_f64(apex_s), as_f64(np.array(spikes) / 130.0)) < 0.4
    assert signal_quality.nearest_s(as_f64(apex_s[~hidden]), found_s).max() < 0.02


@pytest.mark.parametrize("nonsense", [1e300, -1e308, np.inf, np.nan])
def test_one_sample_of_nonsense_is_passed_over(nonsense: float) -> None:
    apex_s = 0.7 + np.cumsum(sinus_ms(8, 60)) / 1000
    ecg = made_up(apex_s, 130.0, 0.01)
    ecg[[0, 2000]] = nonsense
    found_s = as_f64(qrs.detect_all(ecg, 130.0).apex / 130.0)
    assert found_s.size == apex_s.size
    assert signal_quality.nearest_s(as_f64(apex_s), found_s).max() < 0.02


def test_a_heart_that_seems_smaller_than_what_was_before_is_found_again() -> None:
    apex_s = 0.7 + np.cumsum(sinus_ms(9, 100)) / 1000
    ecg = made_up(apex_s, 130.0, 0.005)
    ecg[: 30 * 130] *= 100.0
    found_s = as_f64(qrs.detect_all(ecg, 130.0).apex / 130.0)
    missed = signal_quality.nearest_s(as_f64(apex_s), found_s) > 0.02
    assert missed.sum() <= 35
    assert not missed[apex_s > 60.0].any()


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


@pytest.mark.parametrize("rate_hz", [130.0, pytest.param(360.0, marks=heavy)])
def test_noise_alone_is_never_good_and_a_clear_heart_always(rate_hz: float) -> None:
    rng = np.random.default_rng(4)
    apex_s = 0.7 + np.cumsum(sinus_ms(7, 350)) / 1000
    ecg = made_up(apex_s, rate_hz, 0.02)
    white = rng.standard_normal(ecg.size)
    like_beats = np.convolve(white, np.hanning(int(0.1 * rate_hz)), "same")
    starts_s = as_f64(np.arange(0.0, 290.0, 10.0))
    for signal, expected in ((ecg, True), (white, False), (np.diff(white), False), (like_beats, False)):
        first = qrs.detect_all(as_f64(signal), rate_hz)
        state = signal_quality.second_detector(rate_hz)
        second = [p.apex for p in (qrs.detect(state, as_f64(signal)), qrs.finish(state))]
        first_s, second_s = as_f64(first.apex / rate_hz), as_f64(np.concatenate(second) / rate_hz)
        quality = signal_quality.quality(first_s, second_s, starts_s)
        assert (signal_quality.good(quality, first_s, first.prominence, starts_s) == expected).all()


def test_two_good_windows_amid_poor_ones_are_not_believed() -> None:
    quality = as_f64([1.0, 1.0, 0.2, 1.0, 1.0, 0.2, 1.0, 1.0, 1.0, 0.2])
    beats_s = as_f64(np.arange(0.5, 100.0))
    starts_s = as_f64(np.arange(0.0, 100.0, 10.0))
    found = signal_quality.good(quality, beats_s, as_f64(np.full(100, 2.0)), starts_s)
    np.testing.assert_array_equal(found, [1, 1, 0, 0, 0, 0, 1, 1, 1, 0])
    assert not signal_quality.good(quality, beats_s, as_f64(np.full(100, 1.2)), starts_s).any()


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
