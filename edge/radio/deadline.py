"""Deadlines for calls into the system's Bluetooth, which may never answer and may ignore that they are cancelled.

Contract: the caller goes on at its deadline, at most `CLEANUP_S` later, whether or not the call has ended. A call that
is left behind is referenced until it ends, and its error is read, so that asyncio does not complain about it. The pause
between two attempts to connect is not decided here, but in `session`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from edge.errors import SensorLost

T = TypeVar("T")

# A cancelled call may still have to disconnect before it ends.
CLEANUP_S: Final = 5.0

_left_behind: set[asyncio.Task[Any]] = set()


async def within(timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled at the deadline.

    Raises:
        TimeoutError: the deadline has passed.
    """
    task = asyncio.ensure_future(work)
    # Its error may come in the moment in which the caller is cancelled.
    leave(task)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise TimeoutError
        if task.cancelled():
            raise SensorLost("the system's Bluetooth gave up")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CLEANUP_S)


def leave(task: asyncio.Task[Any]) -> None:
    """Let a task end by itself. Its error is read, so that asyncio does not complain if nobody else reads it."""
    _left_behind.add(task)
    task.add_done_callback(_on_ended)


def _on_ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()
