"""Packets that are judged at once say to the last bit what they say one by one."""

import random

import numpy as np
import pytest

from edge.history import batch, heart_window
from edge.history.beats import GAP_NS, TOLD_WITHIN_NS
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet, columns, pack, unpack
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement, RrUnit

S = 10**9
pytest.importorskip("numba")


def packets(rng: random.Random, count: int) -> list[Packet]:
    """Of a strap that loses contact, sends zeros, falls silent and tells late, long after boot or soon."""
    arrival_ns = rng.choice([5 * S, 12_345_678 * S + 7000])
    beat_ns = arrival_ns - 300_000_000
    made = []
    for _ in range(count):
        arrival_ns += rng.choice([S, S, S, S, S + 1000, 40 * S])
        ticks = tuple(rng.choice([0, 300, 700, 811, 1500]) for _ in range(rng.choice([0, 0, 1, 1, 2, 3, 9])))
        reading = HeartRateMeasurement(
            rng.choice([0, 60, 300]), contact=rng.choice([None, True, True, False]), rr_ticks=ticks or None
        )
        beat_ns += round(sum(ticks) * 976_562.5) + rng.choice([0, 0, 0, GAP_NS, GAP_NS + 5000, -90_000])
        beat_ns = max(beat_ns, arrival_ns - TOLD_WITHIN_NS - rng.choice([0, S]))
        is_told = bool(ticks) and rng.random() < 0.95
        told_ns = beat_ns // 1000 * 1000 if is_told else NO_BEAT
        made.append(Packet(heart_rate.encode(reading), arrival_ns, told_ns))
    return made


def bodies(made: list[Packet]) -> list[tuple[int, int, bytes]]:
    parts = [made[n : n + 50] for n in range(0, len(made), 50)]
    parts = [part for whole in parts for part in _within(whole)]
    return [(part[0].arrival_boot_ns, len(part), pack(part)) for part in parts]


def _within(whole: list[Packet]) -> list[list[Packet]]:
    """Chunks end where time goes by."""
    parts: list[list[Packet]] = []
    for packet in whole:
        if not parts or packet.arrival_boot_ns - parts[-1][0].arrival_boot_ns > 100 * S:
            parts.append([])
        parts[-1].append(packet)
    return parts


def both(
    stored: list[tuple[int, int, bytes]], unit: RrUnit, first_ns: int, last_ns: int
) -> tuple[heart_window.Judged | None, heart_window.Judged]:
    chunks = [HeartChunk(1, 1, tuple(unpack(*row))) for row in stored]
    at_once = batch.judge([columns(*row) for row in stored], unit, first_ns, last_ns)
    return at_once, heart_window.judge(chunks, unit, first_ns, last_ns)


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_says_to_the_last_bit_what_its_packets_say_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    made = packets(rng, 400)
    unit = rng.choice(list(RrUnit))
    first, last = made[rng.randrange(40)].arrival_boot_ns, made[-1 - rng.randrange(40)].arrival_boot_ns
    at_once, one_by_one = both(bodies(made), unit, first, last)
    assert at_once is not None
    assert one_by_one.t_ns.size > 200
    for name in heart_window.Judged._fields:
        np.testing.assert_array_equal(getattr(at_once, name), getattr(one_by_one, name), name)


def test_where_a_packet_breaks_the_layout_they_are_read_one_by_one() -> None:
    made = packets(random.Random(1), 20)
    made[7] = made[7]._replace(payload=b"\x00")
    assert both(bodies(made), RrUnit.TICKS, 0, 1 << 60)[0] is None


def test_of_no_packets_nothing_is_said() -> None:
    assert batch.judge([], RrUnit.TICKS, 0, 1) is None
    silent = [Packet(heart_rate.encode(HeartRateMeasurement(0)), S, NO_BEAT)]
    at_once, one_by_one = both(bodies(silent), RrUnit.TICKS, 0, 2 * S)
    assert at_once is not None
    assert (at_once.t_ns.size, one_by_one.t_ns.size, at_once.rate_ns.size) == (0, 0, 0)
