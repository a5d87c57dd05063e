"""Observations of health sensors, by hand from the order of fields that public programs write and read.

Nobody has published the octets of one, so these are no witnesses from outside; see the module for what stays open.
"""

import random

import pytest

from protocols import observation
from protocols.errors import DecodeError
from protocols.health_sensor import (
    CONTROL_POINT,
    SCHEDULE,
    Control,
    ElapsedTime,
    Features,
    Resolution,
    Schedule,
    SyncSource,
    decode_features,
)
from protocols.medfloat import Special
from protocols.observation import (
    Attribute,
    Component,
    MeasurementStatus,
    Numeric,
    Observation,
    ObservationClass,
    SampleArray,
    State,
    StoredObservation,
)

HEART_RATE, BEATS_PER_MINUTE, PRESSURE, MMHG = 0x00024182, 0x00040AA0, 0x00024A04, 0x00040F20
TIME = ElapsedTime(False, True, Resolution.SECONDS, True, True, 700_000_000, SyncSource.NETWORK_TIME, 8)
TIME_HEX = "32 0027b9290000 01 08"
HEAD = f"8241 0200 {TIME_HEX}"


def whole(kind, flags, rest):
    body = bytes.fromhex(rest)
    return bytes([kind]) + (5 + len(body)).to_bytes(2, "little") + flags.to_bytes(2, "little") + body


def of_type(kind, value):
    return Observation(kind, value, HEART_RATE, TIME)


PULSE = whole(1, 0x0003, f"{HEAD} a00a0400 480000 00")
CASES = [
    (PULSE, of_type(1, Numeric(BEATS_PER_MINUTE, 72.0))),
    (whole(1, 0x0003, f"{HEAD} a00a0400 ffff7f00"), of_type(1, Numeric(BEATS_PER_MINUTE, Special.NAN))),
    (whole(2, 0x0003, f"{HEAD} 78563412"), of_type(2, 0x12345678)),
    (whole(3, 0x0003, f"{HEAD} 0300 c3a965"), of_type(3, "ée")),
    (
        whole(4, 0x0003, f"{HEAD} a00a0400 010000ff 00000000 050000fe 01 02 02000000 01000200"),
        of_type(4, SampleArray(BEATS_PER_MINUTE, 0.1, 0.0, 0.05, 1, 2, bytes.fromhex("01000200"))),
    ),
    (whole(5, 0x0003, f"{HEAD} 02 01000000 02000000"), of_type(5, (1, 2))),
    (whole(6, 0x0003, f"{HEAD} 02 ffff 0f0f 0100"), of_type(6, State(b"\xff\xff", b"\x0f\x0f", b"\x01\x00"))),
    (
        whole(7, 0x0003, f"{HEAD} 02 044a0200 01 200f0400 78000000 054a0200 02 07000000"),
        of_type(7, (Component(PRESSURE, Numeric(MMHG, 120.0)), Component(0x00024A05, 7))),
    ),
    (
        whole(8, 0x0003, f"{HEAD} 01 2f090100 0200 06 0500"),
        of_type(8, (Attribute(0x0001092F, 6, b"\5\0"),)),
    ),
    (
        whole(
            1, 0x03FD, "82410200 0f0000ff 2100 01000000 02 01 aa000000 01 bb000000 00 00 a00a0400 48000000"
        ),
        Observation(
            ObservationClass.NUMERIC,
            Numeric(BEATS_PER_MINUTE, 72.0),
            HEART_RATE,
            duration_s=1.5,
            status=MeasurementStatus.INVALID | MeasurementStatus.TEST_DATA,
            object_id=1,
            person_id=2,
            supplemental_information=(0xAA,),
            derived_from=(0xBB,),
            has_member=(),
            attributes=(),
        ),
    ),
    (
        whole(0xFF, 0x0020, f"02 01 {PULSE.hex()}"),
        Observation(ObservationClass.BUNDLE, (of_type(1, Numeric(BEATS_PER_MINUTE, 72.0)),), person_id=2),
    ),
]


@pytest.mark.parametrize(("octets", "expected"), CASES, ids=lambda case: str(case)[:40])
def test_observations_by_hand(octets, expected):
    assert observation.decode(octets) == expected
    assert observation.decode_stored(b"\5\0\0\0" + octets) == StoredObservation(5, expected)


@pytest.mark.parametrize("octets", [octets for octets, _ in CASES], ids=lambda octets: octets[:1].hex())
def test_pieces_and_more_are_refused(octets):
    for length in range(len(octets)):
        with pytest.raises(DecodeError):
            observation.decode(octets[:length])
    with pytest.raises(DecodeError, match="left over"):
        observation.decode(octets + b"\0")


def test_the_length_may_count_what_follows_it():
    assert observation.decode(PULSE[:1] + bytes([PULSE[1] - 3]) + PULSE[2:]) == CASES[0][1]
    with pytest.raises(DecodeError, match="length"):
        observation.decode(PULSE[:1] + bytes([PULSE[1] + 1]) + PULSE[2:])


def test_bundles_in_bundles_end():
    octets = PULSE
    for _ in range(10):
        octets = whole(0xFF, 0, f"01 {octets.hex()}")
    with pytest.raises(DecodeError, match="deep"):
        observation.decode(octets)


def test_anything_ends_in_an_observation_or_a_decode_error():
    rng = random.Random(3)
    fitting = 0
    for _ in range(20_000):
        octets = bytearray(rng.choice(CASES)[0])
        for _ in range(rng.randrange(4)):
            octets[rng.randrange(len(octets))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        try:
            observation.decode(bytes(octets))
            fitting += 1
        except DecodeError:
            pass
    assert 5_000 < fitting < 19_000


def test_what_a_sensor_can_do():
    both = bytes.fromhex("01 02 82410200 044a0200 01 0710 01")
    assert decode_features(both) == Features((HEART_RATE, PRESSURE), ((0x1007, 1),))
    assert decode_features(b"\0" + both[1:10]) == Features((HEART_RATE, PRESSURE))
    for length in range(len(both)):
        with pytest.raises(DecodeError, match="Health Sensor Features"):
            decode_features(both[:length])


def test_control_and_schedule():
    assert CONTROL_POINT.decode(b"\x81") is Control.SERVER_BUSY
    schedule = Schedule(HEART_RATE, 2.0, 0.5)
    assert SCHEDULE.decode(SCHEDULE.encode(schedule)) == schedule
    assert SCHEDULE.decode(bytes.fromhex("82410200 02000000 050000ff")) == schedule
