"""The client's procedures on a Record Access Control Point, without I/O.

Contract: a procedure is told what happened and when (`on_...`), and tells what to write (`request`), until when it
waits (`deadline_s`) and how it ended (`outcome`). Times are seconds of any clock that does not jump. Records are
deleted only with a `Permit` that says in words why.

    phase    | record   | success, count | none there | stray    | refusal  | abort    | its answer, refusal | silence
    ---------|----------|----------------|------------|----------|----------|----------|---------------------|----------
    WAITING  | WAITING  | COMPLETE       | COMPLETE   | DOUBTING | REFUSED  | ABORTING | WAITING             | TIMED_OUT
    DOUBTING | DOUBTING | COMPLETE       | COMPLETE   | DOUBTING | REFUSED  | ABORTING | DOUBTING            | UNSURE
    ABORTING | ABORTING | ABORTED        | ABORTED    | ABORTED  | ABORTED  | ABORTING | ABORTED, WAITING    | TIMED_OUT

A stray answer is a success that names another request. There are servers that name the wrong one, so it may be the
answer; it may as well be a late one to the procedure before, so nothing is complete by it. A refusal is taken for ours
whatever it names: that loses nothing.

Not here: what the messages look like, see `racp`.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import ClassVar, Final, NamedTuple

from protocols.date_time import DateTime
from protocols.errors import DecodeError
from protocols.permit import Permit
from protocols.racp import (
    CHARACTERISTIC,
    Code,
    CombinedReportResponse,
    NumberResponse,
    OpCode,
    Operator,
    Request,
    Response,
    ResponseCode,
    decode_response,
    encode_request,
    time_offset_operand,
    user_facing_time_operand,
)

TIMEOUT_S: Final = 30.0
"""A procedure has failed when nothing of it was heard for so long."""
DOUBT_S: Final = 5.0
"""After an answer that names another request, nothing more is expected when nothing was heard for so long."""
DURATION_S_MAX: Final = 3600.0
"""And when it is not over by then: a peer that never ends must not keep its client waiting for ever."""


class Outcome(Enum):
    """How a procedure ended; UNSURE: with an answer that named another request, and then silence."""

    COMPLETE = auto()
    REFUSED = auto()
    ABORTED = auto()
    TIMED_OUT = auto()
    UNSURE = auto()


class Phase(Enum):
    """Where a procedure is before it ends."""

    WAITING = auto()
    DOUBTING = auto()
    ABORTING = auto()


class Event(Enum):
    """What can happen to a procedure."""

    RECORD = auto()
    NUMBER = auto()
    SUCCESS = auto()
    NO_RECORDS = auto()
    STRAY = auto()
    REFUSAL = auto()
    ABORT = auto()
    ABORT_SUCCESS = auto()
    ABORT_REFUSAL = auto()
    SILENCE = auto()


class Step(NamedTuple):
    """What an event leads to, and for how long the peer is waited for anew; None: it has earned no more time."""

    next: Phase | Outcome
    patience_s: float | None = None


Table = Mapping[Phase, Mapping[Event, Step]]

# An answer to an abort, while none is wanted, is a late one to the procedure before.
_WAITING: Mapping[Event, Step] = {
    Event.RECORD: Step(Phase.WAITING),
    Event.NO_RECORDS: Step(Outcome.COMPLETE),
    Event.STRAY: Step(Phase.DOUBTING, DOUBT_S),
    Event.REFUSAL: Step(Outcome.REFUSED),
    Event.ABORT: Step(Phase.ABORTING, TIMEOUT_S),
    Event.ABORT_SUCCESS: Step(Phase.WAITING),
    Event.ABORT_REFUSAL: Step(Phase.WAITING),
    Event.SILENCE: Step(Outcome.TIMED_OUT),
}
_DOUBTING: Mapping[Event, Step] = {
    **_WAITING,
    Event.RECORD: Step(Phase.DOUBTING),
    Event.ABORT_SUCCESS: Step(Phase.DOUBTING),
    Event.ABORT_REFUSAL: Step(Phase.DOUBTING),
    Event.SILENCE: Step(Outcome.UNSURE),
}
# A server that names the wrong request in its answer to an abort looks as if it had finished. Taking that
# for "aborted" costs a repetition, taking it for "complete" could lose records.
_ABORTING: Mapping[Event, Step] = {
    Event.RECORD: Step(Phase.ABORTING),
    Event.NO_RECORDS: Step(Outcome.ABORTED),
    Event.STRAY: Step(Outcome.ABORTED),
    Event.REFUSAL: Step(Outcome.ABORTED),
    Event.ABORT: Step(Phase.ABORTING),
    Event.ABORT_SUCCESS: Step(Outcome.ABORTED),
    Event.ABORT_REFUSAL: Step(Phase.WAITING, TIMEOUT_S),
    Event.SILENCE: Step(Outcome.TIMED_OUT),
}
_COMPLETE = Step(Outcome.COMPLETE)
# Each record of a report earns new time. While something else runs, records that come are the periodic ones.
_REPORT: Table = {
    Phase.WAITING: {
        **_WAITING,
        Event.RECORD: Step(Phase.WAITING, TIMEOUT_S),
        Event.SUCCESS: _COMPLETE,
    },
    Phase.DOUBTING: {
        **_DOUBTING,
        Event.RECORD: Step(Phase.DOUBTING, DOUBT_S),
        Event.SUCCESS: _COMPLETE,
    },
    Phase.ABORTING: {**_ABORTING, Event.SUCCESS: Step(Outcome.ABORTED)},
}
_COUNT: Table = {
    Phase.WAITING: {**_WAITING, Event.NUMBER: _COMPLETE},
    Phase.DOUBTING: {**_DOUBTING, Event.NUMBER: _COMPLETE},
    Phase.ABORTING: {**_ABORTING, Event.NUMBER: _COMPLETE},
}
_DELETE: Table = {
    Phase.WAITING: {**_WAITING, Event.SUCCESS: _COMPLETE},
    Phase.DOUBTING: {**_DOUBTING, Event.SUCCESS: _COMPLETE},
    Phase.ABORTING: {**_ABORTING, Event.SUCCESS: _COMPLETE},
}


def _event_of(response: Response, op: OpCode) -> Event:
    """What a response is to a procedure that has asked for `op`."""
    match response:
        case NumberResponse() | CombinedReportResponse():
            return Event.NUMBER
        case ResponseCode(OpCode.ABORT, code):
            return Event.ABORT_SUCCESS if code == Code.SUCCESS else Event.ABORT_REFUSAL
        case ResponseCode(named, Code.SUCCESS | Code.NO_RECORDS) if named != op:
            return Event.STRAY
        case ResponseCode(_, Code.SUCCESS):
            return Event.SUCCESS
        case ResponseCode(_, Code.NO_RECORDS):
            return Event.NO_RECORDS
    return Event.REFUSAL


def _selecting(op: OpCode, first: int | DateTime, last: int | None) -> Request:
    if isinstance(first, DateTime):
        return Request(op, Operator.GREATER_OR_EQUAL, user_facing_time_operand(first))
    if last is not None:
        return Request(op, Operator.WITHIN_RANGE, time_offset_operand(first, last))
    if first == 0:
        return Request(op, Operator.ALL)
    return Request(op, Operator.GREATER_OR_EQUAL, time_offset_operand(first))


class Procedure:
    """A request for the records from `first` on, or from `first` to `last`; once ended, nothing changes it any more.

    Both are time offsets, which of glucose meters are sequence numbers; `first` may be the time a meter shows.

    Attributes:
        request: write this to start.
        deadline_s: call `on_time` then, if it has not ended before.
        outcome: how it ended; None while it runs.
        code: the response code of a refusal (`Code` where known).
        found_none: whether it ended because the peer said that it has no such records.
    """

    _op: ClassVar[OpCode]
    _table: ClassVar[Table]

    def __init__(self, *, now_s: float, first: int | DateTime = 0, last: int | None = None) -> None:
        self.request = encode_request(_selecting(self._op, first, last))
        self.outcome: Outcome | None = None
        self.code: int | None = None
        self.found_none = False
        self._phase = Phase.WAITING
        self._last_s = now_s + DURATION_S_MAX
        self.deadline_s = now_s + TIMEOUT_S

    def _take(self, step: Step, now_s: float) -> None:
        if isinstance(step.next, Outcome):
            self.outcome = step.next
            return
        self._phase = step.next
        if step.patience_s is not None:
            self.deadline_s = min(now_s + step.patience_s, self._last_s)

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
        event = _event_of(response, self._op)
        step = self._table[self._phase].get(event)
        if step is None:
            raise DecodeError(CHARACTERISTIC, payload, "not a response to the request made")
        self._take(step, now_s)
        self.found_none = step.next is Outcome.COMPLETE and event is Event.NO_RECORDS
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
        resume_offset: where to go on if this ends early: after the last record before which none is missing
            that comes every `interval_min`. Records that were never taken look like missing ones, which costs
            a repetition; a live record among the stored ones must not cost those after it. Stays 0 where the
            first was asked for by a time.
    """

    _op, _table = OpCode.REPORT, _REPORT
    records = 0

    def __init__(
        self, *, now_s: float, first: int | DateTime = 0, last: int | None = None, interval_min: int = 5
    ) -> None:
        super().__init__(now_s=now_s, first=first, last=last)
        self.resume_offset, self._interval_min = 0, 0
        if not isinstance(first, DateTime):
            self.resume_offset, self._interval_min = first, interval_min

    def on_record(self, now_s: float, offset_min: int | None = None) -> None:
        """A record was notified, with this time offset if it could be read."""
        if self.outcome is None:
            self.records += 1
            if offset_min is not None and self._follows(offset_min):
                self.resume_offset = offset_min + 1
        super().on_record(now_s)

    def _follows(self, offset_min: int) -> bool:
        return self.resume_offset <= offset_min < self.resume_offset + self._interval_min


class CountRecords(Procedure):
    """Ask how many records are stored.

    Attributes:
        count: the answer; None until there is one.
    """

    _op, _table = OpCode.REPORT_NUMBER, _COUNT
    count: int | None = None

    def _note(self, response: Response) -> None:
        super()._note(response)
        if self.outcome is Outcome.COMPLETE:
            self.count = 0 if isinstance(response, ResponseCode) else response.count


class DeleteRecords(Procedure):
    """Have the stored records from a time offset on erased, for good; without a permit nothing is asked."""

    _op, _table = OpCode.DELETE, _DELETE

    def __init__(self, permit: Permit | None, *, now_s: float, first: int | DateTime = 0) -> None:
        """Raises PermissionError if nobody has permitted it."""
        if permit is None:
            raise PermissionError("Deleting records needs an explicit permit.")
        super().__init__(now_s=now_s, first=first)
