"""What becomes of records that come before the sensor's clock is known, or do not fit what is known."""

import asyncio

from cgm_parts import Gateway
from scripted_cgm import Sensor, beside, play

from edge.sensors.cgm_ledger import Loss
from protocols import uuids
from protocols.racp import Operator

DAY = range(0, 1000, 5)


def test_a_reading_that_comes_before_the_clock_is_read_is_known_once_it_is() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.answer = lambda: None
        read = sensor.read

        def read_and_tell(uuid: str) -> bytes:
            # Its state is read once before the subscription, and once after it.
            if uuid == uuids.CGM_STATUS and sensor.reads[uuid] == 1:
                sensor.take(1000, 50.0)
            return read(uuid)

        sensor.read = read_and_tell  # type: ignore[method-assign]
        await g.talk(sensor, 1)
        fact = g.facts.newest("cgm", "glucose")
        assert fact is not None
        assert fact.value == 50.0
        assert g.store.kept() == [1000]

    play(scenario)


def test_a_session_begun_anew_silently_is_known_by_records_where_everything_was_settled() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.refused = {Operator.WITHIN_RANGE, Operator.GREATER_OR_EQUAL}
        sensor.answer = lambda: sensor.report_slowly(0.1)

        async def silently() -> None:
            await asyncio.sleep(60)
            sensor.begin_anew(7, stored=[1, 6])

        await beside(g.talk(sensor, 1200), silently())
        assert (g.store.kept(1), g.store.kept(2)) == (list(DAY), [1, 6])

    play(scenario)


def test_a_record_where_everything_was_settled_is_kept_once_the_session_is_known_to_be_the_same() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)

        async def live() -> None:
            await sensor.live(1000, 1005)
            sensor.store([1007])  # out of turn, and not notified
            await sensor.live(*range(1010, 1070, 5))

        await beside(g.talk(sensor, 4200), live())
        assert g.store.kept() == [*range(0, 1006, 5), 1007, *range(1010, 1070, 5)]
        assert len(g.store.sessions()) == 1

    play(scenario)


def test_a_session_begun_anew_silently_is_known_by_records_where_there_were_none() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=range(500, 1000, 5))
        sensor.refused = {Operator.WITHIN_RANGE, Operator.GREATER_OR_EQUAL}

        async def silently() -> None:
            await asyncio.sleep(200)
            assert g.store.given_up == [(0, 499, Loss.NO_RECORDS)]
            sensor.begin_anew(7, stored=[1, 6])

        await beside(g.talk(sensor, 1200), silently())
        assert (g.store.kept(1), g.store.kept(2)) == (list(range(500, 1000, 5)), [1, 6])

    play(scenario)


def test_however_many_records_come_after_all_they_are_kept() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=range(500, 1000, 5))
        sensor.refused = {Operator.WITHIN_RANGE, Operator.GREATER_OR_EQUAL}
        sensor.answer = lambda: sensor.report_slowly(0.01)

        async def live() -> None:
            await sensor.live(1000, 1005)
            assert g.store.given_up == [(0, 499, Loss.NO_RECORDS)]
            sensor.store(range(500))
            await sensor.live(*range(1010, 1070, 5))

        await beside(g.talk(sensor, 4200), live())
        assert g.store.kept() == [*range(500), *range(500, 1070, 5)]

    play(scenario)


def test_what_comes_before_the_request_is_answered_has_the_clock_read_at_once() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        sensor.refused = {Operator.WITHIN_RANGE, Operator.GREATER_OR_EQUAL}

        async def silently() -> None:
            await asyncio.sleep(60)
            sensor.begin_anew(4, stored=[3])
            sensor.answer = lambda: sensor.notify(3)  # and nothing ends the report
            reports = len(sensor.reported)
            while len(sensor.reported) == reports:
                await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            fact = g.facts.newest("cgm", "glucose")
            assert fact is not None
            assert fact.value == sensor.stored[3]

        await beside(g.talk(sensor, 400), silently())

    play(scenario)


def test_a_reading_that_is_fetched_after_the_clock_was_set_forward_is_newer_than_those_before() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await beside(g.talk(sensor, 90), sensor.live(1001, glucose=101.0))
        sensor.store([1002], 102.0)  # while there is no link
        sensor.began_s -= 8 * 60
        await g.talk(sensor, 5)
        fact = g.facts.newest("cgm", "glucose")
        assert fact is not None
        assert fact.value == 102.0

    play(scenario)
