"""The direct radio through bleak's public interface: what passes, what a cut takes, what outlives a killed process."""

import asyncio

import pytest
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.exc import BleakError

from hw_sim.clock import run
from hw_sim.direct_radio import Backends, backends
from hw_sim.direct_stack import ADVERTISE_S, ATTEMPT_S, DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from protocols import uuids

ONE, TWO = "F0:00:00:00:00:01", "F0:00:00:00:00:02"
BEAT = bytes([0, 60])


class World:
    """A machine with two straps in reach, and a process on it."""

    def __init__(self, **times_s: float) -> None:
        self.stack = DirectStack(**times_s)
        self.straps = {address: DirectStrap(address) for address in (ONE, TWO)}
        self.stack.add(*self.straps.values())
        self.process = backends(self.stack)
        self.heard: list[bytes] = []
        self.lost = 0

    async def find(self, process: Backends | None = None, timeout_s: float = 5.0) -> set[str]:
        found = await BleakScanner.discover(timeout_s, backend=(process or self.process).scanner)
        return {device.address for device in found}

    async def connected(self, process: Backends | None = None) -> set[str]:
        adapter = await BleakAdapter.get(backend=(process or self.process).adapter)
        found = await adapter.get_connected_devices([uuids.HEART_RATE_SERVICE])
        return {device.address for device in found}

    def client(self, address: str, process: Backends | None = None, timeout_s: float = 10.0) -> BleakClient:
        def on_lost(_: BleakClient) -> None:
            self.lost += 1

        return BleakClient(address, on_lost, timeout=timeout_s, backend=(process or self.process).client)

    async def listen(self, address: str, process: Backends | None = None) -> BleakClient:
        client = self.client(address, process)
        await client.connect()
        await client.start_notify(
            uuids.HEART_RATE_MEASUREMENT, lambda _, payload: self.heard.append(bytes(payload))
        )
        return client


def test_a_sensor_is_found_connected_read_and_heard() -> None:
    async def scenario() -> None:
        world = World()
        assert await world.find() == {ONE, TWO}
        client = await world.listen(ONE)
        assert await client.read_gatt_char(uuids.BATTERY_LEVEL) == bytes([90])
        assert world.straps[ONE].send(BEAT)
        assert world.heard == [BEAT]
        assert not world.straps[TWO].send(BEAT)

    run(scenario())


def test_with_no_delays_nothing_is_waited_for() -> None:
    async def scenario() -> None:
        world = World()
        listening = asyncio.ensure_future(world.listen(ONE))
        await asyncio.sleep(0)
        assert listening.done()

    run(scenario())


def test_connecting_and_requests_take_their_time() -> None:
    async def scenario() -> None:
        world = World(connect_s=2.0, request_s=0.5)
        await world.listen(ONE)
        assert asyncio.get_running_loop().time() == 2.5

    run(scenario())


def test_a_connected_sensor_does_not_advertise_and_is_listed() -> None:
    async def scenario() -> None:
        world = World()
        client = await world.listen(ONE)
        assert await world.find() == {TWO}
        assert await world.connected() == {ONE}
        await client.disconnect()
        assert not world.stack.losses[ONE]
        assert await world.find() == {ONE, TWO}
        assert await world.connected() == set()

    run(scenario())


def test_the_adapter_lists_only_what_has_a_service_asked_for() -> None:
    async def scenario() -> None:
        world = World()
        await world.listen(ONE)
        adapter = await BleakAdapter.get(backend=world.process.adapter)
        assert await adapter.get_connected_devices([uuids.CGM_SERVICE]) == []

    run(scenario())


def test_a_running_scan_hears_who_comes_into_reach() -> None:
    async def scenario() -> None:
        world = World()
        world.stack.lose(TWO)
        asyncio.get_running_loop().call_later(2.5, world.stack.regain, TWO)
        assert await world.find(timeout_s=2.0) == {ONE}
        assert await world.find(timeout_s=1.0 + ADVERTISE_S) == {ONE, TWO}

    run(scenario())


def test_a_lost_link_is_told_once_and_nothing_is_heard_after() -> None:
    async def scenario() -> None:
        world = World()
        client = await world.listen(ONE)
        world.stack.cut(ONE)
        assert (world.lost, client.is_connected) == (1, False)
        assert not world.straps[ONE].send(BEAT)
        with pytest.raises(BleakError):
            await client.read_gatt_char(uuids.BATTERY_LEVEL)
        await world.listen(ONE)
        assert world.straps[ONE].send(BEAT)
        assert (world.heard, world.lost) == ([BEAT], 1)
        world.stack.cut_after(ONE, 1)
        assert not world.straps[ONE].send(BEAT)
        assert world.stack.losses == {ONE: 2}

    run(scenario())


# Connecting itself is no packet here; subscribing, and each read, is a request and its answer.
@pytest.mark.parametrize(
    ("packets", "read", "sent"), [(1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (5, 1, 0), (6, 1, 1)]
)
def test_a_link_is_cut_at_any_packet(packets: int, read: int, sent: int) -> None:
    async def scenario() -> tuple[int, int]:
        world = World()
        world.stack.cut_after(ONE, packets)
        done = 0
        try:
            client = await world.listen(ONE)
            await client.read_gatt_char(uuids.BATTERY_LEVEL)
            done = 1
        except BleakError:
            return done, len(world.heard)
        for _ in range(3):
            world.straps[ONE].send(BEAT)
        assert world.lost == 1
        return done, len(world.heard)

    assert run(scenario()) == (read, sent)


def test_a_sensor_out_of_reach_costs_the_time_limit_and_leaves_the_stack_usable() -> None:
    async def scenario() -> None:
        world = World(connect_s=0.1)
        world.stack.lose(ONE)
        with pytest.raises(TimeoutError):
            await world.client(ONE, timeout_s=4.0).connect()
        assert asyncio.get_running_loop().time() == 4.0
        world.stack.regain(ONE)
        await world.listen(ONE)
        assert world.stack.links.keys() == {ONE}

    run(scenario())


def test_a_second_attempt_at_a_time_is_refused() -> None:
    async def scenario() -> None:
        world = World(connect_s=1.0)
        first = asyncio.ensure_future(world.listen(ONE))
        await asyncio.sleep(0)
        with pytest.raises(BleakError, match="InProgress"):
            await world.client(TWO).connect()
        await first
        await world.listen(TWO)

    run(scenario())


def test_what_connects_while_somebody_scans_is_counted() -> None:
    async def scenario() -> None:
        world = World()
        async with BleakScanner(backend=world.process.scanner):
            await world.listen(ONE)
        await world.listen(TWO)
        assert world.stack.connects_while_scanning == 1

    run(scenario())


def test_the_stack_outlives_a_killed_process() -> None:
    async def scenario() -> None:
        world = World()
        dead = await world.listen(ONE)
        scanner = BleakScanner(backend=world.process.scanner)
        await scanner.start()
        world.stack.abandon_clients()
        assert not world.straps[ONE].send(BEAT)
        assert (world.heard, dead.is_connected) == ([], False)
        with pytest.raises(BleakError):
            await dead.read_gatt_char(uuids.BATTERY_LEVEL)
        with pytest.raises(BleakError):
            await world.client(TWO).connect()
        await dead.disconnect()
        after = backends(world.stack)
        assert await world.connected(after) == {ONE}
        assert await world.find(after) == {TWO}
        heard_before = {device.address for device in scanner.discovered_devices}
        assert heard_before == {TWO}
        await world.listen(ONE, after)
        assert world.straps[ONE].send(BEAT)
        assert (world.heard, world.lost) == ([BEAT], 0)
        assert world.stack.connects == {ONE: 1}

    run(scenario())


def test_an_attempt_under_way_outlives_a_killed_process() -> None:
    async def scenario() -> None:
        world = World(connect_s=2.0)
        attempt = asyncio.ensure_future(world.listen(ONE))
        await asyncio.sleep(1.0)
        world.stack.abandon_clients()
        attempt.cancel()
        await asyncio.sleep(2.0)
        assert world.stack.links.keys() == {ONE}
        assert await world.connected(backends(world.stack)) == {ONE}

    run(scenario())


def test_an_attempt_that_a_living_process_gives_up_is_called_off() -> None:
    async def scenario() -> None:
        world = World(connect_s=2.0)
        attempt = asyncio.ensure_future(world.listen(ONE))
        await asyncio.sleep(1.0)
        attempt.cancel()
        await asyncio.sleep(ATTEMPT_S)
        assert world.stack.links == {}

    run(scenario())


def test_disconnecting_may_hang_and_then_two_clients_hear_one_link() -> None:
    async def scenario() -> None:
        world = World()
        first = await world.listen(ONE)
        world.stack.hangs_on_disconnect.add(ONE)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await first.disconnect()
        await world.listen(ONE)
        world.straps[ONE].send(BEAT)
        assert world.heard == [BEAT, BEAT]

    run(scenario())
