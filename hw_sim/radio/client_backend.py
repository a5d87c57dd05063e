"""A bleak client that reaches its sensor through a simulated machine's Bluetooth.

Contract: `BaseBleakClient` of the pinned bleak, with BlueZ's habits where they show. An address alone is
looked for first (BleakDeviceNotFoundError); a known device that does not answer is a TimeoutError; one that the machine
holds already is taken as it is, without pairing, and hanging up ends the link for all; a bonded one is
encrypted on connecting; an ATT error is a BleakGATTProtocolError; an ATT request without an answer ends after
30 s as UNLIKELY_ERROR; a lost link fails whatever is pending with BleakError and is told to the disconnected
callback once. A request whose caller gives up stays on the air until it is answered, as ATT demands. A client whose
process was cut off is told nothing, gets BleakError for what it asks, and cannot end anything.

Unlike BlueZ it tells the MTU, and never pairs unasked.

Not here: making connections and keeping bonds (stack), what goes over a link (stack_link).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar, cast

from bleak import BleakScanner
from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic, GattCharacteristicsFlags
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bumble import hci
from bumble.gatt_client import CharacteristicProxy, Client

from hw_sim.radio.process import Process
from hw_sim.radio.scanner_backend import uuid_str
from hw_sim.radio.stack import Stack
from hw_sim.radio.stack_link import StackLink

_T = TypeVar("_T")

_CCCD_UUID = "00002902-0000-1000-8000-00805f9b34fb"
_NEEDS_ENCRYPTION = {
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION,
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION,
}


class ClientBackend(BaseBleakClient):
    """Bound to a stack by subclassing: bleak wants a class, and reads its name."""

    stack: ClassVar[Stack]
    process: ClassVar[Process]
    scanner_backend: ClassVar[type[BaseBleakScanner]]

    def __init__(
        self, address_or_ble_device: BLEDevice | str, *, services: set[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._wanted_services = services
        self._name: str | None = None
        self._peer: hci.Address | None = None
        self._link: StackLink | None = None
        if isinstance(address_or_ble_device, BLEDevice):
            self._remember(address_or_ble_device)

    def _remember(self, device: BLEDevice) -> None:
        self._name = device.name
        self._peer = device.details

    @property
    def name(self) -> str:
        return self._name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return self._connected_link().gatt.mtu

    @property
    def is_connected(self) -> bool:
        # bleak is not told that a link has died with the service.
        link = self._link
        return link is not None and (link.is_up or link.is_forgotten) and self.process.is_alive

    def _connected_link(self) -> StackLink:
        self.process.require_alive()
        if self._link is None or not self._link.is_up:
            raise BleakError("Not connected")
        return self._link

    # Connecting

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        await self.process.answer()
        if self.is_connected:
            raise BleakError("Client is already connected")
        timeout_s = kwargs.get("timeout", self._timeout)
        peer = self._peer or await self._find(timeout_s)
        async with asyncio.timeout(timeout_s):
            link = await self.stack.connect(self.process, peer, pair=pair)
        self.process.require_alive()
        self._link = link
        self.services = _collected(link.gatt, self._wanted_services)
        link.join(self)

    async def _find(self, timeout_s: float) -> hci.Address:
        device = await BleakScanner.find_device_by_address(
            self.address, timeout_s, backend=self.scanner_backend
        )
        if device is None:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        self._remember(device)
        address: hci.Address = device.details
        return address

    def on_link_ended(self) -> None:
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._link is not None and self.process.is_alive:
            await self.process.answer()
            if self._link.address in self.stack.hangs_on_disconnect:
                await asyncio.get_running_loop().create_future()
            await self.stack.hang_up(self._link)

    async def pair(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - bleak's interface
        link = self._connected_link()
        if not await self.stack.is_bonded(link):
            await link.pair()
        elif not link.connection.is_encrypted:
            await link.encrypt()

    async def unpair(self) -> None:
        self.process.require_alive()
        await self.disconnect()
        if not await self.stack.forget(self.address) and self._peer is None:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        self._peer = None

    # GATT

    async def _att(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Do an ATT operation; encrypt the link first if the sensor insists and there is a bond."""
        link = self._connected_link()
        await self.process.answer()
        try:
            answer = await link.request(operation)
        except BleakGATTProtocolError as error:
            bonded = await self.stack.is_bonded(link)
            if error.code not in _NEEDS_ENCRYPTION or link.connection.is_encrypted or not bonded:
                raise
            await link.encrypt()
            answer = await link.request(operation)
        self.process.require_alive()
        return answer

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        return await self._read(characteristic.handle, use_cached)

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_: Any
    ) -> bytearray:
        return await self._read(descriptor.handle, use_cached)

    async def _read(self, handle: int, use_cached: bool) -> bytearray:
        gatt = self._connected_link().gatt
        if use_cached and handle in gatt.cached_values:
            return bytearray(gatt.cached_values[handle][1])
        return bytearray(await self._att(lambda: gatt.read_value(handle)))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        gatt = self._connected_link().gatt
        if not response and len(data) > gatt.mtu - 3:
            raise BleakError(f"{len(data)} bytes do not fit into a write without response")
        await self._att(lambda: gatt.write_value(characteristic.handle, bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        gatt = self._connected_link().gatt
        await self._att(lambda: gatt.write_value(descriptor.handle, bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any
    ) -> None:
        link = self._connected_link()
        if "notify" in characteristic.properties:
            bits = b"\x01\x00"
        elif "indicate" in characteristic.properties:
            bits = b"\x02\x00"
        else:
            raise BleakError(f"{characteristic} neither notifies nor indicates")
        cccd = _configuration(characteristic)
        # Before the sensor's answer, as the first notification may come with it.
        if link.subscribe(self, characteristic.handle, cccd.handle, callback):
            try:
                await self.write_gatt_descriptor(cccd, bits)
            except BaseException:
                link.unsubscribe(self, characteristic.handle)
                raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        if self._connected_link().unsubscribe(self, characteristic.handle):
            await self.write_gatt_descriptor(_configuration(characteristic), b"\x00\x00")


def _configuration(characteristic: BleakGATTCharacteristic) -> BleakGATTDescriptor:
    cccd = characteristic.get_descriptor(_CCCD_UUID)
    if cccd is None:
        raise BleakError(f"{characteristic} has no client characteristic configuration")
    return cccd


def _collected(gatt: Client, wanted: set[str] | None) -> BleakGATTServiceCollection:
    """What was discovered, as bleak has it."""
    collection = BleakGATTServiceCollection()
    for proxy in gatt.services:
        service = BleakGATTService(proxy, proxy.handle, uuid_str(proxy.uuid))
        if wanted is not None and service.uuid not in wanted:
            continue
        collection.add_service(service)
        for characteristic_proxy in proxy.characteristics:
            characteristic = _characteristic(characteristic_proxy, service, gatt)
            collection.add_characteristic(characteristic)
            for descriptor in characteristic_proxy.descriptors:
                collection.add_descriptor(
                    BleakGATTDescriptor(
                        descriptor, descriptor.handle, uuid_str(descriptor.type), characteristic
                    )
                )
    return collection


def _characteristic(
    proxy: "CharacteristicProxy[bytes]", service: BleakGATTService, gatt: Client
) -> BleakGATTCharacteristic:
    properties = [k.name.replace("_", "-") for k in GattCharacteristicsFlags if k.value & proxy.properties]
    return BleakGATTCharacteristic(
        proxy,
        proxy.handle,
        uuid_str(proxy.uuid),
        cast(list[CharacteristicPropertyName], properties),
        lambda: gatt.mtu - 3,
        service,
    )
