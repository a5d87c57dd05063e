"""Finds and connects sensors. All sessions share it: one scan serves all of them, and they connect one at a time.

Contract: a sensor is found when it advertises, or when the system's Bluetooth (BlueZ) is connected to it already. A
connection outlives the process that made it, and a connected sensor does not advertise. While a session searches, one
task scans, and asks the system every `ADOPT_S` which devices are connected. While a session connects, nothing scans,
because some adapters abort one for the other. A search that fails is reported to all sessions that search. All calls go
through bleak's public interface; a simulated home passes three backend classes for bleak to use.

When to try again, and what a search without success means, is decided in `session`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from bleak import BleakAdapter, BleakClient
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

from edge.errors import SensorLost
from edge.radio.deadline import CLEANUP_S, within
from edge.radio.diagnosis import FORESEEN
from edge.radio.link import hang_up
from edge.radio.scan import Scan
from edge.radio.trouble import Trouble

# How often the system is asked which devices are connected, while a session searches.
ADOPT_S: Final = 5.0
ANSWER_S_MAX: Final = 10.0
# After BlueZ has died, bleak still reports the connections that BlueZ had, until the sensor is heard again. So such a
# connection is not used for this long.
DISTRUST_S: Final = 20.0
# Phones change their address every few minutes: only the newest are remembered.
HEARD_MAX: Final = 500
# Every connected sensor has at least one of these services beside its own.
GENERIC_SERVICES: Final = ("1800", "1801")
# bleak's signal strength for a device that was not heard: BlueZ reports every change of a device that it knows.
NOT_HEARD_DBM: Final = -127


class Found(NamedTuple):
    """A sensor that can be connected to; `is_held`: the system is connected to it already."""

    device: BLEDevice
    is_held: bool


class Search:
    """One sensor that is waited for, and what was heard meanwhile."""

    def __init__(
        self,
        address: str,
        service: str,
        heard_s: dict[str, float],
        connected: set[str],
        *,
        distrusts_held: bool,
    ) -> None:
        self.address = address
        self.service = service
        self._distrusts_held = distrusts_held
        self._heard_s = heard_s
        self._connected = connected
        self._since_s = asyncio.get_running_loop().time()
        self.found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    async def wait(self, timeout_s: float) -> Found | None:
        """The sensor, or None if it is not found in this time.

        Raises:
            FORESEEN: it cannot be searched for.
        """
        await asyncio.wait({self.found}, timeout=timeout_s)
        return self.found.result() if self.found.done() else None

    def give(self, found: Found) -> None:
        """The sensor was found; a connection that is not trusted yet is ignored."""
        if found.is_held and self._distrusts_held and self.age_s < DISTRUST_S:
            return
        if not self.found.done():
            self.found.set_result(found)

    @property
    def age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._since_s

    @property
    def others(self) -> int:
        """How many other devices were heard since the search began; those that are connected are heard, too."""
        heard = {address for address, heard_s in self._heard_s.items() if heard_s >= self._since_s}
        return len((heard | self._connected) - {self.address})

    @property
    def silent_s(self) -> float | None:
        """How long ago the sensor was heard last; None if never."""
        heard_s = self._heard_s.get(self.address)
        return None if heard_s is None else asyncio.get_running_loop().time() - heard_s


class Radio:
    """Finds and connects sensors by address."""

    def __init__(
        self,
        scanner_backend: type[BaseBleakScanner] | None = None,
        client_backend: type[BaseBleakClient] | None = None,
        adapter_backend: type[BaseBleakAdapter] | None = None,
    ) -> None:
        self._client_backend = client_backend
        self._adapter_backend = adapter_backend
        self._scan = Scan(self._on_advertisement, scanner_backend)
        self._searches: dict[str, Search] = {}
        self._heard_s: dict[str, float] = {}
        self._connected: set[str] = set()
        self._attendant: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        # BlueZ answers a second concurrent attempt with InProgress, so attempts take turns.
        self._turn = asyncio.Lock()
        self._is_connecting = False

    # Searching

    @asynccontextmanager
    async def search(
        self, address: str, service: str, *, distrusts_held: bool = False
    ) -> AsyncIterator[Search]:
        """Search for a sensor while the context is open; `service` is one that it has.

        With `distrusts_held`, a connection that the system has already is used only after `DISTRUST_S` of searching.
        """
        search = self._searches[address] = Search(
            address, service, self._heard_s, self._connected, distrusts_held=distrusts_held
        )
        self._call_attendant()
        try:
            yield search
        finally:
            del self._searches[address]
            search.found.cancel()
            self._changed.set()
            with suppress(*FORESEEN):
                await self._match_scan()

    def _call_attendant(self) -> None:
        self._changed.set()
        if self._attendant is None or self._attendant.done():
            self._attendant = asyncio.ensure_future(self._attend())
            self._attendant.add_done_callback(self._on_attendant_gone)

    async def _attend(self) -> None:
        """While a session searches: ask which devices are connected, scan, and restart a scan that may have died."""
        while self._searches:
            self._changed.clear()
            await self._adopt()
            await self._match_scan()
            with suppress(TimeoutError):
                async with asyncio.timeout(ADOPT_S):
                    await self._changed.wait()

    def _on_attendant_gone(self, attendant: "asyncio.Task[None]") -> None:
        waiting = [search.found for search in self._searches.values() if not search.found.done()]
        if attendant.cancelled():
            for found in waiting:
                found.cancel()
        elif error := attendant.exception():
            for found in waiting:
                found.set_exception(error)

    async def _adopt(self) -> None:
        """Find the sensors to which the system is connected already."""
        waiting = [search for search in self._searches.values() if not search.found.done()]
        if not waiting:
            return
        try:
            held = await within(ANSWER_S_MAX, self._held([search.service for search in waiting]))
        except TimeoutError:
            raise SensorLost(
                f"no answer in {ANSWER_S_MAX:.0f} s when asked what is connected", Trouble.SERVICE_SILENT
            ) from None
        for device in held:
            self._give(Found(device, is_held=True))

    async def _held(self, services: list[str]) -> list[BLEDevice]:
        adapter = await BleakAdapter.get(backend=self._adapter_backend)
        return await adapter.get_connected_devices([*GENERIC_SERVICES, *services])

    def _on_advertisement(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        if advertisement.rssi == NOT_HEARD_DBM:
            return
        heard_s = self._heard_s
        address = device.address.upper()
        heard_s.pop(address, None)
        heard_s[address] = asyncio.get_running_loop().time()
        if len(heard_s) > HEARD_MAX:
            del heard_s[next(iter(heard_s))]
        self._give(Found(device, is_held=False))

    def _give(self, found: Found) -> None:
        search = self._searches.get(found.device.address.upper())
        if search is not None:
            search.give(found)

    async def _match_scan(self) -> None:
        is_searching = any(not search.found.done() for search in self._searches.values())
        self._scan.wanted = is_searching and not self._is_connecting
        await self._scan.match()

    # Connecting

    async def connect(
        self, device: BLEDevice, on_disconnected: Callable[[], None], timeout_s: float, *, pair: bool
    ) -> BleakClient:
        """A connected client, which the caller has to disconnect. After a failure nothing is connected.

        Raises:
            FORESEEN: it could not be connected; TimeoutError if it did not answer.
        """
        address = device.address.upper()

        def on_lost(_: BleakClient) -> None:
            self._connected.discard(address)
            on_disconnected()

        client = BleakClient(
            device,
            disconnected_callback=on_lost,
            timeout=timeout_s,
            pair=pair,
            backend=self._client_backend,
        )
        async with self._turn:
            self._is_connecting = True
            try:
                await self._match_scan()
                await _connect(client, timeout_s)
                self._connected.add(address)
            finally:
                self._is_connecting = False
                self._changed.set()
        return client


async def _connect(client: BleakClient, timeout_s: float) -> None:
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
