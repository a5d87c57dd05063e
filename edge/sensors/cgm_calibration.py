"""Has a CGM calibrate itself by a value that a person has measured in blood, when the person says so.

Contract: nothing else calibrates a sensor, and it takes a permit. The sensor decides when it can be calibrated; in the
wrong phase it is not even written to, and the reason is told. What became of the value is read back from the sensor,
because there are sensors that answer the write with nothing. It is noted in the session, also if it was rejected. A
session is never started or stopped.

    the sensor                                                     | then
    ---------------------------------------------------------------|----------------------------------------------
    is not connected, or nobody knows in which session it is       | refused
    cannot be calibrated; has no session; has failed; warms up;    | refused
    still works on the last one; allows none now                   |
    wants the next one later, and recommends or requires none now  | refused
    refuses the value                                              | refused
    answers, or not; its newest calibration has another number     | as that says: accepted, pending, rejected
    answers with success, and has no calibrations to be read       | accepted
    answers with nothing, and has no new one                       | unsure

Source: Continuous Glucose Monitoring Service 1.0.2, Calibration Value procedures.
"""

import logging
from enum import StrEnum
from typing import Final, NamedTuple

from bleak.exc import BleakError

from edge.sensors.cgm import CgmSensor
from edge.sensors.cgm_conversation import Conversation
from protocols import cgm_control
from protocols.cgm import CgmStatus, Feature, SensorStatus
from protocols.cgm_control import Calibration, CalibrationResponse, CalibrationStatus, Code, ResponseCode
from protocols.cgm_procedure import BusyError
from protocols.errors import DecodeError
from protocols.permit import Permit
from protocols.samples import FluidType, SampleLocation

log = logging.getLogger(__name__)

LATER: Final = "try again when it streams; `vitalgate status` shows that"


class CalibrationError(Exception):
    """The sensor was not calibrated; why, and what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy


class Became(StrEnum):
    """What became of a value."""

    ACCEPTED = "accepted"
    PENDING = "pending"
    REJECTED = "rejected"
    OUT_OF_RANGE = "out of range"
    UNSURE = "unsure"


class Calibrated(NamedTuple):
    """What became of it, its number in the sensor, and in how many minutes the next is due; None: not told, never."""

    became: Became
    record_number: int | None
    next_in_min: int | None


# What keeps a sensor from being calibrated, the first that holds; the remedies are ours.
HINDRANCES: Final[tuple[tuple[SensorStatus, str, str], ...]] = (
    (SensorStatus.SESSION_STOPPED, "its session has ended", "put on a new sensor"),
    (
        SensorStatus.SENSOR_MALFUNCTION,
        "it reports a malfunction",
        "wait until it measures again, or replace it",
    ),
    (SensorStatus.GENERAL_FAULT, "it reports a fault", "wait until it measures again, or replace it"),
    (SensorStatus.CALIBRATION_PENDING, "it still works on the last calibration", "try again in some minutes"),
)
_ASKED_FOR: Final = SensorStatus.CALIBRATION_RECOMMENDED | SensorStatus.CALIBRATION_REQUIRED
_REFUSALS: Final[dict[int, str]] = {
    Code.OP_CODE_UNSUPPORTED: "it cannot be calibrated",
    Code.INVALID_OPERAND: "it does not take this value",
    Code.NOT_COMPLETED: "it could not complete the calibration",
    Code.OUT_OF_RANGE: "the value is out of its range",
}


async def calibrate(sensor: CgmSensor, glucose_mg_dl: float, permit: Permit) -> Calibrated:
    """Calibrate it by this value, which was measured in blood just now.

    Raises:
        CalibrationError: it was not calibrated.
    """
    at_hand = sensor.at_hand
    if at_hand is None:
        raise CalibrationError("it is not connected, or its session is not known yet", LATER)
    talk, wearing = at_hand
    try:
        status, before = (await talk.read_clock()).status, await _newest(talk)
    except BusyError as error:
        raise CalibrationError("it is being calibrated already", "wait for the answer to that") from error
    except (BleakError, TimeoutError, DecodeError) as error:
        raise CalibrationError("the link failed before the value was sent", LATER) from error
    refuse(talk.features, status, before, sensor.warm_up_left_s)
    now_min = status.time_offset_min
    log.warning("%s: is calibrated: %s", sensor.config.id, permit.reason)
    try:
        answer = await talk.operate(_request(glucose_mg_dl, now_min), permit)
        after = await _newest(talk)
    except BusyError as error:
        raise CalibrationError("it is being calibrated already", "wait for the answer to that") from error
    except (BleakError, TimeoutError) as error:
        # Whatever it measures from now on may be on another scale.
        wearing.calibrate(now_min, glucose_mg_dl, 0, None)
        cause = "the link failed before it was known what became of the value"
        raise CalibrationError(cause, "see what the sensor shows before you measure again") from error
    calibrated, bits = judged(answer, before, after, now_min)
    wearing.calibrate(now_min, glucose_mg_dl, bits, _why_not_counted(calibrated.became))
    return calibrated


def _why_not_counted(became: Became) -> str | None:
    return became.value if became in (Became.REJECTED, Became.OUT_OF_RANGE) else None


def _request(glucose_mg_dl: float, offset_min: int) -> cgm_control.Request:
    # Meters show what plasma would hold, although they are given whole blood.
    of_finger = FluidType.CAPILLARY_PLASMA, SampleLocation.FINGER
    return cgm_control.set_calibration(Calibration(glucose_mg_dl, offset_min, *of_finger, 0, 0))


async def _newest(talk: Conversation) -> Calibration | None:
    """The sensor's newest calibration; None if it does not tell."""
    if not talk.features & Feature.CALIBRATION:
        return None
    answer = await talk.operate(cgm_control.get_calibration())
    return answer.calibration if isinstance(answer, CalibrationResponse) else None


def refuse(
    features: Feature, status: CgmStatus, newest: Calibration | None, warm_up_left_s: float | None
) -> None:
    """Raise CalibrationError if the sensor cannot be calibrated now."""
    next_in_min = _next_in_min(newest, status.time_offset_min)
    due = "" if not next_in_min else f"; it wants the next calibration in {span(next_in_min)}"
    if not features & Feature.CALIBRATION:
        raise CalibrationError("it cannot be calibrated", "its maker calibrates it")
    for bit, cause, remedy in HINDRANCES:
        if bit in status.status:
            raise CalibrationError(cause, remedy)
    if warm_up_left_s:
        left = span(max(1, round(warm_up_left_s / 60)))
        raise CalibrationError(f"it is warming up, for {left} at most", "calibrate it when it shows values")
    if SensorStatus.CALIBRATION_NOT_ALLOWED in status.status:
        raise CalibrationError(f"it allows no calibration now{due}", "measure again when it does")
    if next_in_min and not status.status & _ASKED_FOR:
        raise CalibrationError(f"it is too early{due}", "measure again then")


def judged(
    answer: cgm_control.Response | None, before: Calibration | None, after: Calibration | None, now_min: int
) -> tuple[Calibrated, int]:
    """What became of a value by the sensor's answer to it, and by its newest calibration before and after; its bits.

    Raises:
        CalibrationError: the sensor has refused the value.
    """
    code = answer.code if isinstance(answer, ResponseCode) else None
    if code is not None and code != Code.SUCCESS:
        cause = _REFUSALS.get(code, f"it refuses with code {code}")
        raise CalibrationError(cause, "measure once more, and see what `vitalgate status` shows")
    is_new = after is not None and (before is None or after.record_number != before.record_number)
    if after is None or not is_new:
        became = Became.ACCEPTED if code == Code.SUCCESS else Became.UNSURE
        return Calibrated(became, None, _next_in_min(after, now_min)), 0
    became = Became.ACCEPTED
    for bit, what in (
        (CalibrationStatus.PENDING, Became.PENDING),
        (CalibrationStatus.OUT_OF_RANGE, Became.OUT_OF_RANGE),
        (CalibrationStatus.REJECTED, Became.REJECTED),
    ):
        became = what if bit in after.status else became
    return Calibrated(became, after.record_number, _next_in_min(after, now_min)), int(after.status)


def _next_in_min(newest: Calibration | None, now_min: int) -> int | None:
    if newest is None or newest.next_calibration_min == cgm_control.NEVER_MIN:
        return None
    return max(0, newest.next_calibration_min - now_min)


def span(minutes: int) -> str:
    """A length of time for people."""
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest or not hours))
