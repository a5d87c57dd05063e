"""bleak without a radio: backends that reach simulated sensors by ordinary calls, for thousands of runs and of sensors.

Contract: `backends(stack)` gives one gateway process its scanner, client and adapter classes for bleak's `backend=`
arguments. Notifications go straight to bleak's callback. When the stack has abandoned the process, no callback of it is
called any more, and its calls raise or do nothing.

Every sensor is paired with Just Works, and its link counts as encrypted.

Not here: links, and what happens to them (`direct_stack`). Descriptors are not simulated.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, NamedTuple

from bleak.args import SizedBuffer
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError

from hw_sim.radio.bluetoothd import DEFAULT_ADAPTER
from hw_sim.radio.direct_stack import DirectLink, DirectStack, Peripheral
from hw_sim.radio.process import Process, ProcessScanner
from hw_sim.radio.questions import Questions, Standing, Trial

MTU: Final = 247
# How long a Linux machine waits for an answer.
ANSWER_S: Final = 30.0
_RSSI_DBM: Final = -50


class Backends(NamedTuple):
    """What one gateway process is given for bleak's `backend=` arguments, and what it asks about pairing."""

    scanner: type[BaseBleakScanner]
    client: type[BaseBleakClient]
    adapter: type[BaseBleakAdapter]
    pairing: "DirectPairing"


def backends(stack: DirectStack) -> Backends:
    """The backends of a process that starts now."""
    process = stack.start_process()
    bound = {"stack": stack, "process": process}
    return Backends(
        type("DirectScanner", (ScannerBackend,), bound),
        type("DirectClient", (ClientBackend,), bound),
        type("DirectAdapter", (AdapterBackend,), bound),
        DirectPairing(stack, process),
    )


class ScannerBackend(ProcessScanner):
    """Hears every sensor in reach that is not connected, at once and then every second."""

    stack: ClassVar[DirectStack]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.adapter: str = kwargs.get("bluez", {}).get("adapter", DEFAULT_ADAPTER)

    async def listen(self) -> None:
        self.stack.scan(self)

    async def stop(self) -> None:
        self.stack.end_scan(self)
        if self.process.is_alive:
            await self.process.answer()

    def hear(self, peripheral: Peripheral) -> None:
        services = list(peripheral.services)
        if self.is_allowed_uuid(services):
            address = peripheral.address
            data = AdvertisementData(None, {}, {}, services, None, _RSSI_DBM, ())
            if not self.stack.hears(self.adapter, address):
                return
            device = self.create_or_update_device(address, address, None, self.adapter, data)
            self.call_detection_callbacks(device, data)


class AdapterBackend(BaseBleakAdapter):
    """Knows what is connected, whoever connected it."""

    stack: ClassVar[DirectStack]
    process: ClassVar[Process]

    def __init__(self, name: str) -> None:
        self._name = name

    @classmethod
    async def get(cls, **kwargs: Any) -> "AdapterBackend":
        cls.process.require_alive()
        return cls(kwargs.get("bluez", {}).get("adapter", DEFAULT_ADAPTER))

    async def get_connected_devices(self, service_uuids: frozenset[str]) -> list[BLEDevice]:
        self.process.require_alive()
        addresses = [*self.stack.links, *(self.stack.bluetoothd.stale - self.stack.links.keys())]
        return [
            BLEDevice(address, None, self._name)
            for address in addresses
            if self.stack.adapter_of.get(address, self._name) == self._name
            and service_uuids & self.stack.peripherals[address].services.keys()
        ]


class DirectPairing:
    """Pairs with everybody, and asks nobody."""

    def __init__(self, stack: DirectStack, process: Process) -> None:
        self._stack = stack
        self._process = process

    async def standing(self, device: BLEDevice) -> Standing:
        self._process.require_alive()
        is_bonded = device.address in self._stack.bonds
        return Standing(is_bonded, is_trusted=is_bonded, is_encrypted=is_bonded)

    async def pair(self, device: BLEDevice, _: Questions) -> None:
        self._process.require_alive()
        self._stack.bonds.add(device.address)

    async def trust(self, _: BLEDevice) -> None:
        self._process.require_alive()

    async def forget(self, address: str) -> bool:
        self._process.require_alive()
        is_known = address in self._stack.bonds
        self._stack.bonds.discard(address)
        return is_known

    @asynccontextmanager
    async def watch(self, _: BLEDevice) -> AsyncIterator[Trial]:
        yield Trial()


class ClientBackend(BaseBleakClient):
    """A process's side of a link."""

    stack: ClassVar[DirectStack]
    process: ClassVar[Process]

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._link: DirectLink | None = None
        device = address_or_ble_device
        self._adapter: str = device.details if isinstance(device, BLEDevice) else DEFAULT_ADAPTER

    @property
    def name(self) -> str:
        return self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return MTU

    @property
    def is_connected(self) -> bool:
        # bleak is not told that a link has died with the service.
        link = self._link
        return link is not None and (link.is_up or link.is_forgotten) and self.process.is_alive

    async def connect(self, pair: bool, **kwargs: Any) -> None:  # noqa: ARG002 - bleak's interface
        await self.process.answer()
        if self.is_connected:
            raise BleakError("Client is already connected")
        self.stack.require_slot(self._adapter, self.address)
        timeout_s = kwargs.get("timeout", self._timeout)
        link = await self.stack.connect(self.process, self.address, timeout_s, self._adapter)
        self.stack.adapter_of[self.address] = self._adapter
        link.join(self)
        self._link = link
        self.services = _discovered(link.peripheral)
        if self.stack.untold[self.address]:
            self.stack.untold[self.address] -= 1
            self.services = BleakGATTServiceCollection()

    def on_link_ended(self) -> None:
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        link = self._link
        if link is None or not self.is_connected:
            return
        await self.process.answer()
        if self.address in self.stack.hangs_on_disconnect:
            await asyncio.get_running_loop().create_future()
        link.end()

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Nothing here needs it."""

    async def unpair(self) -> None:
        await self.disconnect()

    async def _request(self) -> DirectLink:
        """The link, once a request has got across it."""
        link = self._link
        if link is None or not self.is_connected:
            raise BleakError("Not connected")
        await self.process.answer()
        if self.stack.request_s:
            await asyncio.sleep(self.stack.request_s)
        if self.address in self.stack.loses_answer:
            self.stack.loses_answer.discard(self.address)
            await asyncio.sleep(ANSWER_S)
            raise BleakError("Unlikely Error")
        self._check_passes(link)
        return link

    def _check_passes(self, link: DirectLink) -> None:
        self.process.require_alive()
        self.stack.bluetoothd.require()
        if not link.passes():
            raise BleakError("the device disconnected")

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **_: Any) -> bytearray:
        link = await self._request()
        value = link.peripheral.read(characteristic.uuid)
        self._check_passes(link)
        return bytearray(value)

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        link = await self._request()
        link.peripheral.write(characteristic.uuid, bytes(data))
        if response:
            self._check_passes(link)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any
    ) -> None:
        link = await self._request()
        link.listen(self, characteristic.uuid, callback)
        self._check_passes(link)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        link = await self._request()
        link.ignore(self, characteristic.uuid)
        self._check_passes(link)

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **_: Any) -> bytearray:
        raise NotImplementedError

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        raise NotImplementedError


def _discovered(peripheral: Peripheral) -> BleakGATTServiceCollection:
    """The sensor's services as bleak has them."""
    collection = BleakGATTServiceCollection()
    handle = 1
    for service_uuid, characteristics in peripheral.services.items():
        service = BleakGATTService(None, handle, service_uuid)
        collection.add_service(service)
        for characteristic_uuid in characteristics:
            handle += 2
            characteristic = BleakGATTCharacteristic(
                None, handle, characteristic_uuid, ["read", "write", "notify"], lambda: MTU - 3, service
            )
            collection.add_characteristic(characteristic)
        handle += 1
    return collection
