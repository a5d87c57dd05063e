"""The first of the gateway's two buffers: notifications between the radio's callback and the pipeline.

The callback stamps and appends, nothing else. The inbox is bounded: when the pipeline cannot keep up the
oldest notification is dropped and counted, because the newest is what an alarm needs.
"""

import asyncio
from collections import Counter, deque
from typing import NamedTuple


class Notification(NamedTuple):
    """One notification or indication as it came: from which sensor, which characteristic, and when."""

    sensor_id: str
    characteristic: str
    boot_ns: int
    payload: bytes


class Inbox:
    """Bounded queue with one reader."""

    def __init__(self, capacity: int) -> None:
        self._queue: deque[Notification] = deque()
        self._capacity = capacity
        self._filled = asyncio.Event()
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, notification: Notification) -> None:
        if len(self._queue) >= self._capacity:
            self.dropped[self._queue.popleft().sensor_id] += 1
        self._queue.append(notification)
        self._filled.set()

    async def get(self) -> Notification:
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()
