"""CGM specific operations, Polar streams and the sensor's profile: courses of events and where they must lead."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, octets

from protocols import cgm_control, cgm_profile, racp_procedure
from protocols.cgm import (
    CgmFeature,
    CgmMeasurement,
    CgmStatus,
    Feature,
    OctetOrder,
    SensorStatus,
    SessionStartTime,
    encode_feature,
    encode_measurement,
    encode_status,
)
from protocols.cgm_control import OpCode, Request, set_interval
from protocols.cgm_procedure import BusyError, ControlPoint, Outcome
from protocols.cgm_profile import CgmProfile
from protocols.crc import Crc
from protocols.date_time import DateTime
from protocols.errors import DecodeError
from protocols.permit import Permit
from protocols.polar import MeasurementType, Setting
from protocols.polar_procedure import TABLE, Event, Phase, Stream
from protocols.racp_procedure import DeleteRecords, ReportRecords


def answered(request, payload, crc=False):
    point = ControlPoint(crc)
    point.begin(request, 0.0)
    point.on_indication(bytes.fromhex(payload))
    return point


GET_INTERVAL = Request(OpCode.GET_COMMUNICATION_INTERVAL)


@pytest.mark.parametrize(
    ("request_", "payload", "outcome"),
    [
        (set_interval(5), "1c0101", Outcome.COMPLETE),
        (set_interval(5), "1c0105", Outcome.REFUSED),
        (set_interval(5), "1c01ee", Outcome.REFUSED),
        (GET_INTERVAL, "0305", Outcome.COMPLETE),
        (GET_INTERVAL, "030500", Outcome.COMPLETE),
        (GET_INTERVAL, "1c0202", Outcome.REFUSED),
        (Request(OpCode.GET_HYPO), "0f4600", Outcome.COMPLETE),
    ],
)
def test_a_response_ends_its_procedure(request_, payload, outcome):
    point = answered(request_, payload)
    assert point.outcome is outcome
    assert point.deadline_s is None
    assert point.answer is not None


@pytest.mark.parametrize("payload", ["1c0201", "0305", "1c0101ff", "ff", ""])
def test_a_response_to_something_else_leaves_it_running(payload):
    point = ControlPoint(False)
    point.begin(set_interval(5), 0.0)
    with pytest.raises(DecodeError):
        point.on_indication(bytes.fromhex(payload))
    assert point.outcome is None
    point.on_time(29.9)
    assert point.outcome is None
    point.on_time(30.0)
    assert point.outcome is Outcome.TIMED_OUT


def test_a_get_is_not_answered_by_success_alone():
    with pytest.raises(DecodeError):
        answered(GET_INTERVAL, "1c0201")


def test_one_procedure_at_a_time():
    point = ControlPoint(Crc.MCRF4XX)
    assert point.begin(GET_INTERVAL, 0.0) == cgm_control.encode_request(GET_INTERVAL, crc=True)
    with pytest.raises(BusyError):
        point.begin(GET_INTERVAL, 1.0)
    point.on_indication(bytes.fromhex("030a8a75"))
    point.begin(GET_INTERVAL, 2.0)


@pytest.mark.parametrize("op", [OpCode.START_SESSION, OpCode.STOP_SESSION, OpCode.SET_CALIBRATION])
def test_sessions_start_and_stop_and_sensors_are_calibrated_only_with_a_permit(op):
    point = ControlPoint(False)
    with pytest.raises(PermissionError):
        point.begin(Request(op), 0.0)
    assert point.begin(Request(op), 0.0, Permit("a new sensor was inserted")) == bytes([op])
    with pytest.raises(ValueError, match="reason"):
        Permit(" ")


@BOUNDED
@given(st.lists(st.binary(max_size=8)))
def test_whatever_is_indicated_only_a_decode_error_comes_of_it(payloads):
    point = ControlPoint(False)
    point.begin(GET_INTERVAL, 0.0)
    stream = Stream(MeasurementType.ECG, 0.0)
    for payload in payloads:
        for party in (point.on_indication, lambda p: stream.on_indication(p, 0.0)):
            with suppress(DecodeError):
                party(payload)
    point.on_time(30.0)
    assert point.outcome is not None


def test_a_polar_stream_from_settings_to_stop():
    stream = Stream(MeasurementType.ECG, 0.0)
    assert stream.take() == b"\1\0"
    assert stream.take() is None
    stream.on_indication(bytes.fromhex("f0010000010001820001"), 1.0)
    assert stream.phase is Phase.QUERYING, "the settings go on in the next part"
    stream.on_indication(bytes.fromhex("f001000000010e00"), 1.0)
    assert stream.phase is Phase.READY
    assert stream.offered == {Setting.SAMPLE_RATE_HZ: (130,), Setting.RESOLUTION_BITS: (14,)}
    stream.start({Setting.SAMPLE_RATE_HZ: 130, Setting.RESOLUTION_BITS: 14}, 2.0)
    assert stream.take().hex() == "02000001820001010e00"
    stream.on_indication(bytes.fromhex("f00202000000"), 2.5)
    stream.on_indication(bytes.fromhex("f002800000"), 2.5)
    assert stream.phase is Phase.STARTING, "that was about another measurement, and about a recording"
    stream.on_indication(bytes.fromhex("f0020000000501" + "0000803f"), 3.0)
    assert (stream.phase, stream.factor) == (Phase.STREAMING, 1.0)
    stream.on_indication(bytes.fromhex("0102"), 4.0)
    assert stream.phase is Phase.STREAMING
    stream.stop(5.0)
    stream.on_indication(bytes.fromhex("f003000000"), 6.0)
    assert stream.phase is Phase.STOPPED
    assert stream.deadline_s is None


def test_already_streaming_is_streaming_and_a_device_may_stop_by_itself():
    stream = Stream(MeasurementType.PULSE_INTERVAL, 0.0)
    stream.on_indication(bytes.fromhex("f001030000"), 1.0)
    stream.start({}, 2.0)
    stream.on_indication(bytes.fromhex("f0020306"), 3.0)
    assert stream.phase is Phase.STREAMING
    stream.on_indication(bytes.fromhex("0103"), 4.0)
    assert stream.phase is Phase.STOPPED


@pytest.mark.parametrize("broken", ["f001000000ff", "f00100000005010000c07f", "f0010000000001"])
def test_what_could_not_be_read_does_not_spoil_what_is_said_again(broken):
    stream = Stream(MeasurementType.ECG, 0.0)
    with suppress(DecodeError):
        stream.on_indication(bytes.fromhex("f0010000010001820001"), 1.0)
        stream.on_indication(bytes.fromhex(broken), 1.0)
    assert stream.phase is Phase.QUERYING
    stream.on_indication(bytes.fromhex("f0010000000001820001010e00"), 2.0)
    assert stream.phase is Phase.READY
    assert stream.offered == {Setting.SAMPLE_RATE_HZ: (130,), Setting.RESOLUTION_BITS: (14,)}


@pytest.mark.parametrize(
    ("settings", "factor", "unread"),
    [
        ("", 1.0, None),
        ("050100008040", 4.0, None),
        ("0501000080400a0100", 4.0, "kind 0x0a without a known width"),
        ("0a0100", 1.0, "kind 0x0a without a known width"),
        ("0501000080", 1.0, "too few octets"),
        ("05010000c07f", 1.0, "factor nan"),
        ("05010000807f", 1.0, "factor inf"),
        ("050100000000", 1.0, "factor 0.0"),
    ],
)
def test_a_stream_has_started_if_the_device_says_so_whatever_settings_come_with_it(settings, factor, unread):
    stream = Stream(MeasurementType.ACCELERATION, 0.0)
    stream.on_indication(bytes.fromhex("f001020000"), 1.0)
    stream.start({}, 2.0)
    stream.on_indication(bytes.fromhex("f002020000" + settings), 3.0)
    assert (stream.phase, stream.factor, stream.unread) == (Phase.STREAMING, factor, unread)
    assert stream.deadline_s is None


def test_a_stream_that_is_starting_can_be_stopped():
    stream = Stream(MeasurementType.ECG, 0.0)
    stream.on_indication(bytes.fromhex("f001000000"), 1.0)
    stream.start({}, 2.0)
    stream.stop(3.0)
    stream.on_indication(bytes.fromhex("f002000000"), 4.0)
    assert stream.phase is Phase.STOPPING, "that was the answer to the start"
    stream.on_indication(bytes.fromhex("f003000000"), 5.0)
    assert stream.phase is Phase.STOPPED


def test_refusal_and_silence_fail_and_nothing_starts_out_of_turn():
    stream = Stream(MeasurementType.ECG, 0.0)
    with pytest.raises(ValueError, match="QUERYING"):
        stream.start({}, 0.0)
    stream.on_indication(bytes.fromhex("f001000d"), 1.0)
    assert (stream.phase, stream.status) == (Phase.FAILED, 13)
    silent = Stream(MeasurementType.ECG, 0.0)
    silent.on_time(30.0)
    assert (silent.phase, silent.status) == (Phase.FAILED, None)


def test_whatever_awaits_an_answer_ends_by_silence():
    for phase, steps in TABLE.items():
        awaits = phase in (Phase.QUERYING, Phase.STARTING, Phase.STOPPING)
        assert (Event.SILENCE in steps) is awaits


def test_the_profile_is_pinned_by_the_feature_and_its_own_checksum():
    protected = CgmFeature(Feature.E2E_CRC)
    for crc in (Crc.MCRF4XX, Crc.CCITT_FALSE):
        assert cgm_profile.pinned(encode_feature(protected, crc=crc)).crc is crc
    assert cgm_profile.pinned(encode_feature(CgmFeature(Feature(0)))).crc is Crc.NONE
    # A pump's Feature, as captured.
    assert cgm_profile.pinned(bytes.fromhex("009001591404")).crc is Crc.CCITT_FALSE


def test_a_sensor_is_read_as_it_sends_whatever_its_feature_declares():
    silent, loud = encode_feature(CgmFeature(Feature(0))), encode_feature(CgmFeature(Feature.E2E_CRC))
    for crc in Crc:
        status = encode_status(CgmStatus(5), crc=crc)
        for feature in (silent, loud):
            assert cgm_profile.pinned(feature, status).crc is crc
    assert cgm_profile.pinned(loud, b"\0").crc is Crc.MCRF4XX
    learned = CgmProfile(octet_order=OctetOrder.REVERSED)
    assert cgm_profile.pinned(loud, None, learned).octet_order is OctetOrder.REVERSED


@pytest.mark.parametrize("crc", list(Crc))
@pytest.mark.parametrize("order", list(OctetOrder))
def test_checksum_and_order_are_told_from_three_notifications(crc, order):
    status = SensorStatus.BATTERY_LOW | SensorStatus.BELOW_MEASURABLE
    packets = [
        encode_measurement(CgmMeasurement(100.0 + i, 5 * i, status), crc=crc, octet_order=order)
        for i in range(3)
    ]
    given = CgmProfile(quality_full_scale=10.0)
    assert cgm_profile.suited(packets[:2], given) is given
    assert cgm_profile.suited(packets, given) == CgmProfile(crc, order, 10.0)
    broken = [packet[:-1] + b"\x55" for packet in packets[:2]] + [b"\0"]
    assert cgm_profile.suited(broken, given) is given


def test_a_profile_decodes_with_its_order_and_scale():
    pump = CgmProfile(octet_order=OctetOrder.REVERSED, quality_full_scale=10.0)
    reading = CgmMeasurement(100.0, 1, SensorStatus(0x800001), quality_pct=10.0)
    payload = encode_measurement(reading, crc=False, octet_order=OctetOrder.REVERSED)
    assert payload[6:8].hex() == "8001"
    assert pump.decode(payload) == ([reading], [])
    assert pump.quality_pct(reading) == 100.0


def test_the_start_time_is_written_only_when_it_has_to_be():
    start = SessionStartTime.from_utc_seconds(1_700_000_000)
    now_s = 1_700_000_000 + 3600

    def rule(start, utc_s, required=False):
        return cgm_profile.start_time_to_write(start, offset_min=60, utc_s=utc_s, time_sync_required=required)

    assert rule(start, now_s) is None
    assert rule(start, now_s + 59) is None
    assert rule(start, now_s - 121) == SessionStartTime.from_utc_seconds(now_s - 121)
    assert rule(start, now_s + 181) == SessionStartTime.from_utc_seconds(now_s + 181)
    assert rule(start, now_s, required=True) == SessionStartTime.from_utc_seconds(now_s)
    assert rule(SessionStartTime(0, 0, 0, 0, 0, 0), now_s) is not None
    assert rule(None, now_s) is not None


def test_a_report_resumes_after_the_last_record_before_which_none_is_missing():
    report = ReportRecords(now_s=0.0, first=10, interval_min=5)
    for offset in (10, 15, 20, None, 30, 500, 35):
        report.on_record(1.0, offset)
    assert (report.records, report.resume_offset) == (7, 21)


def test_every_published_measurement_with_a_checksum_names_its_kind():
    for row in accepted("cgm", "2AA7"):
        told = cgm_profile.suited([octets(row)] * 3).crc
        assert told == {"ccitt_false": Crc.CCITT_FALSE}.get(row["args"]["crc"], row["args"]["crc"])


def test_nothing_is_deleted_without_a_permit():
    with pytest.raises(PermissionError, match="permit"):
        DeleteRecords(None, now_s=0.0)
    permit = Permit("the wearer is another")
    assert DeleteRecords(permit, now_s=0.0).request.hex() == "0201"
    for answer, outcome, code in (
        ("06000201", racp_procedure.Outcome.COMPLETE, None),
        ("06000206", racp_procedure.Outcome.COMPLETE, None),
        ("06000202", racp_procedure.Outcome.REFUSED, 2),
    ):
        deletion = DeleteRecords(permit, now_s=0.0, first=9)
        assert deletion.request.hex() == "0203010900"
        deletion.on_record(20.0)
        assert deletion.deadline_s == 30.0
        deletion.on_indication(bytes.fromhex(answer), 1.0)
        assert (deletion.outcome, deletion.code) == (outcome, code)


def test_a_deletion_that_is_given_up_after_it_was_done_is_done():
    deletion = DeleteRecords(Permit("sold"), now_s=0.0)
    assert deletion.abort_request(1.0).hex() == "0300"
    deletion.on_indication(bytes.fromhex("06000201"), 2.0)
    assert deletion.outcome is racp_procedure.Outcome.COMPLETE


def test_a_meter_is_asked_by_the_time_it_shows():
    report = ReportRecords(now_s=0.0, first=DateTime(2024, 3, 15, 14, 30, 45))
    assert report.request.hex() == "010302e807030f0e1e2d"
    report.on_record(1.0, 3)
    assert (report.records, report.resume_offset) == (1, 0)
