"""The alerts that stand (have not ended): raised by values and by silence, ended by values within the limit.

Contract: nothing polls. A fact is judged when it is noted, and silence at the moment when it would be too long. A value
alert is raised only by a value that counts and is fresh. It is ended only by such a value within the limit: if data
stay away it stands on, beside the alert about the silence. What stands is known here, and is shown even while the store
cannot be written.

    state            | beyond the limit           | within the limit | silent
    -----------------|----------------------------|------------------|--------------------------
    quiet            | breached since the reading | quiet            | quiet (silence is raised)
    breached         | standing, once it has held | quiet            | breached
    standing         | standing                   | quiet, cleared   | standing
"""

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

from edge.agenda import Agenda
from edge.alerts.rules import SILENCE, THRESHOLDS, Silence, Threshold
from edge.clock import NS_PER_S, Clock
from edge.config import Alerts
from edge.kinds import KINDS
from edge.now.facts import Fact, Facts
from edge.store.door import Store, Tables
from edge.store.sensors import SensorRow

log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """An alert that has not ended. `value` is the value that raised it; for silence, how many seconds it had lasted."""

    kind: str
    sensor_id: str
    value: float | None


class _Limit(NamedTuple):
    """A threshold of one sensor, with the operator's numbers."""

    key: tuple[str, str]  # the kind of the alert, the sensor
    is_below: bool
    value: float
    hold_ns: float


class _Watch(NamedTuple):
    """What is judged of one measurement of one sensor; no limit lies between `lowest` and `highest`."""

    silence: Silence | None
    limits: tuple[_Limit, ...]
    lowest: float
    highest: float


class AlertBoard:
    """Judges the facts of all sensors in use."""

    def __init__(
        self,
        rows: Sequence[SensorRow],
        *,
        facts: Facts,
        store: Store,
        agenda: Agenda,
        clock: Clock,
        boot_no: int,
        limits: Alerts,
    ) -> None:
        self._rows = {row.id: row for row in rows}
        self._facts = facts
        self._store = store
        self._agenda = agenda
        self._clock = clock
        self._boot_no = boot_no
        self._limits = limits
        self._started_boot_ns = clock.boot_ns()
        self._breached_boot_ns: dict[tuple[str, str], int] = {}
        self._standing: dict[tuple[str, str], Standing] = {}
        self._stood = store.tables.alerts.open()
        self._watches = {
            (row.id, measurement): self._watch(measurement, row.id)
            for row in rows
            for measurement in KINDS[row.kind].measurements
        }

    def _watch(self, measurement: str, sensor_id: str) -> _Watch:
        limits = tuple(self._limit(threshold, sensor_id) for threshold in THRESHOLDS[measurement])
        lowest = max((limit.value for limit in limits if limit.is_below), default=-math.inf)
        highest = min((limit.value for limit in limits if not limit.is_below), default=math.inf)
        return _Watch(SILENCE[measurement], limits, lowest, highest)

    def _limit(self, threshold: Threshold, sensor_id: str) -> _Limit:
        hold_s = getattr(self._limits, threshold.hold) if threshold.hold else 0.0
        return _Limit(
            (threshold.kind, sensor_id),
            threshold.side == "below",
            getattr(self._limits, threshold.limit),
            hold_s * NS_PER_S,
        )

    def start(self) -> None:
        """Take over what stood when the gateway stopped, and begin to listen."""
        in_use = {row.no: row for row in self._rows.values()}
        for alert in self._stood:
            row = in_use.get(alert.sensor_no)
            if row is None:
                self._note_end(alert.kind, alert.sensor_no)
                log.info("an alert of a sensor that is no longer in use is over")
            else:
                self._standing[alert.kind, row.id] = Standing(alert.kind, row.id, alert.value)
        self._facts.on_fact = self.judge
        for (sensor_id, _), watch in self._watches.items():
            if watch.silence is not None:
                self._listen_for(watch.silence, sensor_id)

    @property
    def standing(self) -> list[Standing]:
        return list(self._standing.values())

    def judge(self, sensor_id: str, measurement: str, fact: Fact) -> None:
        """A new fact is known."""
        silence, limits, lowest, highest = self._watches[sensor_id, measurement]
        if not self._standing and not self._breached_boot_ns and lowest <= fact.value <= highest:
            return  # as nearly always: nothing can begin or end
        if silence is not None and (silence.kind, sensor_id) in self._standing:
            if not self._is_silent(silence, sensor_id):
                self._clear(silence.kind, sensor_id)
            self._listen_for(silence, sensor_id)
        if fact.not_counted is not None:
            return
        if silence is not None and self._is_silent(silence, sensor_id):
            return  # it was taken too long ago to say anything about now
        for limit in limits:
            self._compare(limit, fact)

    def _compare(self, limit: _Limit, fact: Fact) -> None:
        key, value = limit.key, fact.value
        if not (value < limit.value if limit.is_below else value > limit.value):
            if key in self._breached_boot_ns:
                del self._breached_boot_ns[key]
            if key in self._standing:
                self._clear(*key)
        elif key not in self._standing:
            first_boot_ns = self._breached_boot_ns.setdefault(key, fact.taken_boot_ns)
            if fact.taken_boot_ns - first_boot_ns >= limit.hold_ns:
                self._raise(*key, value)

    def _silence_ns(self, silence: Silence) -> int:
        limit_s: float = getattr(self._limits, silence.limit)
        return round(limit_s * NS_PER_S)

    def _heard_boot_ns(self, sensor_id: str) -> int:
        """When the newest datum was taken, of this process or stored by one before; if there is none, the start."""
        heard_boot_ns = self._facts.heard_boot_ns(sensor_id)
        return self._started_boot_ns if heard_boot_ns is None else heard_boot_ns

    def _is_silent(self, silence: Silence, sensor_id: str) -> bool:
        return self._clock.boot_ns() - self._heard_boot_ns(sensor_id) > self._silence_ns(silence)

    def _listen_for(self, silence: Silence, sensor_id: str) -> None:
        """Raise the alert if nothing was heard for too long, else look again when that could be."""
        if (silence.kind, sensor_id) in self._standing:
            return
        since_boot_ns = self._heard_boot_ns(sensor_id)
        if self._is_silent(silence, sensor_id):
            self._raise(silence.kind, sensor_id, (self._clock.boot_ns() - since_boot_ns) / NS_PER_S)
            return
        due_boot_ns = since_boot_ns + self._silence_ns(silence) + 1
        self._agenda.set(
            f"{silence.kind} {sensor_id}", due_boot_ns, lambda: self._listen_for(silence, sensor_id)
        )

    def _raise(self, kind: str, sensor_id: str, value: float) -> None:
        self._standing[kind, sensor_id] = Standing(kind, sensor_id, value)
        sensor_no, boot_no, boot_ns = self._rows[sensor_id].no, self._boot_no, self._clock.boot_ns()

        def work(tables: Tables) -> None:
            tables.alerts.raise_alert(kind, sensor_no, value, boot_no, boot_ns)

        self._store.post(work)
        # Which alert, and at what value, is health data: the log on the disk is not encrypted.
        log.warning("%s: an alert was raised; `vitalgate status` shows it", sensor_id)

    def _clear(self, kind: str, sensor_id: str) -> None:
        self._breached_boot_ns.pop((kind, sensor_id), None)
        del self._standing[kind, sensor_id]
        self._note_end(kind, self._rows[sensor_id].no)
        log.info("%s: an alert is over", sensor_id)

    def _note_end(self, kind: str, sensor_no: int) -> None:
        boot_no, boot_ns = self._boot_no, self._clock.boot_ns()

        def work(tables: Tables) -> None:
            tables.alerts.clear_alert(kind, sensor_no, boot_no, boot_ns)

        self._store.post(work)
