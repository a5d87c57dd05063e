"""Health Thermometer Service: Temperature Measurement (2A1C, 2A1E) and Temperature Type (2A1D).

Contract: the temperature is in the unit of the wire.

Source: Health Thermometer Service; GATT Specification Supplement.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.mappings import Coded
from protocols.medfloat import FLOAT_QUANTITY, MedFloat
from protocols.schema import Optional, Packed, Record, Word


class Flag(IntFlag):
    """Temperature Measurement flags."""

    FAHRENHEIT = 1 << 0
    TIMESTAMP = 1 << 1
    TEMPERATURE_TYPE = 1 << 2


class Unit(IntEnum):
    """Of a temperature."""

    CELSIUS = 0
    FAHRENHEIT = 1


class TemperatureType(IntEnum):
    """Where the temperature is taken."""

    ARMPIT = 1
    BODY = 2
    EAR = 3
    FINGER = 4
    GASTRO_INTESTINAL_TRACT = 5
    MOUTH = 6
    RECTUM = 7
    TOE = 8
    TYMPANUM = 9


@dataclass(frozen=True, slots=True)
class TemperatureMeasurement:
    """One Temperature Measurement; a reserved type is the plain integer it was sent as."""

    temperature: MedFloat
    unit: int = Unit.CELSIUS
    timestamp: DateTime | None = None
    temperature_type: int | None = None


#   FL TT TT TT TT [YY YY MM DD hh mm ss] [TY]
#   06 b0 0e 00 fe  dc 07 0c 05 0b 32 1b   04     37.6 degrees Celsius, finger
MEASUREMENT: Final = Codec[TemperatureMeasurement](
    "Temperature Measurement",
    Record(
        TemperatureMeasurement,
        "flags" / Word(Int8ul),
        "temperature" / FLOAT_QUANTITY,
        "unit" / Packed("flags", 0, 1, Unit),
        "timestamp" / Optional(Flag.TIMESTAMP, date_time.RECORD),
        "temperature_type" / Optional(Flag.TEMPERATURE_TYPE, Coded(Int8ul, TemperatureType)),
    ),
)

TYPE: Final = Codec[int]("Temperature Type", Coded(Int8ul, TemperatureType))
