"""Weight Scale Service: Weight Measurement (2A9D).

Contract: masses and heights are counts of the wire's resolution; `weight_kg` and `height_m` convert.

Source: Weight Scale Service; GATT Specification Supplement, Weight Measurement.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8ul, Int16ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.schema import Optional, Packed, Record, Word

UNSUCCESSFUL: Final = 0xFFFF
"""The weight that says that measuring failed."""
USER_UNKNOWN: Final = 0xFF
KG_PER_LB: Final = 0.45359237
M_PER_INCH: Final = 0.0254


class Flag(IntFlag):
    """Weight Measurement flags."""

    IMPERIAL = 1 << 0
    TIMESTAMP = 1 << 1
    USER_ID = 1 << 2
    BMI_AND_HEIGHT = 1 << 3


class Units(IntEnum):
    """SI: kilograms and metres. Imperial: pounds and inches."""

    SI = 0
    IMPERIAL = 1


@dataclass(frozen=True, slots=True)
class BmiAndHeight:
    """Body mass index in units of 0.1 kg/m2, height in units of 0.001 m or 0.1 inch."""

    bmi_tenths: int
    height_counts: int


@dataclass(frozen=True, slots=True)
class WeightMeasurement:
    """One Weight Measurement; the weight is in units of 0.005 kg or 0.01 lb."""

    weight_counts: int
    units: int = Units.SI
    timestamp: DateTime | None = None
    user_id: int | None = None
    bmi_and_height: BmiAndHeight | None = None

    @property
    def weight_kg(self) -> float | None:
        """The weight in kilograms; None if measuring failed."""
        if self.weight_counts == UNSUCCESSFUL:
            return None
        if self.units == Units.SI:
            return self.weight_counts / 200
        return self.weight_counts / 100 * KG_PER_LB

    @property
    def height_m(self) -> float | None:
        """The height in metres."""
        if self.bmi_and_height is None:
            return None
        counts = self.bmi_and_height.height_counts
        return counts / 1000 if self.units == Units.SI else counts / 10 * M_PER_INCH


#   FL WW WW [YY YY MM DD hh mm ss] [UI] [BB BB HH HH]
MEASUREMENT: Final = Codec[WeightMeasurement](
    "Weight Measurement",
    Record(
        WeightMeasurement,
        "flags" / Word(Int8ul),
        "weight_counts" / Int16ul,
        "units" / Packed("flags", 0, 1, Units),
        "timestamp" / Optional(Flag.TIMESTAMP, date_time.RECORD),
        "user_id" / Optional(Flag.USER_ID, Int8ul),
        "bmi_and_height"
        / Optional(
            Flag.BMI_AND_HEIGHT, Record(BmiAndHeight, "bmi_tenths" / Int16ul, "height_counts" / Int16ul)
        ),
    ),
)
