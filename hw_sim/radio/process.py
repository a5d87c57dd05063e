"""A gateway process as a simulated Bluetooth stack sees it, and what bleak asks of a scanner in it; for both stacks."""

from typing import Any, ClassVar

from bleak.backends.scanner import AdvertisementDataCallback, BaseBleakScanner
from bleak.exc import BleakError

from hw_sim.radio.bluetoothd import Bluetoothd


class Process:
    """A process that uses the machine's Bluetooth, until it is killed."""

    def __init__(self, bluetoothd: Bluetoothd) -> None:
        self.bluetoothd = bluetoothd
        self.is_alive = True

    async def answer(self) -> None:
        """Wait until the service answers; raises a BleakError if it refuses, or if the process was killed."""
        self.require_alive()
        await self.bluetoothd.answer()
        self.require_alive()

    def require_alive(self) -> None:
        """Raises BleakError if it was killed."""
        if not self.is_alive:
            raise BleakError("this process was killed")


class ProcessScanner(BaseBleakScanner):
    """Bound to a process and a stack by subclassing: bleak wants a class, and reads its name."""

    process: ClassVar[Process]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self.is_active = scanning_mode == "active"

    async def start(self) -> None:
        await self.process.answer()
        if not self.is_active and not self.process.bluetoothd.is_experimental:
            raise BleakError("passive scanning on Linux requires BlueZ >= 5.56 with --experimental enabled")
        self.seen_devices = {}
        await self.listen()

    async def listen(self) -> None:
        """Hear what is advertised, from now on."""
        raise NotImplementedError
