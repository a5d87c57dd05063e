"""A bleak adapter that tells what a simulated machine is connected to, whoever connected it.

Contract: `BaseBleakAdapter` of the pinned bleak, with BlueZ's habits: a device is told of once its services are known.
"""

from typing import Any, ClassVar

from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.device import BLEDevice

from hw_sim.radio.process import Process
from hw_sim.radio.scanner_backend import uuid_str
from hw_sim.radio.stack import Stack
from hw_sim.radio.stack_link import StackLink


class AdapterBackend(BaseBleakAdapter):
    """Bound to a stack by subclassing: bleak wants a class, and reads its name."""

    stack: ClassVar[Stack]
    process: ClassVar[Process]

    @classmethod
    async def get(cls, **_: Any) -> "AdapterBackend":
        cls.process.require_alive()
        cls.stack.require_controller()
        return cls()

    async def get_connected_devices(self, service_uuids: frozenset[str]) -> list[BLEDevice]:
        self.process.require_alive()
        return [
            BLEDevice(link.address, None, link.connection.peer_address)
            for link in self.stack.links.values()
            if link.is_discovered and service_uuids & _services(link)
        ]


def _services(link: StackLink) -> set[str]:
    return {uuid_str(service.uuid) for service in link.gatt.services}
