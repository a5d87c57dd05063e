"""The first of the gateway's two buffers: notifications between the radio's callback and the intake.

The callback stamps and appends, nothing else. The inbox is bounded: when the intake cannot keep up the oldest
notification is dropped and counted, because the newest is what an alarm needs.
"""

import asyncio
from collections import Counter, deque
from typing import NamedTuple


class Notification(NamedTuple):
    """One notification or indication as it came: from which sensor, over which link, which characteristic, and when."""

    sensor_id: str
    link: int
    characteristic: str
    boot_ns: int
    payload: bytes


class Inbox:
    """Bounded queue with one reader."""

    def __init__(self, capacity: int) -> None:
        self.queue: deque[Notification] = deque()
        self.dropped: Counter[str] = Counter()
        self.newest_link: dict[str, int] = {}
        self._capacity = capacity
        self._links = 0
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self.queue)

    def open_link(self, sensor_id: str) -> int:
        """Number a new link of a sensor; what is still here of the links before it is no longer read."""
        self._links += 1
        self.newest_link[sensor_id] = self._links
        return self._links

    def put(self, notification: Notification) -> None:
        queue = self.queue
        if len(queue) >= self._capacity:
            self.dropped[queue.popleft().sensor_id] += 1
        queue.append(notification)
        if self._reader is not None:
            self._reader.set_result(None)
            self._reader = None

    async def filled(self) -> None:
        """Wait until there is something to read."""
        # A bare future, because packets come by the second for years and an Event costs several times as much.
        if not self.queue:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
