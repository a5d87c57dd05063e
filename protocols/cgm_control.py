"""CGM Specific Ops Control Point (2AAC): messages for both ends.

Contract: a request keeps its operand as sent, because a server answers the ones it does not know. Procedures,
and what must not be written lightly, are in `cgm_procedure`.

Source: Continuous Glucose Monitoring Service 1.0.2; GATT Specification Supplement 2025.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final, TypeAlias

from construct import GreedyBytes, Int8ul, Int16ul

from protocols.codec import Codec, without_and_with_crc
from protocols.crc import Crc
from protocols.envelopes import Tagged
from protocols.errors import DecodeError
from protocols.mappings import Bits, Coded
from protocols.medfloat import SFLOAT, SFLOAT_QUANTITY, MedFloat
from protocols.samples import FluidType, SampleLocation
from protocols.schema import Packed, Record, WidthByLength, Word

CHARACTERISTIC: Final = "CGM Specific Ops Control Point"

INTERVAL_DISABLED: Final = 0x00
INTERVAL_FASTEST: Final = 0xFF
NEWEST_CALIBRATION: Final = 0xFFFF
NEVER_MIN: Final = 0xFFFF
"""When the next calibration is due, from a sensor that wants none any more."""


class OpCode(IntEnum):
    """Operations; others stay plain integers."""

    SET_COMMUNICATION_INTERVAL = 0x01
    GET_COMMUNICATION_INTERVAL = 0x02
    COMMUNICATION_INTERVAL_RESPONSE = 0x03
    SET_CALIBRATION = 0x04
    GET_CALIBRATION = 0x05
    CALIBRATION_RESPONSE = 0x06
    SET_PATIENT_HIGH = 0x07
    GET_PATIENT_HIGH = 0x08
    PATIENT_HIGH_RESPONSE = 0x09
    SET_PATIENT_LOW = 0x0A
    GET_PATIENT_LOW = 0x0B
    PATIENT_LOW_RESPONSE = 0x0C
    SET_HYPO = 0x0D
    GET_HYPO = 0x0E
    HYPO_RESPONSE = 0x0F
    SET_HYPER = 0x10
    GET_HYPER = 0x11
    HYPER_RESPONSE = 0x12
    SET_RATE_OF_DECREASE = 0x13
    GET_RATE_OF_DECREASE = 0x14
    RATE_OF_DECREASE_RESPONSE = 0x15
    SET_RATE_OF_INCREASE = 0x16
    GET_RATE_OF_INCREASE = 0x17
    RATE_OF_INCREASE_RESPONSE = 0x18
    RESET_DEVICE_SPECIFIC_ALERT = 0x19
    START_SESSION = 0x1A
    STOP_SESSION = 0x1B
    RESPONSE_CODE = 0x1C


class Code(IntEnum):
    """Response code values."""

    SUCCESS = 1
    OP_CODE_UNSUPPORTED = 2
    INVALID_OPERAND = 3
    NOT_COMPLETED = 4
    OUT_OF_RANGE = 5


class CalibrationStatus(IntFlag):
    """What became of a calibration."""

    REJECTED = 1 << 0
    OUT_OF_RANGE = 1 << 1
    PENDING = 1 << 2


NO_CALIBRATION_STATUS: Final = CalibrationStatus(0)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client writes; `op` is an `OpCode` where known."""

    op: int
    operand: bytes = b""


@dataclass(frozen=True, slots=True)
class IntervalResponse:
    """The answer to a get: minutes, or INTERVAL_DISABLED or INTERVAL_FASTEST."""

    interval_min: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The operand of a set, and the answer to a get.

    Attributes:
        glucose_mg_dl: of the calibrating measurement.
        time_offset_min: when it was, in minutes since the session's start.
        fluid_type, sample_location: of it; plain integers where reserved.
        next_calibration_min: when the next is due in the same minutes; 65535 is sent for "none".
        record_number: 0 from a sensor that has no calibration.
        status: zero in a request.
    """

    glucose_mg_dl: MedFloat
    time_offset_min: int
    fluid_type: int
    sample_location: int
    next_calibration_min: int
    record_number: int
    status: CalibrationStatus = NO_CALIBRATION_STATUS


@dataclass(frozen=True, slots=True)
class CalibrationResponse:
    """The answer to a get."""

    calibration: Calibration


@dataclass(frozen=True, slots=True)
class PatientHighResponse:
    """The answer to a get."""

    level_mg_dl: MedFloat


@dataclass(frozen=True, slots=True)
class PatientLowResponse:
    """The answer to a get."""

    level_mg_dl: MedFloat


@dataclass(frozen=True, slots=True)
class HypoResponse:
    """The answer to a get."""

    level_mg_dl: MedFloat


@dataclass(frozen=True, slots=True)
class HyperResponse:
    """The answer to a get."""

    level_mg_dl: MedFloat


@dataclass(frozen=True, slots=True)
class RateOfDecreaseResponse:
    """The answer to a get."""

    rate_mg_dl_min: MedFloat


@dataclass(frozen=True, slots=True)
class RateOfIncreaseResponse:
    """The answer to a get."""

    rate_mg_dl_min: MedFloat


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """The answer to a set, and to whatever fails; `code` is a `Code` where known."""

    request_op: int
    code: int


Response: TypeAlias = (
    IntervalResponse
    | CalibrationResponse
    | PatientHighResponse
    | PatientLowResponse
    | HypoResponse
    | HyperResponse
    | RateOfDecreaseResponse
    | RateOfIncreaseResponse
    | ResponseCode
)

#   OP [operand] [CRC ]
#   01  05                      set the interval to 5 min
REQUEST: Final[tuple[Codec[Request], ...]] = without_and_with_crc(
    CHARACTERISTIC, Record(Request, "op" / Coded(Int8ul, OpCode), "operand" / GreedyBytes)
)

#   GG GG TT TT TL NN NN RR RR SS
#   6f 00 67 02 11 d0 02 01 00 01     111 mg/dL after 615 min, capillary whole blood, finger, rejected
CALIBRATION: Final = Codec[Calibration](
    CHARACTERISTIC,
    Record(
        Calibration,
        "glucose_mg_dl" / SFLOAT_QUANTITY,
        "time_offset_min" / Int16ul,
        "type_and_location" / Word(Int8ul),
        "fluid_type" / Packed("type_and_location", 0, 4, FluidType),
        "sample_location" / Packed("type_and_location", 4, 4, SampleLocation),
        "next_calibration_min" / Int16ul,
        "record_number" / Int16ul,
        "status" / Bits(Int8ul, CalibrationStatus),
    ),
)

LEVEL: Final = Codec[MedFloat](CHARACTERISTIC, SFLOAT)
"""The operand of whatever sets an alert level or a rate, in mg/dL or mg/dL/min."""

INTERVAL: Final = Codec[int](CHARACTERISTIC, Int8ul)
"""The operand that sets the communication interval, in minutes."""

RECORD_NUMBER: Final = Codec[int](CHARACTERISTIC, Int16ul)
"""The operand that asks for a calibration; 65535 is the latest."""

_LEVEL_RESPONSES: Final = {
    OpCode.PATIENT_HIGH_RESPONSE: PatientHighResponse,
    OpCode.PATIENT_LOW_RESPONSE: PatientLowResponse,
    OpCode.HYPO_RESPONSE: HypoResponse,
    OpCode.HYPER_RESPONSE: HyperResponse,
}
_RATE_RESPONSES: Final = {
    OpCode.RATE_OF_DECREASE_RESPONSE: RateOfDecreaseResponse,
    OpCode.RATE_OF_INCREASE_RESPONSE: RateOfIncreaseResponse,
}

#   03  0a        8a 75         the interval is 10 min
#   1c  02 01     3c 3b         request 02 succeeded
# CGMS 1.0.2 gives the interval one octet, the Supplement two; both are on the market.
_RESPONSES: Final[Mapping[IntEnum, Record]] = {
    OpCode.COMMUNICATION_INTERVAL_RESPONSE: Record(
        IntervalResponse, "interval_min" / WidthByLength(Int8ul, Int16ul)
    ),
    OpCode.CALIBRATION_RESPONSE: Record(CalibrationResponse, "calibration" / CALIBRATION.layout),
    **{op: Record(reading, "level_mg_dl" / SFLOAT_QUANTITY) for op, reading in _LEVEL_RESPONSES.items()},
    **{op: Record(reading, "rate_mg_dl_min" / SFLOAT) for op, reading in _RATE_RESPONSES.items()},
    OpCode.RESPONSE_CODE: Record(
        ResponseCode, "request_op" / Coded(Int8ul, OpCode), "code" / Coded(Int8ul, Code)
    ),
}
RESPONSE_OPS: Final = frozenset(map(int, _RESPONSES))
"""Operations that only a server sends."""

RESPONSE: Final[tuple[Codec[Response], ...]] = without_and_with_crc(
    CHARACTERISTIC, Tagged(Int8ul, _RESPONSES)
)


_OPERANDS: Final[Mapping[int, Codec[Any]]] = {
    OpCode.SET_COMMUNICATION_INTERVAL: INTERVAL,
    OpCode.SET_CALIBRATION: CALIBRATION,
    OpCode.GET_CALIBRATION: RECORD_NUMBER,
    OpCode.SET_PATIENT_HIGH: LEVEL,
    OpCode.SET_PATIENT_LOW: LEVEL,
    OpCode.SET_HYPO: LEVEL,
    OpCode.SET_HYPER: LEVEL,
    OpCode.SET_RATE_OF_DECREASE: LEVEL,
    OpCode.SET_RATE_OF_INCREASE: LEVEL,
}


def set_interval(interval_min: int) -> Request:
    """Ask for a measurement every so many minutes (or INTERVAL_DISABLED, INTERVAL_FASTEST).

    Raises:
        ValueError: not an octet.
    """
    return Request(OpCode.SET_COMMUNICATION_INTERVAL, INTERVAL.encode(interval_min))


def set_calibration(calibration: Calibration) -> Request:
    """Calibrate the sensor by another measurement, whose `next_calibration_min` and `record_number` do not count.

    Raises:
        ValueError: it cannot be expressed.
    """
    return Request(OpCode.SET_CALIBRATION, CALIBRATION.encode(calibration))


def get_calibration(record_number: int = NEWEST_CALIBRATION) -> Request:
    """Ask what became of a calibration, and when the next is due."""
    return Request(OpCode.GET_CALIBRATION, RECORD_NUMBER.encode(record_number))


def operand(request: Request) -> int | MedFloat | Calibration | None:
    """What the operand of a request says; None if the operation takes none.

    Raises:
        DecodeError: an operand that is not what the operation takes, or an operation not known here.
    """
    codec = _OPERANDS.get(request.op)
    if codec is not None:
        value: int | MedFloat | Calibration = codec.decode(request.operand)
        return value
    if request.op in OpCode._value2member_map_ and not request.operand:
        return None
    raise DecodeError(CHARACTERISTIC, request.operand, f"not an operand of operation {request.op:#04x}")


def decode_request(payload: bytes, *, crc: Crc | bool) -> Request:
    """What a client wrote.

    Raises:
        DecodeError: no op code, or a wrong checksum.
    """
    return REQUEST[crc].decode(payload)


def encode_request(request: Request, *, crc: Crc | bool) -> bytes:
    """What a client writes for a request."""
    return REQUEST[crc].encode(request)


def decode_response(payload: bytes, *, crc: Crc | bool) -> Response:
    """What a server indicated.

    Raises:
        DecodeError: not a response known here, wrong length or checksum.
    """
    return RESPONSE[crc].decode(payload)


def encode_response(response: Response, *, crc: Crc | bool) -> bytes:
    """What a server indicates for a response."""
    return RESPONSE[crc].encode(response)
