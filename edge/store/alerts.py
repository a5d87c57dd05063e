"""Alerts: what happened to each, and how far each channel has come with telling it.

Contract: an event is kept once, whoever writes it again. What rules, channels and times of alerts mean is not known
here.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from uuid import UUID

from edge.store.database import Database

# The last thing that happens to an alert.
ENDS: Final = ("over", "retracted")

_SELECT = """
SELECT e.id, e.rule, e.sensor_no, e.person, e.what, e.tier, e.ordinal, e.step, e.at_s, e.value, e.unit, e.urgent,
    e.reason, e.boot_no, e.boot_ns"""
_NOTE = """
INSERT INTO alert_events (id, rule, sensor_no, person, what, tier, ordinal, step, at_s, value, unit, urgent, reason,
    boot_no, boot_ns)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_NEWEST = " FROM alert_events AS e ORDER BY no DESC LIMIT ?"
_NEWEST_OF_EACH = """
FROM (SELECT rule, sensor_no, max(no) AS no FROM alert_events GROUP BY rule, sensor_no) AS n
    JOIN alert_events AS e USING (no) ORDER BY no
"""
_ISSUE = "INSERT INTO alert_deliveries VALUES (?, ?, 'issued', 0, ?, ?) ON CONFLICT DO NOTHING"
_MOVE = """
UPDATE alert_deliveries SET state = ?, tries = ?, boot_no = ?, boot_ns = ? WHERE event = ? AND channel = ?
"""
_CLOSE = """
UPDATE alert_deliveries SET state = ?, boot_no = ?, boot_ns = ? WHERE state IN ('issued', 'delivered') AND event IN (
    SELECT id FROM alert_events WHERE rule = ? AND sensor_no IS ? AND ordinal = ?)
"""
_WAITING = """, d.channel, d.tries
FROM alert_deliveries AS d INDEXED BY alert_deliveries_open JOIN alert_events AS e ON e.id = d.event
WHERE d.state = 'issued' ORDER BY e.no, d.channel
"""
# Those of alerts that stand are kept: the event is neither an end, nor is there a later one of its rule and sensor.
_OLDEST = """
FROM alert_events AS e WHERE what IN ('over', 'retracted') OR EXISTS (SELECT 1 FROM alert_events AS later
    WHERE later.rule = e.rule AND later.sensor_no IS e.sensor_no AND later.no > e.no) ORDER BY no LIMIT ?
"""


class AlertEvent(NamedTuple):
    """Something that happened to an alert of a sensor, or of the gateway itself (`sensor_no` is None)."""

    id: UUID
    rule: str
    sensor_no: int | None
    person: str | None
    what: str
    tier: int
    ordinal: int
    step: int
    at_s: float
    value: float | None
    unit: str | None
    urgent: bool
    reason: str | None
    boot_no: int
    boot_ns: int


class Waiting(NamedTuple):
    """An event that a channel has not delivered yet, and how often it has tried."""

    event: AlertEvent
    channel: str
    tries: int


class Delivery(NamedTuple):
    """How far a channel has come with an event, and when it came there."""

    channel: str
    state: str
    tries: int
    boot_no: int
    boot_ns: int


class Alerts:
    """The alerts of all sensors and of the gateway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, event: AlertEvent, channels: Iterable[str] = ()) -> bool:
        """Keep an event, which is issued to these channels; False if it is already there."""
        is_new = bool(self._database.write(_NOTE, str(event.id), *event[1:]))
        for channel in channels:
            self._database.write(_ISSUE, str(event.id), channel, event.boot_no, event.boot_ns)
        return is_new

    def move(self, event_id: UUID, channel: str, state: str, tries: int, boot_no: int, boot_ns: int) -> None:
        """A channel has come further with an event. Nothing happens if it was never issued to the channel."""
        self._database.write(_MOVE, state, tries, boot_no, boot_ns, str(event_id), channel)

    def close(
        self, rule: str, sensor_no: int | None, ordinal: int, state: str, boot_no: int, boot_ns: int
    ) -> None:
        """All that was told of an alert, or was to be, is in this state: acknowledged, or retracted."""
        self._database.write(_CLOSE, state, boot_no, boot_ns, rule, sensor_no, ordinal)

    def waiting(self) -> list[Waiting]:
        """What was issued and has not got further, oldest event first."""
        rows = self._database.read(_SELECT + _WAITING)
        return [Waiting(_event(row), channel, tries) for *row, channel, tries in rows]

    def deliveries(self, event_id: UUID) -> list[Delivery]:
        rows = self._database.read(
            "SELECT channel, state, tries, boot_no, boot_ns FROM alert_deliveries WHERE event = ? ORDER BY 1",
            str(event_id),
        )
        return [Delivery(*row) for row in rows]

    def newest_of_each(self) -> list[AlertEvent]:
        """The newest event of each rule and sensor, oldest first."""
        return [_event(row) for row in self._database.read(_SELECT + _NEWEST_OF_EACH)]

    def open(self) -> list[AlertEvent]:
        """The newest events of the alerts that have not ended, oldest first."""
        return [event for event in self.newest_of_each() if event.what not in ENDS]

    def newest(self, limit: int) -> list[AlertEvent]:
        """The newest events, newest first."""
        return [_event(row) for row in self._database.read(_SELECT + _NEWEST, limit)]

    def oldest(self, limit: int) -> list[AlertEvent]:
        """The oldest events, except those by which an alert stands."""
        return [_event(row) for row in self._database.read(_SELECT + _OLDEST, limit)]

    def delete(self, event_id: UUID) -> None:
        """Delete an event and its deliveries."""
        self._database.write("DELETE FROM alert_deliveries WHERE event = ?", str(event_id))
        self._database.write("DELETE FROM alert_events WHERE id = ?", str(event_id))


def _event(row: Iterable[Any]) -> AlertEvent:
    event_id, *fields = row
    event = AlertEvent(UUID(event_id), *fields)
    return event._replace(urgent=bool(event.urgent))
