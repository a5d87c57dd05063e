"""The time axis rebuilt from notifications, against a strap whose beats are known."""

import numpy as np
import pytest
from cardiac_records import sinus_ms

from dsp.cardiac.rr import Timeline, place


def packets(beats_s: np.ndarray, seed: int) -> list[tuple[float, list[float]]]:
    """What a strap sends once a second: the intervals of the beats since, with up to 0.3 s of radio delay."""
    rng = np.random.default_rng(seed)
    rr_ms = np.diff(beats_s, prepend=0.0) * 1000
    sent = []
    for second in np.arange(1.0, beats_s[-1] + 1.0):
        inside = (beats_s > second - 1.0) & (beats_s <= second)
        sent.append((second + rng.uniform(0.0, 0.3), rr_ms[inside].tolist()))
    return sent


@pytest.mark.parametrize("seed", range(4))
def test_beats_come_back_where_they_were(seed: int) -> None:
    beats_s = np.cumsum(sinus_ms(seed, 400)) / 1000
    timeline, found, follows = Timeline(), [], []
    for arrival_s, rr_ms in packets(beats_s, seed):
        timeline, placed = place(timeline, arrival_s, rr_ms)
        found += placed.t_s
        follows += placed.follows
    error_s = np.array(found) - beats_s
    assert np.ptp(error_s[50:]) < 0.12
    assert follows == [0.0] + [1.0] * 399


def test_lost_packets_are_one_gap_and_no_long_interval() -> None:
    beats_s = np.cumsum(sinus_ms(1, 200)) / 1000
    timeline, found, follows = Timeline(), [], []
    for k, (arrival_s, rr_ms) in enumerate(packets(beats_s, 1)):
        if 60 <= k < 65:
            continue
        timeline, placed = place(timeline, arrival_s, rr_ms)
        found += placed.t_s
        follows += placed.follows
    gaps = np.flatnonzero(np.array(follows) == 0.0)
    assert gaps.size == 2
    lost_s = found[gaps[1]] - found[gaps[1] - 1]
    assert 4.0 < lost_s < 8.0
    assert np.all(np.diff(found) > 0.0)


def test_an_empty_packet_has_no_beats() -> None:
    timeline, placed = place(Timeline(5.0), 9.0, [])
    assert (timeline.last_beat_s, placed.t_s) == (5.0, [])


def hour_with_losses(seed: int, bpm: float, share: float) -> tuple[int, int, int]:
    """An hour of a strap, some of its notifications lost: losses of beats, of these found, and other gaps.

    Radio delays: up to 50 ms of connection interval, 20 ms on average of processing, 1 % up to 0.3 s more.
    A loss is found if a gap shows within the next four notifications.
    """
    rng = np.random.default_rng(seed)
    beats_s = np.cumsum(60 / bpm / 0.85 * sinus_ms(seed, round(62 * bpm)) / 1000)
    rr_ms = np.diff(beats_s, prepend=0.0) * 1000
    timeline, missing_s, lost_s, gaps_s = Timeline(), [], [], []
    for second in np.arange(1.0, 3600.0):
        inside = rr_ms[(beats_s > second - 1.0) & (beats_s <= second)]
        if rng.random() < share:
            missing_s.append(second)
            lost_s += [second] * (inside.size > 0)
            continue
        delay_s = rng.uniform(0.0, 0.05) + rng.exponential(0.02) + 0.3 * rng.random() * (rng.random() < 0.01)
        timeline, placed = place(timeline, second + delay_s, inside.tolist())
        gaps_s += [second] * (0.0 in placed.follows)
    found, explained = (
        (later > 0.0) & (later <= 4.0)
        for later in (np.subtract.outer(gaps_s[1:], times_s) for times_s in (lost_s, missing_s))
    )  # The first gap is the beginning.
    return len(lost_s), int(found.any(axis=0).sum()), int((~explained.any(axis=1)).sum())


@pytest.mark.parametrize("bpm", [48.0, 60.0, 75.0, 110.0, 160.0])
def test_a_single_lost_notification_is_a_gap(bpm: float) -> None:
    lost, found, others = np.sum([hour_with_losses(seed, bpm, 0.01) for seed in range(2)], axis=0)
    assert lost > 40
    assert found >= 0.95 * lost
    assert others <= 1


@pytest.mark.parametrize("bpm", [48.0, 60.0, 75.0, 110.0, 160.0])
def test_without_a_loss_there_is_no_gap(bpm: float) -> None:
    assert hour_with_losses(3, bpm, 0.0) == (0, 0, 0)
