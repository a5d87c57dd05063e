"""A body composition in kilograms, and one that comes as two packets; single packets are in another file."""

from dataclasses import replace

import pytest

from protocols.body_composition import MEASUREMENT, BodyComposition, joined
from protocols.date_time import DateTime
from protocols.weight_scale import UNSUCCESSFUL, Units

NOON = DateTime(2024, 3, 15, 14, 30, 45)
FIRST = BodyComposition(200, Units.SI, NOON, 2, 8000, 400, muscle_mass_counts=7000, multiple_packets=True)
SECOND = BodyComposition(200, weight_counts=15000, height_counts=1750, multiple_packets=True)


def test_values_in_the_units_of_the_clinic():
    si = BodyComposition(194, Units.SI, None, None, 6879, 407, 8000, 12000, 12236, 8650, 4520, 16080, 1750)
    assert (si.body_fat_pct, si.muscle_pct, si.impedance_ohm) == (19.4, 40.7, 452.0)
    assert (si.muscle_mass_kg, si.fat_free_mass_kg, si.soft_lean_mass_kg) == (40.0, 60.0, 61.18)
    assert (si.body_water_mass_kg, si.weight_kg, si.height_m) == (43.25, 80.4, 1.75)
    imperial = replace(si, units=Units.IMPERIAL, weight_counts=10000, height_counts=697)
    assert imperial.weight_kg == pytest.approx(45.359237)
    assert imperial.height_m == pytest.approx(1.77038)


def test_what_was_not_sent_is_none_and_so_is_a_failed_measurement():
    failed = BodyComposition(UNSUCCESSFUL)
    assert failed.body_fat_pct is None
    assert failed.muscle_pct is failed.impedance_ohm is failed.weight_kg is failed.height_m is None


def test_two_packets_are_joined():
    whole = joined(
        MEASUREMENT.decode(MEASUREMENT.encode(FIRST)), MEASUREMENT.decode(MEASUREMENT.encode(SECOND))
    )
    assert whole == replace(FIRST, weight_counts=15000, height_counts=1750, multiple_packets=False)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (FIRST, replace(SECOND, body_fat_tenths=201)),
        (FIRST, replace(SECOND, units=Units.IMPERIAL)),
        (FIRST, replace(SECOND, multiple_packets=False)),
        (replace(FIRST, multiple_packets=False), SECOND),
        (FIRST, replace(SECOND, muscle_mass_counts=7000)),  # the field was in the first
        (FIRST, FIRST),  # sent again
        (replace(FIRST, user_id=None), replace(SECOND, user_id=2)),  # the first packet carries the user
    ],
)
def test_packets_that_do_not_belong_together_are_not_joined(first, second):
    assert joined(first, second) is None
