"""A throw-away Bumble peripheral for tests of the simulated radio: one service with a characteristic of each kind."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from bumble import hci
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.pairing import PairingConfig, PairingDelegate

from hw_sim import clock
from hw_sim.radio.air import Air
from hw_sim.radio.host import device_on

SERVICE = "12345678-0000-1000-8000-00805f9b34fb"
VALUE, SECRET, REFUSED, LONG, SILENT, NOTIFIED, INDICATED = (
    f"12345678-000{n}-1000-8000-00805f9b34fb" for n in range(1, 8)
)

_PROPERTY = Characteristic.Properties
_PERMISSION = Characteristic.Permissions


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run_test(*args: Any, **kwargs: Any) -> None:
        clock.run(test(*args, **kwargs))

    return run_test


class Peripheral:
    def __init__(self, air: Air, address: str, name: str = "Throw-away", passkey: int | None = None) -> None:
        self.address, self.name, self.passkey = address, name, passkey
        self.controller = air.controller(name)
        config = DeviceConfiguration(name=name, address=hci.Address(address))
        self.device: Device = device_on(self.controller, self.controller, config)
        self.device.pairing_config_factory = self._pairing_config
        self.device.on("connection", self._on_connection)
        self.connections: list[Connection] = []
        self.disconnect_reasons: list[tuple[float, int]] = []
        self.written: list[bytes] = []
        self.value = Characteristic(
            UUID(VALUE),
            _PROPERTY.READ | _PROPERTY.WRITE | _PROPERTY.WRITE_WITHOUT_RESPONSE,
            _PERMISSION.READABLE | _PERMISSION.WRITEABLE,
            CharacteristicValue(read=lambda _: b"value", write=lambda _, value: self.written.append(value)),
        )
        self.notified = Characteristic(UUID(NOTIFIED), _PROPERTY.NOTIFY, _PERMISSION(0), b"")
        self.indicated = Characteristic(UUID(INDICATED), _PROPERTY.INDICATE, _PERMISSION(0), b"")
        self.device.add_services(
            [Service(UUID(SERVICE), [self.value, *self._readable(), self.notified, self.indicated])]
        )

    def _readable(self) -> list[Characteristic[Any]]:
        secret = _PERMISSION.READABLE | _PERMISSION.READ_REQUIRES_ENCRYPTION
        return [
            Characteristic(UUID(SECRET), _PROPERTY.READ, secret, b"secret"),
            Characteristic(
                UUID(REFUSED), _PROPERTY.READ, _PERMISSION.READABLE, CharacteristicValue(read=_refuse)
            ),
            Characteristic(UUID(LONG), _PROPERTY.READ, _PERMISSION.READABLE, bytes(range(256)) * 2),
            Characteristic(
                UUID(SILENT), _PROPERTY.READ, _PERMISSION.READABLE, CharacteristicValue(read=_never)
            ),
        ]

    async def start(self) -> "Peripheral":
        await self.device.power_on()
        await self.device.start_advertising(
            auto_restart=True,
            advertising_data=bytes(
                AdvertisingData(
                    [(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, bytes(UUID(SERVICE)))]
                )
            ),
            scan_response_data=bytes(
                AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, self.name.encode())])
            ),
            advertising_interval_min=100,
            advertising_interval_max=100,
        )
        return self

    def _on_connection(self, connection: Connection) -> None:
        self.connections.append(connection)
        connection.on("disconnection", self._on_disconnection)

    def _on_disconnection(self, reason: int) -> None:
        self.disconnect_reasons.append((asyncio.get_running_loop().time(), reason))

    def _pairing_config(self, _: Connection) -> PairingConfig:
        return PairingConfig(mitm=self.passkey is not None, delegate=_Display(self.passkey))


class _Display(PairingDelegate):
    def __init__(self, passkey: int | None) -> None:
        super().__init__(self.NO_OUTPUT_NO_INPUT if passkey is None else self.DISPLAY_OUTPUT_ONLY)
        self.passkey = passkey

    async def generate_passkey(self) -> int:
        assert self.passkey is not None
        return self.passkey


def _refuse(_: Connection) -> bytes:
    raise ATT_Error(0x80)


async def _never(_: Connection) -> bytes:
    await asyncio.Event().wait()
    return b""
