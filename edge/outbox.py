"""The outbox: what has to reach the upstream, and how far each item has come.

Contract: an item is a thing with an id; a new revision of it goes the same way again under the same id. It
is enqueued in the transaction that stores the thing it announces. One batch is in flight at a time, and its
bytes are stored before the first of them is sent: after a crash the same bytes go out under the same name,
so that the upstream sees each thing at least once and can tell a repetition. No rendering and no sending
here.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from edge.clock import Clock
from edge.database import Database, Row

# The kinds of items, and the class of data whose consent each needs (the fields of config.Consent).
DATA_CLASS = {
    "heart_5min": "heart_summaries",
    "glucose_day": "glucose_summaries",
    "cgm_reading": "glucose_readings",
}

_STATES = ("pending", "inflight", "acked", "parked")


class Item(NamedTuple):
    """A thing to send: its id upstream, its kind, where the store has it, and the revision."""

    id: UUID
    kind: str
    ref: str
    rev: int


class Batch(NamedTuple):
    """The items in flight, and the bytes that carry them."""

    name: str
    body: bytes
    items: tuple[Item, ...]


class Counts(NamedTuple):
    """How many items are in each state, and when the oldest unsent one was enqueued."""

    pending: int
    inflight: int
    acked: int
    parked: int
    oldest_boot_id: str | None
    oldest_boot_ns: int | None


class Parked(NamedTuple):
    """An item the upstream refused, and why."""

    item: Item
    reason: str


class Outbox:
    """The queue, over the store's connection."""

    def __init__(self, store: Database, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def enqueue(self, item: Item) -> None:
        """Announce a thing, or a newer revision of it, inside the caller's transaction.

        An older or the same revision changes nothing. While an earlier one is in flight, the newer one waits
        until that has arrived.
        """
        assert item.kind in DATA_CLASS
        self._store.write(
            "INSERT INTO outbox (id, kind, ref, rev, state, enqueued_boot_id, enqueued_boot_ns)"
            " VALUES (?, ?, ?, ?, 'pending', ?, ?) ON CONFLICT (id) DO UPDATE SET rev = excluded.rev,"
            " state = CASE state WHEN 'inflight' THEN 'inflight' ELSE 'pending' END, batch_max = NULL,"
            " reason = NULL, enqueued_boot_id = excluded.enqueued_boot_id,"
            " enqueued_boot_ns = excluded.enqueued_boot_ns WHERE excluded.rev > rev",
            str(item.id),
            item.kind,
            item.ref,
            item.rev,
            self._clock.boot_id,
            self._clock.boot_ns(),
        )

    def in_flight(self) -> Batch | None:
        batch = self._store.read("SELECT name, body FROM outbox_batch")
        if not batch:
            return None
        items = self._store.read(
            "SELECT id, kind, ref, sent_rev FROM outbox WHERE state = 'inflight' ORDER BY seq"
        )
        name, body = batch[0]
        return Batch(name, body, tuple(map(_item, items)))

    def next_batch(
        self,
        items_max: int,
        kinds: Collection[str],
        render: Callable[[Sequence[Item]], tuple[str, bytes]],
    ) -> Batch | None:
        """The batch in flight; if there is none, a new one of the oldest pending items of these kinds.

        Args:
            items_max: the most items a batch may carry.
            kinds: kinds that may be sent now.
            render: gives items the name and the bytes of the batch that carries them.
        """
        batch = self.in_flight()
        if batch is not None:
            return batch
        rows = self._store.read(
            "SELECT id, kind, ref, rev, batch_max FROM outbox WHERE state = 'pending'"
            " AND kind IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?",
            msgspec.json.encode(sorted(kinds)).decode(),
            items_max,
        )
        if not rows:
            return None
        items = tuple(_item(row[:4]) for row in rows[: rows[0][4] or items_max])
        name, body = render(items)
        with self._store.transaction():
            self._store.write("INSERT INTO outbox_batch VALUES (1, ?, ?)", name, body)
            for item in items:
                self._store.write(
                    "UPDATE outbox SET state = 'inflight', sent_rev = rev WHERE id = ?", str(item.id)
                )
        return Batch(name, body, items)

    def acknowledge(self) -> None:
        """The upstream has the batch in flight. What has a newer revision by now is pending again."""
        self._land("CASE WHEN rev = sent_rev THEN 'acked' ELSE 'pending' END", batch_max=None, reason=None)

    def defer(self, reason: str) -> None:
        """Nobody took the batch: it stays in flight, with the attempt noted."""
        with self._store.transaction():
            self._store.write(
                "UPDATE outbox SET attempts = attempts + 1, reason = ? WHERE state = 'inflight'", reason
            )

    def reject(self, reason: str) -> None:
        """The upstream refused the batch: send halves of it, and park an item that is refused alone."""
        ((items,),) = self._store.read("SELECT count(*) FROM outbox WHERE state = 'inflight'")
        state = "'pending'" if items > 1 else "CASE WHEN rev = sent_rev THEN 'parked' ELSE 'pending' END"
        self._land(state, batch_max=max(1, items // 2), reason=reason)

    def release(self) -> None:
        """Take the batch in flight apart: some of it may no longer be sent."""
        self._land("'pending'", batch_max=None, reason=None)

    def counts(self) -> Counts:
        by_state: dict[str, int] = dict(self._store.read("SELECT state, count(*) FROM outbox GROUP BY state"))
        oldest = self._store.read(
            "SELECT enqueued_boot_id, enqueued_boot_ns FROM outbox WHERE state IN ('pending', 'inflight')"
            " ORDER BY seq LIMIT 1"
        )
        boot_id, boot_ns = oldest[0] if oldest else (None, None)
        pending, inflight, acked, parked = (by_state.get(state, 0) for state in _STATES)
        return Counts(pending, inflight, acked, parked, boot_id, boot_ns)

    def parked(self) -> list[Parked]:
        rows = self._store.read(
            "SELECT id, kind, ref, rev, reason FROM outbox WHERE state = 'parked' ORDER BY seq"
        )
        return [Parked(_item(row[:4]), row[4]) for row in rows]

    def _land(self, state: str, batch_max: int | None, reason: str | None) -> None:
        """End the flight of the batch; `state` is SQL that says what becomes of each item."""
        with self._store.transaction():
            self._store.write(
                f"UPDATE outbox SET state = {state}, batch_max = ?, reason = ?, attempts = attempts + 1,"  # noqa: S608
                " sent_rev = NULL WHERE state = 'inflight'",
                batch_max,
                reason,
            )
            self._store.write("DELETE FROM outbox_batch")


def _item(row: Row) -> Item:
    return Item(UUID(row[0]), *row[1:])
