"""Blood Pressure Service: Blood Pressure Measurement (2A35, 2A36) and Feature (2A49).

Contract: pressures are in the unit of the wire.

Source: Blood Pressure Service 1.1; GATT Specification Supplement.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8ul, Int16ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.mappings import Bits
from protocols.medfloat import SFLOAT_QUANTITY, MedFloat
from protocols.schema import Optional, Packed, Record, Word

USER_UNKNOWN: Final = 0xFF


class Flag(IntFlag):
    """Blood Pressure Measurement flags."""

    KILOPASCAL = 1 << 0
    TIMESTAMP = 1 << 1
    PULSE_RATE = 1 << 2
    USER_ID = 1 << 3
    MEASUREMENT_STATUS = 1 << 4


class Unit(IntEnum):
    """Of the pressures."""

    MMHG = 0
    KILOPASCAL = 1


class MeasurementStatus(IntFlag):
    """What was wrong; bits 3 and 4 together are a code, 1 for a pulse above and 2 for one below the range."""

    BODY_MOVEMENT = 1 << 0
    CUFF_TOO_LOOSE = 1 << 1
    IRREGULAR_PULSE = 1 << 2
    PULSE_ABOVE_RANGE = 1 << 3
    PULSE_BELOW_RANGE = 1 << 4
    IMPROPER_POSITION = 1 << 5


class Feature(IntFlag):
    """Blood Pressure Feature."""

    BODY_MOVEMENT_DETECTION = 1 << 0
    CUFF_FIT_DETECTION = 1 << 1
    IRREGULAR_PULSE_DETECTION = 1 << 2
    PULSE_RATE_RANGE_DETECTION = 1 << 3
    POSITION_DETECTION = 1 << 4
    MULTIPLE_BONDS = 1 << 5
    E2E_CRC = 1 << 6
    USER_DATA_SERVICE = 1 << 7
    USER_FACING_TIME = 1 << 8


@dataclass(frozen=True, slots=True)
class BloodPressureMeasurement:
    """One Blood Pressure Measurement, or Intermediate Cuff Pressure (in `systolic`, the others NaN).

    Attributes:
        systolic, diastolic, mean_arterial: in `unit`.
        user_id: 255 is an unknown user.
    """

    systolic: MedFloat
    diastolic: MedFloat
    mean_arterial: MedFloat
    unit: int = Unit.MMHG
    timestamp: DateTime | None = None
    pulse_rate_bpm: MedFloat | None = None
    user_id: int | None = None
    measurement_status: MeasurementStatus | None = None


#   FL SS SS DD DD MM MM [YY YY MM DD hh mm ss] [PP PP] [UI] [ST ST]
#   1e 8a 00 58 00 78 00  00 00 04 11 14 29 3b   3c 00   01   27 00     138/88 (120) mmHg
MEASUREMENT: Final = Codec[BloodPressureMeasurement](
    "Blood Pressure Measurement",
    Record(
        BloodPressureMeasurement,
        "flags" / Word(Int8ul),
        "systolic" / SFLOAT_QUANTITY,
        "diastolic" / SFLOAT_QUANTITY,
        "mean_arterial" / SFLOAT_QUANTITY,
        "unit" / Packed("flags", 0, 1, Unit),
        "timestamp" / Optional(Flag.TIMESTAMP, date_time.RECORD),
        "pulse_rate_bpm" / Optional(Flag.PULSE_RATE, SFLOAT_QUANTITY),
        "user_id" / Optional(Flag.USER_ID, Int8ul),
        "measurement_status" / Optional(Flag.MEASUREMENT_STATUS, Bits(Int16ul, MeasurementStatus)),
    ),
)

FEATURE: Final = Codec[Feature]("Blood Pressure Feature", Bits(Int16ul, Feature))
