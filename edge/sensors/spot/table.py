"""The table of the devices that deliver and hang up: what is said to each kind, in which order. Data only.

A new kind of this sort is a row here and one in `edge.kinds`, and a way in `measured.WAYS` to read what it sends.
"""

from typing import Final, NamedTuple

from protocols import uuids


class Spot(NamedTuple):
    """What is said to one kind of device.

    Attributes:
        measures: the characteristics that tell what it measured, in the order in which they are subscribed to; a device
            may lack some of them, but not all.
        wait_s: how long the first measurement is waited for.
        idle_s: how long another one is waited for; then all has been delivered.
        has_records: it is asked for its records, instead of waiting.
        wants_consent: it tells nothing before one of its users consents.
        pause_s: how long it is given after it was subscribed to.
    """

    measures: tuple[str, ...]
    wait_s: float = 30.0
    idle_s: float = 10.0
    has_records: bool = False
    wants_consent: bool = False
    pause_s: float = 0.0


NOTHING_SAID: Final = Spot(())
"""To what is not connected to."""

SPOTS: Final[dict[str, Spot]] = {
    # Some meters answer nothing before all three are subscribed to in this order, and not at once then.
    "glucose_meter": Spot((uuids.GLUCOSE_MEASUREMENT, uuids.GLUCOSE_CONTEXT), has_records=True, pause_s=0.2),
    "pulse_oximeter": Spot((uuids.PLX_SPOT_CHECK, uuids.PLX_CONTINUOUS)),
    "thermometer": Spot((uuids.TEMPERATURE_MEASUREMENT,)),
    # Nothing says that a cuff has delivered all: silence does.
    "blood_pressure": Spot((uuids.BLOOD_PRESSURE_MEASUREMENT,), idle_s=2.0),
    "weight_scale": Spot((uuids.WEIGHT_MEASUREMENT,)),
    # Who stands on it has to be weighed first.
    "body_composition": Spot(
        (uuids.WEIGHT_MEASUREMENT, uuids.BODY_COMPOSITION_MEASUREMENT),
        wait_s=60.0,
        idle_s=20.0,
        wants_consent=True,
    ),
}
"""By kind; a test checks that it has a row for each kind whose procedure is `SPOT`."""
