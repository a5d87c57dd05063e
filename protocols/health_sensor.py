"""Generic Health Sensor and Elapsed Time: Current Elapsed Time (2BF2), Health Sensor Features (2BF3), GHS Control
Point (2BF4), Observation Schedule Changed (2BF1), and observations (2B8B, 2BDD) put together again.

Contract: an observation comes in segments, and `Reassembler` gives back the whole ones; what is inside them is
in `observation`.

Source: Elapsed Time Service; Generic Health Sensor Service, segmentation; public Philips GHS simulator.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import BytesInteger, GreedyBytes, Int8sl, Int8ul, Int32ul

from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.mappings import Bits, Coded
from protocols.medfloat import FLOAT_QUANTITY, MedFloat
from protocols.schema import Flagged, Packed, Record, Word

CHARACTERISTIC: Final = "Live Health Observations"
OBSERVATION_OCTETS_MAX: Final = 1 << 16
"""An observation counts its octets in 16 bits; more are not collected."""
_SEQUENCE_NUMBERS: Final = 64


class _TimeFlag(IntFlag):
    TICK_COUNTER = 1 << 0
    UTC = 1 << 1
    ZONE_AND_DST_USED = 1 << 4
    CURRENT_TIMELINE = 1 << 5


class Resolution(IntEnum):
    """What an elapsed time counts."""

    SECONDS = 0
    TENTHS = 1
    MILLISECONDS = 2
    TENTHS_OF_MILLISECONDS = 3


class SyncSource(IntEnum):
    """Where the device has its time from."""

    UNKNOWN = 0
    NETWORK_TIME = 1
    GPS = 2
    RADIO = 3
    MANUAL = 4
    ATOMIC_CLOCK = 5
    CELLULAR = 6
    NOT_SYNCHRONIZED = 7


class ClockStatus(IntFlag):
    """What a client should do about the clock."""

    NEEDS_SETTING = 1 << 0


class ClockCapabilities(IntFlag):
    """What the clock keeps."""

    APPLIES_DST_RULES = 1 << 0
    MANAGES_ZONE = 1 << 1


@dataclass(frozen=True, slots=True)
class ElapsedTime:
    """A time: a count since 2000-01-01, or since the device began if it is a tick counter.

    Attributes:
        zone_quarters: quarter hours from UTC, daylight saving time included, if `zone_used`.
        current_timeline: false for times from before the clock was last set.
    """

    is_tick_counter: bool
    is_utc: bool
    resolution: int
    zone_used: bool
    current_timeline: bool
    count: int
    sync_source: int
    zone_quarters: int


@dataclass(frozen=True, slots=True)
class CurrentElapsedTime:
    """The time by the device, and the state of its clock."""

    time: ElapsedTime
    status: ClockStatus
    capabilities: ClockCapabilities


_ELAPSED_TIME: Final = Record(
    ElapsedTime,
    "flags" / Word(Int8ul),
    "is_tick_counter" / Flagged(_TimeFlag.TICK_COUNTER),
    "is_utc" / Flagged(_TimeFlag.UTC),
    "resolution" / Packed("flags", 2, 2, Resolution),
    "zone_used" / Flagged(_TimeFlag.ZONE_AND_DST_USED),
    "current_timeline" / Flagged(_TimeFlag.CURRENT_TIMELINE),
    "count" / BytesInteger(6, swapped=True),
    "sync_source" / Coded(Int8ul, SyncSource),
    "zone_quarters" / Int8sl,
)
ELAPSED_TIME_OCTETS: Final = 9
ELAPSED_TIME: Final = Codec[ElapsedTime]("Elapsed Time", _ELAPSED_TIME)

#   FL CC CC CC CC CC CC SS ZZ ST CA
#   22 a6 6a 00 2c 00 00 07 00 01 01     UTC in seconds, not synchronized, needs setting
CURRENT_ELAPSED_TIME: Final = Codec[CurrentElapsedTime](
    "Current Elapsed Time",
    Record(
        CurrentElapsedTime,
        "time" / _ELAPSED_TIME,
        "status" / Bits(Int8ul, ClockStatus),
        "capabilities" / Bits(Int8ul, ClockCapabilities),
    ),
)


class Control(IntEnum):
    """What a client writes to the control point, and what it indicates."""

    START_LIVE_OBSERVATIONS = 0x01
    STOP_LIVE_OBSERVATIONS = 0x02
    SUCCESS = 0x80
    SERVER_BUSY = 0x81
    LIVE_OBSERVATIONS_ERROR = 0x82


CONTROL_POINT: Final = Codec[Control]("GHS Control Point", Coded(Int8ul, Control))


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often observations of a type are made and sent."""

    type_code: int
    measurement_period_s: MedFloat
    update_interval_s: MedFloat


SCHEDULE: Final = Codec[Schedule](
    "Observation Schedule Changed",
    Record(
        Schedule,
        "type_code" / Int32ul,
        "measurement_period_s" / FLOAT_QUANTITY,
        "update_interval_s" / FLOAT_QUANTITY,
    ),
)


_SPECIALIZATIONS: Final = 1 << 0


@dataclass(frozen=True, slots=True)
class Features:
    """Which types of observations there are, and which specializations with which version (None: not told)."""

    observation_types: tuple[int, ...]
    specializations: tuple[tuple[int, int], ...] | None = None


def decode_features(payload: bytes) -> Features:
    """The value of 2BF3. Later versions may append to it, so octets left over are not judged.

    Raises:
        DecodeError: fewer octets than it says.
    """
    try:
        end = 2 + 4 * payload[1]
        types = tuple(int.from_bytes(payload[i : i + 4], "little") for i in range(2, end, 4))
        specializations = None
        if payload[0] & _SPECIALIZATIONS:
            places = range(end + 1, end + 1 + 3 * payload[end], 3)
            specializations = tuple((payload[i] | payload[i + 1] << 8, payload[i + 2]) for i in places)
    except IndexError:
        end = len(payload) + 1
    if end > len(payload):
        raise DecodeError("Health Sensor Features", payload, "too few octets")
    return Features(types, specializations)


class _SegmentFlag(IntFlag):
    FIRST = 1 << 0
    LAST = 1 << 1


@dataclass(frozen=True, slots=True)
class Segment:
    """One notification of observations."""

    is_first: bool
    is_last: bool
    sequence_number: int
    octets: bytes


SEGMENT: Final = Codec[Segment](
    CHARACTERISTIC,
    Record(
        Segment,
        "flags" / Word(Int8ul),
        "is_first" / Flagged(_SegmentFlag.FIRST),
        "is_last" / Flagged(_SegmentFlag.LAST),
        "sequence_number" / Packed("flags", 2, 6),
        "octets" / GreedyBytes,
    ),
)


class Reassembler:
    """Puts observations together from their segments; a lost segment costs its observation and no other.

    segment                  | while one is open                   | while none is
    -------------------------|-------------------------------------|-------------------
    the first                | that one is lost; another begins    | one begins
    the next, and not last   | it goes on                          | -
    the next, and last       | it is whole                         | -
    any other                | that one is lost                    | out of order
    """

    def __init__(self) -> None:
        self._parts = bytearray()
        self._expected: int | None = None

    def add(self, payload: bytes) -> tuple[bytes | None, list[DecodeError]]:
        """The observation that one notification completes, if any, and what was wrong; never raises.

        Wrong are no octets, a segment out of order, and an observation that has no end.
        """
        try:
            segment = SEGMENT.decode(payload)
        except DecodeError as error:
            return None, [error]
        wrong = self._wrong(segment)
        errors = [] if wrong is None else [DecodeError(CHARACTERISTIC, payload, wrong)]
        if segment.is_first:
            self._parts = bytearray()
        elif wrong:
            self._expected, self._parts = None, bytearray()
            return None, errors
        self._parts += segment.octets
        self._expected = None if segment.is_last else (segment.sequence_number + 1) % _SEQUENCE_NUMBERS
        return (bytes(self._parts) if segment.is_last else None), errors

    def _wrong(self, segment: Segment) -> str | None:
        if segment.is_first:
            return None if self._expected is None else "an observation begins before the one before has ended"
        if segment.sequence_number != self._expected:
            return f"segment {segment.sequence_number} instead of {self._expected}"
        if len(self._parts) + len(segment.octets) > OBSERVATION_OCTETS_MAX:
            return "an observation without an end"
        return None
