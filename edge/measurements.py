"""The tables of what this gateway measures and of the periods that it summarises. They hold data only, no functions.

A row of the first says the unit of a measurement, which values are plausible, and which periods summarise it. A row of
the second says how long a period is and which consent its summary needs to be sent. Each package maps the keys that it
handles to functions of its own, and a test checks that no such map lacks a key.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Span(Enum):
    """How long a period is."""

    FIVE_MINUTES = "five minutes"
    LOCAL_DAY = "local day"


@dataclass(frozen=True, slots=True)
class Period:
    """A kind of summary: the key is its name in the store and upstream.

    Attributes:
        data_class: the field of `config.Consent` that permits sending it.
        awaits_records: whether it is final only after the sensor has reported all its records of the period.
    """

    span: Span
    data_class: str
    awaits_records: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured quantity.

    Attributes:
        unit: in UCUM.
        least, most: values outside this range are kept, but do not count.
        periods: keys of the `PERIODS` that summarise it.
        item: the kind of item as which each single reading is sent; None if single readings are not sent.
        data_class: the field of `config.Consent` that permits sending single readings.
        loinc: its code upstream.
    """

    unit: str
    least: float
    most: float
    periods: tuple[str, ...]
    item: str | None
    data_class: str | None
    loinc: str | None


PERIODS: Final[dict[str, Period]] = {
    "heart_5min": Period(Span.FIVE_MINUTES, data_class="heart_summaries", awaits_records=False),
    "glucose_day": Period(Span.LOCAL_DAY, data_class="glucose_summaries", awaits_records=True),
}

MEASUREMENTS: Final[dict[str, Measurement]] = {
    "heart_rate": Measurement(
        "/min", 1.0, 300.0, ("heart_5min",), item=None, data_class=None, loinc="8867-4"
    ),
    "rr_interval": Measurement("ms", 1.0, 64_000.0, ("heart_5min",), item=None, data_class=None, loinc=None),
    "glucose": Measurement(
        "mg/dL",
        20.0,
        600.0,
        ("glucose_day",),
        item="cgm_reading",
        data_class="glucose_readings",
        loinc="99504-3",
    ),
    # Not what a sensor measures: what a person measured by other means, and calibrated a sensor with.
    "calibration": Measurement("mg/dL", 20.0, 600.0, (), item=None, data_class=None, loinc=None),
    # Of the finger, by a meter: never mixed with a CGM's, which has other limits, and alerts of its own.
    "capillary_glucose": Measurement("mg/dL", 10.0, 900.0, (), item=None, data_class=None, loinc="41653-7"),
    "meal": Measurement("{code}", 1.0, 5.0, (), item=None, data_class=None, loinc=None),
    "carbohydrate": Measurement("g", 0.0, 1000.0, (), item=None, data_class=None, loinc=None),
    "exercise": Measurement("min", 0.0, 1440.0, (), item=None, data_class=None, loinc=None),
    "medication_mass": Measurement("mg", 0.0, 10_000.0, (), item=None, data_class=None, loinc=None),
    "medication_volume": Measurement("mL", 0.0, 10.0, (), item=None, data_class=None, loinc=None),
    "hba1c": Measurement("%", 2.0, 25.0, (), item=None, data_class=None, loinc="4548-4"),
    "oxygen_saturation": Measurement("%", 35.0, 100.0, (), item=None, data_class=None, loinc="59408-5"),
    "pulse_rate": Measurement("/min", 20.0, 300.0, (), item=None, data_class=None, loinc="8867-4"),
    "body_temperature": Measurement("Cel", 25.0, 45.0, (), item=None, data_class=None, loinc="8310-5"),
    "systolic": Measurement("mm[Hg]", 40.0, 300.0, (), item=None, data_class=None, loinc="8480-6"),
    "diastolic": Measurement("mm[Hg]", 20.0, 220.0, (), item=None, data_class=None, loinc="8462-4"),
    "mean_arterial": Measurement("mm[Hg]", 20.0, 260.0, (), item=None, data_class=None, loinc="8478-0"),
    "body_weight": Measurement("kg", 1.0, 500.0, (), item=None, data_class=None, loinc="29463-7"),
    "height": Measurement("m", 0.3, 2.6, (), item=None, data_class=None, loinc="8302-2"),
    "body_fat": Measurement("%", 1.0, 80.0, (), item=None, data_class=None, loinc="41982-0"),
    "muscle": Measurement("%", 5.0, 95.0, (), item=None, data_class=None, loinc=None),
    "muscle_mass": Measurement("kg", 1.0, 200.0, (), item=None, data_class=None, loinc=None),
    "fat_free_mass": Measurement("kg", 1.0, 300.0, (), item=None, data_class=None, loinc=None),
    "soft_lean_mass": Measurement("kg", 1.0, 300.0, (), item=None, data_class=None, loinc=None),
    "body_water_mass": Measurement("kg", 1.0, 300.0, (), item=None, data_class=None, loinc=None),
    "basal_metabolism": Measurement("kJ", 500.0, 30_000.0, (), item=None, data_class=None, loinc=None),
    "impedance": Measurement("Ohm", 50.0, 3000.0, (), item=None, data_class=None, loinc=None),
}

DATA_CLASS: Final[dict[str, str]] = {
    **{key: period.data_class for key, period in PERIODS.items()},
    **{m.item: m.data_class for m in MEASUREMENTS.values() if m.item and m.data_class},
}
"""Kind of an item that goes up -> the class of data whose consent it needs."""
