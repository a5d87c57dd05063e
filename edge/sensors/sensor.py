"""What every kind of sensor is to the rest of the gateway."""

from typing import NamedTuple, Protocol

from edge.config import SensorConfig
from edge.kinds import Kind
from edge.radio.inbox import Notification
from edge.radio.link import Link


class SensorLive(NamedTuple):
    """What there is to show of a sensor's side.

    Attributes:
        records: packets or records that this process took.
        oddities: of them, those that were odd and read all the same.
        dropped: those that the store could not take for too long.
        missing: stored records that are still to be fetched, as far as that can be told.
        warm_up_left_s: its session has just begun, and may be without values for so long.
        is_catching_up: whether it is finding out what is missing, or fetching it.
    """

    records: int
    oddities: int = 0
    dropped: int = 0
    missing: int | None = None
    warm_up_left_s: float | None = None
    is_catching_up: bool = False


class Sensor(Protocol):
    """One sensor's side of a session and of the intake."""

    config: SensorConfig
    kind: Kind
    stale_s: float
    battery_pct: int | None

    async def converse(self, link: Link) -> None:
        """Set the sensor up after connecting, then do what else it needs; may return before the link is lost."""
        ...

    def take(self, notification: Notification) -> None:
        """Decode and keep one notification; DecodeError when it makes no sense."""
        ...

    def flush(self) -> None:
        """Hand to the store what is still open in memory."""
        ...

    def live(self) -> SensorLive:
        """What there is to show at this moment."""
        ...
