"""What there is to say about a gateway, as one document, the same whether it runs or not: its form, and no more.

What nobody knows is null: no key ever vanishes. Values have an age, because a value without one says nothing about now;
an age is null while no trusted clock connects the value with this moment. The document holds health data, so it is made
when somebody asks (`survey`) and is never written to a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec import Struct

from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.now.facts import Fact

# Of a document's form: a number more for each change that a reader of it has to know.
SCHEMA: Final = 1
# The phase of every sensor while no gateway runs.
STOPPED: Final = "stopped"


class Trouble(Struct, frozen=True):
    """What does not work, why, and what helps."""

    cause: str
    remedy: str
    detail: str | None = None
    age_s: float | None = None


class Value(Struct, frozen=True):
    """The newest value of one measurement; beyond the sensor's scale, or where nothing was measured, it is null."""

    measurement: str
    unit: str
    value: float | None
    beyond: str | None
    age_s: float | None
    counts: bool
    not_counted: str | None


class GivenUp(Struct, frozen=True):
    """Records that the sensor has, or had, and the gateway will not get."""

    first: int
    last: int
    reason: str
    tries: int


class SessionStatus(Struct, frozen=True):
    """The newest wearing of a sensor: when it began, if that is known, and what of it is here."""

    number: int
    start_utc_s: int | None
    ended: str | None
    readings: dict[str, int]
    missing: int | None
    given_up: int
    given_up_newest: list[GivenUp]
    warm_up_left_s: float | None


class SensorStatus(Struct, frozen=True):
    """A sensor of the configuration."""

    id: str
    kind: str
    person: str
    phase: str
    trouble: Trouble | None
    connects: int | None
    losses: int | None
    battery_pct: int | None
    worn: bool | None
    values: list[Value]
    session: SessionStatus | None
    packets: int | None
    dropped: int | None
    undecodable: int | None
    oddities: int | None


class ClockStatus(Struct, frozen=True):
    """What time it is, and who says so; `error_ms` is null while nothing vouches for it."""

    utc_s: int
    trusted: bool
    error_ms: int | None
    source: str


class StoreStatus(Struct, frozen=True):
    """The database: its size, why it cannot be written, which damaged ones lie beside it.

    `parked` counts what cannot be sent, `not_summarised` the periods that cannot be summarised.
    """

    bytes: int | None
    trouble: str | None
    set_aside: list[str]
    parked: int | None
    not_summarised: int | None


class AlertStatus(Struct, frozen=True):
    """An alert that stands."""

    kind: str
    sensor: str
    value: float | None
    age_s: float | None


class SummaryStatus(Struct, frozen=True):
    """The newest summary of a sensor."""

    kind: str
    sensor: str
    start_utc_s: int
    end_utc_s: int
    status: str
    revision: int
    body: dict[str, Any]


class Held(Struct, frozen=True):
    """What waits until its person consents."""

    person: str
    data_class: str
    items: int
    reason: str


class RouteStatus(Struct, frozen=True):
    """One way upstream."""

    route: str
    trouble: str | None
    pending: int | None
    inflight: int | None
    parked: int | None
    parked_reasons: list[str]
    oldest_age_s: float | None
    held: list[Held]
    batches: int | None
    items: int | None
    last_utc_s: int | None


class StatusDocument(Struct, frozen=True):
    """Everything there is to say about a gateway."""

    schema: int
    gateway: str
    running: bool
    simulated: bool | None
    clock: ClockStatus
    sensors: list[SensorStatus]
    store: StoreStatus
    alerts: list[AlertStatus]
    summaries: list[SummaryStatus]
    deliveries: list[RouteStatus]


class Moment(NamedTuple):
    """Now, as far as it is known: ages end here. `error_ms` is None while nothing vouches for the wall clock."""

    boot_no: int | None
    boot_ns: int
    utc_ns: int
    error_ms: int | None
    source: str
    timeline: Timeline

    def age_s(self, boot_no: int, boot_ns: int) -> float | None:
        """How long ago a moment of some boot was; None if nobody can say."""
        if boot_no == self.boot_no:
            return round((self.boot_ns - boot_ns) / NS_PER_S, 1)
        placed = self.timeline.place(boot_no, boot_ns)
        if placed is None or placed.error_ms is None:
            return None
        return self.age_of_utc_s(placed.utc_ns / NS_PER_S)

    def age_of_utc_s(self, utc_s: float) -> float | None:
        """How long ago a moment of a trusted wall clock was; None while it is not known what time it is."""
        return None if self.error_ms is None else round(self.utc_ns / NS_PER_S - utc_s, 1)


@dataclass(frozen=True, slots=True)
class LiveSensor:
    """What only the running gateway knows of a sensor; `facts` are the newest by measurement."""

    phase: str
    connects: int
    losses: int
    facts: Mapping[str, Fact]
    trouble: Trouble | None = None
    battery_pct: int | None = None
    worn: bool | None = None
    packets: int = 0
    dropped: int = 0
    undecodable: int = 0
    oddities: int = 0
    missing: int | None = None
    warm_up_left_s: float | None = None


@dataclass(frozen=True, slots=True)
class LiveAlert:
    """An alert that stands, whether or not the store could be told."""

    kind: str
    sensor_id: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running gateway knows; sensors by id, and by route what keeps it from sending."""

    sensors: Mapping[str, LiveSensor]
    alerts: Sequence[LiveAlert]
    routes: Mapping[str, str | None]
    store_trouble: str | None
    not_summarised: int
