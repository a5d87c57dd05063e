"""The writer: store jobs are committed in groups, off the event loop.

Contract: a job is a function of `Tables`. Jobs are done in the order in which they were submitted, each inside a
savepoint of its own. The jobs that wait at the same time are a group, and are done in one transaction. The future of a
job is set once that transaction is committed. If a job raises, only its own changes are undone, and only its caller is
told. If a group cannot be committed, all its changes are undone. A job is done even if its caller no longer waits.

| what becomes of a group | its futures | the writer |
|---|---|---|
| committed | the results, or what a job raised | takes the next group; `trouble` is None |
| the disk or the database would not | StoreUnavailable | takes the next group; `trouble` says why |
| the database is damaged, or gone | StoreCorrupt, StoreGone | stops with that; what comes later gets it too |

What the jobs do, and which tables there are, is not known here.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.store import damage
from edge.store.tables import Tables
from edge.workers import Worker

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[Tables], T]

# The most jobs in a group, so that a commit stays short; the rest waits for the next group.
GROUP_JOBS_MAX = 256
# How often to check that the file is still there, while nothing is written.
LOOK_S = 60.0


class _Job(NamedTuple):
    work: Work[Any]
    future: "asyncio.Future[Any]"


class Writer:
    """The one who writes.

    Attributes:
        trouble: why the last group could not be committed, or nothing can be written any more; otherwise None.
        on_tried: called on the loop when a group has been committed, or could not be.
        joining: called on the loop before a group is made, so that what could wait longer joins a commit that happens
            anyway.
    """

    def __init__(self, tables: Tables, worker: Worker) -> None:
        self.trouble: str | None = None
        self.on_tried: Callable[[], None] = lambda: None
        self.joining: list[Callable[[], None]] = []
        self.stopped: StoreCorrupt | StoreGone | None = None
        self._defect: BaseException | None = None
        self._tables = tables
        self._worker = worker
        self._file = damage.FileIdentity(tables.database.path)
        self._waiting: deque[_Job] = deque()
        self._submitted = 0
        self._tried = 0
        self._wake: asyncio.Future[None] | None = None
        self._looking: asyncio.TimerHandle
        self._group: asyncio.Task[None] | None = None

    def submit(self, work: Work[T]) -> "asyncio.Future[T]":
        """Have a job done with the next group; its future is set after the commit."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.stopped:
            _fail([_Job(work, future)], self.stopped)
        else:
            self._waiting.append(_Job(work, future))
            self._submitted += 1
            self._rouse()
        return future

    def stop(self, failure: StoreCorrupt | StoreGone) -> None:
        """Nothing can be written any more: all that wait hear of it, and `run` raises it."""
        self.stopped = failure
        self.trouble = failure.reason
        _fail(self._waiting, failure)
        self._tried += len(self._waiting)
        self._waiting.clear()
        self._rouse()

    def conclude(
        self, then: Callable[[T], None], otherwise: Callable[[], None], future: "asyncio.Future[T]"
    ) -> None:
        """Take what came of a job that nobody waits for: a result is handed on, a defect ends `run`."""
        if future.cancelled():
            return
        failure = future.exception()
        try:
            if isinstance(failure, StoreUnavailable | StoreCorrupt | StoreGone):
                otherwise()
            elif failure:
                raise failure
            else:
                then(future.result())
        except BaseException as defect:
            self._defect = defect
            self._rouse()
            raise

    async def run(self) -> None:
        """Commit group after group, until cancelled.

        Raises:
            StoreCorrupt: the database is damaged, and marked as such.
            StoreGone: its file is no longer where it was.
        """
        while True:
            await self._filled()
            if self.stopped or self._defect:
                raise self.stopped or self._defect  # type: ignore[misc]
            # If this is cancelled, the group still ends, and its futures are set.
            await asyncio.shield(self._next_group())

    async def drain(self) -> None:
        """Wait until everything that was submitted so far has been tried, whether `run` runs or not."""
        until = self._submitted
        while self._tried < until:
            await asyncio.shield(self._next_group())

    async def _filled(self) -> None:
        """Wait until there is a job, and look after the file meanwhile."""
        if self._waiting or self.stopped or self._defect:
            return
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        self._looking = loop.call_later(LOOK_S, self._look)
        try:
            await self._wake
        finally:
            self._looking.cancel()
            self._wake = None

    def _look(self) -> None:
        """Look after the file. That asks for an inode in use, which is in memory: the loop waits for no disk."""
        try:
            self._file.look()
        except StoreGone as gone:
            self.stop(gone)
            return
        except OSError:
            pass  # the next commit says what the matter is
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _next_group(self) -> "asyncio.Task[None]":
        """The group that is under way, or else the one of all that wait now."""
        if self._group is None or self._group.done():
            self._group = asyncio.get_running_loop().create_task(self._do_group())
        return self._group

    async def _do_group(self) -> None:
        for join in self.joining if self._waiting else ():
            join()
        jobs = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_JOBS_MAX))]
        try:
            outcomes = await self._worker(partial(self._commit, [job.work for job in jobs]))
        except (StoreUnavailable, OSError) as failure:
            reason = _reason(failure)
            self._note(reason)
            _fail(jobs, StoreUnavailable(reason))
        except (StoreCorrupt, StoreGone) as failure:
            _fail(jobs, failure)
            self.stop(failure)
            raise
        except BaseException:
            for job in jobs:
                job.future.cancel()
            raise
        else:
            if jobs:
                self._note(None)
            for job, outcome in zip(jobs, outcomes, strict=True):
                outcome.tell(job.future)
        finally:
            self._tried += len(jobs)
            self.on_tried()

    def _note(self, trouble: str | None) -> None:
        """Log when trouble begins, and when it ends."""
        if trouble is not None and self.trouble is None:
            log.warning("the store cannot be written: %s", trouble)
        elif trouble is None and self.trouble is not None:
            log.info("the store can be written again")
        self.trouble = trouble

    def _commit(self, works: Sequence[Work[Any]]) -> "list[_Trial]":
        """Runs in the worker: all that the jobs wrote is committed when this returns, nothing when it raises."""
        self._file.look()
        if not works:
            return []
        try:
            return self._done_alone(works[0]) if len(works) == 1 else self._done_together(works)
        except StoreCorrupt as found:
            damage.mark(self._tables.database.path, found.reason)
            raise

    def _done_alone(self, work: Work[Any]) -> "list[_Trial]":
        """One job needs no savepoint within the transaction: what it wrote is all there is."""
        with _Trial() as trial, self._tables.database.transaction():
            trial.result = work(self._tables)
        return [trial]

    def _done_together(self, works: Sequence[Work[Any]]) -> "list[_Trial]":
        database = self._tables.database
        outcomes: list[_Trial] = []
        with database.transaction():
            for work in works:
                with _Trial() as trial, database.savepoint():
                    trial.result = work(self._tables)
                outcomes.append(trial)
        return outcomes


class _Trial(AbstractContextManager["_Trial"]):
    """What came of a job: what it raised is kept for who submitted it, except what concerns the whole group."""

    def __init__(self) -> None:
        self.result: Any = None
        self.failure: Exception | None = None

    def __exit__(
        self, _: type[BaseException] | None, failure: BaseException | None, __: TracebackType | None
    ) -> bool:
        if not isinstance(failure, Exception) or isinstance(failure, StoreUnavailable | StoreCorrupt):
            return False
        self.failure = failure
        return True

    def tell(self, future: "asyncio.Future[Any]") -> None:
        if future.done():
            return  # its caller went away
        if isinstance(self.failure, StopIteration):
            # A future does not accept this exception.
            future.set_exception(RuntimeError("a store job raised StopIteration"))
        elif self.failure:
            future.set_exception(self.failure)
        else:
            future.set_result(self.result)


def _fail(jobs: Sequence[_Job] | deque[_Job], failure: StoreUnavailable | StoreCorrupt | StoreGone) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(failure)
            # The writer says itself what is wrong: who submitted a job and forgot it need not hear of it in the log.
            job.future.exception()


def _reason(failure: StoreUnavailable | OSError) -> str:
    return failure.reason if isinstance(failure, StoreUnavailable) else failure.strerror or str(failure)
