"""What MicroTech's glucose sensors advertise: AiDEX X, LinX, GlucoRx Vista, Lumiflex, Smart.

Contract: the octets are the manufacturer data of `COMPANY`, without the company id. `decode` checks the checksum; the
codec alone does not. Octets that follow the advertisement are those of the scan response, which some systems append.
There is no public specification. Layout and checksum are facts found in packets that other people have published
(`tests/vectors/aidex.jsonl`), and agree with them. Not known for certain is the unit of the trend: by those packets it
is about 0.1 mg/dL/min.

    octets  | what
    --------|---------------------------------------------------------------------------------
    0-1     | minutes since the session began; the newest record is of this minute
    2, 3    | the first two octets of a CGM's Sensor Status Annunciation: status, calibration and temperature
    4       | trend, signed
    5-13    | three records, newest first, a minute apart: 16 bits and a quality in percent
    14-15   | number of the newest calibration
    16-19   | checksum of octets 0 to 15
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8sl, Int8ul, Int16ul, Int32ul

from protocols.cgm import SensorStatus
from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.mappings import Unknown
from protocols.schema import Flagged, Packed, Record, Word

COMPANY: Final = 0x0059
PART: Final = "company 0059"
"""What this part of an advertisement is called here."""
OCTETS: Final = 20
CHECKED_OCTETS: Final = 16
SCAN_RESPONSE_OCTETS: Final = 5
TREND_UNKNOWN: Final = -128
"""The trend that says that there is none."""

_SUM_MODULUS: Final = 0x7FA777
_POLYNOMIAL: Final = 0x04C1_1DB7
_MASK: Final = 0xFFFF_FFFF
# An older AiDEX with a transmitter of its own tells the seconds since 2000 in UTC+8, and the glucose in 0.1 mmol/L.
_OLD_OCTETS_MIN: Final = 12
_OLD_EPOCH_UTC_S: Final = 946_684_800 - 8 * 3600
_OLD_YEARS_UTC_S: Final = range(1_577_836_800, 2_051_222_400)  # from 2020 to 2035


class _Bit(IntFlag):
    """The bit of a record that says that it is one."""

    VALID = 1 << 15


class State(IntEnum):
    """What the sensor says of a record."""

    OK = 0
    INVALID = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class GlucoseRecord:
    """A glucose in mg/dL; `is_valid` and `state` say whether it is one, `reserved` are bits of no known meaning."""

    glucose_mg_dl: int
    state: int = State.OK
    reserved: int = 0
    is_valid: bool = True
    quality_pct: int = 100

    @property
    def is_absent(self) -> bool:
        """Whether there is no record: all its bits are set."""
        return (self.glucose_mg_dl, self.state, self.reserved, self.is_valid) == (0x3FF, 3, 7, True)

    @property
    def is_measured(self) -> bool:
        """Whether the sensor has measured something and stands by it."""
        return self.is_valid and self.state == State.OK and not self.reserved


@dataclass(frozen=True, slots=True)
class Advertisement:
    """One advertisement; `checksum` is as it was sent."""

    time_offset_min: int
    status_octet: int
    calibration_octet: int
    trend_counts: int | None
    newest: GlucoseRecord
    a_minute_before: GlucoseRecord
    two_minutes_before: GlucoseRecord
    calibration_index: int = 0
    checksum: int = 0

    @property
    def status(self) -> SensorStatus:
        """Both octets as a CGM's Sensor Status Annunciation."""
        return SensorStatus(self.status_octet | self.calibration_octet << 8)

    @property
    def records(self) -> tuple[tuple[int, GlucoseRecord], ...]:
        """The records that there are, with the minutes they are of, oldest first."""
        newest_min = self.time_offset_min
        dated = (
            (newest_min - 2, self.two_minutes_before),
            (newest_min - 1, self.a_minute_before),
            (newest_min, self.newest),
        )
        return tuple((minute, record) for minute, record in dated if minute >= 0 and not record.is_absent)


_RECORD: Final = Record(
    GlucoseRecord,
    "word" / Word(Int16ul),
    "glucose_mg_dl" / Packed("word", 0, 10),
    "state" / Packed("word", 10, 2, State),
    "reserved" / Packed("word", 12, 3),
    "is_valid" / Flagged(_Bit.VALID, "word"),
    "quality_pct" / Int8ul,
)

#   OO OO | SS CC TT | (GG GG QQ) x 3 | II II | KK KK KK KK
ADVERTISEMENT: Final = Codec[Advertisement](
    "AiDEX Advertisement",
    Record(
        Advertisement,
        "time_offset_min" / Int16ul,
        "status_octet" / Int8ul,
        "calibration_octet" / Int8ul,
        "trend_counts" / Unknown(Int8sl, TREND_UNKNOWN),
        "newest" / _RECORD,
        "a_minute_before" / _RECORD,
        "two_minutes_before" / _RECORD,
        "calibration_index" / Int16ul,
        "checksum" / Int32ul,
    ),
)


def decode(payload: bytes) -> Advertisement:
    """The advertisement in manufacturer data.

    Raises:
        DecodeError: it is too short, of another layout, or its checksum is wrong.
    """
    if len(payload) < OCTETS or checksum(payload) != int.from_bytes(payload[CHECKED_OCTETS:OCTETS], "little"):
        raise DecodeError(ADVERTISEMENT.characteristic, payload, _why_refused(payload))
    return ADVERTISEMENT.decode(payload[:OCTETS])


def is_scan_response(payload: bytes) -> bool:
    """Whether manufacturer data are of the scan response, which holds no glucose."""
    return len(payload) == SCAN_RESPONSE_OCTETS


def encode(reading: Advertisement) -> bytes:
    """The manufacturer data that carry a reading, with the checksum that fits.

    Raises:
        ValueError: it cannot be expressed.
    """
    body = ADVERTISEMENT.encode(reading)[:CHECKED_OCTETS]
    return body + checksum(body).to_bytes(4, "little")


def checksum(payload: bytes) -> int:
    """The checksum of the first 16 octets.

    It is a CRC-32 (polynomial 0x04C11DB7, not reflected, no final exclusive-or) that begins with the sum of the four
    32-bit words, modulo 2^32 and then modulo 0x7FA777.
    """
    body = payload[:CHECKED_OCTETS]
    total = sum(int.from_bytes(body[place : place + 4], "little") for place in range(0, CHECKED_OCTETS, 4))
    crc = (total & _MASK) % _SUM_MODULUS
    for octet in body:
        crc ^= octet << 24
        for _ in range(8):
            crc = (crc << 1 ^ (_POLYNOMIAL if crc >> 31 else 0)) & _MASK
    return crc


def _why_refused(payload: bytes) -> str:
    if is_scan_response(payload):
        return "it is a scan response, which holds no glucose"
    if len(payload) >= _OLD_OCTETS_MIN and _is_old(payload):
        return "it is of an older AiDEX with a separate transmitter, which cannot be read"
    if len(payload) < OCTETS:
        return f"{len(payload)} octets instead of {OCTETS}"
    sent = int.from_bytes(payload[CHECKED_OCTETS:OCTETS], "little")
    return f"checksum {sent:08x} should be {checksum(payload):08x}"


def _is_old(payload: bytes) -> bool:
    """Whether it has a credible time where the older layout has one."""
    return _OLD_EPOCH_UTC_S + int.from_bytes(payload[2:6], "little") in _OLD_YEARS_UTC_S
