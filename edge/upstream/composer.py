"""Composes a batch: finds the things that items stand for, and makes a FHIR bundle of them.

Contract: this module reads the store and writes nothing. An item that cannot be composed is returned with the reason,
and does not affect the others. The name of a batch is made of time, number and content, so that the order of the names
is the order of sending. The time is that of the trusted clock. Without one it is the time of the newest thing in the
batch, or of the former batch if that is later.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from edge.config import Config
from edge.errors import one_line
from edge.identity import Identity
from edge.measurements import MEASUREMENTS, PERIODS
from edge.store.deliveries import Batch, Carried, Item
from edge.store.door import Tables
from edge.store.sensors import SensorRow
from edge.store.summaries import SummaryKey
from edge.upstream import resources
from edge.upstream.resources import Origin, Resource

# What a row or a `ref` that makes no sense may raise. (datetime refuses a year in three ways.)
_UNREADABLE = (LookupError, ValueError, TypeError, OverflowError, OSError, msgspec.MsgspecError)

_STAMP = "%Y%m%dT%H%M%SZ"
_STAMP_LENGTH = len("20261121T000000Z")


class Composed(NamedTuple):
    """A batch, or None if no item could be composed, and the items that could not be, with the reasons."""

    batch: Batch | None
    failed: tuple[tuple[Item, str], ...]


class _Found(NamedTuple):
    """What an item stands for: its sensor, its end, and the function that makes its resources."""

    sensor: SensorRow
    until_utc_s: int
    render: Callable[[Origin], list[Resource]]


class _Rendered(NamedTuple):
    until_utc_s: int
    device: bytes
    entries: list[bytes]


class _Uncomposable(Exception):  # noqa: N818 - a state of the data, not a defect
    """An item that can never be composed as it is."""


class Composer:
    """Composes the batches of one gateway."""

    def __init__(self, config: Config, identity: Identity, *, version: str, simulated: bool) -> None:
        self._gateway = config.gateway.id
        self._identity = identity
        self._simulated = simulated
        self._gateway_entry = self._entry(resources.gateway_device(self._gateway, version))

    def compose(self, tables: Tables, items: Sequence[Item], utc_s: int | None, after: Carried) -> Composed:
        """Compose a batch of these items.

        Args:
            tables: the store's tables.
            items: of one person.
            utc_s: the time by the trusted clock; None without one.
            after: what the route will have delivered before this batch.
        """
        rendered: dict[Item, _Rendered] = {}
        failed = []
        for item in items:
            try:
                rendered[item] = self._render(tables, item)
            except _Uncomposable as fault:
                failed.append((item, one_line(str(fault))))
            except _UNREADABLE as fault:
                failed.append((item, one_line(f"it cannot be read: {fault}")))
        if not rendered:
            return Composed(None, tuple(failed))
        newest_utc_s = max(part.until_utc_s for part in rendered.values()) if utc_s is None else utc_s
        sent_utc_s = max(newest_utc_s, after.last_utc_s or 0)
        devices = dict.fromkeys(part.device for part in rendered.values())
        observations = [entry for part in rendered.values() for entry in part.entries]
        body = resources.bundle(
            [self._gateway_entry, *devices, *observations], sent_utc_s, simulated=self._simulated
        )
        return Composed(
            Batch(_name(sent_utc_s, after.batches + 1, body), body, tuple(rendered)), tuple(failed)
        )

    def _render(self, tables: Tables, item: Item) -> _Rendered:
        if item.kind not in FIND:
            raise _Uncomposable(f"nothing is known of the kind {item.kind}")
        sensor, until_utc_s, render = FIND[item.kind](tables, item)
        if sensor.person != item.person:
            raise _Uncomposable("its sensor is another person's")
        # The pseudonym depends on the person, so that it does not connect two people who wear the same sensor.
        pseudonym = self._identity.id("sensor", item.person, sensor.address)
        found = render(Origin(item.person, self._gateway, pseudonym))
        device = self._entry(resources.sensor_device(pseudonym, sensor.kind))
        return _Rendered(until_utc_s, device, list(map(self._entry, found)))

    def _entry(self, resource: Resource) -> bytes:
        return resources.entry(resource, simulated=self._simulated)


def named_utc_s(name: str) -> int:
    """The time in the name of a batch."""
    return round(datetime.strptime(name[:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC).timestamp())


def _name(utc_s: int, number: int, body: bytes) -> str:
    stamp = datetime.fromtimestamp(utc_s, UTC).strftime(_STAMP)
    return f"{stamp}-{number:07}-{hashlib.sha256(body).hexdigest()[:16]}"


def _reading(tables: Tables, item: Item) -> _Found:
    session_no, measurement, sequence = item.ref.split("/")
    if measurement not in MEASUREMENTS or MEASUREMENTS[measurement].item != item.kind:
        raise _Uncomposable(f"{measurement} is nothing that goes up as {item.kind}")
    reading = tables.readings.get(int(session_no), measurement, int(sequence))
    if reading is None:
        raise _Uncomposable("it is gone from the store")
    if reading.not_counted is not None:
        raise _Uncomposable(f"it does not count: {reading.not_counted}")
    session = tables.sessions.get(int(session_no))
    if session.start_utc_s is None or session.start_error_ms is None:
        raise _Uncomposable("nothing vouches for its time")
    utc_s, value = session.start_utc_s + reading.at_s, reading.value
    render = resources.READINGS[item.kind]
    sensor = tables.sensors.get(session.sensor_no)
    return _Found(sensor, utc_s, lambda origin: [render(item.id, utc_s, value, origin)])


def _summary(tables: Tables, item: Item) -> _Found:
    kind, sensor_no, start_utc_s = item.ref.split("/")
    summary = tables.summaries.get(SummaryKey(kind, int(sensor_no), int(start_utc_s)))
    if summary is None:
        raise _Uncomposable("it is gone from the store")
    render = resources.SUMMARIES[item.kind]
    sensor = tables.sensors.get(int(sensor_no))
    return _Found(sensor, summary.end_utc_s, lambda origin: render(summary, origin))


# The function that finds in the store what an item stands for, by the kind of the item.
FIND: Final[dict[str, Callable[[Tables, Item], _Found]]] = {
    **dict.fromkeys(PERIODS, _summary),
    **{measurement.item: _reading for measurement in MEASUREMENTS.values() if measurement.item is not None},
}
