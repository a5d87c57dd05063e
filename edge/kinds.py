"""The kinds of sensors this gateway handles, a row each: data only, no functions.

A kind says how its sensors are reached, what is said to them, how long they may be silent and what they measure.
Each package maps the keys it handles to functions of its own, and a test demands that no key is missing in such a
map: a new kind is a row here, not a branch somewhere else.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocols import uuids


class Reach(Enum):
    """How data come from a sensor."""

    CONNECTION = "connection"


class Procedure(Enum):
    """What is said to a sensor once it is reached."""

    HEART_STRAP = "heart strap"
    CGM = "cgm"


class Security(Enum):
    """The least a link must have before its data are taken."""

    NONE = "none"
    ENCRYPTED = "encrypted"


class SessionIdentity(Enum):
    """What tells one wearing of a sensor from the next."""

    NONE = "none"
    SENSOR = "the sensor's own session"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sensor.

    Attributes:
        title: what people call it.
        service: UUID of the service that its advertisement names.
        pairs: whether it is paired with on connecting.
        stale_s: a link that is silent for longer is taken for lost.
        keeps_records: whether it still has what was missed, and is asked for it.
        measurements: keys of `edge.measurements.MEASUREMENTS`.
    """

    title: str
    reach: Reach
    service: str
    procedure: Procedure
    pairs: bool
    least_security: Security
    stale_s: float
    keeps_records: bool
    session: SessionIdentity
    measurements: tuple[str, ...]


KINDS: Final[dict[str, Kind]] = {
    "heart_rate": Kind(
        title="Heart-rate sensor",
        reach=Reach.CONNECTION,
        service=uuids.HEART_RATE_SERVICE,
        procedure=Procedure.HEART_STRAP,
        pairs=False,
        least_security=Security.NONE,
        stale_s=15.0,
        keeps_records=False,
        session=SessionIdentity.NONE,
        measurements=("heart_rate", "rr_interval"),
    ),
    "cgm": Kind(
        title="Continuous glucose monitor",
        reach=Reach.CONNECTION,
        service=uuids.CGM_SERVICE,
        procedure=Procedure.CGM,
        pairs=True,
        least_security=Security.ENCRYPTED,
        stale_s=660.0,
        keeps_records=True,
        session=SessionIdentity.SENSOR,
        measurements=("glucose",),
    ),
}
