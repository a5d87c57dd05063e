"""Windows share the beats out: each is in exactly one, in order, and a gap is a gap."""

import itertools
import random

import pytest
from history_parts import S, packet, side_by_side

from edge.anchors import Span
from edge.history.beats import GAP_NS, TOLD_WITHIN_NS, first_moment_ns
from edge.history.heart_packets import judge
from edge.history.heart_window import Window, context_ns
from edge.store.raw_chunks import HeartChunk, Packet, pack, unpack
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement, RrUnit


def chunk(*packets: Packet) -> HeartChunk:
    return HeartChunk(1, 1, packets)


def beats(arrival_s: float, last_beat_s: float, *rr_ticks: int) -> Packet:
    return packet(arrival_s, HeartRateMeasurement(60, rr_ticks=rr_ticks), last_beat_s)


def rate(arrival_s: float, bpm: int, contact: bool | None = None) -> Packet:
    return packet(arrival_s, HeartRateMeasurement(bpm, contact=contact))


def raw(arrival_s: float, payload: str, beat_s: float | None = None) -> Packet:
    return packet(arrival_s, HeartRateMeasurement(60, rr_ticks=(1,)), beat_s)._replace(
        payload=bytes.fromhex(payload)
    )


def window(chunks: list[HeartChunk], from_s: float, to_s: float, unit: RrUnit = RrUnit.TICKS) -> Window:
    made, span = Window(), Span(1, round(from_s * S), round(to_s * S))
    packets = side_by_side(packet for chunk in chunks for packet in chunk.packets)
    made.add(judge(packets, unit, *context_ns(span)), span)
    return made


def cut(chunks: list[HeartChunk], from_s: float, to_s: float) -> list[tuple[float, float]]:
    made = window(chunks, from_s, to_s)
    return list(zip(made.rr_ms.tolist(), made.follows.tolist(), strict=True))


def test_a_beat_on_the_boundary_belongs_to_the_window_that_begins() -> None:
    chunks = [chunk(beats(1, 1.0, 1024), beats(2, 2.0, 512, 512), beats(3, 3.0, 1024))]
    assert cut(chunks, 0, 2) == [(1000.0, 0.0), (500.0, 1.0)]
    # What comes first in a window follows nothing that is in it.
    assert cut(chunks, 2, 3) == [(500.0, 0.0)]
    assert cut(chunks, 3, 4) == [(1000.0, 0.0)]
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
    assert len(whole) == sum(len(heart_rate.decode(p.payload).rr_ticks or ()) for p in packets)
    for width_s in (7.3, 60.0, 300.0):
        edges = [99.0 + width_s * k for k in range(int(400 / width_s) + 2)]
        parts = [cut(chunks, a, b) for a, b in itertools.pairwise(edges)]
        assert [rr for part in parts for rr, _ in part] == [rr for rr, _ in whole]
        inner = [follows for part in parts for _, follows in part[1:]]
        assert inner.count(0.0) == 0


@pytest.mark.parametrize(("pause_s", "follows"), [(0.0, 1.0), (0.1, 1.0), (0.2, 0.0), (600.0, 0.0)])
def test_an_interval_follows_the_one_before_unless_time_is_missing(pause_s: float, follows: float) -> None:
    assert GAP_NS == 150_000_000
    later_s = 11.0 + pause_s
    chunks = [chunk(beats(10, 10.0, 1024)), chunk(beats(later_s, later_s, 1024))]
    assert cut(chunks, 0, 1000) == [(1000.0, 0.0), (1000.0, follows)]


def test_a_zero_interval_and_a_packet_without_any_are_passed_over() -> None:
    chunks = [
        chunk(beats(1, 1.0, 1024), rate(2, 70), beats(2.1, 2.0, 0, 1024, 0), rate(2.5, 0, contact=False))
    ]
    assert cut(chunks, 0, 10) == [(1000.0, 0.0), (1000.0, 1.0)]


def test_rates_are_by_the_second_of_arrival_and_only_while_worn() -> None:
    chunks = [
        chunk(rate(9.999, 50), rate(10.0, 60), rate(10.7, 61), rate(12.0, 0), rate(13.0, 70, contact=False)),
        chunk(rate(14.0, 80, contact=True), rate(15.0, 90), beats(15.9, 15.9, 1024), rate(20.0, 99)),
    ]
    assert window(chunks, 10, 20).rates_bpm == [61, 80, 60]
    assert window([], 0, 1).rates_bpm == []


def test_a_beat_that_the_chain_puts_before_another_comes_with_that_one() -> None:
    chunks = [
        chunk(beats(8.5, 8.5, 1024), beats(10.1, 10.1, 1639), beats(10.2, 9.9, 1024), beats(11, 10.9, 1024))
    ]
    assert cut(chunks, 0, 10) == [(1000.0, 0.0)]
    assert cut(chunks, 10, 20) == [(pytest.approx(1600, abs=1), 0.0), (1000.0, 1.0), (1000.0, 1.0)]


def test_two_parts_of_a_window_never_follow_each_other() -> None:
    made = Window()
    for boot_no, first_s in ((1, 1), (2, 3)):
        packets = [beats(first_s, float(first_s), 1024), beats(first_s + 1, first_s + 1.0, 1024)]
        span = Span(boot_no, 0, 10 * S)
        made.add(judge(side_by_side(packets), RrUnit.TICKS, *context_ns(span)), span)
    assert made.follows.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_a_beat_that_is_told_late_counts_where_it_could_be_at_the_earliest() -> None:
    late_s = TOLD_WITHIN_NS / S + 5
    chunks = [chunk(beats(100 + late_s, 100.0, 1024, 1024))]
    earliest_s = 100 + late_s - TOLD_WITHIN_NS / S
    assert cut(chunks, 0, earliest_s) == []
    assert [rr for rr, _ in cut(chunks, earliest_s, earliest_s + 1)] == [1000.0, 1000.0]
    assert (
        first_moment_ns(chunks[0].packets, RrUnit.TICKS) // 10_000 == round(earliest_s * S - 10_000) // 10_000
    )


def test_a_strap_that_counts_in_milliseconds_is_read_so() -> None:
    chunks = [chunk(beats(2, 2.0, 1000, 900))]
    made = window(chunks, 0, 10, RrUnit.MILLISECONDS)
    assert made.rr_ms.tolist() == [1000.0, 900.0]
    assert window(chunks, 0, 10).rr_ms.tolist() == [1000 * 1000 / 1024, 900 * 1000 / 1024]


def test_odd_packets_keep_what_makes_sense_of_them() -> None:
    chunks = [
        chunk(
            raw(1, "103e0004eb", 1.0),  # half an interval is left over
            raw(2, "1048"),  # intervals announced and absent
            raw(3, "10480004", 3.0),
            raw(4, "064800", 4.0),
        )
    ]
    made = window(chunks, 0, 10)
    assert made.rr_ms.tolist() == [1000.0, 1000.0]
    assert made.undecodable == 0


def test_a_packet_that_nobody_can_read_is_passed_over_and_counted() -> None:
    chunks = [
        chunk(
            raw(1, "", 1.0),
            beats(2, 2.0, 1024),
            raw(3, "01", 3.0),
            raw(4, "ff", 4.0),
            beats(5, 5.0, 1024),
        )
    ]
    made = window(chunks, 0, 10)
    assert made.rr_ms.tolist() == [1000.0, 1000.0]
    assert made.undecodable == 3
    assert first_moment_ns(chunks[0].packets, RrUnit.TICKS) <= S


def test_the_first_moment_is_that_of_the_first_beat_though_it_came_later() -> None:
    packets = (
        rate(300.2, 60),
        beats(300.9, 300.5, 1024, 700, 300),
        beats(309.0, 298.0, 1024),
        beats(311, 290.0, 1024),
    )
    first_ns = first_moment_ns(packets, RrUnit.TICKS)
    assert first_ns == 299 * S - 1000  # 309 s less ten seconds
    assert first_moment_ns((rate(300.2, 60),), RrUnit.TICKS) == round(300.2 * S) - 1000


def test_what_is_marked_covers_what_the_store_gives_back() -> None:
    rng = random.Random(5)
    for _ in range(300):
        time_s = 1000 + rng.random()
        packets = []
        for _ in range(rng.randrange(1, 12)):
            ticks = [rng.randrange(1, 3000) for _ in range(rng.randrange(0, 4))]
            time_s += rng.random() * 4
            arrival_ns = round(time_s * S)
            beat_ns = arrival_ns - rng.randrange(3 * S)
            packets.append(
                beats(0, 0, *ticks)._replace(arrival_boot_ns=arrival_ns, last_beat_boot_ns=beat_ns)
                if ticks
                else rate(time_s, 60)
            )
        stored = tuple(unpack(packets[0].arrival_boot_ns, len(packets), pack(packets)))
        first_ns = first_moment_ns(packets, RrUnit.TICKS)
        assert cut([chunk(*stored)], 0, first_ns / S) == []
        whole = sum(len(heart_rate.decode(p.payload).rr_ticks or ()) for p in packets)
        assert len(cut([chunk(*stored)], first_ns / S - 1e-6, 1e6)) == whole
