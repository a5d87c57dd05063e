"""A person calibrates a CGM that demands it, through the whole gateway, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from edge.local.verbs import Calibration, Refusal
from edge.store.readings import Reading
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.sensors.cgm_calibrations import Calibrations
from hw_sim.sensors.cgm_sensor import CgmSensor
from protocols.cgm_control import CalibrationStatus, Code, OpCode
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import CGM, STRAP, home_of

# When the sensor was put on, before the gateway was switched on.
AGE_S = 11.5 * 3600.0


def level(minutes: int = 600) -> Iterator[tuple[float, float]]:
    """A reading every five minutes that hardly changes."""
    return ((60.0 * minute, 100.0 + minute // 5 % 2) for minute in range(0, minutes, 5))


def played(
    directory: Path,
    scenario: Callable[[World, CgmSensor], Awaitable[None]],
    *,
    age_s: float = AGE_S,
    calibrations: Calibrations | None = None,
) -> None:
    made = Calibrations() if calibrations is None else calibrations

    def bodies(air: Air) -> list[CgmSensor]:
        return [
            CgmSensor(air, str(CGM.address), level(), begin_s=5.0, session_age_s=age_s, calibrations=made)
        ]

    async def main() -> None:
        async with open_world(home_of(CGM), directory, bodies=bodies) as world:
            (sensor,) = world.home.cgms
            await world.for_s(600.0)
            await scenario(world, sensor)

    run(main())


async def calibrate(world: World, glucose_mg_dl: float, sensor: str = "cgm") -> Calibration | Refusal:
    """What the socket answers."""
    return await world.gateway.reception.calibrate(sensor, glucose_mg_dl, "measured in blood")


async def cause(world: World, glucose_mg_dl: float = 112.0, sensor: str = "cgm") -> str:
    answer = await calibrate(world, glucose_mg_dl, sensor)
    assert isinstance(answer, Refusal), answer
    return answer.error.cause


def kept(world: World) -> list[Reading]:
    tables = world.gateway.store.tables
    session = tables.sessions.current(world.row_no("cgm"))
    assert session is not None
    return tables.readings.between(session.no, "calibration", 0, 1 << 30)


def written(sensor: CgmSensor) -> int:
    assert sensor.calibrations is not None
    return sum(request.op == OpCode.SET_CALIBRATION for request in sensor.calibrations.asked)


def test_two_calibrations_as_the_sensor_demands_them(tmp_path: Path) -> None:
    async def scenario(world: World, sensor: CgmSensor) -> None:
        assert "allows no calibration now; it wants the next calibration in 21 min" in await cause(world)
        await world.for_s(1800.0)
        first = await calibrate(world, 112.0)
        assert first == Calibration("cgm", 112.0, "accepted", 1, 30)
        await world.for_s(600.0)
        assert "allows no calibration now; it wants the next calibration in 20 min" in await cause(world)
        await world.for_s(1200.0)
        assert await calibrate(world, 114.0) == Calibration("cgm", 114.0, "accepted", 2, None)
        assert await cause(world) == "cgm was not calibrated: it allows no calibration now"
        assert written(sensor) == 2
        await world.for_s(5.0)
        assert [(one.value, one.sequence, one.not_counted) for one in kept(world)] == [
            (112.0, 729, None),
            (114.0, 759, None),
        ]
        assert sensor.sessions_started == 0
        assert world.gateway.store.tables.sessions.of_sensor(world.row_no("cgm"))[-1].number == 1

    played(tmp_path, scenario)


def test_a_second_value_that_is_missed_makes_both_due_again(tmp_path: Path) -> None:
    async def scenario(world: World, _: CgmSensor) -> None:
        await world.for_s(1800.0)
        assert isinstance(await calibrate(world, 112.0), Calibration)
        await world.for_s(3.1 * 3600.0)
        again = await calibrate(world, 112.0)
        assert isinstance(again, Calibration)
        assert (again.result, again.next_in_min) == ("accepted", 30)

    played(tmp_path, scenario)


def test_a_value_that_the_sensor_works_on_is_pending(tmp_path: Path) -> None:
    async def scenario(world: World, _: CgmSensor) -> None:
        await world.for_s(1800.0)
        answer = await calibrate(world, 112.0)
        assert isinstance(answer, Calibration)
        assert answer.result == "pending"
        assert "still works on the last calibration" in await cause(world)
        await world.for_s(1.0)
        assert [(one.status, one.not_counted) for one in kept(world)] == [(CalibrationStatus.PENDING, None)]

    played(tmp_path, scenario, calibrations=Calibrations(pending_min=10))


def test_a_value_out_of_range_is_kept_and_does_not_count(tmp_path: Path) -> None:
    async def scenario(world: World, _: CgmSensor) -> None:
        await world.for_s(1800.0)
        answer = await calibrate(world, 30.0)
        assert isinstance(answer, Calibration)
        assert answer.result == "out of range"
        await world.for_s(1.0)
        assert [(one.value, one.not_counted) for one in kept(world)] == [(30.0, "out of range")]

    played(tmp_path, scenario)


def test_a_sensor_that_answers_the_value_with_nothing_tells_by_its_record(tmp_path: Path) -> None:
    async def scenario(world: World, _: CgmSensor) -> None:
        await world.for_s(1800.0)
        assert await calibrate(world, 112.0) == Calibration("cgm", 112.0, "accepted", 1, 30)

    played(tmp_path, scenario, calibrations=Calibrations(answers=False))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Code.OUT_OF_RANGE, "the value is out of its range"),
        (Code.NOT_COMPLETED, "it could not complete the calibration"),
        (Code.INVALID_OPERAND, "it does not take this value"),
    ],
)
def test_a_sensor_that_refuses_the_value_says_why(tmp_path: Path, code: Code, words: str) -> None:
    async def scenario(world: World, _: CgmSensor) -> None:
        await world.for_s(1800.0)
        assert await cause(world) == f"cgm was not calibrated: {words}"
        assert kept(world) == []

    played(tmp_path, scenario, calibrations=Calibrations(refuses=code))


def test_who_cannot_be_calibrated_is_not_written_to(tmp_path: Path) -> None:
    def bodies(air: Air) -> list[CgmSensor]:
        return [CgmSensor(air, str(CGM.address), level(), begin_s=5.0, session_age_s=AGE_S)]

    async def main() -> None:
        async with open_world(home_of(CGM, STRAP), tmp_path, bodies=bodies) as world:
            assert "is not connected" in await cause(world)
            await world.for_s(600.0)
            assert await cause(world) == "cgm was not calibrated: it cannot be calibrated"
            assert await cause(world, sensor="strap") == "strap cannot be calibrated"
            assert await cause(world, sensor="nobody") == "there is no sensor 'nobody'"

    run(main())


def test_a_sensor_that_warms_up_is_left_alone(tmp_path: Path) -> None:
    made = Calibrations()

    def bodies(air: Air) -> list[CgmSensor]:
        late = ((t_s, glucose) for t_s, glucose in level() if t_s >= 1800.0)
        return [CgmSensor(air, str(CGM.address), late, begin_s=5.0, session_age_s=300.0, calibrations=made)]

    async def main() -> None:
        async with open_world(home_of(CGM), tmp_path, bodies=bodies) as world:
            await world.for_s(300.0)
            assert "is warming up, for 1 h" in await cause(world)
            assert all(request.op == OpCode.GET_CALIBRATION for request in made.asked)

    run(main())


def test_a_link_that_fails_meanwhile_is_told_and_the_scale_is_doubted(tmp_path: Path) -> None:
    async def scenario(world: World, sensor: CgmSensor) -> None:
        await world.for_s(1800.0)
        asking = asyncio.ensure_future(calibrate(world, 112.0))
        while not written(sensor):
            await asyncio.sleep(0.01)
        world.air.lose_link(sensor.address)
        answer = await asking
        assert isinstance(answer, Refusal)
        assert "the link failed before it was known what became of the value" in answer.error.cause
        await world.for_s(1.0)
        assert [one.not_counted for one in kept(world)] == [None]
        assert steady(world) <= 1

    played(tmp_path, scenario, calibrations=Calibrations(answers=False))


def steady(world: World) -> int:
    insight = world.gateway.insights["cgm"]
    known = insight.glucose(world.gateway.clock.boot_ns())
    assert known is not None
    return known.steady_readings


def test_a_jump_that_a_calibration_makes_is_no_trend_also_after_a_kill(tmp_path: Path) -> None:
    async def scenario(world: World, sensor: CgmSensor) -> None:
        await world.for_s(1800.0)
        assert steady(world) > 5
        # 12 mg/dL in five minutes: bodies are as fast, so nothing but the calibration says that it is no trend.
        assert isinstance(await calibrate(world, 112.0), Calibration)
        assert steady(world) == 0
        await world.for_s(300.0)
        assert sensor.stored[-1].glucose_mg_dl == pytest.approx(112.0, abs=2.0)
        assert steady(world) == 1
        await world.machine.kill()
        world.machine.start()
        await world.for_s(290.0)
        assert steady(world) == 2
        told = [alert.rule for alert in world.gateway.alerts.shown()]
        assert not [rule for rule in told if rule.startswith("glucose_")], told

    played(tmp_path, scenario)
