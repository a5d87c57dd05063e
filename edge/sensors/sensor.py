"""The interface that every kind of sensor offers to the rest of the gateway."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from edge.config import SensorConfig
from edge.kinds import Kind
from edge.radio.inbox import Notification
from edge.radio.link import Link


class SensorLive(NamedTuple):
    """What the status document shows of a sensor's data.

    Attributes:
        records: packets or records that this process has accepted.
        oddities: how many of them broke the specification and could be read all the same.
        dropped: how many were dropped because the store could not write for too long.
        waiting: how many are not in the store because it could not write.
        missing: about how many records that the sensor may hold are still to be asked for.
        warm_up_left_s: how long the sensor may still send no values, because its session has just begun.
        wear_left_s: until its session ends, if that is known; below 0 when it should have ended.
        is_catching_up: whether it is looking for missing records, or fetching them.
        streams: of each stream that is wanted of it "streaming", or why it does not come.
    """

    records: int
    oddities: int = 0
    dropped: int = 0
    waiting: int = 0
    missing: int | None = None
    warm_up_left_s: float | None = None
    wear_left_s: float | None = None
    is_catching_up: bool = False
    streams: Mapping[str, str] = MappingProxyType({})


class Sensor(Protocol):
    """What is done with one sensor's data: the intake calls `take` for all that comes of it."""

    config: SensorConfig
    kind: Kind
    stale_s: float
    battery_pct: int | None

    def take(self, notification: Notification) -> None:
        """Decode and keep one notification; DecodeError when it makes no sense."""
        ...

    def flush(self) -> None:
        """Give to the store what is still in memory only."""
        ...

    def live(self) -> SensorLive:
        """The figures for the status document."""
        ...


class Advertised(Sensor, Protocol):
    """A sensor that tells everything in its advertisements; `why_not`: why the newest one was not taken, or None."""

    why_not: str | None


class Connected(Sensor, Protocol):
    """A sensor that is talked to over a link."""

    async def converse(self, link: Link) -> None:
        """Set the sensor up after connecting, then do what it needs.

        If the sensor stays connected, this may return while the link still stands. Otherwise the link is closed then:
        all that the sensor had to deliver has been delivered.
        """
        ...
