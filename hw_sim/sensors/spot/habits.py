"""When a person uses such devices, and what they measure then: some times a day, the same way for the same seed."""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from hw_sim.sensors.spot.device import Use

_FIRST_S: Final = 600.0
_PAUSE_S: Final = (3 * 3600.0, 7 * 3600.0)


def _meter(rng: random.Random) -> dict[str, float]:
    values = {"capillary_glucose": float(round(rng.gauss(130.0, 30.0)))}
    return values | ({"meal": float(rng.randint(1, 5))} if rng.random() < 0.5 else {})


def _oximeter(rng: random.Random) -> dict[str, float]:
    return {"oxygen_saturation": float(rng.randint(93, 99)), "pulse_rate": float(rng.randint(55, 90))}


def _thermometer(rng: random.Random) -> dict[str, float]:
    return {"body_temperature": round(rng.gauss(36.7, 0.3), 1)}


def _cuff(rng: random.Random) -> dict[str, float]:
    systolic, diastolic = rng.randint(105, 150), rng.randint(60, 95)
    return {
        "systolic": float(systolic),
        "diastolic": float(diastolic),
        "mean_arterial": float(round((systolic + 2 * diastolic) / 3)),
        "pulse_rate": float(rng.randint(55, 90)),
    }


def _scale(rng: random.Random) -> dict[str, float]:
    return {"body_weight": round(rng.gauss(78.0, 0.5), 1)}


def _body_scale(rng: random.Random) -> dict[str, float]:
    body = {"body_fat": round(rng.gauss(22.0, 0.5), 1), "muscle": 40.0, "impedance": 450.0}
    return _scale(rng) | body | {"basal_metabolism": 6900.0}


MEASURES: Final[Mapping[str, Callable[[random.Random], dict[str, float]]]] = {
    "glucose_meter": _meter,
    "pulse_oximeter": _oximeter,
    "thermometer": _thermometer,
    "blood_pressure": _cuff,
    "weight_scale": _scale,
    "body_composition": _body_scale,
}
"""What a use measures, by kind."""


def uses(
    kind: str, *, begin_s: float, duration_s: float, seed: int, user: int | None = None
) -> Iterator[Use]:
    """The uses of a device, the first ten minutes after the beginning."""
    rng = random.Random(f"{seed} {kind}")
    at_s = _FIRST_S
    while at_s < duration_s:
        yield Use(begin_s + at_s, MEASURES[kind](rng), user)
        at_s += rng.uniform(*_PAUSE_S)
