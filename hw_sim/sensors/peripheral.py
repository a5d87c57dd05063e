"""What all simulated sensors share: a Bumble device that advertises, pairs, and tells its maker and battery.

A sensor lives from `start` to `stop` whether or not anybody is connected; when a link ends, for whatever
reason, it advertises again. Bonds are kept in the object.

Must not be here: anything a particular service does.
"""

import asyncio
import hashlib
import math
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bumble import att, hci
from bumble.att import Attribute
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, Descriptor, Service
from bumble.keys import MemoryKeyStore, PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate

from hw_sim.radio.host import device_on
from hw_sim.radio.sensor_air import SensorAir
from protocols import battery, device_information, uuids

Permissions = Attribute.Permissions
Properties = Characteristic.Properties
ENCRYPTED = (
    Permissions.READABLE
    | Permissions.WRITEABLE
    | Permissions.READ_REQUIRES_ENCRYPTION
    | Permissions.WRITE_REQUIRES_ENCRYPTION
)

_ADVERTISING_INTERVAL_MS = 300
_MANUFACTURER = "Vitalgate (simulated)"
_FIRMWARE = "1.0"
_CCCD = UUID.from_16_bits(0x2902)
_SUBSCRIBABLE = Properties.NOTIFY | Properties.INDICATE


def uuid16(uuid: str) -> UUID:
    """The short form of an assigned number, which is all that fits into an advertisement."""
    return UUID.from_16_bits(int(uuid[4:8], 16))


class Peripheral:
    """A sensor on the air with the service given to it, Battery and Device Information.

    While `is_silent`, it sends nothing that it measures; while `is_off`, it does not measure either. With
    `loses_answer` the next answer to a request never comes, and `corrupts` counts packets yet to be sent of what it
    measures in which one bit is wrong.
    It is not paired while its pairing window is closed (not `pairs_now`), when it knows `bonds_max` devices already, or
    if its `passkey` is another than was told. One that does not keep bonds (`keeps_bonds`) lets itself be paired, and
    has forgotten that when the link ends. `sent_s` is when it last sent what it measures over a link that carried it,
    in the loop's time.
    """

    is_silent = is_off = False
    loses_answer = False
    corrupts = 0
    pairs_now = True
    keeps_bonds = True
    bonds_max: int | None = None
    sent_s = -math.inf
    _measurement: Characteristic[Any]

    def __init__(
        self,
        air: SensorAir,
        address: str,
        model: str,
        service: Service,
        *,
        battery_pct: int,
        passkey: int | None = None,
    ) -> None:
        """`passkey` is printed on the sensor; without one it pairs Just Works."""
        self.address = address
        self._air = air
        self.passkey = passkey
        self._controller = air.controller(model)
        configuration = _configuration(address, model, service)
        self.device = device_on(self._controller, self._controller, configuration)
        self.device.keystore = self._bonds = MemoryKeyStore()
        self._protect(service)
        self._battery = _readable_battery(battery_pct)
        its_battery = Service(uuid16(uuids.BATTERY_SERVICE), [self._battery])
        self.device.add_services((service, its_battery, _device_information(address, model)))
        self.device.pairing_config_factory = lambda _: PairingConfig(
            sc=True,
            mitm=self.passkey is not None,
            bonding=True,
            delegate=_Label(self.passkey, lambda: self.lets_pair()),
        )
        self.device.on(Device.EVENT_CONNECTION, self._on_connection)
        self._respond = self.device.gatt_server.send_response
        self.device.gatt_server.send_response = self._respond_or_lose  # type: ignore[method-assign]
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._life = asyncio.create_task(self._live())
        await self.device.power_on()
        await self.device.start_advertising(auto_restart=True)

    @property
    def died_of(self) -> BaseException | None:
        """What has ended its life, if that was not `stop`: a defect of the simulation."""
        is_over = self._life is not None and self._life.done() and not self._life.cancelled()
        return self._life.exception() if is_over and self._life is not None else None

    async def stop(self) -> None:
        """Switches it off as if its battery were taken out: a peer sees a supervision timeout."""
        if self._life is not None:
            self._life.cancel()
            with suppress(asyncio.CancelledError):
                await self._life
        for link in self.device.connections.values():
            self._on_disconnection(link)
        self._controller.lose_power()

    def subscribed(self, characteristic: Characteristic[bytes]) -> list[Connection]:
        """The links over which a client has enabled notifications or indications."""
        links = self.device.connections.values()
        return [link for link in links if any(self.device.gatt_server.read_cccd(link, characteristic))]

    @property
    def is_subscribed(self) -> bool:
        """Whether somebody listens to what it measures, over a link that carries it."""
        return self._air.carries(self.address) and bool(self.subscribed(self._measurement))

    def babble(self, payload: bytes) -> None:
        """Notify whoever listens to what it measures of something else."""
        for link in self.subscribed(self._measurement):
            self.notify(link, self._measurement, payload)

    def notify(self, link: Connection, characteristic: Characteristic[bytes], payload: bytes) -> None:
        """Hands a notification to the radio; what a dying link does with it nobody learns."""
        # Bumble's own way costs thirty times as much, nearly all of it for formatting what is not logged.
        if characteristic is self._measurement and self._air.carries(self.address):
            self.sent_s = asyncio.get_running_loop().time()
            if self.corrupts > 0:
                self.corrupts -= 1
                payload = _with_a_wrong_bit(payload, self.corrupts)
        header = struct.pack("<BH", att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION, characteristic.handle)
        self.device.gatt_server.send_gatt_pdu(link, header + payload)

    async def indicate(self, link: Connection, characteristic: Characteristic[bytes], payload: bytes) -> None:
        """Indicates and waits for the confirmation, 30 s at most."""
        with suppress(TimeoutError):
            await self.device.gatt_server.indicate_subscriber(link, characteristic, payload)

    def _respond_or_lose(self, bearer: att.Bearer, response: att.ATT_PDU) -> None:
        if self.loses_answer:
            self.loses_answer = False
        else:
            self._respond(bearer, response)

    async def _live(self) -> None:
        """What the sensor does on its own for as long as it is on."""
        raise NotImplementedError

    def _on_disconnection(self, _: Connection) -> None:
        """What the sensor does when a link is gone."""

    def _on_connection(self, link: Connection) -> None:
        async def on_pairing(keys: PairingKeys) -> None:
            # Bumble is content with Just Works when the other side has neither keyboard nor display.
            if self.passkey is not None and not (keys.ltk and keys.ltk.authenticated):
                await self.forget_bonds()
                await link.disconnect(hci.HCI_ErrorCode.AUTHENTICATION_FAILURE_ERROR)

        link.on(link.EVENT_PAIRING, on_pairing)
        link.on(link.EVENT_DISCONNECTION, lambda _: self._on_link_end(link))

    def _on_link_end(self, link: Connection) -> None:
        if not self.keeps_bonds:
            self._forgetting = asyncio.ensure_future(self.forget_bonds())
        self._on_disconnection(link)

    async def lets_pair(self) -> bool:
        """Whether it agrees to be paired; asked whenever a central wants to."""
        is_full = self.bonds_max is not None and len(await self._bonds.get_all()) >= self.bonds_max
        return self.pairs_now and not is_full

    async def forget_bonds(self) -> None:
        await self._bonds.delete_all()

    def run_down(self, battery_pct: int) -> None:
        """From now on that much is left of its battery, as whoever reads it is told."""
        self._battery.value = battery.encode_level(battery_pct)

    def unprotect(self) -> None:
        """From now on it gives everything to everybody, as what poses as a sensor would."""
        demands = Permissions.READ_REQUIRES_ENCRYPTION | Permissions.WRITE_REQUIRES_ENCRYPTION
        for attribute in self.device.gatt_server.attributes:
            attribute.permissions &= ~demands

    def _protect(self, service: Service) -> None:
        """Makes configuration descriptors ask for the encryption their characteristics ask for."""
        for characteristic in service.characteristics:
            secured = characteristic.permissions & Permissions.READ_REQUIRES_ENCRYPTION
            if secured and characteristic.properties & _SUBSCRIBABLE:
                value = self.device.gatt_server.make_descriptor_value(characteristic)
                characteristic.descriptors = (Descriptor(_CCCD, ENCRYPTED, value),)


def _with_a_wrong_bit(payload: bytes, number: int) -> bytes:
    wrong = bytearray(payload)
    wrong[number % len(wrong)] ^= 1 << number % 8
    return bytes(wrong)


class _Label(PairingDelegate):
    """A sensor without keys whose passkey, if it has one, stands on its label."""

    def __init__(self, passkey: int | None, accepts: Callable[[], Awaitable[bool]]) -> None:
        super().__init__(
            self.NO_OUTPUT_NO_INPUT if passkey is None else self.DISPLAY_OUTPUT_ONLY,
        )
        self._passkey = passkey
        self._accepts = accepts

    async def accept(self) -> bool:
        return await self._accepts()

    async def generate_passkey(self) -> int:
        return self._passkey or 0


def _configuration(address: str, model: str, service: Service) -> DeviceConfiguration:
    advertised = (service.uuid, uuid16(uuids.BATTERY_SERVICE), uuid16(uuids.DEVICE_INFORMATION_SERVICE))
    flags = AdvertisingData.LE_GENERAL_DISCOVERABLE_MODE_FLAG | AdvertisingData.BR_EDR_NOT_SUPPORTED_FLAG
    kind = AdvertisingData.Type
    return DeviceConfiguration(
        name=model,
        address=hci.Address(address),
        # Bumble's default is the same identity for all.
        irk=hashlib.sha256(address.encode()).digest()[:16],
        advertising_interval_min=_ADVERTISING_INTERVAL_MS,
        advertising_interval_max=_ADVERTISING_INTERVAL_MS,
        advertising_data=bytes(
            AdvertisingData(
                [
                    (kind.FLAGS, bytes([flags])),
                    (
                        kind.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
                        b"".join(uuid.to_pdu_bytes() for uuid in advertised),
                    ),
                ]
            )
        ),
        scan_response_data=bytes(AdvertisingData([(kind.COMPLETE_LOCAL_NAME, model.encode())])),
    )


def _readable(uuid: str, payload: bytes) -> Characteristic[bytes]:
    return Characteristic(uuid16(uuid), Properties.READ, Permissions.READABLE, payload)


def _readable_battery(level_pct: int) -> Characteristic[bytes]:
    return _readable(uuids.BATTERY_LEVEL, battery.encode_level(level_pct))


def _device_information(address: str, model: str) -> Service:
    texts = {
        uuids.MANUFACTURER_NAME: _MANUFACTURER,
        uuids.MODEL_NUMBER: model,
        uuids.SERIAL_NUMBER: address.replace(":", ""),
        uuids.FIRMWARE_REVISION: _FIRMWARE,
    }
    strings = [_readable(uuid, device_information.encode_string(text)) for uuid, text in texts.items()]
    return Service(uuid16(uuids.DEVICE_INFORMATION_SERVICE), strings)
