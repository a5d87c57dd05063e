"""What AiDEX and LinX sensors advertise: packets that others have published, and what has to be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, encoded, name, octets, rejected

from protocols import aidex
from protocols.aidex import Advertisement, GlucoseRecord, State
from protocols.cgm import SensorStatus
from protocols.errors import DecodeError

A_RECORD = GlucoseRecord(100)
FRESH = octets(accepted("aidex", "AIDEX-ADV")[1])


@pytest.mark.parametrize("row", accepted("aidex", "AIDEX-ADV"), ids=name)
def test_published_advertisements_are_read_and_written(row: dict) -> None:
    reading, expected = aidex.decode(octets(row)), row["expected"]
    assert (reading.time_offset_min, int(reading.status), reading.trend_counts) == (
        expected["time_offset_min"],
        expected["status"],
        expected["trend"],
    )
    assert [(minute, r.glucose_mg_dl, r.quality_pct) for minute, r in reversed(reading.records)] == [
        (r["offset"], r["glucose_mg_dl"], r["quality"]) for r in expected["records"]
    ]
    assert all(record.is_measured for _, record in reading.records)
    assert aidex.encode(reading) == encoded(row)


@pytest.mark.parametrize("row", rejected("aidex", "AIDEX-ADV"), ids=name)
def test_others_are_refused_in_words(row: dict) -> None:
    with pytest.raises(DecodeError) as refused:
        aidex.decode(octets(row))
    assert row["expected"]["reject"] in refused.value.reason


@pytest.mark.parametrize("bit", range(8 * aidex.OCTETS))
def test_no_octet_can_be_wrong_without_notice(bit: int) -> None:
    spoilt = bytearray(FRESH)
    spoilt[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecodeError):
        aidex.decode(bytes(spoilt))


@pytest.mark.parametrize("length", range(aidex.OCTETS))
def test_a_piece_of_one_is_refused(length: int) -> None:
    with pytest.raises(DecodeError):
        aidex.decode(FRESH[:length])


def test_the_older_layout_is_told_apart() -> None:
    # 2025-04-13 in UTC+8, 5.6 mmol/L; the octets are made by the published description of the layout.
    old = (
        bytes([0, 6])
        + (797_900_000).to_bytes(4, "little")
        + (400).to_bytes(2, "little")
        + bytes([1, 2, 56, 0])
    )
    for payload in (old, old + bytes(8), old + bytes(12)):
        with pytest.raises(DecodeError, match=r"older AiDEX"):
            aidex.decode(payload)


def test_none_is_of_before_the_beginning_and_none_is_absent() -> None:
    reading = aidex.decode(aidex.encode(_advertisement(1)))
    assert [minute for minute, _ in reading.records] == [0, 1]
    absent = GlucoseRecord(1023, State.ERROR | State.INVALID, 7)
    reading = aidex.decode(aidex.encode(_advertisement(5, absent)))
    assert [minute for minute, _ in reading.records] == [3, 4]


@pytest.mark.parametrize(
    "record",
    [
        GlucoseRecord(1023, State.ERROR | State.INVALID, 7, is_valid=True, quality_pct=255),
        GlucoseRecord(110, State.INVALID),
        GlucoseRecord(110, State.ERROR),
        GlucoseRecord(110, is_valid=False),
    ],
    ids=["no record", "invalid", "error", "not valid"],
)
def test_what_the_sensor_does_not_stand_by_is_not_measured(record: GlucoseRecord) -> None:
    reading = aidex.decode(aidex.encode(_advertisement(100, record)))
    assert not reading.newest.is_measured
    assert reading.newest == record


def test_both_octets_of_the_status_are_those_of_a_cgm() -> None:
    reading = Advertisement(5, 0x01, 0x20, None, *[GlucoseRecord(100)] * 3)
    assert reading.status == SensorStatus.SESSION_STOPPED | SensorStatus.TEMPERATURE_TOO_LOW


def _advertisement(minute: int, newest: GlucoseRecord = A_RECORD) -> Advertisement:
    return Advertisement(minute, 0, 0, None, newest, GlucoseRecord(101), GlucoseRecord(102))


@BOUNDED
@given(st.binary(max_size=40))
def test_noise_is_refused(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        aidex.decode(payload)


@BOUNDED
@given(st.binary(min_size=16, max_size=16), st.binary(max_size=6))
def test_whatever_has_the_right_checksum_is_read_and_written_back(body: bytes, tail: bytes) -> None:
    payload = body + aidex.checksum(body).to_bytes(4, "little")
    assert aidex.encode(aidex.decode(payload + tail)) == payload
