"""What the fields of a reading are called in the specifications, and readings as documents of plain values.

Contract: a name is the GATT Specification Supplement's, in lower case with underscores, its unit last where it
has just one. A code or a set of bits is the number sent, with names beside it; a special medical float is as
the specification prints it; a date is text, with zeros where the device does not know. What was not sent is
null.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, IntEnum, IntFlag
from math import isfinite, isnan
from typing import Any, Final

from protocols import (
    blood_pressure,
    body_composition,
    cgm,
    cgm_control,
    current_time,
    glucose_meter,
    health_sensor,
    heart_rate,
    polar,
    pulse_oximeter,
    racp,
    thermometer,
    weight_scale,
)
from protocols.date_time import DateTime
from protocols.medfloat import Special

_SPECIAL_NAMES: Final = {
    Special.NAN: "NaN",
    Special.NRES: "NRes",
    Special.POSITIVE_INFINITY: "+INF",
    Special.NEGATIVE_INFINITY: "-INF",
    Special.RESERVED: "RFU",
}
_UNITS: Final[Mapping[type, Mapping[int, str]]] = {
    glucose_meter.Unit: {0: "kg/L", 1: "mol/L"},
    glucose_meter.MedicationUnit: {0: "kg", 1: "L"},
    thermometer.Unit: {0: "C", 1: "F"},
    blood_pressure.Unit: {0: "mmHg", 1: "kPa"},
}
"""Units are no codes but text."""

Names = Mapping[str, "str | Names"]

_TYPE_AND_LOCATION: Final = {"fluid_type": "type", "sample_location": "sample_location"}
_ELAPSED_TIME: Final = {
    "is_tick_counter": "tick_counter",
    "is_utc": "utc",
    "resolution": "time_resolution",
    "zone_used": "tz_dst_used",
    "current_timeline": "current_timeline",
    "count": "time_value",
    "sync_source": "time_sync_source_type",
    "zone_quarters": "tz_dst_offset",
}
STANDARD_NAMES: Final[Mapping[type, Names]] = {
    heart_rate.HeartRateMeasurement: {
        "heart_rate_bpm": "heart_rate_measurement_value_bpm",
        "contact": "sensor_contact_detected",
        "energy_kj": "energy_expended_kj",
        "rr_ticks": "rr_interval_ticks",
    },
    cgm.CgmMeasurement: {
        "glucose_mg_dl": "cgm_glucose_concentration_mg_dl",
        "status": "sensor_status_annunciation",
        "trend_mg_dl_min": "cgm_trend_information_mg_dl_min",
        "quality_pct": "cgm_quality_pct",
    },
    cgm.CgmFeature: {"features": "cgm_feature", **_TYPE_AND_LOCATION},
    cgm.CgmStatus: {"status": "cgm_status"},
    cgm_control.Calibration: {
        "glucose_mg_dl": "glucose_concentration_of_calibration_mg_dl",
        "time_offset_min": "calibration_time_min",
        "fluid_type": "calibration_type",
        "sample_location": "calibration_sample_location",
        "next_calibration_min": "next_calibration_time_min",
        "record_number": "calibration_data_record_number",
        "status": "calibration_status",
    },
    cgm_control.Request: {"op": "op_code"},
    cgm_control.IntervalResponse: {"interval_min": "communication_interval_min"},
    cgm_control.ResponseCode: {"request_op": "request_op_code", "code": "response_code_value"},
    racp.Request: {"op": "op_code"},
    racp.NumberResponse: {"count": "number_of_records"},
    racp.CombinedReportResponse: {"count": "number_of_records"},
    racp.ResponseCode: {"request_op": "request_op_code", "code": "response_code_value"},
    glucose_meter.GlucoseMeasurement: {
        "sample": {
            "concentration": "glucose_concentration",
            "fluid_type": "type",
            "location": "sample_location",
        },
        "unit": "glucose_concentration_unit",
        "status": "sensor_status_annunciation",
        "context_follows": "context_information_follows",
    },
    glucose_meter.GlucoseContext: {
        "carbohydrate": {"kind": "carbohydrate_id", "mass_kg": "carbohydrate_kg"},
        "tester_and_health": {"tester": "tester", "health": "health"},
        "exercise": {"duration_s": "exercise_duration_s", "intensity_pct": "exercise_intensity_pct"},
        "medication": {"kind": "medication_id", "amount": "medication"},
    },
    pulse_oximeter.SpotCheck: {
        "oximetry": {"spo2_pct": "spo2pr_spot_check_spo2_pct", "pulse_rate_bpm": "spo2pr_spot_check_pr_bpm"},
        "device_status": "device_and_sensor_status",
        "clock_not_set": "device_clock_not_set",
    },
    pulse_oximeter.Continuous: {
        "normal": {"spo2_pct": "spo2pr_normal_spo2_pct", "pulse_rate_bpm": "spo2pr_normal_pr_bpm"},
        "fast": {"spo2_pct": "spo2pr_fast_spo2_pct", "pulse_rate_bpm": "spo2pr_fast_pr_bpm"},
        "slow": {"spo2_pct": "spo2pr_slow_spo2_pct", "pulse_rate_bpm": "spo2pr_slow_pr_bpm"},
        "device_status": "device_and_sensor_status",
    },
    pulse_oximeter.Features: {
        "supported": "supported_features",
        "measurement_status": "measurement_status_support",
        "device_status": "device_and_sensor_status_support",
    },
    health_sensor.ElapsedTime: _ELAPSED_TIME,
    health_sensor.CurrentElapsedTime: {
        "time": _ELAPSED_TIME,
        "status": "clock_status",
        "capabilities": "clock_capabilities",
    },
    thermometer.TemperatureMeasurement: {"temperature": "temperature_measurement_value"},
    blood_pressure.BloodPressureMeasurement: {"mean_arterial": "mean_arterial_pressure"},
    current_time.CurrentTime: {"fraction": "fractions256"},
    body_composition.Features: {
        "supported": "body_composition_feature",
        "mass_resolution": "mass_measurement_resolution",
        "height_resolution": "height_measurement_resolution",
    },
    body_composition.BodyComposition: {"multiple_packets": "multiple_packet_measurement"},
    weight_scale.WeightMeasurement: {
        "bmi_and_height": {"bmi_tenths": "bmi_tenths", "height_counts": "height_counts"}
    },
    polar.Frame: {"measurement": "measurement_type", "compressed": "delta_compressed"},
    polar.Request: {"op": "op_code", "measurement": "measurement_type"},
    polar.Response: {"op": "op_code", "measurement": "measurement_type"},
}
"""By reading and field, where they differ from those in `protocols`; the fields of a part stand on their own."""


def plain(value: Any) -> Any:
    """A value, or a reading, as values JSON has."""
    if isinstance(value, Special):
        return _SPECIAL_NAMES[value]
    if isinstance(value, IntFlag | IntEnum):
        return int(value)
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "+INF" if value > 0 else "-INF"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, DateTime):
        return str(value)
    if is_dataclass(value):
        return document_of(value)
    if isinstance(value, dict):
        return {str(_key(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _key(key: Any) -> Any:
    return key.name.lower() if isinstance(key, Enum) else key


def document_of(reading: Any) -> dict[str, Any]:
    """The fields of a reading, by their standard names."""
    names = STANDARD_NAMES.get(type(reading), {})
    document: dict[str, Any] = {}
    for field in fields(reading):
        name, value = names.get(field.name, field.name), getattr(reading, field.name)
        if isinstance(name, str):
            document |= named(name, value)
        else:
            for part, part_name in name.items():
                document |= named(str(part_name), None if value is None else getattr(value, part))
    return document


def named(name: str, value: Any) -> dict[str, Any]:
    """A value under its name; codes and bits with a companion that says what they are called."""
    if type(value) in _UNITS:
        return {name: _UNITS[type(value)][value]}
    if isinstance(value, IntFlag):
        return {name: int(value), f"{name}_names": [str(f.name).lower() for f in type(value) if f in value]}
    if isinstance(value, IntEnum):
        return {name: int(value), f"{name}_name": value.name.lower()}
    return {name: plain(value)}
