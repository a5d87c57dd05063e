"""Sensors on dongles, which are simulated controllers: links that fade, sensors out of reach, dongles that fail."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from bleak import BleakClient, BleakScanner
from bumble import hci
from bumble.controller import Controller
from bumble.core import AdvertisingData
from bumble.device import Device, DeviceConfiguration
from bumble.link import LocalLink
from bumble_peripheral import in_virtual_time

from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.radio.dongle import ANSWER_S, Dongle, DongleAir, DongleLost
from hw_sim.radio.host import device_on
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import heart_rate, uuids

STRAP, CGM = "F0:00:00:00:00:01", "F0:00:00:00:00:02"
LINK_LOST = 0x08  # Core Specification, Vol 1, Part F, 2.8: Connection Timeout


class Room:
    """Sensors that have a dongle each, and a gateway's Bluetooth."""

    def __init__(self, refusal: Callable[[], Exception | None] = lambda: None) -> None:
        self.air = Air()
        self.controllers = [self.air.controller(f"dongle {n}") for n in range(2)]
        self.dongles = DongleAir(
            Dongle(f"dongle {n}", one, one, refusal) for n, one in enumerate(self.controllers)
        )
        self.strap = HeartRateStrap(self.dongles, STRAP, itertools.repeat(800.0), begin_s=0.0)
        self.cgm = CgmSensor(
            self.dongles, CGM, ((300.0 * n, 100.0) for n in range(100)), begin_s=0.0, session_age_s=0.0
        )
        self.rr_ticks: list[int] = []
        self.ended: list[tuple[float, int]] = []

    async def open(self) -> Central:
        self.strap.device.on(Device.EVENT_CONNECTION, self._on_connection)
        await self.strap.start()
        await self.cgm.start()
        return await open_central(self.air, bonds=None)

    def _on_connection(self, link: object) -> None:
        link.on("disconnection", lambda reason: self.ended.append((now_s(), reason)))  # type: ignore[attr-defined]

    async def listen(self, central: Central) -> BleakClient:
        client = BleakClient(STRAP, backend=central.client_backend)
        await client.connect()
        await client.start_notify(
            uuids.HEART_RATE_MEASUREMENT,
            lambda _, data: self.rr_ticks.extend(heart_rate.decode(bytes(data)).rr_ticks or ()),
        )
        return client


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def heard(central: Central, for_s: float = 2.0) -> set[str]:
    return set(await BleakScanner.discover(for_s, return_adv=True, backend=central.scanner_backend))


@in_virtual_time
async def test_what_a_sensor_sends_arrives_whichever_dongle_it_has() -> None:
    room = Room()
    central = await room.open()
    assert await heard(central) == {STRAP, CGM}
    assert not room.dongles.carries(STRAP)
    await room.listen(central)
    await asyncio.sleep(60)
    assert room.dongles.carries(STRAP)
    assert not room.dongles.carries(CGM)
    # What was sent in the last moment may be on its way.
    assert room.rr_ticks[:70] == [beat.rr_ticks for beat in room.strap.carried][:70]


@in_virtual_time
async def test_a_link_that_fades_times_out_at_both_ends_and_is_made_anew() -> None:
    room = Room()
    central = await room.open()
    client = await room.listen(central)
    await asyncio.sleep(10)
    faded_s = now_s()
    assert room.dongles.lose_link(STRAP) == 1
    await room.dongles.settled()
    assert client.is_connected, "the other end cannot know yet"
    await asyncio.sleep(2)
    assert not client.is_connected
    assert [reason for _, reason in room.ended] == [LINK_LOST]
    assert room.ended[0][0] - faded_s < 1
    before = len(room.rr_ticks)
    await room.listen(central)
    await asyncio.sleep(10)
    assert len(room.rr_ticks) >= before + 10


@in_virtual_time
async def test_a_bond_outlives_a_link_that_fades() -> None:
    room = Room()
    central = await room.open()
    client = BleakClient(CGM, backend=central.client_backend, pair=True)
    await client.connect()
    feature = await client.read_gatt_char(uuids.CGM_FEATURE)
    room.dongles.lose_link(CGM)
    await asyncio.sleep(2)
    again = BleakClient(CGM, backend=central.client_backend)
    await again.connect()
    assert await again.read_gatt_char(uuids.CGM_FEATURE) == feature
    (link,) = room.cgm.device.connections.values()
    assert link.is_encrypted


@in_virtual_time
async def test_out_of_reach_nothing_of_a_sensor_is_heard_though_its_host_advertises() -> None:
    room = Room()
    central = await room.open()
    client = await room.listen(central)
    assert room.dongles.set_reachable(STRAP, False) == 1
    await asyncio.sleep(5)
    assert not client.is_connected
    assert not room.dongles.carries(STRAP)
    assert await heard(central) == {CGM}
    await room.strap.device.start_advertising(auto_restart=True)  # as a sensor does again and again
    assert await heard(central) == {CGM}
    assert room.dongles.set_reachable(STRAP, True) == 0
    await room.dongles.settled()
    assert await heard(central) == {STRAP, CGM}
    await room.listen(central)


@in_virtual_time
async def test_a_sensor_that_is_told_twice_to_go_out_of_reach_comes_back_when_it_is_told_once() -> None:
    room = Room()
    central = await room.open()
    room.dongles.set_reachable(STRAP, False)
    room.dongles.set_reachable(STRAP, False)
    room.dongles.lose_link(STRAP)
    room.dongles.set_reachable(STRAP, True)
    await room.dongles.settled()
    assert await heard(central) == {STRAP, CGM}


@in_virtual_time
async def test_a_sensor_that_is_switched_off_is_heard_no_more() -> None:
    room = Room()
    central = await room.open()
    client = await room.listen(central)
    await room.strap.stop()
    await asyncio.sleep(2)
    assert not client.is_connected
    assert await heard(central) == {CGM}


@in_virtual_time
async def test_nothing_is_sent_by_who_may_not_any_more() -> None:
    refusals: list[Exception] = []
    room = Room(lambda: refusals[0] if refusals else None)
    central = await room.open()
    await room.listen(central)
    await asyncio.sleep(5)
    refusals.append(PermissionError("another process has it"))
    await asyncio.sleep(2)
    before = len(room.rr_ticks)
    await asyncio.sleep(10)
    assert len(room.rr_ticks) == before
    with pytest.raises(PermissionError):
        await room.dongles.dongles[0].failed


@in_virtual_time
async def test_a_controller_that_does_not_answer_has_failed() -> None:
    room = Room()
    await room.open()
    room.controllers[0].on_packet = lambda packet: None  # type: ignore[method-assign]
    begin_s = now_s()
    room.dongles.lose_link(STRAP)
    with pytest.raises(DongleLost, match="dongle 0 does not answer"):
        await room.dongles.dongles[0].failed
    assert now_s() - begin_s == pytest.approx(ANSWER_S)


@in_virtual_time
async def test_a_controller_that_is_gone_has_failed_and_its_host_knows() -> None:
    room = Room()
    central = await room.open()
    await room.listen(central)
    room.dongles.dongles[0].on_lost()
    with pytest.raises(DongleLost, match="dongle 0 is gone"):
        await room.dongles.dongles[0].failed
    assert room.strap.device.connections == {}


@in_virtual_time
async def test_nobody_is_lost_whom_no_dongle_plays() -> None:
    room = Room()
    await room.open()
    with pytest.raises(ValueError, match="no dongle is F0:00:00:00:00:09"):
        room.dongles.lose_link("F0:00:00:00:00:09")


class Forgetful(Controller):
    """Bumble's own controller, which has extended advertising; a reset makes it forget that, as it should."""

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        for one in self.advertising_sets.values():
            one.enabled = False
        self.advertising_sets.clear()
        return super().on_hci_reset_command(command)


@in_virtual_time
async def test_a_controller_with_extended_advertising_is_told_all_of_it_anew() -> None:
    controller = Forgetful("five", link=LocalLink())  # type: ignore[no-untyped-call]
    dongle = Dongle("five", controller, controller)
    config = DeviceConfiguration(name="x", address=hci.Address(STRAP))
    device = device_on(dongle, dongle, config)
    await device.power_on()
    name = bytes(AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, b"x")]))
    await device.start_advertising(auto_restart=True, advertising_data=name)

    def told() -> list[tuple[bool, bytes, str]]:
        sets = controller.advertising_sets.values()
        return [(one.enabled, bytes(one.data), str(one.random_address)) for one in sets]

    before = told()
    assert before[0][0]
    await dongle.set_reachable(False)
    assert [enabled for enabled, *_ in told()] == [False]
    await dongle.set_reachable(True)
    assert told() == before
