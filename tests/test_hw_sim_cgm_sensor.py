"""The glucose sensor through the public bleak API: security, storage, procedures, time; as the service demands."""

import asyncio
import contextlib
import itertools
import math
from random import Random

import pytest
from bleak import BleakClient
from bleak.exc import BleakError, BleakGATTProtocolError

from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.cgm_session import CgmSession
from protocols import cgm, cgm_control, racp, samples, uuids
from protocols import crc as checksum
from protocols.cgm import SensorStatus
from protocols.medfloat import Special
from protocols.racp import Code, NumberResponse, OpCode, Operator, Request, ResponseCode

ADDRESS = "F0:00:00:00:00:02"
SESSION_AGE_S = 3600
FIRST_MIN = SESSION_AGE_S // 60


def readings(count, step_s=300):
    return [(n * step_s, 80.0 + n % 200) for n in range(count)]


def offsets(records):
    return [record.time_offset_min for record in records]


class World:
    """A sensor that has been worn for a while, a gateway, and what the gateway heard."""

    def __init__(self, source, *, begin_s=-86_400.0, passkey=None, typed=None, **options):
        self.air = Air()
        self.crc = options.get("crc", True)
        self.sensor = CgmSensor(
            self.air,
            ADDRESS,
            iter(source),
            begin_s=begin_s,
            session_age_s=SESSION_AGE_S,
            passkey=passkey,
            **options,
        )
        self.typed = typed
        self.records = []
        self.responses = asyncio.Queue()

    async def open(self):
        await self.sensor.start()
        self.central = await open_central(self.air, bonds=None, passkey=lambda _: self.typed)
        return self

    async def connect(self, *, pair=True):
        client = BleakClient(ADDRESS, backend=self.central.client_backend, pair=pair)
        await client.connect()
        return client

    async def ready(self):
        client = await self.connect()
        await client.start_notify(uuids.CGM_MEASUREMENT, self.on_measurement)
        await client.start_notify(
            uuids.RACP, lambda _, data: self.responses.put_nowait(racp.decode_response(bytes(data)))
        )
        await client.start_notify(
            uuids.CGM_SPECIFIC_OPS,
            lambda _, data: self.responses.put_nowait(cgm_control.decode_response(bytes(data), crc=self.crc)),
        )
        return client

    def on_measurement(self, _, data):
        found, errors = cgm.decode_measurements(bytes(data), crc=self.crc)
        assert not errors
        self.records += found

    async def ask(self, client, request):
        await client.write_gatt_char(uuids.RACP, racp.encode_request(request), response=True)
        return await asyncio.wait_for(self.responses.get(), 120)

    async def operate(self, client, op, operand=b""):
        request = cgm_control.encode_request(cgm_control.Request(op, operand), crc=self.crc)
        await client.write_gatt_char(uuids.CGM_SPECIFIC_OPS, request, response=True)
        return await asyncio.wait_for(self.responses.get(), 120)


def with_client(source, scenario, **options):
    async def main():
        world = await World(source, **options).open()
        client = await world.ready()
        return await scenario(world, client)

    return run(main())


def report(operator=Operator.ALL, *bounds):
    return Request(OpCode.REPORT, operator, racp.time_offset_operand(*bounds) if bounds else b"")


def number(operator=Operator.ALL, *bounds):
    return Request(OpCode.REPORT_NUMBER, operator, racp.time_offset_operand(*bounds) if bounds else b"")


# Security


@pytest.mark.parametrize("uuid", [uuids.CGM_FEATURE, uuids.CGM_STATUS, uuids.CGM_SESSION_START_TIME])
def test_nothing_is_told_without_encryption(uuid):
    async def main():
        world = await World(readings(3)).open()
        client = await world.connect(pair=False)
        for attempt in (
            client.read_gatt_char(uuid),
            client.start_notify(uuids.CGM_MEASUREMENT, world.on_measurement),
            client.write_gatt_char(uuids.RACP, racp.encode_request(report()), response=True),
        ):
            with pytest.raises(BleakGATTProtocolError) as refused:
                await attempt
            assert refused.value.code in (0x05, 0x0F)

    run(main())


def test_a_bond_is_used_again_after_the_link_was_lost():
    async def main():
        world = await World(readings(3)).open()
        first = await world.ready()
        world.air.lose_link(ADDRESS)
        while first.is_connected:
            await asyncio.sleep(1)
        client = await world.connect(pair=False)
        await client.read_gatt_char(uuids.CGM_FEATURE)
        assert world.sensor.device.keystore is not None
        return await world.sensor.device.keystore.get_all()

    assert len(run(main())) == 1


def test_a_sensor_that_lost_its_bond_refuses_the_old_key():
    async def main():
        world = await World(readings(3)).open()
        client = await world.ready()
        await client.disconnect()
        await world.sensor.forget_bonds()
        with pytest.raises(BleakError):
            await world.connect()
        await world.central.forget(ADDRESS)
        client = await world.connect()
        return await client.read_gatt_char(uuids.CGM_FEATURE)

    assert len(run(main())) == 6


def test_the_printed_passkey_pairs():
    async def scenario(world, client):
        return await world.ask(client, number())

    assert with_client(readings(7), scenario, passkey=123_456, typed=123_456) == NumberResponse(7)


async def pair_and_read(world):
    client = await world.connect()
    await asyncio.sleep(1)
    await client.read_gatt_char(uuids.CGM_FEATURE)


@pytest.mark.parametrize("typed", [111_111, None])
def test_a_wrong_passkey_or_none_reads_nothing(typed):
    async def main():
        world = await World(readings(3), passkey=123_456, typed=typed).open()
        with pytest.raises(BleakError):
            await pair_and_read(world)
        assert await world.sensor.device.keystore.get_all() == []

    run(main())


# Stored records


def test_stored_records_come_oldest_first_and_then_success():
    async def scenario(world, client):
        response = await world.ask(client, report())
        return world.records, response, world.sensor.stored

    records, response, stored = with_client(readings(200), scenario)
    assert response == ResponseCode(OpCode.REPORT, Code.SUCCESS)
    assert offsets(records) == [FIRST_MIN + 5 * n for n in range(200)]
    assert [record.glucose_mg_dl for record in records] == [mg_dl for _, mg_dl in readings(200)]
    assert records == stored


@pytest.mark.parametrize(
    ("operator", "bounds", "wanted"),
    [
        (Operator.ALL, (), [60, 65, 70, 75, 80]),
        (Operator.GREATER_OR_EQUAL, (70,), [70, 75, 80]),
        (Operator.GREATER_OR_EQUAL, (71,), [75, 80]),
        (Operator.LESS_OR_EQUAL, (65,), [60, 65]),
        (Operator.WITHIN_RANGE, (65, 75), [65, 70, 75]),
        (Operator.FIRST, (), [60]),
        (Operator.LAST, (), [80]),
        (Operator.GREATER_OR_EQUAL, (81,), []),
    ],
)
def test_operators_select(operator, bounds, wanted):
    async def scenario(world, client):
        count = await world.ask(client, number(operator, *bounds))
        response = await world.ask(client, report(operator, *bounds))
        return count, response, offsets(world.records)

    count, response, found = with_client(readings(5), scenario)
    assert count == NumberResponse(len(wanted))
    assert response == ResponseCode(OpCode.REPORT, Code.SUCCESS if wanted else Code.NO_RECORDS)
    assert found == wanted


@pytest.mark.parametrize(
    ("request_hex", "code"),
    [
        ("0201", Code.OP_CODE_UNSUPPORTED),  # delete all
        ("0901", Code.OP_CODE_UNSUPPORTED),
        ("0100", Code.INVALID_OPERATOR),
        ("0107", Code.OPERATOR_UNSUPPORTED),
        ("01030200", Code.OPERAND_UNSUPPORTED),  # filter by user-facing time
        ("010301", Code.INVALID_OPERAND),
        ("01030105", Code.INVALID_OPERAND),
        ("01010101", Code.INVALID_OPERAND),
        ("01040109000100", Code.INVALID_OPERAND),  # from 9 to 1
        ("04050105", Code.INVALID_OPERAND),
        ("0301", Code.INVALID_OPERATOR),
        ("0300", Code.SUCCESS),  # nothing to abort
    ],
)
def test_a_request_the_sensor_cannot_serve_is_answered_with_the_reason(request_hex, code):
    async def scenario(world, client):
        await client.write_gatt_char(uuids.RACP, bytes.fromhex(request_hex), response=True)
        response = await asyncio.wait_for(world.responses.get(), 5)
        return response, len(world.sensor.stored), await world.ask(client, number())

    response, stored, count = with_client(readings(5), scenario)
    assert response == ResponseCode(int(request_hex[:2], 16), code)
    assert count == NumberResponse(stored) == NumberResponse(5)


def test_the_oldest_records_are_overwritten():
    async def scenario(world, client):
        await world.ask(client, report())
        return offsets(world.records), world.sensor.taken

    found, taken = with_client(readings(130), scenario, capacity=100)
    assert found == [FIRST_MIN + 5 * n for n in range(30, 130)]
    assert taken == 130


def test_one_procedure_at_a_time_and_abort_ends_it():
    async def scenario(world, client):
        await client.write_gatt_char(uuids.RACP, racp.encode_request(report()), response=True)
        await asyncio.sleep(0.5)
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(uuids.RACP, racp.encode_request(number()), response=True)
        response = await world.ask(client, Request(OpCode.ABORT, Operator.NULL))
        heard = len(world.records)
        await asyncio.sleep(5)
        assert world.responses.empty()
        assert len(world.records) == heard
        return refused.value.code, response, heard, await world.ask(client, number())

    code, response, heard, count = with_client(readings(200), scenario)
    assert code == 0xFE
    assert response == ResponseCode(OpCode.ABORT, Code.SUCCESS)
    assert 5 < heard < 100
    assert count == NumberResponse(200)


def test_the_next_request_may_be_written_in_the_instant_of_the_response():
    async def scenario(world, client):
        answers = []
        written = asyncio.Event()

        async def ask_again():
            await client.write_gatt_char(
                uuids.RACP, racp.encode_request(report(Operator.LAST)), response=True
            )
            written.set()

        def on_response(_, data):
            answers.append(racp.decode_response(bytes(data)))
            if len(answers) == 1:
                world.next = asyncio.ensure_future(ask_again())

        await client.stop_notify(uuids.RACP)
        await client.start_notify(uuids.RACP, on_response)
        await client.write_gatt_char(uuids.RACP, racp.encode_request(report()), response=True)
        await asyncio.wait_for(written.wait(), 60)
        await asyncio.sleep(1)
        return answers, offsets(world.records)

    answers, found = with_client(readings(3), scenario)
    assert answers == [ResponseCode(OpCode.REPORT, Code.SUCCESS)] * 2
    assert found == [60, 65, 70, 70]


def test_a_procedure_needs_its_configuration_descriptors():
    async def main():
        world = await World(readings(5)).open()
        client = await world.connect()
        codes = []
        for uuid, wanted in ((uuids.RACP, report()), (uuids.CGM_MEASUREMENT, report())):
            with pytest.raises(BleakGATTProtocolError) as refused:
                await client.write_gatt_char(uuids.RACP, racp.encode_request(wanted), response=True)
            codes.append(refused.value.code)
            await client.start_notify(uuid, lambda *_: None)
        await client.write_gatt_char(uuids.RACP, racp.encode_request(report()), response=True)
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(uuids.CGM_SPECIFIC_OPS, b"\x02\x00\x00", response=True)
        return [*codes, refused.value.code]

    assert run(main()) == [0xFD, 0xFD, 0xFD]


def test_a_report_cut_off_by_a_lost_link_can_be_resumed():
    async def main():
        world = await World(readings(300), begin_s=-298 * 300.0).open()
        client = await world.ready()
        await client.write_gatt_char(uuids.RACP, racp.encode_request(report()), response=True)
        await asyncio.sleep(3)
        world.air.lose_link(ADDRESS)
        while client.is_connected:
            await asyncio.sleep(1)
        heard = len(world.records)
        client = await world.ready()
        last_min = world.records[-1].time_offset_min
        response = await world.ask(client, report(Operator.GREATER_OR_EQUAL, last_min + 1))
        await asyncio.sleep(900)
        return heard, response, offsets(world.records), world.sensor.stored

    heard, response, found, stored = run(main())
    assert 10 < heard < 250
    assert response == ResponseCode(OpCode.REPORT, Code.SUCCESS)
    assert found == offsets(stored) == [FIRST_MIN + 5 * n for n in range(300)]


@pytest.mark.parametrize("seed", range(5))
def test_links_may_die_at_any_moment(seed, caplog):
    """Whatever is under way when a link dies, nothing crashes and every record can be had afterwards."""

    async def main():
        random = Random(seed)
        world = await World(readings(200), begin_s=-100 * 300.0).open()
        crashes = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: crashes.append(context))
        for _ in range(8):
            client = await world.ready()
            request = random.choice([report(), number(), report(Operator.LAST)])
            await client.write_gatt_char(uuids.RACP, racp.encode_request(request), response=True)
            await asyncio.sleep(random.choice([0.0, random.uniform(0, 0.2), random.uniform(0, 4)]))
            if random.random() < 0.5:
                await client.disconnect()
            else:
                world.air.lose_link(ADDRESS)
            while client.is_connected:
                await asyncio.sleep(1)
        await asyncio.sleep(100 * 300)
        client = await world.ready()
        world.records.clear()
        world.responses = asyncio.Queue()
        return await world.ask(client, report()), world, crashes

    response, world, crashes = run(main())
    assert response == ResponseCode(OpCode.REPORT, Code.SUCCESS)
    assert world.records == world.sensor.stored
    assert len(world.records) == 200
    assert crashes == []
    assert [entry for entry in caplog.records if entry.levelname in ("ERROR", "CRITICAL")] == []


# Live readings


def test_live_readings_are_notified_when_taken_and_stored_when_nobody_listens():
    async def main():
        world = await World(readings(40), begin_s=10.0).open()
        client = await world.ready()
        await asyncio.sleep(3000)
        await client.disconnect()
        live = offsets(world.records)
        await asyncio.sleep(40 * 300)
        client = await world.ready()
        await world.ask(client, report(Operator.GREATER_OR_EQUAL, live[-1] + 1))
        return live, offsets(world.records), world.sensor.taken

    live, found, taken = run(main())
    assert live == [60 + 5 * n for n in range(10)]
    assert found == [60 + 5 * n for n in range(40)]
    assert taken == 40


def test_a_live_reading_waits_for_the_end_of_a_report():
    """200 records take 6 s; the 201st is taken in the midst of it."""

    async def main():
        source = [*readings(200), (200 * 300.0 + 3, 99.0)]
        world = await World(source, begin_s=-200 * 300.0).open()
        client = await world.ready()
        order = []
        world.on_measurement = lambda _, data: order.append(
            cgm.decode_measurements(bytes(data), crc=True)[0][0].time_offset_min
        )
        await client.start_notify(uuids.CGM_MEASUREMENT, world.on_measurement)
        response = await world.ask(client, report())
        before = len(order)
        await asyncio.sleep(1)
        return response, before, order, world.sensor.taken

    response, before, order, taken = run(main())
    assert response == ResponseCode(OpCode.REPORT, Code.SUCCESS)
    assert before == 200
    assert order == [FIRST_MIN + 5 * n for n in range(201)]
    assert taken == 201


def test_a_live_reading_that_waited_when_the_link_died_comes_only_from_storage():
    async def main():
        source = [*readings(200), (200 * 300.0 + 3, 99.0)]
        world = await World(source, begin_s=-200 * 300.0).open()
        client = await world.ready()
        await client.write_gatt_char(uuids.RACP, racp.encode_request(report()), response=True)
        while world.sensor.taken < 201:
            await asyncio.sleep(0.1)
        world.air.lose_link(ADDRESS)
        while client.is_connected:
            await asyncio.sleep(1)
        world.records.clear()
        client = await world.ready()
        response = await world.ask(client, report(Operator.GREATER_OR_EQUAL, FIRST_MIN + 5 * 198))
        await asyncio.sleep(1)
        return response, offsets(world.records)

    response, found = run(main())
    assert response == ResponseCode(OpCode.REPORT, Code.SUCCESS)
    assert found == [FIRST_MIN + 5 * n for n in (198, 199, 200)]


def test_the_communication_interval_thins_out_or_stops_live_readings_but_not_storage():
    async def main():
        world = await World(readings(100), begin_s=0.0).open()
        client = await world.ready()
        heard = []
        answers = [await world.operate(client, cgm_control.OpCode.GET_COMMUNICATION_INTERVAL)]
        for interval_min in (15, cgm_control.INTERVAL_DISABLED, cgm_control.INTERVAL_FASTEST):
            operation = cgm_control.set_interval(interval_min)
            answers.append(await world.operate(client, operation.op, operation.operand))
            before = len(world.records)
            await asyncio.sleep(6000)
            heard.append(len(world.records) - before)
        return answers, heard, world.sensor.taken

    answers, heard, taken = run(main())
    success = cgm_control.ResponseCode(
        cgm_control.OpCode.SET_COMMUNICATION_INTERVAL, cgm_control.Code.SUCCESS
    )
    assert answers == [cgm_control.IntervalResponse(5), success, success, success]
    assert heard == [pytest.approx(20 / 3, abs=1), 0, 20]
    assert taken == 61


@pytest.mark.parametrize(
    ("mg_dl", "value", "status"),
    [
        (math.nan, Special.NAN, SensorStatus.SENSOR_MALFUNCTION),
        (math.inf, Special.POSITIVE_INFINITY, SensorStatus.ABOVE_MEASURABLE),
        (-math.inf, Special.NEGATIVE_INFINITY, SensorStatus.BELOW_MEASURABLE),
        (172.5, 172.5, SensorStatus(0)),
    ],
)
@pytest.mark.parametrize("crc", [True, False])
def test_what_cannot_be_measured_is_said_so(mg_dl, value, status, crc):
    async def scenario(world, client):
        await world.ask(client, report())
        return world.records

    [record] = with_client([(0.0, mg_dl)], scenario, crc=crc)
    assert (record.glucose_mg_dl, record.status) == (value, status)


# Time and state


def test_the_sensor_derives_its_session_start_from_the_clients_clock():
    """Written at 12:00:30 two hours and a summer time east of UTC, 86430 + 3600 s into the session."""

    async def main():
        world = await World(readings(3)).open()
        client = await world.ready()
        loop = asyncio.get_running_loop()

        async def status():
            return cgm.decode_status(bytes(await client.read_gatt_char(uuids.CGM_STATUS)), crc=True)

        async def start():
            value = bytes(await client.read_gatt_char(uuids.CGM_SESSION_START_TIME))
            return cgm.decode_session_start(value, crc=True)

        unset = await status(), await start()
        await asyncio.sleep(30 - loop.time())
        now = cgm.SessionStartTime(2024, 3, 1, 12, 0, 30, time_zone_quarters=8, dst=4)
        await client.write_gatt_char(
            uuids.CGM_SESSION_START_TIME, cgm.encode_session_start(now, crc=True), response=True
        )
        return unset, (await status(), await start())

    (before, unknown), (after, start) = run(main())
    assert before.status == SensorStatus.TIME_SYNC_REQUIRED
    assert unknown.utc_seconds() is None
    assert after.status == SensorStatus(0)
    assert after.time_offset_min == 24 * 60 + FIRST_MIN
    assert start == cgm.SessionStartTime(2024, 2, 29, 11, 0, 0, time_zone_quarters=8, dst=4)


@pytest.mark.parametrize(
    ("crc", "value_hex", "code"),
    [
        (True, "e80703010c00000800", 0x80),  # no checksum
        (True, "e80703010c000008001234", 0x81),
        (True, "e807", 0x0D),
        (False, "e80703010c000008001234", 0x0D),
        (False, "00000301 0c0000 0800", 0xFF),  # year unknown
        (False, "e807021e 0c0000 0800", 0xFF),  # 30 February
        (False, "01000101 000000 0000", 0xFF),  # no time is earlier
    ],
)
def test_a_wrong_session_start_time_is_refused(crc, value_hex, code):
    async def scenario(world, client):
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(
                uuids.CGM_SESSION_START_TIME, bytes.fromhex(value_hex), response=True
            )
        return refused.value.code, world.sensor.session.start_time

    assert with_client(readings(1), scenario, crc=crc) == (code, None)


@pytest.mark.parametrize(("payload", "code"), [(b"\x02", 0x80), (b"\x02\x12\x34", 0x81), (b"", 0x0D)])
def test_a_wrong_specific_operation_is_refused(payload, code):
    async def scenario(world, client):
        with pytest.raises(BleakGATTProtocolError) as refused:
            await client.write_gatt_char(uuids.CGM_SPECIFIC_OPS, payload, response=True)
        return refused.value.code

    assert with_client(readings(1), scenario) == code


@pytest.mark.parametrize(
    ("op", "operand", "code"),
    [
        (0x04, bytes(10), cgm_control.Code.OP_CODE_UNSUPPORTED),  # calibrate
        (0x1B, b"", cgm_control.Code.OP_CODE_UNSUPPORTED),  # stop session
        (0x83, b"", cgm_control.Code.OP_CODE_UNSUPPORTED),
        (0x01, b"", cgm_control.Code.INVALID_OPERAND),
        (0x02, b"\x01", cgm_control.Code.INVALID_OPERAND),
    ],
)
@pytest.mark.parametrize("crc", [True, False])
def test_operations_that_are_not_supported_say_so(op, operand, code, crc):
    async def scenario(world, client):
        return await world.operate(client, op, operand), len(world.sensor.stored)

    response, stored = with_client(readings(5), scenario, crc=crc)
    assert response == cgm_control.ResponseCode(op, code)
    assert stored == 5


@pytest.mark.parametrize("crc", [True, False])
def test_whatever_is_written_gets_an_answer(crc, caplog):
    """An exception in the server would leave a write without its response until ATT times out after 30 s."""

    async def scenario(world, client):
        random = Random(crc)
        for _ in range(500):
            uuid = random.choice([uuids.RACP, uuids.CGM_SPECIFIC_OPS, uuids.CGM_SESSION_START_TIME])
            payload = bytes(
                random.choice([0, 1, 2, random.randrange(256)]) for _ in range(random.randrange(14))
            )
            if crc and uuid != uuids.RACP and random.random() < 0.8:
                payload += checksum.mcrf4xx(payload).to_bytes(2, "little")
            with contextlib.suppress(BleakGATTProtocolError):
                async with asyncio.timeout(10):
                    await client.write_gatt_char(uuid, payload, response=True)
            await asyncio.sleep(random.choice([0, 1]))
        return client.is_connected

    assert with_client(readings(3), scenario, crc=crc)
    assert [entry for entry in caplog.records if entry.levelname in ("ERROR", "CRITICAL")] == []


def test_start_session_erases_everything_and_is_counted():
    async def scenario(world, client):
        now = cgm.SessionStartTime(2024, 3, 1, 12, 0, 0)
        await client.write_gatt_char(
            uuids.CGM_SESSION_START_TIME, cgm.encode_session_start(now, crc=True), response=True
        )
        response = await world.operate(client, cgm_control.OpCode.START_SESSION)
        status = cgm.decode_status(bytes(await client.read_gatt_char(uuids.CGM_STATUS)), crc=True)
        return response, status, await world.ask(client, number()), world.sensor.sessions_started

    response, status, count, started = with_client(readings(5), scenario)
    assert response == cgm_control.ResponseCode(cgm_control.OpCode.START_SESSION, cgm_control.Code.SUCCESS)
    assert status == cgm.CgmStatus(0, SensorStatus.TIME_SYNC_REQUIRED)
    assert count == NumberResponse(0)
    assert started == 1


def test_a_new_session_counts_from_zero_for_live_readings_too():
    async def scenario(world, client):
        slow = cgm_control.set_interval(15)
        await world.operate(client, slow.op, slow.operand)
        await asyncio.sleep(3000)
        await world.operate(client, cgm_control.OpCode.START_SESSION)
        world.records.clear()
        await asyncio.sleep(1800)
        return offsets(world.records), offsets(world.sensor.stored)

    heard, stored = with_client(readings(100), scenario, begin_s=0.0)
    assert [after - before for before, after in itertools.pairwise(stored)] == [5] * 5
    assert 0 <= stored[0] < 5
    assert heard == [stored[3]]  # 15 minutes after the session's start


def test_feature_and_run_time():
    async def scenario(world, client):
        feature = cgm.decode_feature(bytes(await client.read_gatt_char(uuids.CGM_FEATURE)))
        run_time = bytes(await client.read_gatt_char(uuids.CGM_SESSION_RUN_TIME))
        return feature, cgm.decode_session_run_time(run_time, crc=world.crc)

    for crc in (True, False):
        feature, run_time_h = with_client(readings(1), scenario, crc=crc)
        assert feature.has_crc is crc
        assert feature.fluid_type == samples.FluidType.INTERSTITIAL_FLUID
        assert run_time_h == 65_535 // 60


# The session, without Bluetooth


def test_a_minute_has_one_reading_and_a_session_as_many_as_offsets_can_count():
    session = CgmSession(began_s=0.0, capacity=10)
    assert session.take(60.0, 100.0) is not None
    assert session.take(119.9, 101.0) is None
    assert session.take(120.0, 102.0) is not None
    assert session.take(65_535 * 60.0, 103.0) is not None
    assert session.take(65_536 * 60.0, 104.0) is None
    assert offsets(session.stored) == [1, 2, 65_535]
    assert session.status(65_535 * 60.0).status == SensorStatus.TIME_SYNC_REQUIRED
    assert SensorStatus.SESSION_STOPPED in session.status(65_536 * 60.0).status


def test_a_sensor_that_is_put_on_anew_begins_a_session_and_the_truth_of_both_is_known():
    async def main():
        world = await World(readings(6), begin_s=0.0).open()
        sensor = world.sensor
        await asyncio.sleep(700.0)
        sensor.replace()
        await asyncio.sleep(1000.0)
        return sensor

    sensor = run(main())
    assert sensor.taken == 6
    assert [measured.worn for measured in sensor.measured] == [0, 0, 0, 1, 1, 1]
    assert [measured.at_s for measured in sensor.measured] == [300.0 * n for n in range(6)]
    assert [measured.record for measured in sensor.measured[3:]] == sensor.stored
    assert offsets(sensor.stored) == [3, 8, 13]


def test_a_silent_sensor_stores_and_tells_nobody():
    async def main():
        world = await World(readings(6), begin_s=0.0).open()
        await world.ready()
        world.sensor.is_silent = True
        await asyncio.sleep(700.0)
        assert world.records == []
        world.sensor.is_silent = False
        await asyncio.sleep(300.0)
        return world

    world = run(main())
    assert offsets(world.records) == [FIRST_MIN + 15]
    assert len(world.sensor.stored) == 4
