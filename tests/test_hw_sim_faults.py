import asyncio
from collections import Counter

import pytest
from bleak import BleakClient
from bumble_peripheral import NOTIFIED, Peripheral, in_virtual_time

from hw_sim import clock
from hw_sim.faults import LinkFaults, drop_links
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central

SENSOR, OTHER = "F0:00:00:00:00:01", "F0:00:00:00:00:02"
DAY_S = 86_400


class RecordingAir(Air):
    def __init__(self) -> None:
        super().__init__()
        self.moves: list[tuple[float, str, bool]] = []

    def set_reachable(self, address: str, reachable: bool) -> int:
        self.moves.append((asyncio.get_running_loop().time(), address, reachable))
        return super().set_reachable(address, reachable)


def a_day_of_moves(faults: LinkFaults, *addresses: str) -> tuple[list[tuple[float, str, bool]], Counter[str]]:
    async def a_day() -> tuple[list[tuple[float, str, bool]], Counter[str]]:
        air, drops = RecordingAir(), Counter[str]()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(DAY_S):
                await drop_links(air, addresses, faults, drops)
        return air.moves, drops

    return clock.run(a_day())


def test_a_seed_replays_and_another_does_not() -> None:
    moves = a_day_of_moves(LinkFaults(1, 600, 60), SENSOR, OTHER)
    assert a_day_of_moves(LinkFaults(1, 600, 60), SENSOR, OTHER) == moves
    assert a_day_of_moves(LinkFaults(2, 600, 60), SENSOR, OTHER) != moves


def test_another_sensor_changes_nothing_for_the_first() -> None:
    alone, _ = a_day_of_moves(LinkFaults(1, 600, 60), SENSOR)
    together, _ = a_day_of_moves(LinkFaults(1, 600, 60), SENSOR, OTHER)
    assert [move for move in together if move[1] == SENSOR] == alone


def test_times_have_the_means_asked_for_and_drops_are_counted() -> None:
    moves, drops = a_day_of_moves(LinkFaults(3, 100, 20), SENSOR)
    times = [0.0, *(time for time, _, _ in moves)]
    up_s = [b - a for a, b in zip(times[0:-1:2], times[1::2], strict=False)]
    down_s = [b - a for a, b in zip(times[1:-1:2], times[2::2], strict=False)]
    # The mean of n exponential times is within four standard errors of the true one.
    assert sum(up_s) / len(up_s) == pytest.approx(100, rel=4 / len(up_s) ** 0.5)
    assert sum(down_s) / len(down_s) == pytest.approx(20, rel=4 / len(down_s) ** 0.5)
    assert drops == {SENSOR: sum(not reachable for _, _, reachable in moves)}
    assert drops[SENSOR] > 500
    assert moves[-1] == (DAY_S, SENSOR, True)


@in_virtual_time
async def test_a_client_that_reconnects_outlives_the_faults() -> None:
    air, drops = Air(), Counter[str]()
    sensor = await Peripheral(air, SENSOR).start()
    central = await open_central(air, bonds=None)
    values: list[bytearray] = []
    lost = asyncio.Event()
    client = BleakClient(SENSOR, lambda _: lost.set(), backend=central.client_backend, timeout=1000)
    async with asyncio.TaskGroup() as tasks:
        faults = tasks.create_task(drop_links(air, [SENSOR], LinkFaults(7, 60, 20), drops))
        for n in range(20):
            lost.clear()
            await client.connect()
            await client.start_notify(NOTIFIED, lambda _, value: values.append(value))
            await sensor.device.notify_subscribers(sensor.notified, bytes([n]))
            await lost.wait()
        faults.cancel()
    assert values == [bytes([n]) for n in range(20)]
    assert drops[SENSOR] >= 20
    assert len(sensor.disconnect_reasons) == 20
