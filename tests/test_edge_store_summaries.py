"""Summaries with their revisions, dirty periods, boots: what the small parts promise."""

from pathlib import Path
from uuid import UUID

import pytest
from edge_parts import in_transaction, minimal_config, open_store

from edge.anchors import Anchor
from edge.store.door import Store, Tables
from edge.store.summaries import Summary, SummaryKey

DAY = SummaryKey("glucose_day", 2, 0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


def test_summaries_get_a_revision_when_they_change(store: Store) -> None:
    summaries = store.tables.summaries

    def put(mean: float, *, final: bool, end_utc_s: int = 86_400, name: int = 7) -> tuple[int | None, str]:
        body = {"mean": mean}
        with store.tables.database.transaction():
            rev = summaries.put(DAY, end_utc_s, UUID(int=name), body, final=final)
        summary = summaries.get(DAY)
        assert summary
        assert summary == Summary(DAY, end_utc_s, UUID(int=7), summary.rev, summary.status, body)
        return rev, summary.status

    assert summaries.get(DAY) is None
    assert put(1.5, final=False) == (1, "preliminary")
    assert put(1.5, final=False) == (None, "preliminary")
    assert put(1.75, final=False) == (2, "preliminary")
    assert put(1.75, final=True) == (3, "final")
    assert put(1.75, final=True) == (None, "final")
    assert put(1.75, final=False) == (None, "final")
    # Whatever it would be called now: it went up under the name it has.
    assert put(2.0, final=True, name=8) == (4, "amended")
    assert put(2.0, final=True) == (None, "amended")
    assert put(2.5, final=True) == (5, "amended")
    assert put(2.5, final=True, end_utc_s=82_800) == (6, "amended")


def test_summaries_are_found_by_kind_and_time(store: Store) -> None:
    keys = [
        SummaryKey("glucose_day", 2, 86_400),
        DAY,
        SummaryKey("heart_5min", 1, 300),
        SummaryKey("heart_5min", 1, 0),
    ]
    keys.append(SummaryKey("heart_5min", 2, 300))

    def work(tables: Tables) -> None:
        for n, key in enumerate(keys):
            tables.summaries.put(key, key.start_utc_s + 300, UUID(int=n), {}, final=True)

    in_transaction(store, work)
    summaries = store.tables.summaries
    assert [one.id.int for one in summaries.between("heart_5min")] == [3, 2, 4]
    assert [one.id.int for one in summaries.between("glucose_day", 1, 86_401)] == [0]
    assert summaries.between("glucose_day", 1, 86_400) == []
    newest = summaries.newest("heart_5min", 1)
    assert newest
    assert newest.id.int == 2
    assert summaries.newest("heart_5min", 3) is None


def test_periods_are_dirty_until_they_are_cleared(store: Store) -> None:
    def work(tables: Tables) -> None:
        tables.dirty.mark("heart_5min", 1, [600, 300, 600])
        tables.dirty.mark("heart_5min", 1, [300])
        tables.dirty.mark("glucose_day", 2, [0])
        assert tables.dirty.all() == [DAY, SummaryKey("heart_5min", 1, 300), SummaryKey("heart_5min", 1, 600)]
        tables.dirty.clear("heart_5min", 1, 300)
        tables.dirty.clear("heart_5min", 2, 600)
        assert tables.dirty.all() == [DAY, SummaryKey("heart_5min", 1, 600)]

    in_transaction(store, work)


def test_boots_are_numbered_in_their_order(store: Store) -> None:
    def work(tables: Tables) -> None:
        assert tables.boots.note("boot-1") == 1
        assert tables.boots.note("boot-2") == 2
        assert tables.boots.note("boot-1") == 1
        tables.boots.add_anchor(Anchor(2, 10, 5_000_000_000, None, "system"))
        tables.boots.add_anchor(Anchor(2, 20, 6_000_000_000, 500, "system"))
        tables.boots.add_anchor(Anchor(2, 20, 7_000_000_000, 400, "cgm"))

    in_transaction(store, work)
    timeline = store.tables.boots.timeline()
    assert (timeline.is_trusted(1), timeline.is_trusted(2)) == (False, True)
    placement = timeline.place(2, 20)
    assert placement
    assert (placement.utc_ns, placement.error_ms) == (7_000_000_000, 400)
