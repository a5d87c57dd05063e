"""A sensor that plays what a real one advertised.

Contract: it begins at `begin_s` of the loop's time with the first advertisement of the capture, and says each at its
time; what it said last it goes on to say. Nobody need connect to it.

Truth: `told` are the advertisements that it has said, in the loop's time.

Not here: sensors that are connected to (`connected`).
"""

import asyncio

from bumble.gatt import Characteristic, Service

from hw_sim.capture.heard import NAMES, Device, What, joined, parts
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.advertiser import Advertiser, local_name
from hw_sim.sensors.peripheral import Permissions, Properties, uuid16
from protocols import uuids


class ReplayedAdvertiser(Advertiser):
    """Plays the advertisements of a device of a capture, under any address and name."""

    def __init__(
        self,
        air: SensorAir,
        address: str,
        radio_address: str,
        device: Device,
        service: str,
        *,
        name: str,
        begin_s: float,
    ) -> None:
        self._measurement = Characteristic[bytes](
            uuid16(uuids.WEIGHT_MEASUREMENT), Properties.NOTIFY, Permissions.READABLE, b"\0"
        )
        super().__init__(air, address, radio_address, name, Service(uuid16(service), [self._measurement]))
        self.respond([local_name(name)])
        self._begin_s = begin_s
        self._said = [
            (one.at_s - device.begin_s, one.payload) for one in device.events if one.what is What.ADVERTISED
        ]
        self.told: list[tuple[float, bytes]] = []

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        before = b""
        for after_s, payload in self._said:
            if payload == before:
                continue
            before = payload
            await asyncio.sleep(max(0.0, self._begin_s + after_s - loop.time()))
            if not self.is_silent:
                self._say(payload)
        await loop.create_future()

    def _say(self, payload: bytes) -> None:
        """Its name is in the response to a scan, and may be another than in the capture."""
        now_s = asyncio.get_running_loop().time()
        self.told.append((now_s, payload))
        self.sent_s = now_s
        data = joined((kind, part) for kind, part in parts(payload) if kind not in NAMES)
        self.device.advertising_data = self._simulated.advertiser.advertising_data = data
