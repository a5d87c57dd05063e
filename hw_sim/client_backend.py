"""A bleak client that reaches its sensor through a simulated central.

Contract: `BaseBleakClient` of the pinned bleak, with BlueZ's habits where they show. An address alone is
looked for first (BleakDeviceNotFoundError); a known device that does not answer is a TimeoutError; a bonded one is
encrypted on connecting; an ATT error is a BleakGATTProtocolError; an ATT request without an answer ends after
30 s as UNLIKELY_ERROR; a lost link fails whatever is pending with BleakError and is told to the disconnected
callback once. A request whose caller gives up stays on the air until it is answered, as ATT demands.

Unlike BlueZ it tells the MTU, and never pairs unasked.

Not here: making connections and keeping bonds (central).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from bleak import BleakScanner
from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic, GattCharacteristicsFlags
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bumble import att, core, hci
from bumble.device import Connection
from bumble.gatt_client import CharacteristicProxy, Client

from hw_sim.scanner_backend import uuid_str

if TYPE_CHECKING:
    from hw_sim.central import Central

_T = TypeVar("_T")

_PREFERRED_MTU = 517
_SMP_TIMEOUT_S = 30
_CCCD_UUID = "00002902-0000-1000-8000-00805f9b34fb"
_NEEDS_ENCRYPTION = {
    BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION,
    BleakGATTProtocolErrorCode.INSUFFICIENT_ENCRYPTION,
}


class ClientBackend(BaseBleakClient):
    """Bound to a central by subclassing: bleak wants a class, and reads its name."""

    central: "ClassVar[Central]"

    def __init__(
        self, address_or_ble_device: BLEDevice | str, *, services: set[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._wanted_services = services
        self._name: str | None = None
        self._peer: hci.Address | None = None
        self._link: _Link | None = None
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
        return self._link is not None and not self._link.lost.done()

    def _connected_link(self) -> "_Link":
        if self._link is None or self._link.lost.done():
            raise BleakError("Not connected")
        return self._link

    # Connecting

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        if self.is_connected:
            raise BleakError("Client is already connected")
        timeout_s = kwargs.get("timeout", self._timeout)
        peer = self._peer or await self._find(timeout_s)
        async with asyncio.timeout(timeout_s):
            connection = await self.central.connect(peer)
            link = _Link(connection)
            try:
                await self._set_up(link, pair)
            except BaseException:
                await self.central.hang_up(connection)
                raise
        self._link = link
        link.lost.add_done_callback(self._on_link_lost)

    async def _find(self, timeout_s: float) -> hci.Address:
        device = await BleakScanner.find_device_by_address(
            self.address, timeout_s, backend=self.central.scanner_backend
        )
        if device is None:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        self._remember(device)
        address: hci.Address = device.details
        return address

    async def _set_up(self, link: "_Link", pair: bool) -> None:
        if await self.central.is_bonded(link.connection.peer_address):
            await link.encrypt()
        elif pair:
            await link.pair()
        await link.request(lambda: link.gatt.request_mtu(_PREFERRED_MTU))
        self.services = await link.request(lambda: _discover(link.gatt, self._wanted_services))

    def _on_link_lost(self, _: "asyncio.Future[None]") -> None:
        self.services = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._link is not None:
            await self.central.hang_up(self._link.connection)

    async def pair(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002 - bleak's interface
        link = self._connected_link()
        if not await self.central.is_bonded(link.connection.peer_address):
            await link.pair()
        elif not link.connection.is_encrypted:
            await link.encrypt()

    async def unpair(self) -> None:
        await self.disconnect()
        if not await self.central.forget(self.address) and self._peer is None:
            raise BleakDeviceNotFoundError(self.address, f"Device with address {self.address} was not found.")
        self._peer = None

    # GATT

    async def _att(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Do an ATT operation; encrypt the link first if the sensor insists and there is a bond."""
        link = self._connected_link()
        try:
            return await link.request(operation)
        except BleakGATTProtocolError as error:
            bonded = await self.central.is_bonded(link.connection.peer_address)
            if error.code not in _NEEDS_ENCRYPTION or link.connection.is_encrypted or not bonded:
                raise
        await link.encrypt()
        return await link.request(operation)

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
        gatt = self._connected_link().gatt
        subscribers: dict[int, set[Any]]
        if "notify" in characteristic.properties:
            subscribers, bits = gatt.notification_subscribers, b"\x01\x00"
        elif "indicate" in characteristic.properties:
            subscribers, bits = gatt.indication_subscribers, b"\x02\x00"
        else:
            raise BleakError(f"{characteristic} neither notifies nor indicates")
        # Before the sensor's answer, as the first notification may come with it.
        subscribers[characteristic.handle] = {lambda value: callback(bytearray(value))}
        try:
            await self._write_cccd(characteristic, bits)
        except BaseException:
            subscribers.pop(characteristic.handle, None)
            raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        gatt = self._connected_link().gatt
        await self._write_cccd(characteristic, b"\x00\x00")
        gatt.notification_subscribers.pop(characteristic.handle, None)
        gatt.indication_subscribers.pop(characteristic.handle, None)

    async def _write_cccd(self, characteristic: BleakGATTCharacteristic, bits: bytes) -> None:
        cccd = characteristic.get_descriptor(_CCCD_UUID)
        if cccd is None:
            raise BleakError(f"{characteristic} has no client characteristic configuration")
        await self.write_gatt_descriptor(cccd, bits)


class _Link:
    """A connection whose operations end with it, and fail with bleak's exceptions."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.gatt: Client = connection.gatt_client
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests: set[asyncio.Future[Any]] = set()
        connection.once(connection.EVENT_DISCONNECTION, self._on_disconnection)

    def _on_disconnection(self, _reason: int) -> None:
        self.lost.set_result(None)
        for request in self._requests:
            request.cancel()

    async def request(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Do one operation over the link. It outlives a caller that gives up, but not the link."""
        if self.lost.done():
            raise BleakError("Not connected")
        request = asyncio.ensure_future(operation())
        self._requests.add(request)
        request.add_done_callback(self._on_request_done)
        try:
            return await asyncio.shield(request)
        except asyncio.CancelledError:
            if request.cancelled():
                raise BleakError("the device disconnected") from None
            raise
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except core.TimeoutError as error:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.UNLIKELY_ERROR) from error
        except core.BaseBumbleError as error:
            raise BleakError(str(error)) from error

    def _on_request_done(self, request: "asyncio.Future[Any]") -> None:
        self._requests.discard(request)
        if not request.cancelled():
            request.exception()  # nobody else may be left to look at it

    async def encrypt(self) -> None:
        """Encrypt with the key of the bond. Raises BleakError if the sensor has lost its bond."""
        await self.request(self.connection.encrypt)

    async def pair(self) -> None:
        try:
            async with asyncio.timeout(_SMP_TIMEOUT_S):
                await self.request(self.connection.pair)
        except TimeoutError:
            raise BleakError("pairing timed out") from None


async def _discover(gatt: Client, wanted: set[str] | None) -> BleakGATTServiceCollection:
    collection = BleakGATTServiceCollection()
    for proxy in await gatt.discover_services():
        service = BleakGATTService(proxy, proxy.handle, uuid_str(proxy.uuid))
        if wanted is not None and service.uuid not in wanted:
            continue
        collection.add_service(service)
        for characteristic_proxy in await gatt.discover_characteristics((), proxy):
            characteristic = _characteristic(characteristic_proxy, service, gatt)
            collection.add_characteristic(characteristic)
            for descriptor in await gatt.discover_descriptors(characteristic_proxy):
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
