"""The strap through the public bleak API: what it sends is the source's beats, to the tick, without drift."""

import asyncio
import itertools
import random

import numpy as np
import pytest
from bleak import BleakClient

from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import battery, device_information, heart_rate, uuids

ADDRESS = "F0:00:00:00:00:01"


async def world(beats, begin_s=5.0):
    air = Air()
    strap = HeartRateStrap(air, ADDRESS, iter(beats), begin_s=begin_s)
    await strap.start()
    central = await open_central(air, bonds=None)
    return air, strap, central


async def listen(client, packets):
    loop = asyncio.get_running_loop()

    def on_packet(_, payload):
        packets.append((loop.time(), heart_rate.decode(bytes(payload))))

    await client.start_notify(uuids.HEART_RATE_MEASUREMENT, on_packet)


def record(beats, seconds, begin_s=5.0, mtu=None):
    async def main():
        _, strap, central = await world(beats, begin_s)
        if mtu is not None:
            strap.device.gatt_server.max_mtu = mtu
        packets = []
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            await listen(client, packets)
            await asyncio.sleep(seconds)
        return packets, strap

    return run(main())


def ticks_of(packets):
    return [tick for _, reading in packets for tick in reading.rr_ticks or ()]


def test_every_interval_arrives_once_in_order_and_nothing_drifts():
    source = random.Random(1)
    rr_ms = [source.uniform(300, 1500) for _ in range(3000)]
    packets, strap = record(rr_ms, 3000)
    ticks = np.array(ticks_of(packets))
    assert len(ticks) == 3000 == strap.rr_sent
    assert strap.rr_lost == 0
    true_ticks = np.array(rr_ms) * 1.024
    assert np.abs(ticks - true_ticks).max() <= 1
    assert np.abs(np.cumsum(ticks) - np.cumsum(true_ticks)).max() <= 0.5 + 1e-6


def test_a_beat_is_in_the_packet_after_it_and_packets_come_once_a_second():
    packets, _ = record([700.0] * 200, 100)
    assert {round(b - a, 6) for (a, _), (b, _) in itertools.pairwise(packets)} == {1.0}
    beat_s = 5.0
    for now_s, reading in packets:
        for tick in reading.rr_ticks or ():
            beat_s += tick / 1024
            assert now_s - 1.01 < beat_s <= now_s + 0.01


def test_before_it_is_worn_and_after_the_beats_end_it_reports_no_contact():
    packets, _ = record([800.0] * 50, 70, begin_s=20.0)
    for now_s, reading in packets:
        worn = 20 <= now_s < 61
        assert reading.contact is worn
        assert worn or (reading.heart_rate_bpm, reading.rr_ticks) == (0, None)
    assert len(ticks_of(packets)) == 50


def test_heart_rate_is_the_average_of_recent_beats():
    packets, _ = record([1000.0] * 30 + [500.0] * 60, 60)
    shown = [reading.heart_rate_bpm for _, reading in packets if reading.heart_rate_bpm]
    assert shown[0] == 60
    assert shown[-1] == 120
    assert shown == sorted(shown)


@pytest.mark.parametrize(("mtu", "most"), [(23, 9), (517, 200)])
def test_what_does_not_fit_into_a_packet_comes_with_the_next(mtu, most):
    """200 beats of 20 ms ended within 4 s: at the smallest MTU nine fit, and none is lost."""
    packets, _ = record([20.0] * 200, 60, mtu=mtu)
    sizes = [len(reading.rr_ticks or ()) for _, reading in packets]
    assert sum(sizes) == 200
    assert max(sizes) <= most
    assert (max(sizes) == 9) is (mtu == 23)


def test_intervals_nobody_is_subscribed_for_are_lost():
    async def main():
        _, strap, central = await world([800.0] * 1000, 0.0)
        await asyncio.sleep(60)
        first, second = [], []
        for packets in (first, second):
            async with BleakClient(ADDRESS, backend=central.client_backend) as client:
                await listen(client, packets)
                await asyncio.sleep(30)
            await asyncio.sleep(20)
        await asyncio.sleep(800)
        return strap, ticks_of(first), ticks_of(second)

    strap, first, second = run(main())
    assert len(first) == pytest.approx(37, abs=2)
    assert len(second) == pytest.approx(37, abs=2)
    assert strap.rr_sent == len(first) + len(second)
    assert strap.rr_sent + strap.rr_lost == 1000


def test_after_a_lost_link_it_advertises_again():
    async def main():
        air, strap, central = await world([800.0] * 1000, 0.0)
        lost = asyncio.Event()
        client = BleakClient(
            ADDRESS, backend=central.client_backend, disconnected_callback=lambda _: lost.set()
        )
        packets = []
        await client.connect()
        await listen(client, packets)
        await asyncio.sleep(10)
        air.lose_link(ADDRESS)
        await asyncio.wait_for(lost.wait(), 30)
        again = []
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            await listen(client, again)
            await asyncio.sleep(10)
        return strap, packets, again

    strap, before, after = run(main())
    assert len(ticks_of(before)) >= 10
    assert len(ticks_of(after)) >= 10
    assert len(ticks_of(before)) + len(ticks_of(after)) < strap.rr_sent  # what faded with the link


def test_it_says_where_it_is_worn_who_made_it_and_how_full_its_battery_is():
    async def main():
        _, _, central = await world([800.0])
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            return [
                bytes(await client.read_gatt_char(uuid))
                for uuid in (
                    uuids.BODY_SENSOR_LOCATION,
                    uuids.BATTERY_LEVEL,
                    uuids.MANUFACTURER_NAME,
                    uuids.SERIAL_NUMBER,
                )
            ]

    location, level, maker, serial = run(main())
    assert heart_rate.decode_location(location) is heart_rate.BodySensorLocation.CHEST
    assert battery.decode_level(level) == 100
    assert "simulated" in device_information.decode_string(maker)
    assert device_information.decode_string(serial) == "F00000000001"


def test_what_the_radio_carried_is_known_and_what_was_lost_on_the_way_is_not_in_it():
    async def main():
        air, strap, central = await world([800.0] * 200)
        packets = []
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            await listen(client, packets)
            await asyncio.sleep(20.0)
            assert air.carries(ADDRESS)
            air.set_reachable(ADDRESS, False)
            assert not air.carries(ADDRESS)
            await asyncio.sleep(0.6)  # the strap does not know yet
            await asyncio.sleep(20.0)
        return packets, strap

    packets, strap = run(main())
    assert [beat.rr_ticks for beat in strap.carried] == ticks_of(packets)
    assert [beat.beat_s for beat in strap.carried] == pytest.approx(
        [5.0 + 0.8 * n for n in range(1, len(strap.carried) + 1)]
    )
    assert all(0.0 <= beat.sent_s - beat.beat_s <= 1.0 for beat in strap.carried)
    assert len(strap.carried) < strap.rr_sent


def test_a_silent_strap_sends_nothing_and_then_does_again():
    async def main():
        _, strap, central = await world([800.0] * 200)
        packets = []
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            await listen(client, packets)
            for seconds in (10.0, 10.0, 10.0):
                before = len(packets)
                await asyncio.sleep(seconds)
                yielded.append(len(packets) - before)
                strap.is_silent = not strap.is_silent
        return client

    yielded = []
    run(main())
    assert [count > 5 for count in yielded] == [True, False, True]
    assert yielded[1] <= 1


def test_a_babbling_strap_sends_what_it_is_told():
    async def main():
        _, strap, central = await world([800.0] * 200)
        heard = []
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            await client.start_notify(uuids.HEART_RATE_MEASUREMENT, lambda _, data: heard.append(bytes(data)))
            strap.babble(b"\x11\x00")
            await asyncio.sleep(0.5)
        return heard

    assert b"\x11\x00" in run(main())
