"""The radio as the sessions share it: one scanner for all, one connection attempt at a time.

Everything goes through bleak's public interface; a simulated home is a pair of backend classes handed in.
"""

import asyncio
from collections.abc import Callable

from bleak import BleakClient, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

# A scan may die without a word when the adapter or its service is restarted: it begins anew this often.
SCAN_S = 60.0
SWITCH_TIMEOUT_S = 10.0


class Radio:
    """Finds and connects sensors by address."""

    def __init__(
        self,
        scanner_backend: type[BaseBleakScanner] | None = None,
        client_backend: type[BaseBleakClient] | None = None,
    ) -> None:
        self._scanner_backend = scanner_backend
        self._client_backend = client_backend
        self._scanner: BleakScanner | None = None
        self._scanning_since_s = 0.0
        self._switching = asyncio.Lock()
        self._awaited: dict[str, asyncio.Future[BLEDevice]] = {}
        # BlueZ answers a second concurrent connection attempt with InProgress, so attempts take turns.
        self.connecting = asyncio.Lock()

    async def find(self, address: str) -> BLEDevice:
        """Wait until the sensor advertises; scans only while somebody waits."""
        seen: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()
        self._awaited[address] = seen
        try:
            while not seen.done():
                await self._match_scanner_to_need()
                await asyncio.wait({seen}, timeout=SCAN_S)
            return seen.result()
        finally:
            del self._awaited[address]
            await self._match_scanner_to_need()

    def client(
        self, device: BLEDevice, on_disconnected: Callable[[], None], timeout_s: float, *, pair: bool
    ) -> BleakClient:
        return BleakClient(
            device,
            disconnected_callback=lambda _: on_disconnected(),
            timeout=timeout_s,
            pair=pair,
            backend=self._client_backend,
        )

    async def _match_scanner_to_need(self) -> None:
        now_s = asyncio.get_running_loop().time()
        async with self._switching, asyncio.timeout(SWITCH_TIMEOUT_S):
            if self._scanner is not None and (not self._awaited or now_s - self._scanning_since_s >= SCAN_S):
                scanner, self._scanner = self._scanner, None
                await scanner.stop()
            if self._awaited and self._scanner is None:
                scanner = BleakScanner(self._on_advertisement, backend=self._scanner_backend)
                await scanner.start()
                self._scanner, self._scanning_since_s = scanner, now_s

    def _on_advertisement(self, device: BLEDevice, _: AdvertisementData) -> None:
        seen = self._awaited.get(device.address.upper())
        if seen is not None and not seen.done():
            seen.set_result(device)
