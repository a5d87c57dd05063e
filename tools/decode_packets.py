"""The document for a packet of each characteristic.

Contract: a decoder takes octets and arguments and returns plain values under standard names (`decode_names`),
or raises DecodeError; arguments that make no sense raise KeyError, TypeError or ValueError. A reading with
something odd about it comes with `oddities`.

Arguments: `crc` (auto, none, mcrf4xx, ccitt-false, or whether there is one), `octet_order` of a CGM's status
(scw as specified, or wcs), `rr_unit` of a strap (1/1024 s or ms), `strict`, and for Polar frames `factor`,
`channels` and `resolution`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from construct import ChecksumError

from protocols import (
    battery,
    blood_pressure,
    cgm,
    cgm_control,
    current_time,
    date_time,
    device_information,
    glucose_meter,
    health_sensor,
    heart_rate,
    medfloat,
    observation,
    polar,
    pulse_oximeter,
    racp,
    thermometer,
    weight_scale,
)
from protocols.codec import Codec, RecordsCodec
from protocols.crc import FUNCTIONS, Crc
from protocols.date_time import DateTime
from protocols.errors import DecodeError
from tools.decode_names import document_of, named, plain

Args = Mapping[str, Any]
Document = dict[str, Any]
Decoder = Callable[[bytes, Args], Document]

_ALL_CRCS: Final = (Crc.MCRF4XX, Crc.CCITT_FALSE, Crc.NONE)
CRCS: Final[Mapping[Any, tuple[Crc, ...]]] = {
    "auto": _ALL_CRCS,
    "none": (Crc.NONE,),
    "mcrf4xx": (Crc.MCRF4XX,),
    "ccitt-false": (Crc.CCITT_FALSE,),
    "ccitt_false": (Crc.CCITT_FALSE,),
    False: (Crc.NONE,),
    True: (Crc.MCRF4XX, Crc.CCITT_FALSE),
    None: _ALL_CRCS,
}
"""Which checksums a packet may have. A checksum that is right is no accident, so "none" is tried last."""
_ORDERS: Final = {
    None: cgm.OctetOrder.SPECIFICATION,
    "scw": cgm.OctetOrder.SPECIFICATION,
    "specification": cgm.OctetOrder.SPECIFICATION,
    "wcs": cgm.OctetOrder.REVERSED,
    "reversed": cgm.OctetOrder.REVERSED,
}
_OCTET_NAMES: Final = ("status_octet", "cal_temp_octet", "warning_octet")
_RR_IN_MS: Final = {None: False, "1024": False, "1/1024 s": False, "ticks": False, "ms": True}


def _strictly(codec: Codec[Any], field: str) -> Decoder:
    return lambda payload, _args: named(field, codec.decode(payload))


def _whole(codec: Codec[Any]) -> Decoder:
    return lambda payload, _args: document_of(codec.decode(payload))


def _leniently(codec: Codec[Any], more: Callable[[Any, Args], Document] | None = None) -> Decoder:
    """For readings: what comes before octets that are left over is worth having."""

    def decode(payload: bytes, args: Args) -> Document:
        reading, oddities = (
            (codec.decode(payload), ()) if args.get("strict") else codec.decode_lenient(payload)
        )
        document = document_of(reading) | (more(reading, args) if more else {})
        document["trailing_octets"] = sum(oddity.octets_left for oddity in oddities)
        if oddities:
            document["oddities"] = [oddity.complaint for oddity in oddities]
        return document

    return decode


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


def _crc_of(payload: bytes, crc: Crc) -> Document:
    sent = int.from_bytes(payload[-2:], "little") if crc else None
    return {"e2e_crc": sent, "e2e_crc_algorithm": crc.name.lower()}


def _protected(codecs: tuple[Codec[Any], ...], document: Callable[[Any], Document]) -> Decoder:
    def decode(payload: bytes, args: Args) -> Document:
        crc, value = _first(args, lambda kind: codecs[kind].decode(payload))
        return document(value) | _crc_of(payload, crc)

    return decode


def _first(args: Args, decode: Callable[[Crc], Any]) -> tuple[Crc, Any]:
    """The value by the first checksum under which there is one; of the errors, that of a wrong checksum."""
    errors: list[DecodeError] = []
    for crc in CRCS[args.get("crc")]:
        try:
            return crc, decode(crc)
        except DecodeError as error:
            errors.append(error)
    raise next((e for e in errors if isinstance(e.__cause__, ChecksumError)), errors[-1])


def _cgm_measurement(payload: bytes, args: Args) -> Document:
    order = _ORDERS[args.get("octet_order")]
    attempts = [_records(payload, order, crc) for crc in CRCS[args.get("crc")]]
    records, errors = max(attempts, key=lambda attempt: (len(attempt[0]), -len(attempt[1])))
    if not records:
        failed = [error for _, errors in attempts for error in errors]
        raise next((e for e in failed if isinstance(e.__cause__, ChecksumError)), failed[-1])
    document: Document = {"records": records}
    if errors:
        document["oddities"] = [f"{error.payload.hex()}: {error.reason}" for error in errors]
    return document


def _records(payload: bytes, order: cgm.OctetOrder, crc: Crc) -> tuple[list[Document], list[DecodeError]]:
    codec: RecordsCodec[Any] = cgm.MEASUREMENT[order][crc]
    return codec.decode_all(payload, lambda octets: _record(octets, codec, crc))


def _record(octets: bytes, codec: Codec[Any], crc: Crc) -> Document:
    reading = codec.decode(octets)
    flags = octets[1]
    sent = {
        name: reading.status >> shift & 0xFF if flags & flag else None
        for name, (flag, shift) in zip(_OCTET_NAMES, cgm.STATUS_OCTETS, strict=True)
    }
    return {"size": octets[0], "flags": flags, **document_of(reading), **sent, **_crc_of(octets, crc)}


def _cgm_feature(payload: bytes, args: Args) -> Document:
    feature = cgm.decode_feature(payload, strict=bool(args.get("strict")))
    kinds = [kind for kind, checksum in FUNCTIONS.items() if checksum(payload[:-2]) == _word(payload[-2:])]
    used = kinds[0] if feature.has_crc else Crc.NONE
    if used and args.get("crc") and used not in CRCS[args["crc"]]:
        raise DecodeError("CGM Feature", payload, f"the checksum is of kind {used.name.lower()}")
    # A sensor without checksums sends the word all the same.
    return document_of(feature) | _crc_of(payload, used) | {"e2e_crc": _word(payload[-2:])}


def _word(octets: bytes) -> int:
    return int.from_bytes(octets, "little")


def _session_start(start: cgm.SessionStartTime) -> Document:
    zone, dst = start.time_zone_quarters, start.dst
    local = DateTime(start.year, start.month, start.day, start.hours, start.minutes, start.seconds)
    return {
        "session_start_time": str(local),
        "time_zone": -128 if zone is None else zone,
        "time_zone_min": None if zone is None else 15 * zone,
        "dst_offset": 255 if dst is None else dst,
        "dst_offset_min": None if dst is None else 15 * dst,
        "utc_s": start.utc_seconds(),
    }


def _cgm_control(payload: bytes, args: Args) -> Document:
    def decode(crc: Crc) -> Document:
        if payload[:1] and payload[0] in cgm_control.RESPONSE_OPS:
            response = cgm_control.decode_response(payload, crc=crc)
            return named("op_code", cgm_control.OpCode(payload[0])) | _operand(payload[0], response)
        request = cgm_control.decode_request(payload, crc=crc)
        head = named("op_code", request.op)
        if request.op in cgm_control.OpCode._value2member_map_:
            return head | _operand(request.op, cgm_control.operand(request))
        return head | {"operand": request.operand.hex()}

    crc, document = _first(args, decode)
    return {**document, **_crc_of(payload, crc)}


def _operand(op: int, value: Any) -> Document:
    """What an operation sets or a response tells, under the name of what it is."""
    match value:
        case None:
            return {}
        case cgm_control.Calibration() | cgm_control.IntervalResponse() | cgm_control.ResponseCode():
            return document_of(value)
        case cgm_control.CalibrationResponse(calibration):
            return document_of(calibration)
    kind = cgm_control.OpCode(op).name.lower().removeprefix("set_").removesuffix("_response")
    if op == cgm_control.OpCode.GET_CALIBRATION:
        return {"calibration_data_record_number": value}
    if op == cgm_control.OpCode.SET_COMMUNICATION_INTERVAL:
        return {"communication_interval_min": value}
    level = getattr(value, "level_mg_dl", getattr(value, "rate_mg_dl_min", value))
    unit = "mg_dl_min" if kind.startswith("rate") else "mg_dl"
    return {f"{kind}_alert_level_{unit}": plain(level)}


def _racp(payload: bytes, _args: Args) -> Document:
    if payload[:1] and payload[0] in racp.RESPONSE_OPS:
        response = racp.decode_response(payload)
        return named("op_code", racp.OpCode(payload[0])) | {"operator": payload[1]} | document_of(response)
    request = racp.decode_request(payload)
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


def _plx_features(payload: bytes, args: Args) -> Document:
    supported = pulse_oximeter.Feature(_word(payload[:2]))
    try:
        document = document_of(pulse_oximeter.FEATURES.decode(payload))
    except DecodeError as error:
        # There are sensors that announce what they support of each status, and do not send it.
        if len(payload) != 2 or args.get("strict"):
            raise
        document = document_of(pulse_oximeter.Features(supported)) | {"oddities": [error.reason]}
    return document | named("supported_features", supported)


def _medfloat(octets: int, decode: Callable[[int], Any]) -> Decoder:
    def value(payload: bytes, _args: Args) -> Document:
        if len(payload) != octets:
            raise DecodeError("medical float", payload, f"{len(payload)} octets instead of {octets}")
        return {"value": plain(decode(_word(payload)))}

    return value


def _checksum(kind: Crc) -> Decoder:
    return lambda payload, _args: {"crc": FUNCTIONS[kind](payload)}


def _pmd_control(payload: bytes, _args: Args) -> Document:
    marker = payload[:1]
    if marker == bytes([polar.Message.FEATURES]):
        features = polar.decode_features(payload)
        measurable = [kind for kind in polar.MeasurementType if features.supports(kind)]
        return document_of(features) | {"measurements": [kind.name.lower() for kind in measurable]}
    if marker != bytes([polar.Message.RESPONSE]):
        request = polar.REQUEST.decode(payload)
        return document_of(request) | _settings(request.op == polar.OpCode.START, request.parameters)
    response = polar.decode_response(payload)
    has_settings = response.op in (
        polar.OpCode.GET_SETTINGS,
        polar.OpCode.GET_SDK_MODE_SETTINGS,
        polar.OpCode.START,
    )
    return document_of(response) | _settings(has_settings, response.parameters)


def _settings(there: bool, parameters: bytes) -> Document:
    return {"settings": plain(polar.decode_settings(parameters))} if there else {}


def _pmd_data(payload: bytes, args: Args) -> Document:
    from protocols import polar_samples

    frame = polar.FRAME.decode(payload)
    samples = plain(polar_samples.samples(frame).tolist())
    document = document_of(frame) | {
        "timestamp_unix_ns": polar.POLAR_EPOCH_UTC_NS + frame.timestamp_ns,
        "sample_count": len(samples),
        "samples": samples,
    }
    if "factor" in args:
        document["scaled"] = plain(polar_samples.scaled(frame, float(args["factor"])).tolist())
    return document


def _pmd_delta(payload: bytes, args: Args) -> Document:
    from protocols import polar_samples

    channels, bits = int(args["channels"]), int(args["resolution"])
    if not (1 <= channels <= 64 and 1 <= bits <= 32):
        raise ValueError("channels are 1 to 64, resolution 1 to 32 bits")
    samples = polar_samples.delta_samples(payload, channels, -(-bits // 8)).tolist()
    if not samples:
        raise DecodeError("PMD delta frame", payload, "not a first sample and whole blocks")
    document: Document = {"sample_count": len(samples), "samples": samples}
    if "factor" in args:
        factor = float(args["factor"])
        document["scaled"] = plain([[count * factor for count in sample] for sample in samples])
    return document


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
    "2A08": _strictly(date_time.DATE_TIME_VALUE, "date_time"),
    "2A18": _leniently(glucose_meter.MEASUREMENT, _meter),
    "2A19": _strictly(battery.LEVEL, "battery_level_pct"),
    "2A1C": _leniently(thermometer.MEASUREMENT),
    "2A1D": _strictly(thermometer.TYPE, "temperature_type"),
    "2A1E": _leniently(thermometer.MEASUREMENT),
    "2A23": _whole(device_information.SYSTEM_ID),
    **{f"2A{number:02X}": _strictly(device_information.STRING, "text") for number in range(0x24, 0x2A)},
    "2A2B": _leniently(current_time.CURRENT_TIME),
    "2A34": _leniently(glucose_meter.CONTEXT),
    "2A35": _leniently(blood_pressure.MEASUREMENT),
    "2A36": _leniently(blood_pressure.MEASUREMENT),
    "2A37": _leniently(heart_rate.MEASUREMENT, _heart),
    "2A38": _strictly(heart_rate.LOCATION, "body_sensor_location"),
    "2A39": _strictly(heart_rate.CONTROL_POINT, "heart_rate_control_point"),
    "2A49": _strictly(blood_pressure.FEATURE, "blood_pressure_feature"),
    "2A50": _whole(device_information.PNP_ID),
    "2A51": _strictly(glucose_meter.FEATURE, "glucose_feature"),
    "2A52": _racp,
    "2A5E": _leniently(pulse_oximeter.SPOT_CHECK),
    "2A5F": _leniently(pulse_oximeter.CONTINUOUS),
    "2A60": _plx_features,
    "2A9D": _leniently(weight_scale.MEASUREMENT, _scale),
    "2AA7": _cgm_measurement,
    "2AA8": _cgm_feature,
    "2AA9": _protected(cgm.STATUS, document_of),
    "2AAA": _protected(cgm.SESSION_START_TIME, _session_start),
    "2AAB": _protected(cgm.SESSION_RUN_TIME, lambda hours: {"cgm_session_run_time_h": hours}),
    "2AAC": _cgm_control,
    "2B8B": _observations(observation.decode),
    "2BDD": _observations(observation.decode_stored),
    "2BF1": _whole(health_sensor.SCHEDULE),
    "2BF3": lambda payload, _args: document_of(health_sensor.decode_features(payload)),
    "2BF4": _strictly(health_sensor.CONTROL_POINT, "ghs_control_point"),
    "2BF2": _elapsed_time,
    "SFLOAT": _medfloat(2, medfloat.decode_sfloat),
    "FLOAT": _medfloat(4, medfloat.decode_float),
    "DATETIME": _strictly(date_time.DATE_TIME_VALUE, "date_time"),
    "E2E-CRC": _checksum(Crc.MCRF4XX),
    "CRC-CCITT-FALSE": _checksum(Crc.CCITT_FALSE),
    "PMD-CP": _pmd_control,
    "PMD-DATA": _pmd_data,
    "PMD-SETTINGS": lambda payload, _args: plain(polar.decode_settings(payload)),
    "PMD-DELTA": _pmd_delta,
}
"""By 16-bit UUID; formats and Polar's own characteristics by name."""
