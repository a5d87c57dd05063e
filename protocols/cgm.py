"""Continuous Glucose Monitoring Service: Measurement, Feature, Status, Session Start Time, Session Run Time.

Contract: readings are what was sent. A reading's identity is its time offset in minutes from the session's
start, never a wall clock. What E2E-CRC the sensor adds is told by its CGM Feature and passed in as a `Crc`
(where False and True are none and the specification's).
Procedures are elsewhere: `racp` for stored records, `cgm_control` for the specific operations.

Source: Continuous Glucose Monitoring Service 1.0.2 (Measurement: table 3.2); GATT Specification Supplement.
"""

from calendar import timegm
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8sl, Int8ul, Int16ul, Int24ul

from protocols import date_time
from protocols.codec import Codec, RecordsCodec, without_and_with_crc
from protocols.crc import Crc
from protocols.envelopes import E2eCrc, SizePrefixed
from protocols.errors import DecodeError
from protocols.mappings import Bits, Expected, Unknown
from protocols.medfloat import SFLOAT, SFLOAT_QUANTITY, MedFloat
from protocols.samples import FluidType, SampleLocation
from protocols.schema import Dated, Optional, OptionalOctets, Packed, Record, Word

_MEASUREMENT = "CGM Measurement"

RECORD_OCTETS_MIN: Final = 6
"""Size, flags, glucose and time offset: the least a CGM Measurement record has."""


TIME_ZONES: Final = frozenset(range(-48, 57))
DAYLIGHT_SAVING_TIMES: Final = frozenset({0, 2, 4, 8})
"""What there is of both, in quarter hours."""


class Flag(IntFlag):
    """CGM Measurement flags."""

    TREND = 1 << 0
    QUALITY = 1 << 1
    WARNING_OCTET = 1 << 5
    CALIBRATION_TEMPERATURE_OCTET = 1 << 6
    STATUS_OCTET = 1 << 7


class OctetOrder(IntEnum):
    """In which order a CGM Measurement has its three octets of status."""

    SPECIFICATION = 0
    REVERSED = 1


class SensorStatus(IntFlag):
    """Sensor Status Annunciation."""

    SESSION_STOPPED = 1 << 0
    BATTERY_LOW = 1 << 1
    SENSOR_TYPE_INCORRECT = 1 << 2
    SENSOR_MALFUNCTION = 1 << 3
    DEVICE_SPECIFIC_ALERT = 1 << 4
    GENERAL_FAULT = 1 << 5
    TIME_SYNC_REQUIRED = 1 << 8
    CALIBRATION_NOT_ALLOWED = 1 << 9
    CALIBRATION_RECOMMENDED = 1 << 10
    CALIBRATION_REQUIRED = 1 << 11
    TEMPERATURE_TOO_HIGH = 1 << 12
    TEMPERATURE_TOO_LOW = 1 << 13
    CALIBRATION_PENDING = 1 << 14
    BELOW_PATIENT_LOW = 1 << 16
    ABOVE_PATIENT_HIGH = 1 << 17
    BELOW_HYPO = 1 << 18
    ABOVE_HYPER = 1 << 19
    RATE_OF_DECREASE_EXCEEDED = 1 << 20
    RATE_OF_INCREASE_EXCEEDED = 1 << 21
    BELOW_MEASURABLE = 1 << 22
    ABOVE_MEASURABLE = 1 << 23


NO_ANNUNCIATION: Final = SensorStatus(0)
RESERVED_ANNUNCIATION: Final = 0xFFFFFF & ~sum(SensorStatus)
"""Bits that mean nothing; that they are set says that the octets are in another order."""


class Feature(IntFlag):
    """What a CGM sensor supports."""

    CALIBRATION = 1 << 0
    PATIENT_HIGH_LOW_ALERTS = 1 << 1
    HYPO_ALERTS = 1 << 2
    HYPER_ALERTS = 1 << 3
    RATE_ALERTS = 1 << 4
    DEVICE_SPECIFIC_ALERT = 1 << 5
    MALFUNCTION_DETECTION = 1 << 6
    TEMPERATURE_DETECTION = 1 << 7
    RESULT_RANGE_DETECTION = 1 << 8
    LOW_BATTERY_DETECTION = 1 << 9
    SENSOR_TYPE_DETECTION = 1 << 10
    GENERAL_FAULT = 1 << 11
    E2E_CRC = 1 << 12
    MULTIPLE_BONDS = 1 << 13
    MULTIPLE_SESSIONS = 1 << 14
    TREND = 1 << 15
    QUALITY = 1 << 16


@dataclass(frozen=True, slots=True)
class CgmMeasurement:
    """One record of a CGM Measurement.

    Attributes:
        glucose_mg_dl: a number, or why there is none; infinite is beyond what the sensor can measure.
        time_offset_min: minutes since the session's start; the record's identity within its session.
        status: octets that were not sent count as zero.
        trend_mg_dl_min: rate of change.
        quality_pct: in the sensor's own scale, nominally percent.
    """

    glucose_mg_dl: MedFloat
    time_offset_min: int
    status: SensorStatus = NO_ANNUNCIATION
    trend_mg_dl_min: MedFloat | None = None
    quality_pct: MedFloat | None = None


@dataclass(frozen=True, slots=True)
class CgmFeature:
    """CGM Feature; a reserved type or location is the plain integer it was sent as."""

    features: Feature
    fluid_type: int = FluidType.INTERSTITIAL_FLUID
    sample_location: int = SampleLocation.SUBCUTANEOUS_TISSUE

    @property
    def has_crc(self) -> bool:
        """Whether the sensor adds an E2E-CRC to its values: the `crc` argument of the functions below."""
        return bool(self.features & Feature.E2E_CRC)


@dataclass(frozen=True, slots=True)
class CgmStatus:
    """CGM Status: the sensor's state and its clock, `time_offset_min` minutes into the session."""

    time_offset_min: int
    status: SensorStatus = NO_ANNUNCIATION


@dataclass(frozen=True, slots=True)
class SessionStartTime:
    """CGM Session Start Time: local time in the given zone and daylight saving time.

    A client *writes* its own current time; the sensor derives from it when the session started.

    Attributes:
        year, month, day: 0 where the sensor does not know.
        hours, minutes, seconds: of the day.
        time_zone_quarters: quarter hours east of UTC; None unknown.
        dst: daylight saving time in quarter hours: 0, 2, 4 or 8; None unknown.
    """

    year: int
    month: int
    day: int
    hours: int
    minutes: int
    seconds: int
    time_zone_quarters: int | None = 0
    dst: int | None = 0

    def utc_seconds(self) -> int | None:
        """Seconds since 1970-01-01 UTC; None when a part is unknown or no such time exists."""
        zone, dst = self.time_zone_quarters, self.dst
        if zone not in TIME_ZONES or dst not in DAYLIGHT_SAVING_TIMES:
            return None
        try:
            local = datetime(
                self.year, self.month, self.day, self.hours, self.minutes, self.seconds, tzinfo=UTC
            )
        except ValueError:
            return None
        return timegm(local.timetuple()) - (zone + dst) * 15 * 60

    @classmethod
    def from_utc_seconds(cls, utc_s: int) -> "SessionStartTime":
        """The time `utc_s` seconds after 1970-01-01 UTC, in zone 0 without daylight saving time."""
        utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=utc_s)
        return cls(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second)


#   SZ FL GG GG TT TT [ST] [CT] [WA] [RR RR] [QQ QQ] [CRC ]
#   0d 43 bd f6 2c 06      02         fc ff   5f 00   6d 57
#   172.5 mg/dL after 1580 min, calibration not allowed, -0.4 mg/dL/min, 95 %
#
# The octets stand in the order of the specification. Sensors made from an old Nordic example send them the
# other way round; a capture of an Accu-Chek SmartGuide (glucose "-INF", 08 0a 40) makes sense only this way.
STATUS_OCTETS: Final = (
    (Flag.STATUS_OCTET, 0),
    (Flag.CALIBRATION_TEMPERATURE_OCTET, 8),
    (Flag.WARNING_OCTET, 16),
)
"""What announces each octet of `SensorStatus`, and where its lowest bit stands."""


def _measurement(crc: Crc, order: OctetOrder) -> RecordsCodec[CgmMeasurement]:
    octets = STATUS_OCTETS if order is OctetOrder.SPECIFICATION else STATUS_OCTETS[::-1]
    record = Record(
        CgmMeasurement,
        "flags" / Word(Int8ul),
        "glucose_mg_dl" / SFLOAT_QUANTITY,
        "time_offset_min" / Int16ul,
        "status" / OptionalOctets(SensorStatus, *octets),
        "trend_mg_dl_min" / Optional(Flag.TREND, SFLOAT),
        "quality_pct" / Optional(Flag.QUALITY, SFLOAT_QUANTITY),
    )
    layout = E2eCrc(SizePrefixed(record, trailer=E2eCrc.OCTETS), crc) if crc else SizePrefixed(record)
    return RecordsCodec(_MEASUREMENT, layout, RECORD_OCTETS_MIN)


MEASUREMENT: Final = tuple(tuple(_measurement(crc, order) for crc in Crc) for order in OctetOrder)
"""Index by the order of the status octets, then by `Crc`."""

#   FF FF FF TL CC CC
#   6e 9e 01 16 8a c1     arterial plasma, finger; bit 12 is set, so c18a is a checksum
#   01 00 00 59 ff ff     interstitial fluid in subcutaneous tissue, no checksum
_FEATURE_RECORD = Record(
    CgmFeature,
    "features" / Bits(Int24ul, Feature),
    "type_and_location" / Word(Int8ul),
    "fluid_type" / Packed("type_and_location", 0, 4, FluidType),
    "sample_location" / Packed("type_and_location", 4, 4, SampleLocation),
)
# Either kind is accepted, because it is this value that tells which one the sensor uses.
FEATURE: Final = tuple(
    Codec[CgmFeature](
        "CGM Feature", E2eCrc(_FEATURE_RECORD, *kinds, declared_by=("features", Feature.E2E_CRC))
    )
    for kinds in ((Crc.MCRF4XX, Crc.CCITT_FALSE), (Crc.CCITT_FALSE, Crc.MCRF4XX))
)

#   TT TT SS SS SS [CRC ]
#   67 02 08 0a 40  27 e1     after 615 min; malfunction, calibration required but not allowed, below range
STATUS: Final[tuple[Codec[CgmStatus], ...]] = without_and_with_crc(
    "CGM Status",
    Record(CgmStatus, "time_offset_min" / Int16ul, "status" / Bits(Int24ul, SensorStatus)),
)

#   YY YY MM DD hh mm ss TZ DS [CRC ]
#   e2 07 04 18 0d 08 18 08 04  e0 c2     2018-04-24 13:08:24, zone +2 h, daylight saving time 1 h
SESSION_START_TIME: Final[tuple[Codec[SessionStartTime], ...]] = without_and_with_crc(
    "CGM Session Start Time",
    Dated(
        SessionStartTime,
        *date_time.FIELDS,
        "time_zone_quarters" / Unknown(Expected(Int8sl, TIME_ZONES | {-128}), -128),
        "dst" / Unknown(Expected(Int8ul, DAYLIGHT_SAVING_TIMES | {255}), 255),
    ),
)

SESSION_RUN_TIME: Final[tuple[Codec[int], ...]] = without_and_with_crc("CGM Session Run Time", Int16ul)


def decode_measurements(
    payload: bytes, *, crc: Crc | bool, octet_order: OctetOrder = OctetOrder.SPECIFICATION
) -> tuple[list[CgmMeasurement], list[DecodeError]]:
    """All readings in a notification of 2AA7, and what was wrong with the rest of it; never raises.

    A record whose checksum is wrong is reported and left out, and the next one decoded. A size octet that
    does not fit the packet, or not the fields its record announces, cannot be trusted to find the next
    record: the packet ends.
    """
    return MEASUREMENT[octet_order][crc].decode_all(payload)


def encode_measurement(
    reading: CgmMeasurement, *, crc: Crc | bool, octet_order: OctetOrder = OctetOrder.SPECIFICATION
) -> bytes:
    """One record of 2AA7; a notification may carry several, concatenated.

    Raises:
        ValueError: a field beyond its range.
    """
    return MEASUREMENT[octet_order][crc].encode(reading)


def decode_feature(payload: bytes, *, strict: bool = False) -> CgmFeature:
    """The value of 2AA8; its checksum, of either kind, is judged only if the sensor declares to send them.

    Raises:
        DecodeError: not six octets, a wrong checksum, or if `strict` anything but FFFF in place of one.
    """
    feature = FEATURE[0].decode(payload)
    if strict and not feature.has_crc and payload[-2:] != b"\xff\xff":
        raise DecodeError("CGM Feature", payload, "a sensor without E2E-CRC shall send FFFF")
    return feature


def encode_feature(feature: CgmFeature, *, crc: Crc = Crc.MCRF4XX) -> bytes:
    """The value of 2AA8; `crc` is what a feature that declares E2E-CRC is protected by."""
    return FEATURE[crc is Crc.CCITT_FALSE].encode(feature)


def decode_status(payload: bytes, *, crc: Crc | bool) -> CgmStatus:
    """The value of 2AA9.

    Raises:
        DecodeError: wrong length or checksum.
    """
    return STATUS[crc].decode(payload)


def encode_status(status: CgmStatus, *, crc: Crc | bool) -> bytes:
    """The value of 2AA9."""
    return STATUS[crc].encode(status)


def decode_session_start(payload: bytes, *, crc: Crc | bool) -> SessionStartTime:
    """The value of 2AAA, read from a sensor or written by a client.

    Raises:
        DecodeError: wrong length or checksum; an impossible date is not an error but has no `utc_seconds`.
    """
    return SESSION_START_TIME[crc].decode(payload)


def encode_session_start(start: SessionStartTime, *, crc: Crc | bool) -> bytes:
    """The value of 2AAA."""
    return SESSION_START_TIME[crc].encode(start)


def decode_session_run_time(payload: bytes, *, crc: Crc | bool) -> int:
    """The value of 2AAB: expected run time of the session in hours.

    Raises:
        DecodeError: wrong length or checksum.
    """
    return SESSION_RUN_TIME[crc].decode(payload)


def encode_session_run_time(run_time_h: int, *, crc: Crc | bool) -> bytes:
    """The value of 2AAB for an expected run time in hours."""
    return SESSION_RUN_TIME[crc].encode(run_time_h)
