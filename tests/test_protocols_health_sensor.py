import pytest
from protocol_vectors import name, octets, rows

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


def complaint(answer):
    observation, (error,) = answer
    assert observation is None
    return error.reason


@pytest.mark.parametrize("first_number", [0, 5, 62])
@pytest.mark.parametrize("length", [1, 4, 5, 19])
def test_an_observation_is_put_together(first_number, length):
    observation, reassembler = bytes(range(length)), Reassembler()
    *begun, whole = [reassembler.add(segment) for segment in segments(observation, first_number)]
    assert begun == [(None, [])] * len(begun)
    assert whole == (observation, [])


def test_a_lost_segment_costs_its_observation_only():
    reassembler = Reassembler()
    first, _, third = segments(bytes(12), 0)
    assert reassembler.add(first) == (None, [])
    assert complaint(reassembler.add(third)) == "segment 2 instead of 1"
    assert complaint(reassembler.add(third)) == "segment 2 instead of None"
    assert reassembler.add(segments(b"abc", 3)[0]) == (b"abc", [])


@pytest.mark.parametrize("length", [3, 11])
def test_an_observation_that_ends_in_another_is_told_of_and_costs_only_itself(length):
    reassembler, other = Reassembler(), bytes(range(length))
    assert reassembler.add(segments(bytes(12), 0)[0]) == (None, [])
    begins, *rest = segments(other, 1)
    observation, errors = reassembler.add(begins)
    assert [error.reason for error in errors] == ["an observation begins before the one before has ended"]
    heard = [(observation, [])] + [reassembler.add(segment) for segment in rest]
    assert heard == [(None, [])] * len(rest) + [(other, [])]
    assert reassembler.add(segments(b"abc", 9)[0]) == (b"abc", [])


def test_what_never_ends_is_given_up():
    reassembler = Reassembler()
    reassembler.add(b"\1" + bytes(511))
    for number in range(1, 128):
        reassembler.add(bytes([number % 64 << 2]) + bytes(511))
    assert complaint(reassembler.add(bytes([128 % 64 << 2]) + bytes(511))) == "an observation without an end"
    assert complaint(reassembler.add(bytes([129 % 64 << 2]) + bytes(511))) == "segment 1 instead of None"
    assert complaint(reassembler.add(b"")) == "flags: too few octets"
