"""What the start does not check is read through while the gateway runs."""

import asyncio
from pathlib import Path

import pytest
from edge_parts import in_transaction, minimal_config, open_store
from store_parts import begin, filled, reading, reopened

from edge.errors import StoreCorrupt, StoreUnavailable
from edge.store import checking
from edge.store.checking import LARGE, RollingCheck
from edge.store.database import PAGE_BYTES
from edge.store.door import Store, Tables
from edge.workers import InlineWorker, Workers
from hw_sim.clock import run


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "SLICE_ROWS", 10)


def slices(store: Store, check: RollingCheck) -> list[int]:
    """How many rows each slice of a pass reads."""
    counted = []
    for part in LARGE:
        ((rows,),) = store.tables.database.read(f"SELECT count(*) FROM {part.table}")
        while rows >= 0:
            check.read_slice(store.tables)
            counted.append(min(rows, 10))
            rows -= 10
    return counted


def test_a_pass_reads_every_row_of_every_large_table(tmp_path: Path) -> None:
    store = reopened(filled(tmp_path, chunks=25, readings=30))
    check = RollingCheck(LARGE)
    statements: list[str] = []
    store.tables.database._connection.set_trace_callback(statements.append)
    for _ in range(100):
        check.read_slice(store.tables)
        if not check._ahead:
            break
    store.tables.database._connection.set_trace_callback(None)
    read = [store.tables.database.read(sql) for sql in statements if sql.startswith("SELECT")]
    keys = [row[:-1] for rows in read for row in rows]
    # deliveries and summaries are empty
    assert [len(rows) for rows in read] == [0, 0, 10, 10, 10, 0, 10, 10, 5]
    assert keys == [(1, "glucose", n) for n in range(30)] + [(n,) for n in range(1, 26)]
    store.close()


def test_a_page_that_forgot_is_found_while_the_gateway_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "START_PAGES_MAX", 50)
    path = filled(tmp_path, chunks=300)
    whole = bytearray(path.read_bytes())
    whole[(len(whole) // PAGE_BYTES - 3) * PAGE_BYTES + 100] ^= 1
    path.write_bytes(bytes(whole))
    store = reopened(path)
    assert store.quarantined is None

    async def main() -> None:
        async with asyncio.timeout(7 * 86_400):
            with pytest.raises(StoreCorrupt, match="the database is damaged"):
                await store.run()

    run(main())
    store.close()
    again = reopened(path)
    assert again.quarantined is not None
    again.close()


def test_a_pass_takes_its_time_and_the_next_begins_a_day_later(tmp_path: Path) -> None:
    times: list[float] = []

    class NotingWorker(InlineWorker):
        async def __call__(self, work):  # type: ignore[no-untyped-def]
            times.append(asyncio.get_running_loop().time())
            return work()

    store = open_store(minimal_config(tmp_path), by=Workers(InlineWorker(), NotingWorker(), InlineWorker()))
    in_transaction(
        store,
        lambda tables: tables.readings.insert(begin(tables).no, "glucose", [reading(n) for n in range(25)]),
    )

    async def main() -> None:
        task = asyncio.ensure_future(store.run())
        await asyncio.sleep(2 * 86_400)
        task.cancel()
        await asyncio.wait({task})

    run(main())
    # Nothing was left over from the start, so the first pass begins after a day: six slices for four tables.
    assert times == [86_400.0 + 600.0 * n for n in range(6)]
    store.close()


def test_a_disk_that_will_not_be_read_now_is_read_later(tmp_path: Path) -> None:
    asked = 0

    async def read(_: object) -> None:
        nonlocal asked
        asked += 1
        raise StoreUnavailable("busy")

    async def main() -> None:
        task = asyncio.ensure_future(RollingCheck(LARGE).run(read))
        await asyncio.sleep(3600.0)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})

    run(main())
    assert asked == 5


def test_the_large_tables_are_those_that_grow(tmp_path: Path) -> None:
    """And each is named by what is unique in it."""
    store = open_store(minimal_config(tmp_path))

    def work(tables: Tables) -> None:
        for part in LARGE:
            key = ", ".join(part.key)
            tables.database.read(f"SELECT {key}, {part.bulk} FROM {part.table} ORDER BY {key}")
            plan = tables.database.read(
                f"EXPLAIN QUERY PLAN SELECT {key} FROM {part.table} WHERE ({key})"
                f" > ({', '.join('1' * len(part.key))}) ORDER BY {key} LIMIT 5"
            )
            assert "TEMP B-TREE" not in str(plan), part
            assert "SEARCH" in str(plan), part

    in_transaction(store, work)
    store.close()
