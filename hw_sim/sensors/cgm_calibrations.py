"""How a CGM takes calibrations: as an Accu-Chek SmartGuide does, by its maker's help pages.

It measures from the end of its warm-up on. Twelve hours after it was put on it wants to be calibrated, and once more 30
minutes to 3 hours later; if that is missed, both are to be done again. Too early it rejects a value. From an accepted
one on, all that it measures is shifted so that it would have shown that value. Minutes are those of its session.

    stage   | event                                  | next
    --------|----------------------------------------|--------
    FIRST   | a value from `FIRST_MIN` on is taken   | SECOND
    SECOND  | a value from 30 min on is taken        | DONE
    SECOND  | 3 h have passed                        | FIRST
    any     | a value too early, or out of range     | as it was; the record says so

Must not be here: Bluetooth.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final

from protocols import cgm_control
from protocols.cgm import SensorStatus
from protocols.cgm_control import (
    Calibration,
    CalibrationResponse,
    CalibrationStatus,
    Code,
    OpCode,
    Request,
    Response,
    ResponseCode,
)
from protocols.errors import DecodeError
from protocols.medfloat import Special

FIRST_MIN: Final = 12 * 60
SECOND_FROM_MIN: Final = 30
SECOND_TO_MIN: Final = 3 * 60
RANGE_MG_DL: Final = 40.0, 400.0
CALIBRATION_OPS: Final = frozenset({OpCode.SET_CALIBRATION, OpCode.GET_CALIBRATION})

_NONE: Final = Calibration(Special.NAN, 0, 0, 0, 0, 0)


class Stage(Enum):
    """What it waits for."""

    FIRST = auto()
    SECOND = auto()
    DONE = auto()


@dataclass
class Calibrations:
    """The calibrations of one session.

    Attributes:
        pending_min: for how long it works on a value; until then the record says that it is pending.
        answers: whether it answers a value at all. There are sensors that do not.
        refuses: the code with which it refuses every value.
        is_scaled: whether what it measures follows its calibrations.
        records: what was written, with what became of it, oldest first.
        asked: every request.
    """

    pending_min: int = 0
    answers: bool = True
    refuses: Code | None = None
    is_scaled: bool = True
    records: list[Calibration] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    stage: Stage = Stage.FIRST
    _taken_min: int = 0
    _shift_mg_dl: float = 0.0
    _newest_mg_dl: float | None = None

    def status(self, now_min: int) -> SensorStatus:
        """The bits about calibrations in its state."""
        if self._is_pending(now_min):
            return SensorStatus.CALIBRATION_PENDING | SensorStatus.CALIBRATION_NOT_ALLOWED
        match self._stage(now_min):
            case Stage.DONE:
                return SensorStatus.CALIBRATION_NOT_ALLOWED
            case Stage.SECOND if now_min < self._taken_min + SECOND_FROM_MIN:
                return SensorStatus.CALIBRATION_NOT_ALLOWED
            case Stage.FIRST if now_min < FIRST_MIN:
                return SensorStatus.CALIBRATION_NOT_ALLOWED
        return SensorStatus.CALIBRATION_RECOMMENDED

    def scaled(self, glucose_mg_dl: float, _now_min: int) -> float:
        """What it shows instead of what it would have shown without a calibration."""
        if self.is_scaled:
            glucose_mg_dl += self._shift_mg_dl
        self._newest_mg_dl = glucose_mg_dl
        return glucose_mg_dl

    def answer(self, request: Request, now_min: int) -> Response | None:
        """The answer to a request; None: it gives none."""
        self.asked.append(request)
        try:
            operand = cgm_control.operand(request)
        except DecodeError:
            return ResponseCode(request.op, Code.INVALID_OPERAND)
        if not isinstance(operand, Calibration):
            return CalibrationResponse(self._record(now_min))
        if self.refuses is None:
            self._take(operand, now_min)
        if not self.answers:
            return None
        return ResponseCode(request.op, self.refuses or Code.SUCCESS)

    def _record(self, now_min: int) -> Calibration:
        """The newest record, with what is known of it now."""
        newest = self.records[-1] if self.records else _NONE
        if self._is_pending(now_min):
            newest = replace(newest, status=newest.status | CalibrationStatus.PENDING)
        return replace(newest, next_calibration_min=self._next_min(now_min))

    def _take(self, value: Calibration, now_min: int) -> None:
        status = CalibrationStatus(0)
        if self.status(now_min) & SensorStatus.CALIBRATION_NOT_ALLOWED:
            status |= CalibrationStatus.REJECTED
        glucose_mg_dl = value.glucose_mg_dl
        if not isinstance(glucose_mg_dl, float) or not _within(glucose_mg_dl, RANGE_MG_DL):
            status |= CalibrationStatus.OUT_OF_RANGE
        self.records.append(replace(value, record_number=len(self.records) + 1, status=status))
        if status or not isinstance(glucose_mg_dl, float):
            return
        self.stage = Stage.SECOND if self._stage(now_min) is Stage.FIRST else Stage.DONE
        self._taken_min = now_min
        if self._newest_mg_dl is not None:
            self._shift_mg_dl += glucose_mg_dl - self._newest_mg_dl

    def _stage(self, now_min: int) -> Stage:
        if self.stage is Stage.SECOND and now_min > self._taken_min + SECOND_TO_MIN:
            self.stage = Stage.FIRST
        return self.stage

    def _next_min(self, now_min: int) -> int:
        match self._stage(now_min):
            case Stage.FIRST:
                return max(FIRST_MIN, self._taken_min)
            case Stage.SECOND:
                return self._taken_min + SECOND_FROM_MIN
        return cgm_control.NEVER_MIN

    def _is_pending(self, now_min: int) -> bool:
        return self.stage is not Stage.FIRST and now_min < self._taken_min + self.pending_min


def _within(value: float, bounds: Iterable[float]) -> bool:
    low, high = bounds
    return low <= value <= high
