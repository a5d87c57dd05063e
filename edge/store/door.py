"""The store: everything the gateway must not forget, in one encrypted database.

Contract: to write, submit a job; what belongs together is one job. The single writer commits jobs in groups, off the
event loop. To read, pass a job to `read`: it runs on a second connection and sees a consistent state. If the database
is damaged or gone, the store stops; if it only cannot be written for now, the store goes on.
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
    """An open store."""

    def __init__(self, path: Path, identity: Identity, *, simulated: bool | None, workers: Workers) -> None:
        """Open, or create, the database at `path`; if `simulated` is None, open it for reading only.

        Raises:
            ConfigError: the key does not fit, the file is from another version or another world, or its directory
                cannot be used.
            StoreUnavailable: the disk is full, fails, or somebody holds the file.
            StoreCorrupt: it is damaged and was opened for reading only. Otherwise a damaged database is set aside and
                a new one begins.
        """
        if simulated is None:
            opened = open_for_reading(path, identity)
        else:
            opened = open_for_writing(path, identity, simulated=simulated)
        self.path = path
        self.simulated = opened.simulated
        self.quarantined = opened.quarantined
        self.log_copy = opened.log_copy
        # The tables over the writing connection, for use before `run` begins.
        self.tables = Tables(opened.database)
        self._reading = Tables(_connect_reader(path, identity, opened.database))
        self._reader = workers.reader
        self._writer = Writer(self.tables, workers.writer)
        self._check = RollingCheck(opened.unchecked)

    @property
    def trouble(self) -> str | None:
        """Why the last group could not be committed, or nothing can be written any more; otherwise None."""
        return self._writer.trouble

    def notify(self, on_tried: Callable[[], None]) -> None:
        """Have it called on the loop whenever a group of jobs has been committed, or could not be."""
        self._writer.on_tried = on_tried

    def join_groups(self, join: Callable[[], None]) -> None:
        """Have it called on the loop before each group is made: what it submits belongs to that group."""
        self._writer.joining.append(join)

    def submit(self, work: Callable[[Tables], T]) -> "asyncio.Future[T]":
        """Add a job to the next group; its future is set after the commit.

        If the job raises, only its own writes are undone, and the future raises the same. It may also raise:
            StoreUnavailable: nothing of its group was written; the gateway goes on.
            StoreCorrupt, StoreGone: nothing can be written any more; `run` raises it too.
        """
        return self._writer.submit(work)

    async def write(self, work: Callable[[Tables], T]) -> T:
        """Submit a job and wait for its commit. Cancelling the caller does not undo the job."""
        return await self._writer.submit(work)

    def post(
        self,
        work: Callable[[Tables], T],
        then: Callable[[T], None] = lambda _: None,
        *,
        otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        """Add a job to the next group without waiting; `then` is called with its result.

        If the store cannot write, now or ever, the job is dropped and `otherwise` is called. Any other exception, of
        the job or of `then`, is a defect and ends `run`.
        """
        self._writer.submit(work).add_done_callback(partial(self._writer.conclude, then, otherwise))

    async def read(self, work: Callable[[Tables], T]) -> T:
        """The result of a job that only reads; all its reads see the same state.

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
            StoreCorrupt: the database is damaged, or looks so; the next start checks all of it.
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
        """Wait until everything that was submitted so far has been tried; `run` may have ended already."""
        await self._writer.drain()

    def close(self) -> None:
        """Close both connections. No worker may still use them."""
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
