"""Random jobs on a disk that is late, fails and loses its power, against a plain model.

What was acknowledged is there after the next start; what was not is there whole or not at all; what was refused is not
there; and nobody who reads meanwhile sees less than was acknowledged, or half of anything.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from edge_parts import IDENTITY, in_transaction, minimal_config, open_store
from store_parts import chunk, reading

from edge.errors import StoreUnavailable
from edge.store.door import Store, Tables
from edge.store.summaries import SummaryKey
from edge.workers import InlineWorker, Workers
from hw_sim.clock import run
from hw_sim.disk import SimulatedDisk

LIVES, SEEDS = 3, 16
KIND, SENSOR_NO = "heart_5min", 1


class Job:
    """Something that writes to several tables, and may fail on the way."""

    def __init__(self, number: int, rng: Random) -> None:
        self.number = number
        self.fails = rng.random() < 0.15
        self.at = rng.randrange(5)
        self.acknowledged = False
        self.refused = False

    def __call__(self, tables: Tables) -> int:
        parts: list[Callable[[], object]] = [
            lambda: tables.dirty.mark(KIND, SENSOR_NO, [self.number]),
            lambda: tables.raw_chunks.append(chunk(self.number, self.number)),
            lambda: tables.readings.insert(1, "glucose", [reading(self.number)]),
            lambda: tables.summaries.put(
                SummaryKey(KIND, SENSOR_NO, self.number), 300, UUID(int=self.number), {}, final=True
            ),
        ]
        for n, part in enumerate(parts):
            if self.fails and n == self.at % len(parts):
                raise KeyError(self.number)
            part()
        return self.number

    async def submit(self, store: Store) -> None:
        try:
            assert await store.write(self) == self.number
        except (KeyError, StoreUnavailable):
            self.refused = True
        else:
            self.acknowledged = True


def present(tables: Tables) -> set[int]:
    """Which jobs have left something; each has left all of it."""
    parts = (
        {key.start_utc_s for key in tables.dirty.all()},
        {one.packets[0].arrival_boot_ns for one in tables.raw_chunks.between(1, 1, 0, 1 << 60)},
        set(tables.readings.sequences(1, "glucose")),
        {summary.key.start_utc_s for summary in tables.summaries.between(KIND)},
    )
    assert all(part == parts[0] for part in parts)
    return parts[0]


async def live(store: Store, disk: SimulatedDisk, jobs: list[Job], first: int, rng: Random) -> None:
    """Run the store until the power fails."""
    running = asyncio.ensure_future(store.run())
    tasks = []
    for number in range(first, first + rng.randrange(1, 40)):
        job = Job(number, rng)
        jobs.append(job)
        tasks.append(asyncio.ensure_future(job.submit(store)))
        if rng.random() < 0.5:
            await asyncio.sleep(rng.expovariate(20.0))
        if rng.random() < 0.1:
            # Who waits goes away; the job does not.
            tasks[-1].cancel()
        if rng.random() < 0.05:
            disk.refuses = not disk.refuses
        if rng.random() < 0.2:
            known = {job.number for job in jobs if job.acknowledged}
            found = await store.read(present)
            assert known <= found
            assert not found & {job.number for job in jobs if job.refused}
        if running.done():
            running.result()
    await asyncio.sleep(rng.expovariate(20.0))
    disk.cut()
    await asyncio.sleep(5.0)
    for task in [*tasks, running]:
        task.cancel()
    for failure in await asyncio.gather(*tasks, return_exceptions=True):
        if failure and not isinstance(failure, asyncio.CancelledError):
            raise failure


@pytest.mark.parametrize(
    "block", [pytest.param(block, marks=[pytest.mark.soak] * (block >= 4)) for block in range(40)]
)
def test_what_was_acknowledged_is_there_after_every_power_cut(tmp_path: Path, block: int) -> None:
    undecided = found_of_them = 0
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        rng = Random(seed)
        path = tmp_path / str(seed) / "0" / "store.db"
        shutil.copytree(_template(tmp_path).parent, path.parent)
        jobs: list[Job] = []
        lost: set[int] = set()
        for life in range(LIVES):

            async def main(path: Path, jobs: list[Job], rng: Random, seed: int) -> Path:
                disk = SimulatedDisk(seed, failures=0.1)
                workers = Workers(disk, InlineWorker(), InlineWorker())
                store = Store(path, IDENTITY, simulated=True, workers=workers)
                store.tables.database.execute("PRAGMA synchronous = OFF")  # this power cut loses no pages
                await live(store, disk, jobs, len(jobs), rng)
                image = path.parent.parent / str(life + 1) / path.name  # noqa: B023
                shutil.copytree(path.parent, image.parent)
                store.close()
                return image

            path = run(main(path, jobs, rng, 100 * seed + life))
            store = Store(path, IDENTITY, simulated=True, workers=Workers(*[InlineWorker()] * 3))
            assert store.quarantined is None
            found = present(store.tables)
            store.close()
            assert {job.number for job in jobs if job.acknowledged} <= found, seed
            assert not found & {job.number for job in jobs if job.refused or job.fails}, seed
            # What was lost once does not come back.
            assert not found & lost, seed
            open_ends = {job.number for job in jobs if not job.acknowledged and not job.refused}
            undecided += len(open_ends)
            found_of_them += len(open_ends & found)
            lost |= open_ends - found
    # Some commits were cut before, some after the disk had them.
    assert 0 < found_of_them < undecided


def _template(directory: Path) -> Path:
    """An empty store with a session, made once; its path."""
    path = directory / "template" / "state" / "store.db"
    if not path.exists():
        (directory / "template").mkdir()
        store = open_store(minimal_config(directory / "template"))

        def begin(tables: Tables) -> None:
            tables.sessions.begin(
                2,
                UUID(int=1),
                told_start_utc_s=None,
                start_boot_no=1,
                start_boot_ns=0,
                start_utc_s=None,
                start_error_ms=None,
                run_time_h=None,
            )

        in_transaction(store, begin)
        store.close()
    return path
