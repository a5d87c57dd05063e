"""Heart Rate Service: Heart Rate Measurement (2A37), Body Sensor Location (2A38), Control Point (2A39).

Contract: readings are what was sent, in the units of the wire; a beat series has no time stamps and no
sequence number, and rebuilding one from arrival times is not done here. A malformed packet is an error as a
whole.

Source: Heart Rate Service; GATT Specification Supplement, Heart Rate Measurement.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from math import log, sqrt
from typing import Final

from construct import Int8ul, Int16ul

from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.mappings import Bounded, Coded
from protocols.schema import Oddity, Optional, Record, Tail, TriState, Widened, Word

RR_TICKS_PER_S = 1024
PACKETS_TO_TELL: Final = 60
STANDARD_ERRORS_TO_TELL: Final = 4.0
_LOG_TICK_MS: Final = log(RR_TICKS_PER_S / 1000)
_RATIO_MAX: Final = 0.25


class Flag(IntFlag):
    """Heart Rate Measurement flags."""

    VALUE_UINT16 = 1 << 0
    CONTACT_DETECTED = 1 << 1
    CONTACT_SUPPORTED = 1 << 2
    ENERGY_EXPENDED = 1 << 3
    RR_INTERVALS = 1 << 4


class BodySensorLocation(IntEnum):
    """Where the sensor is meant to be worn."""

    OTHER = 0
    CHEST = 1
    WRIST = 2
    FINGER = 3
    HAND = 4
    EAR_LOBE = 5
    FOOT = 6


class Control(IntEnum):
    """What a client writes to the Heart Rate Control Point."""

    RESET_ENERGY_EXPENDED = 1


@dataclass(frozen=True, slots=True)
class HeartRateMeasurement:
    """One Heart Rate Measurement.

    Attributes:
        heart_rate_bpm: 0 while the sensor has none to report.
        contact: whether skin contact is detected; None when the sensor cannot tell.
        energy_kj: accumulated since the last reset, stays at 65535 once there.
        rr_ticks: RR intervals since the last notification in 1/1024 s, oldest first; None when there is none
            (never empty).
    """

    heart_rate_bpm: int
    contact: bool | None = None
    energy_kj: int | None = None
    rr_ticks: tuple[int, ...] | None = None


#   FL BB [BB] [EE EE] [RR RR]...
#   10 48 b3 03 c2 03                 72 bpm, RR 947 and 962 ticks
#   1e 55 32 00 21 00                 85 bpm, contact, 50 kJ, RR 33 ticks
MEASUREMENT: Final = Codec[HeartRateMeasurement](
    "Heart Rate Measurement",
    Record(
        HeartRateMeasurement,
        "flags" / Word(Int8ul),
        "heart_rate_bpm" / Widened(Flag.VALUE_UINT16, Int8ul, Int16ul),
        "contact" / TriState(supported=Flag.CONTACT_SUPPORTED, asserted=Flag.CONTACT_DETECTED),
        "energy_kj" / Optional(Flag.ENERGY_EXPENDED, Int16ul),
        "rr_ticks" / Optional(Flag.RR_INTERVALS, Tail(Int16ul)),
    ),
)

LOCATION: Final = Codec[BodySensorLocation](
    "Body Sensor Location",
    Coded(Bounded(Int8ul, min(BodySensorLocation), max(BodySensorLocation)), BodySensorLocation),
)

CONTROL_POINT: Final = Codec[Control]("Heart Rate Control Point", Coded(Int8ul, Control))


def decode(payload: bytes) -> HeartRateMeasurement:
    """The reading in a notification of 2A37.

    Raises:
        DecodeError: truncated, RR announced but absent, or octets left over.
    """
    return MEASUREMENT.decode(payload)


def decode_lenient(payload: bytes) -> tuple[HeartRateMeasurement, tuple[Oddity, ...]]:
    """As `decode`, but keeps what comes before octets that are left over, and a rate without the RR it announces.

    Returns:
        The reading, and what was odd about the packet.

    Raises:
        DecodeError: truncated.
    """
    try:
        return MEASUREMENT.decode_lenient(payload)
    except DecodeError:
        if not payload or not payload[0] & Flag.RR_INTERVALS:
            raise
    reading = MEASUREMENT.decode(bytes([payload[0] & ~Flag.RR_INTERVALS]) + payload[1:])
    return reading, (Oddity("RR intervals are announced but absent", 0),)


def encode(reading: HeartRateMeasurement) -> bytes:
    """The notification of 2A37 that carries a reading; the rate takes two octets only if it has to.

    Raises:
        ValueError: a field beyond its range, or an empty `rr_ticks`.
    """
    return MEASUREMENT.encode(reading)


def decode_location(payload: bytes) -> BodySensorLocation:
    """The value of 2A38.

    Raises:
        DecodeError: not one octet, or a reserved location.
    """
    return LOCATION.decode(payload)


def encode_location(location: BodySensorLocation) -> bytes:
    """The value of 2A38 for a location."""
    return LOCATION.encode(location)


def rr_ms(ticks: int) -> float:
    """Milliseconds of an RR interval given in 1/1024 s; exact in float64."""
    return ticks * 1000 / RR_TICKS_PER_S


def rr_ticks(interval_ms: float) -> int:
    """The nearest number of 1/1024 s in an RR interval given in milliseconds."""
    return round(interval_ms * RR_TICKS_PER_S / 1000)


class RrUnit(IntEnum):
    """What a strap counts its RR intervals in: 1/1024 s by the specification, milliseconds against it."""

    TICKS = 0
    MILLISECONDS = 1


MS_PER_COUNT: Final = {RrUnit.TICKS: 1000 / RR_TICKS_PER_S, RrUnit.MILLISECONDS: 1.0}
"""What a count of each unit is in milliseconds; exact in float64, and so is its product with any count."""


def intervals_ms(reading: HeartRateMeasurement, unit: RrUnit) -> list[float]:
    """The RR intervals a packet tells of, in ms; between two beats some time must pass, so none is 0."""
    return [count * MS_PER_COUNT[unit] for count in reading.rr_ticks or () if count > 0]


@dataclass(slots=True)
class RrUnitDetector:
    """Tells which unit a strap sends, by holding RR intervals against the rate sent with them.

    The two differ by 2.4 %, less than one interval does from the next, so it takes the mean of many: a unit is
    named when the mean logarithm of rate times interval is several standard errors nearer to it than to the
    middle between both. Packets without a rate or without intervals say nothing and are passed over.
    """

    count: int = 0
    _mean: float = 0.0
    _squares: float = 0.0

    def add(self, reading: HeartRateMeasurement) -> None:
        """One packet more."""
        if not reading.heart_rate_bpm or not reading.rr_ticks or not all(reading.rr_ticks):
            return
        mean_rr = sum(reading.rr_ticks) / len(reading.rr_ticks)
        ratio = log(reading.heart_rate_bpm * mean_rr / 60_000)
        if abs(ratio) > _RATIO_MAX:
            # A beat missed or seen twice; the rate is a mean over several and did not follow.
            return
        self.count += 1
        delta = ratio - self._mean
        self._mean += delta / self.count
        self._squares += delta * (ratio - self._mean)

    @property
    def unit(self) -> RrUnit | None:
        """The unit; None while it cannot be told."""
        if self.count < PACKETS_TO_TELL:
            return None
        error = sqrt(self._squares / (self.count - 1) / self.count)
        from_middle = self._mean - _LOG_TICK_MS / 2
        if abs(from_middle) < STANDARD_ERRORS_TO_TELL * error:
            return None
        return RrUnit.TICKS if from_middle > 0 else RrUnit.MILLISECONDS
