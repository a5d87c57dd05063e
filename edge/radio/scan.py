"""The one scan of this gateway: it runs while it is wanted.

Contract: only one task at a time starts and stops the scan. No caller's deadline cancels that task. So a start that
succeeds after its caller has given up is known here, and that scan is stopped if nobody wants it any more. A start
that does not end is cancelled after `START_S_MAX`, and the scan is told to stop all the same.

    wanted   on      ->
    yes      no      start
    no       yes     stop
    yes      yes     stop and start again, if it has been on for `SCAN_S`: it may have died without an error
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner

from edge.errors import SensorLost
from edge.radio.deadline import leave, within
from edge.radio.diagnosis import FORESEEN
from edge.radio.trouble import Trouble

# How often a scan is restarted: it may die without an error when the adapter or BlueZ is restarted.
SCAN_S: Final = 60.0
SWITCH_S_MAX: Final = 10.0
START_S_MAX: Final = 60.0


class Scan:
    """Switches bleak's scanner."""

    def __init__(
        self,
        on_advertisement: Callable[[BLEDevice, AdvertisementData], None],
        backend: type[BaseBleakScanner] | None,
    ) -> None:
        self.wanted = False
        self._on_advertisement = on_advertisement
        self._backend = backend
        self._scanner: BleakScanner | None = None
        self._since_s = 0.0
        self._switching: asyncio.Task[None] | None = None

    async def match(self) -> None:
        """Start or stop the scan, as `wanted` says.

        Raises:
            FORESEEN: the adapter refuses, or does not answer in time; in that case the attempt goes on.
        """
        if self._switching is None:
            if not self._is_due():
                return
            self._switching = asyncio.ensure_future(self._switch())
            leave(self._switching)
        switching = self._switching
        await asyncio.wait({switching}, timeout=SWITCH_S_MAX)
        if not switching.done():
            what = "start" if self.wanted else "stop"
            raise SensorLost(
                f"no answer in {SWITCH_S_MAX:.0f} s when told to {what} searching", Trouble.SERVICE_SILENT
            )
        switching.result()

    def _is_due(self) -> bool:
        if self._scanner is None:
            return self.wanted
        return not self.wanted or asyncio.get_running_loop().time() >= self._since_s + SCAN_S

    async def _switch(self) -> None:
        try:
            while self._is_due():
                if self._scanner is None:
                    await self._start()
                else:
                    scanner, self._scanner = self._scanner, None
                    # If the scan has died, stopping it fails: nothing is left to be stopped.
                    with suppress(*FORESEEN):
                        await within(START_S_MAX, scanner.stop())
        finally:
            self._switching = None

    async def _start(self) -> None:
        scanner = BleakScanner(self._on_advertisement, backend=self._backend)
        self._since_s = asyncio.get_running_loop().time()
        try:
            await within(START_S_MAX, scanner.start())
        except TimeoutError:
            with suppress(*FORESEEN):
                await within(START_S_MAX, scanner.stop())
            raise
        self._scanner = scanner
