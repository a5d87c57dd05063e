"""Keeps one sensor connected: find, connect, converse, notice silence, back off, again, for years.

What is said to the sensor is its kind's business (`heart_sensor`, `cgm_sensor`); bytes that arrive go to the
inbox untouched. A link that claims to be connected while nothing flows is treated as lost.
"""

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from bleak import BleakClient
from bleak.exc import BleakError

from edge.clock import NS_PER_S, Clock
from edge.config import Limits, SensorConfig
from edge.errors import SensorLost, one_line
from edge.inbox import Inbox, Notification
from edge.radio import Radio
from protocols import battery, uuids
from protocols.errors import DecodeError

log = logging.getLogger(__name__)

# OSError (TimeoutError included) and EOFError: D-Bus is not there, does not answer, or has gone.
FORESEEN = (BleakError, OSError, EOFError, SensorLost, DecodeError)


class Link:
    """One live connection: reads and writes with a deadline, subscriptions that end in the inbox."""

    def __init__(
        self, client: BleakClient, sensor_id: str, inbox: Inbox, clock: Clock, timeout_s: float
    ) -> None:
        self._client = client
        self._sensor_id = sensor_id
        self._inbox = inbox
        self._clock = clock
        self._timeout_s = timeout_s
        self.opened_boot_ns = self.heard_boot_ns = clock.boot_ns()

    @property
    def alive_s(self) -> float:
        """How long after its opening something was heard over it."""
        return (self.heard_boot_ns - self.opened_boot_ns) / NS_PER_S

    async def read(self, characteristic: str) -> bytes:
        async with asyncio.timeout(self._timeout_s):
            return bytes(await self._client.read_gatt_char(characteristic))

    async def write(self, characteristic: str, payload: bytes) -> None:
        async with asyncio.timeout(self._timeout_s):
            await self._client.write_gatt_char(characteristic, payload, response=True)

    async def subscribe(self, characteristic: str) -> None:
        def enqueue(_: object, payload: bytearray) -> None:
            self.heard_boot_ns = self._clock.boot_ns()
            self._inbox.put(Notification(self._sensor_id, characteristic, self.heard_boot_ns, bytes(payload)))

        async with asyncio.timeout(self._timeout_s):
            await self._client.start_notify(characteristic, enqueue)

    async def battery_pct(self) -> int | None:
        """Charge of the sensor's battery; None if it does not tell or tells nonsense: that is worth no link."""
        with suppress(BleakError, TimeoutError, DecodeError):
            return battery.decode_level(await self.read(uuids.BATTERY_LEVEL))
        return None


class Sensor(Protocol):
    """One kind of sensor's side of a session and of the pipeline."""

    config: SensorConfig
    pair: bool
    stale_s: float
    battery_pct: int | None

    async def converse(self, link: Link) -> None:
        """Set the sensor up after connecting, then do what else it needs; may return before the link is lost."""
        ...

    def take(self, notification: Notification) -> None:
        """Decode and keep one notification; DecodeError when it makes no sense."""
        ...

    def flush(self) -> None:
        """Commit what is still open in memory."""
        ...

    def live_status(self, boot_ns: int) -> dict[str, int | float | bool | None]:
        """What the status page shows of the newest reading, and counts."""
        ...


@dataclass
class SessionState:
    """What the status page shows of a session."""

    phase: str = "starting"
    connects: int = 0
    losses: int = 0
    last_error: str | None = None
    last_error_boot_ns: int | None = None


@dataclass
class Session:
    """The loop of one sensor."""

    sensor: Sensor
    radio: Radio
    inbox: Inbox
    clock: Clock
    limits: Limits
    rng: random.Random
    state: SessionState = field(default_factory=SessionState)
    _link: Link | None = field(default=None, init=False)

    async def run(self) -> None:
        """Until cancelled."""
        backoff_s = self.limits.backoff_s_min
        while True:
            try:
                await self._connect_and_stream()
            except FORESEEN as error:
                self.state.losses += self._link is not None
                is_new = self._link is not None and self._link.alive_s > backoff_s
                if is_new:
                    # The link had held longer than the last pause: what was before is over.
                    backoff_s = self.limits.backoff_s_min
                self._note(error, is_new)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # An error may be what a lost link made of being cancelled.
                raise asyncio.CancelledError
            self.state.phase = "waiting to retry"
            await asyncio.sleep(self.rng.uniform(0.5, 1.0) * backoff_s)
            backoff_s = min(2 * backoff_s, self.limits.backoff_s_max)

    def _note(self, error: Exception, is_new: bool) -> None:
        """Keep the reason for the status page, and log it unless it is the same trouble still."""
        # Addresses stay out of the log.
        reason = one_line(self._reason(error).replace(self.sensor.config.address, "its address"))
        if is_new or reason != self.state.last_error:
            log.warning("%s: %s", self.sensor.config.id, reason)
        self.state.last_error, self.state.last_error_boot_ns = reason, self.clock.boot_ns()

    def _reason(self, error: Exception) -> str:
        match error:
            case DecodeError():
                # The bytes are health data and stay out of the log.
                return f"{error.characteristic}: {error.reason}"
            case TimeoutError():
                return f"no answer in time while {self.state.phase}"
            case OSError() | EOFError():
                return (
                    f"the system's Bluetooth service cannot be reached ({str(error) or type(error).__name__})"
                )
        return str(error) or type(error).__name__

    async def _connect_and_stream(self) -> None:
        self._link = None
        self.state.phase = "searching"
        device = await self.radio.find(self.sensor.config.address)
        self.state.phase = "connecting"
        lost = asyncio.Event()
        client = self.radio.client(device, lost.set, self.limits.connect_timeout_s, pair=self.sensor.pair)
        try:
            async with self.radio.connecting, asyncio.timeout(self.limits.connect_timeout_s):
                await client.connect()
            await self._stream(client, lost)
        finally:
            with suppress(BleakError, OSError, EOFError):
                async with asyncio.timeout(self.limits.gatt_timeout_s):
                    await client.disconnect()

    async def _stream(self, client: BleakClient, lost: asyncio.Event) -> None:
        link = Link(client, self.sensor.config.id, self.inbox, self.clock, self.limits.gatt_timeout_s)
        self._link = link
        self.state.phase = "streaming"
        self.state.connects += 1
        log.info("%s: connected", self.sensor.config.id)
        # No task group: before Python 3.13 one that fails while it is cancelled forgets that it was.
        tasks = [asyncio.ensure_future(c) for c in (self.sensor.converse(link), self._until_lost(link, lost))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_lost(self, link: Link, lost: asyncio.Event) -> None:
        """Raise SensorLost when the link drops, or stays silent longer than this kind of sensor ever is."""
        while True:
            silent_s = (self.clock.boot_ns() - link.heard_boot_ns) / NS_PER_S
            if silent_s >= self.sensor.stale_s:
                raise SensorLost(f"nothing heard for {silent_s:.0f} s while connected")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.sensor.stale_s - silent_s):
                    await lost.wait()
                link.heard_boot_ns = self.clock.boot_ns()  # until now it was there
                raise SensorLost("the link dropped")
