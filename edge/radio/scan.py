"""The one scan of an adapter: it runs while it is wanted.

Contract: only one task at a time starts and stops the scan. No caller's deadline cancels that task. So a start that
succeeds after its caller has given up is known here, and that scan is stopped if nobody wants it any more. A start
that does not end is cancelled after `START_S_MAX`, and the scan is told to stop all the same.

    wanted   on      ->
    yes      no      start
    no       yes     stop
    yes      yes     stop and start again, if it has been on for `SCAN_S`: it may have died without an error; at once,
                     if it is known to have died

A scan is active: whoever is heard is asked for its name. Of a sensor that answers with data of the company of which it
advertises some, BlueZ keeps the answer. So if that is wanted, passive scans take turns with active ones, which tell the
names. BlueZ lets programs scan passively only if its configuration says `Experimental = true`; else all are active.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters, BlueZScannerArgs, OrPattern, OrPatternLike
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError

from edge.errors import SensorLost, one_line
from edge.kinds import KINDS
from edge.radio.advertisements import companies
from edge.radio.deadline import leave, within
from edge.radio.diagnosis import FORESEEN
from edge.radio.trouble import Trouble

log = logging.getLogger(__name__)

# How often a scan is restarted: it may die without an error when the adapter or BlueZ is restarted.
SCAN_S: Final = 60.0
SWITCH_S_MAX: Final = 10.0
# Every device, however far. Without a filter, BlueZ from 5.67 on lets an adapter without Bluetooth Classic rest for 5 s
# after each 10 s of searching.
EVERY_DEVICE: Final[BlueZDiscoveryFilters] = {"RSSI": -127}
START_S_MAX: Final = 60.0
# Where both kinds take turns. A sensor advertises every few seconds.
ACTIVE_S: Final = 15.0
PASSIVE_S: Final = 45.0
Mode = Literal["active", "passive"]
# A passive scan hears only whom a pattern fits: the flags that sensors have, and the companies of their data.
_FLAGS: Final = (0x02, 0x04, 0x05, 0x06, 0x1A)
PATTERNS: Final[list[OrPatternLike]] = [
    *(OrPattern(0, AdvertisementDataType.FLAGS, bytes([flags])) for flags in _FLAGS),
    *(
        OrPattern(0, AdvertisementDataType.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little"))
        for company in companies(part for kind in KINDS.values() for part in kind.advertised)
    ),
]


class Scan:
    """Switches bleak's scanner."""

    def __init__(
        self,
        on_advertisement: Callable[[BLEDevice, AdvertisementData], None],
        backend: type[BaseBleakScanner] | None,
        adapter: str = "",
    ) -> None:
        """`adapter`: the name of the one that scans; without it, bleak chooses one."""
        self.wanted = self.wants_passive = False
        self._mode: Mode | None = None  # of the scan that was started last
        self._refuses_passive = False
        self._on_advertisement = on_advertisement
        self._backend = backend
        self._adapter = adapter
        self._scanner: BleakScanner | None = None
        self._since_s = 0.0
        self._switching: asyncio.Task[None] | None = None

    def renew(self) -> None:
        """It has died: stop and start it when it is matched next."""
        self._since_s = -math.inf
        self._refuses_passive = False

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
        return not self.wanted or asyncio.get_running_loop().time() >= self._since_s + self._lasts_s()

    def _lasts_s(self) -> float:
        if self._mode == "passive":
            return PASSIVE_S
        return ACTIVE_S if self._may_be_passive() else SCAN_S

    def _may_be_passive(self) -> bool:
        return self.wants_passive and not self._refuses_passive

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
        if self._mode == "active" and self._may_be_passive():
            try:
                await self._begin("passive")
            except BleakError as error:
                self._refuses_passive = True
                log.warning("a search that does not ask is refused: %s", one_line(str(error)))
            else:
                return
        await self._begin("active")

    async def _begin(self, mode: Mode) -> None:
        bluez: BlueZScannerArgs = {"filters": EVERY_DEVICE, "or_patterns": PATTERNS}
        if self._adapter:
            bluez["adapter"] = self._adapter
        scanner = BleakScanner(self._on_advertisement, scanning_mode=mode, bluez=bluez, backend=self._backend)
        self._since_s = asyncio.get_running_loop().time()
        try:
            await within(START_S_MAX, scanner.start())
        except TimeoutError:
            with suppress(*FORESEEN):
                await within(START_S_MAX, scanner.stop())
            raise
        self._scanner, self._mode = scanner, mode
