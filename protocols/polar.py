"""Polar Measurement Data (PMD): features, control point, data frames.

Contract: messages as sent; what the content of a frame means is in `polar_samples`, procedures are in
`polar_procedure`. A time stamp is that of a frame's last sample.

Source: Polar Measurement Data Specification 1.0 and the public Polar BLE SDK; where they differ, the SDK,
which devices are tested with.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from struct import unpack
from typing import Final, TypeAlias

from construct import GreedyBytes, Int8ul, Int64ul

from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.mappings import Coded
from protocols.schema import Flagged, Packed, Record, Word

POLAR_EPOCH_UTC_NS: Final = 946_684_800 * 10**9
"""Time stamps count from 2000-01-01."""


class MeasurementType(IntEnum):
    """What is measured."""

    ECG = 0
    PPG = 1
    ACCELERATION = 2
    PULSE_INTERVAL = 3
    GYROSCOPE = 5
    MAGNETOMETER = 6
    SKIN_TEMPERATURE = 7
    SDK_MODE = 9
    LOCATION = 10
    PRESSURE = 11
    TEMPERATURE = 12
    OFFLINE_RECORDING = 13
    OFFLINE_HEART_RATE = 14


class OpCode(IntEnum):
    """Operations of the control point."""

    GET_SETTINGS = 1
    START = 2
    STOP = 3
    GET_SDK_MODE_SETTINGS = 4
    GET_STATUS = 5
    GET_SDK_MODE_STATUS = 6
    GET_OFFLINE_TRIGGER_STATUS = 7
    SET_OFFLINE_TRIGGER_MODE = 8
    SET_OFFLINE_TRIGGER_SETTINGS = 9


class Status(IntEnum):
    """How a request ended."""

    SUCCESS = 0
    INVALID_OP_CODE = 1
    INVALID_MEASUREMENT_TYPE = 2
    NOT_SUPPORTED = 3
    INVALID_LENGTH = 4
    INVALID_PARAMETER = 5
    ALREADY_IN_STATE = 6
    INVALID_RESOLUTION = 7
    INVALID_SAMPLE_RATE = 8
    INVALID_RANGE = 9
    INVALID_MTU = 10
    INVALID_NUMBER_OF_CHANNELS = 11
    INVALID_STATE = 12
    DEVICE_IN_CHARGER = 13
    DISK_FULL = 14


class Setting(IntEnum):
    """Kinds of settings."""

    SAMPLE_RATE_HZ = 0
    RESOLUTION_BITS = 1
    RANGE = 2
    RANGE_MILLI = 3
    CHANNELS = 4
    FACTOR = 5
    SECURITY = 6


class Message(IntEnum):
    """First octet of what the control point sends."""

    STREAM_STOPPED = 0x01
    FEATURES = 0x0F
    RESPONSE = 0xF0


Settings: TypeAlias = dict[int, tuple[int | float | bytes, ...]]
"""Values by `Setting`."""

SETTING_OCTETS: Final[Mapping[int, int]] = {
    Setting.SAMPLE_RATE_HZ: 2,
    Setting.RESOLUTION_BITS: 2,
    Setting.RANGE: 2,
    Setting.RANGE_MILLI: 4,
    Setting.CHANNELS: 1,
    Setting.FACTOR: 4,
    Setting.SECURITY: 16,
}


@dataclass(frozen=True, slots=True)
class Features:
    """What a device can do; each octet holds the bits of eight measurement types."""

    marker: int
    octets: bytes

    def supports(self, measurement: int) -> bool:
        """Whether the bit of a measurement type is set."""
        index, bit = divmod(measurement, 8)
        return index < len(self.octets) and bool(self.octets[index] >> bit & 1)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client writes; `parameters` are settings where there are any."""

    op: int
    measurement: int
    offline: bool = False
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What the control point indicates.

    Attributes:
        more: whether the parameters go on in the next one; 0 with any status but success.
    """

    marker: int
    op: int
    measurement: int
    status: int
    more: int = 0
    parameters: bytes = b""
    offline: bool = False


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """What the control point says of itself when it has stopped: an octet for each measurement type."""

    marker: int
    measurements: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """A notification of data: `content` by measurement, frame type, and whether it is delta-compressed."""

    measurement: int
    timestamp_ns: int
    frame_type: int
    compressed: bool
    content: bytes


class _ArgumentFlag(IntFlag):
    OFFLINE = 1 << 7


class _FormatFlag(IntFlag):
    COMPRESSED = 1 << 7


#   0F BB BB ...     bits 0 ECG, 1 PPG, 2 acceleration, 3 pulse interval, 5 gyroscope, 6 magnetometer ...
#   0f 05            an H10: ECG and acceleration
FEATURES: Final = Codec[Features](
    "PMD Features", Record(Features, "marker" / Coded(Int8ul, Message), "octets" / GreedyBytes)
)

#   OP MT [settings]
#   02 00 00 01 82 00 01 01 0e 00     start ECG at 130 Hz with 14 bits
REQUEST: Final = Codec[Request](
    "PMD Control Point",
    Record(
        Request,
        "op" / Coded(Int8ul, OpCode),
        "argument" / Word(Int8ul),
        "measurement" / Packed("argument", 0, 7, MeasurementType),
        "offline" / Flagged(_ArgumentFlag.OFFLINE, word="argument"),
        "parameters" / GreedyBytes,
    ),
)

#   F0 OP MT ST [MO parameters]
#   f0 01 00 00 00 00 01 82 00 01 01 0e 00     ECG: 130 Hz, 14 bits
_RESPONSE_HEAD: Final = Codec[Response](
    "PMD Control Point",
    Record(
        Response,
        "marker" / Coded(Int8ul, Message),
        "op" / Coded(Int8ul, OpCode),
        "argument" / Word(Int8ul),
        "measurement" / Packed("argument", 0, 7, MeasurementType),
        "status" / Coded(Int8ul, Status),
        "more" / Int8ul,
        "parameters" / GreedyBytes,
        "offline" / Flagged(_ArgumentFlag.OFFLINE, word="argument"),
    ),
)

#   01 MT MT ...
#   01 01 02         PPG and acceleration were stopped
STREAM_STOPPED: Final = Codec[StreamStopped](
    "PMD Control Point",
    Record(StreamStopped, "marker" / Coded(Int8ul, Message), "measurements" / GreedyBytes),
)

#   MT TT TT TT TT TT TT TT TT FT content
#   00 e8 03 00 00 00 00 00 00 00 d2 04 00 c9 fd ff     ECG: 1234 and -567 microvolts
FRAME: Final = Codec[Frame](
    "PMD Data",
    Record(
        Frame,
        "kind" / Word(Int8ul),
        "measurement" / Packed("kind", 0, 6, MeasurementType),
        "timestamp_ns" / Int64ul,
        "format" / Word(Int8ul),
        "frame_type" / Packed("format", 0, 7),
        "compressed" / Flagged(_FormatFlag.COMPRESSED, word="format"),
        "content" / GreedyBytes,
    ),
)


def decode_response(payload: bytes) -> Response:
    """What the control point indicated.

    Raises:
        DecodeError: no response.
    """
    # A refusal may end after its status.
    response = _RESPONSE_HEAD.decode(payload + b"\0" if len(payload) == 4 else payload)
    if response.marker != Message.RESPONSE:
        raise DecodeError("PMD Control Point", payload, "not a response")
    return response if response.status == Status.SUCCESS else replace(response, more=0)


def decode_features(payload: bytes) -> Features:
    """The value read from the control point.

    Raises:
        DecodeError: something else.
    """
    features = FEATURES.decode(payload)
    if features.marker != Message.FEATURES:
        raise DecodeError("PMD Features", payload, "does not begin with 0f")
    return features


def encode_settings(settings: Mapping[int, int]) -> bytes:
    """One chosen value of each kind, as the parameters of a start request.

    Raises:
        ValueError: a kind that is not a plain integer, or a value that does not fit.
    """
    parameters = b""
    for kind, value in settings.items():
        octets = SETTING_OCTETS.get(kind)
        if octets is None or kind in (Setting.FACTOR, Setting.SECURITY) or not 0 <= value < 1 << 8 * octets:
            raise ValueError(f"{value!r} cannot be set for {kind!r}.")
        parameters += bytes([kind, 1]) + value.to_bytes(octets, "little")
    return parameters


def decode_settings(parameters: bytes) -> Settings:
    """All offered values of each kind, from the parameters of a response.

    Raises:
        DecodeError: an unknown kind, whose width nobody knows, too few octets, or a factor that is none.
    """
    settings, reason = read_settings(parameters)
    if reason is not None:
        raise DecodeError("PMD settings", parameters, reason)
    return settings


def read_settings(parameters: bytes) -> tuple[Settings, str | None]:
    """The settings up to the first that cannot be read, and why that cannot; None: all were read."""
    settings: Settings = {}
    rest = parameters
    while rest:
        octets = SETTING_OCTETS.get(rest[0])
        if octets is None or len(rest) < 2:
            return settings, f"kind {rest[0]:#04x} without a known width"
        kind, end = Setting(rest[0]), 2 + rest[1] * octets
        if len(rest) < end:
            return settings, "too few octets"
        values = tuple(_setting(kind, rest[i : i + octets]) for i in range(2, end, octets))
        if kind is Setting.FACTOR and not all(map(is_factor, values)):
            return settings, f"factor {values[0]!r}"
        settings[kind] = values
        rest = rest[end:]
    return settings, None


def is_factor(value: object) -> bool:
    """Whether samples can be multiplied by it: above 0 and finite."""
    return isinstance(value, float) and 0.0 < value < math.inf


def _setting(kind: Setting, value: bytes) -> int | float | bytes:
    if kind is Setting.SECURITY:
        return value
    if kind is Setting.FACTOR:
        (factor,) = unpack("<f", value)
        return float(factor)
    return int.from_bytes(value, "little", signed=kind is Setting.RANGE_MILLI)


def sample_times_ns(
    timestamp_ns: int, count: int, *, previous_ns: int | None = None, rate_hz: float | None = None
) -> list[int]:
    """When each sample of a frame was taken, on the device's clock.

    Args:
        timestamp_ns: of the frame, which is that of its last sample.
        count: samples in it.
        previous_ns: time stamp of the frame before, from which the step follows. If it is not before this one, the
            device has set its clock back, and a new chain begins: it counts for nothing.
        rate_hz: gives the step where there is no frame before; without either, all have the frame's time.
    """
    if previous_ns is not None and previous_ns < timestamp_ns and count:
        step_ns = (timestamp_ns - previous_ns) / count
    else:
        step_ns = 1e9 / rate_hz if rate_hz else 0.0
    return [timestamp_ns - round((count - 1 - i) * step_ns) for i in range(count)]
