"""One live connection to one sensor: reads and writes with a deadline, subscriptions that end in the inbox.

Contract: a link has a number of its own, and closed it is closed for good: whatever becomes of its client afterwards,
nothing of it reaches the inbox any more. Closing ends within the deadline, even if hanging up does not.

Not here: how a connection is made (adapter), what is said over it (sensors), when it counts as lost (session).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bleak import BleakClient
from bleak.exc import BleakError

from edge.clock import Clock
from edge.radio.diagnosis import FORESEEN
from edge.radio.inbox import Inbox, Notification
from edge.radio.patience import within
from protocols import battery, uuids
from protocols.errors import DecodeError


class Link:
    """A connection from the moment it stands until it is closed."""

    def __init__(
        self,
        client: BleakClient,
        sensor_id: str,
        inbox: Inbox,
        clock: Clock,
        timeout_s: float,
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_first` is called with the first packet that comes."""
        self.number = inbox.open_link(sensor_id)
        self.opened_boot_ns = self.heard_boot_ns = clock.boot_ns()
        self.has_spoken = False
        self._client = client
        self._sensor_id = sensor_id
        self._inbox = inbox
        self._clock = clock
        self._timeout_s = timeout_s
        self._on_first = on_first
        self._is_closed = False

    async def read(self, characteristic: str) -> bytes:
        async with asyncio.timeout(self._timeout_s):
            return bytes(await self._client.read_gatt_char(characteristic))

    async def write(self, characteristic: str, payload: bytes) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._client.write_gatt_char(characteristic, payload, response=True)

    async def subscribe(self, characteristic: str) -> None:
        def enqueue(_: object, payload: bytearray) -> None:
            if self._is_closed:
                return
            self.heard_boot_ns = boot_ns = self._clock.boot_ns()
            if not self.has_spoken:
                self.has_spoken = True
                self._on_first()
            self._inbox.put(
                Notification(self._sensor_id, self.number, characteristic, boot_ns, bytes(payload))
            )

        async with asyncio.timeout(self._timeout_s):
            await self._client.start_notify(characteristic, enqueue)

    async def battery_pct(self) -> int | None:
        """Charge of the sensor's battery; None if it does not tell or tells nonsense: that is worth no link."""
        with suppress(BleakError, TimeoutError, DecodeError):
            return battery.decode_level(await self.read(uuids.BATTERY_LEVEL))
        return None

    async def close(self) -> bool:
        """Hang up; whether that ended in time. From now on nothing of this link is heard."""
        self._is_closed = True
        return await hang_up(self._client, self._timeout_s)


async def hang_up(client: BleakClient, timeout_s: float) -> bool:
    """End a connection that was made; whether that ended in time. If not, it is left to itself."""
    try:
        await within(timeout_s, client.disconnect())
    except TimeoutError:
        return False
    except FORESEEN:
        pass  # there is nothing left to be ended
    return True
