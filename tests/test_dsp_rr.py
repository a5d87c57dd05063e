import math
import random
from itertools import accumulate

import pytest

from dsp.cardiac.rr import LATENESS_S_MAX, Timeline, place


def packets(
    rr_s: list[float], phase_s: float, jitter: random.Random
) -> list[tuple[float, list[float], float]]:
    """Once a second the beats since the last packet, perhaps none: (arrival, their intervals, true time of the
    last one)."""
    beats = list(zip(accumulate(rr_s), rr_s, strict=True))
    sent, at = [], 0
    for second in range(math.ceil(beats[-1][0]) + 1):
        due = [beat for beat in beats[at : at + 5] if beat[0] <= phase_s + second]
        at += len(due)
        sent.append((phase_s + second + jitter.uniform(0.0, 0.03), [rr for _, rr in due], beats[at - 1][0]))
    return sent


def walk(sent: list[tuple[float, list[float], float]]) -> list[float]:
    """How late each packet's last beat is placed, s."""
    timeline, errors = Timeline(), []
    for arrival_s, rr_s, true_s in sent:
        timeline, placed = place(timeline, arrival_s, [1000.0 * rr for rr in rr_s])
        if rr_s:
            assert placed.t_s[-1] <= arrival_s
            errors.append(placed.t_s[-1] - true_s)
    return errors


@pytest.mark.parametrize("seed", range(10))
def test_beats_are_placed_where_they_were(seed: int) -> None:
    rng = random.Random(seed)
    rr_s = [rng.uniform(0.4, 1.2) for _ in range(2000)]
    errors = walk(packets(rr_s, rng.random(), rng))
    assert all(0.0 <= error <= 1.03 for error in errors)
    assert max(errors[100:]) < 0.08  # settled after a hundred packets


@pytest.mark.parametrize("drift", [-50e-6, 50e-6])
def test_a_strap_whose_clock_drifts_is_followed(drift: float) -> None:
    rng = random.Random(1)
    rr_s = [rng.uniform(0.6, 1.0) for _ in range(40_000)]
    sent = [(a, [rr * (1 + drift) for rr in rrs], t) for a, rrs, t in packets(rr_s, 0.3, rng)]
    assert max(abs(error) for error in walk(sent)[100:]) < 0.1


def test_a_lost_packet_is_a_gap_and_no_long_beat() -> None:
    rng = random.Random(2)
    sent = packets([0.8] * 500, 0.5, rng)
    del sent[200:204]
    errors = walk(sent)
    assert abs(errors[199]) < 0.15  # no beat comes sooner than 0.1 s before a packet
    assert 0.0 <= errors[200] <= 1.1  # begins anew, as at first
    assert LATENESS_S_MAX < 4 * 0.8
    assert abs(errors[-1]) < 0.15
