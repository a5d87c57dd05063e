"""Packets that are read and judged at once say to the last bit what they say one by one."""

import random

import numpy as np
import pytest
from history_parts import side_by_side

from dsp.arrays import as_f64
from dsp.cardiac import intervals, rhythm
from edge.history.beats import GAP_NS, TOLD_WITHIN_NS, Beats, Reader
from edge.history.heart_packets import Judged, judge
from edge.store.raw_chunks import NO_BEAT, Packet
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement, RrUnit

S = 10**9


def packets(rng: random.Random, count: int) -> list[Packet]:
    """Of a strap that loses contact, sends zeros, falls silent and tells late, long after boot or soon."""
    arrival_ns = rng.choice([5 * S, 12_345_678 * S + 7000])
    beat_ns = arrival_ns - 300_000_000
    made = []
    for _ in range(count):
        arrival_ns += rng.choice([S, S, S, S, S + 1000, 40 * S])
        ticks = tuple(rng.choice([0, 300, 700, 811, 1500]) for _ in range(rng.choice([0, 0, 1, 1, 2, 3, 9])))
        reading = HeartRateMeasurement(
            rng.choice([0, 60, 300]),
            contact=rng.choice([None, True, True, False]),
            energy_kj=rng.choice([None, None, 700]),
            rr_ticks=ticks or None,
        )
        beat_ns += round(sum(ticks) * 976_562.5) + rng.choice([0, 0, 0, GAP_NS, GAP_NS + 5000, -90_000])
        beat_ns = max(beat_ns, arrival_ns - TOLD_WITHIN_NS - rng.choice([0, S]))
        is_told = bool(ticks) and rng.random() < 0.95
        told_ns = beat_ns // 1000 * 1000 if is_told else NO_BEAT
        made.append(Packet(heart_rate.encode(reading), arrival_ns, told_ns))
    return made


def damaged(rng: random.Random, packet: Packet) -> Packet:
    """Cut, longer, or another; the beat may have been told of intervals that are not there any more."""
    payload = bytearray(packet.payload)
    match rng.randrange(5):
        case 0:
            del payload[rng.randrange(len(payload)) :]
        case 1:
            payload += rng.randbytes(rng.choice([1, 2, 3, 600]))
        case 2:
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        case 3:
            payload[0] ^= 1 << rng.randrange(8)
        case _:
            payload[:] = rng.randbytes(rng.randrange(12))
    return packet._replace(payload=bytes(payload))


def one_by_one(made: list[Packet], unit: RrUnit, first_ns: int, last_ns: int) -> Judged:
    beats, read = Beats(unit), Reader().read
    rates, undecodable_ns = [], []
    for payload, arrival_ns, last_beat_ns in made:
        if not first_ns <= arrival_ns < last_ns:
            continue
        reading = read(payload)
        if reading is None:
            undecodable_ns.append(arrival_ns)
            continue
        if reading.heart_rate_bpm and reading.contact is not False:
            rates.append((arrival_ns, reading.heart_rate_bpm))
        if reading.rr_ticks and last_beat_ns != NO_BEAT:
            beats.add(reading.rr_ticks, arrival_ns, last_beat_ns)
    t_ns, rr_ms, follows = as_f64(beats.t_ns), as_f64(beats.rr_ms), as_f64(beats.follows)
    return Judged(
        t_ns,
        rr_ms,
        follows,
        intervals.normal(intervals.judge_all(rr_ms, follows), t_ns),
        rhythm.screen_all(rr_ms).sure,
        np.array([at_ns for at_ns, _ in rates], np.int64),
        np.array([bpm for _, bpm in rates], np.int64),
        np.array(undecodable_ns, np.int64),
    )


def check(made: list[Packet], unit: RrUnit, first_ns: int, last_ns: int) -> Judged:
    together, alone = (
        judge(side_by_side(made), unit, first_ns, last_ns),
        one_by_one(made, unit, first_ns, last_ns),
    )
    for name in Judged._fields:
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name), name)
    return together


@pytest.mark.parametrize("seed", range(12))
def test_packets_say_together_to_the_last_bit_what_they_say_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    made = packets(rng, 400)
    first, last = made[rng.randrange(40)].arrival_boot_ns, made[-1 - rng.randrange(40)].arrival_boot_ns
    judged = check(made, rng.choice(list(RrUnit)), first, last)
    assert judged.t_ns.size > 200
    assert judged.undecodable_ns.size == 0


@pytest.mark.parametrize("seed", range(12))
def test_so_do_packets_that_are_damaged_each_in_its_way(seed: int) -> None:
    rng = random.Random(seed)
    share = rng.choice([0.03, 0.5, 1.0])
    made = [damaged(rng, packet) if rng.random() < share else packet for packet in packets(rng, 300)]
    judged = check(made, rng.choice(list(RrUnit)), 0, 1 << 62)
    assert judged.rate_ns.size > 20
    if share > 0.1:
        assert judged.undecodable_ns.size > 10


def test_a_damaged_packet_keeps_its_place_among_the_others() -> None:
    regular = [Packet(bytes.fromhex("1048 b303"), n * S, n * S) for n in range(1, 6)]
    odd = regular[2]._replace(payload=bytes.fromhex("1048 b303 c203 ff"))  # an octet too many
    judged = check([*regular[:2], odd, *regular[3:]], RrUnit.TICKS, 0, 9 * S)
    assert judged.rr_ms.round().tolist() == [925, 925, 925, 939, 925, 925]


@pytest.mark.parametrize("seed", range(4))
def test_times_never_fall_though_the_clock_stood_still_or_a_beat_is_told_of_late(seed: int) -> None:
    rng = random.Random(seed)
    made = packets(rng, 100)
    made = [
        packet._replace(arrival_boot_ns=made[max(0, n - rng.choice([0, 0, 1, 4]))].arrival_boot_ns)
        for n, packet in enumerate(made)
    ]
    assert (np.diff(check(made, RrUnit.TICKS, 0, 1 << 62).t_ns) >= 0).all()


def test_of_no_packets_and_of_a_silent_one_nothing_is_said() -> None:
    assert check([], RrUnit.TICKS, 0, 1).t_ns.size == 0
    silent = [Packet(heart_rate.encode(HeartRateMeasurement(0)), S, NO_BEAT)]
    judged = check(silent, RrUnit.TICKS, 0, 2 * S)
    assert (judged.t_ns.size, judged.rate_ns.size) == (0, 0)
