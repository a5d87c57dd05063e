"""`vitalgate decode`: what a packet says, for the technician who has one in hand.

Contract: every answer is a document of plain values: fields by the names they have in `protocols`, codes as
numbers with their names beside them, special medical floats as the specification prints them. Whatever cannot
be decoded is `{"error": reason}`; nothing a packet says raises.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, IntEnum, IntFlag
from typing import Any, Final

from construct import ChecksumError

from protocols import (
    battery,
    blood_pressure,
    cgm,
    cgm_control,
    current_time,
    device_information,
    glucose_meter,
    health_sensor,
    heart_rate,
    medfloat,
    polar,
    pulse_oximeter,
    racp,
    thermometer,
    weight_scale,
)
from protocols.codec import Codec
from protocols.crc import FUNCTIONS, Crc
from protocols.errors import DecodeError
from protocols.medfloat import Special

Args = Mapping[str, Any]
Decoded = tuple[Any, tuple[str, ...]]

_BASE_TAIL: Final = "-0000-1000-8000-00805f9b34fb"
_POLAR: Final = {
    "fb005c81-02e7-f387-1cad-8acd2d8df0c8": "PMD-CP",
    "fb005c82-02e7-f387-1cad-8acd2d8df0c8": "PMD-DATA",
}
_SPECIAL_NAMES: Final = {
    Special.NAN: "NaN",
    Special.NRES: "NRes",
    Special.POSITIVE_INFINITY: "+INF",
    Special.NEGATIVE_INFINITY: "-INF",
    Special.RESERVED: "RFU",
}
CRCS: Final[Mapping[Any, tuple[Crc, ...]]] = {
    "auto": (Crc.MCRF4XX, Crc.CCITT_FALSE, Crc.NONE),
    "none": (Crc.NONE,),
    "mcrf4xx": (Crc.MCRF4XX,),
    "ccitt-false": (Crc.CCITT_FALSE,),
    "ccitt_false": (Crc.CCITT_FALSE,),
    False: (Crc.NONE,),
    True: (Crc.MCRF4XX, Crc.CCITT_FALSE),
    None: (Crc.MCRF4XX, Crc.CCITT_FALSE, Crc.NONE),
}
"""Which checksums a packet may have. A checksum that is right is no accident, so "none" is tried last."""


def answer(characteristic: str, hexadecimal: str, args: Args | None = None) -> dict[str, Any]:
    """The document for a packet."""
    name = short_name(characteristic)
    decoder = DECODERS.get(name)
    if decoder is None:
        return {"characteristic": name, "error": f"characteristic {characteristic} is not known here"}
    try:
        payload = bytes.fromhex(hexadecimal)
    except ValueError:
        return {"characteristic": name, "error": f"{hexadecimal!r} is not hexadecimal"}
    try:
        value, oddities = decoder(payload, args or {})
    except DecodeError as error:
        return {"characteristic": name, "error": error.reason}
    except (KeyError, TypeError, ValueError) as error:
        return {"characteristic": name, "error": f"the arguments {args} make no sense here: {error}"}
    document = plain(value)
    if not isinstance(document, dict):
        document = {"value": document}
    if oddities:
        document["oddities"] = list(oddities)
    return {"characteristic": name, **document}


def answer_line(line: str) -> dict[str, Any]:
    """The document for a line of `--jsonl`: an object with characteristic, hex and perhaps args."""
    try:
        request = json.loads(line)
        characteristic, hexadecimal = str(request["characteristic"]), str(request["hex"])
        args = request.get("args") or {}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {"error": 'not an object like {"characteristic": "2A37", "hex": "0048", "args": {}}'}
    if not isinstance(args, dict):
        return {"error": "args is not an object"}
    return answer(characteristic, hexadecimal, args)


def answers(lines: Iterable[str]) -> Iterator[str]:
    """A line of JSON for each line that is not empty."""
    for line in lines:
        if line.strip():
            yield json.dumps(answer_line(line), ensure_ascii=False, allow_nan=False)


def show(document: dict[str, Any]) -> None:
    """A field a line."""
    for line in lines(document):
        print(line)


def lines(document: dict[str, Any], indent: str = "") -> Iterator[str]:
    """The lines of a document; what is inside a field one step in."""
    for name, value in document.items():
        items = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for item in items:
            if isinstance(item, dict):
                yield f"{indent}{name}:"
                yield from lines(item, indent + "  ")
            else:
                yield f"{indent}{name}: {'-' if item is None else item}"


def short_name(characteristic: str) -> str:
    """16 bits of a UUID in upper case where that names it, else the name it is known by here."""
    name = characteristic.strip().lower()
    if name in _POLAR:
        return _POLAR[name]
    if name.endswith(_BASE_TAIL) and name.startswith("0000"):
        name = name[4:8]
    return name.removeprefix("0x").upper()


def plain(value: Any) -> Any:
    """A reading as values JSON has."""
    if isinstance(value, Special):
        return _SPECIAL_NAMES[value]
    if isinstance(value, IntFlag | IntEnum):
        return int(value)
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, dict):
        return {str(_key(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _key(key: Any) -> Any:
    return key.name.lower() if isinstance(key, Enum) else key


def _plain_fields(reading: Any) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field in fields(reading):
        value = getattr(reading, field.name)
        document[field.name] = plain(value)
        if isinstance(value, IntFlag):
            document[f"{field.name}_names"] = [
                str(flag.name).lower() for flag in type(value) if flag in value
            ]
        elif isinstance(value, IntEnum):
            document[f"{field.name}_name"] = value.name.lower()
    return document


Decoder = Callable[[bytes, Args], Decoded]


def _strictly(codec: Codec[Any], field: str | None = None) -> Decoder:
    def decode(payload: bytes, _args: Args) -> Decoded:
        value = codec.decode(payload)
        return (value if field is None else {field: value}), ()

    return decode


def _leniently(codec: Codec[Any]) -> Decoder:
    """For readings: what comes before octets that are left over is worth having."""

    def decode(payload: bytes, args: Args) -> Decoded:
        return (codec.decode(payload), ()) if args.get("strict") else codec.decode_lenient(payload)

    return decode


def _protected(codecs: tuple[Codec[Any], ...], field: str | None = None) -> Decoder:
    def decode(payload: bytes, args: Args) -> Decoded:
        crc, value = _first(args, lambda kind: codecs[kind].decode(payload))
        document = plain(value) if field is None else {field: plain(value)}
        return {**document, "crc": crc.name.lower()}, ()

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


def _cgm_measurement(payload: bytes, args: Args) -> Decoded:
    order = cgm.OctetOrder.REVERSED if args.get("octet_order") == "reversed" else cgm.OctetOrder.SPECIFICATION
    attempts = [
        (crc, *cgm.decode_measurements(payload, crc=crc, octet_order=order)) for crc in CRCS[args.get("crc")]
    ]
    crc, readings, errors = max(attempts, key=lambda attempt: (len(attempt[1]), -len(attempt[2])))
    if not readings:
        failed = [error for _, _, errors in attempts for error in errors]
        raise next((e for e in failed if isinstance(e.__cause__, ChecksumError)), failed[-1])
    oddities = tuple(f"{error.payload.hex()}: {error.reason}" for error in errors)
    return {"records": [plain(reading) for reading in readings], "crc": crc.name.lower()}, oddities


def _cgm_feature(payload: bytes, args: Args) -> Decoded:
    feature = cgm.decode_feature(payload, strict=bool(args.get("strict")))
    return {**plain(feature), "crc": int.from_bytes(payload[-2:], "little")}, ()


def _cgm_control(payload: bytes, args: Args) -> Decoded:
    is_response = payload[:1] and payload[0] in cgm_control.RESPONSE_OPS
    codecs = cgm_control.RESPONSE if is_response else cgm_control.REQUEST

    def decode(crc: Crc) -> Any:
        message = codecs[crc].decode(payload)
        if not isinstance(message, cgm_control.Request):
            return {"op": payload[0], **plain(message)}
        document = plain(message)
        if message.op in cgm_control.OpCode._value2member_map_:
            document["operand"] = plain(cgm_control.operand(message))
        return document

    crc, document = _first(args, decode)
    return {**document, "crc": crc.name.lower()}, ()


def _racp(payload: bytes, _args: Args) -> Decoded:
    if payload[:1] and payload[0] in (racp.OpCode.NUMBER_RESPONSE, racp.OpCode.RESPONSE_CODE):
        response = racp.decode_response(payload)
        return {"op": payload[0], "operator": payload[1], **plain(response)}, ()
    request = racp.decode_request(payload)
    document = plain(request)
    if request.operand and request.operand[0] == racp.Filter.TIME_OFFSET:
        document["operand"] = plain(racp.OPERAND.decode(request.operand))
    return document, ()


def _medfloat(octets: int, decode: Callable[[int], Any]) -> Decoder:
    def value(payload: bytes, _args: Args) -> Decoded:
        if len(payload) != octets:
            raise DecodeError("medical float", payload, f"{len(payload)} octets instead of {octets}")
        return {"value": plain(decode(int.from_bytes(payload, "little")))}, ()

    return value


def _checksum(kind: Crc) -> Decoder:
    return lambda payload, _args: ({"crc": FUNCTIONS[kind](payload)}, ())


def _pmd_control(payload: bytes, _args: Args) -> Decoded:
    marker = payload[:1]
    if marker == bytes([polar.Message.FEATURES]):
        features = polar.decode_features(payload)
        measurable = [kind for kind in polar.MeasurementType if features.supports(kind)]
        return {**plain(features), "measurements": [kind.name.lower() for kind in measurable]}, ()
    if marker != bytes([polar.Message.RESPONSE]):
        return polar.REQUEST.decode(payload), ()
    response = polar.decode_response(payload)
    document = plain(response)
    if response.op in (polar.OpCode.GET_SETTINGS, polar.OpCode.GET_SDK_MODE_SETTINGS, polar.OpCode.START):
        document["settings"] = plain(polar.decode_settings(response.parameters))
    return document, ()


def _pmd_data(payload: bytes, args: Args) -> Decoded:
    from protocols import polar_samples

    frame = polar.FRAME.decode(payload)
    document = plain(frame) | {"samples": polar_samples.samples(frame).tolist()}
    if "factor" in args:
        document["scaled"] = polar_samples.scaled(frame, float(args["factor"])).tolist()
    return document, ()


def _pmd_delta(payload: bytes, args: Args) -> Decoded:
    from protocols import polar_samples

    channels, bits = int(args["channels"]), int(args["resolution"])
    if not (1 <= channels <= 64 and 1 <= bits <= 32):
        raise ValueError("channels are 1 to 64, resolution 1 to 32 bits")
    samples = polar_samples.delta_samples(payload, channels, -(-bits // 8))
    if not len(samples):
        raise DecodeError("PMD delta frame", payload, "not a first sample and whole blocks")
    return {"samples": samples.tolist()}, ()


DECODERS: Final[Mapping[str, Decoder]] = {
    "2A18": _leniently(glucose_meter.MEASUREMENT),
    "2A19": _strictly(battery.LEVEL, "level_pct"),
    "2A1C": _leniently(thermometer.MEASUREMENT),
    "2A1D": _strictly(thermometer.TYPE, "temperature_type"),
    "2A1E": _leniently(thermometer.MEASUREMENT),
    "2A23": _strictly(device_information.SYSTEM_ID),
    **{f"2A{number:02X}": _strictly(device_information.STRING, "text") for number in range(0x24, 0x2A)},
    "2A2B": _leniently(current_time.CURRENT_TIME),
    "2A34": _leniently(glucose_meter.CONTEXT),
    "2A35": _leniently(blood_pressure.MEASUREMENT),
    "2A36": _leniently(blood_pressure.MEASUREMENT),
    "2A37": _leniently(heart_rate.MEASUREMENT),
    "2A38": _strictly(heart_rate.LOCATION, "location"),
    "2A39": _strictly(heart_rate.CONTROL_POINT, "control"),
    "2A49": _strictly(blood_pressure.FEATURE, "features"),
    "2A50": _strictly(device_information.PNP_ID),
    "2A51": _strictly(glucose_meter.FEATURE, "features"),
    "2A52": _racp,
    "2A5E": _leniently(pulse_oximeter.SPOT_CHECK),
    "2A5F": _leniently(pulse_oximeter.CONTINUOUS),
    "2A60": _strictly(pulse_oximeter.FEATURES),
    "2A9D": _leniently(weight_scale.MEASUREMENT),
    "2AA7": _cgm_measurement,
    "2AA8": _cgm_feature,
    "2AA9": _protected(cgm.STATUS),
    "2AAA": _protected(cgm.SESSION_START_TIME),
    "2AAB": _protected(cgm.SESSION_RUN_TIME, "run_time_h"),
    "2AAC": _cgm_control,
    "2BF2": _strictly(health_sensor.CURRENT_ELAPSED_TIME),
    "SFLOAT": _medfloat(2, medfloat.decode_sfloat),
    "FLOAT": _medfloat(4, medfloat.decode_float),
    "E2E-CRC": _checksum(Crc.MCRF4XX),
    "CRC-CCITT-FALSE": _checksum(Crc.CCITT_FALSE),
    "PMD-CP": _pmd_control,
    "PMD-DATA": _pmd_data,
    "PMD-SETTINGS": lambda payload, _args: (polar.decode_settings(payload), ()),
    "PMD-DELTA": _pmd_delta,
}
"""By 16-bit UUID; formats and Polar's own characteristics by name."""
