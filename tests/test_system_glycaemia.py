"""The whole gateway in a simulated home: what it says of a CGM's readings equals the analysis of the same readings,
though links drop and processes are killed; and whoever is told of a value finds what follows from it.
"""

import csv
from pathlib import Path
from random import Random

import numpy as np
import pytest

from dsp.glucose.realtime import Live
from edge.now.facts import Fact
from edge.now.glycaemia import Glycaemia
from hw_sim.clock import run
from hw_sim.faults import LinkFaults
from tools.analyse import glucose as analyse_glucose
from tools.analyse import glucose_csv
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import CGM, home_of

HOURS = 14


def analysed(readings: dict[int, float], path: Path) -> Live:
    """What `analyse glucose` says of the last of these readings, by minute."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("time", "glucose_mg_dl"))
        for minute, value in sorted(readings.items()):
            hours, minutes = divmod(minute, 60)
            writer.writerow((f"2026-03-{2 + hours // 24:02}T{hours % 24:02}:{minutes:02}:00Z", value))
    *_, (_, live) = analyse_glucose.follow(glucose_csv.read(path, None))
    return live


def stored(world: World) -> dict[int, float]:
    tables = world.gateway.store.tables
    session = tables.sessions.of_sensor(world.row_no(CGM.id))[-1]
    readings = tables.readings.between(session.no, "glucose", 0, 1 << 40)
    return {r.sequence: r.value for r in readings if r.value is not None}


def newest(world: World) -> tuple[int, Live] | None:
    insight = world.gateway.insights[CGM.id]
    assert isinstance(insight, Glycaemia)
    return insight.newest


def watch(world: World, seen: list[float]) -> None:
    """Whenever a value is told: what is known at this moment must be about this value."""
    gateway = world.gateway
    tell = gateway.facts.on_fact

    def on_fact(sensor_id: str, measurement: str, fact: Fact) -> None:
        (sensor,) = gateway.present.known([sensor_id]).sensors
        if gateway.sensors[sensor_id].live().is_catching_up is False and sensor.glucose is not None:
            assert sensor.glucose.age_s == pytest.approx(sensor.values["glucose"].age_s, abs=61.0)
            seen.append(fact.value)
        tell(sensor_id, measurement, fact)

    gateway.facts.on_fact = on_fact


@pytest.mark.parametrize("seed", [3, 4])
def test_live_results_equal_the_analysis_whatever_happens_to_links_and_processes(
    seed: int, tmp_path: Path
) -> None:
    rng = Random(seed)
    seen: list[float] = []
    compared: set[int] = set()

    async def compare(world: World) -> None:
        found = newest(world)
        if found is None or world.gateway.is_catching_up:
            return
        offset, live = found
        here = {minute: value for minute, value in stored(world).items() if minute <= offset}
        if max(here, default=None) == offset and offset not in compared:
            np.testing.assert_array_equal(live, analysed(here, tmp_path / "readings.csv"), f"minute {offset}")
            compared.add(offset)

    async def scenario() -> None:
        async with open_world(home_of(CGM, hours=HOURS, seed=seed), tmp_path) as world:
            await world.for_s(1.0)  # the gateway's own listener is there
            watch(world, seen)
            dropping = world.drop_links(LinkFaults(seed=seed, up_s_mean=3000.0, down_s_mean=900.0))
            kills_s = sorted(rng.uniform(0.1, 0.9) * HOURS * 3600.0 for _ in range(4))
            while world.now_s < HOURS * 3600.0:
                await world.for_s(60.0)
                await compare(world)
                if kills_s and world.now_s > kills_s[0]:
                    kills_s.pop(0)
                    await world.machine.kill()
                    world.machine.start()
                    await world.for_s(1.0)
                    watch(world, seen)
            dropping.cancel()
            await world.until_settled()
            await world.for_s(30.0)
            (body,) = world.home.cgms
            whole = {record.time_offset_min: float(record.glucose_mg_dl) for record in body.stored}
            found = newest(world)
            assert found is not None
            assert found[0] == max(whole)
            np.testing.assert_array_equal(found[1], analysed(whole, tmp_path / "readings.csv"))

    run(scenario())
    assert len(compared) > 40
    assert len(seen) > 60
