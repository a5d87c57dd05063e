"""No question looks through a table that grows for years: every statement that is run is put to SQLite's planner."""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from edge_parts import in_transaction, minimal_config, open_store
from store_parts import alert_event, begin, chunk, reading

from edge.anchors import Anchor
from edge.config import Limits
from edge.store.deliveries import Item, reading_ref
from edge.store.door import Tables
from edge.store.retention import Present, purge_slice
from edge.store.summaries import SummaryKey

GROWING = ("raw_chunks", "readings", "summaries", "deliveries", "alert_events", "alert_deliveries")
KEY = SummaryKey("heart_5min", 1, 0)
EVENT = alert_event("glucose_low")
ITEM = Item("cgm_reading", reading_ref(1, "glucose", 5), UUID(int=1), "p-7f3a", 1)

QUESTIONS: dict[str, Callable[[Tables], object]] = {
    "chunks of a time": lambda t: t.raw_chunks.between(1, 1, 5, 9),
    "newest chunk": lambda t: t.raw_chunks.newest(1),
    "spans": lambda t: t.raw_chunks.spans(1, 1),
    "boots with chunks": lambda t: t.raw_chunks.boots(1),
    "append": lambda t: t.raw_chunks.append(chunk(7, 8)),
    "reading": lambda t: t.readings.get(1, "glucose", 5),
    "readings of a time": lambda t: t.readings.between(1, "glucose", 5, 9),
    "newest reading": lambda t: t.readings.newest(1, "glucose"),
    "sequences": lambda t: t.readings.sequences(1, "glucose"),
    "number of readings": lambda t: t.readings.count(1, "glucose"),
    "insert": lambda t: t.readings.insert(1, "glucose", [reading(8)]),
    "summary": lambda t: t.summaries.get(KEY),
    "summaries of a time": lambda t: t.summaries.between("heart_5min", 5, 9),
    "newest summary": lambda t: t.summaries.newest("heart_5min", 1),
    "put": lambda t: t.summaries.put(KEY, 300, UUID(int=1), {"x": 2}, final=True),
    "open alerts": lambda t: t.alerts.open(),
    "newest events": lambda t: t.alerts.newest(5),
    "note an event": lambda t: t.alerts.note(alert_event("glucose_low", ordinal=2), ["journal"]),
    "undelivered events": lambda t: t.alerts.waiting(),
    "deliver an event": lambda t: t.alerts.move(EVENT.id, "journal", "delivered", 1, 1, 5),
    "deliveries of an event": lambda t: t.alerts.deliveries(EVENT.id),
    "put a blob": lambda t: t.blobs.put("alerts", 0, 1, b""),
    "get a blob": lambda t: t.blobs.get("alerts", 0),
    "enqueue": lambda t: t.deliveries.enqueue(ITEM._replace(rev=2), "files", 1, 1),
    "waiting": lambda t: t.deliveries.waiting("files", 9, {("p-7f3a", "cgm_reading")}),
    "in flight": lambda t: t.deliveries.in_flight("files"),
    "counts": lambda t: t.deliveries.counts("files"),
    "parked": lambda t: t.deliveries.parked("files", 5),
    "newest revision of a session": lambda t: t.deliveries.newest_reading_rev("cgm_reading", 1, "glucose"),
    "forget": lambda t: t.deliveries.forget("cgm_reading", [ITEM.ref]),
    "purge": lambda t: purge_slice(t, t.boots.timeline(), Present(1 << 40, 1 << 20, 0), Limits(), 500),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_is_answered_by_an_index(tmp_path: Path, question: str) -> None:
    store = open_store(minimal_config(tmp_path))

    def fill(tables: Tables) -> None:
        tables.boots.add_anchor(Anchor(1, 0, 0, 500, "system"))
        tables.raw_chunks.append(chunk(5, 6))
        tables.readings.insert(begin(tables).no, "glucose", [reading(5)])
        tables.summaries.put(KEY, 300, UUID(int=1), {}, final=True)
        tables.deliveries.enqueue(ITEM, "files", 1, 1)
        tables.alerts.note(EVENT, ["journal"])

    in_transaction(store, fill)
    statements: list[str] = []
    connection = store.tables.database._connection
    connection.set_trace_callback(statements.append)
    in_transaction(store, QUESTIONS[question])
    connection.set_trace_callback(None)
    asked = [sql for sql in statements if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT)", sql)]
    assert asked
    for sql in asked:
        # A few rows from one end need no index but the order that is there.
        if re.search(r"ORDER BY no( DESC)? LIMIT \d+$", sql):
            continue
        plan = [row[3] for row in store.tables.database.read(f"EXPLAIN QUERY PLAN {sql}")]
        looked_through = [
            step for step in plan for table in GROWING if re.match(rf"SCAN {table}\b(?!.*INDEX)", step)
        ]
        assert looked_through == [], (sql, plan)
    store.close()
