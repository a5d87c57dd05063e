import asyncio
import gc
import random
from pathlib import Path

import pytest
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakError
from bumble import hci
from bumble.transport.common import TransportLostError
from bumble_peripheral import NOTIFIED, SECRET, VALUE, Peripheral, in_virtual_time

from hw_sim.radio import central as central_module
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, RemoteCentral, open_remote_central
from hw_sim.radio.hci_server import serve

SENSOR, OTHER = "F0:00:00:00:00:01", "F0:00:00:00:00:02"
HOST = "127.0.0.1"
LINK_LOST = 0x08


async def room(*, power_loss: bool = False) -> tuple[asyncio.Server, int, Peripheral]:
    air = Air()
    sensor = await Peripheral(air, SENSOR).start()
    server = await serve(air, HOST, 0, power_loss=power_loss)
    return server, server.sockets[0].getsockname()[1], sensor


async def power_cut(central: Central) -> None:
    """What a kill -9 does to the gateway's socket."""
    sink = central.device.host.hci_sink
    assert sink is not None
    sink.transport.abort()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)


@in_virtual_time
async def test_a_remote_central_works_like_a_local_one(tmp_path: Path) -> None:
    server, port, sensor = await room()
    values: list[bytearray] = []
    async with server:
        central = await open_remote_central(HOST, port, bonds=tmp_path / "bonds.json")
        async with BleakClient(SENSOR, pair=True, backend=central.client_backend) as client:
            assert await client.read_gatt_char(SECRET) == b"secret"
            await client.start_notify(NOTIFIED, lambda _, value: values.append(value))
            await sensor.device.notify_subscribers(sensor.notified, b"1")
            assert await client.read_gatt_char(VALUE) == b"value"
        await central.close()
    assert values == [b"1"]


@in_virtual_time
async def test_the_links_of_a_killed_client_last_until_the_next_resets_its_adapter(tmp_path: Path) -> None:
    server, port, sensor = await room()
    bonds = tmp_path / "bonds.json"
    async with server:
        central = await open_remote_central(HOST, port, bonds=bonds)
        client = BleakClient(SENSOR, pair=True, backend=central.client_backend)
        await client.connect()
        await power_cut(central)
        assert not client.is_connected
        await asyncio.sleep(600)
        assert sensor.disconnect_reasons == []
        reset_s = asyncio.get_running_loop().time()
        successor = await open_remote_central(HOST, port, bonds=bonds)
        async with BleakClient(SENSOR, backend=successor.client_backend) as client:
            assert [reason for _, reason in sensor.disconnect_reasons] == [LINK_LOST]
            assert sensor.disconnect_reasons[0][0] > reset_s
            assert sensor.connections[-1].is_encrypted
            assert await client.read_gatt_char(SECRET) == b"secret"
        await successor.close()
    assert sensor.connections[0].peer_address == sensor.connections[1].peer_address


@in_virtual_time
async def test_a_client_that_loses_power_is_lost_to_its_sensors_and_comes_back_as_itself() -> None:
    server, port, sensor = await room(power_loss=True)
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        await BleakClient(SENSOR, backend=central.client_backend).connect()
        await power_cut(central)
        assert sensor.disconnect_reasons == []  # the sensor cannot know yet
        await asyncio.sleep(2)
        assert [reason for _, reason in sensor.disconnect_reasons] == [LINK_LOST]
        successor = await open_remote_central(HOST, port, bonds=None)
        async with BleakClient(SENSOR, backend=successor.client_backend) as client:
            assert await client.read_gatt_char(VALUE) == b"value"
        await successor.close()
    assert sensor.connections[0].peer_address == sensor.connections[1].peer_address


@in_virtual_time
async def test_a_client_killed_while_scanning_and_connecting_leaves_nothing_behind() -> None:
    server, port, sensor = await room()
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        attempt = asyncio.ensure_future(BleakClient(OTHER, backend=central.client_backend).connect())
        await asyncio.sleep(1)
        await power_cut(central)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        successor = await open_remote_central(HOST, port, bonds=None)
        async with BleakClient(SENSOR, backend=successor.client_backend) as client:
            assert await client.read_gatt_char(VALUE) == b"value"
        await successor.close()
    assert len(sensor.connections) == 1


@pytest.mark.parametrize("seed", range(5))
@in_virtual_time
async def test_garbage_does_not_bring_the_world_down(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    server, port, _ = await room()
    garbage = random.Random(seed)
    async with server:
        for _ in range(20):
            _, writer = await asyncio.open_connection(HOST, port)
            # A valid first packet type, so that parsing gets as far as it can.
            writer.write(bytes([garbage.choice([1, 2, 4, 5])]) + garbage.randbytes(garbage.randrange(500)))
            await asyncio.sleep(0.01)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        assert [record for record in caplog.records if record.name == "asyncio"] == []
        central = await open_remote_central(HOST, port, bonds=None)
        async with BleakClient(SENSOR, backend=central.client_backend) as client:
            assert await client.read_gatt_char(VALUE) == b"value"
        await central.close()


@in_virtual_time
async def test_a_cancelled_command_does_not_leave_its_answer_to_the_next() -> None:
    server, port, _ = await room()
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        send = central.device.host.send_sync_command
        command = asyncio.ensure_future(send(hci.HCI_LE_Read_Buffer_Size_Command()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        command.cancel()
        assert isinstance(await send(hci.HCI_LE_Rand_Command()), hci.HCI_LE_Rand_ReturnParameters)
        await central.close()


@in_virtual_time
async def test_two_clients_are_two_centrals() -> None:
    air = Air()
    sensors = [await Peripheral(air, address).start() for address in (SENSOR, OTHER)]
    async with await serve(air, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        centrals = [await open_remote_central(HOST, port, bonds=None) for _ in sensors]
        for sensor, central in zip(sensors, centrals, strict=True):
            async with BleakClient(sensor.address, backend=central.client_backend) as client:
                assert await client.read_gatt_char(VALUE) == b"value"
        for central in centrals:
            await central.close()
    assert sensors[0].connections[0].peer_address != sensors[1].connections[0].peer_address


@in_virtual_time
async def test_a_refused_second_client_does_not_leave_the_sensors_of_the_first_held_for_ever() -> None:
    server, port, sensor = await room()
    async with server:
        first = await open_remote_central(HOST, port, bonds=None)
        await BleakClient(SENSOR, backend=first.client_backend).connect()
        second = await open_remote_central(HOST, port, bonds=None)
        await power_cut(second)
        await power_cut(first)
        successor = await open_remote_central(HOST, port, bonds=None)
        async with BleakClient(SENSOR, backend=successor.client_backend) as client:
            assert await client.read_gatt_char(VALUE) == b"value"
        await successor.close()
    assert sensor.connections[0].peer_address == sensor.connections[1].peer_address


class World:
    """Another process with a sensor, which may be killed and started again on its port."""

    def __init__(self) -> None:
        self.port = 0
        self.sensor: Peripheral
        self._server: asyncio.Server
        self._count = 0

    async def start(self) -> None:
        self._count += 1
        air = Air(self._count)
        self.sensor = await Peripheral(air, SENSOR).start()
        self._server = await serve(air, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self, central: Central) -> None:
        self.close()
        await power_cut(central)

    def close(self) -> None:
        self._server.close()


async def expect_no_bluetooth(central: Central) -> None:
    with pytest.raises(BleakBluetoothNotAvailableError):
        await BleakAdapter.get(backend=central.adapter_backend)
    with pytest.raises(BleakBluetoothNotAvailableError):
        await BleakScanner(backend=central.scanner_backend).start()
    with pytest.raises(BleakError):
        await BleakClient(SENSOR, backend=central.client_backend).connect()


@in_virtual_time
async def test_while_the_other_process_is_gone_there_is_no_bluetooth_and_then_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hw_sim")
    world = World()
    await world.start()
    central = await open_remote_central(HOST, world.port, bonds=tmp_path / "bonds.json")
    staying = asyncio.ensure_future(central.stay_reachable())
    heard: list[str] = []
    scanner = BleakScanner(lambda device, _: heard.append(device.address), backend=central.scanner_backend)
    await scanner.start()
    losses: list[BleakClient] = []
    for _ in range(2):
        async with BleakClient(SENSOR, losses.append, pair=True, backend=central.client_backend) as client:
            assert await client.read_gatt_char(SECRET) == b"secret"
            count = len(losses)
            await world.kill(central)
            assert len(losses) == count + 1
            await expect_no_bluetooth(central)
            with pytest.raises(BleakError):
                await client.read_gatt_char(SECRET)
        await asyncio.sleep(60)
        await world.start()
        heard.clear()
        await asyncio.sleep(10)
        assert heard, "who listened before it was gone, listens again"
    await scanner.stop()
    staying.cancel()
    await central.close()
    world.close()
    await asyncio.sleep(1)
    where = f"{HOST}:{world.port}"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("hw_sim")] == [
        f"the simulated home at {where} is gone; it is tried every 2 s",
        f"the simulated home at {where} is back",
    ] * 2
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@in_virtual_time
async def test_a_client_is_closed_while_the_other_process_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    await world.start()
    central: RemoteCentral = await open_remote_central(HOST, world.port, bonds=None)
    scanner = BleakScanner(backend=central.scanner_backend)
    await scanner.start()
    await world.kill(central)
    async with asyncio.timeout(1.0):
        await central.close()


@in_virtual_time
async def test_a_controller_that_stops_answering_is_an_error_of_bleak() -> None:
    server, port, _ = await room()
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        sink = central.device.host.hci_sink
        assert sink is not None
        sink.on_packet = lambda _: None  # type: ignore[method-assign]
        with pytest.raises(BleakError, match="the controller does not search"):
            await BleakScanner(backend=central.scanner_backend).start()
        await power_cut(central)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 no\r\n", b"\4\x0e\4\1\3\x0c\0" * 3, b"\4\x0e\1\0", b"\2\1"]
)
@pytest.mark.parametrize("hangs_up", [False, True])
@in_virtual_time
async def test_who_does_not_answer_like_a_controller_is_an_os_error_in_time(
    said: bytes, hangs_up: bool, caplog: pytest.LogCaptureFixture
) -> None:
    class Other(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(said)
            if hangs_up:
                asyncio.get_running_loop().call_later(0.1, transport.close)

    async with await asyncio.get_running_loop().create_server(Other, HOST, 0) as server:
        with pytest.raises(OSError, match=r"no answer in 10 s|no Bluetooth controller"):
            await open_remote_central(HOST, server.sockets[0].getsockname()[1], bonds=None)
        assert asyncio.get_running_loop().time() <= central_module.ANSWER_S_MAX + 1
        await asyncio.sleep(0.1)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@in_virtual_time
async def test_a_transport_that_is_lost_fails_every_command_at_once() -> None:
    server, port, _ = await room()
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        send = central.device.host.send_sync_command
        commands = [asyncio.ensure_future(send(hci.HCI_LE_Rand_Command())) for _ in range(3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(1.0):
            await power_cut(central)
            failed = await asyncio.gather(*commands, return_exceptions=True)
    assert [type(error) for error in failed] == [TransportLostError] * 3


@in_virtual_time
async def test_links_end_when_the_transport_is_lost_in_the_moment_of_an_answer() -> None:
    server, port, _ = await room()
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        client = BleakClient(SENSOR, backend=central.client_backend)
        await client.connect()
        answered = asyncio.get_running_loop().create_future()
        answered.set_result(None)
        central.device.host.pending_response = answered
        central.device.host.on_transport_lost()
        assert not client.is_connected
        await power_cut(central)


@in_virtual_time
async def test_a_controller_that_stops_answering_is_hung_up_on_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, port, _ = await room()
    async with server:
        central = await open_remote_central(HOST, port, bonds=None)
        client = BleakClient(SENSOR, backend=central.client_backend)
        await client.connect()
        sink = central.device.host.hci_sink
        assert sink is not None
        sink.on_packet = lambda _: None  # type: ignore[method-assign]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await client.disconnect()
        await asyncio.sleep(60)
        gc.collect()
        await power_cut(central)
    assert [record for record in caplog.records if record.name == "asyncio"] == []
