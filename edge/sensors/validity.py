"""Validity: the only place that decides whether a glucose record counts as a measurement.

Contract: the decision is made once, when the record is received, from what the sensor says about it. It is stored with
the reading, and summaries, alerts and uploads use it as it is. A reading that does not count is stored, marked and
shown all the same. A value beyond the sensor's scale ("LO", "HI") is a measurement and counts.

The first row that fits gives the reason. The other bits of the Sensor Status Annunciation (battery low, the sensor's
own alerts, time synchronisation, calibration recommended or not allowed, the wearer's own limits) say nothing against
the value.

    the record                                                         | reason
    -------------------------------------------------------------------|-----------------------
    has one of the bits of `BITS`                                      | that of the bit
    has no value, in the first 2 h and before the session's first value | warming up
    has no value                                                       | no measurement
    has a quality below `QUALITY_PCT_LEAST`                            | low quality
    has a finite value beyond the range of `measurements`              | out of range

Sensors that only advertise (AiDEX, LinX) do not flag their warm-up, and not always their end. For their records:

    the record                                                         | reason
    -------------------------------------------------------------------|-----------------------
    has one of the bits of `BITS`                                      | that of the bit
    is of the warm-up by the maker's times                             | warming up
    is of after the wear by the maker's times                          | worn longer than its maker allows
    is none that the sensor stands by                                  | no measurement
    has a quality below `QUALITY_PCT_LEAST`                            | low quality
    has a value beyond the range that the maker states                 | out of range

Source: Continuous Glucose Monitoring Service 1.0.2, Sensor Status Annunciation.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from edge.measurements import MEASUREMENTS
from protocols.aidex import GlucoseRecord
from protocols.cgm import CgmMeasurement, SensorStatus
from protocols.medfloat import MedFloat, Special

RANGE: Final = MEASUREMENTS["glucose"]
# No maker says below which quality a value is useless. We take a fifth of the scale.
QUALITY_PCT_LEAST: Final = 20.0
# No sensor on the market warms up for longer.
WARM_UP_MIN_MAX: Final = 120


class Wear(NamedTuple):
    """What a maker says of a sensor: how long it warms up, how long it may be worn, what it can measure, in mg/dL."""

    warm_up_min: int
    wear_h: int
    least_mg_dl: int
    most_mg_dl: int


class NotCounted(StrEnum):
    """Why a reading does not count."""

    MALFUNCTION = "sensor malfunction"
    FAULT = "general fault"
    WRONG_TYPE = "wrong type of sensor"
    STOPPED = "session stopped"
    TOO_HOT = "sensor too hot"
    TOO_COLD = "sensor too cold"
    UNCALIBRATED = "calibration required"
    CALIBRATING = "calibration pending"
    WARMING_UP = "warming up"
    NO_MEASUREMENT = "no measurement"
    LOW_QUALITY = "low quality"
    OUT_OF_RANGE = "out of range"
    DUPLICATE = "duplicate of another source"
    SENT_TWICE = "sent twice"
    OTHER_SENSOR = "of another sensor in the same feed"
    WORN_OUT = "worn longer than its maker allows"


# With these bits the sensor says that the value is not valid, or not yet. Good values, too, may come with the bits that
# *recommend* a calibration or do not allow one now.
BITS: Final[Mapping[SensorStatus, NotCounted]] = {
    SensorStatus.SENSOR_MALFUNCTION: NotCounted.MALFUNCTION,
    SensorStatus.GENERAL_FAULT: NotCounted.FAULT,
    SensorStatus.SENSOR_TYPE_INCORRECT: NotCounted.WRONG_TYPE,
    SensorStatus.SESSION_STOPPED: NotCounted.STOPPED,
    SensorStatus.TEMPERATURE_TOO_HIGH: NotCounted.TOO_HOT,
    SensorStatus.TEMPERATURE_TOO_LOW: NotCounted.TOO_COLD,
    SensorStatus.CALIBRATION_REQUIRED: NotCounted.UNCALIBRATED,
    SensorStatus.CALIBRATION_PENDING: NotCounted.CALIBRATING,
}


def number(value: MedFloat | None) -> float | None:
    """A value as the store keeps it: None if nothing was measured, infinite if it is beyond the sensor's scale."""
    match value:
        case Special.POSITIVE_INFINITY:
            return math.inf
        case Special.NEGATIVE_INFINITY:
            return -math.inf
        case Special() | None:
            return None
        case _:
            return float(value)


def glucose_mg_dl(record: CgmMeasurement) -> float | None:
    """The measured value: infinite if the sensor only says that it was beyond its scale."""
    value = number(record.glucose_mg_dl)
    if value is not None and (math.isinf(value) or RANGE.least <= value <= RANGE.most):
        return value
    match record.status & (SensorStatus.BELOW_MEASURABLE | SensorStatus.ABOVE_MEASURABLE):
        case SensorStatus.BELOW_MEASURABLE:
            return -math.inf
        case SensorStatus.ABOVE_MEASURABLE:
            return math.inf
    return value


def why_not_counted(
    record: CgmMeasurement, *, quality_pct: float | None, first_value_min: int | None
) -> NotCounted | None:
    """Why a record does not count; None if it does.

    Args:
        record: as the sensor sent it.
        quality_pct: its quality in percent; None if the sensor sends none.
        first_value_min: the offset of the first record of its session that had a value, as far as is known.
    """
    for bit, reason in BITS.items():
        if record.status & bit:
            return reason
    value = glucose_mg_dl(record)
    if value is None:
        is_early = record.time_offset_min < WARM_UP_MIN_MAX
        is_first = first_value_min is None or record.time_offset_min < first_value_min
        return NotCounted.WARMING_UP if is_early and is_first else NotCounted.NO_MEASUREMENT
    if quality_pct is not None and quality_pct < QUALITY_PCT_LEAST:
        return NotCounted.LOW_QUALITY
    if math.isfinite(value) and not RANGE.least <= value <= RANGE.most:
        return NotCounted.OUT_OF_RANGE
    return None


def why_advertised_not_counted(
    minute: int, record: GlucoseRecord, status: SensorStatus, wear: Wear
) -> NotCounted | None:
    """Why a record that was advertised, of this minute of the session, does not count; None if it does."""
    for bit, reason in BITS.items():
        if status & bit:
            return reason
    if minute < wear.warm_up_min:
        return NotCounted.WARMING_UP
    if minute >= 60 * wear.wear_h:
        return NotCounted.WORN_OUT
    if not record.is_measured:
        return NotCounted.NO_MEASUREMENT
    if record.quality_pct < QUALITY_PCT_LEAST:
        return NotCounted.LOW_QUALITY
    if not wear.least_mg_dl <= record.glucose_mg_dl <= wear.most_mg_dl:
        return NotCounted.OUT_OF_RANGE
    return None
