"""The sensors of a home behind the direct radio: they tell what they measured, to who listens, and know it."""

import asyncio

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from hw_sim.clock import run
from hw_sim.direct_home import DirectAir, DirectHome
from hw_sim.radio.direct_radio import ANSWER_S, backends
from hw_sim.radio.direct_stack import DirectStack
from protocols import cgm, heart_rate, uuids
from protocols.crc import Crc

CGM, STRAP = "F0:00:00:00:00:01", "F0:00:00:00:00:02"
HOUR_S = 3600.0


class Home:
    """Somebody who wears both, and a client of theirs."""

    def __init__(self) -> None:
        self.stack = DirectStack()
        self.air = DirectAir(self.stack)
        sensors = [("cgm", CGM), ("heart_rate", STRAP)]
        self.home = DirectHome(self.stack, sensors, begin_s=0.0, duration_s=6 * HOUR_S, seed=3)
        self.heard: list[bytes] = []

    async def listen(self, address: str, characteristic: str) -> BleakClient:
        await self.home.start()
        client = BleakClient(address, backend=backends(self.stack).client)
        await client.connect()
        await client.start_notify(characteristic, lambda _, payload: self.heard.append(bytes(payload)))
        return client


def test_a_strap_tells_each_beat_once_and_knows_which_arrived() -> None:
    async def scenario() -> None:
        home = Home()
        await home.listen(STRAP, uuids.HEART_RATE_MEASUREMENT)
        await asyncio.sleep(600.0)
        (strap,) = home.home.straps
        ticks = [tick for packet in home.heard for tick in heart_rate.decode(packet).rr_ticks or ()]
        assert ticks == [beat.rr_ticks for beat in strap.carried]
        assert sum(ticks) / 1024 == pytest.approx(600.0, abs=5.0)
        assert [bpm for _, bpm in strap.told] == [heart_rate.decode(one).heart_rate_bpm for one in home.heard]

    run(scenario())


def test_what_a_strap_measures_out_of_reach_is_lost() -> None:
    async def scenario() -> None:
        home = Home()
        await home.listen(STRAP, uuids.HEART_RATE_MEASUREMENT)
        await asyncio.sleep(60.0)
        home.air.set_reachable(STRAP, False)
        await asyncio.sleep(2 * HOUR_S)
        home.air.set_reachable(STRAP, True)
        (strap,) = home.home.straps
        before = len(strap.carried)
        await home.listen(STRAP, uuids.HEART_RATE_MEASUREMENT)
        await asyncio.sleep(60.0)
        later = strap.carried[before:]
        assert 2 * HOUR_S + 58.0 < later[0].beat_s < later[-1].beat_s <= 2 * HOUR_S + 120.0
        assert sum(beat.rr_ticks for beat in later) / 1024 == pytest.approx(60.0, abs=3.0)

    run(scenario())


def test_a_strap_that_is_taken_off_says_so() -> None:
    async def scenario() -> None:
        home = Home()
        await asyncio.sleep(7 * HOUR_S)
        await home.listen(STRAP, uuids.HEART_RATE_MEASUREMENT)
        await asyncio.sleep(10.0)
        packets = [heart_rate.decode(packet) for packet in home.heard]
        assert {(one.heart_rate_bpm, one.contact, one.rr_ticks) for one in packets} == {(0, False, None)}

    run(scenario())


def test_a_cgm_tells_and_stores_what_it_measures() -> None:
    async def scenario() -> None:
        home = Home()
        await home.listen(CGM, uuids.CGM_MEASUREMENT)
        await asyncio.sleep(HOUR_S)
        (sensor,) = home.home.cgms
        told = [cgm.decode_measurements(packet, crc=Crc.MCRF4XX) for packet in home.heard]
        offsets = [record.time_offset_min for records, _ in told for record in records]
        assert offsets == [60 + 5 * k for k in range(13)]
        assert [one.record for one in sensor.measured] == sensor.held
        assert len(sensor.told) == len(offsets)
        sensor.is_silent = True
        await asyncio.sleep(HOUR_S)
        assert len(home.heard) == len(offsets)
        assert len(sensor.held) == 25

    run(scenario())


def test_what_moves_is_told_as_it_was_measured() -> None:
    async def scenario() -> None:
        home = Home()
        (sensor,) = home.home.cgms
        sensor.moved_by = lambda _: 150.37
        await home.listen(CGM, uuids.CGM_MEASUREMENT)
        await asyncio.sleep(HOUR_S)
        told = [cgm.decode_measurements(packet, crc=Crc.MCRF4XX)[0][0] for packet in home.heard]
        assert [one.glucose_mg_dl for one in told] == [one.record.glucose_mg_dl for one in sensor.measured]
        assert all(isinstance(one.record.glucose_mg_dl, float) for one in sensor.measured)
        assert min(float(one.glucose_mg_dl) for one in told) > 204.7

    run(scenario())


def test_an_answer_that_is_lost_is_waited_for_in_vain() -> None:
    async def scenario() -> None:
        home = Home()
        client = await home.listen(CGM, uuids.CGM_MEASUREMENT)
        (sensor,) = home.home.cgms
        sensor.loses_answer = True
        with pytest.raises(BleakError):
            await client.read_gatt_char(uuids.BATTERY_LEVEL)
        assert asyncio.get_running_loop().time() == ANSWER_S
        assert not sensor.loses_answer
        assert await client.read_gatt_char(uuids.BATTERY_LEVEL)

    run(scenario())


def test_no_other_sensor_is_behind_the_direct_radio() -> None:
    with pytest.raises(ValueError, match="polar"):
        DirectHome(DirectStack(), [("polar", CGM)], begin_s=0.0, duration_s=1.0, seed=0)
