"""Finds, hears and connects sensors. All share it: one scan of each adapter serves them, and by each adapter they
connect in turn.

Contract: a sensor is found when it advertises, or when the system's Bluetooth (BlueZ) is connected to it already. A
connection outlives the process that made it, and a connected sensor does not advertise. While a session searches, one
task scans, and asks the system every `ADOPT_S` which devices are connected. While a session connects, its adapter does
not scan, because some abort one for the other. The scan goes on as long as somebody listens to advertisements. A search
that fails is reported to all who search and listen. All calls go through bleak's public interface; a simulated home
passes three backend classes for bleak to use.

While the machine's Bluetooth is known to be unusable (`health`), nothing is searched for: whoever tries, or searches
already, is told why at once. When to try again, and what a search without success means, is decided in `session`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple

from bleak import BleakAdapter, BleakClient
from bleak.args.bluez import BlueZAdapterArgs
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

from edge.config_radio import RadioUse
from edge.errors import SensorLost
from edge.radio.adapters import ANY, Adapters
from edge.radio.bluez.bus import Bus
from edge.radio.bluez.mending import Mending, ResetAdapter
from edge.radio.bluez.watch import Watch
from edge.radio.deadline import within
from edge.radio.diagnosis import CONNECTING, FORESEEN, SEARCHING, diagnose
from edge.radio.health import Health
from edge.radio.hearing import Ear, Hearing
from edge.radio.link import connect
from edge.radio.pairing.bond import Bond
from edge.radio.pairing.system import NoPairing, Pairing
from edge.radio.recovery import Evidence, Rung
from edge.radio.scan import Scan
from edge.radio.search import Found, Search
from edge.radio.trouble import Trouble

# How often the system is asked which devices are connected, while a session searches.
ADOPT_S: Final = 5.0
ANSWER_S_MAX: Final = 10.0
# Phones change their address every few minutes: only the newest are remembered.
HEARD_MAX: Final = 500
# Every connected sensor has at least one of these services beside its own.
GENERIC_SERVICES: Final = ("1800", "1801")
# bleak's signal strength for a device that was not heard: BlueZ reports every change of a device that it knows.
NOT_HEARD_DBM: Final = -127


USE: Final = RadioUse()


class System(NamedTuple):
    """How to reach the machine's Bluetooth beside bleak: the message bus, and what resets an adapter."""

    new_bus: Callable[[], Bus]
    reset_adapter: ResetAdapter


class Radio:
    """Finds and connects sensors by address."""

    def __init__(
        self,
        scanner_backend: type[BaseBleakScanner] | None = None,
        client_backend: type[BaseBleakClient] | None = None,
        adapter_backend: type[BaseBleakAdapter] | None = None,
        pairing: Pairing | None = None,
        system: System | None = None,
        use: RadioUse = USE,
    ) -> None:
        """Without `pairing`, no sensor can be paired.

        `system`: how the machine's Bluetooth is watched and mended; None: nobody does.
        """
        self.pairing = pairing or NoPairing()
        self._changed = asyncio.Event()
        self.health = Health(self._changed.set)
        self.evidence = Evidence()
        self._watch: Watch | None = None
        self.mending: Mending | None = None
        if system is not None:
            self._watch = Watch(system.new_bus, self.health, use.adapters)
            self.mending = Mending(self._watch, self.health, use, system.reset_adapter)
        self._client_backend = client_backend
        self._adapter_backend = adapter_backend
        self._scanner_backend = scanner_backend
        self._scans: dict[str, Scan] = {}
        self._searches: dict[str, Search] = {}
        self._hearings: list[Hearing] = []
        self._heard_s: dict[str, float] = {}
        self.adapters = Adapters(use, self.health)
        self._ours: set[str] = set()
        self._bonded_at: dict[str, str | None] = {}
        self._attendant: asyncio.Task[None] | None = None
        # BlueZ answers a second concurrent attempt with InProgress, so attempts take turns, by the name of the adapter.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """Watch the system's Bluetooth, and mend it, until cancelled."""
        with self.health.told(self._on_ended):
            if self._watch is None or self.mending is None:
                await asyncio.get_running_loop().create_future()
            else:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch.run())
                    tasks.create_task(self.mending.run(self.evidence, lambda: bool(self.adapters.links)))

    def _on_ended(self, trouble: SensorLost) -> None:
        """Nothing more will be heard: whoever searches is told, and the scan has died."""
        for scan in self._scans.values():
            scan.renew()
        self.adapters.links.clear()
        for search in self._searches.values():
            search.fail(trouble)
        for hearing in self._hearings:
            hearing.fail(trouble)

    # Listening

    @asynccontextmanager
    async def listen(
        self, ear: Ear, *, is_awaited: bool = True, wants_passive: bool = False
    ) -> AsyncIterator[Hearing]:
        """Give every advertisement that is heard to `ear` while the context is open; the scan runs as long.

        Raises:
            SensorLost: the machine's Bluetooth cannot be used.
        """
        self.health.require()
        hearing = Hearing(ear, is_awaited=is_awaited, wants_passive=wants_passive)
        self._hearings.append(hearing)
        self._call_attendant()
        try:
            yield hearing
        finally:
            self._hearings.remove(hearing)
            self._changed.set()
            with suppress(*FORESEEN):
                await self._match_scan()

    def heard_within(self, seconds: float) -> int:
        """How many devices were heard in the last seconds, or are connected."""
        since_s = asyncio.get_running_loop().time() - seconds
        return len(
            {*self.adapters.links}.union(name for name, at_s in self._heard_s.items() if at_s >= since_s)
        )

    # Searching

    @asynccontextmanager
    async def search(
        self, address: str, service: str, *, distrusts_held: bool = False, is_awaited: bool = True
    ) -> AsyncIterator[Search]:
        """Search for a sensor while the context is open; `service` is one that it has.

        With `distrusts_held`, a connection that the system has already is used only after `DISTRUST_S` of searching.

        Raises:
            SensorLost: the machine's Bluetooth cannot be used.
        """
        self.health.require()
        self._ours.add(address)
        self.adapters.coming.pop(address, None)
        search = self._searches[address] = Search(
            address,
            service,
            self._heard_s,
            self.adapters.links,
            distrusts_held=distrusts_held,
            is_awaited=is_awaited,
        )
        with suppress(*FORESEEN):
            await self._ask_for_bond(address)
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
        """While somebody searches or listens: ask what is connected, scan, and restart a scan that may have died."""
        while self._searches or self._hearings:
            self._changed.clear()
            await self._adopt()
            await self._match_scan()
            is_on = any(scan.wanted for scan in self._scans.values()) and self._awaits()
            self.evidence.on_scan(asyncio.get_running_loop().time(), is_on=is_on)
            with suppress(TimeoutError):
                async with asyncio.timeout(ADOPT_S):
                    await self._changed.wait()

    def _awaits(self) -> bool:
        """Whether something is to be heard; devices that are seldom used may be silent for days."""
        searched = any(search.is_awaited for search in self._searches.values())
        return searched or any(hearing.is_awaited for hearing in self._hearings)

    def _on_attendant_gone(self, attendant: "asyncio.Task[None]") -> None:
        waiting = [search.found for search in self._searches.values() if not search.found.done()]
        if attendant.cancelled():
            for found in waiting:
                found.cancel()
        elif error := attendant.exception():
            self._note_refusal(error)
            for found in waiting:
                found.set_exception(error)
            for hearing in self._hearings:
                hearing.fail(error)

    def _note_refusal(self, error: BaseException) -> None:
        if isinstance(error, FORESEEN) and diagnose(error, SEARCHING)[0] is Trouble.SCAN_REFUSED:
            self.evidence.on_scan_refused(asyncio.get_running_loop().time())

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
        for found in held:
            if await self._is_held(found):
                self._give(found)

    async def _held(self, services: list[str]) -> list[Found]:
        held = []
        for name in self.adapters.names():
            bluez: BlueZAdapterArgs = {"adapter": name} if name else {}
            adapter = await BleakAdapter.get(bluez=bluez, backend=self._adapter_backend)
            devices = await adapter.get_connected_devices([*GENERIC_SERVICES, *services])
            held += [Found(device, is_held=True, adapter=name) for device in devices]
        return held

    async def _is_held(self, found: Found) -> bool:
        """Whether it is connected; bleak goes on to say so after BlueZ has died, until the sensor is heard again."""
        if self._watch is None or not self.health.adapters:
            return True  # at the start bleak knows no connection that has died
        names = [found.adapter] if found.adapter else [adapter.name for adapter in self.health.adapters]
        for name in names:
            if await self._watch.device(name, found.device.address.upper(), "Connected"):
                return True
        return False

    async def _ask_for_bond(self, address: str) -> None:
        """Find out which of several adapters has a bond with a sensor."""
        names = self.adapters.names()
        if self._watch is not None and len(names) > 1:
            bonded = [name for name in names if await self._watch.device(name, address, "Paired")]
            self._bonded_at[address] = bonded[0] if bonded else None

    def _on_advertisement(
        self, device: BLEDevice, advertisement: AdvertisementData, *, name: str = ANY
    ) -> None:
        if advertisement.rssi == NOT_HEARD_DBM:
            return
        heard_s = self._heard_s
        address = device.address.upper()
        self.evidence.on_heard(is_stranger=address not in self._ours)
        heard_s.pop(address, None)
        heard_s[address] = asyncio.get_running_loop().time()
        if len(heard_s) > HEARD_MAX:
            del heard_s[next(iter(heard_s))]
        search = self._searches.get(address)
        if search is not None and not search.found.done():
            self._offer(search, Found(device, is_held=False, adapter=name))
        for hearing in self._hearings:
            hearing.hear(device, advertisement)

    def _ear(self, name: str) -> Callable[[BLEDevice, AdvertisementData], None]:
        """What hears what an adapter hears."""

        def hear(device: BLEDevice, advertisement: AdvertisementData) -> None:
            self._on_advertisement(device, advertisement, name=name)

        return hear

    def _offer(self, search: Search, found: Found) -> None:
        """A sensor was heard that is searched for: it is connected by that adapter, by another one, or by none."""
        now_s = asyncio.get_running_loop().time()
        bonded_at = self._bonded_at.get(search.address)
        if self.adapters.suits(found.adapter, bonded_at, search.age_s, now_s):
            self.adapters.coming[search.address] = found.adapter
            search.give(found)
        elif (full := self.adapters.full(now_s)) is not None:
            search.fail(SensorLost(full, Trouble.NO_SLOT))

    def _give(self, found: Found) -> None:
        search = self._searches.get(found.device.address.upper())
        if search is not None:
            search.give(found)

    async def _match_scan(self) -> None:
        is_searching = any(not search.found.done() for search in self._searches.values())
        is_wanted = is_searching or bool(self._hearings)
        names = self.adapters.names()
        for name in names:
            if name not in self._scans:
                self._scans[name] = Scan(self._ear(name), self._scanner_backend, name)
        for name, scan in self._scans.items():
            scan.wanted = is_wanted and not self._turns[name].locked() and name in names
            scan.wants_passive = any(hearing.wants_passive for hearing in self._hearings)
            await scan.match()

    # Connecting

    async def connect(
        self,
        device: BLEDevice,
        on_disconnected: Callable[[], None],
        timeout_s: float,
        bond: Bond | None = None,
        *,
        adapter: str = ANY,
    ) -> BleakClient:
        """A connected client, which the caller has to disconnect. After a failure nothing is connected.

        With `bond`, the sensor is paired before, if its bond says so.

        Raises:
            FORESEEN: it could not be connected; TimeoutError if it did not answer.
        """
        address = device.address.upper()

        def on_lost(_: BleakClient) -> None:
            self.adapters.links.pop(address, None)
            on_disconnected()

        client = BleakClient(
            device,
            disconnected_callback=on_lost,
            timeout=timeout_s,
            backend=self._client_backend,
        )
        async with self._turns[adapter]:
            try:
                await self._match_scan()
                attempt = partial(self._make, client, timeout_s, adapter)
                await (attempt() if bond is None else bond.connect(device, attempt))
                self.adapters.links[address] = adapter
            finally:
                self.adapters.coming.pop(address, None)
                self._changed.set()
        return client

    async def _make(self, client: BleakClient, timeout_s: float, adapter: str) -> None:
        """Connect, and keep what that says of the adapter."""
        loop = asyncio.get_running_loop()
        try:
            await connect(client, timeout_s)
        except FORESEEN as error:
            trouble, _ = diagnose(error, CONNECTING)
            if trouble in (Trouble.CONNECT_FAILED, Trouble.BLOCKED):
                self.evidence.on_connect(loop.time(), is_made=False)
            elif trouble is Trouble.NO_SLOT:
                self.adapters.on_refused(adapter, loop.time())
            raise
        self.evidence.on_connect(loop.time(), is_made=True)

    def on_hung_up(self, address: str) -> None:
        """A link was closed, whatever bleak says of it."""
        self.adapters.links.pop(address, None)

    def on_data(self) -> None:
        """The first packet of a link has come."""
        self.evidence.on_data(asyncio.get_running_loop().time())

    def count_rung(self, rung: Rung, sensor_id: str, reason: str) -> None:
        """A session has taken a rung of the ladder."""
        if self.mending is not None:
            self.mending.count(rung, f"{sensor_id}: {reason}")

    async def drop(self, sensor_id: str, address: str, reason: str) -> None:
        """Let the system forget a sensor, if there is no bond with it."""
        if self.mending is not None:
            await self.mending.drop(sensor_id, address, reason)
