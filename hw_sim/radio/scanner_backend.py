"""A bleak scanner that listens through a simulated central.

Contract: `BaseBleakScanner` of the pinned bleak; several may listen at a time. A device's `details` are its
Bumble address, which tells a client the address type. Of parts of one company the last is passed on, that of the scan
response if there is one. A name that was heard once is remembered, as BlueZ does.

Not here: switching the radio's scanning on and off (stack).
"""

from typing import ClassVar

from bleak.backends.scanner import AdvertisementData
from bleak.uuids import normalize_uuid_str
from bumble.core import UUID, AdvertisingData
from bumble.device import Advertisement

from hw_sim.radio.process import ProcessScanner
from hw_sim.radio.stack import Stack

_Type = AdvertisingData.Type
_SERVICE_UUID_TYPES = {
    _Type.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    _Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    _Type.INCOMPLETE_LIST_OF_32_BIT_SERVICE_CLASS_UUIDS: 4,
    _Type.COMPLETE_LIST_OF_32_BIT_SERVICE_CLASS_UUIDS: 4,
    _Type.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
    _Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
}
_SERVICE_DATA_TYPES = {
    _Type.SERVICE_DATA_16_BIT_UUID: 2,
    _Type.SERVICE_DATA_32_BIT_UUID: 4,
    _Type.SERVICE_DATA_128_BIT_UUID: 16,
}


class ScannerBackend(ProcessScanner):
    """Hears what the stack's radio hears."""

    stack: ClassVar[Stack]

    async def listen(self) -> None:
        await self.stack.listen(self._on_advertisement, is_active=self.is_active)

    async def stop(self) -> None:
        await self.stack.stop_listening(self._on_advertisement)
        if self.process.is_alive:
            await self.process.answer()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        data = _advertisement_data(advertisement)
        if not self.is_allowed_uuid(data.service_uuids):
            return
        address = advertisement.address.to_string(False)
        names = self.stack.names
        names[address] = name = data.local_name or names.get(address)
        data = data._replace(local_name=name)
        device = self.create_or_update_device(address, address, data.local_name, advertisement.address, data)
        self.call_detection_callbacks(device, data)


def uuid_str(uuid: UUID) -> str:
    """A Bumble UUID in bleak's spelling: 128 bits, lower case."""
    return normalize_uuid_str(uuid.to_hex_str("-"))


def _advertisement_data(advertisement: Advertisement) -> AdvertisementData:
    local_name: str | None = None
    tx_power: int | None = None
    manufacturer_data: dict[int, bytes] = {}
    service_data: dict[str, bytes] = {}
    service_uuids: list[str] = []
    for kind, value in advertisement.data.ad_structures:
        if size := _SERVICE_UUID_TYPES.get(_Type(kind)):
            whole = len(value) - len(value) % size
            service_uuids += [_uuid_from_bytes(value[i : i + size]) for i in range(0, whole, size)]
        elif (size := _SERVICE_DATA_TYPES.get(_Type(kind))) and len(value) >= size:
            service_data[_uuid_from_bytes(value[:size])] = value[size:]
        elif kind == _Type.COMPLETE_LOCAL_NAME or (kind == _Type.SHORTENED_LOCAL_NAME and not local_name):
            local_name = value.decode("utf-8", "replace")
        elif kind == _Type.MANUFACTURER_SPECIFIC_DATA and len(value) >= 2:
            manufacturer_data[int.from_bytes(value[:2], "little")] = value[2:]
        elif kind == _Type.TX_POWER_LEVEL and len(value) == 1:
            tx_power = int.from_bytes(value, "little", signed=True)
    return AdvertisementData(
        local_name,
        manufacturer_data,
        service_data,
        service_uuids,
        tx_power,
        advertisement.rssi,
        (advertisement,),
    )


def _uuid_from_bytes(value: bytes) -> str:
    return uuid_str(UUID.from_bytes(value))
