"""The radio as the sessions share it: one scanner for all, one connection attempt at a time.

Everything goes through bleak's public interface; a simulated home is a pair of backend classes handed in.
"""

import asyncio
from collections.abc import Callable

from bleak import BleakClient, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner


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
        self._switching = asyncio.Lock()
        self._awaited: dict[str, asyncio.Future[BLEDevice]] = {}
        # BlueZ answers a second concurrent connection attempt with InProgress, so attempts take turns.
        self.connecting = asyncio.Lock()

    async def find(self, address: str) -> BLEDevice:
        """Wait until the sensor advertises; scans only while somebody waits."""
        seen: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()
        self._awaited[address] = seen
        try:
            await self._match_scanner_to_need()
            return await seen
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
        async with self._switching:
            if self._awaited and self._scanner is None:
                scanner = BleakScanner(self._on_advertisement, backend=self._scanner_backend)
                await scanner.start()
                self._scanner = scanner
            elif not self._awaited and self._scanner is not None:
                scanner, self._scanner = self._scanner, None
                await scanner.stop()

    def _on_advertisement(self, device: BLEDevice, _: AdvertisementData) -> None:
        seen = self._awaited.get(device.address.upper())
        if seen is not None and not seen.done():
            seen.set_result(device)
