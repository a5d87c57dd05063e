"""What a strap's packet says without arithmetic: whether its rate counts, and the unit of its intervals."""

from typing import Final

from edge.store.tables import Tables
from protocols.heart_rate import HeartRateMeasurement, RrUnit

RR_UNIT_TRAIT: Final = "rr_unit"


NO_HEART_RATE: Final = "no heart rate"


def why_not_counted(reading: HeartRateMeasurement) -> str | None:
    """Why the rate of a packet does not count; None where it does."""
    if reading.contact is False:
        return "not worn"
    return None if reading.heart_rate_bpm else NO_HEART_RATE


def rr_unit(tables: Tables, sensor_no: int) -> RrUnit:
    """What the strap counts its intervals in, as far as that was learned."""
    known = tables.sensors.trait(sensor_no, RR_UNIT_TRAIT)
    return RrUnit[known] if known else RrUnit.TICKS
