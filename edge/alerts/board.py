"""The alerts of the running gateway: asks what is known, steps the engine, and has told and stored what comes of it.

Contract: nothing polls but a look at everything each minute. A sensor is looked at when it has told something, unless
that is one more value of which the engine said before that it changes nothing; and at the moment when time alone can
change something. What comes of it is told at once; it waits for no disk. What is stored
is stored together with the state that it follows from, and if the store cannot be written, with the next commit that
works. A process that begins goes on where the one before was.

A process that has just begun has heard nothing yet, and knows only what was stored. So it leaves silence alone for
`SETTLING_S`, unless `UNSETTLED_MAX` before it have ended before that was over.

Rules are in `rules`, what follows from them in `engine`, the time of the alerts in `axis`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from edge.agenda import Agenda
from edge.alerts import memory
from edge.alerts.axis import Axis, Mark
from edge.alerts.delivery import Delivery, Result
from edge.alerts.engine import calm, look, rules_for
from edge.alerts.ledger import Ledger
from edge.alerts.memory import Memory
from edge.alerts.message import TEST, Message, message
from edge.alerts.rules import RULES
from edge.alerts.shown import Shown, ShownSnooze, shown, snoozes
from edge.alerts.snooze import Refusal, acknowledge, snooze, unsnooze
from edge.alerts.state import GATEWAY, AlertState, Event, Snooze, Tier, What
from edge.clock import NS_PER_S
from edge.config import Config
from edge.identity import Identity
from edge.now.facts import Fact, Facts
from edge.now.present import Present
from edge.store.alerts import AlertEvent
from edge.store.sensors import SensorRow
from edge.store.tables import Tables
from edge.timekeeper import Timekeeper

LOOK_S: Final = 60.0
# A CGM tells the minute in which it measured.
ROUNDED_S: Final = 60.0
SETTLING_S: Final = 120.0
UNSETTLED_MAX: Final = 3


class Parts(NamedTuple):
    """What the board works with."""

    config: Config
    identity: Identity
    facts: Facts
    present: Present
    timekeeper: Timekeeper
    agenda: Agenda
    ledger: Ledger
    delivery: Delivery


class AlertBoard:
    """The alerts of all sensors in use, and of the gateway."""

    def __init__(self, rows: Sequence[SensorRow], tables: Tables, parts: Parts) -> None:
        """Read what was stored of them; call this before the store's `run`, and after old signs of life are noted."""
        self._rows = rows
        self._parts = parts
        self._limits = parts.config.alerts
        self._store_id = tables.store_id()
        known = [*tables.sensors.all(), *rows]  # those in use have the name, if others had it before
        self._numbers = {row.id: row.no for row in sorted(known, key=lambda row: not row.retired)}
        boot_ns, boot_no = parts.timekeeper.boot_ns(), parts.timekeeper.boot_no
        kept = memory.load(tables)
        self._axis = Axis(kept.mark if kept else None, boot_no, boot_ns, parts.timekeeper.timeline)
        at_s = self._axis.at_s(boot_ns)
        unsettled = kept.unsettled if kept else 0
        self._unsettled = unsettled + 1
        self._has_ended = False
        self._settled_boot_ns = boot_ns + (round(SETTLING_S * NS_PER_S) if unsettled < UNSETTLED_MAX else 0)
        if kept is not None:
            self._state = kept.state if kept.has_ended else memory.after_kill(kept.state, at_s)
        else:
            subjects = {no: name for name, no in self._numbers.items()}
            self._state = memory.rebuilt(tables.alerts.newest_of_each(), subjects, at_s)
        self._recalled_boot_ns = dict[str, int]()
        self._recall_heard(kept, tables, at_s)
        self._recall_untold(tables, at_s)
        self._calm = {sensor.id: calm(sensor.kind, self._limits) for sensor in parts.config.sensors}
        self._busy = {*self._calm}
        parts.ledger.version, parts.ledger.body = memory.VERSION, self._packed

    def _recall_heard(self, kept: Memory | None, tables: Tables, at_s: float) -> None:
        """Silence counts from what an earlier process heard, or from when it first waited.

        Stored values may be newer than the memory. But those of another boot were dated by wall time, which may have
        been wrong, so none counts as newer than it came.
        """
        boot_ns, facts = self._parts.timekeeper.boot_ns(), self._parts.facts
        for row in self._rows:
            known_boot_ns = facts.heard_boot_ns(row.id)
            heard_s = kept.heard_s.get(row.no) if kept else None
            if kept is not None and heard_s is not None and known_boot_ns is not None:
                newest_s = max(heard_s, _came_s(tables, row.no, kept.mark)) + ROUNDED_S
                known_boot_ns = (
                    known_boot_ns if heard_s <= self._axis.at_s(known_boot_ns) <= newest_s else None
                )
            if known_boot_ns is None:
                silent_s = 0.0 if heard_s is None else max(0.0, at_s - heard_s)
                self._recalled_boot_ns[row.id] = boot_ns - round(silent_s * NS_PER_S)
                facts.recall_heard(row.id, self._recalled_boot_ns[row.id])

    def _recall_again(self, skipped_s: float) -> None:
        """The machine was off for longer than was known at first: what was not heard since is silent for longer."""
        facts, recalled_boot_ns = self._parts.facts, self._recalled_boot_ns
        self._recalled_boot_ns = {}
        for sensor_id, boot_ns in recalled_boot_ns.items():
            if facts.heard_boot_ns(sensor_id) == boot_ns:
                facts.recall_heard(sensor_id, boot_ns - round(skipped_s * NS_PER_S))

    def _recall_untold(self, tables: Tables, at_s: float) -> None:
        """What an earlier process had not told yet is told now."""
        names = {no: name for name, no in self._numbers.items()}
        people = {person.pseudonym: person.id for person in self._parts.config.people}
        for event, channel, _ in tables.alerts.waiting():
            placed = self._parts.timekeeper.timeline.place(event.boot_no, event.boot_ns)
            utc_s = placed.utc_ns / NS_PER_S if placed is not None and placed.trusted else None
            letter = message(event, names.get(event.sensor_no or 0), people.get(event.person or ""), utc_s)
            self._parts.delivery.hand(letter, (channel,), age_s=max(0.0, at_s - event.at_s))

    def start(self) -> None:
        """Begin to listen and to look."""
        self._parts.facts.on_fact = self._judge
        self._parts.facts.on_renewed = self._look_again
        self._parts.ledger.save()
        self.look()

    def save(self) -> None:
        """Have what is known stored, on the way out."""
        self._has_ended = True
        self._parts.ledger.save()

    @property
    def at_s(self) -> float:
        """The time of the alerts."""
        return self._axis.at_s(self._parts.timekeeper.boot_ns())

    # Looking

    def _judge(self, sensor_id: str, measurement: str, fact: Fact) -> None:
        """A sensor has told something."""
        # This runs for every packet of a strap.
        if fact.not_counted is None and sensor_id not in self._busy:
            within = self._calm[sensor_id].get(measurement)
            if within is not None and within[0] <= fact.value <= within[1]:
                return
        self._look_at(sensor_id)

    def _look_at(self, sensor_id: str | None) -> None:
        """Look at one sensor, or at everything, and again when time alone can change something."""
        parts, boot_ns = self._parts, self._parts.timekeeper.boot_ns()
        only = None if sensor_id is None else (sensor_id,)
        known, at_s = parts.present.known(only), self._axis.at_s(boot_ns)
        state, events, due_s, busy = look(self._state, known, at_s, self._limits, only)
        self._take(state, events)
        self._busy = busy if only is None else {*self._busy.difference(only), *busy}
        name = "alerts" if sensor_id is None else f"alerts {sensor_id}"
        if sensor_id is None:
            due_s = min(at_s + LOOK_S, at_s + LOOK_S if due_s is None else due_s)
        due_boot_ns = None if due_s is None else boot_ns + round((due_s - at_s) * NS_PER_S)
        parts.agenda.set(name, due_boot_ns, lambda: self._look_again(sensor_id))

    def look(self) -> None:
        """Look at everything, once the process has settled."""
        boot_ns = self._parts.timekeeper.boot_ns()
        skipped_s = self._axis.look(boot_ns, self._parts.timekeeper.timeline)
        if skipped_s:
            self._recall_again(skipped_s)
        if boot_ns < self._settled_boot_ns:
            self._parts.agenda.set("alerts", self._settled_boot_ns, self.look)
            return
        self._unsettled = 0
        self._look_at(None)

    def _look_again(self, sensor_id: str | None) -> None:
        if sensor_id is None or self._unsettled:
            self.look()
        else:
            self._look_at(sensor_id)

    # What comes of it

    def _take(self, state: AlertState, events: Sequence[Event]) -> None:
        is_snooze_over = state.snoozes is not self._state.snoozes
        self._state = state
        for event in events:
            self._tell(event)
        if events or is_snooze_over:
            self._parts.ledger.save()

    def _tell(self, event: Event) -> None:
        """Have it told on every channel, and stored."""
        parts, sensor_no = self._parts, self._numbers.get(event.subject)
        stored, channels = self._stored(event, sensor_no), parts.delivery.channels_for(event.tier)
        closed = {What.ACKNOWLEDGED: "acknowledged", What.RETRACTED: "retracted"}.get(event.what)
        if closed is not None:
            parts.ledger.close(event.rule, sensor_no, event.ordinal, closed)
        parts.ledger.note(stored, channels)
        subject = None if event.subject == GATEWAY else event.subject
        parts.delivery.hand(message(stored, subject, event.person, self._utc_s()), channels)

    def _stored(self, event: Event, sensor_no: int | None) -> AlertEvent:
        people = {person.id: person.pseudonym for person in self._parts.config.people}
        # A new store counts alerts from one again, so its own name is part of the id.
        names = self._store_id, event.rule, event.subject, event.ordinal, event.step
        return AlertEvent(
            id=self._parts.identity.id("alert", *names),
            rule=event.rule,
            sensor_no=sensor_no,
            person=people.get(event.person or ""),
            what=event.what.value,
            tier=int(event.tier),
            ordinal=event.ordinal,
            step=event.step,
            at_s=event.at_s,
            value=event.value,
            unit=event.unit,
            urgent=event.urgent,
            reason=event.reason,
            boot_no=self._parts.timekeeper.boot_no,
            boot_ns=self._parts.timekeeper.boot_ns(),
        )

    def _utc_s(self) -> float | None:
        keeper = self._parts.timekeeper
        return None if keeper.trusted_error_ms() is None else keeper.utc_ns() / NS_PER_S

    def _packed(self) -> bytes:
        boot_ns = self._parts.timekeeper.boot_ns()
        heard_s = {
            row.no: round(self._axis.at_s(self._parts.present.heard_boot_ns(row.id)), 3) for row in self._rows
        }
        return memory.pack(
            Memory(self._axis.mark(boot_ns), heard_s, self._unsettled, self._has_ended, self._state)
        )

    # What people ask, and do

    def shown(self) -> list[Shown]:
        """The alerts that stand, with today's values."""
        return shown(self._state, self._parts.present.known(), self.at_s, self._limits)

    def snoozes(self) -> list[ShownSnooze]:
        return snoozes(self._state, self.at_s)

    def snooze(self, rule: str, subject: str | None, for_s: float, unless: float | None) -> Refusal | None:
        """Let a rule ring for nobody for a while, or end that if it is for no time; why not, if it cannot be."""
        unknown = self._unknown(rule, subject)
        if unknown is not None:
            return unknown
        if for_s == 0.0:
            self._take(unsnooze(self._state, rule, subject), ())
            self._look_again(None)
            return None
        wanted = Snooze(rule, subject, round(self.at_s + for_s, 3), unless)
        result = snooze(self._state, wanted, self.at_s, self._limits)
        if isinstance(result, Refusal):
            return result
        self._take(result, ())
        self._look_again(None)
        return None

    def acknowledge(self, rule: str, subject: str) -> Refusal | None:
        """Take note of an alert; why not, if there is nothing to take note of."""
        unknown = self._unknown(rule, subject)
        if unknown is not None:
            return unknown
        state, events = acknowledge(self._state, rule, subject, self.at_s)
        self._take(state, events)
        self._look_again(None)
        return None if events else Refusal.NOT_WAITING

    def _unknown(self, rule: str, subject: str | None) -> Refusal | None:
        """Why there can be no such alert; without a subject, that of any sensor is meant."""
        if rule not in RULES:
            return Refusal.NO_RULE
        if subject is None:
            return None
        kinds = {sensor.id: sensor.kind for sensor in self._parts.config.sensors} | {GATEWAY: GATEWAY}
        if subject not in kinds:
            return Refusal.NO_SENSOR
        return None if rule in dict(rules_for(kinds[subject], ())) else Refusal.NOT_OF_SENSOR

    async def test(self) -> list[Result]:
        """Tell something that is no alert, on each channel; what came of it."""
        test = Message(
            id=str(self._parts.identity.id("alert", TEST, self._store_id, round(self.at_s * 1000))),
            rule=TEST,
            sensor=GATEWAY,
            person=None,
            what=What.RAISED.value,
            tier=Tier.REMINDER.name.lower(),
            ordinal=0,
            value=None,
            beyond=None,
            unit=None,
            urgent=False,
            reason=None,
            utc_s=self._utc_s(),
            text="A test of the channels: no alert",
        )
        return await self._parts.delivery.test(test)


def _came_s(tables: Tables, sensor_no: int, mark: Mark) -> float:
    """When the newest stored value of a sensor came, in the boot of a mark; 0 if none came in it."""
    boot_no, boot_ns = tables.newest_arrival(sensor_no) or (0, 0)
    return mark.at_s + (boot_ns - mark.boot_ns) / NS_PER_S if boot_no == mark.boot_no else 0.0
