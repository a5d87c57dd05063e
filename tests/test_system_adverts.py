"""Sensors that only advertise, in a whole home with its gateway, in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from edge.contact import Phase
from edge.radio.trouble import Trouble
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.sensors import xiaomi_scale
from hw_sim.sensors.advertiser import Advertiser, company_data, flood
from hw_sim.sensors.aidex_sensor import AidexSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from hw_sim.sensors.peripheral import Peripheral
from hw_sim.sensors.xiaomi_scale import BATTERIES_IN, Step, XiaomiScale
from protocols import aidex
from protocols.aidex import Advertisement, GlucoseRecord
from protocols.date_time import DateTime
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import STRAP, Person, Sensor, home_of

NAME = "LinX-22222DXJ9C"
AIDEX = Sensor(id="cgm", kind="aidex", address=NAME)
HOUR_S = 3600.0


def glucose() -> Iterator[tuple[float, float]]:
    """A value each minute, no two of three in a row the same."""
    n = 0
    while True:
        yield 60.0 * n, 100.0 + n % 37
        n += 1


@asynccontextmanager
async def home(
    directory: Path, *, age_s: float = 7200.0, **quirks: Any
) -> AsyncIterator[tuple[World, AidexSensor]]:
    """A home with one such sensor, and the gateway that listens to it."""

    def bodies(air: Air) -> list[Peripheral]:
        return [AidexSensor(air, NAME, glucose(), begin_s=5.0, session_age_s=age_s, **quirks)]

    async with open_world(home_of(AIDEX), directory, bodies=bodies) as world:
        yield world, world.sensor("cgm")


def readings(world: World, number: int | None = None) -> list[Reading]:
    tables = world.gateway.store.tables
    sessions = tables.sessions.of_sensor(world.row_no("cgm"))
    chosen = [session for session in sessions if number in (None, session.number)]
    return tables.readings.between(chosen[-1].no, "glucose", 0, 1 << 30) if chosen else []


def sessions(world: World) -> int:
    return len(world.gateway.store.tables.sessions.of_sensor(world.row_no("cgm")))


def contact(world: World):
    return world.gateway.contacts["cgm"].state


def expected(sensor: AidexSensor) -> list[tuple[int, float]]:
    return [(one.minute, float(one.glucose_mg_dl)) for one in sensor.measured if one.minute in sensor.told]


@pytest.mark.parametrize("period_min", [1, 5])
def test_every_reading_that_was_told_is_stored_once(tmp_path: Path, period_min: int) -> None:
    async def main() -> None:
        async with home(tmp_path, period_min=period_min) as (world, sensor):
            await world.for_s(3 * HOUR_S)
            told = expected(sensor)
            assert len(told) > 100
            assert [(r.sequence, r.value) for r in readings(world)] == told
            assert all(r.not_counted is None for r in readings(world))
            assert contact(world).phase is Phase.STREAMING
            assert (await world.gateway.status()).sensors[0].trouble is None

    run(main())


def test_gaps_of_two_are_filled_and_longer_ones_noted(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(1800.0)
            for away_s in (110.0, 170.0, 600.0):
                world.air.set_reachable(sensor.radio_address, False)
                await world.for_s(away_s)
                world.air.set_reachable(sensor.radio_address, True)
                await world.for_s(600.0)
            stored = [reading.sequence for reading in readings(world)]
            minutes = range(stored[0], stored[-1] + 1)
            missing = sorted(set(minutes) - set(stored))
            # Only of the ten minutes something is lost: what the three records of the first one after it do not cover.
            assert 7 <= len(missing) <= 8
            assert missing == list(range(missing[0], missing[-1] + 1))
            session = world.gateway.store.tables.sessions.current(world.row_no("cgm"))
            assert session is not None
            notes = world.gateway.store.tables.sessions.given_up(session.no)
            assert [(note.first, note.last) for note in notes] == [
                (0, stored[0] - 1),
                (missing[0], missing[-1]),
            ]
            assert session.watermark == stored[-1]

    run(main())


def test_warm_up_and_the_end_of_wear_do_not_count(tmp_path: Path) -> None:
    async def warming() -> None:
        async with home(tmp_path / "young", age_s=1800.0) as (world, _):
            await world.for_s(HOUR_S)
            counted = [r.sequence for r in readings(world) if r.not_counted is None]
            reasons = {r.not_counted for r in readings(world) if r.sequence < 60}
            assert counted[0] == 60
            assert reasons == {NotCounted.WARMING_UP}
            known = world.gateway.present.known().sensors[0]
            assert known.warm_up_left_s is None
            assert known.wear_left_s == pytest.approx(15 * 86_400 - 5400.0, abs=90.0)
            assert known.battery_pct is None

    async def ending() -> None:
        async with home(tmp_path / "old", age_s=15 * 86_400.0 - 1800.0) as (world, sensor):
            await world.for_s(HOUR_S)
            stored = readings(world)
            assert [r.sequence for r in stored] == sorted(sensor.told)
            counted = [r.sequence for r in stored if r.not_counted is None]
            # With its last minute it says itself that the session is over.
            assert counted[-1] == 15 * 1440 - 1
            assert {r.not_counted for r in stored if r.sequence >= 15 * 1440} == {NotCounted.STOPPED}
            assert world.gateway.present.known().sensors[0].wear_left_s < 0.0

    run(warming())
    run(ending())


def test_the_address_may_change_and_the_gateway_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(600.0)
            sensor.change_address("C4:00:00:00:00:99")
            await world.for_s(600.0)
            await world.machine.kill()
            world.machine.start()
            await world.for_s(600.0)
            assert [(r.sequence, r.value) for r in readings(world)] == expected(sensor)
            assert sessions(world) == 1

    run(main())


def test_silence_is_alarmed_and_each_trouble_has_its_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(600.0)
            sensor.is_silent = True
            await world.for_s(1500.0)
            assert contact(world).phase is Phase.SEARCHING
            assert contact(world).trouble is Trouble.NO_DATA
            assert "cgm_silence" in {alert.kind for alert in (await world.gateway.status()).alerts}
            world.air.set_reachable(sensor.radio_address, False)
            # Before the adapter, which seems to be deaf, is switched off and on.
            await world.for_s(290.0)
            assert contact(world).trouble is Trouble.NOTHING_HEARD
            sensor.is_silent = False
            world.air.set_reachable(sensor.radio_address, True)
            await world.for_s(120.0)
            assert contact(world).phase is Phase.STREAMING
            said = await world.gateway.status()
            assert said.sensors[0].trouble is None
            assert "cgm_silence" not in {alert.kind for alert in said.alerts}

    run(main())


@pytest.mark.parametrize(
    ("quirk", "words"),
    [("is_old", "older AiDEX"), ("spoils", "checksum"), ("hides_behind_response", "only the scan response")],
)
def test_what_cannot_be_read_is_said_and_nothing_is_stored(tmp_path: Path, quirk: str, words: str) -> None:
    async def main() -> None:
        async with home(tmp_path, **{quirk: True}) as (world, _):
            world.central.bluetoothd.is_experimental = False
            await world.for_s(300.0)
            assert readings(world) == []
            assert contact(world).trouble is Trouble.NO_DATA
            assert words in str(contact(world).detail)
            is_known = quirk == "hides_behind_response"
            assert (world.gateway.intake.undecodable["cgm"] == 0) is is_known

    run(main())


def test_what_an_answer_hides_is_heard_without_asking(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with home(tmp_path, hides_behind_response=True) as (world, sensor):
            await world.for_s(3600.0)
            heard = {reading.sequence for reading in readings(world)}
            # Each advertisement tells three records, and no active search lasts for so many minutes.
            assert len(heard) >= len(sensor.told) - 3
            assert contact(world).phase is Phase.STREAMING

    run(main())
    assert "refused" not in caplog.text


class Impostor(Advertiser):
    """Advertises the payloads it is given under the sensor's name, one every so many seconds."""

    def __init__(self, air: Air, radio_address: str, payloads: list[bytes], every_s: float) -> None:
        sensor = AidexSensor(air, NAME, iter(()), begin_s=0.0, session_age_s=0.0, radio_address=radio_address)
        self.__dict__.update(sensor.__dict__)
        self.address = "impostor"
        self._payloads, self._every_s = payloads, every_s

    async def _live(self) -> None:
        for payload in self._payloads:
            self.advertise(company_data(aidex.COMPANY, payload))
            await asyncio.sleep(self._every_s)


def payload(minute: int, value: int) -> bytes:
    return aidex.encode(
        Advertisement(minute, 0, 0, None, *(GlucoseRecord(value - back) for back in range(3)))  # type: ignore[arg-type]
    )


def test_old_ones_played_again_and_jumps_change_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(600.0)
            recorded = [payload(minute, 300) for minute in range(100, 130)]  # two hours ago and more
            ahead = [payload(minute, 301) for minute in range(900, 930)]
            impostors = [
                Impostor(world.air, "C9:00:00:00:00:01", recorded, 20.0),
                Impostor(world.air, "C9:00:00:00:00:02", ahead, 20.0),
            ]
            for impostor in impostors:
                await impostor.start()
            await world.for_s(900.0)
            for impostor in impostors:
                await impostor.stop()
            assert sessions(world) == 1
            assert [(r.sequence, r.value) for r in readings(world)] == expected(sensor)
            assert world.gateway.intake.undecodable["cgm"] >= 50
            assert contact(world).phase is Phase.STREAMING

    run(main())


def test_a_sensor_that_was_started_anew_is_followed_after_some_minutes(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(600.0)
            sensor.start_anew()
            await world.for_s(3000.0)
            assert sessions(world) == 2
            new = readings(world, 2)
            assert [(r.sequence, r.value) for r in new] == [
                pair for pair in expected(sensor) if pair[0] >= new[0].sequence
            ]
            assert new[0].sequence <= 20

    run(main())


def test_a_flood_of_advertisements_starves_neither_sensor_nor_strap(tmp_path: Path) -> None:
    def bodies(air: Air) -> list[Peripheral]:
        beats = iter(lambda: 800.0, 0.0)
        return [
            AidexSensor(air, NAME, glucose(), begin_s=5.0, session_age_s=7200.0),
            HeartRateStrap(air, str(STRAP.address), beats, begin_s=5.0),
        ]

    async def main() -> None:
        async with open_world(home_of(AIDEX, STRAP), tmp_path, bodies=bodies) as world:
            await world.for_s(300.0)
            sensor, inbox = world.sensor("cgm"), world.gateway.inbox
            assert isinstance(sensor, AidexSensor)
            before = world.gateway.sensors["strap"].live().records
            fakes = (payload(number, 40 + number % 400) for number in range(20_000))
            heard = await flood(world.central.device, NAME, aidex.COMPANY, fakes, per_s=10_000.0)
            assert heard == 20_000
            await world.for_s(150.0)
            assert world.gateway.sensors["strap"].live().records - before >= 140
            assert not inbox.dropped
            assert len(inbox) < 16
            assert len(world.gateway.contacts["cgm"].news._recent) <= 8
            assert world.gateway.contacts["cgm"].news.refused > 19_900
            # What was refused beside the flood is filled in by the next.
            told = {minute for minute, _ in expected(sensor)}
            stored = {r.sequence for r in readings(world)}
            assert told <= stored

    run(main())


@pytest.mark.parametrize("is_trusted", [True, False])
def test_over_a_reboot_it_is_the_same_session(tmp_path: Path, is_trusted: bool) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(600.0)
            await world.machine.reboot(300.0, is_trusted=is_trusted)
            await world.for_s(600.0)
            assert sessions(world) == 1
            stored = [(r.sequence, r.value) for r in readings(world)]
            assert len(stored) >= 18
            assert set(stored) <= set(expected(sensor))
            newest = world.gateway.facts.newest("cgm", "glucose")
            assert newest is not None
            assert world.gateway.clock.boot_ns() - newest.taken_boot_ns < 90e9

    run(main())


def test_who_connects_to_it_is_told_the_right_way(tmp_path: Path) -> None:
    def bodies(air: Air) -> list[Peripheral]:
        sensor = AidexSensor(air, NAME, glucose(), begin_s=5.0, session_age_s=7200.0)
        sensor.address = sensor.radio_address
        return [sensor]

    async def main() -> None:
        connected = Sensor(id="cgm", kind="cgm", address="C4:00:00:00:00:01")
        async with open_world(home_of(connected), tmp_path, bodies=bodies) as world:
            await world.for_s(60.0)
            assert contact(world).trouble is Trouble.OTHER_ROUTE
            assert 'kind = "aidex"' in str(contact(world).detail)

    run(main())


SCALE = Sensor(id="scale", kind="xiaomi_scale", address="D0:00:00:00:00:01")
STEPS = [Step(60.0, 81.35, 489), Step(700.0, 81.4), Step(760.0, 81.4, 492)]


@asynccontextmanager
async def bathroom(directory: Path, **quirks: Any) -> AsyncIterator[tuple[World, XiaomiScale]]:
    def bodies(air: Air) -> list[Peripheral]:
        return [XiaomiScale(air, str(SCALE.address), iter(STEPS), begin_s=60.0, **quirks)]

    async with open_world(home_of(SCALE), directory, bodies=bodies) as world:
        scale = world.sensor("scale")
        assert isinstance(scale, XiaomiScale)
        yield world, scale


def of_scale(world: World, measurement: str) -> list[Reading]:
    tables = world.gateway.store.tables
    sessions = tables.sessions.of_sensor(world.row_no("scale"))
    return [r for s in sessions for r in tables.readings.between(s.no, measurement, -(1 << 30), 1 << 30)]


@pytest.mark.parametrize("tells_impedance", [False, True])
def test_who_steps_onto_a_scale_is_weighed_once(tmp_path: Path, tells_impedance: bool) -> None:
    async def main() -> None:
        async with bathroom(tmp_path, tells_impedance=tells_impedance) as (world, scale):
            await world.for_s(1000.0)
            weights = of_scale(world, "body_weight")
            assert [r.value for r in weights] == [pytest.approx(step.weight_kg) for step in scale.measured]
            assert len(weights) == 3
            assert all(r.not_counted is None for r in weights)
            # When it was is told by the scale's clock, which shows only how far they are apart.
            assert weights[1].at_s - weights[0].at_s == pytest.approx(640, abs=2)
            ohms = [r.value for r in of_scale(world, "impedance")]
            assert ohms == ([489.0, 492.0] if tells_impedance else [])
            newest = world.gateway.facts.newest("scale", "body_weight")
            assert newest is not None
            assert newest.value == pytest.approx(81.4)

    run(main())


def test_what_stays_on_the_display_is_no_measurement_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        async with bathroom(tmp_path) as (world, _):
            await world.for_s(66.0 + 60.0)
            assert len(of_scale(world, "body_weight")) == 1
            for _ in range(2):
                await world.machine.kill()
                world.machine.start()
                await world.for_s(30.0)
            assert len(of_scale(world, "body_weight")) == 1
            await world.for_s(300.0)
            # Nobody steps onto it most of the time, and what it tells then is no trouble.
            assert world.gateway.contacts["scale"].state.trouble is None

    run(main())


def test_what_stays_on_the_display_is_not_taken_for_a_new_measurement(tmp_path: Path) -> None:
    async def main() -> None:
        async with bathroom(tmp_path) as (world, scale):
            await world.machine.stop()
            await world.for_s(200.0)
            assert len(scale.measured) == 1
            world.machine.start()
            await world.for_s(200.0)
            assert of_scale(world, "body_weight") == []

    run(main())


def test_a_weight_is_measured_when_it_is_told_whatever_the_clock_of_the_scale_was_set_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its app has set it, and later its batteries were changed."""
    shows = iter([datetime(2026, 3, 2, 8, tzinfo=UTC), datetime(2026, 3, 2, 1, tzinfo=UTC), BATTERIES_IN])
    monkeypatch.setattr(XiaomiScale, "_stamp", lambda _: DateTime(*next(shows).timetuple()[:6]), raising=True)
    monkeypatch.setattr(xiaomi_scale, "_SWINGS", 0)

    async def main() -> None:
        async with bathroom(tmp_path) as (world, scale):
            await world.for_s(1000.0)
            assert len(scale.measured) == 3
            tables = world.gateway.store.tables
            taken_s = [
                (session.start_boot_ns or 0) / 1e9 + reading.at_s
                for session in tables.sessions.of_sensor(world.row_no("scale"))
                for reading in tables.readings.between(session.no, "body_weight", -(1 << 40), 1 << 40)
            ]
            assert taken_s == [pytest.approx(60.0 + step.at_s, abs=3.0) for step in STEPS]

    run(main())


def test_what_a_full_disk_did_not_take_is_stored_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as (world, sensor):
            await world.for_s(300.0)
            world.machine.is_full = True
            await world.for_s(1200.0)
            live = world.gateway.sensors["cgm"].live()
            assert live.waiting >= 15
            newest = world.gateway.facts.newest("cgm", "glucose")
            assert newest is not None
            assert world.gateway.clock.boot_ns() - newest.taken_boot_ns < 90e9
            world.machine.is_full = False
            await world.for_s(300.0)
            assert [(r.sequence, r.value) for r in readings(world)] == expected(sensor)
            assert world.gateway.sensors["cgm"].live().waiting == 0

    run(main())


def test_what_another_wore_before_is_not_taken(tmp_path: Path) -> None:
    jo, al = Person(id="jo"), Person(id="al")

    async def main() -> None:
        worn = home_of(structs.replace(AIDEX, person="jo"), people=(jo, al))
        handed = home_of(structs.replace(AIDEX, person="al"), people=(jo, al))

        def bodies(air: Air) -> list[Peripheral]:
            return [AidexSensor(air, NAME, glucose(), begin_s=5.0, session_age_s=7200.0)]

        async with open_world(worn, tmp_path, bodies=bodies) as world:
            await world.for_s(900.0)
            before = {r.sequence for r in readings(world)}
            await world.machine.stop()
            world.configure(handed)
            world.machine.start()
            await world.for_s(900.0)
            after = {r.sequence for r in readings(world)}
            assert len(after) >= 13
            assert not before & after

    run(main())
