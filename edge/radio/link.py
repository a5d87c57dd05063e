"""One connection to one sensor: reads and writes with a deadline, and subscriptions that fill the inbox.

Contract: each link has its own number. A closed link stays closed: whatever its client does afterwards, the inbox gets
no more notifications of it. `close` returns within the deadline and `CLEANUP_S`, even if the connection does not end.

How a connection is made is decided in `adapter`, what is said over it in `edge.sensors`, and when it counts as lost in
`session`.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bleak import BleakClient
from bleak.exc import BleakError

from edge.clock import NS_PER_S, Clock
from edge.radio.deadline import CLEANUP_S, within
from edge.radio.diagnosis import FORESEEN
from edge.radio.inbox import Inbox, Notification
from edge.radio.tap import Has
from protocols import battery, uuids
from protocols.errors import DecodeError

ATT_HEADER_OCTETS: Final = 3


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
        on_gap: Callable[[float], None] = lambda _: None,
        gap_s_min: float = math.inf,
    ) -> None:
        """`on_first` is called with the first packet that comes, `on_gap` with each gap between two packets that is no
        shorter than `gap_s_min`."""
        self.number = inbox.open_link(sensor_id)
        self.opened_boot_ns = self.heard_boot_ns = clock.boot_ns()
        self.has_spoken = False
        self._client = client
        self.sensor_id = sensor_id
        self._inbox = inbox
        self._clock = clock
        self._timeout_s = timeout_s
        self._on_first = on_first
        self._on_gap = on_gap
        self._gap_ns_min = gap_s_min * NS_PER_S
        self._callbacks: dict[str, Callable[[object, bytearray], None]] = {}
        self._is_closed = False
        inbox.tap.connected(sensor_id, self.opened_boot_ns, self._services)

    def _services(self) -> tuple[Has, ...]:
        with suppress(BleakError):
            return tuple(
                Has(service.uuid, tuple((one.uuid, tuple(one.properties)) for one in service.characteristics))
                for service in self._client.services
            )
        return ()  # the link is gone

    async def read(self, characteristic: str) -> bytes:
        async with asyncio.timeout(self._timeout_s):
            payload = bytes(await self._client.read_gatt_char(characteristic))
        self._inbox.tap.read(self.sensor_id, self._clock.boot_ns(), characteristic, payload)
        return payload

    def has(self, uuid: str) -> bool:
        """Whether the sensor is known to have a service or a characteristic with this UUID."""
        try:
            services = self._client.services
        except BleakError:
            return False  # the link is gone
        return any(
            uuid in (service.uuid, *(one.uuid for one in service.characteristics)) for service in services
        )

    async def write(self, characteristic: str, payload: bytes) -> None:
        self._inbox.tap.wrote(self.sensor_id, self._clock.boot_ns(), characteristic, payload)
        async with asyncio.timeout(self._timeout_s):
            await self._client.write_gatt_char(characteristic, payload, response=True)

    async def subscribe(self, characteristic: str) -> None:
        sensor_id, number, put, now_ns = self.sensor_id, self.number, self._inbox.put, self._clock.boot_ns

        def enqueue(_: object, payload: bytearray) -> None:
            if self._is_closed:
                return
            before_ns = self.heard_boot_ns
            self.heard_boot_ns = boot_ns = now_ns()
            if not self.has_spoken:
                self.has_spoken = True
                self._on_first()
            elif boot_ns - before_ns >= self._gap_ns_min:
                self._on_gap((boot_ns - before_ns) / NS_PER_S)
            put(Notification(sensor_id, number, characteristic, boot_ns, bytes(payload)))

        async with asyncio.timeout(self._timeout_s):
            await self._client.start_notify(characteristic, enqueue)
        self._callbacks[characteristic] = enqueue

    async def resubscribe(self) -> None:
        """Ask once more for everything that was subscribed to; if that fails, the link is no worse than before."""
        for characteristic, callback in list(self._callbacks.items()):
            with suppress(*FORESEEN):
                async with asyncio.timeout(self._timeout_s):
                    await self._client.stop_notify(characteristic)
                    await self._client.start_notify(characteristic, callback)

    def mtu(self, characteristic: str) -> int | None:
        """How many octets the link carries at a time (ATT_MTU), by a characteristic; None if the sensor lacks that.

        bleak itself tells 23 of every link of BlueZ, but of each characteristic what BlueZ has settled with the sensor.
        """
        found = self._client.services.get_characteristic(characteristic)
        return None if found is None else found.max_write_without_response_size + ATT_HEADER_OCTETS

    async def battery_pct(self) -> int | None:
        """Charge of the sensor's battery; None if the sensor does not tell it. Such a failure does not end the link."""
        with suppress(BleakError, TimeoutError, DecodeError):
            return battery.decode_level(await self.read(uuids.BATTERY_LEVEL))
        return None

    async def close(self) -> bool:
        """Disconnect; returns whether that ended in time. From now on notifications of this link are ignored."""
        if not self._is_closed:
            self._inbox.tap.disconnected(self.sensor_id, self._clock.boot_ns())
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


async def connect(client: BleakClient, timeout_s: float) -> None:
    """Connect. A connection that is made too late is closed; a failed attempt has cleaned up after itself."""
    is_made = is_given_up = False

    async def make() -> None:
        nonlocal is_made
        await client.connect()
        is_made = True
        if is_given_up:
            await hang_up(client, timeout_s)

    try:
        # bleak keeps the deadline, and then calls the attempt off.
        await within(timeout_s + CLEANUP_S, make())
    except BaseException:
        is_given_up = True
        if is_made:
            await hang_up(client, timeout_s)
        raise
