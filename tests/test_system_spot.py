"""Whole gateways, in virtual time, on devices that are used, deliver and hang up: each measurement is stored once."""

import asyncio
import logging
import random
from pathlib import Path
from typing import Any

import pytest
from spot_parts import DEVICE, VALUES, assert_complete, assert_same, play, stored, truth, used

from edge import config
from edge.alerts.findings import SENSOR_FINDERS
from edge.alerts.rules import RULES
from hw_sim.sensors.spot.body_scale import BodyScale
from hw_sim.sensors.spot.device import ClockWay, SpotDevice
from hw_sim.sensors.spot.glucose_meter import GlucoseMeter
from protocols import racp
from tools.rig.home.world import Disks, World
from tools.rig.language.scenario import Clock
from tools.status_view import sensor_lines, value_text

KINDS = sorted(VALUES)
NOTIFYING = ["blood_pressure", "pulse_oximeter", "thermometer", "weight_scale"]
CONSENT = {"sensors": [{"user": 1, "consent_code": 1234}]}


async def trouble_of(world: World) -> str | None:
    said = (await world.gateway.status()).sensors[0]
    return None if said.trouble is None else said.trouble.cause


# Each kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_measured_is_stored_once_with_its_time_and_being_away_is_no_trouble(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await world.for_s(600)
        for _ in range(3):
            await used(world, body, then_s=1200)
        assert_complete(world, body)
        said = (await world.gateway.status()).sensors[0]
        assert (said.phase, said.trouble, said.losses) == ("searching", None, 0)
        assert {value.measurement for value in said.values} == set(VALUES[kind])
        assert all(value.counts and 1100 < (value.age_s or 0) < 1210 for value in said.values)
        assert (said.packets or 0) >= 3
        assert said.battery_pct == 100

    with caplog.at_level(logging.WARNING, "edge"):
        play(tmp_path, kind, scenario)
    assert caplog.messages == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_measurement_is_known_within_seconds(tmp_path: Path, kind: str) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await world.for_s(1200)
        await used(world, body, then_s=5.0)
        assert_complete(world, body)
        fact = world.gateway.facts.newest(DEVICE, next(iter(VALUES[kind])))
        assert fact is not None
        assert world.gateway.clock.boot_ns() - fact.taken_boot_ns < 6 * 10**9

    play(tmp_path, kind, scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_delivered_again_each_time_is_stored_once(tmp_path: Path, kind: str) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        for n in range(4):
            await used(world, body, then_s=600)
            if n == 1:
                await world.machine.kill()
                world.machine.start()
            if n == 2:
                await world.machine.reboot(60.0)
        assert_complete(world, body)

    play(tmp_path, kind, scenario, redelivers=True, needs_bond=kind in ("glucose_meter", "body_composition"))


def test_devices_raise_no_alerts_about_silence_and_a_meter_s_glucose_is_not_a_cgm_s(tmp_path: Path) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body, then_s=5400, capillary_glucose=41.0)
        assert (await world.gateway.status()).alerts == []

    play(tmp_path, "glucose_meter", scenario)
    assert not {rule.about for rule in RULES.values()} & {"capillary_glucose"}
    assert set(SENSOR_FINDERS) <= set(RULES)


# Cuts, kills, disks


def test_no_measurement_is_lost_or_doubled_by_cuts_and_kills_while_a_meter_reports(tmp_path: Path) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        rng = random.Random(4)
        for n in range(300):
            values = {"capillary_glucose": float(60 + n)} | ({"meal": 2.0} if n % 3 == 0 else {})
            body.take(values, ago_s=(300 - n) * 3600.0)
        for n in range(12):
            await body.switch_on()
            await world.for_s(rng.uniform(2.0, 6.0))
            if n % 4 == 3:
                await world.machine.kill()
                world.air.lose_link(body.address)
                await world.for_s(10)
                world.machine.start()
            else:
                world.air.lose_link(body.address)
            await world.for_s(100)
        await body.switch_on()
        await world.for_s(100)
        assert_complete(world, body)
        # It went on where it had been cut off, instead of beginning again.
        asked = [request for request in body.requests if request.op == racp.OpCode.REPORT]
        firsts = [
            racp.OPERAND.decode(request.operand).values[0] if request.operand else 0 for request in asked
        ]
        assert firsts[0] == 0
        assert firsts == sorted(firsts)
        assert len(set(firsts)) >= 3
        assert firsts[-1] > 290

    play(tmp_path, "glucose_meter", scenario, disks=Disks(seed=3), needs_bond=True, lingers_s=None)


def test_a_meter_that_reports_the_newest_first_and_is_cut_off_is_fetched_whole(tmp_path: Path) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        for n in range(100):
            body.take({"capillary_glucose": float(60 + n)}, ago_s=(100 - n) * 600.0)
        for pause_s in (2.5, 3.5, 100.0):
            await body.switch_on()
            await world.for_s(pause_s)
            world.air.lose_link(body.address)
            await world.for_s(100)
        assert_complete(world, body)

    said = {"newest_first": True}
    play(tmp_path, "glucose_meter", scenario, said=said, lingers_s=None)


def test_a_full_disk_loses_no_measurement(tmp_path: Path) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body)
        world.machine.is_full = True
        await used(world, body, systolic=150.0)
        assert len({one.utc_s for one in stored(world)}) == 1
        assert world.gateway.facts.newest(DEVICE, "systolic").value == 150.0  # type: ignore[union-attr]
        world.machine.is_full = False
        await world.for_s(60)
        assert_complete(world, body)

    play(tmp_path, "blood_pressure", scenario, disks=Disks(seed=5))


# Clocks


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong_s", [-3 * 86_400, 5_000, 100])
def test_a_clock_that_is_wrong_is_corrected_by_what_is_seen_of_it(
    tmp_path: Path, kind: str, wrong_s: int
) -> None:
    """What was measured before the contact is dated by the clock as it was; then the clock is put right."""

    async def scenario(world: World, body: SpotDevice) -> None:
        for ago_s in (7200.0, 3600.0):
            body.take(VALUES[kind], user=1, ago_s=ago_s)
        await used(world, body)
        await used(world, body, then_s=300)
        assert_complete(world, body)
        assert abs(body.clock_wrong_s) <= 1
        tables = world.gateway.store.tables
        assert len(tables.sessions.of_sensor(world.row_no(DEVICE))) == 2

    quirks: dict[str, Any] = {"needs_bond": True} if kind in ("glucose_meter", "body_composition") else {}
    play(tmp_path, kind, scenario, clock_wrong_s=wrong_s, **quirks)


@pytest.mark.parametrize("way", list(ClockWay))
def test_a_meter_s_clock_is_reached_in_its_own_way(tmp_path: Path, way: ClockWay) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        for n in range(3):
            await used(world, body, capillary_glucose=100.0 + n)
        assert_complete(world, body)
        assert bool(body.times_told) == (way is not ClockWay.NONE)

    play(tmp_path, "glucose_meter", scenario, clock=way, needs_bond=True, lingers_s=None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_s", [3600, -3600, 86_400 * 400])
def test_somebody_sets_the_clock_and_nothing_is_new_that_was_stored(
    tmp_path: Path, kind: str, by_s: int
) -> None:
    """All that was measured is delivered again, with the old stamps; what is new has the new ones."""

    async def scenario(world: World, body: SpotDevice) -> None:
        for _ in range(2):
            await used(world, body)
        body.clock_wrong_s += by_s
        await world.for_s(600)
        await used(world, body)
        body.clock_wrong_s -= by_s
        await used(world, body)
        assert_complete(world, body)

    bond = {"needs_bond": kind in ("glucose_meter", "body_composition")}
    play(tmp_path, kind, scenario, redelivers=True, **bond)


def test_without_a_clock_to_read_the_newest_stamp_is_taken_for_now(tmp_path: Path) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        for n in range(20):
            body.take({"capillary_glucose": 80.0 + n}, ago_s=(20 - n) * 3600.0)
        await used(world, body)
        assert_complete(world, body)
        await used(world, body, capillary_glucose=140.0)
        assert_complete(world, body)
        assert len(world.gateway.store.tables.sessions.of_sensor(world.row_no(DEVICE))) == 1
        # Somebody sets it forward: by the old reckoning the next stamp would be in the future.
        body.clock_wrong_s += 7200
        await used(world, body, capillary_glucose=141.0)
        assert_complete(world, body)

    for newest_first in (False, True):
        play(
            tmp_path / str(newest_first),
            "glucose_meter",
            scenario,
            said={"newest_first": newest_first},
            clock=ClockWay.NONE,
            clock_wrong_s=-40_000_000,
            lingers_s=None,
        )


@pytest.mark.parametrize("kind", NOTIFYING)
def test_what_has_no_time_stamp_is_dated_by_its_arrival(tmp_path: Path, kind: str) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body)
        await world.machine.reboot(30.0)
        await world.for_s(30)
        await used(world, body)
        await used(world, body)
        assert_complete(world, body, within_s=3.0)
        assert len(world.gateway.store.tables.sessions.of_sensor(world.row_no(DEVICE))) == 2

    play(tmp_path, kind, scenario, is_stamped=False)


@pytest.mark.parametrize("kind", ["glucose_meter", "thermometer"])
def test_by_a_clock_that_is_not_trusted_nothing_is_dated_and_no_clock_is_set(
    tmp_path: Path, kind: str
) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body)
        assert [one.utc_s for one in stored(world)] == [None]
        assert body.times_told == []
        await world.machine.reboot(60.0, wrong_s=-9_000_000.0, is_trusted=False)
        await used(world, body)
        world.machine.set_clock()
        await world.for_s(200)
        await used(world, body)
        await world.for_s(200)
        # Nobody ever learns when the first boot was.
        kept = [one for one in stored(world) if one.utc_s is not None]
        assert_same(kept, truth(body.taken[1:]), 90.0)
        assert len(stored(world)) == 3
        assert len(body.times_told) == 1

    play(tmp_path, kind, scenario, machine=Clock(wrong_by_s=5e8, trusted=False), redelivers=True)  # type: ignore[arg-type]


# Quirks


def test_what_wants_to_be_told_the_time_first_is_told_it(tmp_path: Path) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body)
        assert_complete(world, body)
        assert body.times_told

    play(tmp_path, "blood_pressure", scenario, needs_time=True, clock_wrong_s=-800_000)


def test_while_nobody_knows_the_time_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body, then_s=45.0)
        assert "until they are told the time" in (await trouble_of(world) or "")
        world.machine.set_clock()
        await world.for_s(120)
        await used(world, body)
        assert await trouble_of(world) is None
        assert len({one.utc_s for one in stored(world)}) == 2

    play(
        tmp_path,
        "blood_pressure",
        scenario,
        machine=Clock(trusted=False),
        needs_time=True,
        lingers_s=None,
    )


@pytest.mark.parametrize("kind", NOTIFYING)
def test_what_wants_a_bond_gets_one_though_its_kind_mostly_does_without(tmp_path: Path, kind: str) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body)
        assert_complete(world, body)
        assert await trouble_of(world) is None

    play(tmp_path, kind, scenario, needs_bond=True)


def test_a_meter_that_falls_silent_in_its_report_is_said_to_and_asked_again(tmp_path: Path) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        for n in range(50):
            body.take({"capillary_glucose": 80.0 + n}, ago_s=(50 - n) * 600.0)
        body.stalls_after = 20
        await body.switch_on()
        await world.for_s(33)
        assert "did not answer in time" in (await trouble_of(world) or "")
        assert len(stored(world)) == 20
        await used(world, body)
        assert_complete(world, body)
        assert await trouble_of(world) is None

    play(tmp_path, "glucose_meter", scenario)


@pytest.mark.parametrize("next_number", [1, 30])
def test_a_meter_that_was_emptied_and_counts_anew_is_fetched_anew(tmp_path: Path, next_number: int) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        for n in range(40):
            body.take({"capillary_glucose": 80.0 + n}, ago_s=(50 - n) * 600.0)
        await used(world, body)
        body.empty(next_number)
        for n in range(5):
            await used(world, body, capillary_glucose=90.0 + n)
        assert_complete(world, body)

    play(tmp_path, "glucose_meter", scenario)


def test_a_device_that_advertises_all_the_time_is_visited_less_and_less(tmp_path: Path) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body, then_s=3600)
        connects = world.gateway.contacts[DEVICE].state.connects
        assert connects < 60
        assert_complete(world, body)
        await used(world, body, then_s=200)
        assert_complete(world, body)

    play(tmp_path, "thermometer", scenario, advertises_s=1e6)


# People


@pytest.mark.parametrize("kind", ["blood_pressure", "weight_scale"])
def test_what_is_another_user_s_is_kept_and_marked_and_does_not_count(tmp_path: Path, kind: str) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        for user in (1, 2, 255, 1):
            await body.use(VALUES[kind], user)
            await world.for_s(90)
        kept = stored(world)
        assert_same(
            [one for one in kept if one.not_counted is None],
            truth(body.taken, only=lambda one: one.user == 1),
        )
        others = {one.not_counted for one in kept} - {None}
        assert others == {"another user's", "user unknown"}
        assert len(kept) == 4 * len(VALUES[kind])

    play(tmp_path, kind, scenario, sensor={"user": 1})


def test_a_scale_tells_a_user_s_data_after_the_consent_and_nobody_else_s(tmp_path: Path) -> None:
    async def scenario(world: World, body: BodyScale) -> None:
        for user in (1, 2, 1):
            await body.use(VALUES["body_composition"] | {"body_weight": 70.0 + user}, user)
            await world.for_s(90)
        assert_same(stored(world), truth(body.taken, only=lambda one: one.user == 1))
        assert body.consents >= 2

    play(tmp_path, "body_composition", scenario, said={"codes": {1: 1234, 2: 4321}})


@pytest.mark.parametrize(
    ("sensor", "words"),
    [
        ({}, "before one of its users consents"),
        ({"user": 1, "consent_code": 4321}, "did not accept the user's consent"),
        ({"user": 3, "consent_code": 1234}, "did not accept the user's consent"),
    ],
)
def test_without_the_right_consent_nothing_is_told_and_why_is_said(
    tmp_path: Path, sensor: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World, body: SpotDevice) -> None:
        await used(world, body, then_s=30)
        assert words in (await trouble_of(world) or "")
        assert stored(world) == []

    play(tmp_path, "body_composition", scenario, sensor=sensor)
    assert words in caplog.text
    assert "4321" not in caplog.text


def test_what_was_measured_before_the_device_became_another_person_s_is_not_that_person_s(
    tmp_path: Path,
) -> None:
    async def scenario(world: World, body: GlucoseMeter) -> None:
        await used(world, body)
        await world.machine.stop()
        body.take({"capillary_glucose": 99.0})
        await asyncio.sleep(20)
        path = world.config.gateway.state_dir.parent / "gateway.toml"
        text = path.read_text().replace('pseudonym = "patient-jo"', 'pseudonym = "patient-kim"')
        path.write_text(text)
        world.config = config.load(path)
        world.machine.start()
        await world.for_s(10)
        await used(world, body, capillary_glucose=123.0)
        assert_same(stored(world), truth(body.taken[2:]))

    play(tmp_path, "glucose_meter", scenario)


# Validity


def test_what_a_device_itself_doubts_is_kept_and_marked(tmp_path: Path) -> None:
    async def meter(world: World, body: GlucoseMeter) -> None:
        await used(world, body, control=1.0)
        await used(world, body, status=float(1 << 2))
        await used(world, body, capillary_glucose=112.0)
        assert [one.not_counted for one in stored(world)] == ["control solution", "too little blood", None]

    async def oximeter(world: World, body: SpotDevice) -> None:
        await used(world, body, status=float(1 << 14))
        await used(world, body, status=float(1 << 15))
        assert [one.not_counted for one in stored(world)] == 2 * ["questionable"] + 2 * ["invalid"]

    async def cuff(world: World, body: SpotDevice) -> None:
        await used(world, body, status=float(1 << 0))
        assert {one.not_counted for one in stored(world)} == {"moved while measuring"}
        await used(world, body, status=float(1 << 2))
        newest = {one.measurement: one.not_counted for one in stored(world)[4:]}
        assert newest["pulse_rate"] == "irregular pulse"
        assert newest["systolic"] is None

    play(tmp_path / "meter", "glucose_meter", meter)
    play(tmp_path / "oximeter", "pulse_oximeter", oximeter)
    play(tmp_path / "cuff", "blood_pressure", cuff)


def test_the_status_for_people_shows_each_value_as_they_write_it(tmp_path: Path) -> None:
    async def cuff(world: World, body: SpotDevice) -> None:
        await used(world, body)
        (sensor,) = (await world.gateway.status()).sensors
        assert value_text(sensor.values[0]) == "121 mmHg"
        assert list(sensor_lines(sensor)) == [
            "device: diastolic 79 mmHg, mean arterial 93 mmHg, pulse rate 64 bpm"
        ]

    async def thermometer(world: World, body: SpotDevice) -> None:
        await used(world, body)
        (sensor,) = (await world.gateway.status()).sensors
        assert value_text(sensor.values[0]) == "37.1 °C"
        assert list(sensor_lines(sensor)) == []

    play(tmp_path / "cuff", "blood_pressure", cuff)
    play(tmp_path / "thermometer", "thermometer", thermometer)
