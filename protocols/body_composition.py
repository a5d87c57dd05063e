"""Body Composition Service: Body Composition Feature (2A9B) and Measurement (2A9C).

Contract: percentages, masses, impedance and height are counts of the wire's resolution; properties convert. A
measurement that is too long for one packet comes as two, which `joined` puts together. There are scales that send
zeros before they have measured (Beurer BF788): a body fat of zero is what was sent, and no measurement.

Source: Body Composition Service 1.0, 3.1 and 3.2; GATT Specification Supplement, Body Composition Measurement.
"""

from dataclasses import dataclass, fields, replace
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8ul, Int16ul, Int32ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.schema import Flagged, FlagSet, Optional, Packed, Record, Word
from protocols.weight_scale import KG_PER_LB, M_PER_INCH, UNSUCCESSFUL, Units


class Flag(IntFlag):
    """Body Composition Measurement flags."""

    IMPERIAL = 1 << 0
    TIMESTAMP = 1 << 1
    USER_ID = 1 << 2
    BASAL_METABOLISM = 1 << 3
    MUSCLE_PERCENTAGE = 1 << 4
    MUSCLE_MASS = 1 << 5
    FAT_FREE_MASS = 1 << 6
    SOFT_LEAN_MASS = 1 << 7
    BODY_WATER_MASS = 1 << 8
    IMPEDANCE = 1 << 9
    WEIGHT = 1 << 10
    HEIGHT = 1 << 11
    MULTIPLE_PACKETS = 1 << 12


class Feature(IntFlag):
    """What a scale can measure."""

    TIMESTAMP = 1 << 0
    MULTIPLE_USERS = 1 << 1
    BASAL_METABOLISM = 1 << 2
    MUSCLE_PERCENTAGE = 1 << 3
    MUSCLE_MASS = 1 << 4
    FAT_FREE_MASS = 1 << 5
    SOFT_LEAN_MASS = 1 << 6
    BODY_WATER_MASS = 1 << 7
    IMPEDANCE = 1 << 8
    WEIGHT = 1 << 9
    HEIGHT = 1 << 10


class MassResolution(IntEnum):
    """The step in which a scale measures masses, in kilograms or in pounds."""

    NOT_SPECIFIED = 0
    KG_0_5_OR_LB_1 = 1
    KG_0_2_OR_LB_0_5 = 2
    KG_0_1_OR_LB_0_2 = 3
    KG_0_05_OR_LB_0_1 = 4
    KG_0_02_OR_LB_0_05 = 5
    KG_0_01_OR_LB_0_02 = 6
    KG_0_005_OR_LB_0_01 = 7


class HeightResolution(IntEnum):
    """The step in which a scale takes heights, in metres or in inches."""

    NOT_SPECIFIED = 0
    M_0_01_OR_INCH_1 = 1
    M_0_005_OR_INCH_0_5 = 2
    M_0_001_OR_INCH_0_1 = 3


@dataclass(frozen=True, slots=True)
class Features:
    """Body Composition Feature; the resolutions are those of the scale, not those of the wire."""

    supported: Feature
    mass_resolution: int = MassResolution.NOT_SPECIFIED
    height_resolution: int = HeightResolution.NOT_SPECIFIED


@dataclass(frozen=True, slots=True)
class BodyComposition:
    """One Body Composition Measurement, or one of its two packets.

    Attributes:
        body_fat_tenths, muscle_tenths: in units of 0.1 %.
        user_id: `weight_scale.USER_UNKNOWN` is an unknown user.
        muscle_mass_counts, fat_free_mass_counts, soft_lean_mass_counts, body_water_mass_counts, weight_counts:
            in units of 0.005 kg or 0.01 lb.
        impedance_tenths: in units of 0.1 ohm.
        height_counts: in units of 0.001 m or 0.1 inch.
        multiple_packets: whether it is one of two packets.
    """

    body_fat_tenths: int
    units: int = Units.SI
    timestamp: DateTime | None = None
    user_id: int | None = None
    basal_metabolism_kj: int | None = None
    muscle_tenths: int | None = None
    muscle_mass_counts: int | None = None
    fat_free_mass_counts: int | None = None
    soft_lean_mass_counts: int | None = None
    body_water_mass_counts: int | None = None
    impedance_tenths: int | None = None
    weight_counts: int | None = None
    height_counts: int | None = None
    multiple_packets: bool = False

    @property
    def body_fat_pct(self) -> float | None:
        """The share of fat in percent; None if measuring failed."""
        return None if self.body_fat_tenths == UNSUCCESSFUL else self.body_fat_tenths / 10

    @property
    def muscle_pct(self) -> float | None:
        """The share of muscle in percent."""
        return None if self.muscle_tenths is None else self.muscle_tenths / 10

    @property
    def impedance_ohm(self) -> float | None:
        """The impedance in ohms."""
        return None if self.impedance_tenths is None else self.impedance_tenths / 10

    @property
    def muscle_mass_kg(self) -> float | None:
        """The mass of muscle in kilograms."""
        return self._kg(self.muscle_mass_counts)

    @property
    def fat_free_mass_kg(self) -> float | None:
        """The mass without fat in kilograms."""
        return self._kg(self.fat_free_mass_counts)

    @property
    def soft_lean_mass_kg(self) -> float | None:
        """The mass without fat and bone mineral in kilograms."""
        return self._kg(self.soft_lean_mass_counts)

    @property
    def body_water_mass_kg(self) -> float | None:
        """The mass of water in kilograms."""
        return self._kg(self.body_water_mass_counts)

    @property
    def weight_kg(self) -> float | None:
        """The weight in kilograms."""
        return self._kg(self.weight_counts)

    @property
    def height_m(self) -> float | None:
        """The height in metres."""
        if self.height_counts is None:
            return None
        return self.height_counts / 1000 if self.units == Units.SI else self.height_counts / 10 * M_PER_INCH

    def _kg(self, counts: int | None) -> float | None:
        if counts is None:
            return None
        return counts / 200 if self.units == Units.SI else counts / 100 * KG_PER_LB


def joined(first: BodyComposition, second: BodyComposition) -> BodyComposition | None:
    """The measurement that two packets make up; None if the second does not continue the first.

    Both carry body fat, units and the flag that they are two; time and user come with the first only.
    """
    if not (first.multiple_packets and second.multiple_packets):
        return None
    if (first.body_fat_tenths, first.units) != (second.body_fat_tenths, second.units):
        return None
    names = (field.name for field in fields(BodyComposition))
    more = {name: getattr(second, name) for name in names if name not in _IN_BOTH}
    more = {name: value for name, value in more.items() if value is not None}
    if more.keys() & _IN_FIRST_ONLY or any(getattr(first, name) is not None for name in more):
        return None
    return replace(first, multiple_packets=False, **more)


_IN_BOTH: Final = frozenset({"body_fat_tenths", "units", "multiple_packets"})
_IN_FIRST_ONLY: Final = frozenset({"timestamp", "user_id"})

#   FF FF FF FF
#   cf 31 00 00     steps of 0.01 kg
FEATURES: Final = Codec[Features](
    "Body Composition Feature",
    Record(
        Features,
        "features" / Word(Int32ul),
        # All bits but the two resolutions: reserved ones are kept.
        "supported" / FlagSet("features", Feature, 0xFFFF_FFFF & ~(0xF << 11 | 0x7 << 15)),
        "mass_resolution" / Packed("features", 11, 4, MassResolution),
        "height_resolution" / Packed("features", 15, 3, HeightResolution),
    ),
)

#   FL FL FF FF [YY YY MM DD hh mm ss] [UI] [BB BB] [MP MP] [MM MM] [FM FM] [SM SM] [WM WM] [II II] [KK KK] [HH HH]
#   98 03 c2 00                              df 1a   97 01                   cc 2f   ca 21   a8 11      19.4 % fat
MEASUREMENT: Final = Codec[BodyComposition](
    "Body Composition Measurement",
    Record(
        BodyComposition,
        "flags" / Word(Int16ul),
        "body_fat_tenths" / Int16ul,
        "units" / Packed("flags", 0, 1, Units),
        "timestamp" / Optional(Flag.TIMESTAMP, date_time.RECORD),
        "user_id" / Optional(Flag.USER_ID, Int8ul),
        "basal_metabolism_kj" / Optional(Flag.BASAL_METABOLISM, Int16ul),
        "muscle_tenths" / Optional(Flag.MUSCLE_PERCENTAGE, Int16ul),
        "muscle_mass_counts" / Optional(Flag.MUSCLE_MASS, Int16ul),
        "fat_free_mass_counts" / Optional(Flag.FAT_FREE_MASS, Int16ul),
        "soft_lean_mass_counts" / Optional(Flag.SOFT_LEAN_MASS, Int16ul),
        "body_water_mass_counts" / Optional(Flag.BODY_WATER_MASS, Int16ul),
        "impedance_tenths" / Optional(Flag.IMPEDANCE, Int16ul),
        "weight_counts" / Optional(Flag.WEIGHT, Int16ul),
        "height_counts" / Optional(Flag.HEIGHT, Int16ul),
        "multiple_packets" / Flagged(Flag.MULTIPLE_PACKETS),
    ),
)
