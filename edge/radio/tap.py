"""What is heard of the sensors, and said to them, for somebody who records it.

Contract: while nobody listens a packet costs one look. Whoever begins to listen amid a link is told first what the
sensor has and what was read last, as if it had just been connected. A listener is given at most `UNREAD_MAX` events
that it has not taken; then the newest are dropped and counted, so that what it has is whole up to there. A value that
is written is told when it is sent, whatever comes of it.

Not here: who listens (`edge.local.recording`), and in what form it is kept.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Final, NamedTuple

UNREAD_MAX: Final = 20_000
# More characteristics than a sensor has.
READ_MAX: Final = 64


class What(Enum):
    """What happened."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    READ = "read"
    WROTE = "wrote"
    NOTIFIED = "notified"


class Has(NamedTuple):
    """A service of a sensor, and its characteristics with what can be done with each, in bleak's words."""

    uuid: str
    characteristics: tuple[tuple[str, tuple[str, ...]], ...]


class Overheard(NamedTuple):
    """An event. Of an advertisement `characteristic` names the part."""

    sensor_id: str
    what: What
    boot_ns: int
    characteristic: str = ""
    payload: bytes = b""
    services: tuple[Has, ...] = ()


class Ear:
    """Somebody who listens."""

    def __init__(self) -> None:
        self.missed = 0
        self._unread: deque[Overheard] = deque()
        self._came = asyncio.Event()

    def put(self, event: Overheard) -> None:
        if len(self._unread) >= UNREAD_MAX:
            self.missed += 1
            return
        self._unread.append(event)
        self._came.set()

    async def until(self, timeout_s: float) -> list[Overheard]:
        """What has come; nothing if nothing comes in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._came.wait()
        self._came.clear()
        taken = list(self._unread)
        self._unread.clear()
        return taken


class Tap:
    """Where links and scans pass on what they hear."""

    def __init__(self) -> None:
        self.ears: list[Ear] = []
        self._links: dict[str, Callable[[], tuple[Has, ...]]] = {}
        self._values: dict[str, dict[str, Overheard]] = {}

    def connected(self, sensor_id: str, boot_ns: int, services: Callable[[], tuple[Has, ...]]) -> None:
        """`services` is asked for only if somebody listens while the link lasts."""
        self._values[sensor_id] = {}
        self._links[sensor_id] = services
        if self.ears:
            self._tell(Overheard(sensor_id, What.CONNECTED, boot_ns, services=services()))

    def disconnected(self, sensor_id: str, boot_ns: int) -> None:
        self._links.pop(sensor_id, None)
        self._tell(Overheard(sensor_id, What.DISCONNECTED, boot_ns))

    def read(self, sensor_id: str, boot_ns: int, characteristic: str, payload: bytes) -> None:
        event = Overheard(sensor_id, What.READ, boot_ns, characteristic, payload)
        values = self._values.setdefault(sensor_id, {})
        if characteristic in values or len(values) < READ_MAX:
            values[characteristic] = event
        self._tell(event)

    def wrote(self, sensor_id: str, boot_ns: int, characteristic: str, payload: bytes) -> None:
        self._tell(Overheard(sensor_id, What.WROTE, boot_ns, characteristic, payload))

    def notified(self, sensor_id: str, boot_ns: int, characteristic: str, payload: bytes) -> None:
        self._tell(Overheard(sensor_id, What.NOTIFIED, boot_ns, characteristic, payload))

    def _tell(self, event: Overheard) -> None:
        for ear in self.ears:
            ear.put(event)

    @contextmanager
    def listen(self, now_boot_ns: Callable[[], int]) -> Iterator[Ear]:
        """Somebody listens, and knows at once what is connected, and what was read of it."""
        ear, now_ns = Ear(), now_boot_ns()
        for sensor_id, services in self._links.items():
            ear.put(Overheard(sensor_id, What.CONNECTED, now_ns, services=services()))
            for value in self._values[sensor_id].values():
                ear.put(value._replace(boot_ns=now_ns))
        self.ears.append(ear)
        try:
            yield ear
        finally:
            self.ears.remove(ear)
