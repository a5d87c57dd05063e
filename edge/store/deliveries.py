"""Deliveries: which items have to be sent by which route, and the state of each.

Contract: an item is a thing with an id. A new revision is sent again under the same id. An item is enqueued in the
transaction that stores the thing. Each route has at most one batch in flight, whose bytes are stored before any of
them is sent. So after a crash the same bytes are sent under the same name: the upstream receives everything at least
once and recognises repetitions. A batch holds items of one person only.

| a delivery is | event | and becomes |
|---|---|---|
| - | enqueue | pending |
| pending | enqueue of a newer revision | pending: it keeps its place |
| pending | begin_batch | inflight, with the revision that is sent |
| pending | park: it cannot be composed | parked, with the reason |
| inflight | enqueue of a newer revision | inflight: the newer one waits until this one has landed |
| inflight | acknowledge | acked; pending, if there is a newer revision |
| inflight | reject, with others | pending, to go again in a batch of half the size |
| inflight | reject, alone | parked, with the reason; pending, if there is a newer revision |
| inflight | release: it may no longer be sent | pending |
| acked, parked | enqueue of a newer revision | pending: it queues up anew |
| acked | delete_acked_before | - |
| pending, parked, acked | forget: the thing is deleted | - |

Enqueueing a revision that is not newer changes nothing. This module composes and sends nothing.
"""

import zlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from edge.store.database import Database


class Item(NamedTuple):
    """A thing to send: its kind, its place in the store, its id upstream, its person, and the revision."""

    kind: str
    ref: str
    id: UUID
    person: str
    rev: int


class Batch(NamedTuple):
    """The items in flight, and the bytes that are sent for them."""

    name: str
    body: bytes
    items: tuple[Item, ...]


class Carried(NamedTuple):
    """What a route has delivered since the store was made, and when it last did, as well as that is known."""

    batches: int
    items: int
    last_utc_s: int | None


class Counts(NamedTuple):
    """How many items are in each state, and since when the oldest unsent one waits."""

    pending: int
    inflight: int
    parked: int
    oldest_boot_no: int | None
    oldest_boot_ns: int | None
    carried: Carried


class Parked(NamedTuple):
    """An item that will not be sent, and why."""

    item: Item
    reason: str


class _Waiting(NamedTuple):
    seq: int
    item: Item
    batch_max: int | None


_DEFLATED = b"\x78"

# Each statement repeats `state <> 'acked'`, because SQLite uses a partial index only if the statement contains the
# condition of the index.
_ENQUEUE = """
INSERT INTO deliveries (route, kind, ref, item, person, rev, state, boot_no, boot_ns)
VALUES (?, ?, ?, ?, ?, ?, 'pending', ?, ?)
ON CONFLICT (route, kind, ref) DO UPDATE SET
    rev = excluded.rev, batch_max = NULL, reason = NULL, acked_utc_s = NULL,
    state = CASE state WHEN 'inflight' THEN 'inflight' ELSE 'pending' END,
    seq = CASE WHEN state IN ('pending', 'inflight') THEN seq ELSE (SELECT max(seq) + 1 FROM deliveries) END,
    boot_no = CASE WHEN state IN ('pending', 'inflight') THEN boot_no ELSE excluded.boot_no END,
    boot_ns = CASE WHEN state IN ('pending', 'inflight') THEN boot_ns ELSE excluded.boot_ns END
WHERE excluded.rev > rev
"""
_WAITING = """
SELECT seq, batch_max, kind, ref, item, person, rev FROM deliveries
WHERE route = ? AND state = 'pending' AND state <> 'acked' AND person = ? AND kind = ? ORDER BY seq LIMIT ?
"""
_OLDEST = """
SELECT seq, boot_no, boot_ns FROM deliveries
WHERE route = ? AND state = ? AND state <> 'acked' AND person = ? AND kind = ? ORDER BY seq LIMIT 1
"""
_IN_FLIGHT = """
SELECT kind, ref, item, person, sent_rev FROM deliveries
WHERE route = ? AND state = 'inflight' AND state <> 'acked' ORDER BY seq
"""
_BEGIN = """
INSERT INTO batches VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET name = excluded.name, body = excluded.body WHERE name = ''
"""
_SEND = """
UPDATE deliveries SET state = 'inflight', sent_rev = ?
WHERE route = ? AND kind = ? AND ref = ? AND state = 'pending'
"""
_PARK = """
UPDATE deliveries SET state = 'parked', reason = ?
WHERE route = ? AND kind = ? AND ref = ? AND rev = ? AND state = 'pending'
"""
_PARKED = """
SELECT kind, ref, item, person, rev, reason FROM deliveries
WHERE route = ? AND state = 'parked' AND state <> 'acked' ORDER BY seq LIMIT ?
"""
_ACKNOWLEDGE = """
UPDATE deliveries SET
    state = CASE WHEN rev = sent_rev THEN 'acked' ELSE 'pending' END,
    acked_utc_s = CASE WHEN rev = sent_rev THEN ? END,
    batch_max = NULL, reason = NULL, attempts = attempts + 1, sent_rev = NULL
WHERE route = ? AND state = 'inflight' AND state <> 'acked'
"""
_SPLIT = """
UPDATE deliveries SET state = 'pending', batch_max = ?, reason = ?, attempts = attempts + 1, sent_rev = NULL
WHERE route = ? AND state = 'inflight' AND state <> 'acked'
"""
_REFUSED_ALONE = """
UPDATE deliveries SET
    state = CASE WHEN rev = sent_rev THEN 'parked' ELSE 'pending' END,
    batch_max = 1, reason = ?, attempts = attempts + 1, sent_rev = NULL
WHERE route = ? AND state = 'inflight' AND state <> 'acked'
"""
_RELEASE = """
UPDATE deliveries SET state = 'pending', sent_rev = NULL
WHERE route = ? AND state = 'inflight' AND state <> 'acked'
"""
_CARRY = """
INSERT INTO carried VALUES (?, 1, ?, ?) ON CONFLICT DO UPDATE SET
    batches = batches + 1, items = items + excluded.items,
    last_utc_s = max(coalesce(last_utc_s, excluded.last_utc_s), excluded.last_utc_s)
"""
# Rows without a time come from version 1, which stored none. They are older than any limit.
_DELETE_ACKED = """
DELETE FROM deliveries WHERE seq IN (
    SELECT seq FROM deliveries WHERE state = 'acked' AND acked_utc_s IS NULL
    UNION ALL SELECT seq FROM deliveries WHERE state = 'acked' AND acked_utc_s < ? LIMIT ?)
"""
_NEWEST_REV = "SELECT max(rev) FROM deliveries WHERE route = ? AND kind = ? AND ref >= ? AND ref < ?"
_FORGET = "DELETE FROM deliveries WHERE route = ? AND kind = ? AND ref = ? AND state <> 'inflight'"

_FORGET_UNSENT = """
DELETE FROM deliveries WHERE route = ? AND kind = ? AND ref = ? AND state = 'pending' AND attempts = 0
"""
_SENT = "SELECT item, person, rev FROM deliveries WHERE route = ? AND kind = ? AND ref = ?"


class Deliveries:
    """The deliveries of all routes, over one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, item: Item, route: str, boot_no: int, boot_ns: int) -> None:
        """Enqueue an item, or a newer revision of it, inside the caller's transaction."""
        values = (route, item.kind, item.ref, str(item.id), item.person, item.rev, boot_no, boot_ns)
        self._database.write(_ENQUEUE, *values)

    def withdraw(self, route: str, kind: str, ref: str) -> Item | None:
        """Something else takes the place of a thing: what was sent of it, if it was; what was not is forgotten."""
        self._database.write(_FORGET_UNSENT, route, kind, ref)
        rows = self._database.read(_SENT, route, kind, ref)
        if not rows:
            return None
        item, person, rev = rows[0]
        return Item(kind, ref, UUID(item), person, rev)

    def pending(self, route: str) -> dict[tuple[str, str], int]:
        """How many items wait, by person and kind."""
        return {
            (person, kind): items
            for (state, person, kind), items in self._counted(route)
            if state == "pending"
        }

    def waiting(self, route: str, items_max: int, allowed: Collection[tuple[str, str]]) -> list[Item]:
        """The items of the next batch: the oldest that may be sent, and later ones of the same person.

        Args:
            route: the route of the batch.
            items_max: the most items in a batch.
            allowed: the (person, kind) whose items may be sent now. Each costs one query.
        """
        people = {person for person, _ in allowed}
        if len(people) > 1:
            heads = [head for group in allowed for head in self._queue(route, *group, 1)]
            people = {head.item.person for head in sorted(heads)[:1]}
        queues = [self._queue(route, *group, items_max) for group in allowed if group[0] in people]
        taken: list[Item] = []
        for row in sorted(row for queue in queues for row in queue):
            items_max = min(items_max, row.batch_max or items_max)
            if len(taken) >= items_max:
                break
            taken.append(row.item)
        return taken

    def in_flight(self, route: str) -> Batch | None:
        found = self._database.read("SELECT name, body FROM batches WHERE route = ? AND name <> ''", route)
        if not found:
            return None
        ((name, body),) = found
        return Batch(name, _inflated(body), tuple(map(_item, self._database.read(_IN_FLIGHT, route))))

    def begin_batch(self, route: str, batch: Batch) -> None:
        """Store a batch before it is sent: now it is in flight, with these revisions of its items."""
        # The fastest level costs less than it saves by fewer pages to encrypt and write.
        begun = self._database.write(_BEGIN, route, batch.name, zlib.compress(batch.body, 1))
        assert begun == 1, "one batch at a time"
        self._database.write_many(_SEND, [(item.rev, route, item.kind, item.ref) for item in batch.items])

    def acknowledge(self, route: str, utc_s: int) -> None:
        """The upstream has accepted the batch in flight, at `utc_s` or later."""
        self._database.write(_CARRY, route, self._flying(route), utc_s)
        self._land(route, _ACKNOWLEDGE, utc_s, route)

    def reject(self, route: str, reason: str) -> None:
        """The upstream refused the batch: its halves are sent next. An item that was refused alone is parked."""
        flying = self._flying(route)
        if flying > 1:
            self._land(route, _SPLIT, flying // 2, reason, route)
        else:
            self._land(route, _REFUSED_ALONE, reason, route)

    def release(self, route: str) -> None:
        """Dissolve the batch in flight, because some of its items may no longer be sent."""
        self._land(route, _RELEASE, route)

    def park(self, route: str, item: Item, reason: str) -> None:
        """Park an item that cannot be composed, so that it does not block the others."""
        self._database.write(_PARK, reason, route, item.kind, item.ref, item.rev)

    def parked(self, route: str, rows_max: int) -> list[Parked]:
        """The parked items and the reasons, oldest first."""
        return [Parked(_item(row[:5]), row[5]) for row in self._database.read(_PARKED, route, rows_max)]

    def carried(self, route: str) -> Carried:
        rows = self._database.read("SELECT batches, items, last_utc_s FROM carried WHERE route = ?", route)
        return Carried(*rows[0]) if rows else Carried(0, 0, None)

    def counts(self, route: str) -> Counts:
        """The counts of a route. The cost does not grow with the number of deliveries."""
        counted = self._counted(route)
        boot_no, boot_ns = self._oldest(route, [group for group, _ in counted]) or (None, None)
        by_state = dict.fromkeys(("pending", "inflight", "parked", "acked"), 0)
        for (state, _, _), count in counted:
            by_state[state] += count
        return Counts(
            by_state["pending"],
            by_state["inflight"],
            by_state["parked"],
            boot_no,
            boot_ns,
            self.carried(route),
        )

    def oldest(self, route: str, allowed: Collection[tuple[str, str]]) -> tuple[int, int] | None:
        """Since when (boot, and time since it) the oldest unsent item waits of those (person, kind)."""
        groups = [group for group, _ in self._counted(route) if group[1:] in allowed]
        return self._oldest(route, groups)

    def _oldest(self, route: str, groups: Iterable[tuple[str, str, str]]) -> tuple[int, int] | None:
        unsent = [group for group in groups if group[0] in ("pending", "inflight")]
        rows = [row for group in unsent for row in self._database.read(_OLDEST, route, *group)]
        if not rows:
            return None
        _, boot_no, boot_ns = min(rows)
        return boot_no, boot_ns

    def delete_acked_before(self, utc_s: int, rows_max: int) -> int:
        """Delete deliveries that were acknowledged before `utc_s`, at most so many rows; how many there were."""
        return self._database.write(_DELETE_ACKED, utc_s, rows_max)

    def newest_reading_rev(self, kind: str, session_no: int, measurement: str) -> int:
        """The newest revision of any reading of a session, by any route; 0 if none was ever enqueued."""
        of_session = reading_ref(session_no, measurement, 0)[:-1]
        span = f"{of_session}0", f"{of_session}:"  # a colon sorts after every digit
        found = [self._database.read(_NEWEST_REV, route, kind, *span)[0][0] for route in self._routes()]
        return max((rev for rev in found if rev is not None), default=0)

    def forget(self, kind: str, refs: Iterable[str]) -> None:
        """These things are deleted from the store: delete their deliveries, except those in flight."""
        routes = self._routes()
        self._database.write_many(_FORGET, [(route, kind, ref) for ref in refs for route in routes])

    def _routes(self) -> list[str]:
        """The routes by which anything was ever enqueued."""
        return [route for (route,) in self._database.read("SELECT DISTINCT route FROM delivery_counts")]

    def _counted(self, route: str) -> list[tuple[tuple[str, str, str], int]]:
        rows = self._database.read(
            "SELECT state, person, kind, items FROM delivery_counts WHERE route = ? AND items > 0", route
        )
        return [((state, person, kind), items) for state, person, kind, items in rows]

    def _queue(self, route: str, person: str, kind: str, rows_max: int) -> list[_Waiting]:
        rows = self._database.read(_WAITING, route, person, kind, rows_max)
        return [_Waiting(seq, _item(item), batch_max) for seq, batch_max, *item in rows]

    def _flying(self, route: str) -> int:
        return sum(count for (state, _, _), count in self._counted(route) if state == "inflight")

    def _land(self, route: str, statement: str, *values: str | int) -> None:
        """The batch is no longer in flight: update its items and remove its bytes."""
        self._database.write(statement, *values)
        self._database.write("UPDATE batches SET name = '', body = x'' WHERE route = ?", route)


def reading_ref(session_no: int, measurement: str, sequence: int) -> str:
    """The `ref` of an item that is a reading."""
    return f"{session_no}/{measurement}/{sequence}"


def summary_ref(kind: str, sensor_no: int, start_utc_s: int) -> str:
    """The `ref` of an item that is a summary."""
    return f"{kind}/{sensor_no}/{start_utc_s}"


def _inflated(body: bytes) -> bytes:
    """The bytes of a batch. A batch that version 1 left in flight is not compressed."""
    return zlib.decompress(body) if body.startswith(_DEFLATED) else body


def _item(row: Iterable[Any]) -> Item:
    kind, ref, item_id, person, rev = row
    return Item(kind, ref, UUID(item_id), person, rev)
