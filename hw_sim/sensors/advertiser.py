"""A sensor that tells what it measures in its advertisements; what others may send who look like it.

Contract: an `Advertiser` advertises flags, services and one payload, and tells its name in the scan response, as real
ones do. The system joins the two: of two parts with the same company it keeps the last.

Not here: what any payload says.
"""

import asyncio
from collections.abc import Iterable

from bumble import hci
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Device
from bumble.gatt import Service

from hw_sim.radio.controller import SimController
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import Peripheral

_Type = AdvertisingData.Type
_FLAGS = bytes(
    [AdvertisingData.LE_GENERAL_DISCOVERABLE_MODE_FLAG | AdvertisingData.BR_EDR_NOT_SUPPORTED_FLAG]
)
_FLOOD_STEP_S = 0.01


def company_data(company: int, payload: bytes) -> tuple[_Type, bytes]:
    """Manufacturer data of a company, as a part of an advertisement."""
    return _Type.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little") + payload


def service_data(uuid: str, payload: bytes) -> tuple[_Type, bytes]:
    """Service data of a 16-bit UUID, as a part of an advertisement."""
    return _Type.SERVICE_DATA_16_BIT_UUID, bytes.fromhex(uuid[4:8])[::-1] + payload


def local_name(name: str) -> tuple[_Type, bytes]:
    """A device's name, as a part of an advertisement."""
    return _Type.COMPLETE_LOCAL_NAME, name.encode()


class Advertiser(Peripheral):
    """A sensor under a radio address, which it may change; its `address` is what the configuration knows it by."""

    interval_ms = 300.0

    def __init__(
        self,
        air: SensorAir,
        address: str,
        radio_address: str,
        name: str,
        service: Service,
        *,
        battery_pct: int = 100,
    ) -> None:
        super().__init__(air, radio_address, name, service, battery_pct=battery_pct)
        assert isinstance(self._controller, SimController), (
            "what it advertises is said to a simulated controller"
        )
        self._simulated = self._controller
        self.address = address
        self.radio_address = radio_address
        self.device.advertising_interval_min = self.device.advertising_interval_max = self.interval_ms
        self._service = service.uuid.to_pdu_bytes()
        self.advertise(None)
        self.respond([local_name(name)])

    @property
    def is_subscribed(self) -> bool:
        """Nobody has to be."""
        return False

    def advertise(self, part: tuple[_Type, bytes] | None) -> None:
        """From now on, until this is called again."""
        if part is not None:
            self.sent_s = asyncio.get_running_loop().time()
        services = _Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, self._service
        parts = [(_Type.FLAGS, _FLAGS), services, *([] if part is None else [part])]
        self.device.advertising_data = self._simulated.advertiser.advertising_data = bytes(
            AdvertisingData(parts)
        )

    def respond(self, parts: list[tuple[_Type, bytes]]) -> None:
        """What it answers to whoever scans actively."""
        response = bytes(AdvertisingData(parts))
        self.device.scan_response_data = self._simulated.advertiser.scan_response_data = response

    def change_address(self, radio_address: str) -> None:
        """Go on under another address."""
        self.radio_address = radio_address
        self._simulated.random_address = hci.Address(radio_address)

    async def _live(self) -> None:
        """A plain advertiser does nothing of its own."""
        await asyncio.get_running_loop().create_future()


async def flood(radio: Device, name: str, company: int, payloads: Iterable[bytes], per_s: float) -> int:
    """Let a radio hear advertisements at a rate it cannot be expected to meet, each from another address; how many."""
    due = heard = 0.0
    for number, payload in enumerate(payloads):
        parts = [company_data(company, payload), local_name(name)]
        address = hci.Address(b"\x01" + number.to_bytes(4, "little") + b"\xc0")
        advertisement = Advertisement(address=address, rssi=-60, data_bytes=bytes(AdvertisingData(parts)))
        radio.emit(radio.EVENT_ADVERTISEMENT, advertisement)
        heard += 1
        due += 1 / per_s
        if due >= _FLOOD_STEP_S:
            await asyncio.sleep(due)
            due = 0.0
    return round(heard)
