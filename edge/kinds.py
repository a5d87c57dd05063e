"""The table of the kinds of sensors that this gateway handles. It holds data only, no functions.

A row says how sensors of the kind are reached, which procedure is used with them, how long they may be silent and what
they measure. Each package maps the keys that it handles to functions of its own, and a test checks that no such map
lacks a key. So a new kind is a new row here, and no `if` elsewhere.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocols import uuids


class Reach(Enum):
    """How a sensor delivers its data."""

    CONNECTION = "connection"


class Procedure(Enum):
    """Which procedure is used with a connected sensor."""

    HEART_STRAP = "heart strap"
    CGM = "cgm"


class Security(Enum):
    """The least security that a link must have before its data are accepted."""

    NONE = "none"
    ENCRYPTED = "encrypted"


class SessionIdentity(Enum):
    """How one session of a sensor (the time that it is worn without a break) is told from the next."""

    NONE = "none"
    SENSOR = "the sensor's own session"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sensor.

    Attributes:
        title: its name for people.
        service: UUID of the service that its advertisement names.
        pairs: whether the gateway pairs with it when it connects.
        stale_s: a link that is silent for longer is considered lost.
        keeps_records: whether it stores records, so that the gateway asks for those that it missed.
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
