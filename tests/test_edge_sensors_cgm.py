"""Every record a CGM sensor stored arrives once, in its session, however the sensor and its link behave."""

import asyncio
import math

import pytest
from bleak.exc import BleakGATTProtocolError, BleakGATTProtocolErrorCode
from cgm_parts import Gateway
from scripted_cgm import UNKNOWN, Sensor, beside, play

from edge.errors import SensorLost
from edge.sensors.cgm_asking import Hindrance
from edge.sensors.cgm_ledger import Loss
from edge.sensors.cgm_portions import RECORDS
from edge.sensors.validity import NotCounted
from protocols import racp, uuids
from protocols.cgm import SensorStatus
from protocols.errors import DecodeError
from protocols.medfloat import MedFloat, Special
from protocols.racp import Code, NumberResponse, OpCode

# What is stored arrives


@pytest.mark.parametrize("crc", [True, False])
def test_everything_stored_is_fetched_and_then_only_what_is_new(crc: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, crc=crc, stored=range(0, 1000, 5))
        assert await g.talk(sensor, 60) is None
        assert g.store.kept() == list(range(0, 1000, 5))
        assert (g.store.watermark, g.cgm.battery_pct, g.cgm.state().records) == (995, 50, 200)
        sensor.store([1000, 1005, 1010])
        await asyncio.sleep(900)
        await g.talk(sensor, 60)
        assert sensor.reported[1:] == [[1000, 1005, 1010]]
        assert g.store.kept() == list(range(0, 1015, 5))
        assert (g.store.watermark, len(g.store.sessions()), g.store.given_up) == (1010, 1, [])

    play(scenario)


def test_what_a_sensor_recorded_while_out_of_reach_is_asked_for_at_once_when_it_is_back() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=range(0, 1000, 5))
        await g.talk(sensor, 60)
        sensor.store([1000])
        await g.talk(sensor, 10)
        assert sensor.reported[1:] == [[1000]]
        assert g.store.kept()[-1] == 1000

    play(scenario)


def test_a_gap_in_live_readings_is_asked_for_at_once_and_an_unsteady_step_is_not() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))

        async def live() -> None:
            await sensor.live(100, 104, 110, 115)
            sensor.store([120])  # not notified
            await asyncio.sleep(300)
            assert len(sensor.reported) == 1
            await sensor.live(125)
            await asyncio.sleep(1)
            assert sensor.reported[1:] == [[120]]
            assert g.store.kept()[-2:] == [120, 125]
            assert g.store.watermark == 125

        await beside(g.talk(sensor, 3000), live())

    play(scenario)


def test_a_reading_that_does_not_come_is_asked_for() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))

        async def silently() -> None:
            await asyncio.sleep(1)
            sensor.store([100])
            await asyncio.sleep(60 * 103)

        await beside(g.talk(sensor, 260), silently())
        assert g.store.kept()[-1] == 100

    play(scenario)


@pytest.mark.parametrize("counts", [True, False])
def test_what_came_is_compared_with_what_the_sensor_has_once_an_hour(counts: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5), counts=counts)

        async def live() -> None:
            await sensor.live(*range(100, 150, 5))
            sensor.store([152])  # out of turn, and not notified
            await sensor.live(*range(155, 200, 5))

        await beside(g.talk(sensor, 5710), live())
        assert 152 in g.store.kept()
        assert len(sensor.reported) == 2

    play(scenario)


@pytest.mark.parametrize(
    ("glucose", "status", "kept", "reason"),
    [
        (Special.POSITIVE_INFINITY, SensorStatus(0), math.inf, None),
        (Special.NEGATIVE_INFINITY, SensorStatus(0), -math.inf, None),
        (Special.NAN, SensorStatus(0), None, NotCounted.NO_MEASUREMENT),
        (44.0, SensorStatus.SENSOR_MALFUNCTION, 44.0, NotCounted.MALFUNCTION),
        (44.0, SensorStatus.SESSION_STOPPED, 44.0, NotCounted.STOPPED),
        (5.0, SensorStatus(0), 5.0, NotCounted.OUT_OF_RANGE),
        (44.0, SensorStatus.BATTERY_LOW, 44.0, None),
    ],
)
def test_what_does_not_count_is_kept_marked_and_shown(
    glucose: MedFloat, status: SensorStatus, kept: float | None, reason: str | None
) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=200, stored=range(0, 200, 5))
        sensor.store([195], 120.0)
        await g.talk(sensor, 10)

        async def live() -> None:
            sensor.status = status
            await sensor.live(200, glucose=glucose)

        await beside(g.talk(sensor, 60), live())
        reading = g.store.tables.readings.get(1, "glucose", 200)
        assert reading is not None
        assert (reading.value, reading.not_counted) == (kept, reason)
        fact = g.facts.newest("cgm", "glucose")
        assert fact is not None
        assert (fact.value, fact.not_counted) == ((120.0, None) if kept is None else (kept, reason))

    play(scenario)


# Nothing is believed to be fetched that is not


def some_answer(sensor: Sensor, name: str) -> None:
    """The answers of a sensor that has records and does not report them."""
    match name:
        case "a live record and SUCCESS":
            sensor.take(1000)
            sensor.respond(Code.SUCCESS)
        case "NO_RECORDS":
            sensor.take(1000)
            sensor.respond(Code.NO_RECORDS)
        case "the newest three":
            sensor.report(sensor.reported[-1][-3:], Code.SUCCESS)
        case "a stray SUCCESS":
            sensor.respond(Code.SUCCESS, OpCode.REPORT_NUMBER)
            sensor.take(1000)
        case "newest first":
            sensor.report(reversed(sensor.reported[-1]))
        case "every other":
            sensor.report(sensor.reported[-1][::2])
        case "twice each":
            sensor.report([offset for offset in sensor.reported[-1] for _ in range(2)])
        case "half of it and NOT_COMPLETED":
            sensor.report(sensor.reported[-1][:100], Code.NOT_COMPLETED)
        case "a number":
            sensor.put(uuids.RACP, racp.encode_response(NumberResponse(200)))
            sensor.report()


ANSWERS = (
    "a live record and SUCCESS",
    "NO_RECORDS",
    "the newest three",
    "a stray SUCCESS",
    "newest first",
    "every other",
    "twice each",
    "half of it and NOT_COMPLETED",
    "a number",
)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_a_sensor_answers_once_nothing_is_lost(name: str, counts: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=998, stored=range(0, 1000, 5), counts=counts)

        def answer() -> None:
            sensor.answer = sensor.report
            some_answer(sensor, name)

        sensor.answer = answer
        await beside(g.talk(sensor, 600), sensor.live(1000, 1005))
        assert g.store.kept() == list(range(0, 1010, 5))
        assert (g.store.watermark, g.store.given_up) == (1005, [])

    play(scenario)


@pytest.mark.parametrize("spoilt", [0, 50, 95])
def test_a_record_with_a_wrong_checksum_holds_the_watermark_until_it_comes_right(spoilt: int) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=99, stored=range(0, 100, 5))
        sensor.spoilt = {spoilt}
        await g.talk(sensor, 4)
        assert g.store.watermark == spoilt - 5 if spoilt else -1
        assert (g.cgm.state().unread, g.intake.undecodable["cgm"]) == (1, 1)
        assert g.store.kept() == [offset for offset in range(0, 100, 5) if offset != spoilt]
        sensor.spoilt = set()
        await g.talk(sensor, 60)
        assert g.store.kept() == list(range(0, 100, 5))
        assert (g.store.watermark, g.store.given_up) == (95, [])

    play(scenario)


def test_a_record_that_never_decodes_is_given_up_alone_and_asked_for_no_more() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=995, stored=range(0, 1000, 5))
        sensor.spoilt = {100, 110, 300}
        await g.talk(sensor, 40)
        assert g.store.given_up == [(o, o, Loss.UNDECODABLE) for o in (100, 110, 300)]
        assert g.store.watermark == 995
        assert [len(report) for report in sensor.reported] == [200, 1, 1, 1, 1, 1, 1]
        for _ in range(10):
            await g.talk(sensor, 20)
        assert not any(sensor.reported[7:])

    play(scenario)


def test_what_was_given_up_is_taken_if_it_comes_after_all() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=range(0, 1000, 5))
        sensor.spoilt = {100}
        await g.talk(sensor, 120)
        assert [note[0] for note in g.store.given_up] == [100]
        sensor.spoilt = set()
        sensor.refused = {racp.Operator.WITHIN_RANGE, racp.Operator.GREATER_OR_EQUAL}
        await asyncio.sleep(600)
        await g.talk(sensor, 60)  # for what should have come since
        assert 100 in g.store.kept()
        assert g.store.given_up == []

    play(scenario)


@pytest.mark.parametrize("is_full", [False, True])
def test_what_comes_after_all_before_its_giving_up_could_be_stored_is_no_loss(is_full: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=996, stored=range(0, 1000, 5))
        sensor.spoilt = {100}
        await g.talk(sensor, 4)
        g.store.delay_s, g.store.is_full = 0.0 if is_full else 400.0, is_full
        await g.talk(sensor, 60)
        assert [note.first for note in g.cgm.state().given_up] == [100]
        sensor.spoilt = set()
        sensor.refused = {racp.Operator.WITHIN_RANGE, racp.Operator.GREATER_OR_EQUAL}
        reports = len(sensor.reported)
        await asyncio.sleep(120)
        await beside(g.talk(sensor, 130), sensor.live(1000, 1001))
        assert len(sensor.reported) > reports
        assert g.store.given_up == []  # nothing is committed yet
        g.store.is_full, sensor.refused = False, set()
        await asyncio.sleep(900)
        await g.talk(sensor, 1800)
        assert g.store.kept() == [*range(0, 1000, 5), 1000, 1001]
        assert (g.store.given_up, g.cgm.state().given_up) == ([], ())

    play(scenario)


def test_a_gap_that_the_sensor_has_no_records_of_is_asked_for_again_and_then_given_up_whole() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=5995, stored=range(5000, 6000, 5))
        await g.talk(sensor, 4)
        assert g.store.watermark == -1
        await g.talk(sensor, 50)
        assert g.store.given_up == [(0, 4999, Loss.NO_RECORDS)]
        assert g.store.watermark == 5995
        assert sensor.reported.count([]) <= 2 * 3 + 3  # in portions over each link, and then the whole

    play(scenario)


def test_what_was_given_up_while_nothing_could_be_stored_is_listed_later_and_not_asked_for_again() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1496, stored=[*range(0, 500, 5), *range(1000, 1500, 5)])

        async def disk() -> None:
            await asyncio.sleep(4)
            g.store.is_full = True
            await asyncio.sleep(600)
            assert g.store.given_up == []
            g.store.is_full = False
            await sensor.live(1510)
            await asyncio.sleep(1)
            assert g.store.given_up == [(496, 999, Loss.NO_RECORDS)]
            assert sensor.reported.count([]) == 3

        await beside(g.talk(sensor, 1200), sensor.live(1500, 1505), disk())
        assert g.store.watermark == 1510

    play(scenario)


def test_what_is_counted_and_never_reported_is_given_up_one_record_at_a_time() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=range(0, 1000, 5))
        sensor.answer = lambda: sensor.report([o for o in sensor.reported[-1] if o not in (100, 105, 110)])
        await g.talk(sensor, 28)
        assert g.store.given_up == [(96, 100, Loss.NOT_REPORTED)]
        sensor.answer = lambda: sensor.report([o for o in sensor.reported[-1] if o not in (100, 110)])
        await g.talk(sensor, 300)
        assert g.store.given_up == [(96, 100, Loss.NOT_REPORTED), (106, 114, Loss.NOT_REPORTED)]
        assert 105 in g.store.kept()
        assert g.store.watermark == 995

    play(scenario)


def test_records_the_inbox_dropped_are_asked_for_again() -> None:
    async def scenario(g: Gateway) -> None:
        g.inbox._capacity = 16
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        assert await g.talk(sensor, 60) is None
        assert g.inbox.dropped["cgm"] == 5
        assert (len(g.store.kept()), g.store.watermark) == (20, 95)

    play(scenario)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_report_that_takes_longer_than_any_link_goes_on_where_it_stopped(newest_first: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=14 * 1440 - 4, stored=range(0, 14 * 1440, 5))

        def answer() -> None:
            sensor.reported[-1] = sensor.reported[-1][:: -1 if newest_first else 1]
            sensor.report_slowly(0.03)

        sensor.answer = answer
        for _ in range(4):
            await g.talk(sensor, 60)
        assert g.store.kept() == list(range(0, 14 * 1440, 5))
        # What a link brought is not asked for again on the next one.
        cuts = 2
        assert sum(map(len, sensor.reported)) <= 4032 + cuts * RECORDS

    play(scenario)


def test_a_record_of_the_future_is_counted_and_asks_for_nothing() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=[*range(0, 100, 5), 400])
        await g.talk(sensor, 600)
        assert g.store.kept() == list(range(0, 100, 5))
        assert (g.store.watermark, len(g.store.sessions()), g.cgm.state().ahead) == (95, 1, 3)
        assert len(sensor.reported) == 3  # the first, and for the records that are due and do not come
        assert (
            sensor.reads[uuids.CGM_STATUS] == 3
        )  # on opening, for the session, and when the record was first seen
        await g.talk(sensor, 6 * 3600)
        assert len(sensor.reported) < 40

    play(scenario)


# Control points that do not do as they should


@pytest.mark.parametrize("refused", [{3}, {4}, {3, 4}])
def test_a_sensor_that_knows_few_operators_is_asked_with_those(refused: set[int]) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=[*range(0, 500, 5), *range(520, 1000, 5)])
        sensor.refused = {racp.Operator(operator) for operator in refused}
        await g.talk(sensor, 60)
        sensor.store([500])
        await asyncio.sleep(900)
        sensor.store(range(1000, 1015, 5))
        assert await g.talk(sensor, 60) is None
        assert set(range(0, 1015, 5)) - set(g.store.kept()) <= {500, 505, 510, 515}
        assert g.store.watermark == 1010
        assert g.cgm.state().hindrance is None

    play(scenario)


@pytest.mark.parametrize("code", [Code.OP_CODE_UNSUPPORTED, Code.SERVER_BUSY, Code.NOT_COMPLETED, 77])
def test_a_sensor_that_refuses_to_report_keeps_its_link_and_is_asked_less_and_less(code: int) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        sensor.answer = lambda: sensor.respond(code)

        async def live() -> None:
            await sensor.live(105)
            await asyncio.sleep(1)
            assert g.store.kept() == [105]
            assert g.facts.newest("cgm", "glucose") is not None
            await asyncio.sleep(3600)
            state = g.cgm.state()
            assert state.hindrance is (Hindrance.BUSY if code == Code.SERVER_BUSY else Hindrance.REFUSED)
            assert state.hindrance_code == code
            assert g.store.watermark == -1
            sensor.answer = sensor.report

        async def talk() -> None:
            assert await g.talk(sensor, 3 * 3600) is None

        await beside(talk(), live())
        assert len([at_s for at_s, _ in sensor.asked if at_s < 3600]) < 25
        assert set(range(0, 100, 5)) <= set(g.store.kept())

    play(scenario)


def test_a_control_point_that_never_answers_costs_the_link_now_and_then_and_no_readings() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        sensor.answer = lambda: None
        started_s = asyncio.get_running_loop().time()
        assert isinstance(await g.talk(sensor, 100), SensorLost)
        assert asyncio.get_running_loop().time() - started_s == pytest.approx(30.0)
        assert g.cgm.state().phase is None

        async def links() -> None:
            while asyncio.get_running_loop().time() < 7200:
                await g.talk(sensor, 7200 - asyncio.get_running_loop().time())

        await beside(links(), sensor.live(*range(105, 210, 5)))
        assert g.store.kept() == list(range(105, 210, 5))
        assert len(sensor.asked) == 5
        assert g.cgm.state().hindrance is Hindrance.SILENT

    play(scenario)


def test_a_control_point_that_cannot_be_written_costs_no_link() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        write = sensor.write

        def refusing(uuid: str, payload: bytes) -> None:
            if uuid == uuids.RACP:
                raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.PROCEDURE_ALREADY_IN_PROGRESS)
            write(uuid, payload)

        sensor.write = refusing  # type: ignore[method-assign]
        assert await g.talk(sensor, 4) is None
        assert g.cgm.state().hindrance is Hindrance.BUSY
        sensor.write = write  # type: ignore[method-assign]
        assert await g.talk(sensor, 10) is None
        assert len(g.store.kept()) == 20

    play(scenario)


def test_rubbish_from_the_control_point_is_counted_and_the_answer_still_taken() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=10, stored=[0, 5])

        def answer() -> None:
            sensor.put(uuids.RACP, b"\x99")
            sensor.put(uuids.RACP, b"\x05\x00\x01\x00")  # a number that nobody asked for
            sensor.report()

        sensor.answer = answer
        assert await g.talk(sensor, 10) is None
        assert (g.store.kept(), g.intake.undecodable["cgm"]) == ([0, 5], 2)

    play(scenario)


def test_an_answer_behind_a_long_queue_is_waited_for() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))

        async def slowly() -> None:
            while True:
                if g.inbox.queue:
                    g.intake.process(g.inbox.queue.popleft())
                await asyncio.sleep(20)  # 400 s for all, each well within a procedure's patience

        g.intake.run = slowly  # type: ignore[method-assign]
        assert await g.talk(sensor, 1000) is None
        assert (len(g.store.kept()), g.store.watermark) == (20, 95)

    play(scenario)


def test_nothing_that_erases_is_ever_written() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        written: set[str] = set()
        write = sensor.write

        def watched(uuid: str, payload: bytes) -> None:
            written.add(uuid)
            write(uuid, payload)

        sensor.write = watched  # type: ignore[method-assign]
        sensor.start = UNKNOWN
        await g.talk(sensor, 3600)
        assert written == {uuids.RACP, uuids.CGM_SESSION_START_TIME}
        assert {request.op for _, request in sensor.asked} <= {OpCode.REPORT, OpCode.REPORT_NUMBER}

    play(scenario)


@pytest.mark.parametrize("uuid", [uuids.CGM_FEATURE, uuids.CGM_STATUS])
def test_a_sensor_that_cannot_be_understood_is_a_decode_error(uuid: str) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=10)
        read = sensor.read
        sensor.read = lambda asked: read(asked)[: -1 if asked == uuid else None]  # type: ignore[method-assign]
        assert isinstance(await g.talk(sensor, 10), DecodeError)
        assert g.cgm.state().phase is None

    play(scenario)
