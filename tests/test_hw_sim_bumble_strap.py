"""A strap that Bumble's own heart-rate profile plays, through the public bleak API, read by our decoder."""

import asyncio
import itertools

from bleak import BleakClient
from bumble_peripheral import in_virtual_time

from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.sensors.bumble_strap import BumbleStrap
from protocols import heart_rate, uuids
from protocols.heart_rate import HeartRateMeasurement

STRAP = "F0:00:00:00:00:01"
RR_MS = (800.0, 812.5, 350.0, 351.0, 1999.0, 640.25)


class Listener:
    """A gateway's Bluetooth, and what was notified."""

    def __init__(self) -> None:
        self.air = Air()
        self.strap = BumbleStrap(self.air, STRAP, itertools.cycle(RR_MS), begin_s=0.0)
        self.told: list[HeartRateMeasurement] = []

    async def listen(self) -> BleakClient:
        await self.strap.start()
        self.central: Central = await open_central(self.air, bonds=None)
        client = BleakClient(STRAP, backend=self.central.client_backend)
        await client.connect()
        await client.start_notify(uuids.HEART_RATE_MEASUREMENT, self._on_packet)
        return client

    def _on_packet(self, _: object, packet: bytearray) -> None:
        self.told.append(heart_rate.decode(bytes(packet)))

    @property
    def rr_ticks(self) -> list[int]:
        return [ticks for packet in self.told for ticks in packet.rr_ticks or ()]


@in_virtual_time
async def test_what_it_says_is_what_the_heart_did() -> None:
    listener = Listener()
    client = await listener.listen()
    await asyncio.sleep(300.5)
    carried = listener.strap.carried
    assert listener.rr_ticks == [beat.rr_ticks for beat in carried]
    assert len(carried) > 300
    of_a_round = len(RR_MS) * (len(carried) // len(RR_MS) - 2)
    told_ms = sum(listener.rr_ticks[:of_a_round]) * 1000 / 1024
    assert abs(told_ms - sum(RR_MS) * of_a_round / len(RR_MS)) < 2
    assert {packet.contact for packet in listener.told} == {True}
    assert bytes(await client.read_gatt_char(uuids.BODY_SENSOR_LOCATION)) == b"\x02"
    energy_kj = [packet.energy_kj or 0 for packet in listener.told]
    assert energy_kj[-1] > 0
    assert energy_kj == sorted(energy_kj)


@in_virtual_time
async def test_it_says_nothing_while_it_is_silent_and_what_it_did_not_say_is_lost() -> None:
    listener = Listener()
    await listener.listen()
    await asyncio.sleep(30)
    listener.strap.is_silent = True
    await asyncio.sleep(1)
    before = len(listener.told)
    await asyncio.sleep(60)
    assert len(listener.told) == before
    listener.strap.is_silent = False
    await asyncio.sleep(30.5)
    assert len(listener.told) - before in (30, 31)
    assert listener.rr_ticks == [beat.rr_ticks for beat in listener.strap.carried]
