"""Everything that streams gives the same however the stream is cut, saved and restored: each piece, and the chain."""

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from cardiac_records import Array, column, sinus_ms
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_modes import fewer

from dsp.arrays import as_f64
from dsp.cardiac import intervals, qrs, rhythm
from dsp.cardiac.alignment import align
from dsp.cardiac.respiration import respiration
from dsp.cardiac.rr import Timeline, place

Parts = list[tuple[Array, ...]]
CUTS = st.lists(st.integers(1, 300), min_size=1, max_size=8)


def cut(size: int, cuts: list[int]) -> Iterator[slice]:
    """The stream in packets of these sizes, over and over."""
    at, k = 0, 0
    while at < size:
        yield slice(at, at + cuts[k % len(cuts)])
        at, k = at + cuts[k % len(cuts)], k + 1


def restored(state: Array) -> Array:
    return as_f64(np.frombuffer(state.tobytes()))


def whole(parts: Parts) -> list[Array]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def judged(rr_ms: Array, follows: Array, cuts: list[int]) -> list[Array]:
    state, parts = intervals.new_state(), []
    for packet in cut(rr_ms.size, cuts):
        state = restored(state)
        parts.append(tuple(intervals.judge(state, rr_ms[packet], follows[packet])))
    return whole([*parts, tuple(intervals.finish(restored(state)))])


def screened(rr_ms: Array, cuts: list[int]) -> list[Array]:
    state, fast, sure = rhythm.new_state(), [], []
    for packet in cut(rr_ms.size, cuts):
        state = restored(state)
        found = rhythm.screen(state, rr_ms[packet])
        fast.append(found.fast)
        sure.append(found.sure)
    return [np.concatenate(fast), np.concatenate([*sure, rhythm.finish(restored(state))])]


def detected(ecg: Array, rate_hz: float, cuts: list[int]) -> list[Array]:
    state, parts = qrs.new_state(rate_hz), []
    for packet in cut(ecg.size, cuts):
        state = restored(state)
        parts.append(tuple(qrs.detect(state, ecg[packet])))
    return whole([*parts, tuple(qrs.finish(restored(state)))])


def placed(rr_ms: Array, seed: int, resume: Callable[[Timeline], Timeline]) -> tuple[Array, Array]:
    """Beats of a strap that loses 3 % of its notifications."""
    rng = np.random.default_rng(seed)
    beats_s = np.cumsum(rr_ms) / 1000
    timeline, t_s, follows = Timeline(), [], []
    for second in np.arange(1.0, beats_s[-1] + 1.0):
        inside = (beats_s > second - 1.0) & (beats_s <= second)
        if rng.random() > 0.03:
            timeline = resume(timeline)
            timeline, found = place(timeline, float(second) + 0.05 * rng.random(), rr_ms[inside].tolist())
            t_s += found.t_s
            follows += found.follows
    return as_f64(t_s), as_f64(follows)


def ectopic(seed: int, beats: int) -> Array:
    """Sinus rhythm with early, missed and extra beats."""
    rng = np.random.default_rng(seed)
    rr_ms = sinus_ms(seed, beats)
    for k in rng.choice(np.arange(1, beats - 1), beats // 12, replace=False):
        rr_ms[k : k + 2] *= rng.choice([(0.6, 1.35), (2.0, 1.0), (0.4, 0.6), (1.2, 0.8)])
    return rr_ms


@settings(max_examples=fewer(40, 4), deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 500), CUTS, st.sets(st.integers(0, 499), max_size=20))
def test_intervals_and_rhythm(seed: int, beats: int, cuts: list[int], gaps: set[int]) -> None:
    rr_ms = ectopic(seed, beats)
    follows = as_f64([float(k not in gaps) for k in range(beats)])
    for found, expected in zip(
        judged(rr_ms, follows, cuts) + screened(rr_ms, cuts),
        [*intervals.judge_all(rr_ms, follows), *rhythm.screen_all(rr_ms)],
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
        assert found.size == beats


@settings(max_examples=fewer(20, 4), deadline=None)
@given(st.integers(1, 20_000), CUTS, st.floats(0.1, 10.0), st.integers(0, 10**6))
def test_complexes(size: int, cuts: list[int], gain: float, seed: int) -> None:
    """With lost samples before and within, a spike, and a lead that is open so long that the heart is learned anew."""
    ecg = gain * column("mitdb_119_ecg.csv.gz", "ecg")[:size]
    at = np.random.default_rng(seed).integers(0, size, 3)
    ecg[at] = [np.nan, np.inf, 5.0 * gain]
    ecg[: at[0] // 10] = np.nan
    ecg[at[1] : at[1] + 7500] = gain
    for found, expected in zip(
        detected(as_f64(ecg), 360.0, cuts), qrs.detect_all(as_f64(ecg), 360.0), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_the_time_axis_goes_on_from_what_was_stored(seed: int) -> None:
    rr_ms = ectopic(seed, 400)
    through_json = placed(rr_ms, seed, lambda timeline: Timeline(*json.loads(json.dumps(timeline))))
    for found, expected in zip(through_json, placed(rr_ms, seed, lambda timeline: timeline), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (expected == 0.0).sum() > 3


@settings(max_examples=fewer(15, 1), deadline=None)
@given(st.integers(0, 10**6), CUTS)
def test_from_notifications_to_breathing_and_alignment(seed: int, cuts: list[int]) -> None:
    """What is computed from streamed pieces is the same to the last bit."""
    ecg = column("mitdb_119_ecg.csv.gz", "ecg")
    t_s, follows = placed(ectopic(seed, 200), seed, lambda timeline: timeline)
    rr_ms = as_f64(1000.0 * np.diff(t_s, prepend=0.0))
    streamed = intervals.normal(intervals.Judged(*judged(rr_ms, follows, cuts)), t_s)
    at_once = intervals.normal(intervals.judge_all(rr_ms, follows), t_s)
    assert repr(respiration(*streamed[:2])) == repr(respiration(*at_once[:2]))
    apexes = [as_f64(x / 360.0) for x in (detected(ecg, 360.0, cuts)[0], qrs.detect_all(ecg, 360.0).apex)]
    assert align(apexes[0], as_f64(apexes[1][5:] + 1.27)) == align(apexes[1], as_f64(apexes[1][5:] + 1.27))
