"""The form of the status document. It is the same whether the gateway runs or not; `survey` fills it in.

What is unknown is null: no key is ever left out. Every value has an age, because without one it says nothing about now.
An age is null while no trusted clock connects the value with this moment. The document holds health data, so it is made
only when somebody asks for it, and is never written to a file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from msgspec import Struct

from edge.alerts.shown import Shown, ShownSnooze
from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.now.facts import Fact
from edge.now.known import GatewayKnown

# The version of the form. It is raised by each change that programs which read the document have to know.
SCHEMA: Final = 2
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


class PairingStatus(Struct, frozen=True):
    """How a sensor is paired with this machine.

    `bonded` is what the system says, `made` how the gateway made the bond: by passkey, or just works; null: by somebody
    else, or not at all. `accepts_just_works`: the configuration lets it be paired without a passkey. While it is paired
    (`under_way`), it may wait for its passkey, or for `shown_passkey` to be entered on it. `renewed_today`: how often
    its bond was given up and made anew within a day. `rest_s`: for how long it is left alone, because it cannot be
    paired.
    """

    bonded: bool | None
    made: str | None
    accepts_just_works: bool
    under_way: bool
    awaits_passkey: bool
    shown_passkey: str | None
    renewed_today: int
    rest_s: float | None


class SensorStatus(Struct, frozen=True):
    """A sensor of the configuration.

    `pairing` is null if its kind is not paired; `streams` says of each that is wanted "streaming", or why it does not
    come.
    """

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
    pairing: PairingStatus | None = None
    streams: dict[str, str] | None = None


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
    """An alert that has not ended.

    `value` is that of the newest reading, not the one that raised it; null if there is no fresh one, or if it is
    `beyond` the sensor's scale. `tier` is who has been told so far; nobody yet, if it is not `told`.
    """

    kind: str
    sensor: str
    person: str | None
    value: float | None
    beyond: str | None
    unit: str | None
    reason: str | None
    age_s: float | None
    urgent: bool
    tier: str
    told: bool
    acknowledged: bool
    snoozed_left_s: float | None


class SnoozeStatus(Struct, frozen=True):
    """A kind of alert that tells nobody for a while, of one sensor or of all; `unless` is the value that ends that."""

    kind: str
    sensor: str | None
    left_s: float
    unless: float | None


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


class RungStatus(Struct, frozen=True):
    """A rung of the recovery ladder: how often it was taken, and of the last time why, when, and why it failed."""

    rung: str
    times: int
    reason: str
    age_s: float
    failure: str | None


class AdapterStatus(Struct, frozen=True):
    """A Bluetooth adapter: how many sensors it holds, and how many it can hold, if that is known."""

    name: str
    powered: bool
    connections: int
    connections_max: int | None


class RadioStatus(Struct, frozen=True):
    """The machine's Bluetooth: why it cannot be used, its adapters, and what was done to mend it, by this process."""

    trouble: Trouble | None
    adapters: list[AdapterStatus]
    recovery: list[RungStatus]


class StatusDocument(Struct, frozen=True):
    """The status of a gateway. What is known at this moment is null while it does not run."""

    schema: int
    gateway: str
    running: bool
    simulated: bool | None
    clock: ClockStatus
    sensors: list[SensorStatus]
    store: StoreStatus
    alerts: list[AlertStatus]
    snoozes: list[SnoozeStatus]
    summaries: list[SummaryStatus]
    deliveries: list[RouteStatus]
    known: GatewayKnown | None = None
    radio: RadioStatus | None = None


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
    pairing: PairingStatus | None = None
    streams: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Live:
    """What only the running gateway knows: its sensors by id, and what keeps each route from sending."""

    sensors: Mapping[str, LiveSensor]
    alerts: Sequence[Shown]
    snoozes: Sequence[ShownSnooze]
    routes: Mapping[str, str | None]
    store_trouble: str | None
    not_summarised: int
    known: GatewayKnown
    radio: RadioStatus | None = None
