"""Waiting for the operating system's Bluetooth, which may never answer and may not let itself be interrupted.

Contract: whoever waits gets on at its deadline, whatever becomes of the work. What is left behind is held on to until
it ends, and its outcome is looked at, so that nobody else complains of it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from edge.errors import SensorLost

T = TypeVar("T")

# What is cancelled may still have to hang up before it ends.
CLEANUP_S: Final = 5.0

_left_behind: set[asyncio.Task[Any]] = set()


async def within(timeout_s: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled at the deadline.

    Raises:
        TimeoutError: the deadline has passed.
    """
    task = asyncio.ensure_future(work)
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
            leave(task)
            await asyncio.wait({task}, timeout=CLEANUP_S)


def leave(task: asyncio.Task[Any]) -> None:
    """Let a task go its way; its failure is somebody else's, or nobody's."""
    _left_behind.add(task)
    task.add_done_callback(_on_ended)


def _on_ended(task: asyncio.Task[Any]) -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()
