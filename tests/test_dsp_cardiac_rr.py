"""The time axis rebuilt from notifications, against a strap whose beats are known."""

import numpy as np
import pytest
from cardiac_records import sinus_ms

from dsp.cardiac.rr import Timeline, unpack


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
        timeline, placed = unpack(timeline, arrival_s, rr_ms)
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
        timeline, placed = unpack(timeline, arrival_s, rr_ms)
        found += placed.t_s
        follows += placed.follows
    gaps = np.flatnonzero(np.array(follows) == 0.0)
    assert gaps.size == 2
    lost_s = found[gaps[1]] - found[gaps[1] - 1]
    assert 4.0 < lost_s < 8.0
    assert np.all(np.diff(found) > 0.0)


def test_an_empty_packet_changes_nothing() -> None:
    timeline, placed = unpack(Timeline(5.0), 9.0, [])
    assert (timeline, placed.t_s) == (Timeline(5.0), [])
