"""One connection to one sensor: reads and writes with a deadline, and subscriptions that fill the inbox.

Contract: each link has its own number. A closed link stays closed: whatever its client does afterwards, the inbox gets
no more notifications of it. `close` returns within the deadline and `CLEANUP_S`, even if the connection does not end.

How a connection is made is decided in `adapter`, what is said over it in `edge.sensors`, and when it counts as lost in
`session`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from bleak import BleakClient
from bleak.exc import BleakError

from edge.clock import Clock
from edge.radio.deadline import within
from edge.radio.diagnosis import FORESEEN
from edge.radio.inbox import Inbox, Notification
from protocols import battery, uuids
from protocols.errors import DecodeError


class Link:
    """A connection, from the moment it was made until it is closed."""

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
        sensor_id, number, put, now_ns = self._sensor_id, self.number, self._inbox.put, self._clock.boot_ns

        def enqueue(_: object, payload: bytearray) -> None:
            if self._is_closed:
                return
            self.heard_boot_ns = boot_ns = now_ns()
            if not self.has_spoken:
                self.has_spoken = True
                self._on_first()
            put(Notification(sensor_id, number, characteristic, boot_ns, bytes(payload)))

        async with asyncio.timeout(self._timeout_s):
            await self._client.start_notify(characteristic, enqueue)

    async def battery_pct(self) -> int | None:
        """Charge of the sensor's battery; None if the sensor does not tell it. Such a failure does not end the link."""
        with suppress(BleakError, TimeoutError, DecodeError):
            return battery.decode_level(await self.read(uuids.BATTERY_LEVEL))
        return None

    async def close(self) -> bool:
        """Disconnect; returns whether that ended in time. From now on notifications of this link are ignored."""
        self._is_closed = True
        return await hang_up(self._client, self._timeout_s)


async def hang_up(client: BleakClient, timeout_s: float) -> bool:
    """End a connection; returns whether that ended in time. If not, nobody waits for it any longer."""
    try:
        await within(timeout_s, client.disconnect())
    except TimeoutError:
        return False
    except FORESEEN:
        pass  # there is nothing left to be ended
    return True
