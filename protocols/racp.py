"""Record Access Control Point (2A52): messages for both ends, and the client's procedures without I/O.

Contract: a procedure is told what happened and when (`on_...`), and tells what to write (`request`), until
when it waits (`deadline_s`) and how it ended (`outcome`). Times are seconds of any clock that does not jump.
RACP carries no E2E-CRC, ever. Deleting records is deliberately not offered.

Source: Continuous Glucose Monitoring Service 1.0.2; GATT Specification Supplement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import ClassVar, Final, NamedTuple

from construct import GreedyBytes, Int8ul, Int16ul, Int32ul

from protocols import schema
from protocols.envelopes import Tagged
from protocols.errors import DecodeError
from protocols.mappings import Coded
from protocols.schema import Record, Tail, WidthByLength, Word

_CHARACTERISTIC = "Record Access Control Point"

TIMEOUT_S: Final = 30.0
"""A procedure has failed when nothing of it was heard for so long."""
DURATION_S_MAX: Final = 3600.0
"""And when it is not over by then: a peer that never ends must not keep its client waiting for ever."""

TIME_OFFSET_MAX: Final = 0xFFFF


class OpCode(IntEnum):
    """Operations."""

    REPORT = 1
    DELETE = 2
    ABORT = 3
    REPORT_NUMBER = 4
    NUMBER_RESPONSE = 5
    RESPONSE_CODE = 6


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
    """What an operand compares; a CGM knows only this one."""

    TIME_OFFSET = 1


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
class ResponseCode:
    """How a request ended; `request_op` and `code` are plain integers where they are unknown."""

    request_op: int
    code: int


Response = NumberResponse | ResponseCode

#   OP OR [FT operand]
#   01 03  01 02 00         report all records with time offset >= 2
REQUEST: Final = Record(
    Request, "op" / Coded(Int8ul, OpCode), "operator" / Coded(Int8ul, Operator), "operand" / GreedyBytes
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """An operand: what it compares, and with what."""

    filter_type: int
    values: tuple[int, ...]


OPERAND: Final = Record(Bounds, "filter_type" / Coded(Int8ul, Filter), "values" / Tail(Int16ul))

#   05 00  01 00            one record; some servers count in four octets
#   06 00  01 06            request 01 found no records
# The operator says nothing here: sent as Null, ignored on receipt.
RESPONSE: Final = Tagged(
    Int8ul,
    {
        OpCode.NUMBER_RESPONSE: Record(
            NumberResponse, "operator" / Word(Int8ul), "count" / WidthByLength(Int16ul, Int32ul)
        ),
        OpCode.RESPONSE_CODE: Record(
            ResponseCode,
            "operator" / Word(Int8ul),
            "request_op" / Coded(Int8ul, OpCode),
            "code" / Coded(Int8ul, Code),
        ),
    },
)


def decode_request(payload: bytes) -> Request:
    """What a client wrote.

    Raises:
        DecodeError: less than an op code and an operator.
    """
    request: Request = schema.decode(_CHARACTERISTIC, REQUEST, payload)
    return request


def encode_request(request: Request) -> bytes:
    """What a client writes for a request."""
    return schema.encode(REQUEST, request)


def decode_response(payload: bytes) -> Response:
    """What a server indicated.

    Raises:
        DecodeError: not a response, or of a wrong length.
    """
    response: Response = schema.decode(_CHARACTERISTIC, RESPONSE, payload)
    return response


def encode_response(response: Response) -> bytes:
    """What a server indicates for a response."""
    return schema.encode(RESPONSE, response)


def time_offset_operand(*bounds: int) -> bytes:
    """The operand that compares time offsets in minutes with one bound, or with a minimum and a maximum."""
    return schema.encode(OPERAND, Bounds(Filter.TIME_OFFSET, bounds))


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
        operand: Bounds = schema.decode(_CHARACTERISTIC, OPERAND, request.operand)
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


class Outcome(Enum):
    """How a procedure ended."""

    COMPLETE = auto()
    REFUSED = auto()
    ABORTED = auto()
    TIMED_OUT = auto()


class Phase(Enum):
    """Where a procedure is before it ends."""

    WAITING = auto()
    ABORTING = auto()


class Event(Enum):
    """What can happen to a procedure."""

    RECORD = auto()
    NUMBER = auto()
    SUCCESS = auto()
    NO_RECORDS = auto()
    REFUSAL = auto()
    ABORT = auto()
    ABORT_SUCCESS = auto()
    ABORT_REFUSAL = auto()
    SILENCE = auto()


class Step(NamedTuple):
    """What an event leads to, and whether the peer has earned a new timeout by it."""

    next: Phase | Outcome
    restarts: bool = False


Table = Mapping[Phase, Mapping[Event, Step]]

# An answer to an abort, while none is wanted, is a late one to the procedure before. All other answers are
# taken for ours, because servers name the wrong request and only one procedure runs at a time.
_WAITING: Mapping[Event, Step] = {
    Event.NO_RECORDS: Step(Outcome.COMPLETE),
    Event.REFUSAL: Step(Outcome.REFUSED),
    Event.ABORT: Step(Phase.ABORTING, restarts=True),
    Event.ABORT_SUCCESS: Step(Phase.WAITING),
    Event.ABORT_REFUSAL: Step(Phase.WAITING),
    Event.SILENCE: Step(Outcome.TIMED_OUT),
}
# A server that names the wrong request in its answer to an abort looks as if it had finished. Taking that
# for "aborted" costs a repetition, taking it for "complete" could lose records.
_ABORTING: Mapping[Event, Step] = {
    Event.RECORD: Step(Phase.ABORTING),
    Event.NO_RECORDS: Step(Outcome.ABORTED),
    Event.REFUSAL: Step(Outcome.ABORTED),
    Event.ABORT: Step(Phase.ABORTING),
    Event.ABORT_SUCCESS: Step(Outcome.ABORTED),
    Event.ABORT_REFUSAL: Step(Phase.WAITING, restarts=True),
    Event.SILENCE: Step(Outcome.TIMED_OUT),
}
_REPORT: Table = {
    Phase.WAITING: {
        **_WAITING,
        Event.RECORD: Step(Phase.WAITING, restarts=True),
        Event.SUCCESS: Step(Outcome.COMPLETE),
    },
    Phase.ABORTING: {**_ABORTING, Event.SUCCESS: Step(Outcome.ABORTED)},
}
_COUNT: Table = {
    # Records that come now are the periodic ones.
    Phase.WAITING: {
        **_WAITING,
        Event.RECORD: Step(Phase.WAITING),
        Event.NUMBER: Step(Outcome.COMPLETE),
    },
    Phase.ABORTING: {**_ABORTING, Event.NUMBER: Step(Outcome.COMPLETE)},
}


def _event_of(response: Response) -> Event:
    match response:
        case NumberResponse():
            return Event.NUMBER
        case ResponseCode(OpCode.ABORT, code):
            return Event.ABORT_SUCCESS if code == Code.SUCCESS else Event.ABORT_REFUSAL
        case ResponseCode(_, Code.SUCCESS):
            return Event.SUCCESS
        case ResponseCode(_, Code.NO_RECORDS):
            return Event.NO_RECORDS
    return Event.REFUSAL


def _since(op: OpCode, first_offset: int) -> Request:
    if first_offset == 0:
        return Request(op, Operator.ALL)
    return Request(op, Operator.GREATER_OR_EQUAL, time_offset_operand(first_offset))


class Procedure:
    """A request for the records from `first_offset` on; once it has ended, nothing changes it any more.

    Attributes:
        request: write this to start.
        deadline_s: call `on_time` then, if it has not ended before.
        outcome: how it ended; None while it runs.
        code: the response code of a refusal (`Code` where known).
    """

    _op: ClassVar[OpCode]
    _table: ClassVar[Table]

    def __init__(self, *, now_s: float, first_offset: int = 0) -> None:
        self.request = encode_request(_since(self._op, first_offset))
        self.outcome: Outcome | None = None
        self.code: int | None = None
        self._phase = Phase.WAITING
        self._last_s = now_s + DURATION_S_MAX
        self.deadline_s = now_s + TIMEOUT_S

    def _take(self, step: Step, now_s: float) -> None:
        if isinstance(step.next, Outcome):
            self.outcome = step.next
            return
        self._phase = step.next
        if step.restarts:
            self.deadline_s = min(now_s + TIMEOUT_S, self._last_s)

    def on_record(self, now_s: float) -> None:
        """A record was notified."""
        if self.outcome is None:
            self._take(self._table[self._phase][Event.RECORD], now_s)

    def on_indication(self, payload: bytes, now_s: float) -> None:
        """The control point indicated something.

        Raises:
            DecodeError: no response, or none that this procedure can get; the procedure goes on.
        """
        response = decode_response(payload)
        if self.outcome is not None:
            return
        step = self._table[self._phase].get(_event_of(response))
        if step is None:
            raise DecodeError(_CHARACTERISTIC, payload, "not a response to the request made")
        self._take(step, now_s)
        self._note(response)

    def _note(self, response: Response) -> None:
        if self.outcome is Outcome.REFUSED and isinstance(response, ResponseCode):
            self.code = response.code

    def on_time(self, now_s: float) -> None:
        """Time has passed; nothing happens before the deadline."""
        if self.outcome is None and now_s >= self.deadline_s:
            self._take(self._table[self._phase][Event.SILENCE], now_s)

    def abort_request(self, now_s: float) -> bytes:
        """What to write to give up. The procedure ends when the server has answered, or at the deadline."""
        if self.outcome is None:
            self._take(self._table[self._phase][Event.ABORT], now_s)
        return encode_request(Request(OpCode.ABORT, Operator.NULL))


class ReportRecords(Procedure):
    """Have the stored records from a time offset on notified.

    Attributes:
        records: how many notifications there were; a live one cannot be told from a stored one.
    """

    _op, _table = OpCode.REPORT, _REPORT
    records = 0

    def on_record(self, now_s: float) -> None:
        """A record was notified."""
        self.records += self.outcome is None
        super().on_record(now_s)


class CountRecords(Procedure):
    """Ask how many records are stored from a time offset on.

    Attributes:
        count: the answer; None until there is one.
    """

    _op, _table = OpCode.REPORT_NUMBER, _COUNT
    count: int | None = None

    def _note(self, response: Response) -> None:
        super()._note(response)
        if self.outcome is Outcome.COMPLETE:
            self.count = response.count if isinstance(response, NumberResponse) else 0
