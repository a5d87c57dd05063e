"""The decoder of each characteristic, and those of the services that have no module of their own here.

Contract: as for `forms`.

Arguments: `crc` (auto, none, mcrf4xx, ccitt-false, or whether there is one), `octet_order` of a CGM's status
(scw as specified, or wcs), `rr_unit` of a strap (1/1024 s or ms), `alg` of a bare checksum, and for Polar frames
`factor`, `channels` and `resolution`.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final

from protocols import (
    aidex,
    battery,
    blood_pressure,
    body_composition,
    cgm,
    current_time,
    date_time,
    device_information,
    glucose_meter,
    health_sensor,
    heart_rate,
    medfloat,
    observation,
    pulse_oximeter,
    racp,
    thermometer,
    weight_scale,
    xiaomi,
)
from protocols.codec import Codec
from protocols.crc import Crc
from protocols.errors import DecodeError
from tools.decode import cgm as decode_cgm
from tools.decode import polar as decode_polar
from tools.decode.checksums import checksum, protected
from tools.decode.forms import (
    Args,
    Decoder,
    Document,
    lenient_record,
    one_value,
    record,
    refuse_impossible,
    word,
)
from tools.decode.names import document_of, named, plain

_RR_IN_MS: Final = {None: False, "1024": False, "1/1024 s": False, "ticks": False, "ms": True}


def _heart(reading: heart_rate.HeartRateMeasurement, args: Args) -> Document:
    intervals = list(reading.rr_ticks or ())
    in_ms = _RR_IN_MS[args.get("rr_unit")]
    return {
        "sensor_contact_supported": reading.contact is not None,
        "rr_interval_ticks": None if in_ms else intervals,
        "rr_interval_ms": intervals if in_ms else [heart_rate.rr_ms(ticks) for ticks in intervals],
    }


def _meter(reading: glucose_meter.GlucoseMeasurement, _args: Args) -> Document:
    return {"glucose_mg_dl": plain(reading.glucose_mg_dl)}


def _scale(reading: weight_scale.WeightMeasurement, _args: Args) -> Document:
    in_si = reading.units == weight_scale.Units.SI
    failed = reading.weight_counts == weight_scale.UNSUCCESSFUL
    both = reading.bmi_and_height
    return {
        "weight": None if failed else reading.weight_counts / (200 if in_si else 100),
        "weight_unit": "kg" if in_si else "lb",
        "bmi_kg_m2": None if both is None else both.bmi_tenths / 10,
        "height": None if both is None else both.height_counts / (1000 if in_si else 10),
        "height_unit": "m" if in_si else "in",
    }


def _xiaomi_weight(reading: xiaomi.Weight, _args: Args) -> Document:
    return {"weight_kg": reading.weight_kg}


def _xiaomi_composition(reading: xiaomi.Composition, _args: Args) -> Document:
    return {"weight_kg": reading.weight_kg, "impedance_ohm": reading.impedance_ohm}


def _composition(reading: body_composition.BodyComposition, _args: Args) -> Document:
    in_si = reading.units == weight_scale.Units.SI
    masses = {
        "muscle_mass": reading.muscle_mass_counts,
        "fat_free_mass": reading.fat_free_mass_counts,
        "soft_lean_mass": reading.soft_lean_mass_counts,
        "body_water_mass": reading.body_water_mass_counts,
        "weight": reading.weight_counts,
    }
    height = reading.height_counts
    return {
        "body_fat_percentage": reading.body_fat_pct,
        "muscle_percentage": reading.muscle_pct,
        **{name: n if n is None else n / (200 if in_si else 100) for name, n in masses.items()},
        "mass_unit": "kg" if in_si else "lb",
        "impedance_ohm": reading.impedance_ohm,
        "height": None if height is None else height / (1000 if in_si else 10),
        "height_unit": "m" if in_si else "in",
    }


def _composition_features(payload: bytes, _args: Args) -> Document:
    document = document_of(body_composition.FEATURES.decode(payload))
    return document | named("body_composition_feature", body_composition.Feature(word(payload)))


def _racp(payload: bytes, _args: Args) -> Document:
    if payload[:1] and payload[0] in racp.RESPONSE_OPS:
        response = racp.decode_response(payload)
        return named("op_code", racp.OpCode(payload[0])) | {"operator": payload[1]} | document_of(response)
    request = racp.decode_request(payload)
    codes = {"op code": request.op, "operator": request.operator}
    unknown = [name for name, code in codes.items() if not isinstance(code, IntEnum)]
    if request.operand and unknown:
        # Whether there may be an operand, and of what kind, goes by both.
        return document_of(request) | {"oddities": [f"an operand of an unknown {' and '.join(unknown)}"]}
    match racp.operand(request):
        case racp.Bounds(kind, values):
            bounds: tuple[Any, ...] = values
        case racp.TimeBound(kind, time):
            bounds = (time,)
        case racp.TimeRange(kind, first, last):
            bounds = (first, last)
        case None:
            return document_of(request)
    return document_of(request) | {"filter_type": int(kind), "filter_values": plain(bounds)}


def _current_time(payload: bytes, args: Args) -> Document:
    codec = current_time.CURRENT_TIME
    refuse_impossible(codec, payload, codec.decode_lenient(payload)[1])
    return lenient_record(codec)(payload, args)


def _plx_features(payload: bytes, _args: Args) -> Document:
    supported = pulse_oximeter.Feature(word(payload[:2]))
    try:
        document = document_of(pulse_oximeter.FEATURES.decode(payload))
    except DecodeError as error:
        # There are sensors that announce what they support of each status, and do not send it.
        if len(payload) != 2:
            raise
        document = document_of(pulse_oximeter.Features(supported)) | {"oddities": [error.reason]}
    return document | named("supported_features", supported)


def _medfloat(octets: int, decode: Callable[[int], Any]) -> Decoder:
    def value(payload: bytes, _args: Args) -> Document:
        if len(payload) != octets:
            raise DecodeError("medical float", payload, f"{len(payload)} octets instead of {octets}")
        return {"value": plain(decode(word(payload)))}

    return value


def _aidex(payload: bytes, _args: Args) -> Document:
    reading = aidex.decode(payload)
    records = [
        {
            "time_offset_min": minute,
            "glucose_mg_dl": record.glucose_mg_dl,
            "quality_pct": record.quality_pct,
            "measured": record.is_measured,
        }
        for minute, record in reversed(reading.records)
    ]
    return {
        "time_offset_min": reading.time_offset_min,
        **named("sensor_status_annunciation", reading.status),
        "trend": reading.trend_counts,
        "records": records,
        "calibration_index": reading.calibration_index,
        "checksum": reading.checksum,
        "trailing_octets": len(payload) - aidex.OCTETS,
    }


def _elapsed_time(payload: bytes, _args: Args) -> Document:
    # As it stands inside other values it is without the state of the clock.
    alone = len(payload) == health_sensor.ELAPSED_TIME_OCTETS
    codec: Codec[Any] = health_sensor.ELAPSED_TIME if alone else health_sensor.CURRENT_ELAPSED_TIME
    return document_of(codec.decode(payload))


def _observations(decode: Callable[[bytes], Any]) -> Decoder:
    """A segment; and what it says, if it is a whole observation."""

    def segment(payload: bytes, _args: Args) -> Document:
        segment = health_sensor.SEGMENT.decode(payload)
        whole = segment.is_first and segment.is_last
        return document_of(segment) | (document_of(decode(segment.octets)) if whole else {})

    return segment


DECODERS: Final[Mapping[str, Decoder]] = {
    "2A08": one_value(date_time.DATE_TIME_VALUE, "date_time"),
    "2A18": lenient_record(glucose_meter.MEASUREMENT, _meter),
    "2A19": one_value(battery.LEVEL, "battery_level_pct"),
    "2A1C": lenient_record(thermometer.MEASUREMENT),
    "2A1D": one_value(thermometer.TYPE, "temperature_type"),
    "2A1E": lenient_record(thermometer.MEASUREMENT),
    "2A23": record(device_information.SYSTEM_ID),
    **{f"2A{number:02X}": one_value(device_information.STRING, "text") for number in range(0x24, 0x2A)},
    "2A2A": one_value(device_information.REGULATORY_CERTIFICATION, "regulatory_certification_data_list"),
    "2A2B": _current_time,
    "2A34": lenient_record(glucose_meter.CONTEXT),
    "2A35": lenient_record(blood_pressure.MEASUREMENT),
    "2A36": lenient_record(blood_pressure.MEASUREMENT),
    "2A37": lenient_record(heart_rate.MEASUREMENT, _heart),
    "2A38": one_value(heart_rate.LOCATION, "body_sensor_location"),
    "2A39": one_value(heart_rate.CONTROL_POINT, "heart_rate_control_point"),
    "2A49": one_value(blood_pressure.FEATURE, "blood_pressure_feature"),
    "2A50": record(device_information.PNP_ID),
    "2A51": one_value(glucose_meter.FEATURE, "glucose_feature"),
    "2A52": _racp,
    "2A5E": lenient_record(pulse_oximeter.SPOT_CHECK),
    "2A5F": lenient_record(pulse_oximeter.CONTINUOUS),
    "2A60": _plx_features,
    "2A9B": _composition_features,
    "2A9C": lenient_record(body_composition.MEASUREMENT, _composition),
    "2A9D": lenient_record(weight_scale.MEASUREMENT, _scale),
    "2AA7": decode_cgm.measurement,
    "2AA8": decode_cgm.feature,
    "2AA9": protected(cgm.STATUS, document_of),
    "2AAA": protected(cgm.SESSION_START_TIME, decode_cgm.session_start),
    "2AAB": protected(cgm.SESSION_RUN_TIME, lambda hours: {"cgm_session_run_time_h": hours}),
    "2AAC": decode_cgm.control_point,
    "2B8B": _observations(observation.decode),
    "2BDD": _observations(observation.decode_stored),
    "2BF1": record(health_sensor.SCHEDULE),
    "2BF3": lambda payload, _args: document_of(health_sensor.decode_features(payload)),
    "2BF4": one_value(health_sensor.CONTROL_POINT, "ghs_control_point"),
    "2BF2": _elapsed_time,
    "SFLOAT": _medfloat(2, medfloat.decode_sfloat),
    "FLOAT": _medfloat(4, medfloat.decode_float),
    "DATETIME": one_value(date_time.DATE_TIME_VALUE, "date_time"),
    "E2E-CRC": checksum(Crc.MCRF4XX),
    "CRC-CCITT-FALSE": checksum(Crc.CCITT_FALSE),
    "AIDEX-ADV": _aidex,
    "XIAOMI-181B": lenient_record(xiaomi.COMPOSITION, _xiaomi_composition),
    "XIAOMI-181D": lenient_record(xiaomi.WEIGHT, _xiaomi_weight),
    "PMD-CP": decode_polar.control_point,
    "PMD-DATA": decode_polar.data,
    "PMD-SETTINGS": decode_polar.settings,
    "PMD-DELTA": decode_polar.delta_samples,
}
"""By 16-bit UUID; formats, advertisements and Polar's own characteristics by name."""
