from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, crc_of, encoded, medfloat, name, octets, rejected, rows

from protocols import cgm
from protocols.cgm import CgmFeature, CgmMeasurement, CgmStatus, Feature, SensorStatus, SessionStartTime
from protocols.crc import Crc
from protocols.errors import DecodeError
from protocols.medfloat import Special, decode_sfloat, measured

MEASUREMENTS = accepted("cgm", "2AA7")

U8, U16, U24 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFF)
MEDFLOAT = U16.map(decode_sfloat)
QUANTITY = MEDFLOAT.map(measured)
READINGS = st.builds(
    CgmMeasurement,
    glucose_mg_dl=QUANTITY,
    time_offset_min=U16,
    status=U24.map(SensorStatus),
    trend_mg_dl_min=st.none() | MEDFLOAT,
    quality_pct=st.none() | QUANTITY,
)
STARTS = st.builds(
    SessionStartTime,
    year=U16,
    month=U8,
    day=U8,
    hours=U8,
    minutes=U8,
    seconds=U8,
    time_zone_quarters=st.none() | st.integers(-127, 127),
    dst=st.none() | st.integers(0, 254),
)


def reading_of(record):
    # The authors give the annunciation octet by octet and distinguish "not sent" from 0; what an octet says is the same
    # either way, so ours is one set of bits at the positions the specification numbers them by.
    octet_shifts = {"status": 0, "caltemp": 8, "warning": 16}
    return CgmMeasurement(
        glucose_mg_dl=medfloat(record["glucose"]),
        time_offset_min=record["t"],
        status=SensorStatus(sum((record[key] or 0) << shift for key, shift in octet_shifts.items())),
        trend_mg_dl_min=None if record["trend"] is None else medfloat(record["trend"]),
        quality_pct=None if record["quality"] is None else medfloat(record["quality"]),
    )


@pytest.mark.parametrize("row", MEASUREMENTS, ids=name)
def test_decodes_and_encodes_the_published_measurements(row):
    crc = crc_of(row)
    readings = [reading_of(record) for record in row["expected"]["records"]]
    assert cgm.decode_measurements(octets(row), crc=crc) == (readings, [])
    assert b"".join(cgm.encode_measurement(reading, crc=crc) for reading in readings) == encoded(row)


@pytest.mark.parametrize("row", rejected("cgm", "2AA7"), ids=name)
def test_reports_the_published_malformed_measurements(row):
    readings, errors = cgm.decode_measurements(octets(row), crc=crc_of(row))
    assert readings == []
    assert len(errors) == 1
    assert octets(row).hex() in str(errors[0])


@pytest.mark.parametrize("row", MEASUREMENTS, ids=name)
def test_every_truncation_of_a_measurement_is_one_error(row):
    for length in range(len(octets(row))):
        readings, errors = cgm.decode_measurements(octets(row)[:length], crc=crc_of(row))
        assert readings == []
        assert len(errors) == 1


@pytest.mark.parametrize("row", MEASUREMENTS, ids=name)
@pytest.mark.parametrize("trailing", ["00", "06", "ff", "000000000000", "070000000000"])
def test_trailing_octets_cost_nothing_that_came_before(row, trailing):
    payload = octets(row) + bytes.fromhex(trailing)
    readings, errors = cgm.decode_measurements(payload, crc=crc_of(row))
    assert readings == [reading_of(record) for record in row["expected"]["records"]]
    assert [error.payload.hex() for error in errors] == [trailing]


@pytest.mark.parametrize("crc", [False, True])
def test_concatenated_records_are_all_decoded(crc):
    sent = [row for row in MEASUREMENTS if crc_of(row) == crc]
    readings, errors = cgm.decode_measurements(b"".join(map(octets, sent)), crc=crc)
    assert readings == [reading_of(record) for row in sent for record in row["expected"]["records"]]
    assert errors == []


def test_a_bad_checksum_costs_only_its_record():
    sent = [row for row in MEASUREMENTS if crc_of(row) is Crc.MCRF4XX]
    broken = bytearray(octets(sent[1]))
    broken[2] ^= 0x01
    payload = octets(sent[0]) + broken + octets(sent[2])
    readings, errors = cgm.decode_measurements(payload, crc=True)
    assert readings == [reading_of(sent[i]["expected"]["records"][0]) for i in (0, 2)]
    assert [error.payload for error in errors] == [bytes(broken)]
    assert "E2E-CRC" in errors[0].reason


# Other decoders loop for ever on these, or read past the end: a size of zero, after a good record too; a size below the
# least; sizes that disagree with what the flags announce, either way.
@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize(
    "payload",
    [
        "000078001e00",
        "060078001e00" + "000078001e00",
        "00" * 512,
        "01" * 512,
        "050078001e00",
        "ff0078001e00",
        "070078001e00ff",
        "060378001e00",
    ],
)
def test_a_size_that_cannot_be_trusted_ends_the_packet(payload, crc):
    readings, errors = cgm.decode_measurements(bytes.fromhex(payload), crc=crc)
    assert len(readings) == (payload.startswith("060078001e00") and not crc)
    assert len(errors) == 1


def test_as_many_readings_as_fit_a_notification():
    payload = bytes.fromhex("060078001e00") * 86
    readings, errors = cgm.decode_measurements(payload[:512], crc=False)
    assert (len(readings), len(errors)) == (85, 1)
    assert cgm.decode_measurements(payload, crc=False)[0] == []


def test_octets_are_sent_only_with_a_bit_set_but_taken_without():
    # By hand: a record with all three octets announced and zero, as some pumps send it.
    reading = CgmMeasurement(100.0, 1)
    assert cgm.decode_measurements(bytes.fromhex("09e064000100000000"), crc=False) == ([reading], [])
    assert cgm.encode_measurement(reading, crc=False).hex() == "060064000100"


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (SensorStatus.GENERAL_FAULT, "07806400010020"),
        (SensorStatus.TIME_SYNC_REQUIRED, "07406400010001"),
        (SensorStatus.ABOVE_MEASURABLE, "07206400010080"),
        (SensorStatus.GENERAL_FAULT | SensorStatus.ABOVE_MEASURABLE, "08a0640001002080"),
    ],
)
def test_each_octet_has_its_flag_and_place(status, payload):
    # By hand from the table of flags; no published packet has one octet alone but the second.
    reading = CgmMeasurement(100.0, 1, status)
    assert cgm.encode_measurement(reading, crc=False).hex() == payload
    assert cgm.decode_measurements(bytes.fromhex(payload), crc=False) == ([reading], [])


@BOUNDED
@given(st.lists(READINGS, min_size=1, max_size=20), st.booleans())
def test_measurements_round_trip(readings, crc):
    payload = b"".join(cgm.encode_measurement(reading, crc=crc) for reading in readings)
    assert cgm.decode_measurements(payload, crc=crc) == (readings, [])


@pytest.mark.parametrize(
    "reading",
    [
        CgmMeasurement(float("nan"), 0),
        CgmMeasurement(-0.1, 0),
        CgmMeasurement(100.0, -1),
        CgmMeasurement(100.0, 65536),
        CgmMeasurement(100.0, 0, SensorStatus(1 << 24)),
        CgmMeasurement(100.0, 0, quality_pct=1e11),
    ],
)
def test_encode_refuses_what_a_record_cannot_hold(reading):
    with pytest.raises(ValueError, match=r"cannot be encoded|beyond the range"):
        cgm.encode_measurement(reading, crc=True)


@pytest.mark.parametrize("row", accepted("cgm", "2AA8"), ids=name)
def test_published_features(row):
    # The authors' `type` is the fluid, their `crc` the last word, which we check and do not repeat.
    expected = row["expected"]
    feature = CgmFeature(Feature(expected["features"]), expected["type"], expected["location"])
    assert cgm.decode_feature(octets(row)) == feature
    assert cgm.encode_feature(feature) == octets(row)
    assert feature.has_crc is (expected["crc"] != 0xFFFF)


@pytest.mark.parametrize("payload", [*map(octets, rejected("cgm", "2AA8")), b"", b"\1\0\0\x59\xff", bytes(7)])
def test_refuses_malformed_features(payload):
    with pytest.raises(DecodeError, match="CGM Feature"):
        cgm.decode_feature(payload)


@pytest.mark.parametrize("row", [row for row in rows("cgm", "2AA8") if row["args"].get("strict")], ids=name)
def test_an_undeclared_checksum_is_not_judged(row):
    # The service said FFFF "shall" be there, the later Supplement says "typically": a strict reader refuses these rows.
    feature = cgm.decode_feature(octets(row))
    assert not feature.has_crc
    assert cgm.encode_feature(feature) == octets(row)[:4] + b"\xff\xff"
    with pytest.raises(DecodeError, match="FFFF"):
        cgm.decode_feature(octets(row), strict=True)


def test_a_reserved_type_or_location_is_kept():
    feature = CgmFeature(Feature.TREND, 0xB, 0x0)
    assert cgm.decode_feature(cgm.encode_feature(feature)) == feature
    with pytest.raises(ValueError, match="4 bits"):
        cgm.encode_feature(CgmFeature(Feature.TREND, 16))


@pytest.mark.parametrize("row", accepted("cgm", "2AA9"), ids=name)
def test_published_status(row):
    # The authors' `status` is the whole set here, as three octets are always sent.
    crc = crc_of(row)
    status = CgmStatus(row["expected"]["t"], SensorStatus(row["expected"]["status"]))
    assert cgm.decode_status(octets(row), crc=crc) == status
    assert cgm.encode_status(status, crc=crc) == octets(row)


@pytest.mark.parametrize("row", accepted("cgm", "2AAA"), ids=name)
def test_published_session_start_times(row):
    # The authors write the six parts as one ISO time, quarter hours as `tz_q15`; -128 and 255 are not known.
    expected, crc = row["expected"], crc_of(row)
    local = datetime.fromisoformat(expected["time"])
    zone = None if expected["tz_q15"] == -128 else expected["tz_q15"]
    dst = None if expected["dst"] == 255 else expected["dst"]
    start = SessionStartTime(*local.timetuple()[:6], zone, dst)
    assert cgm.decode_session_start(octets(row), crc=crc) == start
    assert cgm.encode_session_start(start, crc=crc) == octets(row)


@pytest.mark.parametrize("row", accepted("cgm", "2AAB"), ids=name)
def test_published_run_times(row):
    crc = crc_of(row)
    assert cgm.decode_session_run_time(octets(row), crc=crc) == row["expected"]["hours"]
    assert cgm.encode_session_run_time(row["expected"]["hours"], crc=crc) == octets(row)


DECODERS = {
    "2AA8": lambda payload, crc: cgm.decode_feature(payload),
    "2AA9": lambda payload, crc: cgm.decode_status(payload, crc=crc),
    "2AAA": lambda payload, crc: cgm.decode_session_start(payload, crc=crc),
    "2AAB": lambda payload, crc: cgm.decode_session_run_time(payload, crc=crc),
}


@pytest.mark.parametrize("row", accepted("cgm", *DECODERS), ids=name)
def test_values_of_a_fixed_length_are_refused_in_any_other(row):
    decode, payload = DECODERS[row["characteristic"]], octets(row)
    crc = crc_of(row) if "crc" in row["args"] else True
    for wrong in (*(payload[:length] for length in range(len(payload))), payload + b"\0", payload * 60):
        with pytest.raises(DecodeError):
            decode(wrong, crc)


@pytest.mark.parametrize(
    "row", [row for row in accepted("cgm", *DECODERS) if row["args"].get("crc")], ids=name
)
def test_a_checksum_finds_every_flipped_bit(row):
    for bit in range(8 * len(octets(row))):
        broken = bytearray(octets(row))
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError, match="E2E-CRC"):
            DECODERS[row["characteristic"]](bytes(broken), crc_of(row))


@BOUNDED
@given(U16, U24, st.booleans())
def test_status_and_run_time_round_trip(number, bits, crc):
    status = CgmStatus(number, SensorStatus(bits))
    assert cgm.decode_status(cgm.encode_status(status, crc=crc), crc=crc) == status
    assert cgm.decode_session_run_time(cgm.encode_session_run_time(number, crc=crc), crc=crc) == number


@BOUNDED
@given(STARTS, st.booleans())
def test_session_start_time_round_trips_and_never_raises(start, crc):
    assert cgm.decode_session_start(cgm.encode_session_start(start, crc=crc), crc=crc) == start
    start.utc_seconds()


@BOUNDED
@given(
    st.datetimes(*map(datetime.fromisoformat, ("1990-01-01", "2100-01-01"))).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.integers(-48, 56),
    st.sampled_from((0, 2, 4, 8)),
)
def test_utc_is_local_time_minus_zone_and_daylight_saving(local, zone, dst):
    start = SessionStartTime(*local.timetuple()[:6], zone, dst)
    offset = timezone(timedelta(minutes=15 * (zone + dst)))
    assert start.utc_seconds() == local.replace(tzinfo=offset).timestamp()


@BOUNDED
@given(st.integers(0, 4_000_000_000))
def test_from_utc_seconds_is_the_inverse(utc_s):
    start = SessionStartTime.from_utc_seconds(utc_s)
    assert (start.time_zone_quarters, start.dst) == (0, 0)
    assert start.utc_seconds() == utc_s


@pytest.mark.parametrize(
    "start",
    [
        SessionStartTime(0, 0, 0, 0, 0, 0),
        SessionStartTime(2026, 0, 1, 0, 0, 0),
        SessionStartTime(2026, 2, 30, 0, 0, 0),
        SessionStartTime(2026, 2, 3, 24, 0, 0),
        SessionStartTime(2026, 2, 3, 0, 0, 0, None),
        SessionStartTime(2026, 2, 3, 0, 0, 0, 57),
        SessionStartTime(2026, 2, 3, 0, 0, 0, 0, None),
        SessionStartTime(2026, 2, 3, 0, 0, 0, 0, 3),
    ],
)
def test_an_unknown_or_impossible_time_is_no_time(start):
    assert start.utc_seconds() is None


def test_above_and_below_range_are_not_numbers():
    high, low = (
        cgm.decode_measurements(bytes.fromhex(f"0600{word}0000"), crc=False)[0][0]
        for word in ("fe07", "0208")
    )
    assert high.glucose_mg_dl is Special.POSITIVE_INFINITY
    assert low.glucose_mg_dl is Special.NEGATIVE_INFINITY
