import asyncio
import functools
import stat
from pathlib import Path

import pytest
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bumble.pairing import PairingConfig, PairingDelegate
from bumble_peripheral import (
    INDICATED,
    LONG,
    NOTIFIED,
    REFUSED,
    SECRET,
    SERVICE,
    SILENT,
    VALUE,
    Peripheral,
    in_virtual_time,
)

from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.radio.stack import ATTEMPT_S

SENSOR = "F0:00:00:00:00:01"
OTHER = "F0:00:00:00:00:02"
SUPERVISION_TIMEOUT_S = 0.72  # what Bumble's central asks for
LINK_LOST = 0x08  # Core Specification, Vol 1, Part F, 2.8: Connection Timeout
HUNG_UP_BY_PEER = 0x13


async def room(bonds: Path | None = None, **kwargs: object) -> tuple[Air, Peripheral, Central]:
    air = Air()
    passkey = kwargs.pop("sensor_passkey", None)
    sensor = await Peripheral(air, SENSOR, passkey=passkey).start()
    return air, sensor, await open_central(air, bonds=bonds, **kwargs)


def client_of(central: Central, address: str = SENSOR, **kwargs: object) -> BleakClient:
    return BleakClient(address, backend=central.client_backend, **kwargs)


async def held_by(central: Central, *services: str) -> list[str]:
    """Addresses of the sensors that the stack says it is connected to."""
    adapter = await BleakAdapter.get(backend=central.adapter_backend)
    return [device.address for device in await adapter.get_connected_devices(list(services) or [SERVICE])]


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_a_scan_sees_what_is_advertised() -> None:
    _, _, central = await room()
    found = await BleakScanner.discover(1, return_adv=True, backend=central.scanner_backend)
    device, advertisement = found[SENSOR]
    assert (device.address, device.name) == (SENSOR, "Throw-away")
    assert advertisement.local_name == "Throw-away"
    assert advertisement.service_uuids == [SERVICE]
    assert not await BleakScanner.discover(1, service_uuids=["180d"], backend=central.scanner_backend)


@in_virtual_time
async def test_advertisements_keep_their_interval_and_stop_out_of_reach() -> None:
    air, _, central = await room()
    times: list[float] = []
    async with BleakScanner(lambda _, __: times.append(now()), backend=central.scanner_backend):
        await asyncio.sleep(1.05)
        air.set_reachable(SENSOR, False)
        heard = len(times)
        await asyncio.sleep(1)
        assert len(times) == heard
        air.set_reachable(SENSOR, True)
        await asyncio.sleep(1)
    assert times[1:heard] == pytest.approx([times[0] + 0.1 * n for n in range(1, heard)])
    assert heard >= 10
    assert len(times) >= heard + 9


@in_virtual_time
async def test_services_reads_and_writes() -> None:
    _, sensor, central = await room()
    async with client_of(central) as client:
        assert client.mtu_size == 517
        value = client.services.get_characteristic(VALUE)
        assert value is not None
        assert value.properties == ["read", "write-without-response", "write"]
        assert value.service_uuid == SERVICE
        assert await client.read_gatt_char(VALUE) == b"value"
        assert await client.read_gatt_char(LONG) == bytes(range(256)) * 2
        await client.write_gatt_char(VALUE, b"with", response=True)
        await client.write_gatt_char(VALUE, b"without", response=False)
        assert await client.read_gatt_char(VALUE) == b"value"
        assert sensor.written == [b"with", b"without"]
        cccd = client.services.get_characteristic(NOTIFIED).get_descriptor("2902")
        assert await client.read_gatt_descriptor(cccd) == b"\x00\x00"
        with pytest.raises(BleakGATTProtocolError) as refusal:
            await client.read_gatt_char(REFUSED)
        assert refusal.value.code == 0x80
        with pytest.raises(BleakError, match="neither notifies nor indicates"):
            await client.start_notify(VALUE, lambda *_: None)


@pytest.mark.parametrize("kind", [NOTIFIED, INDICATED])
@in_virtual_time
async def test_notifications_and_indications(kind: str) -> None:
    _, sensor, central = await room()
    values: list[bytearray] = []

    async def send(value: bytes) -> None:
        await sensor.device.notify_subscribers(sensor.notified, value)
        await sensor.device.indicate_subscribers(sensor.indicated, value)
        await asyncio.sleep(0.1)

    async with client_of(central) as client:
        await send(b"early")
        await client.start_notify(kind, lambda _, value: values.append(value))
        await send(b"1")
        await send(b"2")
        await client.stop_notify(kind)
        await send(b"late")
    assert values == [b"1", b"2"]


@in_virtual_time
async def test_an_absent_device_is_not_found_and_an_unreachable_one_times_out() -> None:
    air, _, central = await room()
    with pytest.raises(BleakDeviceNotFoundError):
        await client_of(central, OTHER, timeout=5).connect()
    assert now() == pytest.approx(5)
    device = await BleakScanner.find_device_by_address(SENSOR, backend=central.scanner_backend)
    air.set_reachable(SENSOR, False)
    client = BleakClient(device, timeout=7, backend=central.client_backend)
    started = now()
    with pytest.raises(TimeoutError):
        await client.connect()
    assert now() - started == pytest.approx(7)
    air.set_reachable(SENSOR, True)
    await client.connect()
    assert client.is_connected


@in_virtual_time
async def test_link_loss_is_seen_by_both_ends_and_aborts_what_is_pending() -> None:
    air, sensor, central = await room()
    calls: list[float] = []
    client = client_of(central, disconnected_callback=lambda _: calls.append(now()))
    await client.connect()
    pending = [asyncio.ensure_future(client.read_gatt_char(c)) for c in (SILENT, VALUE)]
    await asyncio.sleep(1)
    lost_at = now()
    assert air.lose_link(SENSOR) == 1
    assert client.is_connected  # nobody can know yet
    for result in await asyncio.gather(*pending, return_exceptions=True):
        assert isinstance(result, BleakError)
    assert now() == pytest.approx(lost_at + SUPERVISION_TIMEOUT_S)
    assert not client.is_connected
    await asyncio.sleep(10)
    assert calls == [pytest.approx(lost_at + SUPERVISION_TIMEOUT_S)]
    assert sensor.disconnect_reasons == [(pytest.approx(lost_at + SUPERVISION_TIMEOUT_S), LINK_LOST)]
    with pytest.raises(BleakError):
        await client.read_gatt_char(VALUE)
    await client.connect()
    assert await client.read_gatt_char(VALUE) == b"value"


@in_virtual_time
async def test_nothing_passes_over_a_lost_link() -> None:
    air, sensor, central = await room()
    values: list[bytearray] = []
    async with client_of(central) as client:
        await client.start_notify(NOTIFIED, lambda _, value: values.append(value))
        air.lose_link(SENSOR)
        await sensor.device.notify_subscribers(sensor.notified, b"into the void")
        await asyncio.sleep(SUPERVISION_TIMEOUT_S / 2)
        assert values == []


@pytest.mark.parametrize("side", ["sensor", "gateway"])
@in_virtual_time
async def test_hanging_up_is_told_once(side: str) -> None:
    _, sensor, central = await room()
    calls: list[BleakClient] = []
    client = client_of(central, disconnected_callback=calls.append)
    await client.connect()
    if side == "sensor":
        await sensor.connections[0].disconnect()
    else:
        await client.disconnect()
        assert calls == [client]
        assert [reason for _, reason in sensor.disconnect_reasons] in ([], [HUNG_UP_BY_PEER])
    await asyncio.sleep(1)
    assert not client.is_connected
    await client.disconnect()
    assert calls == [client]


@in_virtual_time
async def test_an_unpaired_device_keeps_its_secret_and_just_works_gets_it() -> None:
    _, _, central = await room()
    async with client_of(central) as client:
        with pytest.raises(BleakGATTProtocolError) as refusal:
            await client.read_gatt_char(SECRET)
        assert refusal.value.code in (0x05, 0x0F)
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"
        await client.pair()  # again: nothing to do


@in_virtual_time
async def test_a_bond_is_used_on_reconnecting_and_survives_the_process(tmp_path: Path) -> None:
    bonds = tmp_path / "deeper" / "bonds.json"
    air, sensor, central = await room(bonds)
    async with client_of(central, pair=True) as client:
        assert await client.read_gatt_char(SECRET) == b"secret"
    async with client_of(central) as client:
        assert sensor.connections[-1].is_encrypted
        assert await client.read_gatt_char(SECRET) == b"secret"
    await central.close()
    assert stat.S_IMODE(bonds.stat().st_mode) == 0o600
    reborn = await open_central(air, bonds=bonds)
    async with client_of(reborn) as client:
        assert await client.read_gatt_char(SECRET) == b"secret"


@pytest.mark.parametrize(
    "content",
    [b"garbage", b"[]", b"\xff", b'{"00:1B:DC:F2:44:01": 5}', b'{"00:1B:DC:F2:44:01": {"x": {"ltk": 1}}}'],
)
def test_a_bond_file_that_makes_no_sense_is_set_aside_with_one_line(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bonds = tmp_path / "bonds.json"
    bonds.write_bytes(content)

    @in_virtual_time
    async def pair_twice() -> None:
        air, _, central = await room(bonds)
        async with client_of(central, pair=True) as client:
            assert await client.read_gatt_char(SECRET) == b"secret"
        await central.close()
        reborn = await open_central(air, bonds=bonds)
        async with client_of(reborn) as client:
            assert await client.read_gatt_char(SECRET) == b"secret"

    pair_twice()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "hw_sim.radio.central"]
    assert line.startswith(f"no bonds in {bonds}: ")
    assert bonds.with_name("bonds.json.unreadable").read_bytes() == content


@in_virtual_time
async def test_the_passkey_is_asked_for_and_checked() -> None:
    asked: list[str] = []

    def read_off(address: str) -> int:
        asked.append(address)
        return 123_456 if len(asked) > 1 else 654_321

    _, sensor, central = await room(sensor_passkey=123_456, passkey=read_off)
    async with client_of(central) as client:
        with pytest.raises(BleakError, match="CONFIRM_VALUE_FAILED"):
            await client.pair()
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"
    assert asked == [SENSOR, SENSOR]
    keys = await sensor.device.keystore.get_all()
    assert keys[0][1].ltk.authenticated


@in_virtual_time
async def test_a_sensor_that_lost_its_bond_must_be_unpaired_and_paired_again() -> None:
    _, sensor, central = await room()
    client = client_of(central, pair=True)
    await client.connect()
    await client.disconnect()
    await sensor.device.keystore.delete_all()
    with pytest.raises(BleakError, match="PIN_OR_KEY_MISSING"):
        await client.connect()
    assert not client.is_connected
    await client.unpair()
    await client.connect()
    assert await client.read_gatt_char(SECRET) == b"secret"


@in_virtual_time
async def test_unpairing_a_stranger_is_an_error() -> None:
    _, _, central = await room()
    with pytest.raises(BleakDeviceNotFoundError):
        await client_of(central, OTHER).unpair()


@pytest.mark.parametrize("yields", range(0, 40, 3))
@in_virtual_time
async def test_cancelling_a_connect_anywhere_leaves_the_radio_usable(yields: int) -> None:
    _, sensor, central = await room()
    device = await BleakScanner.find_device_by_address(SENSOR, backend=central.scanner_backend)
    client = BleakClient(device, backend=central.client_backend)
    attempt = asyncio.ensure_future(client.connect())
    await asyncio.sleep(0.0995)  # just before the sensor's next advertisement
    for _ in range(yields):
        await asyncio.sleep(0)
        if yields > 20:
            await asyncio.sleep(0.0001)
    attempt.cancel()
    await asyncio.gather(attempt, return_exceptions=True)
    if attempt.cancelled():
        assert not client.is_connected
        await client.connect()
    assert await client.read_gatt_char(VALUE) == b"value"
    await client.disconnect()
    await asyncio.sleep(1)
    assert len(sensor.disconnect_reasons) == len(sensor.connections)


@in_virtual_time
async def test_connects_wait_for_each_other() -> None:
    air, _, central = await room()
    others = [await Peripheral(air, f"F0:00:00:00:01:{n:02}").start() for n in range(5)]
    found = await BleakScanner.discover(1, backend=central.scanner_backend)
    devices = [device for device in found if device.address in {other.address for other in others}]
    clients = [BleakClient(device, backend=central.client_backend) for device in devices]
    await asyncio.gather(*(client.connect() for client in clients))
    assert [client.is_connected for client in clients] == [True] * 5
    with pytest.raises(BleakError, match="already connected"):
        await clients[0].connect()


@in_virtual_time
async def test_what_the_other_controller_can_do_is_known_after_two_connection_events() -> None:
    # A Linux host asks for it before it says that there is a link.
    _, sensor, central = await room()
    async with BleakClient(sensor.device.random_address.to_string(False), backend=central.client_backend):
        (link,) = central.device.connections.values()
        asked_s = asyncio.get_running_loop().time()
        assert await link.get_remote_le_features()
        took_s = asyncio.get_running_loop().time() - asked_s
        assert took_s == pytest.approx(2 * link.parameters.connection_interval / 1000, abs=0.001)


@in_virtual_time
async def test_a_link_is_shared_and_hanging_up_ends_it_for_all() -> None:
    _, sensor, central = await room()
    ended: list[str] = []
    one = client_of(central, disconnected_callback=lambda _: ended.append("one"))
    await one.connect()
    (device,) = await (await BleakAdapter.get(backend=central.adapter_backend)).get_connected_devices(
        [SERVICE]
    )
    two = BleakClient(device, lambda _: ended.append("two"), backend=central.client_backend)
    await two.connect()
    heard: list[str] = []
    await one.start_notify(NOTIFIED, lambda *_: heard.append("one"))
    await two.start_notify(NOTIFIED, lambda *_: heard.append("two"))
    await sensor.device.notify_subscribers(sensor.notified, b"1")
    await asyncio.sleep(0.1)
    await one.stop_notify(NOTIFIED)
    await sensor.device.notify_subscribers(sensor.notified, b"2")
    await asyncio.sleep(0.1)
    assert heard == ["one", "two", "two"]
    await one.disconnect()
    await two.disconnect()
    assert ended == ["one", "two"]
    assert len(sensor.connections) == 1


@in_virtual_time
async def test_the_adapter_tells_of_what_is_connected_and_known_by_its_services() -> None:
    _, _, central = await room()
    assert await held_by(central) == []
    client = client_of(central)
    connected = asyncio.Event()
    central.device.once("connection", lambda _: connected.set())
    connecting = asyncio.ensure_future(client.connect())
    await connected.wait()
    assert await held_by(central) == []  # not yet discovered
    await connecting
    assert await held_by(central) == [SENSOR]
    assert await held_by(central, "1800", "1801") == [SENSOR]
    assert await held_by(central, "180d") == []
    await client.disconnect()
    assert await held_by(central) == []


# A gateway that is killed


@in_virtual_time
async def test_a_killed_client_leaves_its_link_to_the_next() -> None:
    _, sensor, central = await room()
    told: list[object] = []
    heard: list[bytes] = []
    dead = client_of(central, disconnected_callback=told.append, pair=True)
    await dead.connect()
    await dead.start_notify(NOTIFIED, lambda *_: told.append("a packet"))
    central.abandon_clients()
    await asyncio.sleep(1)
    await sensor.device.notify_subscribers(sensor.notified, b"to nobody")
    await dead.disconnect()
    for call in (dead.connect(), dead.read_gatt_char(VALUE), dead.pair(), dead.stop_notify(NOTIFIED)):
        with pytest.raises(BleakError):
            await call
    await asyncio.sleep(60)
    assert not dead.is_connected
    assert sensor.disconnect_reasons == []
    assert not await BleakScanner.discover(5, backend=central.scanner_backend)  # a connected sensor is silent

    (device,) = await (await BleakAdapter.get(backend=central.adapter_backend)).get_connected_devices(
        [SERVICE]
    )
    async with BleakClient(device, backend=central.client_backend) as client:
        assert await client.read_gatt_char(SECRET) == b"secret"
        await client.start_notify(NOTIFIED, lambda _, value: heard.append(bytes(value)))
        await sensor.device.notify_subscribers(sensor.notified, b"1")
        await asyncio.sleep(0.1)
    assert heard == [b"1"]
    assert told == []
    assert len(sensor.connections) == 1


@in_virtual_time
async def test_the_scan_of_a_killed_client_ends() -> None:
    _, _, central = await room()
    heard: list[object] = []
    scanner = BleakScanner(lambda _, __: heard.append(1), backend=central.scanner_backend)
    await scanner.start()
    await asyncio.sleep(1)
    adapter = central.adapter_backend
    central.abandon_clients()
    heard.clear()
    await asyncio.sleep(1)
    assert (heard, central.device.is_scanning) == ([], False)
    await scanner.stop()
    with pytest.raises(BleakError):
        await scanner.start()
    with pytest.raises(BleakError):
        await BleakAdapter.get(backend=adapter)


@pytest.mark.parametrize("turns", range(0, 120, 8))
@in_virtual_time
async def test_a_client_killed_while_connecting_is_connected_for_the_next(turns: int) -> None:
    _, sensor, central = await room()
    device = await BleakScanner.find_device_by_address(SENSOR, backend=central.scanner_backend)
    attempt = asyncio.ensure_future(BleakClient(device, backend=central.client_backend).connect())
    await asyncio.sleep(0.0995)  # just before the sensor's next advertisement
    for _ in range(turns):
        await asyncio.sleep(0)
    central.abandon_clients()
    attempt.cancel()
    await asyncio.wait({attempt})
    await asyncio.sleep(5)
    assert await held_by(central) == [SENSOR]
    async with BleakClient(device, backend=central.client_backend) as client:
        assert await client.read_gatt_char(VALUE) == b"value"
    assert len(sensor.connections) == 1


@in_virtual_time
async def test_the_attempt_of_a_killed_client_is_given_up_in_the_end() -> None:
    air, sensor, central = await room()
    device = await BleakScanner.find_device_by_address(SENSOR, backend=central.scanner_backend)
    air.set_reachable(SENSOR, False)
    attempt = asyncio.ensure_future(BleakClient(device, backend=central.client_backend).connect())
    await asyncio.sleep(1)
    central.abandon_clients()
    attempt.cancel()
    await asyncio.sleep(ATTEMPT_S + 1)
    air.set_reachable(SENSOR, True)
    await asyncio.sleep(5)
    assert sensor.connections == []
    await BleakClient(device, backend=central.client_backend).connect()


@in_virtual_time
async def test_a_pairing_ends_with_the_client_that_asked_for_it() -> None:
    async def never(_: object) -> int:
        return await asyncio.get_running_loop().create_future()

    _, sensor, central = await room(sensor_passkey=123_456, passkey=lambda _: 123_456)
    central.device.pairing_config_factory = lambda _: _asking(never)
    attempt = asyncio.ensure_future(client_of(central, pair=True).connect())
    await asyncio.sleep(5)
    assert len(sensor.connections) == 1
    assert sensor.disconnect_reasons == []
    central.abandon_clients()
    attempt.cancel()
    await asyncio.sleep(1)
    assert [reason for _, reason in sensor.disconnect_reasons] == [HUNG_UP_BY_PEER]


def _asking(get_number: object) -> PairingConfig:
    """A user who was asked for the passkey and does not come back."""
    typist = PairingDelegate(PairingDelegate.KEYBOARD_INPUT_ONLY)
    typist.get_number = functools.partial(get_number, typist)
    return PairingConfig(mitm=True, delegate=typist)


# Addresses


@in_virtual_time
async def test_a_gateway_has_one_public_address_and_keeps_it() -> None:
    air, sensor, central = await room()
    await client_of(central).connect()
    await central.close()
    reborn, other = await open_central(air, bonds=None), await open_central(air, bonds=None)
    for each in (reborn, other):
        async with client_of(each) as client:
            await client.read_gatt_char(VALUE)
    addresses = [connection.peer_address for connection in sensor.connections]
    assert [address.is_public for address in addresses] == [True] * 3
    assert addresses[0] == addresses[1] != addresses[2]


@in_virtual_time
async def test_an_unanswered_request_ends_after_30_s_and_answers_do_not_get_mixed_up() -> None:
    _, _, central = await room()
    async with client_of(central) as client:
        started = now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await client.read_gatt_char(SILENT)
        assert (
            await client.read_gatt_char(VALUE) == b"value"
        )  # waits its turn, as ATT has one request at a time
        assert now() - started == pytest.approx(30)
        with pytest.raises(BleakGATTProtocolError) as unanswered:
            await client.read_gatt_char(SILENT)
        assert unanswered.value.code == 0x0E


@in_virtual_time
async def test_a_reset_of_the_gateways_adapter_loses_its_links_and_starts_clean() -> None:
    _, sensor, central = await room()
    await client_of(central).connect()
    started = now()
    await central.device.power_off()
    await central.device.power_on()
    await asyncio.sleep(1)
    assert sensor.disconnect_reasons == [(pytest.approx(started + SUPERVISION_TIMEOUT_S), LINK_LOST)]
    client = client_of(central)
    await client.connect()
    assert await client.read_gatt_char(VALUE) == b"value"


@in_virtual_time
async def test_closing_the_central_hangs_up_and_leaves_the_air() -> None:
    air, sensor, central = await room()
    client = client_of(central)
    await client.connect()
    await central.close()
    await asyncio.sleep(1)
    assert not client.is_connected
    assert [reason for _, reason in sensor.disconnect_reasons] == [HUNG_UP_BY_PEER]
    successor = await open_central(air, bonds=None)
    await client_of(successor).connect()


@in_virtual_time
async def test_a_disconnect_can_be_made_to_hang() -> None:
    _, _, central = await room()
    client = client_of(central)
    await client.connect()
    central.hangs_on_disconnect.add(SENSOR)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await client.disconnect()
    assert client.is_connected
    central.hangs_on_disconnect.clear()
    await client.disconnect()
    assert not client.is_connected
