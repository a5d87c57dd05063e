"""Rhythm screening: against its naive twin, a labelled record, ectopy, and any cut into packets."""

import naive_cardiac as naive
import numpy as np
import pytest
from cardiac_records import column, sinus_ms, words
from kernel_modes import heavy

from dsp.arrays import as_f64
from dsp.cardiac import episodes, rhythm, rhythm_weights
from dsp.cardiac.intervals import Beat, judge_all
from tools.train import rhythm as train_rhythm
from tools.train.rhythm_truth import Record


def fibrillation_ms(seed: int, beats: int) -> np.ndarray:
    return as_f64(np.random.default_rng(seed).normal(650.0, 140.0, beats).clip(300.0, 1500.0))


def test_kernels_against_the_naive_twin() -> None:
    rr = as_f64(np.concatenate([sinus_ms(0, 150), fibrillation_ms(0, 250), sinus_ms(1, 150)]).round(1))
    statistics = naive.rhythm_statistics(rr)
    memory = rhythm.new_state()[: rhythm.MEMORY]
    np.testing.assert_allclose(rhythm.statistics(memory, rr), statistics, atol=1e-9)
    found, w = rhythm.screen_all(rr), rhythm.weights()
    fast = naive.af_probability(w.fast, statistics, rhythm.FAST_WINDOWS, 0.0)
    onset = naive.af_probability(w.onset, statistics, rhythm.ONSET_WINDOWS, rhythm.ONSET_MARGIN)
    np.testing.assert_allclose(found.fast, np.maximum(fast, onset), atol=1e-6)
    sure = naive.af_probability(w.sure, statistics, rhythm.SURE_WINDOWS, 0.0)
    np.testing.assert_allclose(found.sure, sure, atol=1e-6)


def test_training_sees_what_the_kernel_sees() -> None:
    rr = as_f64(np.concatenate([sinus_ms(3, 200), fibrillation_ms(3, 200)]))
    record = Record("mitdb", "made up", rr, np.zeros(rr.size, bool))
    rows = train_rhythm.rows(record, frozenset(), np.random.default_rng(0))
    w = rhythm.weights()
    sure = 1 / (1 + np.exp(-rows.sure @ w.sure[:-1] - w.sure[-1]))
    whole = rhythm.screen_all(rr).sure
    stride = train_rhythm.STRIDES["mitdb"]
    assert min(np.abs(sure - whole[offset::stride]).max() for offset in range(stride)) < 1e-4


def test_logistic_regression_is_at_the_minimum() -> None:
    """Where the gradient of cross-entropy plus ridge is zero; a second, plain descent cannot do better."""
    rng = np.random.default_rng(5)
    x = rng.normal(3.0, 2.0, (400, 3)).astype(np.float32)
    truth = x[:, 0] - 0.5 * x[:, 1] + rng.normal(0.0, 1.0, 400) > 1.0
    weight = rng.uniform(0.5, 2.0, 400)
    w = train_rhythm.logistic_regression(x, truth, weight)

    def loss(w: np.ndarray) -> float:
        logit = x @ w[:-1] + w[-1]
        entropy = np.logaddexp(0.0, logit) - truth * logit
        ridge = 0.5 * train_rhythm.RIDGE * ((w[:-1] * x.std(axis=0)) ** 2).sum()
        return float((weight * entropy).sum() / weight.sum() + ridge)

    for direction in rng.normal(0.0, 1e-2, (50, 4)):
        assert loss(w) <= loss(w + direction) + 1e-9


def test_weights_are_a_few_kb() -> None:
    assert len(rhythm_weights.FLOAT32) < 10_000
    assert "ODC-By" in rhythm_weights.__doc__
    assert "records left out" in rhythm_weights.__doc__
    assert sum(part.size for part in rhythm.weights()) == 4 * len(rhythm_weights.FLOAT32) // 5 // 4


def test_windows_fit_into_the_state() -> None:
    assert rhythm.SURE_LAG == max(after for _, after in rhythm.SURE_WINDOWS) <= 64
    longest = max(before for before, _ in (*rhythm.FAST_WINDOWS, *rhythm.SURE_WINDOWS))
    assert longest + rhythm.SURE_LAG + 2 <= rhythm.RING  # both ends of the longest window, judged late


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


@heavy
def test_a_labelled_record() -> None:
    """Record 08219: 39 episodes of paroxysmal AF. In the training data, so this shows only that nothing broke."""
    rr = column("afdb_08219_rr.csv.gz", "rr_ms")
    is_af = np.array(words("afdb_08219_rr.csv.gz", "rhythm")) == "AFIB"
    flagged = rhythm.screen_all(rr).sure >= rhythm_weights.SURE_THRESHOLD
    assert 100 * flagged[is_af].mean() > 93.0
    assert 100 * (~flagged[~is_af]).mean() > 96.0


@heavy
@pytest.mark.parametrize(("record", "specificity"), [("119", 97.0), ("228", 90.0)])
def test_ectopy_is_not_fibrillation(record: str, specificity: float) -> None:
    """Bigeminy, and premature beats amid a sinus rhythm as lively as that of 228."""
    rr = column(f"mitdb_{record}_rr.csv.gz", "rr_ms")
    flagged = rhythm.screen_all(rr).sure >= rhythm_weights.SURE_THRESHOLD
    assert 100 * (~flagged).mean() > specificity


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
    found = episodes.af_episodes(t_s, rr, np.ones(1000), probability, 0.5)
    assert [(round(e.start_s), round(e.end_s)) for e in found] == [(60, 180), (480, 540)]
    assert found[0].hr_mean_bpm == pytest.approx(100.0)
    total = episodes.burden(found, t_s, rr)
    assert (total.af_pct, total.longest_s, total.episodes) == (pytest.approx(30.0), pytest.approx(120.0), 2)


def test_a_long_gap_ends_an_episode_and_is_no_burden() -> None:
    """AF for 120 s, 6 h of nothing, AF for 120 s; and a second without beats within the first."""
    rr, follows = np.full(600, 600.0), np.ones(600)
    t_s = np.cumsum(rr) / 1000
    t_s[50:] += 1.0
    t_s[300:] += 6 * 3600.0
    follows[[0, 50, 300]] = 0.0
    probability = np.zeros(600)
    probability[100:500] = 0.9
    found = episodes.af_episodes(as_f64(t_s), rr, follows, probability, 0.5)
    assert [round(e.end_s - e.start_s) for e in found] == [120, 120]
    total = episodes.burden(found, as_f64(t_s), rr)
    assert (total.af_pct, total.longest_s) == (pytest.approx(100 * 400 / 600), pytest.approx(120.0))
    (lost,) = episodes.pauses(as_f64(t_s), rr, follows, np.zeros(600), float(t_s[-1]))
    assert (lost.length_ms, lost.may_be_lost_data) == (pytest.approx(6 * 3.6e6), True)
    everywhere = episodes.af_episodes(as_f64(t_s), rr, follows, np.ones(600), 0.5)
    assert [round(e.start_s) for e in everywhere] == [0, 181 + 6 * 3600]
    assert episodes.burden(everywhere, as_f64(t_s), rr).af_pct == pytest.approx(100.0)


def rates(rr: list[float]) -> list[tuple[str, int, int]]:
    rr_ms, follows = as_f64(rr), np.ones(len(rr))
    corrected_ms = judge_all(rr_ms, follows).corrected_ms
    found = episodes.rate_episodes(as_f64(np.cumsum(rr_ms) / 1000), rr_ms, follows, corrected_ms)
    return [(e.kind[:5], round(e.start_s), round(e.end_s)) for e in found]


def steady(rr_ms: float, seconds: float, seed: int = 0) -> list[float]:
    noise = np.random.default_rng(seed).normal(0.0, 0.005 * rr_ms, round(1000.0 * seconds / rr_ms))
    return [rr_ms + float(x) for x in noise]


@pytest.mark.parametrize("seconds", [50, 62, 70, 100, 115, 130, 200])
@pytest.mark.parametrize(("kind", "rr_ms"), [("tachy", 500.0), ("brady", 1333.0)])
def test_a_rate_begins_where_it_changed(kind: str, rr_ms: float, seconds: int) -> None:
    found = rates(steady(857.0, 600) + steady(rr_ms, seconds) + steady(857.0, 600))
    if seconds < 60:
        assert found == []
    else:
        ((name, start, end),) = found
        assert (name, start, end) == (kind, pytest.approx(600, abs=2), pytest.approx(600 + seconds, abs=4))


def test_exercise_is_no_rest() -> None:
    """From 80 to 170 in two minutes, and back."""
    up = [60000.0 / bpm for bpm in np.linspace(80.0, 170.0, 240)]
    assert rates(steady(750.0, 300) + up + up[::-1] + steady(750.0, 300)) == []


@pytest.mark.parametrize("artefact", [[2500.0], [250.0] * 4 + [1000.0], [350.0, 150.0], [620.0, 380.0]])
def test_an_artefact_a_minute_hides_no_tachycardia(artefact: list[float]) -> None:
    ((kind, start, end),) = rates([x for k in range(12) for x in steady(500.0, 47, k) + artefact])
    assert (kind, start) == ("tachy", 0)
    assert end > 560


@pytest.mark.parametrize("pair", [(350.0, 650.0), (650.0, 350.0), (600.0, 1400.0), (600.0, 1000.0)])
def test_split_beats_and_bigeminy_invent_no_rate(pair: tuple[float, float]) -> None:
    """A T wave taken for a beat at 60/min; a bigeminy whose beats come at 60 or 75/min."""
    usual = steady(900.0, 200)
    assert rates(usual + [part for _ in range(400) for part in pair] + usual) == []


def test_rates_at_rest_and_pauses() -> None:
    fast, slow, usual = [480.0] * 300, [1400.0] * 80, [800.0] * 200
    assert [kind for kind, _, _ in rates(usual + slow + usual + fast)] == ["brady", "tachy"]
    rr = as_f64(usual + fast)
    t_s, follows, beat = as_f64(np.cumsum(rr) / 1000), np.ones(rr.size), np.zeros(rr.size)
    rr[50] = 3100.0
    (pause,) = episodes.pauses(t_s, rr, follows, beat, float(t_s[-1]))
    assert (pause.length_ms, pause.may_be_missed_beats, pause.may_be_lost_data) == (3100.0, False, False)
    _, last = episodes.pauses(t_s, rr, follows, beat, float(t_s[-1]) + 12.0)
    assert (last.length_ms, last.may_be_lost_data) == (pytest.approx(12_000.0), True)
    beat[50] = Beat.MISSED
    assert episodes.pauses(t_s, rr, follows, beat, float(t_s[-1]))[0].may_be_missed_beats
