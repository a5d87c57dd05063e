"""Disks in virtual time: what is asked of one is done after a delay, fails, or is cut off by a power failure.

Contract: a disk takes the place of a worker thread that writes (one thing at a time, in the order asked; who is
cancelled while waiting stops nothing). Work is done in one go at a moment within its delay, and answered at the end of
it: who takes a thing for done before it is answered is found out by a cut. The same seed and the same calls give the
same run. An `InstantDisk` does everything at once; else it is the same.

    what happens            | the work under way                  | what is asked later
    ------------------------|-------------------------------------|------------------------------
    it fails, or is refused | OSError, nothing done               | as usual
    the power is cut        | done or not, never answered         | not done, never answered

What the work does is not known here.
"""

import asyncio
import errno
import os
import random
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class InstantDisk:
    """Takes no time.

    Attributes:
        refuses: while true, the disk is full.
    """

    def __init__(self) -> None:
        self.refuses = False
        self._is_cut = False
        # asyncio complains of tasks that wait for what nobody refers to.
        self._unanswered: list[asyncio.Future[None]] = []

    async def __call__(self, work: Callable[[], _T]) -> _T:
        """The result of `work`, or what it raised.

        Raises:
            OSError: the disk would not, and nothing is done.
        """
        if self._is_cut:
            await _never(self._unanswered)
        if self.refuses:
            raise _full()
        return work()

    def cut(self) -> None:
        """The power fails: from now on nothing is done, and nobody gets an answer."""
        self._is_cut = True

    def close(self) -> None:
        """There is nothing to end."""


class SimulatedDisk:
    """Does one piece of work after the other, as far as it lives.

    Attributes:
        refuses: while true, the disk is full.
        delay_s: the shortest and the longest delay of what is asked from now on.
        done: pieces of work that were done.
        failed: pieces of work that were refused.
        failures: the share of work that fails from now on.
    """

    def __init__(
        self, seed: int, *, delay_s: tuple[float, float] = (0.005, 0.05), failures: float = 0.0
    ) -> None:
        """`failures`: the share of work that fails."""
        self.refuses = False
        self.delay_s = delay_s
        self.done = 0
        self.failed = 0
        self._rng = random.Random(seed)
        self.failures = failures
        self._is_cut = False
        # asyncio complains of tasks that wait for what nobody refers to.
        self._unanswered: list[asyncio.Future[None]] = []
        self._turn = asyncio.Lock()

    async def __call__(self, work: Callable[[], _T]) -> _T:
        """The result of `work`, or what it raised, once it is safe.

        Raises:
            OSError: the disk would not, and nothing is done.
        """
        return await asyncio.shield(asyncio.ensure_future(self._do(work)))

    def cut(self) -> None:
        """The power fails: from now on nothing is done, and nobody gets an answer."""
        self._is_cut = True

    def close(self) -> None:
        """There is nothing to end."""

    async def _do(self, work: Callable[[], _T]) -> _T:
        async with self._turn:
            delay_s = self._rng.uniform(*self.delay_s)
            until_done_s = delay_s * self._rng.random()
            fails = self._rng.random() < self.failures
            await self._pass(until_done_s)
            if fails or self.refuses:
                self.failed += 1
                raise _full()
            try:
                result = work()
            finally:
                self.done += 1
                await self._pass(delay_s - until_done_s)
            return result

    async def _pass(self, seconds: float) -> None:
        """Let time go by; for ever, if the power fails meanwhile."""
        await asyncio.sleep(seconds)
        if self._is_cut:
            await _never(self._unanswered)


async def _never(unanswered: "list[asyncio.Future[None]]") -> None:
    unanswered.append(asyncio.get_running_loop().create_future())
    await unanswered[-1]


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
