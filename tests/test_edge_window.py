"""Windows share the beats out: each is in exactly one, in order, and a gap is a gap."""

import itertools
import random
from array import array

import pytest

from edge.heart_sensor import NO_BEAT
from edge.store import HeartChunk
from edge.window import rate_window, rr_window
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement, RrUnit

S = 10**9
Packet = tuple[float, float | None, HeartRateMeasurement]


def chunk(*packets: Packet) -> HeartChunk:
    """Of packets: arrival s, last beat s, what it says."""
    payloads = [heart_rate.encode(reading) for *_, reading in packets]
    return HeartChunk(
        "strap",
        "boot-1",
        round(packets[0][0] * S),
        round(packets[-1][0] * S),
        len(packets),
        array("q", [round(arrival * S) for arrival, *_ in packets]).tobytes(),
        array("q", [NO_BEAT if beat is None else round(beat * S) for _, beat, _ in packets]).tobytes(),
        array("H", map(len, payloads)).tobytes(),
        b"".join(payloads),
    )


def beats(arrival_s: float, last_beat_s: float, *rr_ticks: int) -> Packet:
    return arrival_s, last_beat_s, HeartRateMeasurement(60, rr_ticks=rr_ticks)


def rate(arrival_s: float, bpm: int, contact: bool | None = None) -> Packet:
    return arrival_s, None, HeartRateMeasurement(bpm, contact=contact)


def cut(chunks: list[HeartChunk], from_s: float, to_s: float) -> list[tuple[float, float]]:
    rr_ms, follows = rr_window(chunks, round(from_s * S), round(to_s * S), RrUnit.TICKS)
    return list(zip(rr_ms.tolist(), follows.tolist(), strict=True))


def test_a_beat_on_the_boundary_belongs_to_the_window_that_begins() -> None:
    chunks = [chunk(beats(1, 1.0, 1024), beats(2, 2.0, 512, 512), beats(3, 3.0, 1024))]
    assert cut(chunks, 0, 2) == [(1000.0, 0.0), (500.0, 1.0)]
    assert cut(chunks, 2, 3) == [(500.0, 1.0)]
    assert cut(chunks, 3, 4) == [(1000.0, 1.0)]
    assert cut(chunks, 4, 9) == []


def test_windows_share_all_beats_out_whatever_their_size() -> None:
    rng = random.Random(3)
    time_s, packets = 100.0, []
    for _ in range(100):
        ticks = [rng.randrange(300, 1500) for _ in range(rng.randrange(1, 4))]
        time_s += sum(ticks) / 1024
        packets.append(beats(time_s + rng.random(), time_s, *ticks))
    chunks = [chunk(*packets[k : k + 10]) for k in range(0, 100, 10)]
    whole = cut(chunks, 0, 1e6)
    assert len(whole) == sum(len(reading.rr_ticks or ()) for *_, reading in packets)
    for width_s in (7.3, 60.0, 300.0):
        edges = [99.0 + width_s * k for k in range(int(400 / width_s) + 2)]
        parts = [part for a, b in itertools.pairwise(edges) for part in cut(chunks, a, b)]
        assert [rr for rr, _ in parts] == [rr for rr, _ in whole]
        assert [follows for _, follows in parts] == [follows for _, follows in whole]


@pytest.mark.parametrize(("pause_s", "follows"), [(0.0, 1.0), (0.1, 1.0), (0.2, 0.0), (600.0, 0.0)])
def test_an_interval_follows_the_one_before_unless_time_is_missing(pause_s: float, follows: float) -> None:
    later_s = 11.0 + pause_s
    chunks = [chunk(beats(10, 10.0, 1024)), chunk(beats(later_s, later_s, 1024))]
    assert cut(chunks, 0, 1000) == [(1000.0, 0.0), (1000.0, follows)]


def test_a_zero_interval_and_a_packet_without_any_are_passed_over() -> None:
    chunks = [chunk(beats(1, 1.0, 1024), rate(2, 70), beats(2, 2.0, 0, 1024, 0), rate(2.5, 0, contact=False))]
    assert cut(chunks, 0, 10) == [(1000.0, 0.0), (1000.0, 1.0)]


def test_rates_are_by_the_second_of_arrival_and_only_while_worn() -> None:
    chunks = [
        chunk(rate(9.999, 50), rate(10.0, 60), rate(10.7, 61), rate(12.0, 0), rate(13.0, 70, contact=False)),
        chunk(rate(14.0, 80, contact=True), rate(15.0, 90), beats(15.9, 15.9, 1024), rate(20.0, 99)),
    ]
    assert rate_window(chunks, 10 * S, 20 * S) == {0: 61, 4: 80, 5: 60}
    assert rate_window([], 0, S) == {}
