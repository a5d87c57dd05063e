"""What is too old goes, a slice at a time, by a clock that is trusted; nothing else does."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from edge_parts import MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store
from store_parts import DAY_S, SECOND_NS, alert_event, beats, begin, chunk, reading

from edge.anchors import Anchor
from edge.config import Limits
from edge.store.deliveries import Item, reading_ref, summary_ref
from edge.store.door import Store, Tables
from edge.store.retention import RETENTION, Present, purge_slice
from edge.store.summaries import SummaryKey

LIMITS = Limits(raw_retention_days=14, retention_days=400, delivered_retention_days=30)
ROWS_MAX = 100


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


OTHER_BOOT = (1 << 20, 0)


def boot(store: Store, began_day: float, error_ms: int | None = 500) -> int:
    """A boot that began so many days after midnight, with an anchor at its beginning; its number."""

    def work(tables: Tables) -> int:
        no = tables.boots.note(f"boot-{began_day}-{error_ms}")
        utc_ns = (MIDNIGHT_UTC_S + round(began_day * DAY_S)) * SECOND_NS
        tables.boots.add_anchor(Anchor(no, 0, utc_ns, error_ms, "system"))
        return no

    return in_transaction(store, work)


def do(store: Store, work: Callable[[Tables], object]) -> None:
    in_transaction(store, work)


def purge(store: Store, day: float, rows_max: int = ROWS_MAX, present: tuple[int, int] | None = None) -> int:
    """Purge as on that day, until there is nothing more to do; how many slices it took.

    `present`: the boot that it is, and how long it has lasted; None: one that has just begun.
    """
    now = Present(MIDNIGHT_UTC_S + round(day * DAY_S), *(present or OTHER_BOOT))
    slices = 1
    while in_transaction(
        store, lambda tables: purge_slice(tables, tables.boots.timeline(), now, LIMITS, rows_max)
    ):
        slices += 1
        assert slices < 1000
    return slices


def chunks(store: Store, boot_no: int) -> list[int]:
    return [first // SECOND_NS for first, _ in store.tables.raw_chunks.spans(1, boot_no)]


def append(store: Store, boot_no: int, *seconds: int) -> None:
    """Chunks of half a minute that begin then."""

    def work(tables: Tables) -> None:
        for second in seconds:
            tables.raw_chunks.append(chunk(second * SECOND_NS, (second + 29) * SECOND_NS, boot_no))

    do(store, work)


# Whose clock


def test_chunks_go_by_the_wall_time_of_their_end(store: Store) -> None:
    first = boot(store, 0)
    append(store, first, 0, 30, DAY_S)
    purge(store, 14)
    assert chunks(store, first) == [0, 30, DAY_S]
    purge(store, 14 + 40 / DAY_S)
    assert chunks(store, first) == [30, DAY_S]
    purge(store, 20)
    assert chunks(store, first) == []


def test_what_nobody_can_place_stays_until_a_later_boot_is_old_enough(store: Store) -> None:
    # By what its clock said, nobody vouching for it, this was fifty years ago.
    unplaced = boot(store, -20_000, error_ms=None)
    append(store, unplaced, 0)
    do(store, lambda tables: tables.raw_chunks.note_unplaced(1, unplaced))
    purge(store, 2000)
    assert chunks(store, unplaced) == [0]
    later = boot(store, 2000)
    purge(store, 2013)
    assert chunks(store, unplaced) == [0]
    purge(store, 2015)
    assert chunks(store, unplaced) == []
    assert store.tables.raw_chunks.unplaced() == []
    # The boot itself goes when all that may refer to it is old enough.
    assert "boot--20000-None" in boots(store)
    purge(store, 2401)
    assert later == 3
    assert boots(store) == ["boot-2000-500"]


def test_a_boot_after_the_last_trusted_one_stays(store: Store) -> None:
    boot(store, 0)
    unplaced = boot(store, -20_000, error_ms=None)
    append(store, unplaced, 0)
    purge(store, 3000)
    assert chunks(store, unplaced) == [0]


def test_a_clock_that_was_set_back_deletes_by_what_it_said_then(store: Store) -> None:
    """Before the step the clock was ahead; what it placed later than it was stays longer, nothing goes too early."""
    no = boot(store, 100)
    append(store, no, 0, 60)
    do(
        store,
        lambda tables: tables.boots.add_anchor(
            Anchor(no, 120 * SECOND_NS, (MIDNIGHT_UTC_S + 120) * SECOND_NS, 500, "system")
        ),
    )
    append(store, no, 180, 240)
    purge(store, 13)
    assert chunks(store, no) == [0, 60, 180, 240]
    purge(store, 115)
    assert chunks(store, no) == []


# What goes, and with what


def readings_of(store: Store, session_no: int) -> list[int]:
    return store.tables.readings.sequences(session_no, "glucose")


def test_readings_go_by_their_own_time_and_take_their_deliveries_along(store: Store) -> None:
    boot(store, 0)

    def work(tables: Tables) -> None:
        session = begin(tables)
        tables.readings.insert(session.no, "glucose", [reading(n) for n in range(0, 1000, 5)])
        for n in range(0, 1000, 5):
            item = Item("cgm_reading", reading_ref(session.no, "glucose", n), UUID(int=n), "p-7f3a", 1)
            tables.deliveries.enqueue(item, "files", 1, 1)
        tables.sessions.give_up(session.no, 3, 4, "not reported", 3, 1, 1)

    do(store, work)
    purge(store, 400 + 600 / DAY_S)
    assert readings_of(store, 1) == list(range(10, 1000, 5))
    assert store.tables.deliveries.counts("files").pending == 198
    slices = purge(store, 500)
    assert slices >= 2
    assert readings_of(store, 1) == []
    assert store.tables.deliveries.counts("files").pending == 0
    # More may come of the session.
    assert store.tables.sessions.current(2) is not None
    do(store, lambda tables: tables.sessions.end(1, "superseded"))
    purge(store, 500)
    assert store.tables.sessions.of_sensor(2) == []
    assert store.tables.sessions.given_up(1) == []


def test_a_reading_that_is_in_flight_is_not_forgotten(store: Store) -> None:
    def work(tables: Tables) -> None:
        session = begin(tables)
        tables.readings.insert(session.no, "glucose", [reading(5)])
        item = Item("cgm_reading", reading_ref(session.no, "glucose", 5), UUID(int=1), "p-7f3a", 1)
        tables.deliveries.enqueue(item, "files", 1, 1)
        tables.database.write("UPDATE deliveries SET state = 'inflight', sent_rev = 1")

    do(store, work)
    purge(store, 500)
    assert readings_of(store, 1) == []
    assert store.tables.deliveries.counts("files").inflight == 1


def test_readings_of_a_session_without_a_start_stay_until_it_was_surely_long_ago(store: Store) -> None:
    def work(tables: Tables) -> None:
        session = begin(tables, trusted=False)
        tables.readings.insert(session.no, "glucose", [reading(5)])
        tables.sessions.end(session.no, "superseded")

    do(store, work)
    purge(store, 5000)
    assert readings_of(store, 1) == [5]
    # The boot in which it was received is the first.
    boot(store, 0)
    purge(store, 399)
    assert readings_of(store, 1) == [5]
    purge(store, 401)
    assert readings_of(store, 1) == []
    assert store.tables.sessions.of_sensor(2) == []


def test_summaries_go_with_their_deliveries_and_marks(store: Store) -> None:
    keys = [SummaryKey("heart_5min", 1, MIDNIGHT_UTC_S + n * 300) for n in range(250)]

    def work(tables: Tables) -> None:
        for n, key in enumerate(keys):
            tables.summaries.put(key, key.start_utc_s + 300, UUID(int=n), {}, final=True)
            tables.dirty.mark(key.kind, key.sensor_no, [key.start_utc_s])
            item = Item(key.kind, summary_ref(*key), UUID(int=n), "p-7f3a", 1)
            tables.deliveries.enqueue(item, "files", 1, 1)

    do(store, work)
    purge(store, 400 + 600 / DAY_S)
    assert [summary.key for summary in store.tables.summaries.between("heart_5min")] == keys[2:]
    assert store.tables.dirty.all() == keys[2:]
    assert store.tables.deliveries.counts("files").pending == 248
    purge(store, 402)
    assert store.tables.summaries.between("heart_5min") == store.tables.dirty.all() == []


def test_events_go_when_they_are_old_except_those_by_which_an_alert_stands(store: Store) -> None:
    no = boot(store, 0)

    def at(day: int) -> int:
        return day * DAY_S * SECOND_NS

    def work(tables: Tables) -> None:
        for n, (raised, cleared) in enumerate([(1, 2), (3, None), (5, 6)]):
            tables.alerts.note(alert_event(f"rule-{n}", boot_no=no, boot_ns=at(raised)), ["journal"])
            if cleared:
                tables.alerts.note(alert_event(f"rule-{n}", "over", boot_no=no, boot_ns=at(cleared)))
        tables.alerts.note(alert_event("rule-1", "worse", boot_no=no, boot_ns=at(7)), ["journal"])
        tables.boots.add_anchor(Anchor(no, at(10), (MIDNIGHT_UTC_S + 10 * DAY_S) * SECOND_NS, 500, "system"))

    do(store, work)
    alerts = store.tables.alerts
    purge(store, 404)
    assert [(event.rule, event.what) for event in alerts.newest(9)] == [
        ("rule-1", "worse"),
        ("rule-2", "over"),
        ("rule-2", "raised"),
    ]
    purge(store, 1000)
    assert [(event.rule, event.what) for event in alerts.newest(9)] == [("rule-1", "worse")]
    assert store.tables.database.read("SELECT event FROM alert_deliveries") == [
        (str(alerts.newest(1)[0].id),)
    ]


def test_deliveries_that_arrived_go_after_a_while(store: Store) -> None:
    def work(tables: Tables) -> None:
        for n in range(3):
            item = Item("cgm_reading", reading_ref(1, "glucose", n), UUID(int=n), "p-7f3a", 1)
            tables.deliveries.enqueue(item, "files", 1, 1)
        tables.database.write(
            "UPDATE deliveries SET state = 'acked', acked_utc_s = ? + seq * 86400 WHERE seq < 3",
            MIDNIGHT_UTC_S,
        )

    do(store, work)
    purge(store, 31.5)
    assert store.tables.database.read("SELECT seq FROM deliveries ORDER BY seq") == [(2,), (3,)]
    purge(store, 100)
    assert store.tables.database.read("SELECT seq FROM deliveries") == [(3,)]


def boots(store: Store) -> list[str]:
    return [row[0] for row in store.tables.database.read("SELECT boot_id FROM boots ORDER BY no")]


def test_anchors_stay_as_long_as_they_place_something(store: Store) -> None:
    no = boot(store, 0)

    def work(tables: Tables) -> None:
        for day in range(1, 500):
            error_ms = None if day == 90 else 500
            anchor = Anchor(
                no, day * DAY_S * SECOND_NS, (MIDNIGHT_UTC_S + day * DAY_S) * SECOND_NS, error_ms, "system"
            )
            tables.boots.add_anchor(anchor)

    do(store, work)
    purge(store, 490.5)
    ((oldest_ns, count),) = store.tables.database.read("SELECT min(boot_ns), count(*) FROM anchors")
    # The last trusted one before the moment that is still kept.
    assert (oldest_ns // (DAY_S * SECOND_NS), count) == (89, 411)
    before = store.tables.boots.timeline().place(no, 91 * DAY_S * SECOND_NS)
    assert before
    assert before.utc_ns == (MIDNIGHT_UTC_S + 91 * DAY_S) * SECOND_NS


USERS: dict[str, Callable[[Tables, int], object]] = {
    "a chunk": lambda tables, no: tables.raw_chunks.append(chunk(0, 1, no)),
    "a chunk that waits for its place": lambda tables, no: tables.raw_chunks.note_unplaced(1, no),
    "the start of a session": lambda tables, no: tables.sessions.update(begin(tables).no, start_boot_no=no),
    "what happened to an alert": lambda tables, no: tables.alerts.note(alert_event("x", boot_no=no)),
    "the delivery of it": lambda tables, no: (
        tables.alerts.note(alert_event("x", boot_no=4), ["journal"]),
        tables.alerts.move(alert_event("x").id, "journal", "delivered", 1, no, 5),
    ),
}


@pytest.mark.parametrize("user", USERS)
def test_a_boot_is_used_as_long_as_something_refers_to_it(store: Store, user: str) -> None:
    old, unused, newest = boot(store, 0), boot(store, 100), boot(store, 500)
    do(store, lambda tables: USERS[user](tables, old))
    assert store.tables.boots.unused() == [1, unused]
    assert newest == 4
    do(store, lambda tables: tables.boots.delete(unused))
    assert store.tables.database.read("PRAGMA foreign_key_check") == []


def test_boots_that_nothing_refers_to_go(store: Store) -> None:
    for day in range(0, 60, 2):
        boot(store, day)
    # Those of which a day or more after their newest anchor is past, and no later one than that.
    purge(store, 400 + 10.5)
    assert boots(store)[:2] == ["boot-10-500", "boot-12-500"]
    assert store.tables.database.read("SELECT count(*) FROM anchors") == [(25,)]
    purge(store, 4000)
    assert boots(store) == ["boot-58-500"]


def test_a_retired_sensor_goes_with_the_last_of_its_data(store: Store, tmp_path: Path) -> None:
    no = boot(store, 0)
    append(store, no, 0)
    do(store, lambda tables: tables.sensors.keep_trait(1, "rr_unit", "TICKS"))
    do(store, lambda tables: tables.blobs.put("rhythm", 1, 1, b"x"))
    config = minimal_config(tmp_path, **{"A4:C1:38:00:00:01": "A4:C1:38:00:00:09"})
    do(store, lambda tables: tables.sensors.register(config.sensors, config.people, boot_no=1, boot_ns=0))
    purge(store, 10)
    assert [row.no for row in store.tables.sensors.all()] == [1, 2, 3]
    purge(store, 20)
    assert [row.no for row in store.tables.sensors.all()] == [2, 3]
    assert store.tables.database.read("SELECT * FROM traits") == []
    assert store.tables.blobs.get("rhythm", 1) is None


def test_what_this_boot_measured_is_as_young_as_the_time_since_says_whatever_a_clock_said(
    store: Store,
) -> None:
    no = boot(store, 0)
    append(store, no, 0, 30)
    # The clock was wrong by twenty years when the boot began, and has been set right.
    purge(store, day=7300, present=(no, 60 * SECOND_NS))
    assert chunks(store, no) == [0, 30]
    purge(store, day=7300)
    assert chunks(store, no) == []


# Slices


def test_a_slice_deletes_no_more_than_it_may(store: Store) -> None:
    no = boot(store, 0)
    append(store, no, *range(0, 30 * 25, 30))
    left = [25]
    now = Present(MIDNIGHT_UTC_S + 20 * DAY_S, *OTHER_BOOT)
    while in_transaction(store, lambda tables: purge_slice(tables, tables.boots.timeline(), now, LIMITS, 10)):
        left.append(len(chunks(store, no)))
    assert left[:4] == [25, 15, 5, 0]


def test_a_purge_that_finds_nothing_writes_nothing(store: Store) -> None:
    no = boot(store, 0)
    append(store, no, 0)
    do(store, begin)
    before = store.tables.database.read("SELECT total_changes()")
    assert purge(store, 5) == 1
    assert store.tables.database.read("SELECT total_changes()") == before


def test_the_file_shrinks(store: Store) -> None:
    no = boot(store, 0)
    rng = Random(1)

    def fill(tables: Tables) -> None:
        for n in range(4000):
            tables.raw_chunks.append(beats(30 * n, 30, rng, boot_no=no))

    do(store, fill)
    database = store.tables.database
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    full_bytes = store.path.stat().st_size
    slices = purge(store, 20, rows_max=500)
    database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    assert full_bytes > 1_300_000
    assert store.path.stat().st_size < 250_000
    assert database.read("PRAGMA quick_check") == [("ok",)]
    assert slices > 8


def test_every_table_has_a_retention_or_a_reason_to_have_none(store: Store) -> None:
    kept = {
        "meta": "one row",
        "delivery_counts": "a row per kind and state",
        "batches": "one row per route",
        "carried": "one row per route",
    }
    purged = {
        "raw_chunks": "raw chunks",
        "unplaced": "raw chunks",
        "stream_figures": "raw chunks",
        "readings": "readings",
        "sessions": "sessions, and what was given up of them",
        "given_up": "sessions, and what was given up of them",
        "summaries": "summaries and dirty periods",
        "dirty": "summaries and dirty periods",
        "alert_events": "what happened to alerts",
        "alert_deliveries": "what happened to alerts",
        "deliveries": "deliveries that arrived",
        "boots": "boots and their anchors",
        "anchors": "boots and their anchors",
        "sensors": "retired sensors, and what was learned of them",
        "blobs": "retired sensors, and what was learned of them",
        "traits": "retired sensors, and what was learned of them",
    }
    tables = store.tables.database.read("SELECT name FROM sqlite_schema WHERE type = 'table'")
    assert {row[0] for row in tables} == kept.keys() | purged.keys()
    assert {rule.what for rule in RETENTION} == set(purged.values())
