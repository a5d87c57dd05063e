"""The writer commits in groups off the loop; what one job does wrong concerns that job alone."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from edge_parts import in_transaction, minimal_config, open_store, running
from store_parts import filled, reopened

from edge.errors import ConfigError, StoreCorrupt, StoreGone, StoreUnavailable
from edge.store import checking, writer
from edge.store.database import PAGE_BYTES
from edge.store.door import Store, Tables
from edge.workers import InlineWorker, ThreadWorker, Workers, inline
from hw_sim.clock import run
from hw_sim.disk import SimulatedDisk

T = TypeVar("T")


class CountingWorker(InlineWorker):
    """Counts what is asked of it, and fails when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: OSError | None = None
        self.before: Callable[[], None] = lambda: None

    async def __call__(self, work: Callable[[], T]) -> T:
        self.asked += 1
        self.before()
        if self.failure:
            raise self.failure
        return work()


def with_writer(worker: Any) -> Workers:
    return Workers(worker, InlineWorker(), InlineWorker())


def mark(start_utc_s: int) -> Callable[[Tables], int]:
    """A job that leaves something behind."""

    def work(tables: Tables) -> int:
        tables.dirty.mark("heart_5min", 1, [start_utc_s])
        return start_utc_s

    return work


def fail(error: BaseException, start_utc_s: int = 99) -> Callable[[Tables], None]:
    def work(tables: Tables) -> None:
        mark(start_utc_s)(tables)
        raise error

    return work


def marked(tables: Tables) -> list[int]:
    return [key.start_utc_s for key in tables.dirty.all()]


def virtually(tmp_path: Path, main: Callable[[Store, CountingWorker], Coroutine[Any, Any, None]]) -> None:
    """Run it on a store whose writer counts."""
    worker = CountingWorker()
    store = open_store(minimal_config(tmp_path), by=with_writer(worker))
    run(main(store, worker))
    store.close()


# Groups


def test_all_that_wait_are_one_commit_in_the_order_they_came(tmp_path: Path) -> None:
    async def main(store: Store, worker: CountingWorker) -> None:
        order: list[int] = []

        def note(n: int) -> Callable[[Tables], int]:
            return lambda tables: order.append(n) or mark(n)(tables)  # type: ignore[func-returns-value]

        async with running(store):
            assert await asyncio.gather(*(store.write(note(n)) for n in range(50))) == list(range(50))
        assert order == list(range(50))
        assert worker.asked == 1
        assert marked(store.tables) == order

    virtually(tmp_path, main)


def test_a_group_is_bounded(tmp_path: Path) -> None:
    async def main(store: Store, worker: CountingWorker) -> None:
        async with running(store):
            futures = [store.submit(mark(n)) for n in range(2 * writer.GROUP_JOBS_MAX + 1)]
            await futures[0]
            assert [future.done() for future in (futures[255], futures[256])] == [True, False]
            await futures[-1]
        assert worker.asked == 3

    virtually(tmp_path, main)


def test_a_result_is_given_after_the_commit(tmp_path: Path) -> None:
    async def main() -> None:
        disk = SimulatedDisk(1, delay_s=(1.0, 1.0))
        store = open_store(minimal_config(tmp_path), by=with_writer(disk))
        async with running(store):
            started_s = asyncio.get_running_loop().time()
            assert await store.write(mark(5)) == 5
            assert asyncio.get_running_loop().time() - started_s == pytest.approx(1.0)
            assert await store.read(marked) == [5]
        store.close()

    run(main())


# Jobs that fail


@pytest.mark.parametrize(
    "error", [KeyError("x"), AssertionError(), ConfigError("a", "b", "c"), OSError(5, "job's own")]
)
def test_what_a_job_raises_is_its_own_affair(tmp_path: Path, error: Exception) -> None:
    async def main(store: Store, worker: CountingWorker) -> None:
        async with running(store) as task:
            before, failing, after = store.submit(mark(1)), store.submit(fail(error)), store.submit(mark(2))
            with pytest.raises(type(error)) as caught:
                await failing
            assert caught.value is error
            assert (await before, await after) == (1, 2)
            assert not task.done()
            assert await store.write(mark(3)) == 3
        assert marked(store.tables) == [1, 2, 3]
        assert store.trouble is None
        assert worker.asked == 2

    virtually(tmp_path, main)


def test_a_job_that_runs_out_of_something_reaches_its_submitter_too(tmp_path: Path) -> None:
    """A future does not take a StopIteration."""

    async def main(store: Store, _: CountingWorker) -> None:
        async with running(store):
            with pytest.raises(RuntimeError, match="StopIteration"):
                await store.write(lambda _: next(iter(())))
            assert await store.write(mark(1)) == 1

    virtually(tmp_path, main)


def test_who_goes_away_takes_nothing_along(tmp_path: Path) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        async with running(store):
            writing = asyncio.ensure_future(store.write(mark(1)))
            forgotten = store.submit(fail(KeyError()))
            beside = store.submit(mark(2))
            await asyncio.sleep(0)
            writing.cancel()
            forgotten.cancel()
            assert await beside == 2
            with pytest.raises(asyncio.CancelledError):
                await writing
        assert marked(store.tables) == [1, 2]

    virtually(tmp_path, main)


def test_what_nobody_waits_for_is_handed_on_or_ends_the_store(tmp_path: Path) -> None:
    async def main(store: Store, worker: CountingWorker) -> None:
        taken: list[int] = []
        async with running(store):
            store.post(mark(7), taken.append)
            store.post(mark(8))
            worker.failure = OSError(28, "No space left on device")
            await store.drain()
            store.post(mark(9), taken.append)
            await store.drain()
            worker.failure = None
        assert taken == []
        assert marked(store.tables) == []

    virtually(tmp_path, main)


@pytest.mark.parametrize("where", ["job", "then"])
def test_a_defect_that_nobody_waits_for_ends_the_store(tmp_path: Path, where: str) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        task = asyncio.ensure_future(store.run())
        if where == "job":
            store.post(fail(KeyError("a defect")))
        else:
            store.post(mark(1), lambda _: {}["a defect"])
        with pytest.raises(KeyError, match="a defect"):
            await task
        # What is open in memory can still be stored on the way out.
        last = store.submit(mark(2))
        await store.drain()
        assert await last == 2

    virtually(tmp_path, main)


# Groups that fail


def test_a_disk_that_would_not_costs_the_group_and_nothing_else(tmp_path: Path) -> None:
    async def main(store: Store, worker: CountingWorker) -> None:
        async with running(store) as task:
            worker.failure = OSError(28, "No space left on device")
            futures = [store.submit(mark(n)) for n in range(3)]
            for future in futures:
                with pytest.raises(StoreUnavailable, match="No space left on device"):
                    await future
            assert store.trouble == "No space left on device"
            assert not task.done()
            worker.failure = None
            assert await store.write(mark(5)) == 5
            assert store.trouble is None
        assert marked(store.tables) == [5]

    virtually(tmp_path, main)


@pytest.mark.parametrize("jobs", [1, 5])
def test_a_full_disk_costs_the_group_and_nothing_else(tmp_path: Path, jobs: int) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        database = store.tables.database
        async with running(store) as task:
            ((pages,),) = database.read("PRAGMA page_count")
            database.execute(f"PRAGMA max_page_count = {pages + 1}")

            def large(tables: Tables) -> None:
                tables.sensors.keep_trait(1, "large", "x" * 100_000)

            futures = [store.submit(mark(n)) for n in range(jobs)] + [store.submit(large)]  # type: ignore[list-item]
            futures.append(store.submit(mark(90)))
            for future in futures:
                with pytest.raises(StoreUnavailable, match="full"):
                    await future
            assert "full" in (store.trouble or "")
            assert not database.in_transaction
            database.execute("PRAGMA max_page_count = 1000000")
            assert not task.done()
            await store.write(large)
            assert store.trouble is None
        assert marked(store.tables) == []

    virtually(tmp_path, main)


def test_a_job_that_swallows_a_full_disk_is_not_taken_for_committed(tmp_path: Path) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        def swallow(tables: Tables) -> None:
            tables.database.execute("ROLLBACK")

        async with running(store):
            futures = [store.submit(work) for work in (mark(1), swallow, mark(2))]  # type: ignore[arg-type,var-annotated]
            for future in futures:
                with pytest.raises((StoreUnavailable, AssertionError)):
                    await future
            assert await store.write(mark(3)) == 3
        assert marked(store.tables) == [3]

    virtually(tmp_path, main)


def test_a_line_says_when_the_store_cannot_be_written_and_when_it_can_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(store: Store, worker: CountingWorker) -> None:
        async with running(store):
            for failure in (None, OSError(28, "Disk full"), OSError(5, "I/O error"), None, None):
                worker.failure = failure
                for n in range(3):
                    store.post(mark(n))
                    await store.drain()

    caplog.set_level("INFO")
    virtually(tmp_path, main)
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == writer.__name__] == [
        ("WARNING", "the store cannot be written: Disk full"),
        ("INFO", "the store can be written again"),
    ]


@pytest.mark.parametrize(
    "failure", [OSError(28, "Disk full"), StoreCorrupt("page 7"), StoreGone("it was deleted")]
)
def test_who_waits_for_nothing_hears_that_it_was_not_written(tmp_path: Path, failure: Exception) -> None:
    refused: list[str] = []

    async def main(store: Store, worker: CountingWorker) -> None:
        task = asyncio.ensure_future(store.run())
        worker.failure = failure  # type: ignore[assignment]
        store.post(mark(1), otherwise=lambda: refused.append("under way"))
        await asyncio.sleep(1.0)
        store.post(mark(2), otherwise=lambda: refused.append("later"))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait({task})

    virtually(tmp_path, main)
    assert refused == ["under way", "later"]


# The end


def test_what_was_submitted_is_tried_on_the_way_out(tmp_path: Path) -> None:
    """Cancelled in the middle of a commit, and with jobs waiting."""

    async def main() -> None:
        disk = SimulatedDisk(1, delay_s=(1.0, 1.0))
        store = open_store(minimal_config(tmp_path), by=with_writer(disk))
        task = asyncio.ensure_future(store.run())
        first = store.submit(mark(1))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait({task})
        second = store.submit(mark(2))
        await store.drain()
        assert (first.result(), second.result()) == (1, 2)
        assert marked(store.tables) == [1, 2]
        store.close()

    run(main())


def test_draining_waits_for_what_was_submitted_so_far_only(tmp_path: Path) -> None:
    async def main() -> None:
        store = open_store(minimal_config(tmp_path), by=with_writer(SimulatedDisk(1, delay_s=(1.0, 1.0))))
        n = 0

        async def go_on() -> None:
            nonlocal n
            while True:
                n += 1
                await store.write(mark(n))

        async with running(store):
            others = asyncio.ensure_future(go_on())
            await asyncio.sleep(0.5)
            async with asyncio.timeout(10.0):
                await store.drain()
            others.cancel()
        store.close()

    run(main())


# Damage and loss


def spoil_the_end(path: Path) -> None:
    """Damage the last pages, which hold raw chunks."""
    whole = bytearray(path.read_bytes())
    for page in range(len(whole) // PAGE_BYTES - 20, len(whole) // PAGE_BYTES):
        whole[page * PAGE_BYTES + 9] ^= 1
    path.write_bytes(bytes(whole))


@pytest.mark.parametrize("found_by", ["a job", "a reader"])
def test_damage_that_is_found_stops_the_store_and_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    # As a large file: neither start looks at all of it.
    monkeypatch.setattr(checking, "START_PAGES_MAX", 5)
    path = filled(tmp_path)
    spoil_the_end(path)
    store = reopened(path)
    assert store.quarantined is None

    def look(tables: Tables) -> object:
        return tables.raw_chunks.between(1, 1, 0, 1 << 60)

    async def main() -> None:
        task = asyncio.ensure_future(store.run())
        await asyncio.sleep(0)
        finding = store.submit(look) if found_by == "a job" else asyncio.ensure_future(store.read(look))
        beside = store.submit(mark(1))
        with pytest.raises(StoreCorrupt, match="the database is damaged"):
            await finding
        if found_by == "a job":
            with pytest.raises(StoreCorrupt):
                await beside
        with pytest.raises(StoreCorrupt):
            await task
        with pytest.raises(StoreCorrupt):
            await store.write(mark(2))
        await store.drain()

    run(main())
    store.close()
    again = reopened(path)
    assert again.quarantined == path.with_name("store.db.corrupt-1")
    again.close()


@pytest.mark.parametrize("what", ["file", "directory", "replaced"])
def test_a_store_that_is_deleted_is_noticed_within_a_minute(tmp_path: Path, what: str) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        started_s = asyncio.get_running_loop().time()
        task = asyncio.ensure_future(store.run())
        await store.write(mark(1))
        await asyncio.sleep(10.0)
        if what == "directory":
            shutil.rmtree(store.path.parent)
        else:
            store.path.unlink()
        if what == "replaced":
            store.path.write_bytes(b"another")
        async with asyncio.timeout(3600.0):
            with pytest.raises(StoreGone, match=r"store\.db was deleted or replaced"):
                await task
        assert asyncio.get_running_loop().time() - started_s <= writer.LOOK_S + 10.0
        with pytest.raises(StoreGone):
            await store.write(mark(2))

    virtually(tmp_path, main)


def test_nothing_is_taken_for_stored_in_a_file_that_is_gone(tmp_path: Path) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        async with asyncio.timeout(1.0):
            task = asyncio.ensure_future(store.run())
            await store.write(mark(1))
            store.path.unlink()
            with pytest.raises(StoreGone):
                await store.write(mark(2))
            with pytest.raises(StoreGone):
                await task

    virtually(tmp_path, main)


# Threads


def test_the_loop_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """A commit that takes long, in a thread: the loop goes on, and so do readers."""

    class SlowWorker(ThreadWorker):
        async def __call__(self, work: Callable[[], T]) -> T:
            def slowly() -> T:
                time.sleep(0.5)
                return work()

            return await super().__call__(slowly)

    async def main() -> None:
        workers = Workers(SlowWorker("writer"), ThreadWorker("reader"), InlineWorker())
        store = open_store(minimal_config(tmp_path), by=workers)
        loop, longest_s, reads = asyncio.get_running_loop(), 0.0, 0
        async with running(store):
            writing = store.submit(lambda _: threading.current_thread().name)
            while not writing.done():
                before_s = loop.time()
                await asyncio.sleep(0.01)
                longest_s = max(longest_s, loop.time() - before_s)
                assert await store.read(marked) == []
                reads += 1
            assert writing.result().startswith("writer")
            assert (await store.read(lambda _: threading.current_thread().name)).startswith("reader")
        assert reads > 10
        assert longest_s < 0.3
        workers.close()
        store.close()

    asyncio.run(main())


def test_readers_cannot_write(tmp_path: Path) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        with pytest.raises(StoreUnavailable, match="readonly"):
            await store.read(mark(1))
        assert await store.read(marked) == []

    virtually(tmp_path, main)


def test_a_reader_sees_one_state(tmp_path: Path) -> None:
    async def main(store: Store, _: CountingWorker) -> None:
        def twice(tables: Tables) -> tuple[list[int], list[int]]:
            before = marked(tables)
            in_transaction(store, mark(1))
            return before, marked(tables)

        assert await store.read(twice) == ([], [])
        assert await store.read(marked) == [1]

    virtually(tmp_path, main)


def test_an_inline_worker_is_the_loop_itself(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path), by=inline())

    async def main() -> None:
        async with running(store):
            assert await store.write(lambda _: threading.current_thread()) is threading.main_thread()

    run(main())
    store.close()
