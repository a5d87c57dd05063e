"""CGM Specific Ops Control Point (2AAC): the communication interval.

Contract: messages for both ends; a request keeps its operand as sent, because a server answers the ones it
does not know. Start Session is deliberately not spelled out: it erases what the sensor has stored.

Source: Continuous Glucose Monitoring Service 1.0.2; GATT Specification Supplement 2025.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import GreedyBytes, Int8ul, Int16ul

from protocols import schema
from protocols.envelopes import Tagged, without_and_with_crc
from protocols.mappings import Coded
from protocols.schema import Record, WidthByLength

_CHARACTERISTIC = "CGM Specific Ops Control Point"

INTERVAL_DISABLED: Final = 0x00
INTERVAL_FASTEST: Final = 0xFF


class OpCode(IntEnum):
    """Operations spoken here; others stay plain integers."""

    SET_COMMUNICATION_INTERVAL = 0x01
    GET_COMMUNICATION_INTERVAL = 0x02
    COMMUNICATION_INTERVAL_RESPONSE = 0x03
    RESPONSE_CODE = 0x1C


class Code(IntEnum):
    """Response code values."""

    SUCCESS = 1
    OP_CODE_UNSUPPORTED = 2
    INVALID_OPERAND = 3
    NOT_COMPLETED = 4
    OUT_OF_RANGE = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What a client writes; `op` is an `OpCode` where known."""

    op: int
    operand: bytes = b""


@dataclass(frozen=True, slots=True)
class IntervalResponse:
    """The answer to a get: minutes, or INTERVAL_DISABLED or INTERVAL_FASTEST."""

    interval_min: int


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """The answer to a set, and to whatever fails; `code` is a `Code` where known."""

    request_op: int
    code: int


Response = IntervalResponse | ResponseCode

#   OP [operand] [CRC ]
#   01  05                      set the interval to 5 min
REQUEST: Final = without_and_with_crc(Record(Request, "op" / Coded(Int8ul, OpCode), "operand" / GreedyBytes))

#   03  0a        8a 75         the interval is 10 min
#   1c  02 01     3c 3b         request 02 succeeded
# CGMS 1.0.2 gives the interval one octet, the Supplement two; both are on the market.
RESPONSE: Final = without_and_with_crc(
    Tagged(
        Int8ul,
        {
            OpCode.COMMUNICATION_INTERVAL_RESPONSE: Record(
                IntervalResponse, "interval_min" / WidthByLength(Int8ul, Int16ul)
            ),
            OpCode.RESPONSE_CODE: Record(
                ResponseCode, "request_op" / Coded(Int8ul, OpCode), "code" / Coded(Int8ul, Code)
            ),
        },
    )
)


def set_interval(interval_min: int) -> Request:
    """Ask for a measurement every so many minutes (or INTERVAL_DISABLED, INTERVAL_FASTEST).

    Raises:
        ValueError: not an octet.
    """
    return Request(OpCode.SET_COMMUNICATION_INTERVAL, schema.encode(Int8ul, interval_min))


def decode_request(payload: bytes, *, crc: bool) -> Request:
    """What a client wrote.

    Raises:
        DecodeError: no op code, or a wrong checksum.
    """
    request: Request = schema.decode(_CHARACTERISTIC, REQUEST[crc], payload)
    return request


def encode_request(request: Request, *, crc: bool) -> bytes:
    """What a client writes for a request."""
    return schema.encode(REQUEST[crc], request)


def decode_response(payload: bytes, *, crc: bool) -> Response:
    """What a server indicated.

    Raises:
        DecodeError: not a response known here, wrong length or checksum.
    """
    response: Response = schema.decode(_CHARACTERISTIC, RESPONSE[crc], payload)
    return response


def encode_response(response: Response, *, crc: bool) -> bytes:
    """What a server indicates for a response."""
    return schema.encode(RESPONSE[crc], response)
