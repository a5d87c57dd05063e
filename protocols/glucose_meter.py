"""Glucose Service: Measurement (2A18), Measurement Context (2A34), Feature (2A51).

Contract: concentrations are in the unit of the wire, kg/L or mol/L, and `glucose_mg_dl` converts; the
sequence number identifies a record. The control point is in `racp`.

Source: Glucose Service 1.0.1; GATT Specification Supplement. The Supplement's flag text gives medication in
milligrams and millilitres, its field table in kilograms and litres; devices follow the table.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8ul, Int16sl, Int16ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.mappings import Bits, Coded
from protocols.medfloat import SFLOAT_QUANTITY, MedFloat, Special
from protocols.samples import FluidType, SampleLocation
from protocols.schema import Flagged, Optional, Packed, Record, Word

EXERCISE_OVERRUN_S: Final = 0xFFFF
"""The exercise took at least so long."""
# Molar mass of glucose as the specification rounds it: 18.02 mg/dL are 1 mmol/L.
MG_DL_PER_MMOL_L: Final = 18.02


class Flag(IntFlag):
    """Glucose Measurement flags."""

    TIME_OFFSET = 1 << 0
    CONCENTRATION = 1 << 1
    MOL_PER_LITRE = 1 << 2
    SENSOR_STATUS = 1 << 3
    CONTEXT_FOLLOWS = 1 << 4


class Unit(IntEnum):
    """Of a concentration."""

    KG_PER_LITRE = 0
    MOL_PER_LITRE = 1


class SensorStatus(IntFlag):
    """Sensor Status Annunciation."""

    BATTERY_LOW = 1 << 0
    SENSOR_MALFUNCTION = 1 << 1
    SAMPLE_SIZE_INSUFFICIENT = 1 << 2
    STRIP_INSERTION_ERROR = 1 << 3
    STRIP_TYPE_INCORRECT = 1 << 4
    ABOVE_MEASURABLE = 1 << 5
    BELOW_MEASURABLE = 1 << 6
    TEMPERATURE_TOO_HIGH = 1 << 7
    TEMPERATURE_TOO_LOW = 1 << 8
    READ_INTERRUPTED = 1 << 9
    GENERAL_FAULT = 1 << 10
    TIME_FAULT = 1 << 11


class Feature(IntFlag):
    """Glucose Feature."""

    LOW_BATTERY_DETECTION = 1 << 0
    MALFUNCTION_DETECTION = 1 << 1
    SAMPLE_SIZE = 1 << 2
    STRIP_INSERTION_DETECTION = 1 << 3
    STRIP_TYPE_DETECTION = 1 << 4
    RESULT_RANGE_DETECTION = 1 << 5
    TEMPERATURE_DETECTION = 1 << 6
    READ_INTERRUPT_DETECTION = 1 << 7
    GENERAL_FAULT = 1 << 8
    TIME_FAULT = 1 << 9
    MULTIPLE_BONDS = 1 << 10


class ContextFlag(IntFlag):
    """Glucose Measurement Context flags."""

    CARBOHYDRATE = 1 << 0
    MEAL = 1 << 1
    TESTER_AND_HEALTH = 1 << 2
    EXERCISE = 1 << 3
    MEDICATION = 1 << 4
    MEDICATION_IN_LITRES = 1 << 5
    HBA1C = 1 << 6
    EXTENDED_FLAGS = 1 << 7


class CarbohydrateKind(IntEnum):
    """Which meal the carbohydrate belongs to."""

    BREAKFAST = 1
    LUNCH = 2
    DINNER = 3
    SNACK = 4
    DRINK = 5
    SUPPER = 6
    BRUNCH = 7


class Meal(IntEnum):
    """When in relation to a meal."""

    PREPRANDIAL = 1
    POSTPRANDIAL = 2
    FASTING = 3
    CASUAL = 4
    BEDTIME = 5


class Tester(IntEnum):
    """Who measured."""

    SELF = 1
    HEALTH_CARE_PROFESSIONAL = 2
    LAB = 3
    NOT_AVAILABLE = 15


class Health(IntEnum):
    """How the person is."""

    MINOR_ISSUES = 1
    MAJOR_ISSUES = 2
    DURING_MENSES = 3
    UNDER_STRESS = 4
    NO_ISSUES = 5
    NOT_AVAILABLE = 15


class MedicationKind(IntEnum):
    """Which insulin."""

    RAPID_ACTING = 1
    SHORT_ACTING = 2
    INTERMEDIATE_ACTING = 3
    LONG_ACTING = 4
    PRE_MIXED = 5


class MedicationUnit(IntEnum):
    """Of an amount of medication."""

    KILOGRAMS = 0
    LITRES = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """A concentration, and what it was measured in; reserved codes are plain integers."""

    concentration: MedFloat
    fluid_type: int
    location: int


@dataclass(frozen=True, slots=True)
class GlucoseMeasurement:
    """One Glucose Measurement.

    Attributes:
        sequence_number: identifies the record; its context has the same.
        base_time: by the meter's clock as it was first set.
        time_offset_min: what the user has added to it since.
        unit: of the concentration, if there is one.
        status: None if not sent.
        context_follows: whether a Measurement Context is sent too.
    """

    sequence_number: int
    base_time: DateTime
    time_offset_min: int | None = None
    sample: Sample | None = None
    unit: int = Unit.KG_PER_LITRE
    status: SensorStatus | None = None
    context_follows: bool = False

    @property
    def glucose_mg_dl(self) -> MedFloat | None:
        """The concentration in mg/dL."""
        if self.sample is None:
            return None
        if isinstance(self.sample.concentration, Special):
            return self.sample.concentration
        factor = 1e5 if self.unit == Unit.KG_PER_LITRE else 1e3 * MG_DL_PER_MMOL_L
        # Of the twelve bits sent nothing is lost, and 0.0012 kg/L are 120 mg/dL and not a hair less.
        return round(self.sample.concentration * factor, 6)


@dataclass(frozen=True, slots=True)
class Carbohydrate:
    """What was eaten."""

    kind: int
    mass_kg: MedFloat


@dataclass(frozen=True, slots=True)
class TesterAndHealth:
    """Who measured, and how the person is."""

    tester: int
    health: int


@dataclass(frozen=True, slots=True)
class Exercise:
    """How long and how hard; EXERCISE_OVERRUN_S for longer than can be said."""

    duration_s: int
    intensity_pct: int


@dataclass(frozen=True, slots=True)
class Medication:
    """What was taken; the unit of the amount is the context's `medication_unit`."""

    kind: int
    amount: MedFloat


@dataclass(frozen=True, slots=True)
class GlucoseContext:
    """One Glucose Measurement Context; what was not sent is None, reserved codes are plain integers."""

    sequence_number: int
    extended_flags: int | None = None
    carbohydrate: Carbohydrate | None = None
    meal: int | None = None
    tester_and_health: TesterAndHealth | None = None
    exercise: Exercise | None = None
    medication: Medication | None = None
    medication_unit: int = MedicationUnit.KILOGRAMS
    hba1c_pct: MedFloat | None = None


#   FL SQ SQ YY YY MM DD hh mm ss [OO OO] [GG GG TL] [SS SS]
#   1b 01 00 e3 07 02 1b 0b 0a 1e  fb ff   1e 00 12   05 01     30 kg/L, 5 min back
MEASUREMENT: Final = Codec[GlucoseMeasurement](
    "Glucose Measurement",
    Record(
        GlucoseMeasurement,
        "flags" / Word(Int8ul),
        "sequence_number" / Int16ul,
        "base_time" / date_time.RECORD,
        "time_offset_min" / Optional(Flag.TIME_OFFSET, Int16sl),
        "sample"
        / Optional(
            Flag.CONCENTRATION,
            Record(
                Sample,
                "concentration" / SFLOAT_QUANTITY,
                "type_and_location" / Word(Int8ul),
                "fluid_type" / Packed("type_and_location", 0, 4, FluidType),
                "location" / Packed("type_and_location", 4, 4, SampleLocation),
            ),
        ),
        "unit" / Packed("flags", 2, 1, Unit),
        "status" / Optional(Flag.SENSOR_STATUS, Bits(Int16ul, SensorStatus)),
        "context_follows" / Flagged(Flag.CONTEXT_FOLLOWS),
    ),
)

#   FL SQ SQ [XF] [CI CC CC] [ML] [TH] [EE EE EI] [MI MM MM] [HH HH]
#   ff 00 00  b3   03 64 00   04   12   3c 00 32   04 d2 f4   59 f1
CONTEXT: Final = Codec[GlucoseContext](
    "Glucose Measurement Context",
    Record(
        GlucoseContext,
        "flags" / Word(Int8ul),
        "sequence_number" / Int16ul,
        "extended_flags" / Optional(ContextFlag.EXTENDED_FLAGS, Int8ul),
        "carbohydrate"
        / Optional(
            ContextFlag.CARBOHYDRATE,
            Record(Carbohydrate, "kind" / Coded(Int8ul, CarbohydrateKind), "mass_kg" / SFLOAT_QUANTITY),
        ),
        "meal" / Optional(ContextFlag.MEAL, Coded(Int8ul, Meal)),
        "tester_and_health"
        / Optional(
            ContextFlag.TESTER_AND_HEALTH,
            Record(
                TesterAndHealth,
                "nibbles" / Word(Int8ul),
                "tester" / Packed("nibbles", 0, 4, Tester),
                "health" / Packed("nibbles", 4, 4, Health),
            ),
        ),
        "exercise"
        / Optional(ContextFlag.EXERCISE, Record(Exercise, "duration_s" / Int16ul, "intensity_pct" / Int8ul)),
        "medication"
        / Optional(
            ContextFlag.MEDICATION,
            Record(Medication, "kind" / Coded(Int8ul, MedicationKind), "amount" / SFLOAT_QUANTITY),
        ),
        "medication_unit" / Packed("flags", 5, 1, MedicationUnit),
        "hba1c_pct" / Optional(ContextFlag.HBA1C, SFLOAT_QUANTITY),
    ),
)

FEATURE: Final = Codec[Feature]("Glucose Feature", Bits(Int16ul, Feature))
