"""The form of the status document. It is the same whether the gateway runs or not; `survey` fills it in.

What is unknown is null: no key is ever left out. Every value has an age, because without one it says nothing about now.
An age is null while no trusted clock connects the value with this moment. The document holds health data, so it is made
only when somebody asks for it, and is never written to a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec import Struct

from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.now.facts import Fact

# The version of the form. It is raised by each change that programs which read the document have to know.
SCHEMA: Final = 1
# The phase of every sensor while no gateway runs.
STOPPED: Final = "stopped"


class Trouble(Struct, frozen=True):
    """What does not work: the cause, and what helps."""

    cause: str
    remedy: str
    detail: str | None = None
    age_s: float | None = None


class Value(Struct, frozen=True):
    """The newest value of one measurement. It is null if it is beyond the sensor's scale or nothing was measured."""

    measurement: str
    unit: str
    value: float | None
    beyond: str | None
    age_s: float | None
    counts: bool
    not_counted: str | None


class GivenUp(Struct, frozen=True):
    """Records of the sensor that the gateway will not ask for again."""

    first: int
    last: int
    reason: str
    tries: int


class SessionStatus(Struct, frozen=True):
    """The newest session of a sensor: when it began, if that is known, and which of its records are stored.

    `missing` is an estimate of how many records are to be fetched; `given_up_min` is how many minutes of the session
    are given up.
    """

    number: int
    start_utc_s: int | None
    ended: str | None
    readings: dict[str, int]
    missing: int | None
    given_up_min: int
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
    """The time and its source; `error_ms` is null while it is not trusted."""

    utc_s: int
    trusted: bool
    error_ms: int | None
    source: str


class StoreStatus(Struct, frozen=True):
    """The database: its size, why it cannot be written, and the damaged ones that were set aside.

    `parked` is how many items cannot be sent, `not_summarised` how many periods cannot be summarised.
    """

    bytes: int | None
    trouble: str | None
    set_aside: list[str]
    parked: int | None
    not_summarised: int | None


class AlertStatus(Struct, frozen=True):
    """An alert that has not ended."""

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
    """Items that wait for a person's consent."""

    person: str
    data_class: str
    items: int
    reason: str


class RouteStatus(Struct, frozen=True):
    """The state of one route to an upstream."""

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
    """The status of a gateway."""

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
    """The present moment, to which ages are counted. `error_ms` is None while the wall clock is not trusted."""

    boot_no: int | None
    boot_ns: int
    utc_ns: int
    error_ms: int | None
    source: str
    timeline: Timeline

    def age_s(self, boot_no: int, boot_ns: int) -> float | None:
        """How long ago a moment of some boot was; None if that is unknown."""
        if boot_no == self.boot_no:
            return round((self.boot_ns - boot_ns) / NS_PER_S, 1)
        placed = self.timeline.place(boot_no, boot_ns)
        if placed is None or placed.error_ms is None:
            return None
        return self.age_of_utc_s(placed.utc_ns / NS_PER_S)

    def age_of_utc_s(self, utc_s: float) -> float | None:
        """How long ago a trusted wall time was; None while the present time is unknown."""
        return None if self.error_ms is None else round(self.utc_ns / NS_PER_S - utc_s, 1)


@dataclass(frozen=True, slots=True)
class LiveSensor:
    """What only the running gateway knows about a sensor; `facts` are its newest ones, by measurement."""

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
    """An alert that has not ended, whether or not the store has it."""

    kind: str
    sensor_id: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running gateway knows: its sensors by id, and what keeps each route from sending."""

    sensors: Mapping[str, LiveSensor]
    alerts: Sequence[LiveAlert]
    routes: Mapping[str, str | None]
    store_trouble: str | None
    not_summarised: int
