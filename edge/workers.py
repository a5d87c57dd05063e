"""Workers for what the event loop must not wait for: writing to the database, reading from it, and other files.

Contract: a worker does one piece of work at a time, in the order of the requests, and not on the event loop. In a
simulation the work runs on the loop itself, so that a run can be repeated exactly; a simulated disk (`hw_sim.disk`)
adds delays and failures.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Worker(Protocol):
    """Does one piece of work after the other."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """The result of `work`, or what it raised. Cancelling the caller does not stop the work.

        Raises:
            OSError: the disk failed.
        """
        ...

    def close(self) -> None:
        """Wait for the work that is under way; no more is accepted."""
        ...


class ThreadWorker:
    """A thread of its own."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __call__(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        self._executor.shutdown(wait=True)


class InlineWorker:
    """The loop itself: for simulation in virtual time."""

    async def __call__(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None:
        """There is nothing to end."""


class Workers(NamedTuple):
    """The gateway's workers: one writes to the database, one reads from it, one writes files for the upstream."""

    writer: Worker
    reader: Worker
    files: Worker

    def close(self) -> None:
        for worker in self:
            worker.close()


def threads() -> Workers:
    return Workers(ThreadWorker("writer"), ThreadWorker("reader"), ThreadWorker("files"))


def inline() -> Workers:
    return Workers(InlineWorker(), InlineWorker(), InlineWorker())


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`, or what it raised. The end of the process does not wait for it, as it would for a worker.

    It is for what happens once and may take long: imports, compiling, opening and closing the store.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        with suppress(RuntimeError), _Telling(loop, done) as telling:  # the loop may be closed
            telling.result.append(work())

    threading.Thread(target=run, daemon=True).start()
    return await done


class _Telling(AbstractContextManager["_Telling"]):
    """Tells a future of the loop what came of the work in a thread, whatever that was."""

    def __init__(self, loop: asyncio.AbstractEventLoop, done: "asyncio.Future[Any]") -> None:
        self.result: list[Any] = []
        self._loop = loop
        self._done = done

    def __exit__(
        self, _: type[BaseException] | None, failure: BaseException | None, __: TracebackType | None
    ) -> bool:
        self._loop.call_soon_threadsafe(self._tell, failure)
        return True

    def _tell(self, failure: BaseException | None) -> None:
        if self._done.done():
            return  # nobody waits any more
        if failure is None:
            self._done.set_result(self.result[0])
        else:
            self._done.set_exception(failure)
