"""In which session a sensor is, what time it is there, and what of it is live."""

import asyncio
import random
from itertools import cycle

import pytest
from bleak.exc import BleakCharacteristicNotFoundError
from cgm_parts import Gateway, S
from edge_parts import MIDNIGHT_UTC_S
from scripted_cgm import UNKNOWN, Sensor, beside, operators, play

from edge.errors import SensorLost
from edge.radio.inbox import Notification
from edge.radio.trouble import Trouble
from edge.sensors.cgm_state import Phase
from edge.sensors.validity import NotCounted
from protocols import cgm, racp, uuids
from protocols.cgm import CgmMeasurement, OctetOrder, SensorStatus
from protocols.medfloat import Special
from protocols.racp import Code

DAY = range(0, 1000, 5)


def seconds() -> float:
    return asyncio.get_running_loop().time()


# Which session


@pytest.mark.parametrize("restart", ["none", "process", "machine", "machine without time"])
@pytest.mark.parametrize("by_min", [-8, 8, -45, 200])
def test_a_sensor_whose_clock_was_set_is_in_its_session_still(by_min: int, restart: str) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.began_s -= 60 * by_min
        if restart != "none":
            g.restart(boots="machine" in restart, error_ms=None if "without" in restart else 500)
        await g.talk(sensor, 10)
        assert (len(g.store.sessions()), g.store.kept()) == (1, list(DAY))

    play(scenario)


@pytest.mark.parametrize("restart", ["none", "process", "machine", "machine without time"])
def test_a_lost_start_is_no_new_session(restart: str) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.start = UNKNOWN
        sensor.status |= SensorStatus.TIME_SYNC_REQUIRED
        if restart != "none":
            g.restart(boots="machine" in restart, error_ms=None if "without" in restart else 500)
        await g.talk(sensor, 10)
        assert (len(g.store.sessions()), len(g.store.kept())) == (1, 200)

    play(scenario)


@pytest.mark.parametrize("wrong_s", [-86_400.0, 86_400.0])
def test_a_wall_clock_that_was_set_in_between_does_not_double_the_readings(wrong_s: float) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        g.clocks.wrong_s += wrong_s
        sensor.start = UNKNOWN
        await g.talk(sensor, 10)
        assert (len(g.store.sessions()), len(g.store.kept())) == (1, 200)

    play(scenario)


@pytest.mark.parametrize("restart", ["none", "process", "machine", "machine without time"])
@pytest.mark.parametrize("age_min", [3, 30, 1100])
def test_a_session_begun_anew_while_away_is_another_one(age_min: int, restart: str) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        await asyncio.sleep(1500 * 60)
        sensor.begin_anew(age_min, range(0, age_min, 5))
        sensor.store(sensor.stored, 199.0)
        if restart != "none":
            g.restart(boots="machine" in restart, error_ms=None if "without" in restart else 500)
        await g.talk(sensor, 10)
        assert [session.ended for session in g.store.sessions()] == ["superseded", None]
        assert (g.store.kept(1), g.store.kept(2)) == (list(DAY), list(range(0, age_min, 5)))

    play(scenario)


def test_a_session_begun_anew_over_a_live_link_is_known_with_its_first_reading() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)

        async def live() -> None:
            await asyncio.sleep(60)
            sensor.begin_anew()
            sensor.take(0, 111.0)
            await asyncio.sleep(2)
            fact = g.facts.newest("cgm", "glucose")
            assert fact is not None
            assert (fact.value, fact.taken_boot_ns) == (111.0, 60 * S)
            await sensor.live(5, glucose=112.0)

        await beside(g.talk(sensor, 600), live())
        assert (g.store.kept(1), g.store.kept(2)) == (list(DAY), [0, 5])

    play(scenario)


def test_a_session_begun_anew_amid_a_request_that_is_not_answered_is_known_at_once() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        write = sensor.write

        def never_counting(uuid: str, payload: bytes) -> None:
            if uuid != uuids.RACP or racp.decode_request(payload).op == racp.OpCode.REPORT:
                write(uuid, payload)

        sensor.write = never_counting  # type: ignore[method-assign]

        async def live() -> None:
            await asyncio.sleep(5)
            sensor.begin_anew()
            sensor.take(0, 111.0)
            await asyncio.sleep(2)
            fact = g.facts.newest("cgm", "glucose")
            assert fact is not None
            assert fact.value == 111.0

        await beside(g.talk(sensor, 600), live())

    play(scenario)


def test_a_session_begun_anew_soon_after_the_last_is_told_from_it_by_its_records() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=0, stored=[0])

        async def live() -> None:
            await sensor.live(5)
            await asyncio.sleep(60)
            sensor.begin_anew()
            sensor.take(0, 111.0)
            await sensor.live(5, 10, glucose=112.0)

        await beside(g.talk(sensor, 1800), live())
        assert (g.store.kept(1), g.store.kept(2)) == ([0, 5], [0, 5, 10])

    play(scenario)


def test_a_clock_set_over_a_live_link_costs_no_reading() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)

        async def live() -> None:
            await sensor.live(1000, 1005)
            sensor.began_s -= 60 * 20
            await sensor.live(1030, glucose=60.0)
            await asyncio.sleep(2)
            fact = g.facts.newest("cgm", "glucose")
            assert fact is not None
            assert fact.value == 60.0
            await sensor.live(1035)

        await beside(g.talk(sensor, 1800), live())
        assert g.store.kept() == [*range(0, 1010, 5), 1030, 1035]

    play(scenario)


def test_a_comparison_is_asked_with_what_the_sensor_knows_and_again_if_it_is_cut() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.began_s += 60 * 30
        sensor.refused = {racp.Operator.WITHIN_RANGE}
        sensor.asked.clear()
        await g.talk(sensor, 10, cut_at=16)
        await g.talk(sensor, 10)
        assert operators(sensor)[:2] == ["WITHIN_RANGE", "GREATER_OR_EQUAL"]
        assert (len(g.store.sessions()), len(g.store.kept())) == (1, 200)

    play(scenario)


@pytest.mark.parametrize("code", [Code.SERVER_BUSY, Code.OP_CODE_UNSUPPORTED, Code.NO_RECORDS])
def test_one_wrong_answer_to_a_comparison_makes_no_new_session(code: int) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.began_s += 60 * 30

        def once() -> None:
            sensor.answer = sensor.report
            sensor.respond(code)

        sensor.answer = once
        await g.talk(sensor, 60)
        assert (len(g.store.sessions()), len(g.store.kept())) == (1, 200)

    play(scenario)


def test_a_sensor_that_never_answers_a_comparison_is_taken_for_new_in_the_end_and_heard_all_along() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.began_s += 60 * 30
        sensor.answer = lambda: None

        async def links() -> None:
            for _ in range(10):
                await g.talk(sensor, 60)

        await beside(links(), sensor.live(975, glucose=55.0))
        fact = g.facts.newest("cgm", "glucose")
        assert fact is not None
        assert fact.value == 55.0
        assert len(g.store.sessions()) == 2

    play(scenario)


WRONG = {
    uuids.CGM_STATUS: [cgm.encode_status(cgm.CgmStatus(age_min), crc=False) for age_min in (200, 400, 600)],
    uuids.CGM_SESSION_START_TIME: [
        cgm.encode_session_start(cgm.SessionStartTime(2026, month, 1, 0, 0, 0), crc=False)
        for month in (1, 2, 3)
    ],
}


@pytest.mark.parametrize("uuid", WRONG)
@pytest.mark.parametrize("restart", [False, True])
def test_a_look_that_is_wrong_once_makes_no_new_session(uuid: str, restart: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY, crc=False)
        await g.talk(sensor, 10)
        if restart:
            g.restart()
        read, before = sensor.read, sensor.reads.copy()
        # The first status of a link is not looked at for its clock.
        wrong_look = 2 if uuid == uuids.CGM_STATUS else 1

        def wrong_once(asked: str) -> bytes:
            right = read(asked)
            is_wrong = asked == uuid and sensor.reads[uuid] - before[uuid] == wrong_look
            return WRONG[uuid][0] if is_wrong else right

        sensor.read = wrong_once  # type: ignore[method-assign]
        # Nor do its records say in which session it is.
        sensor.answer = lambda: sensor.respond(Code.NO_RECORDS)
        await g.talk(sensor, 60)
        assert sensor.reads[uuid] - before[uuid] == wrong_look + 1
        assert (len(g.store.sessions()), g.store.kept()) == (1, list(DAY))

    play(scenario)


@pytest.mark.parametrize("uuid", WRONG)
def test_a_sensor_that_shows_something_else_each_time_is_left_alone_for_now(uuid: str) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY, crc=False)
        await g.talk(sensor, 10)
        read, wrong = sensor.read, cycle(WRONG[uuid])
        sensor.read = lambda asked: next(wrong) if asked == uuid else read(asked)  # type: ignore[method-assign]
        sensor.answer = lambda: sensor.respond(Code.NO_RECORDS)
        ended = await g.talk(sensor, 600)
        assert isinstance(ended, SensorLost)
        assert ended.trouble is Trouble.NONSENSE
        assert len(g.store.sessions()) == 1

    play(scenario)


def test_what_the_store_could_not_take_is_compared_all_the_same() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        g.store.is_full = True
        await g.talk(sensor, 10)
        sensor.began_s += 60 * 8
        await g.talk(sensor, 10)
        g.store.is_full = False
        await g.talk(sensor, 1800)
        assert (len(g.store.sessions()), len(g.store.kept())) == (1, 200)

    play(scenario)


def test_the_session_has_the_name_that_was_drawn_for_it() -> None:
    async def scenario(g: Gateway) -> None:
        names = []
        for rng in (random.Random(7), random.Random(7), random.Random(8)):
            world = Gateway(rng=rng)
            world.clocks.error_ms = None  # no trusted clock bears out what the sensor tells
            await world.talk(Sensor(age_min=10), 5)
            names.append(world.store.sessions()[0].uuid)
        assert names[0] == names[1] != names[2]
        assert names[0].version == 4

    play(scenario)


# When it began


@pytest.mark.parametrize(
    "start",
    [
        UNKNOWN,
        cgm.SessionStartTime(2000, 1, 1, 0, 0, 0),
        cgm.SessionStartTime(1970, 1, 1, 0, 0, 0),
        cgm.SessionStartTime(2026, 13, 20, 23, 30, 0),
        cgm.SessionStartTime(2026, 11, 20, 8, 0, 0),  # of the time zone next to it
        cgm.SessionStartTime(65_535, 255, 255, 255, 255, 255, 127, 254),
        cgm.SessionStartTime(9999, 12, 31, 23, 59, 59, -48, 0),
    ],
)
@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_start_is_believed_only_where_a_trusted_clock_agrees(
    start: cgm.SessionStartTime, is_trusted: bool
) -> None:
    async def scenario(g: Gateway) -> None:
        g.clocks.error_ms = 500 if is_trusted else None
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.start, sensor.refuses_time = start, True
        assert await g.talk(sensor, 10) is None
        assert g.store.kept() == list(DAY)
        (session,) = g.store.sessions()
        if is_trusted:
            assert session.start_utc_s is not None
            assert abs(session.start_utc_s - (MIDNIGHT_UTC_S - 60_000)) <= 60
            assert session.start_error_ms == 60_500
        else:
            assert session.start_error_ms is None
        assert (session.start_boot_no, session.start_boot_ns) == (1, -60_000 * S)

    play(scenario)


def test_a_start_that_agrees_is_kept_to_the_second() -> None:
    async def scenario(g: Gateway) -> None:
        await asyncio.sleep(100)
        sensor = Sensor(age_min=1000)
        sensor.start = cgm.SessionStartTime.from_utc_seconds(MIDNIGHT_UTC_S - 59_917)
        await g.talk(sensor, 10)
        (session,) = g.store.sessions()
        assert session.start_utc_s == session.told_start_utc_s == MIDNIGHT_UTC_S - 59_917

    play(scenario)


def test_a_session_of_an_untrusted_clock_gets_its_start_once_there_is_trust() -> None:
    async def scenario(g: Gateway) -> None:
        g.clocks.error_ms, g.clocks.wrong_s = None, -1e9
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.start = UNKNOWN

        async def later() -> None:
            await asyncio.sleep(600)
            assert g.store.sessions()[0].start_error_ms is None
            assert sensor.times_written == 0
            g.clocks.error_ms, g.clocks.wrong_s = 500, 0.0
            await asyncio.sleep(70)
            (session,) = g.store.sessions()
            assert session.start_utc_s is not None
            assert abs(session.start_utc_s - (MIDNIGHT_UTC_S - 60_000)) <= 60
            assert session.start_error_ms == 60_500
            assert g.periods.changes[-1][1] == session
            assert sensor.times_written == 1

        await beside(g.talk(sensor, 1200), later())

    play(scenario)


def test_a_start_that_is_vouched_for_does_not_move() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        before = g.store.sessions()[0]
        for _ in range(3):
            await asyncio.sleep(3617)
            g.restart(boots=True)
            await g.talk(sensor, 10)
        after = g.store.sessions()[0]
        assert (after.start_utc_s, after.start_error_ms) == (before.start_utc_s, before.start_error_ms)
        assert (after.start_boot_no, after.uuid) == (4, before.uuid)

    play(scenario)


@pytest.mark.parametrize("verified", [True, False])
def test_a_session_that_was_verified_tells_a_later_boot_the_time(verified: bool) -> None:
    async def scenario(g: Gateway) -> None:
        g.clocks.error_ms = 500 if verified else None
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        await asyncio.sleep(5000)
        g.restart(boots=True, error_ms=None, wrong_s=-1e9)
        await g.talk(sensor, 10)
        if not verified:
            assert g.clocks.suggested == []
            return
        ((utc_ns, boot_ns, error_ms, source),) = g.clocks.suggested
        truth_ns = MIDNIGHT_UTC_S * S + round(g.clocks.booted_s * S) + boot_ns
        assert abs(utc_ns - truth_ns) <= 60 * S
        assert (error_ms, source) == (120_500, "cgm")

    play(scenario)


def test_a_sensor_whose_clock_was_set_tells_nobody_the_time() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.began_s += 600
        sensor.start = cgm.SessionStartTime.from_utc_seconds(MIDNIGHT_UTC_S - 59_400)
        g.restart(boots=True, error_ms=None, wrong_s=-1e9)
        await g.talk(sensor, 10)
        assert g.clocks.suggested == []
        assert len(g.store.sessions()) == 1

    play(scenario)


# The sensor's clock is set


@pytest.mark.parametrize(
    ("off_s", "required", "is_trusted", "writes"),
    [
        (0, False, True, 0),
        (100, False, True, 0),
        (400, False, True, 1),
        (-400, False, True, 1),
        (0, True, True, 1),
        (400, True, False, 0),
    ],
)
def test_the_time_is_written_by_a_trusted_clock_where_it_is_wanted(
    off_s: int, required: bool, is_trusted: bool, writes: int
) -> None:
    async def scenario(g: Gateway) -> None:
        g.clocks.error_ms = 500 if is_trusted else None
        sensor = Sensor(age_min=60)
        sensor.start = cgm.SessionStartTime.from_utc_seconds(MIDNIGHT_UTC_S - 3600 + off_s)
        sensor.status |= SensorStatus.TIME_SYNC_REQUIRED if required else SensorStatus(0)
        await g.talk(sensor, 10)
        assert sensor.times_written == writes
        written = sensor.start.utc_seconds()
        assert written is not None
        if writes:
            assert abs(written - (MIDNIGHT_UTC_S - 3600)) <= 60

    play(scenario)


def test_a_time_that_was_written_makes_no_other_session_and_needs_no_comparison() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=995, stored=DAY)
        sensor.refuses_time = True
        sensor.start = cgm.SessionStartTime.from_utc_seconds(MIDNIGHT_UTC_S - 50_000)
        await g.talk(sensor, 10)
        sensor.refuses_time = False
        reports = len(sensor.reported)
        await g.talk(sensor, 10)
        assert sensor.times_written == 2
        assert len(sensor.reported) == reports
        (session,) = g.store.sessions()
        assert session.told_start_utc_s == sensor.start.utc_seconds()
        await g.talk(sensor, 10)
        assert len(sensor.reported) == reports

    play(scenario)


def test_a_time_that_was_refused_is_not_written_again_over_this_link() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=60)
        sensor.start, sensor.refuses_time = UNKNOWN, True
        assert await g.talk(sensor, 3 * 3600 + 60) is None
        assert sensor.times_written == 1
        await g.talk(sensor, 10)
        assert sensor.times_written == 2

    play(scenario)


# What a sensor may lack


@pytest.mark.parametrize("uuid", [uuids.CGM_SESSION_RUN_TIME, uuids.CGM_SESSION_START_TIME])
@pytest.mark.parametrize("is_torn", [True, False])
def test_what_nobody_needs_costs_no_session(uuid: str, is_torn: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        read = sensor.read

        def torn(asked: str) -> bytes:
            if asked == uuid and not is_torn:
                raise BleakCharacteristicNotFoundError(asked)
            return read(asked)[: -1 if asked == uuid else None]

        sensor.read = torn  # type: ignore[method-assign]
        assert await g.talk(sensor, 10) is None
        assert len(g.store.kept()) == 20
        (session,) = g.store.sessions()
        assert session.run_time_h == (None if uuid == uuids.CGM_SESSION_RUN_TIME else 240)

    play(scenario)


# What is live


def test_a_low_that_comes_while_stored_records_are_reported_is_known_at_once() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.answer = lambda: sensor.report_slowly(17.0)

        async def live() -> None:
            await asyncio.sleep(10)
            sensor.take(sensor.offset_min, 41.0)
            await asyncio.sleep(2)
            fact = g.facts.newest("cgm", "glucose")
            assert fact is not None
            assert fact.value == 41.0

        await beside(g.talk(sensor, 60), live())

    play(scenario)


def test_a_low_of_long_ago_is_never_live() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100)
        sensor.store(range(0, 95, 5), 40.0)
        sensor.store([95], 120.0)
        sensor.answer = lambda: sensor.report_slowly(0.03)
        await g.talk(sensor, 60)
        assert {fact.value for _, fact in g.facts.noted} == {120.0}
        assert g.facts.noted[-1][1].taken_boot_ns == -300 * S
        readings = g.store.readings(g.store.sessions()[0])
        assert [reading.fetched for reading in readings] == [True] * 19 + [False]

    play(scenario)


def test_a_link_lost_amid_a_report_leaves_nothing_live_behind() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.answer = lambda: sensor.report_slowly(0.03)
        await g.talk(sensor, 60, cut_at=100)
        assert 0 < len(g.store.kept()) < 200
        assert g.facts.noted == []

    play(scenario)


@pytest.mark.parametrize("is_full", [False, True])
def test_a_value_is_known_before_it_is_stored_and_without_it(is_full: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        g.store.delay_s, g.store.is_full = 30.0, is_full

        async def live() -> None:
            await sensor.live(1005, glucose=50.0)
            await asyncio.sleep(1)
            fact = g.facts.newest("cgm", "glucose")
            assert fact is not None
            assert fact.value == 50.0
            assert 1005 not in g.store.kept()

        await beside(g.talk(sensor, 400), live())

    play(scenario)


def test_what_comes_before_the_session_is_known_is_left_to_the_fetch() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=10, stored=[0, 5])
        payload = cgm.encode_measurement(CgmMeasurement(99.0, 5), crc=True)
        g.intake.process(Notification("cgm", 0, uuids.CGM_MEASUREMENT, 0, payload))
        g.cgm.take(Notification("cgm", 0, uuids.CGM_MEASUREMENT, 0, payload))
        await g.talk(sensor, 10)
        assert g.store.kept() == [0, 5]
        reading = g.store.tables.readings.get(1, "glucose", 5)
        assert reading is not None
        assert reading.value == 85.0

    play(scenario)


def test_what_another_link_brings_is_not_taken_amid_a_conversation() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        payload = cgm.encode_measurement(CgmMeasurement(40.0, 1000), crc=True)

        async def stranger() -> None:
            await asyncio.sleep(10)
            g.cgm.take(Notification("cgm", 99, uuids.CGM_MEASUREMENT, g.clocks.boot_ns(), payload))

        await beside(g.talk(sensor, 60), stranger())
        assert g.store.kept() == list(DAY)
        assert all(fact.value != 40.0 for _, fact in g.facts.noted)

    play(scenario)


def test_what_comes_over_a_new_link_before_the_session_is_known_is_not_of_the_last_one() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.begin_anew(1001, range(0, 1000, 5))
        sensor.store(sensor.stored, 199.0)
        read, opened = sensor.read, sensor.reads[uuids.CGM_STATUS]

        def at_once(uuid: str) -> bytes:
            if uuid == uuids.CGM_STATUS and sensor.reads[uuid] == opened + 1:
                sensor.take(1000, 199.0)  # of another session, and nothing in it says so
            return read(uuid)

        sensor.read = at_once  # type: ignore[method-assign]
        await g.talk(sensor, 60)
        assert (g.store.kept(1), g.store.kept(2)) == (list(DAY), [*DAY, 1000])

    play(scenario)


def test_what_comes_while_sessions_are_compared_is_kept_once_it_is_known_which_it_is() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        sensor.began_s -= 60 * 20
        sensor.start = UNKNOWN
        sensor.answer = lambda: sensor.report_slowly(2.0)

        async def live() -> None:
            await asyncio.sleep(3)
            sensor.take(1020, 66.0)
            del sensor.stored[1020]  # no report will bring it

        await beside(g.talk(sensor, 60), live())
        assert len(g.store.sessions()) == 1
        assert g.store.kept() == [*DAY, 1020]

    play(scenario)


def test_a_record_of_long_ago_that_nobody_asked_for_is_not_kept_after_a_second_look_either() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)

        async def stray() -> None:
            await asyncio.sleep(10)
            reads = sensor.reads[uuids.CGM_STATUS]
            sensor.take(32, 40.0)
            del sensor.stored[32]
            await asyncio.sleep(2)
            assert sensor.reads[uuids.CGM_STATUS] == reads + 1

        await beside(g.talk(sensor, 600), stray())
        assert g.store.kept() == list(DAY)

    play(scenario)


def test_what_was_refused_over_a_link_is_not_asked_again_of_a_session_begun_anew_over_it() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY, counts=False)

        async def live() -> None:
            await asyncio.sleep(60)
            sensor.begin_anew()
            await sensor.live(0, 5, 10, glucose=111.0)

        await beside(g.talk(sensor, 3 * 3600), live())
        assert g.store.kept(2) == [0, 5, 10]
        assert len(operators(sensor, racp.OpCode.REPORT_NUMBER)) == 1

    play(scenario)


# Warm-up


def test_a_new_session_warms_up_and_says_so() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=10)

        async def live() -> None:
            await asyncio.sleep(1)
            assert g.cgm.warm_up_left_s == pytest.approx(110 * 60, abs=61)
            await sensor.live(30, glucose=Special.NAN)
            await asyncio.sleep(1)
            state = g.cgm.state()
            assert state.warm_up_left_s is not None
            reading = g.store.tables.readings.get(1, "glucose", 30)
            assert reading is not None
            assert reading.not_counted == NotCounted.WARMING_UP
            assert g.facts.heard_boot_ns("cgm") is not None
            assert g.facts.newest("cgm", "glucose") is None
            await sensor.live(60)
            await asyncio.sleep(1)
            assert g.cgm.warm_up_left_s is None
            await sensor.live(65, glucose=Special.NAN)
            await asyncio.sleep(1)
            reading = g.store.tables.readings.get(1, "glucose", 65)
            assert reading is not None
            assert reading.not_counted == NotCounted.NO_MEASUREMENT

        await beside(g.talk(sensor, 3600), live())
        g.restart()
        assert g.cgm.warm_up_left_s is None

    play(scenario)


def test_a_warm_up_is_known_between_links_and_ends_by_itself() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=10)
        await g.talk(sensor, 10)
        assert g.cgm.warm_up_left_s is not None
        g.restart()
        assert g.cgm.warm_up_left_s is not None
        await asyncio.sleep(111 * 60)
        assert g.cgm.warm_up_left_s is None

    play(scenario)


# What is shown and learned


def test_the_phases_of_a_link_are_told() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.answer = lambda: sensor.report_slowly(1.0)
        read = sensor.read
        phases: list[Phase | None] = []

        def watched(uuid: str) -> bytes:
            phases.append(g.cgm.state().phase)
            return read(uuid)

        sensor.read = watched  # type: ignore[method-assign]

        async def look() -> None:
            assert g.cgm.state().phase is None
            await asyncio.sleep(100)
            state = g.cgm.state()
            assert (state.phase, state.session_number, state.asks) == (Phase.FETCHING, 1, 1)
            assert state.missing is not None
            assert 90 < state.missing < 110
            await asyncio.sleep(150)
            state = g.cgm.state()
            assert (state.phase, state.missing, state.watermark_min) == (Phase.STREAMING, 2, 995)

        await beside(g.talk(sensor, 300), look())
        assert set(phases) == {Phase.SETTLING}
        assert g.cgm.state().phase is None

    play(scenario)


def test_the_order_of_a_sensors_octets_is_learned_once() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.order, sensor.status = (
            OctetOrder.REVERSED,
            SensorStatus.BATTERY_LOW | SensorStatus.BELOW_MEASURABLE,
        )
        await g.talk(sensor, 60)
        g.restart()
        sensor.store([1000])
        sensor.status = SensorStatus.SENSOR_MALFUNCTION | SensorStatus.BELOW_MEASURABLE
        await g.talk(sensor, 60)
        reading = g.store.tables.readings.get(1, "glucose", 1000)
        assert reading is not None
        assert reading.not_counted == NotCounted.MALFUNCTION

    play(scenario)


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 17, 40])
def test_giving_up_at_any_moment_leaves_nothing_half_done(turns: int) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=100, stored=range(0, 100, 5))
        link = g.link(sensor)
        line = asyncio.ensure_future(g.intake.run())
        talk = asyncio.ensure_future(g.cgm.converse(link))  # type: ignore[arg-type]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in (talk, line):
            task.cancel()
            await asyncio.wait({task})
        link.direct.end()
        assert g.cgm.state().phase is None
        await asyncio.sleep(10)
        await g.talk(sensor, 60)
        assert (g.store.kept(), g.store.watermark, len(g.store.sessions())) == (list(range(0, 100, 5)), 95, 1)

    play(scenario)


# What the store does


@pytest.mark.parametrize("delay_s", [0.0, 4.0])
def test_what_could_not_be_stored_is_fetched_when_it_can(delay_s: float) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        g.store.delay_s, g.store.is_full = delay_s, True

        async def later() -> None:
            await sensor.live(*range(1000, 1060, 5))
            assert (g.store.kept(), g.store.sessions()) == ([], [])
            reports = len(sensor.reported)
            assert reports < 12
            g.store.is_full = False
            await sensor.live(1060)
            await asyncio.sleep(60)
            assert g.store.kept() == list(range(0, 1065, 5))
            assert g.store.watermark == 1060

        await beside(g.talk(sensor, 2 * 3600), later())

    play(scenario)


@pytest.mark.parametrize("kill_s", [1.0, 3.9, 4.1, 9.0])
def test_a_gateway_killed_before_the_commit_fetches_again_what_was_lost(kill_s: float) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.answer = lambda: sensor.report_slowly(0.03)
        g.store.delay_s = 4.0
        await g.talk(sensor, kill_s)
        g.restart()
        stored = g.store.kept()
        assert g.store.watermark <= max(stored, default=-1) if g.store.sessions() else stored == []
        await g.talk(sensor, 30)
        assert (g.store.kept(), g.store.watermark) == (list(DAY), 995)
        assert sum(map(len, sensor.reported)) <= 400

    play(scenario)
