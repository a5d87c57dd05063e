"""Deliveries: what has to go up by which route, and how far each item has come.

Contract: an item is a thing with an id; a new revision of it goes the same way again under the same id. It is enqueued
in the transaction that stores the thing it announces. One batch of each route is in flight at a time, and its bytes
are stored before the first of them is sent: after a crash the same bytes go out under the same name, so that the
upstream sees each thing at least once and can tell a repetition. A batch carries items of one person only.

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

An enqueue of a revision that is not newer changes nothing. Nothing is composed, judged or sent here.
"""

import zlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from edge.store.database import Database


class Item(NamedTuple):
    """A thing to send: its kind, where the store has it, its id upstream, whose it is, and the revision."""

    kind: str
    ref: str
    id: UUID
    person: str
    rev: int


class Batch(NamedTuple):
    """The items in flight, and the bytes that carry them."""

    name: str
    body: bytes
    items: tuple[Item, ...]


class Carried(NamedTuple):
    """What a route has carried since the store began, and when last, as well as that is known."""

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
    """An item that does not go, and why."""

    item: Item
    reason: str


class _Waiting(NamedTuple):
    seq: int
    item: Item
    batch_max: int | None


_DEFLATED = b"\x78"

# `state <> 'acked'` stands in each statement because SQLite uses the index of what is not acked only where it is asked
# for in the words of that index.
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
# What has no time is from before times were kept, and older than any limit.
_DELETE_ACKED = """
DELETE FROM deliveries WHERE seq IN (
    SELECT seq FROM deliveries WHERE state = 'acked' AND acked_utc_s IS NULL
    UNION ALL SELECT seq FROM deliveries WHERE state = 'acked' AND acked_utc_s < ? LIMIT ?)
"""
_NEWEST_REV = "SELECT max(rev) FROM deliveries WHERE route = ? AND kind = ? AND ref >= ? AND ref < ?"
_FORGET = "DELETE FROM deliveries WHERE route = ? AND kind = ? AND ref = ? AND state <> 'inflight'"


class Deliveries:
    """The deliveries of all routes, over one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, item: Item, route: str, boot_no: int, boot_ns: int) -> None:
        """Announce a thing, or a newer revision of it, inside the caller's transaction; it waits from now on."""
        values = (route, item.kind, item.ref, str(item.id), item.person, item.rev, boot_no, boot_ns)
        self._database.write(_ENQUEUE, *values)

    def pending(self, route: str) -> dict[tuple[str, str], int]:
        """How many items wait, by person and kind."""
        return {
            (person, kind): items
            for (state, person, kind), items in self._counted(route)
            if state == "pending"
        }

    def waiting(self, route: str, items_max: int, allowed: Collection[tuple[str, str]]) -> list[Item]:
        """The items of the next batch: the oldest that may go, and those after it of the same person.

        Args:
            route: by which they go.
            items_max: the most that a batch may carry.
            allowed: whose items of which kind may go now: (person, kind); to look for each costs the same.
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
        """Keep the batch before it is sent: from now on it is the one in flight, with these revisions."""
        # At the fastest level, which costs less than it saves in pages that are encrypted and written.
        begun = self._database.write(_BEGIN, route, batch.name, zlib.compress(batch.body, 1))
        assert begun == 1, "one batch at a time"
        self._database.write_many(_SEND, [(item.rev, route, item.kind, item.ref) for item in batch.items])

    def acknowledge(self, route: str, utc_s: int) -> None:
        """The upstream has the batch in flight, since `utc_s` at the earliest."""
        self._database.write(_CARRY, route, self._flying(route), utc_s)
        self._land(route, _ACKNOWLEDGE, utc_s, route)

    def reject(self, route: str, reason: str) -> None:
        """The upstream refused the batch: its halves go next, and an item that is refused alone is parked."""
        flying = self._flying(route)
        if flying > 1:
            self._land(route, _SPLIT, flying // 2, reason, route)
        else:
            self._land(route, _REFUSED_ALONE, reason, route)

    def release(self, route: str) -> None:
        """Take the batch in flight apart: some of it may no longer be sent."""
        self._land(route, _RELEASE, route)

    def park(self, route: str, item: Item, reason: str) -> None:
        """An item that cannot be composed does not go, and holds nothing up."""
        self._database.write(_PARK, reason, route, item.kind, item.ref, item.rev)

    def parked(self, route: str, rows_max: int) -> list[Parked]:
        """What is parked and why, the oldest first."""
        return [Parked(_item(row[:5]), row[5]) for row in self._database.read(_PARKED, route, rows_max)]

    def carried(self, route: str) -> Carried:
        rows = self._database.read("SELECT batches, items, last_utc_s FROM carried WHERE route = ?", route)
        return Carried(*rows[0]) if rows else Carried(0, 0, None)

    def counts(self, route: str) -> Counts:
        """Costs the same however many deliveries there are."""
        counted = self._counted(route)
        by_state = dict.fromkeys(("pending", "inflight", "parked", "acked"), 0)
        for (state, _, _), count in counted:
            by_state[state] += count
        unsent = [group for group, _ in counted if group[0] in ("pending", "inflight")]
        oldest = [row for group in unsent for row in self._database.read(_OLDEST, route, *group)]
        _, boot_no, boot_ns = min(oldest, default=(None, None, None))
        return Counts(
            by_state["pending"],
            by_state["inflight"],
            by_state["parked"],
            boot_no,
            boot_ns,
            self.carried(route),
        )

    def delete_acked_before(self, utc_s: int, rows_max: int) -> int:
        """Forget what arrived before `utc_s`, at most so many rows; how many there were."""
        return self._database.write(_DELETE_ACKED, utc_s, rows_max)

    def newest_reading_rev(self, kind: str, session_no: int, measurement: str) -> int:
        """The newest revision of any reading of a session, by any route; 0 if none was ever enqueued."""
        of_session = reading_ref(session_no, measurement, 0)[:-1]
        span = f"{of_session}0", f"{of_session}:"  # a colon sorts after every digit
        found = [self._database.read(_NEWEST_REV, route, kind, *span)[0][0] for route in self._routes()]
        return max((rev for rev in found if rev is not None), default=0)

    def forget(self, kind: str, refs: Iterable[str]) -> None:
        """These things are deleted: nothing of them is sent any more, unless it is on its way."""
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
        """End the flight of the batch."""
        self._database.write(statement, *values)
        self._database.write("UPDATE batches SET name = '', body = x'' WHERE route = ?", route)


def reading_ref(session_no: int, measurement: str, sequence: int) -> str:
    """How an item names a reading of the store."""
    return f"{session_no}/{measurement}/{sequence}"


def summary_ref(kind: str, sensor_no: int, start_utc_s: int) -> str:
    """How an item names a summary of the store."""
    return f"{kind}/{sensor_no}/{start_utc_s}"


def _inflated(body: bytes) -> bytes:
    """A batch that version 1 left in flight is kept as it was sent."""
    return zlib.decompress(body) if body.startswith(_DEFLATED) else body


def _item(row: Iterable[Any]) -> Item:
    kind, ref, item_id, person, rev = row
    return Item(kind, ref, UUID(item_id), person, rev)
