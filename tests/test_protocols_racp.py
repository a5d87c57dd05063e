import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, name, octets, rejected

from protocols import racp
from protocols.errors import DecodeError
from protocols.racp import Code, NumberResponse, OpCode, Request, ResponseCode

RESPONSES = [row for row in accepted("racp", "2A52") if row["expected"]["op"] in (5, 6)]
REQUESTS = [row for row in accepted("racp", "2A52") if row not in RESPONSES]


def message_of(expected):
    # The authors keep the operator of a response, which is always Null and for us no field; `req` is the op code that
    # is answered.
    match expected:
        case {"op": OpCode.NUMBER_RESPONSE, "operator": 0, "count": count}:
            return NumberResponse(count)
        case {"op": OpCode.RESPONSE_CODE, "operator": 0, "req": request_op, "code": code}:
            return ResponseCode(request_op, code)
        case {"op": op, "operator": operator}:
            return Request(op, operator)
    raise AssertionError(expected)


@pytest.mark.parametrize("row", RESPONSES, ids=name)
def test_decodes_and_encodes_the_published_responses(row):
    message = message_of(row["expected"])
    assert racp.decode_response(octets(row)) == message
    assert racp.encode_response(message) == octets(row)


@pytest.mark.parametrize("row", REQUESTS, ids=name)
def test_decodes_and_encodes_the_published_requests(row):
    message = message_of(row["expected"])
    assert racp.decode_request(octets(row)) == message
    assert racp.encode_request(message) == octets(row)


@pytest.mark.parametrize("row", rejected("racp", "2A52"), ids=name)
def test_refuses_the_published_malformed_responses(row):
    with pytest.raises(DecodeError, match="Record Access Control Point"):
        racp.decode_response(octets(row))


@pytest.mark.parametrize("row", RESPONSES, ids=name)
def test_truncated_responses_are_refused_and_longer_ones_too(row):
    payload = octets(row)
    for wrong in (*(payload[:length] for length in range(len(payload))), payload + b"\0"):
        # A count of four octets, cut to two, is a count of two.
        if len(wrong) == 4 and wrong[0] == OpCode.NUMBER_RESPONSE:
            assert racp.decode_response(wrong) == NumberResponse(int.from_bytes(wrong[2:], "little"))
        else:
            with pytest.raises(DecodeError):
                racp.decode_response(wrong)


# By hand from the service's tables; filter 02 is the user-facing time of glucose meters.
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("0101", range(65536)),
        ("0101ff", Code.INVALID_OPERAND),
        ("0102011e00", range(31)),
        ("0103010200", range(2, 65536)),
        ("0103010002", range(512, 65536)),
        ("010401020005 00", range(2, 6)),
        ("010401050002 00", Code.INVALID_OPERAND),
        ("01030102", Code.INVALID_OPERAND),
        ("0103", Code.INVALID_OPERAND),
        ("0104010200", Code.INVALID_OPERAND),
        ("010302ea0702041236 2c", Code.OPERAND_UNSUPPORTED),
        ("0100", Code.INVALID_OPERATOR),
        ("0105", Code.OPERATOR_UNSUPPORTED),
        ("0177", Code.OPERATOR_UNSUPPORTED),
    ],
)
def test_what_a_request_asks_for(payload, expected):
    assert racp.requested_offsets(racp.decode_request(bytes.fromhex(payload))) == expected


@BOUNDED
@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=20), st.integers(0, 0xFFFFFFFF))
def test_round_trip(op, second, operand, count):
    request = Request(op, second, operand)
    assert racp.decode_request(racp.encode_request(request)) == request
    assert isinstance(racp.requested_offsets(request), range | Code)
    for response in (NumberResponse(count), ResponseCode(op, second)):
        assert racp.decode_response(racp.encode_response(response)) == response
