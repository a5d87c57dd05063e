"""Validity: the only place that decides whether what such a device measured counts.

Contract: as for `edge.sensors.validity`: decided once, kept with the reading, which is stored and shown all the same.
The first bit of a table that is set gives the reason. Bits that are in no table say nothing against the value: a low
battery, a signal that is weak and was read all the same, an irregular pulse, which makes a pulse rate doubtful and no
pressure; people whose pulse is always irregular measure their pressure, too.

    what was measured                                     | reason
    ------------------------------------------------------|---------------------------------------------
    another user's of the device, or nobody knows whose   | another user's, user unknown
    in a control solution                                 | control solution
    with one of the bits of its table                     | that of the bit
    nothing: not a number, a failure code, a negative one | no measurement
    beyond the range of `measurements`                    | out of range
    later than now by the device's own clock              | time in the future

Source: Glucose, Pulse Oximeter, Blood Pressure, Weight Scale and Body Composition Service; GATT Specification
Supplement.
"""

import math
from collections.abc import Mapping
from enum import IntFlag, StrEnum
from typing import Final

from edge.measurements import MEASUREMENTS
from edge.sensors import validity
from protocols.blood_pressure import MeasurementStatus as CuffStatus
from protocols.glucose_meter import SensorStatus as MeterStatus
from protocols.pulse_oximeter import DeviceStatus, MeasurementStatus
from protocols.weight_scale import USER_UNKNOWN


class NotCounted(StrEnum):
    """Why a reading does not count."""

    ANOTHER_USER = "another user's"
    USER_UNKNOWN = "user unknown"
    CONTROL_SOLUTION = "control solution"
    NO_MEASUREMENT = validity.NotCounted.NO_MEASUREMENT.value
    OUT_OF_RANGE = validity.NotCounted.OUT_OF_RANGE.value
    FUTURE = "time in the future"
    MALFUNCTION = validity.NotCounted.MALFUNCTION.value
    FAULT = validity.NotCounted.FAULT.value
    TOO_LITTLE_BLOOD = "too little blood"
    STRIP = "strip wrong or not inserted"
    TOO_HOT = validity.NotCounted.TOO_HOT.value
    TOO_COLD = validity.NotCounted.TOO_COLD.value
    INTERRUPTED = "interrupted"
    EARLY = "early estimate"
    DEMONSTRATION = "demonstration"
    TEST = "test"
    CALIBRATING = "calibrating"
    UNAVAILABLE = "not available"
    QUESTIONABLE = "questionable"
    INVALID = "invalid"
    NOT_ON_USER = "not on the finger"
    MOVED = "moved while measuring"
    LOOSE = "cuff too loose"
    POSITION = "improper position"
    IRREGULAR = "irregular pulse"
    PULSE_RANGE = "pulse out of the device's range"


METER_BITS: Final[Mapping[IntFlag, NotCounted]] = {
    MeterStatus.SENSOR_MALFUNCTION: NotCounted.MALFUNCTION,
    MeterStatus.SAMPLE_SIZE_INSUFFICIENT: NotCounted.TOO_LITTLE_BLOOD,
    MeterStatus.STRIP_INSERTION_ERROR: NotCounted.STRIP,
    MeterStatus.STRIP_TYPE_INCORRECT: NotCounted.STRIP,
    MeterStatus.TEMPERATURE_TOO_HIGH: NotCounted.TOO_HOT,
    MeterStatus.TEMPERATURE_TOO_LOW: NotCounted.TOO_COLD,
    MeterStatus.READ_INTERRUPTED: NotCounted.INTERRUPTED,
    MeterStatus.GENERAL_FAULT: NotCounted.FAULT,
}
OXIMETER_BITS: Final[Mapping[IntFlag, NotCounted]] = {
    MeasurementStatus.INVALID: NotCounted.INVALID,
    MeasurementStatus.QUESTIONABLE: NotCounted.QUESTIONABLE,
    MeasurementStatus.UNAVAILABLE: NotCounted.UNAVAILABLE,
    MeasurementStatus.CALIBRATION_ONGOING: NotCounted.CALIBRATING,
    MeasurementStatus.FOR_TESTING: NotCounted.TEST,
    MeasurementStatus.FOR_DEMONSTRATION: NotCounted.DEMONSTRATION,
    MeasurementStatus.EARLY_ESTIMATE: NotCounted.EARLY,
}
OXIMETER_DEVICE_BITS: Final[Mapping[IntFlag, NotCounted]] = {
    DeviceStatus.SENSOR_DISCONNECTED: NotCounted.MALFUNCTION,
    DeviceStatus.SENSOR_MALFUNCTION: NotCounted.MALFUNCTION,
    DeviceStatus.EQUIPMENT_MALFUNCTION: NotCounted.MALFUNCTION,
    DeviceStatus.UNKNOWN_SENSOR: NotCounted.MALFUNCTION,
    DeviceStatus.SENSOR_NOT_ON_USER: NotCounted.NOT_ON_USER,
    DeviceStatus.SENSOR_DISPLACED: NotCounted.NOT_ON_USER,
    DeviceStatus.QUESTIONABLE_PULSE: NotCounted.QUESTIONABLE,
    DeviceStatus.NON_PULSATILE_SIGNAL: NotCounted.QUESTIONABLE,
    DeviceStatus.INADEQUATE_SIGNAL: NotCounted.QUESTIONABLE,
}
CUFF_BITS: Final[Mapping[IntFlag, NotCounted]] = {
    CuffStatus.BODY_MOVEMENT: NotCounted.MOVED,
    CuffStatus.CUFF_TOO_LOOSE: NotCounted.LOOSE,
    CuffStatus.IMPROPER_POSITION: NotCounted.POSITION,
}
# What they say of the pulse rate, beside what they say of the pressures.
CUFF_PULSE_BITS: Final[Mapping[IntFlag, NotCounted]] = {
    **CUFF_BITS,
    CuffStatus.IRREGULAR_PULSE: NotCounted.IRREGULAR,
    CuffStatus.PULSE_ABOVE_RANGE: NotCounted.PULSE_RANGE,
    CuffStatus.PULSE_BELOW_RANGE: NotCounted.PULSE_RANGE,
}


def of_bits(status: int | None, bits: Mapping[IntFlag, NotCounted]) -> NotCounted | None:
    """What the bits that are set say against the value."""
    return next((reason for bit, reason in bits.items() if (status or 0) & bit), None)


def of_user(user: int | None, ours: int | None) -> NotCounted | None:
    """Whether it is of another user of the device than `ours`; None: all users' count, or the device tells none."""
    if ours is None or user is None or user == ours:
        return None
    return NotCounted.USER_UNKNOWN if user == USER_UNKNOWN else NotCounted.ANOTHER_USER


def why_not_counted(measurement: str, value: float | None) -> NotCounted | None:
    """What the value itself says; beyond the device's scale it counts."""
    if value is None:
        return NotCounted.NO_MEASUREMENT
    row = MEASUREMENTS[measurement]
    return NotCounted.OUT_OF_RANGE if math.isfinite(value) and not row.least <= value <= row.most else None
