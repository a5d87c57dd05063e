"""The documents for the characteristics of a CGM sensor.

Contract: as for `forms`. A sensor tells in its feature which checksum it adds; whoever holds just a packet
says so in the arguments, or has it found.
"""

from typing import Any, Final

from protocols import cgm, cgm_control
from protocols.codec import Codec, RecordsCodec
from protocols.crc import FUNCTIONS, Crc
from protocols.date_time import DateTime
from protocols.errors import DecodeError
from tools.decode import checksums as decode_checksums
from tools.decode.forms import Args, Document, word
from tools.decode.names import document_of, named, plain

_ORDERS: Final = {
    None: cgm.OctetOrder.SPECIFICATION,
    "scw": cgm.OctetOrder.SPECIFICATION,
    "specification": cgm.OctetOrder.SPECIFICATION,
    "wcs": cgm.OctetOrder.REVERSED,
    "reversed": cgm.OctetOrder.REVERSED,
}
_ODDITIES: Final = "oddities"
_OCTET_NAMES: Final = ("status_octet", "cal_temp_octet", "warning_octet")


def measurement(payload: bytes, args: Args) -> Document:
    """CGM Measurement (2AA7): its records, and what is wrong with the rest."""
    order = _ORDERS[args.get("octet_order")]
    attempts = [_records(payload, order, crc) for crc in decode_checksums.kinds(args)]
    records, errors = max(attempts, key=lambda attempt: (len(attempt[0]), -len(attempt[1])))
    if not records:
        raise decode_checksums.most_telling([error for _, errors in attempts for error in errors])
    document: Document = {"records": records}
    oddities = [odd for record in records for odd in record.pop(_ODDITIES)]
    oddities += [f"{error.payload.hex()}: {error.reason}" for error in errors]
    if oddities:
        document["oddities"] = oddities
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
    return {
        "size": octets[0],
        "flags": flags,
        **document_of(reading),
        **sent,
        **decode_checksums.of(octets, crc),
        _ODDITIES: [oddity.complaint for oddity in codec.decode_lenient(octets)[1]],
    }


def feature(payload: bytes, args: Args) -> Document:
    """CGM Feature (2AA8); whether there is a checksum is for itself to say, which kind may be demanded."""
    feature = cgm.decode_feature(payload, strict=bool(args.get("strict")))
    body, sent = payload[:-2], word(payload[-2:])
    found = [kind for kind, checksum in FUNCTIONS.items() if checksum(body) == sent]
    used = found[0] if feature.has_crc else Crc.NONE
    demanded = [kind for kind in decode_checksums.kinds(args) if kind]
    if used and demanded and used not in demanded:
        raise DecodeError("CGM Feature", payload, f"the checksum is of kind {used.name.lower()}")
    # A sensor without checksums sends the word all the same.
    return document_of(feature) | decode_checksums.of(payload, used) | {"e2e_crc": sent}


def session_start(start: cgm.SessionStartTime) -> Document:
    """CGM Session Start Time (2AAA)."""
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


def control_point(payload: bytes, args: Args) -> Document:
    """CGM Specific Ops Control Point (2AAC): a response by its op code, else a request."""

    def decode(crc: Crc) -> Document:
        if payload[:1] and payload[0] in cgm_control.RESPONSE_OPS:
            response = cgm_control.decode_response(payload, crc=crc)
            return named("op_code", cgm_control.OpCode(payload[0])) | _operand(payload[0], response)
        request = cgm_control.decode_request(payload, crc=crc)
        head = named("op_code", request.op)
        if request.op in cgm_control.OpCode._value2member_map_:
            return head | _operand(request.op, cgm_control.operand(request))
        return head | {"operand": request.operand.hex()}

    crc, document = decode_checksums.first(args, decode)
    return {**document, **decode_checksums.of(payload, crc)}


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
