"""The documents for Polar's characteristics and formats.

Contract: as for `forms`. A frame of a kind not known here is an error, with what its head says beside it.
"""

from collections.abc import Iterable

from protocols import polar
from protocols.errors import DecodeError
from protocols.polar import Message, OpCode, Status
from tools.decode.forms import Args, Document
from tools.decode.names import document_of, named, plain

_ANSWERED_WITH_SETTINGS = (OpCode.GET_SETTINGS, OpCode.GET_SDK_MODE_SETTINGS, OpCode.START)


def control_point(payload: bytes, _args: Args) -> Document:
    """PMD Control Point: features, a response, streams stopped by the device, or a request."""
    marker = payload[0] if payload else None
    if marker == Message.FEATURES:
        features = polar.decode_features(payload)
        return document_of(features) | _measurements(filter(features.supports, polar.MeasurementType))
    if marker == Message.RESPONSE:
        response = polar.decode_response(payload)
        is_whole = response.status == Status.SUCCESS and not response.more
        has_settings = is_whole and response.op in _ANSWERED_WITH_SETTINGS
        return document_of(response) | (_settings(response.parameters) if has_settings else {})
    # A request for settings begins with the same octet and names one measurement.
    if marker == Message.STREAM_STOPPED and len(payload) != 2:
        stopped = polar.STREAM_STOPPED.decode(payload)
        return named("marker", stopped.marker) | _measurements(stopped.measurements)
    request = polar.REQUEST.decode(payload)
    return document_of(request) | (_settings(request.parameters) if request.op == OpCode.START else {})


def _measurements(kinds: Iterable[int]) -> Document:
    known = polar.MeasurementType._value2member_map_
    return {
        "measurements": [
            polar.MeasurementType(kind).name.lower() if kind in known else kind for kind in kinds
        ]
    }


def _settings(parameters: bytes) -> Document:
    try:
        return {"settings": settings(parameters, {})}
    except DecodeError as error:
        return {"oddities": [f"parameters: {error.reason}"]}


def settings(payload: bytes, _args: Args) -> Document:
    """Settings, by their kind."""
    return dict(plain(polar.decode_settings(payload)))


def data(payload: bytes, args: Args) -> Document:
    """PMD Data: a frame and its samples."""
    from protocols import polar_samples

    frame = polar.FRAME.decode(payload)
    head = document_of(frame) | {"timestamp_unix_ns": polar.POLAR_EPOCH_UTC_NS + frame.timestamp_ns}
    try:
        samples = plain(polar_samples.samples(frame).tolist())
    except DecodeError as error:
        return head | {"error": error.reason}
    document = head | {"sample_count": len(samples), "samples": samples}
    if "factor" in args:
        document["scaled"] = plain(polar_samples.scaled(frame, float(args["factor"])).tolist())
    return document


def delta_samples(payload: bytes, args: Args) -> Document:
    """The content of a delta-compressed frame, with its `channels` and `resolution` in the arguments."""
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
        if not polar.is_factor(factor):
            raise ValueError("a factor is above 0 and finite")
        document["scaled"] = plain([[count * factor for count in sample] for sample in samples])
    return document
