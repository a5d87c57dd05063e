"""Deliveries: what waits, goes, comes back and is parked, each by its own route; whatever it costs, it costs always."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from edge.identity import Identity
from edge.measurements import DATA_CLASS
from edge.store import deliveries as deliveries_module
from edge.store.database import Database
from edge.store.deliveries import Batch, Carried, Counts, Deliveries, Item, reading_ref, summary_ref
from edge.store.schema import SCHEMA

ANNA, BEN = "p-anna", "p-ben"
EVERYTHING = {(person, kind) for person in (ANNA, BEN) for kind in DATA_CLASS}
ROUTE, OTHER_ROUTE = "files", "elsewhere"
UTC_S = 1_795_219_200


def item(number: int, rev: int = 1, kind: str = "cgm_reading", person: str = ANNA) -> Item:
    return Item(kind, f"1/glucose/{number}", UUID(int=number), person, rev)


class Box:
    """Deliveries over a database of their own; each change is a transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.deliveries = Deliveries(database)
        self.begun = 0

    def enqueue(self, *items: Item, route: str = ROUTE, boot_ns: int = 0) -> None:
        with self.database.transaction():
            for one in items:
                self.deliveries.enqueue(one, route, 1, boot_ns)

    def waiting(self, items_max: int = 99, allowed: set[tuple[str, str]] = EVERYTHING) -> list[int]:
        return [one.id.int for one in self.deliveries.waiting(ROUTE, items_max, allowed)]

    def begin(
        self, items_max: int = 99, allowed: set[tuple[str, str]] = EVERYTHING, route: str = ROUTE
    ) -> Batch | None:
        items = self.deliveries.waiting(route, items_max, allowed)
        if not items:
            return None
        self.begun += 1
        batch = Batch(f"batch-{self.begun:04}", repr(items).encode(), tuple(items))
        with self.database.transaction():
            self.deliveries.begin_batch(route, batch)
        return batch

    def acknowledge(self, utc_s: int = UTC_S, route: str = ROUTE) -> None:
        with self.database.transaction():
            self.deliveries.acknowledge(route, utc_s)

    def reject(self, reason: str = "no such patient") -> None:
        with self.database.transaction():
            self.deliveries.reject(ROUTE, reason)

    def release(self) -> None:
        with self.database.transaction():
            self.deliveries.release(ROUTE)

    def park(self, one: Item, reason: str) -> None:
        with self.database.transaction():
            self.deliveries.park(ROUTE, one, reason)

    def states(self, route: str = ROUTE) -> dict[int, tuple[str, int]]:
        rows = self.database.read(
            "SELECT item, state, rev FROM deliveries WHERE route = ? ORDER BY seq", route
        )
        return {UUID(row[0]).int: row[1:] for row in rows}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with closing(Database(tmp_path / "store.db", Identity(bytes(32)))) as database:
        with database.transaction():
            for statement in SCHEMA.split(";\n"):
                if statement.strip():
                    database.write(statement)
            database.write("INSERT INTO boots VALUES (1, 'boot-1')")
        yield Box(database)


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [one.id.int for one in batch.items]


# In order


def test_items_go_oldest_first_in_batches(box: Box) -> None:
    box.enqueue(*map(item, (5, 3)), boot_ns=7)
    box.enqueue(*map(item, (9, 1)), boot_ns=8)
    first = box.begin(3)
    assert numbers(first) == [5, 3, 9]
    assert box.deliveries.in_flight(ROUTE) == first
    assert box.deliveries.counts(ROUTE) == Counts(1, 3, 0, 1, 7, Carried(0, 0, None))
    box.acknowledge()
    assert box.deliveries.counts(ROUTE) == Counts(1, 0, 0, 1, 8, Carried(1, 3, UTC_S))
    assert numbers(box.begin(3)) == [1]
    box.acknowledge(UTC_S + 60)
    assert box.begin(3) is None
    assert box.deliveries.in_flight(ROUTE) is None
    assert box.deliveries.counts(ROUTE) == Counts(0, 0, 0, None, None, Carried(2, 4, UTC_S + 60))


def test_kinds_of_one_person_mix_in_the_order_they_came(box: Box) -> None:
    kinds = sorted(DATA_CLASS)
    box.enqueue(*(item(number, kind=kinds[number % 3]) for number in range(7)))
    assert numbers(box.begin(5)) == [0, 1, 2, 3, 4]


def test_the_same_revision_is_one_item(box: Box) -> None:
    box.enqueue(item(1), item(1))
    box.begin()
    box.acknowledge()
    box.enqueue(item(1))
    assert box.states() == {1: ("acked", 1)}
    box.enqueue(item(1, rev=2))
    box.enqueue(item(1, rev=1))
    assert box.states() == {1: ("pending", 2)}


def test_a_revision_made_in_flight_goes_after_it(box: Box) -> None:
    box.enqueue(item(1), item(2))
    first = box.begin()
    box.enqueue(item(1, rev=2))
    assert box.deliveries.in_flight(ROUTE) == first
    box.acknowledge()
    assert box.states() == {1: ("pending", 2), 2: ("acked", 1)}
    second = box.begin()
    assert second is not None
    assert second.items == (item(1, rev=2),)
    box.acknowledge()
    assert box.states() == {1: ("acked", 2), 2: ("acked", 1)}


def test_a_revision_made_while_the_batch_was_composed_goes_after_it(box: Box) -> None:
    box.enqueue(item(1))
    composed = Batch("batch", b"{}", (item(1),))
    box.enqueue(item(1, rev=2))
    with box.database.transaction():
        box.deliveries.begin_batch(ROUTE, composed)
    assert box.deliveries.in_flight(ROUTE) == composed
    box.acknowledge()
    assert box.states() == {1: ("pending", 2)}


def test_what_is_revised_keeps_its_place_while_it_waits_and_queues_up_anew_after_it_went(box: Box) -> None:
    box.enqueue(item(1), item(2), boot_ns=10)
    box.enqueue(item(1, rev=2), boot_ns=20)
    assert box.waiting() == [1, 2]
    assert box.deliveries.counts(ROUTE)[3:5] == (1, 10)
    box.begin(1)
    box.acknowledge()
    box.enqueue(item(1, rev=3), boot_ns=30)
    assert box.waiting() == [2, 1]
    assert box.deliveries.counts(ROUTE)[3:5] == (1, 10)
    box.begin(1)
    box.acknowledge()
    assert box.deliveries.counts(ROUTE)[3:5] == (1, 30)


def test_enqueueing_belongs_to_the_callers_transaction(box: Box) -> None:
    with pytest.raises(AssertionError):
        box.deliveries.enqueue(item(1), ROUTE, 1, 0)

    def fail() -> None:
        with box.database.transaction():
            box.deliveries.enqueue(item(1), ROUTE, 1, 0)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert box.states() == {}
    assert box.deliveries.counts(ROUTE).pending == 0


def test_each_route_has_its_own_deliveries(box: Box) -> None:
    for route in (ROUTE, OTHER_ROUTE):
        box.enqueue(item(1), item(2), route=route)
    assert numbers(box.begin(1)) == [1]
    assert numbers(box.begin(9, route=OTHER_ROUTE)) == [1, 2]
    box.acknowledge(route=OTHER_ROUTE)
    assert box.states() == {1: ("inflight", 1), 2: ("pending", 1)}
    assert box.deliveries.counts(OTHER_ROUTE)[:3] == (0, 0, 0)
    assert box.deliveries.counts(OTHER_ROUTE).carried == Carried(1, 2, UTC_S)
    assert box.deliveries.counts(ROUTE).carried == Carried(0, 0, None)


def test_one_batch_of_a_route_is_in_flight_at_a_time(box: Box) -> None:
    box.enqueue(item(1), item(2))
    first = box.begin(1)
    with pytest.raises(AssertionError):
        box.begin(1)
    assert box.deliveries.in_flight(ROUTE) == first


def test_a_batch_is_kept_deflated_and_one_of_version_1_as_it_was(box: Box) -> None:
    box.enqueue(*map(item, range(50)))
    batch = box.begin()
    assert batch is not None
    ((kept,),) = box.database.read("SELECT length(body) FROM batches")
    assert kept < len(batch.body) / 3
    assert box.deliveries.in_flight(ROUTE) == batch
    plain = b'{"resourceType":"Bundle"}'
    with box.database.transaction():
        box.database.write("UPDATE batches SET body = ?", plain)
    assert box.deliveries.in_flight(ROUTE) == batch._replace(body=plain)
    box.acknowledge()
    assert box.database.read("SELECT length(body) FROM batches") == [(0,)]


# Whose


def test_only_what_is_allowed_goes_and_what_is_held_holds_nothing_up(box: Box) -> None:
    box.enqueue(*(item(number, person=BEN) for number in range(200)))
    box.enqueue(item(500, kind="heart_5min"), item(501, kind="glucose_day"), item(502))
    assert box.waiting(allowed=set()) == []
    assert box.waiting(9, allowed={(ANNA, "glucose_day"), (ANNA, "cgm_reading")}) == [501, 502]
    assert box.deliveries.pending(ROUTE) == {
        (ANNA, "heart_5min"): 1,
        (ANNA, "glucose_day"): 1,
        (ANNA, "cgm_reading"): 1,
        (BEN, "cgm_reading"): 200,
    }


def test_a_batch_carries_one_persons_items(box: Box) -> None:
    box.enqueue(item(1, person=BEN), item(2), item(3, person=BEN), item(4, kind="heart_5min"))
    assert numbers(box.begin()) == [1, 3]
    box.acknowledge()
    assert numbers(box.begin()) == [2, 4]


def test_a_released_batch_waits_where_it_was(box: Box) -> None:
    box.enqueue(item(1), item(2, kind="heart_5min"), item(3))
    assert numbers(box.begin(2)) == [1, 2]
    box.enqueue(item(1, rev=2))
    box.release()
    assert box.deliveries.in_flight(ROUTE) is None
    assert box.states() == {1: ("pending", 2), 2: ("pending", 1), 3: ("pending", 1)}
    assert box.waiting(allowed={(ANNA, "cgm_reading")}) == [1, 3]


# Refused


@pytest.mark.parametrize("poison", [set(), {0}, {63}, {30, 31}, {5, 40, 41, 62}, set(range(64))])
def test_refused_items_are_found_and_parked(box: Box, poison: set[int]) -> None:
    box.enqueue(*map(item, range(64)))
    while (batch := box.begin(64)) is not None:
        assert box.begun < 1000
        if poison & {one.id.int for one in batch.items}:
            box.reject()
        else:
            box.acknowledge()
    parked = {number for number, (state, _) in box.states().items() if state == "parked"}
    acked = {number for number, (state, _) in box.states().items() if state == "acked"}
    assert parked == poison
    assert acked == set(range(64)) - poison
    assert [(one.item.id.int, one.reason) for one in box.deliveries.parked(ROUTE, 99)] == [
        (number, "no such patient") for number in sorted(poison)
    ]
    assert len(box.deliveries.parked(ROUTE, 2)) == min(2, len(poison))
    # Halving 64 costs at most two batches a level for each refused item.
    assert box.begun <= 1 + 12 * len(poison)
    if 63 in poison:
        box.enqueue(item(63, rev=2))
        assert numbers(box.begin(64)) == [63]


def test_what_was_refused_travels_in_small_batches_whatever_stands_before_it(box: Box) -> None:
    box.enqueue(*map(item, range(4)))
    box.begin(2)
    box.reject()
    # 0 and 1 go alone; with 0 revised, which clears it, nothing refused joins it.
    box.enqueue(item(0, rev=2))
    assert box.waiting() == [0]
    box.begin()
    box.acknowledge()
    assert box.waiting() == [1]


def test_an_item_refused_while_a_newer_revision_waits_goes_again(box: Box) -> None:
    box.enqueue(item(1))
    box.begin()
    box.enqueue(item(1, rev=2))
    box.reject()
    assert box.states() == {1: ("pending", 2)}
    box.begin()
    box.reject("still not")
    assert box.states() == {1: ("parked", 2)}


def test_what_cannot_be_composed_is_parked_and_holds_nothing_up(box: Box) -> None:
    box.enqueue(item(1), item(2))
    box.park(item(1), "it is gone")
    assert box.waiting() == [2]
    (parked,) = box.deliveries.parked(ROUTE, 9)
    assert parked == (item(1), "it is gone")
    box.enqueue(item(1))
    assert box.waiting() == [2]
    box.enqueue(item(1, rev=2))
    box.park(item(1), "what was composed is not what waits now")
    assert box.waiting() == [2, 1]


# Kept and deleted


def test_what_arrived_is_kept_until_its_time_is_over(box: Box) -> None:
    for number in range(6):
        box.enqueue(item(number))
        box.begin()
        box.acknowledge(UTC_S + number)
    box.enqueue(item(6), item(7))
    box.begin(1)
    with box.database.transaction():
        # As version 1 left them, without a time.
        box.database.write("UPDATE deliveries SET acked_utc_s = NULL WHERE item = ?", str(UUID(int=5)))
        assert box.deliveries.delete_acked_before(UTC_S + 3, 2) == 2
        assert box.deliveries.delete_acked_before(UTC_S + 3, 9) == 2
        assert box.deliveries.delete_acked_before(UTC_S + 3, 9) == 0
    assert box.states() == {3: ("acked", 1), 4: ("acked", 1), 6: ("inflight", 1), 7: ("pending", 1)}
    # It is no longer known that it went: another revision goes as if it were the first.
    box.enqueue(item(0, rev=2))
    assert box.waiting() == [7, 0]


def test_a_revision_waits_however_long_ago_the_last_one_arrived(box: Box) -> None:
    box.enqueue(item(1))
    box.begin()
    box.acknowledge()
    box.enqueue(item(1, rev=2))
    with box.database.transaction():
        assert box.deliveries.delete_acked_before(UTC_S + 1000, 9) == 0
    assert box.waiting() == [1]


def test_what_is_deleted_from_the_store_is_not_sent_unless_it_is_on_its_way(box: Box) -> None:
    for route in (ROUTE, OTHER_ROUTE):
        box.enqueue(item(1), item(2), item(3), route=route)
    box.park(item(2), "broken")
    box.begin(1)
    with box.database.transaction():
        box.deliveries.forget("cgm_reading", [item(number).ref for number in (1, 2, 4)])
    assert box.states() == {1: ("inflight", 1), 3: ("pending", 1)}
    assert box.states(OTHER_ROUTE) == {3: ("pending", 1)}
    assert box.deliveries.counts(ROUTE)[:3] == (1, 1, 0)
    box.acknowledge()
    assert box.states() == {1: ("acked", 1), 3: ("pending", 1)}


def test_the_last_time_something_went_never_goes_back(box: Box) -> None:
    for utc_s in (UTC_S, UTC_S - 3600):
        box.enqueue(item(utc_s))
        box.begin()
        box.acknowledge(utc_s)
    assert box.deliveries.carried(ROUTE) == Carried(2, 2, UTC_S)


def test_refs_are_unique_within_a_kind() -> None:
    assert reading_ref(3, "glucose", 17) == "3/glucose/17"
    assert summary_ref("glucose_day", 3, UTC_S) == f"glucose_day/3/{UTC_S}"


# What it costs

STATEMENTS = {
    name: text
    for name, text in vars(deliveries_module).items()
    if isinstance(text, str) and name.startswith("_") and text.lstrip()[:6] in ("SELECT", "UPDATE", "DELETE")
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_every_statement_goes_along_an_index(box: Box, statement: str) -> None:
    plan = box.database.read(f"EXPLAIN QUERY PLAN {statement}", *["x"] * statement.count("?"))
    steps = [step for *_, step in plan if "deliveries" in step]
    assert steps
    for step in steps:
        assert step.startswith("SEARCH"), step
        # Not even what arrived by the same route is walked through.
        assert "(route=?)" not in step, step


def steps_of(box: Box, held: int) -> dict[str, int]:
    """How many steps SQLite takes for the questions that are asked again and again."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    box.enqueue(
        *(item(box.begun * 10**6 + number, person=BEN) for number in range(held)),
        item(900_000, box.begun + 1),
    )
    connection = box.database._connection
    found = {}
    for name, ask in {
        "counts": lambda: box.deliveries.counts(ROUTE),
        "pending": lambda: box.deliveries.pending(ROUTE),
        "waiting": lambda: box.waiting(9, {(ANNA, "cgm_reading")}),
        "parked": lambda: box.deliveries.parked(ROUTE, 9),
    }.items():
        counted = 0
        connection.set_progress_handler(count, 1)
        ask()
        connection.set_progress_handler(None, 0)
        found[name] = counted
    return found


def test_what_is_asked_again_and_again_costs_the_same_however_much_is_held_or_arrived(box: Box) -> None:
    few = steps_of(box, 10)
    box.enqueue(*(item(10_000 + number) for number in range(3000)))
    while box.begin(1000, {(ANNA, "cgm_reading")}) is not None:
        box.acknowledge()
    many = steps_of(box, 3000)
    assert len(box.states()) == 6011
    assert all(many[question] < 1.5 * few[question] for question in few), (few, many)


def test_the_counts_are_those_of_the_rows(box: Box) -> None:
    box.enqueue(*(item(number, person=(ANNA, BEN)[number % 2]) for number in range(20)))
    box.begin(4)
    box.enqueue(item(0, rev=2))
    box.acknowledge()
    box.begin(4)
    box.reject()
    box.park(item(0, rev=2), "broken")
    box.begin(1)
    with box.database.transaction():
        box.database.write("UPDATE deliveries SET person = 'p-told' WHERE person = ?", BEN)
        box.deliveries.delete_acked_before(UTC_S + 1, 2)
    rows = box.database.read(
        "SELECT route, state, person, kind, count(*) FROM deliveries GROUP BY 1, 2, 3, 4"
    )
    kept = box.database.read("SELECT * FROM delivery_counts WHERE items <> 0 ORDER BY 1, 2, 3, 4")
    assert sorted(rows) == kept
    assert len({state for _, state, *_ in kept}) == 4


# Readings of a session


def test_the_newest_revision_of_a_sessions_readings_is_found_by_whatever_route_they_went(box: Box) -> None:
    def enqueue(session_no: int, sequence: int, rev: int, route: str = ROUTE) -> None:
        ref = reading_ref(session_no, "glucose", sequence)
        one = Item("cgm_reading", ref, UUID(int=1000 * session_no + sequence), "p-7f3a", rev)
        with box.database.transaction():
            box.deliveries.enqueue(one, route, 1, 1)

    def newest(session_no: int) -> int:
        return box.deliveries.newest_reading_rev("cgm_reading", session_no, "glucose")

    assert newest(1) == 0
    for sequence, rev in ((0, 1), (5, 3), (99999, 2)):
        enqueue(1, sequence, rev)
    enqueue(11, 5, 9)
    enqueue(2, 5, 1)
    enqueue(2, 5, 4, route="other")
    assert [newest(session_no) for session_no in (1, 2, 3, 11)] == [3, 4, 0, 9]
    enqueue(1, 99999, 7)
    assert newest(1) == 7
