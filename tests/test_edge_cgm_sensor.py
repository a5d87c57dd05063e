"""Every record a CGM sensor stored arrives once, in its session, however the sensor and its link behave."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from datetime import date
from pathlib import Path

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, minimal_config, open_store

from edge.anchors import Anchors
from edge.cgm_sensor import CgmSensor
from edge.errors import SensorLost
from edge.inbox import Inbox, Notification
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.summary import Summaries
from hw_sim.clock import VirtualClock, run
from protocols import cgm, racp, uuids
from protocols.cgm import CgmMeasurement, SensorStatus
from protocols.errors import DecodeError
from protocols.medfloat import MedFloat, Special

S = 10**9
UNKNOWN = cgm.SessionStartTime(0, 0, 0, 0, 0, 0, time_zone_quarters=None, dst=None)


class Sensor:
    """The far end of a link, doing exactly what a test says; its session began `age_min` ago."""

    def __init__(self, gateway: "Gateway", *, age_min: int, crc: bool = True) -> None:
        self.gateway = gateway
        self.crc = crc
        self.status = SensorStatus(0)
        self.begin(age_min)
        self.start = cgm.SessionStartTime.from_utc_seconds(self.began_s + MIDNIGHT_UTC_S)
        self.stored: dict[int, MedFloat] = {}
        self.spoilt: set[int] = set()
        self.reported: list[list[int]] = []
        self.answer: Callable[[], None] = self.report
        self.on_subscribe: Callable[[], None] = lambda: None

    def begin(self, age_min: int) -> None:
        self.began_s = round(asyncio.get_running_loop().time()) - 60 * age_min

    @property
    def offset_min(self) -> int:
        return math.floor((asyncio.get_running_loop().time() - self.began_s) / 60)

    async def read(self, uuid: str) -> bytes:
        match uuid:
            case uuids.CGM_FEATURE:
                feature = cgm.Feature.E2E_CRC if self.crc else cgm.Feature(0)
                return cgm.encode_feature(cgm.CgmFeature(feature))
            case uuids.CGM_STATUS:
                return cgm.encode_status(cgm.CgmStatus(self.offset_min, self.status), crc=self.crc)
            case uuids.CGM_SESSION_START_TIME:
                return cgm.encode_session_start(self.start, crc=self.crc)
            case uuids.CGM_SESSION_RUN_TIME:
                return cgm.encode_session_run_time(240, crc=self.crc)
        raise AssertionError(uuid)

    async def write(self, uuid: str, payload: bytes) -> None:
        if uuid == uuids.CGM_SESSION_START_TIME:
            now = cgm.decode_session_start(payload, crc=self.crc).utc_seconds()
            assert now is not None
            self.start = cgm.SessionStartTime.from_utc_seconds(now - 60 * self.offset_min)
            self.status &= ~SensorStatus.TIME_SYNC_REQUIRED
            return
        assert uuid == uuids.RACP
        request = racp.decode_request(payload)
        assert request.op == racp.OpCode.REPORT
        offsets = racp.requested_offsets(request)
        assert isinstance(offsets, range)
        self.reported.append([offset for offset in self.stored if offset in offsets])
        self.answer()

    async def subscribe(self, _: str) -> None:
        self.on_subscribe()

    async def battery_pct(self) -> int:
        return 50

    def report(self) -> None:
        for offset in self.reported[-1]:
            self.notify(offset)
        code = racp.Code.SUCCESS if self.reported[-1] else racp.Code.NO_RECORDS
        self.respond(code)

    def respond(self, code: int) -> None:
        self.put(uuids.RACP, racp.encode_response(racp.ResponseCode(racp.OpCode.REPORT, code)))

    def notify(self, offset: int) -> None:
        payload = cgm.encode_measurement(CgmMeasurement(self.stored[offset], offset), crc=self.crc)
        if offset in self.spoilt:
            payload = payload[:-1] + bytes([payload[-1] ^ 0xFF])
        self.put(uuids.CGM_MEASUREMENT, payload)

    def put(self, uuid: str, payload: bytes) -> None:
        self.gateway.inbox.put(Notification("cgm", uuid, self.gateway.clock.boot_ns(), payload))

    def store(self, offsets: Iterable[int], glucose: MedFloat = 100.0) -> None:
        self.stored |= dict.fromkeys(offsets, glucose)

    def take(self, offset: int, glucose: MedFloat = 100.0) -> None:
        """A live reading: stored, and notified."""
        self.store([offset], glucose)
        self.notify(offset)


class Gateway:
    """The parts of a gateway that a CGM sensor stands on."""

    def __init__(self, directory: Path) -> None:
        self.config = minimal_config(directory)
        self.store = open_store(self.config)
        self.clock = VirtualClock(MIDNIGHT_UTC_S * S, "boot-1")
        self.restart()

    def restart(self) -> None:
        self.inbox = Inbox(4096)
        outbox = Outbox(self.store, self.clock)
        anchors = Anchors(self.store, self.clock)
        summaries = Summaries(self.config, IDENTITY, self.store, outbox, anchors, self.clock)
        limits = self.config.limits
        self.cgm = CgmSensor(self.config.sensors[1], self.store, summaries, self.inbox, self.clock, limits)
        self.pipeline = Pipeline(self.inbox, {"cgm": self.cgm})

    def kept(self, number: int | None = None) -> list[int]:
        """Offsets in the store, of the newest session or of the one with that number."""
        sql = "SELECT time_offset_min FROM cgm_records JOIN cgm_sessions ON session_id = id WHERE number = "
        sql += "(SELECT max(number) FROM cgm_sessions)" if number is None else str(number)
        return [offset for (offset,) in self.store.read(sql + " ORDER BY time_offset_min")]

    @property
    def sessions(self) -> int:
        return int(self.store.read("SELECT count(*) FROM cgm_sessions")[0][0])

    @property
    def watermark(self) -> int:
        session = self.store.current_session("cgm")
        assert session is not None
        return self.store.watermark(session)

    def hold_up_pipeline(self, until: Callable[[], bool]) -> None:
        """Nothing is taken out of the inbox before."""
        flow = self.pipeline.run

        async def late() -> None:
            while not until():
                await asyncio.sleep(0.1)
            await flow()

        self.pipeline.run = late  # type: ignore[method-assign]

    async def talk(self, sensor: Sensor, seconds: float) -> BaseException | None:
        """One connection for so long; how the conversation ended by itself, if it did."""
        line = asyncio.ensure_future(self.pipeline.run())
        talk = asyncio.ensure_future(self.cgm.converse(sensor))  # type: ignore[arg-type]
        await asyncio.wait({talk, line}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        assert not line.done()
        ended = talk.exception() if talk.done() else None
        for task in (talk, line):
            task.cancel()
        await asyncio.wait({talk, line})
        return ended


Scenario = Callable[[Gateway], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scenario], None]:
    async def main(scenario: Scenario) -> None:
        await scenario(Gateway(tmp_path))

    return lambda scenario: run(main(scenario))


Play = Callable[[Scenario], None]


# What is stored arrives


@pytest.mark.parametrize("crc", [True, False])
def test_everything_stored_is_fetched_and_then_only_what_is_new(play: Play, crc: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=1000, crc=crc)
        sensor.store(range(0, 1000, 5))
        assert await g.talk(sensor, 60) is None
        assert g.kept() == list(range(0, 1000, 5))
        assert (g.watermark, g.cgm.battery_pct, g.cgm.records) == (995, 50, 200)
        sensor.store([1000, 1005, 1010])
        await asyncio.sleep(900)
        await g.talk(sensor, 60)
        assert sensor.reported[1:] == [[1000, 1005, 1010]]
        assert g.kept() == list(range(0, 1015, 5))
        assert g.sessions == 1

    play(scenario)


def test_what_is_there_is_compared_once_an_hour(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=10)
        await g.talk(sensor, 3 * 3600 + 60)
        assert len(sensor.reported) == 4

    play(scenario)


def test_a_missed_live_reading_is_asked_for_at_once_and_an_unsteady_step_is_not(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))

        async def live() -> None:
            for minute in (100, 104, 110, 115):
                await asyncio.sleep(60 * (minute - sensor.offset_min))
                sensor.take(minute)
            sensor.store([120])  # not notified
            await asyncio.sleep(600)
            assert len(sensor.reported) == 1
            sensor.take(125)
            await asyncio.sleep(1)
            assert sensor.reported[1:] == [[100, 104, 110, 115, 120, 125]]
            assert g.kept()[-2:] == [120, 125]

        living = asyncio.ensure_future(live())
        await g.talk(sensor, 3000)
        await living

    play(scenario)


@pytest.mark.parametrize(
    ("glucose", "kept", "live"),
    [
        (Special.POSITIVE_INFINITY, math.inf, math.inf),
        (Special.NEGATIVE_INFINITY, -math.inf, -math.inf),
        (Special.NAN, None, 100.0),
        (Special.NRES, None, 100.0),
        (0.0, 0.0, 0.0),
    ],
)
def test_hi_lo_and_no_measurement_stay_what_they_are(
    play: Play, glucose: MedFloat, kept: float | None, live: float
) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=10)
        sensor.store([0])
        sensor.store([5], glucose)
        await g.talk(sensor, 60)
        session = g.store.current_session("cgm")
        assert session is not None
        assert g.store.record(session, 5).glucose_mg_dl == kept
        assert g.cgm.live is not None
        assert g.cgm.live.glucose_mg_dl == live
        shown = g.cgm.live_status(g.clock.boot_ns())["glucose_mg_dl"]
        assert shown == (live if math.isfinite(live) else None)

    play(scenario)


# Nothing is believed to be fetched that is not


@pytest.mark.parametrize("spoilt", [0, 50, 95])
def test_a_record_with_a_wrong_checksum_holds_the_watermark_until_it_comes_right(
    play: Play, spoilt: int
) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        sensor.spoilt = {spoilt}
        await g.talk(sensor, 60)
        assert g.watermark == -1
        assert (g.cgm.bad_records, g.pipeline.undecodable["cgm"]) == (1, 1)
        assert g.kept() == [offset for offset in range(0, 100, 5) if offset != spoilt]
        sensor.spoilt = set()
        await g.talk(sensor, 60)
        assert g.kept() == list(range(0, 100, 5))
        assert g.watermark == 95

    play(scenario)


def test_records_the_inbox_dropped_hold_the_watermark(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        g.inbox._capacity = 16
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        assert await g.talk(sensor, 60) is None
        assert g.inbox.dropped["cgm"] == 5
        assert (len(g.kept()), g.watermark) == (15, -1)

    play(scenario)


def test_a_fetch_cut_short_begins_again_where_it_was_sure(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))

        def answer() -> None:
            for offset in (0, 5, 10):
                sensor.notify(offset)

        sensor.answer = answer
        await g.talk(sensor, 10)
        assert (g.kept(), g.watermark) == ([0, 5, 10], -1)
        sensor.answer = sensor.report
        await g.talk(sensor, 10)
        assert len(sensor.reported[-1]) == 20
        assert (g.kept(), g.watermark) == (list(range(0, 100, 5)), 95)

    play(scenario)


def test_the_answer_to_a_fetch_of_the_link_before_ends_no_other(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        sensor.respond(racp.Code.SUCCESS)  # still in the inbox when the next fetch is under way
        await asyncio.sleep(1)
        sensor.answer = lambda: None
        g.hold_up_pipeline(lambda: bool(sensor.reported))
        assert isinstance(await g.talk(sensor, 60), SensorLost)
        assert (g.kept(), g.watermark) == ([], -1)

    play(scenario)


def test_records_of_the_session_before_do_not_land_in_the_next_one(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        await g.talk(sensor, 10)
        sensor.take(100)  # the pipeline does not get to it before the sensor is worn anew
        await asyncio.sleep(7200)
        sensor.begin(0)
        sensor.start, sensor.stored = UNKNOWN, {}
        sensor.store([0])
        g.hold_up_pipeline(lambda: g.sessions == 2)
        await g.talk(sensor, 10)
        assert g.kept(1) == list(range(0, 100, 5))
        assert g.kept(2) == [0]

    play(scenario)


def test_an_answer_behind_a_long_queue_is_waited_for(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        process = g.pipeline.process

        async def slowly() -> None:
            while True:
                process(await g.inbox.get())
                await asyncio.sleep(20)  # 400 s for all, each well within a procedure's patience

        g.pipeline.run = slowly  # type: ignore[method-assign]
        assert await g.talk(sensor, 1000) is None
        assert (len(g.kept()), g.watermark) == (20, 95)

    play(scenario)


# Control points that do not do as they should


@pytest.mark.parametrize(
    "code", [racp.Code.OPERATOR_UNSUPPORTED, racp.Code.SERVER_BUSY, racp.Code.NOT_COMPLETED, 77]
)
def test_a_sensor_that_refuses_to_report_keeps_its_link_and_is_asked_again(
    play: Play, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        sensor.answer = lambda: sensor.respond(code)

        async def live() -> None:
            await asyncio.sleep(1)
            sensor.take(100)
            await asyncio.sleep(400)
            assert (g.kept(), g.cgm.refusals, g.watermark) == ([100], 4, -1)
            assert g.cgm.live is not None
            sensor.answer = sensor.report

        living = asyncio.ensure_future(live())
        assert await g.talk(sensor, 1000) is None
        await living
        assert (g.kept(), g.cgm.refusals, g.watermark) == (list(range(0, 105, 5)), 0, 100)

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert len(caplog.records) == 1


def test_a_control_point_that_never_answers_costs_the_link(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=10)
        sensor.answer = lambda: None
        ended = await g.talk(sensor, 100)
        assert isinstance(ended, SensorLost)
        assert asyncio.get_running_loop().time() == pytest.approx(30.0)
        assert not g.cgm.is_fetching

    play(scenario)


def test_rubbish_from_the_control_point_is_counted_and_the_answer_still_taken(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=10)
        sensor.store([0])

        def answer() -> None:
            sensor.put(uuids.RACP, b"\x99")
            sensor.put(uuids.RACP, b"\x05\x00\x01\x00")  # a number that nobody asked for
            sensor.report()

        sensor.answer = answer
        assert await g.talk(sensor, 10) is None
        assert (g.kept(), g.watermark, g.pipeline.undecodable["cgm"]) == ([0], 0, 2)

    play(scenario)


@pytest.mark.parametrize("uuid", [uuids.CGM_FEATURE, uuids.CGM_STATUS, uuids.CGM_SESSION_START_TIME])
def test_a_sensor_that_cannot_be_understood_is_a_decode_error(play: Play, uuid: str) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=10)
        read = sensor.read

        async def torn(asked: str) -> bytes:
            return (await read(asked))[:-1] if asked == uuid else await read(asked)

        sensor.read = torn  # type: ignore[method-assign, assignment]
        assert isinstance(await g.talk(sensor, 10), DecodeError)

    play(scenario)


# Sessions


def test_what_comes_before_the_session_is_known_is_left_to_the_fetch(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=10)
        g.pipeline.process(
            Notification(
                "cgm", uuids.CGM_MEASUREMENT, 0, cgm.encode_measurement(CgmMeasurement(99.0, 5), crc=True)
            )
        )
        sensor.store([5])
        sensor.on_subscribe = lambda: sensor.notify(5)  # with the answer to the subscription
        await g.talk(sensor, 10)
        assert g.kept() == [5]

    play(scenario)


def test_only_a_sensor_without_a_clock_is_given_one(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        await asyncio.sleep(100)
        sensor = Sensor(g, age_min=60)
        set_by_hand = cgm.SessionStartTime(2026, 11, 20, 23, 30, 0)
        sensor.start = set_by_hand
        await g.talk(sensor, 10)
        assert sensor.start == set_by_hand
        sensor.start = UNKNOWN
        await g.talk(sensor, 10)
        written = sensor.start.utc_seconds()
        assert written is not None
        assert abs(written - (MIDNIGHT_UTC_S + 110 - 3600)) <= 60

    play(scenario)


@pytest.mark.parametrize(
    "start",
    [
        cgm.SessionStartTime(2026, 13, 20, 23, 30, 0),
        cgm.SessionStartTime(2026, 2, 31, 23, 30, 0),
        cgm.SessionStartTime(2026, 11, 20, 24, 30, 0),
        cgm.SessionStartTime(65_535, 255, 255, 255, 255, 255, 127, 254),
        cgm.SessionStartTime(1, 1, 1, 0, 0, 0, 56, 8),
        cgm.SessionStartTime(9999, 12, 31, 23, 59, 59, -48, 0),
    ],
)
def test_a_session_that_began_at_no_credible_time_began_by_the_gateways_clock(
    play: Play, start: cgm.SessionStartTime
) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=60)
        sensor.store(range(0, 60, 5))
        sensor.start = start
        with g.store.transaction():  # there are closed days, to which records may belong
            g.store.set_cursor("glucose_day/cgm", date(2026, 11, 1).toordinal())
        assert await g.talk(sensor, 10) is None
        assert g.kept() == list(range(0, 60, 5))
        session = g.store.current_session("cgm")
        assert session is not None
        assert abs(session.start_utc_s - (MIDNIGHT_UTC_S - 3600)) <= 60

    play(scenario)


@pytest.mark.parametrize("restart", [False, True])
def test_a_lost_clock_set_again_is_the_same_session(play: Play, restart: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=600)
        sensor.store(range(0, 600, 5))
        await g.talk(sensor, 10)
        sensor.start = UNKNOWN
        sensor.status |= SensorStatus.TIME_SYNC_REQUIRED
        if restart:
            g.restart()
        await g.talk(sensor, 10)
        assert (g.sessions, len(g.kept())) == (1, 120)

    play(scenario)


@pytest.mark.parametrize("step_s", [-86_400, 86_400])
def test_a_wall_clock_that_was_set_in_between_does_not_double_the_readings(play: Play, step_s: int) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=600)
        sensor.store(range(0, 600, 5))
        await g.talk(sensor, 10)
        g.clock.epoch_utc_ns += step_s * S
        sensor.start = UNKNOWN
        await g.talk(sensor, 10)
        assert (g.sessions, len(g.kept())) == (1, 120)

    play(scenario)


@pytest.mark.parametrize("restart", [False, True])
def test_a_session_begun_anew_while_away_is_another_session(play: Play, restart: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=600)
        sensor.store(range(0, 600, 5))
        await g.talk(sensor, 10)
        await asyncio.sleep(3600)
        sensor.begin(30)
        sensor.start, sensor.stored = UNKNOWN, {}
        sensor.store(range(0, 30, 5))
        if restart:
            g.restart()
        await g.talk(sensor, 10)
        assert g.sessions == 2
        assert (g.kept(1), g.kept(2)) == (list(range(0, 600, 5)), list(range(0, 30, 5)))
        assert g.watermark == 25

    play(scenario)


def test_a_session_begun_anew_over_a_live_link_is_noticed_with_its_first_reading(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=600)
        sensor.store(range(0, 600, 5))

        async def live() -> None:
            await asyncio.sleep(60)
            sensor.begin(0)
            sensor.start, sensor.stored = UNKNOWN, {}
            sensor.take(0, 111.0)
            await asyncio.sleep(300)
            sensor.take(5, 112.0)

        living = asyncio.ensure_future(live())
        await g.talk(sensor, 600)
        await living
        assert (g.kept(1), g.kept(2)) == (list(range(0, 600, 5)), [0, 5])
        assert g.cgm.live is not None
        assert g.cgm.live.glucose_mg_dl == 112.0

    play(scenario)


def test_an_offset_of_the_future_is_not_believed(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100, crc=False)
        sensor.store(range(0, 100, 5))

        async def live() -> None:
            await asyncio.sleep(1)
            sensor.stored[60_000] = 100.0
            sensor.notify(60_000)
            del sensor.stored[60_000]
            await asyncio.sleep(299)
            sensor.take(105)

        living = asyncio.ensure_future(live())
        await g.talk(sensor, 400)
        await living
        assert g.kept() == [*range(0, 100, 5), 105]
        assert g.sessions == 1

    play(scenario)


def test_a_record_that_comes_while_the_session_is_looked_at_begins_no_other(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        read = sensor.read

        async def slow(uuid: str) -> bytes:
            value = await read(uuid)
            if uuid == uuids.CGM_STATUS and sensor.reported and sensor.offset_min not in sensor.stored:
                await asyncio.sleep(300)  # the status is five minutes old when it comes
                sensor.take(sensor.offset_min)
                await asyncio.sleep(1)
            return value

        sensor.read = slow  # type: ignore[method-assign]
        await g.talk(sensor, 3 * 3600)
        assert g.sessions == 1

    play(scenario)


# What is live


def test_a_low_of_long_ago_is_never_live_while_the_past_is_fetched(play: Play) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 95, 5), 40.0)
        sensor.store([95], 120.0)
        seen: set[float] = set()
        process = g.pipeline.process

        async def watched() -> None:
            while True:
                process(await g.inbox.get())
                seen.update([g.cgm.live.glucose_mg_dl] if g.cgm.live else [])
                await asyncio.sleep(0.03)

        g.pipeline.run = watched  # type: ignore[method-assign]
        await g.talk(sensor, 60)
        assert seen <= {120.0}
        assert g.cgm.live is not None
        assert g.cgm.live.glucose_mg_dl == 120.0
        assert (g.clock.boot_ns() - g.cgm.live.boot_ns) / S == pytest.approx(60 + 300, abs=60)

    play(scenario)


@pytest.mark.parametrize("turns", [1, 2, 3, 17, 40])
def test_giving_up_at_any_moment_leaves_nothing_half_done(play: Play, turns: int) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(g, age_min=100)
        sensor.store(range(0, 100, 5))
        line = asyncio.ensure_future(g.pipeline.run())
        talk = asyncio.ensure_future(g.cgm.converse(sensor))  # type: ignore[arg-type]
        for _ in range(turns):
            await asyncio.sleep(0)
        talk.cancel()
        await asyncio.wait({talk})
        line.cancel()
        await asyncio.wait({line})
        assert not g.cgm.is_fetching
        assert not g.store.in_transaction
        await asyncio.sleep(1)
        await g.talk(sensor, 60)
        assert (g.kept(), g.watermark, g.sessions) == (list(range(0, 100, 5)), 95, 1)

    play(scenario)
