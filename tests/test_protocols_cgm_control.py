import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, crc_of, encoded, medfloat, name, octets, rejected

from protocols import cgm_control
from protocols.cgm_control import (
    Calibration,
    CalibrationResponse,
    CalibrationStatus,
    Code,
    HyperResponse,
    HypoResponse,
    IntervalResponse,
    OpCode,
    PatientHighResponse,
    PatientLowResponse,
    RateOfDecreaseResponse,
    RateOfIncreaseResponse,
    Request,
    ResponseCode,
)
from protocols.errors import DecodeError

ROWS = accepted("cgm_control", "2AAC")


def message_of(expected):
    # The authors' one dictionary is for us a request, which keeps its operand as sent, or one of two responses; their
    # `req` is the op code that is answered.
    match expected:
        case {"op": OpCode.SET_COMMUNICATION_INTERVAL, "interval": interval}:
            return Request(OpCode.SET_COMMUNICATION_INTERVAL, bytes([interval]))
        case {"op": OpCode.COMMUNICATION_INTERVAL_RESPONSE, "interval": interval}:
            return IntervalResponse(interval)
        case {"op": OpCode.CALIBRATION_RESPONSE}:
            return CalibrationResponse(
                Calibration(
                    medfloat(expected["conc"]),
                    expected["cal_t"],
                    expected["type"],
                    expected["location"],
                    expected["next_t"],
                    expected["record"],
                    CalibrationStatus(expected["status"]),
                )
            )
        case {"op": OpCode.PATIENT_HIGH_RESPONSE, "value": level}:
            return PatientHighResponse(level)
        case {"op": OpCode.HYPER_RESPONSE, "value": level}:
            return HyperResponse(level)
        case {"op": OpCode.RATE_OF_INCREASE_RESPONSE, "value": rate}:
            return RateOfIncreaseResponse(rate)
        case {"op": OpCode.PATIENT_LOW_RESPONSE, "value": level}:
            return PatientLowResponse(level)
        case {"op": OpCode.HYPO_RESPONSE, "value": level}:
            return HypoResponse(level)
        case {"op": OpCode.RATE_OF_DECREASE_RESPONSE, "value": rate}:
            return RateOfDecreaseResponse(rate)
        case {"op": OpCode.RESPONSE_CODE, "req": request_op, "code": code}:
            return ResponseCode(request_op, code)
        case {"op": op, "operand": operand}:
            return Request(op, bytes.fromhex(operand))
    raise AssertionError(expected)


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_decodes_and_encodes_the_published_messages(row):
    message, crc = message_of(row["expected"]), crc_of(row)
    if isinstance(message, Request):
        assert cgm_control.decode_request(octets(row), crc=crc) == message
        assert cgm_control.encode_request(message, crc=crc) == encoded(row)
    else:
        assert cgm_control.decode_response(octets(row), crc=crc) == message
        assert cgm_control.encode_response(message, crc=crc) == encoded(row)


@pytest.mark.parametrize("row", rejected("cgm_control", "2AAC"), ids=name)
def test_refuses_the_published_malformed_responses(row):
    with pytest.raises(DecodeError, match="E2E-CRC"):
        cgm_control.decode_response(octets(row), crc=crc_of(row))


@pytest.mark.parametrize("row", [row for row in ROWS if row["hex"].startswith("1c")], ids=name)
def test_a_response_code_has_one_length(row):
    payload, crc = octets(row), crc_of(row)
    for wrong in (*(payload[:length] for length in range(len(payload))), payload + b"\0"):
        with pytest.raises(DecodeError):
            cgm_control.decode_response(wrong, crc=crc)


def test_the_interval_comes_in_one_octet_or_two():
    # The service has one, the Supplement (and Nordic's server) two.
    assert cgm_control.decode_response(b"\x03\x0a", crc=False) == IntervalResponse(10)
    assert cgm_control.decode_response(b"\x03\x0a\x00", crc=False) == IntervalResponse(10)
    assert cgm_control.encode_response(IntervalResponse(300), crc=False) == b"\x03\x2c\x01"
    for wrong in (b"\x03", b"\x03\x0a\x00\x00"):
        with pytest.raises(DecodeError):
            cgm_control.decode_response(wrong, crc=False)


def test_setting_the_interval():
    assert cgm_control.encode_request(cgm_control.set_interval(5), crc=False) == b"\x01\x05"
    with pytest.raises(ValueError, match="256"):
        cgm_control.set_interval(256)


def test_what_is_not_known_is_kept_for_the_answer():
    request = cgm_control.decode_request(bytes.fromhex("1a"), crc=False)
    assert request == Request(0x1A)
    answer = ResponseCode(request.op, Code.OP_CODE_UNSUPPORTED)
    assert cgm_control.encode_response(answer, crc=False).hex() == "1c1a02"
    assert cgm_control.decode_response(bytes.fromhex("1c8b99"), crc=False) == ResponseCode(0x8B, 0x99)
    for other in ("05", "01"):
        with pytest.raises(DecodeError, match="none of the expected"):
            cgm_control.decode_response(bytes.fromhex(other), crc=False)


@BOUNDED
@given(st.integers(0, 255), st.binary(max_size=20), st.integers(0, 255), st.integers(0, 65535), st.booleans())
def test_round_trip(op, operand, code, interval_min, crc):
    request = Request(op, operand)
    assert cgm_control.decode_request(cgm_control.encode_request(request, crc=crc), crc=crc) == request
    for response in (ResponseCode(op, code), IntervalResponse(interval_min)):
        payload = cgm_control.encode_response(response, crc=crc)
        assert cgm_control.decode_response(payload, crc=crc) == response
