"""The wayward CGM behind the direct radio: right by default, wrong as told, and what it holds for true."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from bleak import BleakClient
from bleak.exc import BleakError, BleakGATTProtocolError

from hw_sim.clock import run
from hw_sim.radio.direct_radio import backends
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.wayward_cgm import Manner, WaywardCgm
from protocols import cgm, racp, uuids
from protocols.cgm import CgmMeasurement, SensorStatus, SessionStartTime
from protocols.crc import Crc
from protocols.racp import Code, NumberResponse, OpCode, Operator, Request, Response, ResponseCode

ADDRESS = "F0:00:00:00:00:02"
ALL = Request(OpCode.REPORT, Operator.ALL)
COUNT_ALL = Request(OpCode.REPORT_NUMBER, Operator.ALL)
DONE = ResponseCode(OpCode.REPORT, Code.SUCCESS)
NONE = ResponseCode(OpCode.REPORT, Code.NO_RECORDS)


def since(offset_min: int, op: OpCode = OpCode.REPORT) -> Request:
    return Request(op, Operator.GREATER_OR_EQUAL, racp.time_offset_operand(offset_min))


@dataclass
class World:
    """A sensor that holds records of the minutes 0, 5, 10 ... and a client that listens to it."""

    sensor: WaywardCgm
    stack: DirectStack = field(default_factory=DirectStack)
    heard: list[CgmMeasurement | Response] = field(default_factory=list)
    garbage: int = 0

    async def connect(self) -> BleakClient:
        self.stack.add(self.sensor)
        client = BleakClient(ADDRESS, backend=backends(self.stack).client)
        await client.connect()
        await client.start_notify(uuids.RACP, self._on_response)
        await client.start_notify(uuids.CGM_MEASUREMENT, self._on_record)
        self.client = client
        return client

    def _on_record(self, _: Any, payload: bytearray) -> None:
        records, errors = cgm.decode_measurements(bytes(payload), crc=Crc.MCRF4XX)
        self.heard += records
        self.garbage += len(errors)

    def _on_response(self, _: Any, payload: bytearray) -> None:
        self.heard.append(racp.decode_response(bytes(payload)))

    async def ask(self, request: Request, wait_s: float = 60.0) -> list[int | Response]:
        """Offsets of the records, and answers, in the order they came."""
        self.heard.clear()
        await self.client.write_gatt_char(uuids.RACP, racp.encode_request(request), response=True)
        await asyncio.sleep(wait_s)
        return [heard.time_offset_min if isinstance(heard, CgmMeasurement) else heard for heard in self.heard]


async def world(count: int = 4, **options: Any) -> World:
    made = World(WaywardCgm(ADDRESS, began_s=asyncio.get_running_loop().time(), **options))
    for n in range(count):
        made.sensor.take(100.0 + n)
        await asyncio.sleep(300.0)
    await made.connect()
    return made


def asked(request: Request, *manners: Manner, count: int = 4, **options: Any) -> list[int | Response]:
    async def scenario() -> list[int | Response]:
        home = await world(count, **options)
        home.sensor.manners.extend(manners)
        return await home.ask(request)

    return run(scenario())


def test_by_default_it_reports_what_it_holds_in_order() -> None:
    assert asked(ALL) == [0, 5, 10, 15, DONE]
    assert asked(since(6)) == [10, 15, DONE]
    assert asked(since(16)) == [NONE]
    assert asked(COUNT_ALL) == [NumberResponse(4)]
    assert asked(since(5, OpCode.REPORT_NUMBER)) == [NumberResponse(3)]


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        (Manner(newest_only=1), [15, DONE]),
        (Manner(newest_only=0), [DONE]),
        (Manner(newest_only=9), [0, 5, 10, 15, DONE]),
        (Manner(omit_every=2), [0, 10, DONE]),
        (Manner(omit_every=1), [DONE]),
        (Manner(repeat_every=2), [0, 5, 5, 10, 15, 15, DONE]),
        (Manner(stray=DONE), [DONE, 0, 5, 10, 15, DONE]),
        (Manner(response=NumberResponse(4)), [0, 5, 10, 15, NumberResponse(4)]),
        (Manner(newest_only=0, response=NONE), [NONE]),
        (Manner(is_silent=True), [0, 5, 10, 15]),
    ],
)
def test_it_reports_in_the_manner_it_is_told(manner: Manner, expected: list[int | Response]) -> None:
    assert asked(ALL, manner) == expected


def test_a_shuffled_report_has_every_record_once() -> None:
    heard = asked(ALL, Manner(shuffle_seed=1), count=20)
    offsets = [offset for offset in heard if isinstance(offset, int)]
    assert sorted(offsets) == [5 * n for n in range(20)] != offsets
    assert heard[-1] == DONE


def test_a_manner_is_of_one_report_only() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.manners.append(Manner(newest_only=0))
        assert await home.ask(ALL) == [DONE]
        assert await home.ask(ALL) == [0, 5, 10, 15, DONE]

    run(scenario())


def test_it_counts_wrong_or_not_at_all() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.miscounts.extend([-2, -9, DONE])
        answers = [await home.ask(COUNT_ALL) for _ in range(4)]
        assert answers == [[NumberResponse(2)], [NumberResponse(0)], [DONE], [NumberResponse(4)]]

    run(scenario())
    refusal = ResponseCode(OpCode.REPORT_NUMBER, Code.OP_CODE_UNSUPPORTED)
    assert asked(COUNT_ALL, counts=False) == [refusal]


def test_it_may_know_some_operators_only() -> None:
    knows = frozenset({Operator.ALL})
    assert asked(ALL, operators=knows) == [0, 5, 10, 15, DONE]
    assert asked(since(6), operators=knows) == [ResponseCode(OpCode.REPORT, Code.OPERATOR_UNSUPPORTED)]


def test_a_record_may_be_unreadable_and_one_of_the_future() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.unreadable.add(5)
        home.sensor.future.append(CgmMeasurement(99.0, 320))
        assert await home.ask(ALL) == [0, 10, 15, 320, DONE]
        assert home.garbage == 1
        assert await home.ask(since(200)) == [320, DONE]
        assert [record.time_offset_min for record in home.sensor.held] == [0, 5, 10, 15, 320]
        assert home.sensor.withheld == {5: 1}

    run(scenario())


def test_it_knows_what_a_report_was_over_without() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.manners.extend([Manner(newest_only=1), Manner(omit_every=2, is_silent=True)])
        await home.ask(ALL)
        await home.ask(since(5))
        await home.ask(ALL)
        assert home.sensor.withheld == {0: 1, 5: 1, 10: 2}

    run(scenario())


def test_it_knows_when_a_report_told_something_new() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.manners.append(Manner(newest_only=2))
        for _ in range(3):
            await home.ask(ALL)
        assert home.sensor.connected_s == [1200.0]
        assert [round(at_s) for at_s in home.sensor.news_s] == [1200, 1260]

    run(scenario())


def test_a_report_cut_off_withholds_nothing_and_the_next_link_begins_anew() -> None:
    async def scenario() -> None:
        home = await world()
        home.stack.cut_after(ADDRESS, 4)
        assert await home.ask(ALL) == [0]  # the write and its answer are packets too
        await home.connect()
        assert await home.ask(ALL) == [0, 5, 10, 15, DONE]
        assert not home.sensor.withheld

    run(scenario())


def test_a_report_that_outlives_a_killed_client_withholds_nothing_and_ends() -> None:
    async def scenario() -> None:
        home = await world(event_s=1.0)
        await home.ask(ALL, wait_s=1.5)
        home.stack.abandon_clients()
        await home.connect()
        with pytest.raises(BleakGATTProtocolError):
            await home.ask(ALL)
        await asyncio.sleep(60.0)
        assert await home.ask(ALL) == [0, 5, 10, 15, DONE]
        assert not home.sensor.withheld

    run(scenario())


def test_a_live_reading_is_told_at_once_or_after_a_report_or_amid_it() -> None:
    async def scenario(*, interleaves: bool) -> list[int | Response]:
        home = await world(event_s=1.0, interleaves=interleaves)
        home.sensor.take(120.0)
        assert [record.time_offset_min for record in home.heard] == [20]
        await asyncio.sleep(300.0)
        loop = asyncio.get_running_loop()
        loop.call_later(2.5, home.sensor.take, 121.0)
        return await home.ask(ALL)

    assert run(scenario(interleaves=False)) == [0, 5, 10, 15, 20, DONE, 25]
    assert run(scenario(interleaves=True)) == [0, 5, 25, 10, 15, 20, DONE]


def test_a_live_reading_may_be_kept_back_or_told_twice() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.take(120.0, times_told=0)
        await asyncio.sleep(300.0)
        home.sensor.take(121.0, times_told=2)
        assert [record.time_offset_min for record in home.heard] == [25, 25]
        assert await home.ask(since(20)) == [20, 25, DONE]

    run(scenario())


def test_a_reading_may_have_a_status_of_its_own() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.take(44.0, status=SensorStatus.SENSOR_MALFUNCTION)
        assert home.heard == [CgmMeasurement(44.0, 20, SensorStatus.SENSOR_MALFUNCTION)]

    run(scenario())


def test_its_storage_is_overwritten() -> None:
    assert asked(ALL, count=8, capacity=3) == [25, 30, 35, DONE]


def test_a_new_session_begins_at_nothing() -> None:
    async def scenario() -> None:
        home = await world()
        home.sensor.begin_session()
        assert await home.ask(ALL) == [NONE]
        home.sensor.take(90.0)
        assert await home.ask(ALL) == [1, DONE]
        assert home.sensor.sessions == 2

    run(scenario())


def test_its_clock_can_be_set_and_no_minute_is_used_twice() -> None:
    async def offset_min(home: World) -> int:
        payload = bytes(await home.client.read_gatt_char(uuids.CGM_STATUS))
        return cgm.decode_status(payload, crc=Crc.MCRF4XX).time_offset_min

    async def scenario() -> None:
        home = await world()
        assert await offset_min(home) == 20
        home.sensor.set_clock(-480.0)
        assert await offset_min(home) == 12
        assert home.sensor.take(100.0) is None
        home.sensor.set_clock(600.0)
        assert await offset_min(home) == 22
        assert await home.ask(ALL) == [0, 5, 10, 15, DONE]

    run(scenario())


def test_its_time_is_unknown_until_a_client_sets_it() -> None:
    async def scenario() -> None:
        home = await world()
        status = cgm.decode_status(bytes(await home.client.read_gatt_char(uuids.CGM_STATUS)), crc=Crc.MCRF4XX)
        assert SensorStatus.TIME_SYNC_REQUIRED in status.status
        now = SessionStartTime.from_utc_seconds(1_772_409_600)
        payload = cgm.encode_session_start(now, crc=Crc.MCRF4XX)
        await home.client.write_gatt_char(uuids.CGM_SESSION_START_TIME, payload, response=True)
        start = await home.client.read_gatt_char(uuids.CGM_SESSION_START_TIME)
        assert cgm.decode_session_start(bytes(start), crc=Crc.MCRF4XX).utc_seconds() == 1_772_409_600 - 1200
        assert home.sensor.times_set == [(1200.0, now)]

    run(scenario())


def test_it_refuses_what_it_does_not_know_and_who_does_not_listen() -> None:
    async def scenario() -> None:
        home = await world()
        assert await home.ask(Request(OpCode.DELETE, Operator.ALL)) == [
            ResponseCode(OpCode.DELETE, Code.OP_CODE_UNSUPPORTED)
        ]
        with pytest.raises(BleakGATTProtocolError):
            await home.client.write_gatt_char(uuids.RACP, b"", response=True)
        with pytest.raises(BleakError):
            await home.client.read_gatt_char(uuids.RACP)
        await home.client.stop_notify(uuids.RACP)
        with pytest.raises(BleakGATTProtocolError):
            await home.ask(ALL)
        assert [request for _, request in home.sensor.requests] == [Request(OpCode.DELETE, Operator.ALL)]

    run(scenario())


def test_a_report_can_be_aborted() -> None:
    async def scenario() -> None:
        home = await world(event_s=1.0)
        assert await home.ask(ALL, wait_s=1.5) == [0]
        abort = Request(OpCode.ABORT, Operator.NULL)
        assert await home.ask(abort) == [ResponseCode(OpCode.ABORT, Code.SUCCESS)]

    run(scenario())
