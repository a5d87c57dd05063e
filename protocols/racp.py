"""Record Access Control Point (2A52): messages for both ends.

Contract: RACP carries no E2E-CRC, ever. The client's procedures are in `racp_procedure`.

Source: Continuous Glucose Monitoring Service 1.0.2; Glucose Service 1.0.1; GATT Specification Supplement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import GreedyBytes, Int8ul, Int16ul, Int32ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.envelopes import Tagged
from protocols.errors import DecodeError
from protocols.mappings import Coded
from protocols.schema import Record, Tail, WidthByLength, Word

CHARACTERISTIC = "Record Access Control Point"

TIME_OFFSET_MAX: Final = 0xFFFF


class OpCode(IntEnum):
    """Operations."""

    REPORT = 1
    DELETE = 2
    ABORT = 3
    REPORT_NUMBER = 4
    NUMBER_RESPONSE = 5
    RESPONSE_CODE = 6
    COMBINED_REPORT = 7
    COMBINED_REPORT_RESPONSE = 8


class Operator(IntEnum):
    """Which records."""

    NULL = 0
    ALL = 1
    LESS_OR_EQUAL = 2
    GREATER_OR_EQUAL = 3
    WITHIN_RANGE = 4
    FIRST = 5
    LAST = 6


_OPERATORS_WITH_OPERAND = (Operator.LESS_OR_EQUAL, Operator.GREATER_OR_EQUAL, Operator.WITHIN_RANGE)


class Filter(IntEnum):
    """What an operand compares; a CGM knows only the first, which for others is the record's own number."""

    TIME_OFFSET = 1
    SEQUENCE_NUMBER = 1
    USER_FACING_TIME = 2


class Code(IntEnum):
    """Response code values."""

    SUCCESS = 1
    OP_CODE_UNSUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_UNSUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS = 6
    ABORT_UNSUCCESSFUL = 7
    NOT_COMPLETED = 8
    OPERAND_UNSUPPORTED = 9
    SERVER_BUSY = 10


@dataclass(frozen=True, slots=True)
class Request:
    """What a client writes; `op` and `operator` are plain integers where they are unknown.

    The operand stays as sent, because a server has an answer to the ones it does not understand.
    """

    op: int
    operator: int
    operand: bytes = b""


@dataclass(frozen=True, slots=True)
class NumberResponse:
    """How many records a report would have."""

    count: int


@dataclass(frozen=True, slots=True)
class CombinedReportResponse:
    """How many records a combined report has had."""

    count: int


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """How a request ended; `request_op` and `code` are plain integers where they are unknown."""

    request_op: int
    code: int


Response = NumberResponse | CombinedReportResponse | ResponseCode

#   OP OR [FT operand]
#   01 03  01 02 00         report all records with time offset >= 2
REQUEST: Final = Codec[Request](
    CHARACTERISTIC,
    Record(
        Request, "op" / Coded(Int8ul, OpCode), "operator" / Coded(Int8ul, Operator), "operand" / GreedyBytes
    ),
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """An operand: what it compares, and with what."""

    filter_type: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimeBound:
    """An operand that compares the time a glucose meter shows its user."""

    filter_type: int
    time: DateTime


@dataclass(frozen=True, slots=True)
class TimeRange:
    """An operand with a first and a last such time, both included."""

    filter_type: int
    first: DateTime
    last: DateTime


_FILTER_TYPE: Final = "filter_type" / Coded(Int8ul, Filter)
OPERAND: Final = Codec[Bounds](CHARACTERISTIC, Record(Bounds, _FILTER_TYPE, "values" / Tail(Int16ul)))
WIDE_OPERAND: Final = Codec[Bounds](CHARACTERISTIC, Record(Bounds, _FILTER_TYPE, "values" / Tail(Int32ul)))
"""As Generic Health Sensors number their records."""
TIME_OPERAND: Final = Codec[TimeBound](
    CHARACTERISTIC, Record(TimeBound, _FILTER_TYPE, "time" / date_time.RECORD)
)
TIME_RANGE_OPERAND: Final = Codec[TimeRange](
    CHARACTERISTIC,
    Record(TimeRange, _FILTER_TYPE, "first" / date_time.RECORD, "last" / date_time.RECORD),
)

#   05 00  01 00            one record; some servers count in four octets
#   06 00  01 06            request 01 found no records
# The operator says nothing here: sent as Null, ignored on receipt.
_COUNT: Final = ("operator" / Word(Int8ul), "count" / WidthByLength(Int16ul, Int32ul))
_RESPONSES: Final[Mapping[IntEnum, Record]] = {
    OpCode.NUMBER_RESPONSE: Record(NumberResponse, *_COUNT),
    OpCode.RESPONSE_CODE: Record(
        ResponseCode,
        "operator" / Word(Int8ul),
        "request_op" / Coded(Int8ul, OpCode),
        "code" / Coded(Int8ul, Code),
    ),
    OpCode.COMBINED_REPORT_RESPONSE: Record(CombinedReportResponse, *_COUNT),
}
RESPONSE: Final = Codec[Response](CHARACTERISTIC, Tagged(Int8ul, _RESPONSES))
RESPONSE_OPS: Final = frozenset(map(int, _RESPONSES))
"""Operations that only a server sends."""


def decode_request(payload: bytes) -> Request:
    """What a client wrote.

    Raises:
        DecodeError: less than an op code and an operator.
    """
    return REQUEST.decode(payload)


def encode_request(request: Request) -> bytes:
    """What a client writes for a request."""
    return REQUEST.encode(request)


def decode_response(payload: bytes) -> Response:
    """What a server indicated.

    Raises:
        DecodeError: not a response, or of a wrong length.
    """
    return RESPONSE.decode(payload)


def encode_response(response: Response) -> bytes:
    """What a server indicates for a response."""
    return RESPONSE.encode(response)


def operand(request: Request) -> Bounds | TimeBound | TimeRange | None:
    """What the operand of a request compares; None if its operator takes none.

    Numbers are of four octets where a Generic Health Sensor's request has just so many.

    Raises:
        DecodeError: not an operand of that operator.
    """
    if request.operator not in _OPERATORS_WITH_OPERAND:
        if request.operand:
            raise DecodeError(CHARACTERISTIC, request.operand, "the operator takes no operand")
        return None
    wanted = 2 if request.operator == Operator.WITHIN_RANGE else 1
    if request.operand[:1] == bytes([Filter.USER_FACING_TIME]):
        return (TIME_OPERAND if wanted == 1 else TIME_RANGE_OPERAND).decode(request.operand)
    is_wide = len(request.operand) == 1 + 4 * wanted
    bounds = (WIDE_OPERAND if is_wide else OPERAND).decode(request.operand)
    if len(bounds.values) != wanted:
        raise DecodeError(CHARACTERISTIC, request.operand, f"{len(bounds.values)} values instead of {wanted}")
    return bounds


def user_facing_time_operand(*bounds: DateTime) -> bytes:
    """The operand that compares the time a glucose meter shows with one bound, or with a first and a last."""
    if len(bounds) == 1:
        return TIME_OPERAND.encode(TimeBound(Filter.USER_FACING_TIME, *bounds))
    return TIME_RANGE_OPERAND.encode(TimeRange(Filter.USER_FACING_TIME, *bounds))


def time_offset_operand(*bounds: int) -> bytes:
    """The operand that compares time offsets in minutes with one bound, or with a minimum and a maximum."""
    return OPERAND.encode(Bounds(Filter.TIME_OFFSET, bounds))


def requested_offsets(request: Request) -> range | Code:
    """The time offsets in minutes that a request asks for, or the code with which a CGM server refuses it.

    FIRST and LAST name one record of those there are, not a range, and are refused here.
    """
    if request.operator == Operator.NULL:
        return Code.INVALID_OPERATOR
    if request.operator == Operator.ALL:
        return Code.INVALID_OPERAND if request.operand else range(TIME_OFFSET_MAX + 1)
    if request.operator not in _OPERATORS_WITH_OPERAND:
        return Code.OPERATOR_UNSUPPORTED
    if request.operand and request.operand[0] != Filter.TIME_OFFSET:
        return Code.OPERAND_UNSUPPORTED
    try:
        operand = OPERAND.decode(request.operand)
    except DecodeError:
        return Code.INVALID_OPERAND
    match request.operator, operand.values:
        case Operator.LESS_OR_EQUAL, (high,):
            return range(high + 1)
        case Operator.GREATER_OR_EQUAL, (low,):
            return range(low, TIME_OFFSET_MAX + 1)
        case Operator.WITHIN_RANGE, (low, high) if low <= high:
            return range(low, high + 1)
    return Code.INVALID_OPERAND
