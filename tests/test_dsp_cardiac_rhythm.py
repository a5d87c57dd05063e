"""The rhythm network beat by beat: against its numpy twin, a labelled record, ectopy, and any cut into packets."""

import numpy as np
import pytest
from cardiac_records import column, sinus_ms, words

from dsp.arrays import as_f64
from dsp.cardiac import episodes, rhythm, rhythm_weights
from dsp.cardiac.intervals import Beat
from tools import rhythm_net


def fibrillation_ms(seed: int, beats: int) -> np.ndarray:
    return as_f64(np.random.default_rng(seed).normal(650.0, 140.0, beats).clip(300.0, 1500.0))


def test_kernel_is_the_network_that_was_trained() -> None:
    rr = np.concatenate([sinus_ms(0, 300), fibrillation_ms(0, 300), sinus_ms(1, 200)])
    at, w = 0, {}
    for name, shape in rhythm.SHAPES.items():
        w[name] = rhythm.weights()[at : at + np.prod(shape)].reshape(shape).astype(np.float32)
        at += int(np.prod(shape))
    assert at == rhythm.weights().size
    fast, sure = rhythm_net.probabilities(w, rr)
    found = rhythm.screen_all(as_f64(rr))
    np.testing.assert_allclose(found.fast, fast, atol=2e-5)
    np.testing.assert_allclose(found.sure, sure, atol=2e-5)


def test_weights_are_a_few_kb() -> None:
    assert len(rhythm_weights.FLOAT16) < 20_000
    assert "ODC-By" in rhythm_weights.__doc__
    assert rhythm.SURE_LAG == max(after for _, after in rhythm.SURE_WINDOWS) <= 64


@pytest.mark.parametrize("cut", [1, 2, 7, 64, 1000])
def test_any_cut_gives_the_same(cut: int) -> None:
    rr = as_f64(np.concatenate([sinus_ms(2, 200), fibrillation_ms(2, 250)]))
    state, fast, sure = rhythm.new_state(), [], []
    for at in range(0, rr.size, cut):
        state = as_f64(np.frombuffer(state.tobytes()))  # saved and restored
        found = rhythm.screen(state, rr[at : at + cut])
        fast.append(found.fast)
        sure.append(found.sure)
    assert sum(part.size for part in sure) == rr.size - rhythm.SURE_LAG
    sure.append(rhythm.finish(state))
    whole = rhythm.screen_all(rr)
    np.testing.assert_array_equal(np.concatenate(fast), whole.fast)
    np.testing.assert_array_equal(np.concatenate(sure), whole.sure)


def test_a_labelled_record() -> None:
    """Record 08219: 39 episodes of paroxysmal AF. In the training data, so this shows only that nothing broke."""
    rr = column("afdb_08219_rr.csv.gz", "rr_ms")
    is_af = np.array(words("afdb_08219_rr.csv.gz", "rhythm")) == "AFIB"
    flagged = rhythm.screen_all(rr).sure >= rhythm_weights.SURE_THRESHOLD
    assert 100 * flagged[is_af].mean() > 93.0
    assert 100 * (~flagged[~is_af]).mean() > 96.0


@pytest.mark.parametrize("record", ["119", "228"])
def test_ectopy_is_not_fibrillation(record: str) -> None:
    rr = column(f"mitdb_{record}_rr.csv.gz", "rr_ms")
    flagged = rhythm.screen_all(rr).sure >= rhythm_weights.SURE_THRESHOLD
    assert 100 * (~flagged).mean() > 97.0


@pytest.mark.parametrize("seed", range(4))
def test_onset_is_soon_seen(seed: int) -> None:
    rr = as_f64(np.concatenate([sinus_ms(seed, 300), fibrillation_ms(seed, 200), sinus_ms(seed + 9, 300)]))
    found = rhythm.screen_all(rr)
    fast = found.fast >= rhythm_weights.ONSET_THRESHOLD
    sure = found.sure >= rhythm_weights.SURE_THRESHOLD
    assert not fast[50:300].any()
    assert np.flatnonzero(fast[300:])[0] <= 40
    assert sure[340:440].mean() > 0.8
    assert not sure[50:280].any()


@pytest.mark.parametrize("rr", [[], [800.0], [0.0, -5.0, 1e9, 800.0]])
def test_degenerate_input_gives_probabilities(rr: list[float]) -> None:
    found = rhythm.screen_all(as_f64(rr))
    assert found.fast.size == found.sure.size == len(rr)
    assert ((found.sure >= 0) & (found.sure <= 1) & (found.fast >= 0) & (found.fast <= 1)).all()


def test_episodes_bridge_and_count() -> None:
    rr = np.full(1000, 600.0)
    t_s = as_f64(np.cumsum(rr) / 1000)
    probability = np.zeros(1000)
    probability[100:300] = 0.9  # 120 s
    probability[180:200] = 0.1  # 12 s: bridged
    probability[600:640] = 0.9  # 24 s: too short
    probability[800:900] = 0.9  # 60 s
    found = episodes.af_episodes(t_s, rr, probability, 0.5)
    assert [(round(e.start_s), round(e.end_s)) for e in found] == [(60, 180), (480, 540)]
    assert found[0].hr_mean_bpm == pytest.approx(100.0)
    total = episodes.burden(found, rr)
    assert (total.af_pct, total.longest_s, total.episodes) == (pytest.approx(30.0), pytest.approx(120.0), 2)


def test_rates_at_rest_and_pauses() -> None:
    rr = np.concatenate([np.full(200, 800.0), np.full(80, 1400.0), np.full(200, 800.0), np.full(300, 480.0)])
    t_s = as_f64(np.cumsum(rr) / 1000)
    assert [e.kind for e in episodes.rate_episodes(t_s, as_f64(rr))] == ["tachycardia"]
    longer = as_f64(np.concatenate([rr[:240], np.full(80, 1400.0), rr[240:]]))
    kinds = [e.kind for e in episodes.rate_episodes(as_f64(np.cumsum(longer) / 1000), longer)]
    assert kinds == ["bradycardia", "tachycardia"]
    rr[50] = 3100.0
    beat = np.zeros(rr.size)
    (pause,) = episodes.pauses(t_s, as_f64(rr), beat)
    assert (pause.length_ms, pause.may_be_missed_beats) == (3100.0, False)
    beat[50] = Beat.MISSED
    assert episodes.pauses(t_s, as_f64(rr), beat)[0].may_be_missed_beats
