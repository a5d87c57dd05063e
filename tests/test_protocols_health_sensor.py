import pytest
from protocol_vectors import name, octets, rows

from protocols.errors import DecodeError
from protocols.health_sensor import CURRENT_ELAPSED_TIME, Reassembler


@pytest.mark.parametrize("row", rows("health_sensor", "2BF2"), ids=name)
def test_published_times(row):
    e, value = row["expected"], CURRENT_ELAPSED_TIME.decode(octets(row))
    time = value.time
    assert (time.is_utc, time.is_tick_counter, time.current_timeline) == (e["utc"], e["ticks"], e["current"])
    assert (time.count, time.sync_source, time.zone_quarters) == (e["count"], e["source"], e["zone"])
    assert (value.status, value.capabilities) == (e["status"], e["capabilities"])
    assert CURRENT_ELAPSED_TIME.encode(value) == octets(row)


def segments(observation, first_number, size=4):
    parts = [observation[i : i + size] for i in range(0, len(observation), size)]
    heads = [(i == 0) | (i == len(parts) - 1) << 1 | (first_number + i) % 64 << 2 for i in range(len(parts))]
    return [bytes([head]) + part for head, part in zip(heads, parts, strict=True)]


@pytest.mark.parametrize("first_number", [0, 5, 62])
@pytest.mark.parametrize("length", [1, 4, 5, 19])
def test_an_observation_is_put_together(first_number, length):
    observation, reassembler = bytes(range(length)), Reassembler()
    *begun, whole = [reassembler.add(segment) for segment in segments(observation, first_number)]
    assert begun == [None] * len(begun)
    assert whole == observation


def test_a_lost_segment_costs_its_observation_only():
    reassembler = Reassembler()
    first, _, third = segments(bytes(12), 0)
    assert reassembler.add(first) is None
    with pytest.raises(DecodeError, match="segment 2 instead of 1"):
        reassembler.add(third)
    assert reassembler.add(segments(b"abc", 3)[0]) == b"abc"


def test_what_never_ends_is_given_up():
    reassembler = Reassembler()
    reassembler.add(b"\1" + bytes(511))
    for number in range(1, 128):
        reassembler.add(bytes([number % 64 << 2]) + bytes(511))
    with pytest.raises(DecodeError, match="end"):
        reassembler.add(bytes([128 % 64 << 2]) + bytes(511))
    with pytest.raises(DecodeError):
        reassembler.add(b"")
