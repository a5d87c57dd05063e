"""The store: everything the gateway must not forget, in one encrypted database.

Contract: whoever wants something written submits a job, and what belongs together is one job; the one writer commits
jobs in groups, off the event loop. Whoever wants to read gives a job that runs on a connection of its own and sees one
state of everything. A database that is damaged or gone stops the store; one that cannot be written for now does not.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from edge.errors import StoreCorrupt
from edge.identity import Identity
from edge.store import damage
from edge.store.checking import RollingCheck
from edge.store.database import READING, Database
from edge.store.opening import open_for_reading, open_for_writing
from edge.store.tables import Tables
from edge.store.writer import Writer
from edge.workers import Workers

__all__ = ["Store", "Tables"]

T = TypeVar("T")


class Store:
    """One store, open."""

    def __init__(self, path: Path, identity: Identity, *, simulated: bool | None, workers: Workers) -> None:
        """Open, or create, the database at `path`; with `simulated` None it is only looked at.

        Raises:
            ConfigError: the key does not fit, the file is from another version or another world, or its directory
                cannot be used.
            StoreUnavailable: the disk is full, fails, or somebody holds the file.
            StoreCorrupt: it is damaged, and was only to be looked at; else it is set aside and a new one begins.
        """
        if simulated is None:
            opened = open_for_reading(path, identity)
        else:
            opened = open_for_writing(path, identity, simulated=simulated)
        self.path = path
        self.simulated = opened.simulated
        self.quarantined = opened.quarantined
        # The parts over the writing connection: for what happens before `run`.
        self.tables = Tables(opened.database)
        self._reading = Tables(_connect_reader(path, identity, opened.database))
        self._reader = workers.reader
        self._writer = Writer(self.tables, workers.writer)
        self._check = RollingCheck(opened.unchecked)

    @property
    def trouble(self) -> str | None:
        """Why the last group could not be committed; None if it could."""
        return self._writer.trouble

    def notify(self, on_tried: Callable[[], None]) -> None:
        """Have it called on the loop whenever a group of jobs has been committed, or could not be."""
        self._writer.on_tried = on_tried

    def submit(self, work: Callable[[Tables], T]) -> "asyncio.Future[T]":
        """Have a job done with the next group; its future is set after the commit.

        The future raises what the job raised, which is undone alone, or:
            StoreUnavailable: nothing of its group was written; the gateway goes on.
            StoreCorrupt, StoreGone: nothing can be written any more; `run` raises it too.
        """
        return self._writer.submit(work)

    async def write(self, work: Callable[[Tables], T]) -> T:
        """Submit a job and wait for its commit. Who is cancelled while waiting does not undo it."""
        return await self._writer.submit(work)

    def post(
        self,
        work: Callable[[Tables], T],
        then: Callable[[T], None] = lambda _: None,
        *,
        otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        """Have a job done with the next group for somebody who does not wait; `then` gets its result.

        While the store cannot write the job is dropped, and `otherwise` called. Whatever else the job or `then`
        raises is a defect of ours, and ends `run`.
        """
        self._writer.submit(work).add_done_callback(partial(self._writer.conclude, then, otherwise))

    async def read(self, work: Callable[[Tables], T]) -> T:
        """What a job finds that only reads; all of it sees the same state.

        Raises:
            StoreUnavailable: it cannot be read for now.
            StoreCorrupt: the database is damaged; `run` raises it too.
        """
        try:
            return await self._reader(partial(self._read, work))
        except StoreCorrupt as found:
            self._writer.stop(found)
            raise

    async def run(self) -> None:
        """Commit what is submitted and look for damage, until cancelled.

        Raises:
            StoreCorrupt: the database is damaged, and the next start sets it aside.
            StoreGone: its file or directory is no longer where it was.
        """
        tasks = [asyncio.ensure_future(self._writer.run()), asyncio.ensure_future(self._check.run(self.read))]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()

    async def drain(self) -> None:
        """Wait until everything that was submitted so far has been tried; `run` need not run any more."""
        await self._writer.drain()

    def close(self) -> None:
        """Close both connections; no worker may be busy with them any more."""
        self._reading.database.close()
        self.tables.database.close()

    def _read(self, work: Callable[[Tables], T]) -> T:
        try:
            with self._reading.database.snapshot():
                return work(self._reading)
        except StoreCorrupt as found:
            damage.mark(self.path, found.reason)
            raise


def _connect_reader(path: Path, identity: Identity, writing: Database) -> Database:
    """A second connection, which cannot write; if it fails, the first is closed."""
    try:
        reading = Database(path, identity)
        reading.set((*READING, "query_only = ON"))
    except BaseException:
        writing.close()
        raise
    return reading
