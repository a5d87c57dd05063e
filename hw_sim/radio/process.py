"""A gateway process as a simulated Bluetooth stack sees it, and what bleak asks of a scanner in it; for both stacks."""

from typing import Any, ClassVar

from bleak.backends.scanner import AdvertisementDataCallback, BaseBleakScanner
from bleak.exc import BleakError


class Process:
    """A process that uses the machine's Bluetooth, until it is killed."""

    def __init__(self) -> None:
        self.is_alive = True

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
        scanning_mode: str,  # noqa: ARG002 - part of bleak's interface
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.process.require_alive()
        self.seen_devices = {}
        await self.listen()

    async def listen(self) -> None:
        """Hear what is advertised, from now on."""
        raise NotImplementedError
