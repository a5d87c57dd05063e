"""Artefacts put into clean intervals are found and do not change variability; premature beats as labelled."""

import numpy as np
import pytest
from cardiac_records import column, sinus_ms, words
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_modes import fewer

from dsp.arrays import as_f64
from dsp.cardiac.intervals import LAG, Beat, finish, judge, judge_all, new_state, normal
from dsp.cardiac.time_domain import time_domain

SINUS = ("N", "B", "T")
PREMATURE = ("A", "a", "J", "S", "V")


def judged(rr_ms: np.ndarray) -> np.ndarray:
    return judge_all(as_f64(rr_ms), np.ones(len(rr_ms))).beat


def rmssd_ms(rr_ms: np.ndarray) -> float:
    found = judge_all(as_f64(rr_ms), np.ones(len(rr_ms)))
    _, nn_ms, follows = normal(found, as_f64(np.cumsum(rr_ms) / 1000))
    return time_domain(nn_ms, follows).rmssd_ms


def disturbed(clean: np.ndarray, kind: str, share: float, rng: np.random.Generator) -> np.ndarray:
    rr = clean.copy()
    at = np.sort(rng.choice(np.arange(2, len(rr) - 2), round(share * len(rr)), replace=False))
    if kind == "missed":
        for k in at:
            rr[k + 1] += rr[k]
        return np.delete(rr, at)
    part = rng.uniform(0.2, 0.8, len(at)) * rr[at]
    if kind == "extra":
        rr[at] -= part
        return np.insert(rr, at, part)
    for k in at:
        shift = rng.uniform(0.1, 0.4) * min(rr[k], rr[k + 1]) * rng.choice([-1, 1])
        rr[k] += shift
        rr[k + 1] -= shift
    return rr


@pytest.mark.parametrize(("kind", "bound_pct"), [("missed", 2.0), ("extra", 2.0), ("misplaced", 6.0)])
def test_rmssd_survives_artefacts(kind: str, bound_pct: float) -> None:
    """Median error over 40 five-minute windows with 5 % of the beats disturbed."""
    errors = []
    for seed in range(fewer(40, 10)):
        clean = sinus_ms(seed, 350)
        truth = np.sqrt(np.mean(np.diff(clean) ** 2))
        broken = disturbed(clean, kind, 0.05, np.random.default_rng(seed))
        errors.append(100 * abs(rmssd_ms(broken) / truth - 1))
        assert abs(np.sqrt(np.mean(np.diff(broken) ** 2)) / truth - 1) > 1.0
    assert np.median(errors) <= bound_pct


def test_clean_intervals_stay() -> None:
    for seed in range(fewer(10, 3)):
        assert (judged(sinus_ms(seed, 400)) != Beat.NORMAL).mean() <= 0.005


@pytest.mark.parametrize(
    ("put", "expected"),
    [
        ([1700.0], [Beat.MISSED]),
        ([2550.0], [Beat.MISSED]),
        ([400.0, 450.0], [Beat.EXTRA, Beat.EXTRA]),
        ([500.0, 1200.0], [Beat.PREMATURE, Beat.PAUSE]),
        ([550.0, 850.0], [Beat.PREMATURE, Beat.PAUSE]),  # an NN interval begins with a normal beat
        ([60.0, 790.0], [Beat.EXTRA, Beat.EXTRA]),
        ([790.0, 60.0], [Beat.EXTRA, Beat.EXTRA]),
        ([500.0, 390.0, 850.0], [Beat.PREMATURE, Beat.PREMATURE, Beat.PAUSE]),
        ([1050.0, 650.0], [Beat.MISPLACED, Beat.MISPLACED]),
        ([1250.0], [Beat.PAUSE]),
    ],
)
def test_classes(put: list[float], expected: list[Beat]) -> None:
    calm = 850.0 + 10.0 * np.sin(np.arange(30))
    beat = judged(np.concatenate([calm, put, calm]))
    assert beat[30 : 30 + len(put)].tolist() == expected
    assert (beat != Beat.NORMAL).sum() == len(put)


def test_missed_beats_are_shared_out_and_split_ones_joined() -> None:
    rr = as_f64([800.0] * 20 + [1600.0] + [800.0] * 20 + [300.0, 500.0] + [800.0] * 20)
    found = judge_all(rr, np.ones(rr.size))
    assert found.corrected_ms[20] == 800.0
    assert np.isnan(found.corrected_ms[41])
    assert found.corrected_ms[42] == 800.0


def test_bigeminy_is_found_beat_by_beat() -> None:
    """Every other beat premature: a threshold from quartiles calls all of this normal."""
    beat = judged(np.tile([560.0, 1040.0], 60))
    assert (beat[20:-20:2] == Beat.PREMATURE).all()
    assert (beat[21:-20:2] != Beat.PREMATURE).all()


@pytest.mark.parametrize(("record", "se_pct"), [("106", 98.0), ("119", 98.0), ("228", 98.0)])
def test_labelled_premature_beats(record: str, se_pct: float) -> None:
    rr = column(f"mitdb_{record}_rr.csv.gz", "rr_ms")
    symbol, rhythm = (np.array(words(f"mitdb_{record}_rr.csv.gz", name)) for name in ("beat", "rhythm"))
    local = np.array([np.median(rr[max(k - 5, 0) : k + 6]) for k in range(len(rr))])
    sinus = np.isin(rhythm, SINUS)
    premature = sinus & np.isin(symbol, PREMATURE) & (rr < 0.85 * local)
    flagged = judged(rr) == Beat.PREMATURE
    assert premature.sum() > 300
    assert 100 * flagged[premature].mean() >= se_pct
    assert 100 * (~flagged[sinus & np.isin(symbol, ("N", "L", "R"))]).mean() >= 98.8


def test_differences_do_not_cross_gaps_or_corrected_beats() -> None:
    rr = as_f64([800.0, 810.0, 805.0] * 10)
    follows = np.ones(rr.size)
    follows[15] = 0.0
    rr[20] = 480.0
    found = judge_all(rr, follows)
    _, nn_ms, linked = normal(found, as_f64(np.cumsum(rr) / 1000))
    assert nn_ms.size == 28  # without the premature beat's interval and the one that begins with it
    assert np.flatnonzero(linked == 0.0).tolist() == [0, 15, 20]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(200.0, 3000.0), max_size=60),
    st.lists(st.integers(1, 9), min_size=1),
    st.integers(0, 60),
)
def test_any_cut_into_packets_gives_the_same(rr: list[float], cuts: list[int], save_at: int) -> None:
    rr_ms, follows = as_f64(rr), np.ones(len(rr))
    state, parts, at, k = new_state(), [], 0, 0
    while at < len(rr):
        if at >= save_at:
            state = as_f64(np.frombuffer(state.tobytes()))  # saved and restored
        size = cuts[k % len(cuts)]
        parts.append(judge(state, rr_ms[at : at + size], follows[at : at + size]))
        at, k = at + size, k + 1
    assert sum(p.beat.size for p in parts) == max(len(rr) - LAG, 0)
    parts.append(finish(state))
    for name, whole in judge_all(rr_ms, follows)._asdict().items():
        np.testing.assert_array_equal(whole, np.concatenate([getattr(p, name) for p in parts]))
    assert whole.size == len(rr)
