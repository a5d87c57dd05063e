"""Makes the document of what is known, for the present moment.

Contract: nothing is decided, nothing waits, nothing is read from the store. What comes from the store, such as how long
items have waited, is noted here by whoever read it. A document of some sensors costs no more than they do.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

from edge.anchors import Timeline
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.contact import Contact, Phase
from edge.now.facts import Facts
from edge.now.known import (
    GatewayKnown,
    GlucoseKnown,
    Rest,
    RhythmKnown,
    RouteKnown,
    SensorKnown,
    ValueKnown,
)
from edge.now.standing import Standing
from edge.sensors.sensor import Sensor
from edge.store.door import Store
from edge.timekeeper import Timekeeper


class Insight(Protocol):
    """What follows from many readings of one sensor, as of a moment of this boot."""

    def rest(self, boot_ns: int) -> Rest: ...

    def rhythm(self, boot_ns: int) -> RhythmKnown | None: ...

    def glucose(self, boot_ns: int) -> GlucoseKnown | None: ...


class NoInsight:
    """Nothing follows from its readings."""

    def rest(self, _: int) -> Rest:
        return Rest.UNKNOWN

    def rhythm(self, _: int) -> RhythmKnown | None:
        return None

    def glucose(self, _: int) -> GlucoseKnown | None:
        return None


NO_INSIGHT: Final = NoInsight()
MINUTE_NS: Final = 60 * NS_PER_S


class _Minute(NamedTuple):
    """The minute of the day that it is by a timeline, and until when; None: the clock is not trusted."""

    timeline: Timeline | None
    until_boot_ns: int
    of_day: int | None


class Present:
    """What is known at this moment.

    Attributes:
        insights: what more follows from the readings of a sensor, by its id.
        standing: which source of glucose stands for others.
        route_troubles: says what keeps each route upstream from sending; None: nothing.
    """

    def __init__(
        self,
        config: Config,
        *,
        facts: Facts,
        sensors: Mapping[str, Sensor],
        contacts: Mapping[str, Contact],
        timekeeper: Timekeeper,
        store: Store,
        clock: Clock,
        dead_channels: Callable[[], Mapping[str, str]],
    ) -> None:
        self.insights: dict[str, Insight] = {}
        self.route_troubles: Callable[[], Mapping[str, str | None]] = dict
        self._sensors = {sensor.id: sensor for sensor in config.sensors}
        self._zone = ZoneInfo(config.gateway.timezone)
        self._facts = facts
        self._takers = sensors
        self._contacts = contacts
        self._timekeeper = timekeeper
        self._store = store
        self._clock = clock
        self._dead_channels = dead_channels
        self._started_boot_ns = clock.boot_ns()
        self._troubled_boot_ns: int | None = None
        self._oldest: dict[str, tuple[int, int]] = {}
        self._minute = _Minute(None, 0, None)
        self.standing = Standing(config.sensors)

    def known(self, only: Collection[str] | None = None) -> GatewayKnown:
        """The document; with `only` these sensors, all that is said of the gateway itself, and no more."""
        boot_ns = self._clock.boot_ns()
        trouble = self._store.trouble
        if trouble is None:
            self._troubled_boot_ns = None
        elif self._troubled_boot_ns is None:
            self._troubled_boot_ns = boot_ns
        minute_of_day = self._minute_of_day(boot_ns)
        return GatewayKnown(
            minute_of_day=minute_of_day,
            # What was trusted once in a boot stays so.
            clock_untrusted_s=boot_ns / NS_PER_S if minute_of_day is None else 0.0,
            store_trouble=trouble,
            store_trouble_s=_s(boot_ns, self._troubled_boot_ns) or 0.0,
            routes=tuple(
                RouteKnown(name, why, self._waited_s(name, boot_ns))
                for name, why in self.route_troubles().items()
            ),
            dead_channels=self._dead_channels(),
            sensors=tuple(
                self._sensor(sensor, boot_ns)
                for name, sensor in self._sensors.items()
                if only is None or name in only
            ),
        )

    def note_oldest(self, route: str, moment: tuple[int, int] | None) -> None:
        """The boot, and the time since it, of the oldest item that waits for a route and may be sent."""
        self._oldest.pop(route, None)
        if moment is not None:
            self._oldest[route] = moment

    def heard_boot_ns(self, sensor_id: str) -> int:
        """When the newest sign of life was given; if none is known, the start of this process."""
        heard_boot_ns = self._facts.heard_boot_ns(sensor_id)
        return self._started_boot_ns if heard_boot_ns is None else heard_boot_ns

    def _sensor(self, config: SensorConfig, boot_ns: int) -> SensorKnown:
        taker, state = self._takers[config.id], self._contacts[config.id].state
        live, insight = taker.live(), self.insights.get(config.id, NO_INSIGHT)
        heard_age_s = max(0.0, (boot_ns - self.heard_boot_ns(config.id)) / NS_PER_S)
        worn = self._facts.worn(config.id)
        is_hindered = state.trouble is not None and state.phase is not Phase.STREAMING
        return SensorKnown(
            id=config.id,
            kind=config.kind,
            person=config.person,
            phase=state.phase,
            trouble=state.trouble.cause if state.trouble is not None and is_hindered else None,
            heard_age_s=heard_age_s,
            worn=worn,
            worn_age_s=heard_age_s if worn else _s(boot_ns, self._facts.worn_boot_ns(config.id)),
            warm_up_left_s=live.warm_up_left_s,
            wear_left_s=live.wear_left_s,
            battery_pct=taker.battery_pct,
            rest=insight.rest(boot_ns),
            values=self._values(config.id, taker, boot_ns),
            glucose=insight.glucose(boot_ns),
            rhythm=insight.rhythm(boot_ns),
            covered_by=self.standing.covered_by(config.id, boot_ns),
        )

    def _values(self, sensor_id: str, taker: Sensor, boot_ns: int) -> dict[str, ValueKnown]:
        values = {}
        for measurement in taker.kind.measurements:
            fact = self._facts.newest(sensor_id, measurement)
            if fact is not None:
                age_s = max(0.0, (boot_ns - fact.taken_boot_ns) / NS_PER_S)
                values[measurement] = ValueKnown(fact.value, age_s, fact.not_counted)
        return values

    def _minute_of_day(self, boot_ns: int) -> int | None:
        """Local wall time; None while the clock is not trusted. It is reckoned once a minute, and by each timeline."""
        timeline = self._timekeeper.timeline
        if timeline is not self._minute.timeline or boot_ns >= self._minute.until_boot_ns:
            self._minute = self._reckoned(timeline, boot_ns)
        return self._minute.of_day

    def _reckoned(self, timeline: Timeline, boot_ns: int) -> "_Minute":
        placed = timeline.place(self._timekeeper.boot_no, boot_ns)
        if placed is None or not placed.trusted:
            return _Minute(timeline, boot_ns + MINUTE_NS, None)
        local = datetime.fromtimestamp(placed.utc_ns / NS_PER_S, self._zone)
        until_boot_ns = boot_ns + MINUTE_NS - placed.utc_ns % MINUTE_NS
        return _Minute(timeline, until_boot_ns, 60 * local.hour + local.minute)

    def _waited_s(self, route: str, boot_ns: int) -> float | None:
        """How long the oldest item has waited; None if none waits, or nobody knows since when."""
        moment, timekeeper = self._oldest.get(route), self._timekeeper
        if moment is None:
            return None
        if moment[0] == timekeeper.boot_no:
            return (boot_ns - moment[1]) / NS_PER_S
        was, now = timekeeper.timeline.place(*moment), timekeeper.timeline.place(timekeeper.boot_no, boot_ns)
        if was is None or now is None or not (was.trusted and now.trusted):
            return None
        return (now.utc_ns - was.utc_ns) / NS_PER_S


def _s(boot_ns: int, since_boot_ns: int | None) -> float | None:
    return None if since_boot_ns is None else (boot_ns - since_boot_ns) / NS_PER_S
