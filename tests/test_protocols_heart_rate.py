import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, encoded, name, octets, rejected

from protocols import heart_rate
from protocols.errors import DecodeError
from protocols.heart_rate import BodySensorLocation, HeartRateMeasurement, RrUnit, RrUnitDetector

MEASUREMENTS = accepted("heart_rate", "2A37")

U16 = st.integers(0, 0xFFFF)
READINGS = st.builds(
    HeartRateMeasurement,
    heart_rate_bpm=U16,
    contact=st.sampled_from((None, False, True)),
    energy_kj=st.none() | U16,
    rr_ticks=st.none() | st.lists(U16, min_size=1, max_size=250).map(tuple),
)


def reading_of(expected):
    # The authors repeat contact support as a field of its own, which for us is contact being None; and they write
    # "no RR" as an empty list, which for us is an absent field. Their `trailing` counts octets we refuse.
    assert expected["contact_supported"] is (expected["contact"] is not None)
    assert expected["trailing"] == 0
    return HeartRateMeasurement(
        heart_rate_bpm=expected["hr"],
        contact=expected["contact"],
        energy_kj=expected["energy"],
        rr_ticks=tuple(expected["rr_1024"]) or None,
    )


@pytest.mark.parametrize("row", MEASUREMENTS, ids=name)
def test_decodes_and_encodes_the_published_packets(row):
    reading = reading_of(row["expected"])
    assert heart_rate.decode(octets(row)) == reading
    assert heart_rate.encode(reading) == encoded(row)


@pytest.mark.parametrize("row", rejected("heart_rate", "2A37"), ids=name)
def test_refuses_the_published_malformed_packets(row):
    with pytest.raises(DecodeError):
        heart_rate.decode(octets(row))


@pytest.mark.parametrize("row", MEASUREMENTS, ids=name)
def test_truncation_is_refused_unless_it_only_loses_whole_rr_intervals(row):
    payload, whole = octets(row), heart_rate.decode(octets(row))
    rr_start = len(payload) - 2 * len(whole.rr_ticks or ())
    for length in range(len(payload)):
        whole_intervals, odd = divmod(length - rr_start, 2)
        if whole_intervals > 0 and not odd:
            assert heart_rate.decode(payload[:length]).rr_ticks == whole.rr_ticks[:whole_intervals]
        else:
            with pytest.raises(DecodeError):
                heart_rate.decode(payload[:length])


@pytest.mark.parametrize("row", MEASUREMENTS, ids=name)
def test_an_odd_octet_at_the_end_is_refused(row):
    with pytest.raises(DecodeError):
        heart_rate.decode(octets(row) + b"\0")


def test_every_combination_of_fields_takes_the_octets_it_must():
    # By hand: flags and rate, one more from 256 bpm on, two each for energy and every RR.
    for rate, contact, energy, rr in itertools.product(
        (0, 255, 256, 65535), (None, False, True), (None, 0, 65535), (None, (1,), (820, 870))
    ):
        reading = HeartRateMeasurement(rate, contact, energy, rr)
        payload = heart_rate.encode(reading)
        assert len(payload) == 2 + (rate > 255) + 2 * (energy is not None) + 2 * len(rr or ())
        assert heart_rate.decode(payload) == reading


def test_reserved_flags_are_ignored():
    assert heart_rate.decode(bytes.fromhex("e048")) == HeartRateMeasurement(72)


@BOUNDED
@given(READINGS)
def test_round_trip(reading):
    assert heart_rate.decode(heart_rate.encode(reading)) == reading


@pytest.mark.parametrize(
    "reading",
    [
        HeartRateMeasurement(-1),
        HeartRateMeasurement(65536),
        HeartRateMeasurement(70, energy_kj=65536),
        HeartRateMeasurement(70, rr_ticks=()),
        HeartRateMeasurement(70, rr_ticks=(65536,)),
        HeartRateMeasurement(70, rr_ticks=(1,) * 256),
    ],
)
def test_encode_refuses_what_the_packet_cannot_hold(reading):
    with pytest.raises(ValueError, match="HeartRateMeasurement"):
        heart_rate.encode(reading)


@pytest.mark.parametrize("row", accepted("heart_rate", "2A38"), ids=name)
def test_published_locations(row):
    location = BodySensorLocation(row["expected"]["location"])
    assert heart_rate.decode_location(octets(row)) is location
    assert heart_rate.encode_location(location) == octets(row)


@pytest.mark.parametrize("payload", [b"", b"\x07", b"\xff", b"\x01\x01"])
def test_refuses_what_is_no_location(payload):
    with pytest.raises(DecodeError, match="Body Sensor Location"):
        heart_rate.decode_location(payload)


def test_rr_in_milliseconds():
    assert heart_rate.rr_ms(1024) == 1000.0
    assert heart_rate.rr_ms(65535) == 63999.0234375
    assert all(heart_rate.rr_ticks(heart_rate.rr_ms(ticks)) == ticks for ticks in range(0x10000))


@pytest.mark.parametrize(("per_second", "unit"), [(1024, RrUnit.TICKS), (1000, RrUnit.MILLISECONDS)])
@pytest.mark.parametrize("seed", range(10))
def test_the_unit_of_rr_is_told_from_beats_that_vary(per_second, unit, seed):
    # Intervals wander by breathing and by chance; the rate is their mean over the last 8, rounded, as straps send it.
    rng = random.Random(seed)
    detector = RrUnitDetector()
    beats = [60.0 / 70]
    for i in range(900):
        beats.append(0.86 + 0.05 * math.sin(i / 4) + rng.gauss(0, 0.02))
        recent = beats[-8:]
        rate = round(60.0 * len(recent) / sum(recent))
        detector.add(HeartRateMeasurement(rate, rr_ticks=(round(beats[-1] * per_second),)))
        assert detector.unit in (None, unit)
    assert detector.unit is unit


def test_packets_that_say_nothing_about_the_unit_are_passed_over():
    detector = RrUnitDetector()
    for reading in (
        HeartRateMeasurement(0, rr_ticks=(800,)),
        HeartRateMeasurement(70),
        HeartRateMeasurement(70, rr_ticks=(0,)),
    ):
        detector.add(reading)
    detector.add(HeartRateMeasurement(70, rr_ticks=(1800,)))
    assert detector.count == 0
    assert detector.unit is None


def test_a_reading_survives_half_an_rr_interval():
    reading, oddities = heart_rate.decode_lenient(bytes.fromhex("1048b303c2"))
    assert reading == HeartRateMeasurement(72, rr_ticks=(947,))
    assert len(oddities) == 1
    reading, oddities = heart_rate.decode_lenient(bytes.fromhex("104800"))
    assert reading == HeartRateMeasurement(72)
    assert [oddity.octets_left for oddity in oddities] == [1]
    with pytest.raises(DecodeError):
        heart_rate.decode(bytes.fromhex("104800"))


@pytest.mark.parametrize(
    ("packet", "bpm", "contact"),
    [("1048", 72, None), ("1648", 72, True), ("170101", 257, True), ("1e550000", 85, True)],
)
def test_a_rate_survives_intervals_that_are_announced_but_absent(packet, bpm, contact):
    with pytest.raises(DecodeError):
        heart_rate.decode(bytes.fromhex(packet))
    reading, oddities = heart_rate.decode_lenient(bytes.fromhex(packet))
    assert (reading.heart_rate_bpm, reading.contact, reading.rr_ticks) == (bpm, contact, None)
    assert [oddity.octets_left for oddity in oddities] == [0]


@pytest.mark.parametrize("packet", ["", "10", "11", "1701", "1e5500"])
def test_a_packet_without_a_rate_is_refused_by_lenient_readers_too(packet):
    with pytest.raises(DecodeError):
        heart_rate.decode_lenient(bytes.fromhex(packet))


def test_the_control_point_resets_the_energy():
    assert heart_rate.CONTROL_POINT.encode(heart_rate.Control.RESET_ENERGY_EXPENDED) == b"\1"
