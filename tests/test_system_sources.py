"""One CGM by radio and by feed at once: each measurement once in the day, in alerts, upstream and in `analyse --store`;
the radio's value stands, also if it comes later; and two sensors stay two.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from edge_parts import MIDNIGHT_UTC_S
from feed_world import DAY_S, HOST, FeedWorld, config_of, feed_world, now_utc_s, sensor
from typer.testing import CliRunner

from edge.sensors.validity import NotCounted
from hw_sim.clock import run
from hw_sim.followers.diary import Diary, Uploader
from hw_sim.followers.phone import Phone
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.sensors.cgm_sensor import CgmSensor
from tools.cli import app
from tools.rig.home.world import bumble

RADIO = "F0:00:00:00:00:02"
STEP_S = 300
HOURS = 30


def glucose(hours: float) -> Iterator[tuple[float, float]]:
    for n in range(int(hours * 12)):
        yield n * STEP_S, float(100 + (7 * n) % 83)


def low_glucose(hours: float) -> Iterator[tuple[float, float]]:
    """From the second hour on too low for an hour."""
    for n in range(int(hours * 12)):
        yield n * STEP_S, 120.0 - n % 2 if not 24 <= n < 36 else 60.0 - n % 2


@dataclass
class Both:
    """A CGM, the phone that hears it as well, and the gateway that hears both."""

    world: FeedWorld
    body: CgmSensor
    air: Air
    phone: Phone
    diary: Diary
    off_s: float
    _told: int = field(default=0)

    async def for_s(self, seconds: float) -> None:
        """What the sensor measures, the phone has some seconds later."""
        until_s = self.world.machine.now_s + seconds
        while self.world.machine.now_s < until_s:
            await self.world.for_s(min(10.0, until_s - self.world.machine.now_s))
            for record in self.body.stored[self._told :]:
                self.diary.measure(
                    int(self.world.utc_s), float(record.glucose_mg_dl), [Uploader("phone", self.off_s)]
                )
            self._told = len(self.body.stored)

    def counted_of(self, sensor_id: str) -> list[float | None]:
        return list(self.world.counted(sensor_id).values())

    def marks(self, sensor_id: str) -> Counter[str | None]:
        return Counter(reading.not_counted for reading in self.world.readings(sensor_id).values())


@asynccontextmanager
async def both(
    directory: Path, *, off_s: float = 0.0, more: str = "", hours: float = HOURS, is_low: bool = False
) -> AsyncIterator[Both]:
    air, diary = Air(), Diary()
    readings = low_glucose(hours) if is_low else glucose(hours)
    body = CgmSensor(air, RADIO, readings, begin_s=0.0, session_age_s=3600.0)
    await body.start()
    central: Central = await open_central(air, bonds=None, passkey=lambda _: None)
    phone = Phone(diary, now_utc_s)
    config = config_of(
        directory, sensor("cgm", "cgm", RADIO, "accept_just_works = true"), sensor(more=more), sends=True
    )
    try:
        async with feed_world(config, {HOST: phone}, bluetooth=lambda: bumble(air, central)) as world:
            yield Both(world, body, air, phone, diary, off_s)
    finally:
        await central.close()
        await body.stop()


@pytest.mark.parametrize("off_s", [0.0, 75.0, -60.0])
def test_each_measurement_counts_once_and_the_radios_value_stands(off_s: float, tmp_path: Path) -> None:
    async def scenario() -> int:
        async with both(tmp_path, off_s=off_s) as home:
            await home.for_s(3 * 3600.0)
            home.air.set_reachable(RADIO, False)
            await home.for_s(3 * 3600.0)  # only the phone hears it
            alone = sum(1 for _ in home.world.counted("phone"))
            assert 30 <= alone <= 40
            assert home.world.alerts() == set()
            home.air.set_reachable(RADIO, True)
            await home.for_s(20 * 3600.0)
            measured = [float(record.glucose_mg_dl) for record in home.body.stored]
            counted_here = home.counted_of("cgm")
            assert len(measured) - len(counted_here) <= 1  # the newest may be on its way
            assert counted_here == measured[: len(counted_here)]
            # The radio fetched what it had missed, and took its place.
            assert len(home.world.counted("phone")) <= 2
            assert home.marks("phone")["duplicate of another source"] >= len(measured) - 3
            await home.world.for_s(3600.0)
            days = home.world.gateway.store.tables.summaries.between("glucose_day")
            counted = sum(int(str(day.body["readings"])) for day in days)
            assert counted <= len(measured) + 2
            return len(home.body.stored)

    measured = run(scenario())
    sent = sent_readings(tmp_path)
    assert measured - 12 <= len(sent) <= measured  # each under one id; the last ones are not sent yet
    assert_analysis(tmp_path, measured)


def sent_readings(directory: Path) -> dict[str, float]:
    """What arrived upstream, by its id: a later one with the same id takes the place of the former."""
    sent: dict[str, float] = {}
    for path in sorted((directory / "upstream").glob("*.json")):
        for entry in json.loads(path.read_text())["entry"]:
            resource = entry["resource"]
            if "effectiveDateTime" in resource and "valueQuantity" in resource:
                sent[resource["id"]] = resource["valueQuantity"]["value"]
    return sent


def assert_analysis(directory: Path, measured: int) -> None:
    done = CliRunner().invoke(app, ["analyse", "glucose", "--store", str(directory / "state"), "--json"])
    assert done.exit_code == 0, done.output
    people = json.loads(done.stdout)["people"]
    by_sensor = {person["id"].rpartition("/")[2]: person["metrics"]["readings"] for person in people}
    assert measured - 1 <= by_sensor["cgm"] <= measured
    assert by_sensor["phone"] <= 2


def test_a_low_is_told_once_and_by_the_other_source_if_the_radio_is_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with both(tmp_path, is_low=True) as home:
            await home.for_s(2 * 3600.0 + 900.0)
            lows = {(rule, who) for rule, who in home.world.alerts() if rule == "glucose_low"}
            assert lows == {("glucose_low", "cgm")}
            home.air.set_reachable(RADIO, False)
            await home.for_s(1200.0)
            lows = {(rule, who) for rule, who in home.world.alerts() if rule == "glucose_low"}
            assert lows == {("glucose_low", "phone")}
            home.air.set_reachable(RADIO, True)
            await home.for_s(600.0)
            lows = {(rule, who) for rule, who in home.world.alerts() if rule == "glucose_low"}
            assert lows == {("glucose_low", "cgm")}
            await home.for_s(2 * 3600.0)
            assert home.world.alerts() == set()

    run(scenario())


def test_silence_is_told_once_when_both_are_silent_and_not_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with both(tmp_path) as home:
            await home.for_s(3600.0)
            home.air.set_reachable(RADIO, False)
            await home.for_s(4 * 3600.0)
            assert home.world.alerts() == set()
            home.phone.is_away = True
            await home.for_s(1300.0)
            assert home.world.alerts() == {("cgm_silence", "phone")}
            await home.for_s(3600.0)
            assert home.world.alerts() == {("cgm_silence", "phone")}
            home.air.set_reachable(RADIO, True)
            await home.for_s(900.0)
            assert home.world.alerts() == set()

    run(scenario())


def test_two_sensors_stay_two_whatever_values_agree_by_chance(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with both(tmp_path, more="another_sensor = true") as home:
            await home.for_s(6 * 3600.0)
            assert set(home.marks("phone")) == {None}

    run(scenario())


def test_other_values_are_those_of_another_sensor_unless_it_is_said_that_they_are_not(tmp_path: Path) -> None:
    async def scenario(directory: Path, more: str) -> Counter[str | None]:
        directory.mkdir()
        async with both(directory, more=more) as home:
            until_s = 4 * 3600.0
            while home.world.machine.now_s < until_s:
                await home.world.for_s(10.0)
                for record in home.body.stored[home._told :]:
                    home.diary.measure(
                        int(home.world.utc_s), float(record.glucose_mg_dl) + 15.0, [Uploader("phone")]
                    )
                home._told = len(home.body.stored)
            return home.marks("phone")

    assert set(run(scenario(tmp_path / "one", ""))) == {None}
    said = run(scenario(tmp_path / "two", 'same_as = "cgm"'))
    assert said[NotCounted.DUPLICATE.value] >= 46


__all__ = ["DAY_S", "MIDNIGHT_UTC_S", "asyncio"]
