"""What counts: a row for each thing a sensor can say of a record."""

import math

import pytest

from edge.sensors.advertised.aidex import WEAR
from edge.sensors.validity import (
    NotCounted,
    glucose_mg_dl,
    number,
    why_advertised_not_counted,
    why_not_counted,
)
from protocols.aidex import GlucoseRecord, State
from protocols.cgm import CgmMeasurement, SensorStatus
from protocols.medfloat import MedFloat, Special

NOTHING = SensorStatus(0)
S = SensorStatus


@pytest.mark.parametrize(
    ("bit", "reason"),
    [
        (S.SESSION_STOPPED, NotCounted.STOPPED),
        (S.BATTERY_LOW, None),
        (S.SENSOR_TYPE_INCORRECT, NotCounted.WRONG_TYPE),
        (S.SENSOR_MALFUNCTION, NotCounted.MALFUNCTION),
        (S.DEVICE_SPECIFIC_ALERT, None),
        (S.GENERAL_FAULT, NotCounted.FAULT),
        (S.TIME_SYNC_REQUIRED, None),
        (S.CALIBRATION_NOT_ALLOWED, None),
        (S.CALIBRATION_RECOMMENDED, None),
        (S.CALIBRATION_REQUIRED, NotCounted.UNCALIBRATED),
        (S.TEMPERATURE_TOO_HIGH, NotCounted.TOO_HOT),
        (S.TEMPERATURE_TOO_LOW, NotCounted.TOO_COLD),
        (S.CALIBRATION_PENDING, NotCounted.CALIBRATING),
        (S.BELOW_PATIENT_LOW, None),
        (S.ABOVE_PATIENT_HIGH, None),
        (S.BELOW_HYPO, None),
        (S.ABOVE_HYPER, None),
        (S.RATE_OF_DECREASE_EXCEEDED, None),
        (S.RATE_OF_INCREASE_EXCEEDED, None),
        (S.BELOW_MEASURABLE, None),
        (S.ABOVE_MEASURABLE, None),
    ],
)
@pytest.mark.parametrize("glucose", [44.0, Special.NAN])
def test_each_bit_of_the_annunciation_counts_or_not(
    bit: SensorStatus, reason: NotCounted | None, glucose: MedFloat
) -> None:
    record = CgmMeasurement(glucose, 1000, bit | S.BATTERY_LOW)
    if reason is None and glucose is Special.NAN and bit not in (S.BELOW_MEASURABLE, S.ABOVE_MEASURABLE):
        reason = NotCounted.NO_MEASUREMENT
    assert why_not_counted(record, quality_pct=None, first_value_min=0) is reason


def test_every_bit_is_judged() -> None:
    rows = test_each_bit_of_the_annunciation_counts_or_not.pytestmark[1].args[1]
    assert {bit for bit, _ in rows} == set(SensorStatus)


@pytest.mark.parametrize(
    ("glucose", "status", "value", "reason"),
    [
        (100.0, NOTHING, 100.0, None),
        (20.0, NOTHING, 20.0, None),
        (600.0, NOTHING, 600.0, None),
        (19.9, NOTHING, 19.9, NotCounted.OUT_OF_RANGE),
        (600.1, NOTHING, 600.1, NotCounted.OUT_OF_RANGE),
        (1.8, NOTHING, 1.8, NotCounted.OUT_OF_RANGE),
        (0.0, NOTHING, 0.0, NotCounted.OUT_OF_RANGE),
        (-5.0, NOTHING, -5.0, NotCounted.OUT_OF_RANGE),
        # Beyond its scale is what the sensor has measured, however it says so.
        (Special.POSITIVE_INFINITY, NOTHING, math.inf, None),
        (Special.NEGATIVE_INFINITY, NOTHING, -math.inf, None),
        (0.0, S.BELOW_MEASURABLE, -math.inf, None),
        (Special.NAN, S.BELOW_MEASURABLE, -math.inf, None),
        (Special.NRES, S.ABOVE_MEASURABLE, math.inf, None),
        (900.0, S.ABOVE_MEASURABLE, math.inf, None),
        (40.0, S.BELOW_MEASURABLE, 40.0, None),
        (20.0, S.BELOW_MEASURABLE, 20.0, None),
        (600.0, S.ABOVE_MEASURABLE, 600.0, None),
        (0.0, S.BELOW_MEASURABLE | S.ABOVE_MEASURABLE, 0.0, NotCounted.OUT_OF_RANGE),
        (Special.NEGATIVE_INFINITY, S.SENSOR_MALFUNCTION, -math.inf, NotCounted.MALFUNCTION),
        (Special.NAN, NOTHING, None, NotCounted.NO_MEASUREMENT),
        (Special.NRES, NOTHING, None, NotCounted.NO_MEASUREMENT),
        (Special.RESERVED, NOTHING, None, NotCounted.NO_MEASUREMENT),
    ],
)
def test_values_and_what_stands_for_none(
    glucose: MedFloat, status: SensorStatus, value: float | None, reason: NotCounted | None
) -> None:
    record = CgmMeasurement(glucose, 1000, status)
    assert glucose_mg_dl(record) == value
    assert why_not_counted(record, quality_pct=100.0, first_value_min=0) is reason


@pytest.mark.parametrize(
    ("quality_pct", "reason"),
    [
        (None, None),
        (0.0, NotCounted.LOW_QUALITY),
        (19.9, NotCounted.LOW_QUALITY),
        (20.0, None),
        (100.0, None),
    ],
)
def test_a_quality_of_nothing_is_no_measurement(quality_pct: float | None, reason: NotCounted | None) -> None:
    record = CgmMeasurement(44.0, 1000)
    assert why_not_counted(record, quality_pct=quality_pct, first_value_min=0) is reason


@pytest.mark.parametrize(
    ("offset_min", "first_value_min", "reason"),
    [
        (0, None, NotCounted.WARMING_UP),
        (119, None, NotCounted.WARMING_UP),
        (120, None, NotCounted.NO_MEASUREMENT),
        (55, 60, NotCounted.WARMING_UP),
        (60, 60, NotCounted.NO_MEASUREMENT),
        (65, 60, NotCounted.NO_MEASUREMENT),
    ],
)
def test_a_session_without_values_yet_warms_up(
    offset_min: int, first_value_min: int | None, reason: NotCounted
) -> None:
    record = CgmMeasurement(Special.NAN, offset_min)
    assert why_not_counted(record, quality_pct=None, first_value_min=first_value_min) is reason
    with_value = CgmMeasurement(100.0, offset_min)
    assert why_not_counted(with_value, quality_pct=None, first_value_min=first_value_min) is None


def test_a_real_packet_of_a_sensor_that_fails() -> None:
    # Malfunction, calibration required but not allowed, below range; of an Accu-Chek SmartGuide.
    record = CgmMeasurement(Special.NEGATIVE_INFINITY, 360, SensorStatus(0x400A08))
    assert why_not_counted(record, quality_pct=None, first_value_min=0) is NotCounted.MALFUNCTION
    usual = CgmMeasurement(172.5, 1580, S.CALIBRATION_NOT_ALLOWED, -0.4, 95.0)
    assert why_not_counted(usual, quality_pct=95.0, first_value_min=0) is None


@pytest.mark.parametrize("special", list(Special))
def test_no_special_word_becomes_a_number_that_can_be_averaged(special: Special) -> None:
    value = number(special)
    assert value is None or math.isinf(value)


@pytest.mark.parametrize(
    ("minute", "value", "quality", "status", "reason"),
    [
        (59, 120, 99, 0, NotCounted.WARMING_UP),
        (60, 120, 99, 0, None),
        (60, 40, 99, 0, None),
        (60, 400, 99, 0, None),
        (60, 39, 99, 0, NotCounted.OUT_OF_RANGE),
        (60, 401, 99, 0, NotCounted.OUT_OF_RANGE),
        (21_599, 120, 99, 0, None),
        (21_600, 120, 99, 0, NotCounted.WORN_OUT),
        (21_600, 120, 99, SensorStatus.SESSION_STOPPED, NotCounted.STOPPED),
        (500, 120, 19, 0, NotCounted.LOW_QUALITY),
        (500, 120, 99, SensorStatus.SENSOR_MALFUNCTION, NotCounted.MALFUNCTION),
        (500, 120, 99, SensorStatus.BATTERY_LOW, None),
    ],
)
def test_what_is_advertised_counts_by_the_makers_times(
    minute: int, value: int, quality: int, status: int, reason: NotCounted | None
) -> None:
    record = GlucoseRecord(value, quality_pct=quality)
    assert why_advertised_not_counted(minute, record, SensorStatus(status), WEAR) is reason


def test_what_the_sensor_does_not_stand_by_does_not_count() -> None:
    record = GlucoseRecord(120, State.INVALID)
    assert why_advertised_not_counted(500, record, SensorStatus(0), WEAR) is NotCounted.NO_MEASUREMENT
