"""The client's procedures on a CGM Specific Ops Control Point, without I/O.

Contract: one procedure is in flight at a time, and a `ControlPoint` sees to that. Starting a session makes the
sensor discard all records it has stored; a calibration changes all that it will measure. Those two, and stopping a
session, are refused here unless the caller holds a `Permit` that says in words why.

Source: Continuous Glucose Monitoring Service 1.0.2, Specific Ops Control Point procedures.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from protocols import cgm_control
from protocols.cgm_control import CHARACTERISTIC, Code, OpCode, Request, Response, ResponseCode
from protocols.crc import Crc
from protocols.errors import DecodeError
from protocols.permit import Permit

TIMEOUT_S: Final = 30.0
"""A procedure that was not answered by then has failed."""

ANSWER: Final[Mapping[int, type]] = {
    OpCode.GET_COMMUNICATION_INTERVAL: cgm_control.IntervalResponse,
    OpCode.GET_CALIBRATION: cgm_control.CalibrationResponse,
    OpCode.GET_PATIENT_HIGH: cgm_control.PatientHighResponse,
    OpCode.GET_PATIENT_LOW: cgm_control.PatientLowResponse,
    OpCode.GET_HYPO: cgm_control.HypoResponse,
    OpCode.GET_HYPER: cgm_control.HyperResponse,
    OpCode.GET_RATE_OF_DECREASE: cgm_control.RateOfDecreaseResponse,
    OpCode.GET_RATE_OF_INCREASE: cgm_control.RateOfIncreaseResponse,
}
"""What answers a get that succeeds; everything else is answered by a response code."""

NEEDS_PERMIT: Final = frozenset({OpCode.START_SESSION, OpCode.STOP_SESSION, OpCode.SET_CALIBRATION})


class Outcome(Enum):
    """How a procedure ended."""

    COMPLETE = auto()
    REFUSED = auto()
    TIMED_OUT = auto()


class BusyError(Exception):
    """A procedure is in flight; the sensor would refuse a second one."""


class ControlPoint:
    """Procedures one after the other.

    Attributes:
        outcome: how the latest one ended; None while it runs, and before the first.
        answer: what it was answered with; None unless complete or refused.
        deadline_s: when to call `on_time`; None while nothing runs.
    """

    def __init__(self, crc: Crc | bool) -> None:
        self._crc = crc
        self._request: Request | None = None
        self.outcome: Outcome | None = None
        self.answer: Response | None = None
        self.deadline_s: float | None = None

    def begin(self, request: Request, now_s: float, permit: Permit | None = None) -> bytes:
        """What to write for a request.

        Raises:
            BusyError: one is in flight.
            PermissionError: it would start or stop a session or calibrate the sensor, and nobody has permitted that.
        """
        if self._request is not None:
            raise BusyError
        if request.op in NEEDS_PERMIT and permit is None:
            raise PermissionError(f"{OpCode(request.op).name} needs an explicit permit.")
        payload = cgm_control.encode_request(request, crc=self._crc)
        self._request, self.outcome, self.answer = request, None, None
        self.deadline_s = now_s + TIMEOUT_S
        return payload

    def on_indication(self, payload: bytes) -> None:
        """The control point indicated something.

        Raises:
            DecodeError: no response, or not one to the request in flight, which goes on.
        """
        response = cgm_control.decode_response(payload, crc=self._crc)
        outcome = None if self._request is None else _outcome(self._request.op, response)
        if outcome is None:
            raise DecodeError(CHARACTERISTIC, payload, "not a response to the request made")
        self.answer = response
        self._end(outcome)

    def on_time(self, now_s: float) -> None:
        """Time has passed; nothing happens before the deadline."""
        if self.deadline_s is not None and now_s >= self.deadline_s:
            self._end(Outcome.TIMED_OUT)

    def _end(self, outcome: Outcome) -> None:
        self.outcome, self._request, self.deadline_s = outcome, None, None


def _outcome(op: int, response: Response) -> Outcome | None:
    """What a response makes of the request in flight; None if it belongs to another."""
    if not isinstance(response, ResponseCode):
        return Outcome.COMPLETE if type(response) is ANSWER.get(op) else None
    if response.request_op != op:
        return None
    # A get that succeeds has to say what it got.
    if response.code == Code.SUCCESS:
        return None if op in ANSWER else Outcome.COMPLETE
    return Outcome.REFUSED
