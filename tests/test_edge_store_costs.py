"""What the store costs: bytes written an hour, wake-ups while nothing happens, steps to find something old."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import UUID

import pytest
from edge_parts import MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store
from store_parts import SECOND_NS, beats, begin, chunk, reading

from edge.store.deliveries import Batch, Item, reading_ref, summary_ref
from edge.store.door import Store, Tables
from edge.store.summaries import SummaryKey
from edge.workers import InlineWorker, Workers
from hw_sim.clock import run

T = TypeVar("T")

FRAME_BYTES = 1024 + 24
SUMMARY = {
    "beats": 341,
    "coverage_pct": 99.70333333333333,
    "hr_max_bpm": 84.12731733208479,
    "hr_mean_bpm": 70.4401953471221,
    "hr_min_bpm": 61.97120361240561,
    **dict.fromkeys(("sdrr_ms", "rmssd_rr_ms", "sdnn_ms", "rmssd_ms", "lf_ms2", "hf_ms2"), 41.23123512312),
    **dict.fromkeys(("normal_pct", "pnn50_pct", "af_pct", "mean_nn_ms", "dfa_a1"), 30.69142142142),
    **dict.fromkeys(("breathing_bpm", "breathing_confidence"), 0.6914214214214),
}
ALLOWED = {("p-7f3a", "heart_5min"), ("p-7f3a", "cgm_reading")}


def logged_bytes(store: Store, work: Callable[[Tables], object]) -> int:
    """What one commit appends to the log."""
    log = store.path.with_name("store.db-wal")
    before = log.stat().st_size
    in_transaction(store, work)
    return log.stat().st_size - before


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(minimal_config(tmp_path))
    store.tables.database.read("PRAGMA wal_autocheckpoint = 0")
    in_transaction(store, begin)
    return store


def half_a_minute(store: Store, s: int, rng: Random) -> int:
    """What a strap, a CGM and the way upstream write between two commits of the strap; a commit each."""

    def keep_chunk(tables: Tables) -> None:
        tables.raw_chunks.append(beats(s, 30, rng))
        tables.dirty.mark("heart_5min", 1, [(MIDNIGHT_UTC_S + s) // 300 * 300])

    def keep_reading(tables: Tables) -> None:
        minute = s // 60
        tables.readings.insert(1, "glucose", [reading(minute)])
        tables.dirty.mark("glucose_day", 2, [MIDNIGHT_UTC_S])
        tables.sessions.update(1, watermark=minute)
        item = Item(
            "cgm_reading", reading_ref(1, "glucose", minute), UUID(int=rng.getrandbits(128)), "p-7f3a", 1
        )
        tables.deliveries.enqueue(item, "files", 1, s * SECOND_NS)

    def close_window(tables: Tables) -> None:
        key = SummaryKey("heart_5min", 1, (MIDNIGHT_UTC_S + s) // 300 * 300 - 300)
        summary_id = UUID(int=rng.getrandbits(128))
        tables.summaries.put(key, key.start_utc_s + 300, summary_id, SUMMARY, final=True)
        tables.dirty.clear(*key)
        item = Item(key.kind, summary_ref(*key), summary_id, "p-7f3a", 1)
        tables.deliveries.enqueue(item, "files", 1, s * SECOND_NS)

    def send(tables: Tables) -> None:
        items = tables.deliveries.waiting("files", 100, ALLOWED)
        tables.deliveries.begin_batch("files", Batch(f"batch-{s}", rng.randbytes(2000), tuple(items)))

    written = logged_bytes(store, keep_chunk)
    if s % 300 == 30:
        written += logged_bytes(store, close_window)
    if s % 300 == 150:
        written += logged_bytes(store, keep_reading)
    if s % 300 == 180:
        written += logged_bytes(store, send)
        written += logged_bytes(
            store, lambda tables: tables.deliveries.acknowledge("files", MIDNIGHT_UTC_S + s)
        )
    return written


def test_an_hour_of_a_strap_and_a_cgm_writes_a_megabyte(store: Store) -> None:
    """Into the log; what a checkpoint writes again is a fifth of that, as the same pages change all the time."""
    rng = Random(1)
    hours = [
        sum(half_a_minute(store, s, rng) for s in range(h * 3600, h * 3600 + 3600, 30)) for h in range(3)
    ]
    assert max(hours) < 1_000_000


def test_a_commit_of_half_a_minute_changes_few_pages(store: Store) -> None:
    rng = Random(1)
    frames = [
        logged_bytes(store, lambda tables: tables.raw_chunks.append(beats(30 * n, 30, rng))) // FRAME_BYTES  # noqa: B023
        for n in range(200)
    ]
    assert sum(frames) / len(frames) < 4.0
    assert max(frames) <= 12


def test_a_store_that_nothing_is_asked_of_asks_nothing_of_the_disk(tmp_path: Path) -> None:
    asked = 0

    class CountingWorker(InlineWorker):
        async def __call__(self, work: Callable[[], T]) -> T:
            nonlocal asked
            asked += 1
            return work()

    async def main() -> None:
        store = open_store(
            minimal_config(tmp_path), by=Workers(CountingWorker(), InlineWorker(), InlineWorker())
        )
        task = asyncio.ensure_future(store.run())
        await asyncio.sleep(3600.0)
        task.cancel()
        await asyncio.wait({task})
        store.close()

    run(main())
    assert asked == 0


def test_an_old_window_costs_the_same_whatever_came_after_it(store: Store) -> None:
    def steps(question: Callable[[Tables], object]) -> int:
        """Steps of SQLite's machine."""
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        connection = store.tables.database._connection
        connection.set_progress_handler(step, 1)
        question(store.tables)
        connection.set_progress_handler(None, 0)
        return count

    def add(tables: Tables, first: int, chunks: int) -> None:
        for n in range(first, first + chunks):
            tables.raw_chunks.append(chunk(30 * n * SECOND_NS, (30 * n + 29) * SECOND_NS))
            tables.readings.insert(1, "glucose", [reading(n)])
            tables.summaries.put(
                SummaryKey("heart_5min", 1, 300 * n), 300 * n + 300, UUID(int=n), {}, final=True
            )

    questions: list[Callable[[Tables], object]] = [
        lambda tables: tables.raw_chunks.between(1, 1, 300 * SECOND_NS, 600 * SECOND_NS),
        lambda tables: tables.readings.between(1, "glucose", 300, 600),
        lambda tables: tables.readings.oldest(1, "glucose", 10),
        lambda tables: tables.readings.newest(1, "glucose"),
        lambda tables: tables.summaries.between("heart_5min", 300, 600),
        lambda tables: tables.raw_chunks.newest(1),
        lambda tables: tables.raw_chunks.boots(1),
        lambda tables: tables.deliveries.counts("files"),
    ]
    in_transaction(store, lambda tables: add(tables, 0, 40))
    before = [steps(question) for question in questions]
    in_transaction(store, lambda tables: add(tables, 40, 2000))
    after = [steps(question) for question in questions]
    assert max(now - was for now, was in zip(after, before, strict=True)) <= 20
