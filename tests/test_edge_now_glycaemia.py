"""What a gateway says of a CGM's readings as they come: the same as `vitalgate analyse glucose` says of them."""

import asyncio
import csv
import gzip
import math
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from cgm_parts import Gateway
from scripted_cgm import Sensor

from dsp.glucose import realtime
from dsp.glucose.realtime import Live
from edge.kernels_ready import KernelsReady
from edge.now import wearers
from edge.now.known import GlucoseKnown
from hw_sim.clock import run
from protocols.cgm import SensorStatus
from protocols.medfloat import MedFloat, Special
from tools.analyse import glucose as analyse_glucose
from tools.analyse import glucose_csv

AZT1D = Path(__file__).parent / "recordings/azt1d_09_glucose.csv.gz"


def recorded(first: int = 0, end: int = 400) -> dict[int, float]:
    """A real person's readings, by minutes since the first."""
    with gzip.open(AZT1D, "rt") as file:
        rows = [(datetime.fromisoformat(r["time"]), float(r["glucose_mg_dl"])) for r in csv.DictReader(file)]
    part = rows[first:end]
    return {int((time - part[0][0]).total_seconds() // 60): value for time, value in part}


def analysed(readings: dict[int, float], tmp_path: Path) -> dict[int, Live]:
    """What `analyse glucose` says of each reading, by offset."""
    path = tmp_path / "readings.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("time", "glucose_mg_dl"))
        for offset, value in sorted(readings.items()):
            days, minutes = divmod(offset, 1440)
            word = {math.inf: "HI", -math.inf: "LO"}.get(value, f"{value:g}")
            writer.writerow((f"2026-03-{2 + days:02}T{minutes // 60:02}:{minutes % 60:02}:00Z", word))
    said = analyse_glucose.follow(glucose_csv.read(path, None))
    return dict(zip(sorted(readings), (live for _, live in said), strict=True))


def play(scenario: Callable[[Gateway], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await scenario(Gateway())

    run(main())


async def with_agenda(g: Gateway, *tasks: Coroutine[Any, Any, Any]) -> None:
    """Run these, and the agenda of the process beside them."""
    agenda = asyncio.ensure_future(g.agenda.run())
    try:
        await asyncio.gather(*tasks)
    finally:
        agenda.cancel()


def newest(g: Gateway) -> tuple[int, Live]:
    found = g.cgm.glycaemia.newest
    assert found is not None
    return found


def known(g: Gateway) -> GlucoseKnown:
    found = g.cgm.glycaemia.glucose(g.clocks.boot_ns())
    assert found is not None
    return found


def assert_same(found: tuple[int, Live], said: dict[int, Live]) -> None:
    offset, live = found
    np.testing.assert_array_equal(live, said[offset], f"at minute {offset}")


def test_each_reading_says_what_analyse_says_of_it(tmp_path: Path) -> None:
    readings = recorded()
    said = analysed(readings, tmp_path)
    assert sum(live.low_ahead + live.high_ahead for live in said.values()) > 2

    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=0)
        compared = []

        async def live() -> None:
            await asyncio.sleep(1)
            for offset, value in readings.items():
                await sensor.live(offset, glucose=value)
                await asyncio.sleep(1)
                assert_same(newest(g), said)
                now = known(g)
                assert now.is_low_ahead == bool(said[offset].low_ahead)
                assert now.in_30_min is not None
                assert now.in_30_min.glucose_mg_dl == said[offset].in_30_mg_dl
                assert now.steady_readings == said[offset].steady
                assert 0.0 <= now.age_s <= 62.0
                compared.append(offset)

        await with_agenda(g, g.talk(sensor, 60 * (max(readings) + 5)), live())
        assert compared == list(readings)

    play(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_links_that_drop_and_processes_that_are_killed_change_nothing(seed: int, tmp_path: Path) -> None:
    readings = recorded()
    rng = Random(seed)
    said = analysed(readings, tmp_path)

    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=0)
        g.store.delay_s = rng.choice([0.0, 4.0])
        end_s = 60 * max(readings)
        compared = 0

        async def measure() -> None:
            for offset, value in readings.items():
                await sensor.live(offset, glucose=value)

        async def wear() -> None:
            nonlocal compared
            while asyncio.get_running_loop().time() < end_s:
                agenda = asyncio.ensure_future(g.agenda.run())
                await g.talk(
                    sensor, rng.uniform(10.0, 20_000.0), cut_at=rng.choice([None, rng.randrange(5, 60)])
                )
                await asyncio.sleep(rng.uniform(0.0, 9_000.0))
                if found := g.cgm.glycaemia.newest:
                    # However it came so far, and whatever is missing: the analysis of what is here.
                    wearing = g.cgm._wearing
                    assert wearing is not None
                    here = {offset: readings[offset] for offset in readings if offset in wearing.ledger}
                    assert_same(found, analysed(here, tmp_path))
                    compared += 1
                agenda.cancel()
                if rng.random() < 0.5:
                    g.restart(boots=rng.random() < 0.5)
            await with_agenda(g, g.talk(sensor, 600.0))

        await asyncio.gather(measure(), wear())
        assert g.store.kept() == list(readings)
        assert_same(newest(g), said)
        assert newest(g)[0] == max(readings)
        assert compared > 5
        g.restart()
        await with_agenda(g, asyncio.sleep(1.0))
        assert_same(newest(g), said)

    play(scenario)


def test_a_backlog_older_than_the_newest_is_computed_anew_and_nothing_waits_for_it(tmp_path: Path) -> None:
    readings = recorded()
    (*_, last) = readings
    said = analysed(readings, tmp_path)

    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=last - 1)
        for offset, value in readings.items():
            if offset < last:
                sensor.store([offset], value)
        sensor.answer = lambda: sensor.report_slowly(0.5)
        first: list[tuple[int, Live]] = []

        async def live() -> None:
            await sensor.live(last, glucose=readings[last])
            await asyncio.sleep(0.5)
            first.append(newest(g))

        await with_agenda(g, g.talk(sensor, 400.0), live())
        assert first[0][0] == last
        assert first[0][1].steady < said[last].steady
        assert_same(newest(g), said)

    play(scenario)


def test_what_was_learnt_goes_on_into_the_next_session_and_the_readings_do_not(tmp_path: Path) -> None:
    before, after = recorded(0, 300), recorded(300, 420)
    wearer = realtime.new_wearer()
    realtime.follow(wearer, [float(m) for m in before], list(before.values()))
    realtime.begin_session(wearer)
    learnt = realtime.dump(wearer)
    rows = realtime.follow(wearer, [float(m) for m in after], list(after.values()))
    said = {offset: Live._make(row) for offset, row in zip(after, rows.tolist(), strict=True)}

    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=max(before) + 2)
        for offset, value in before.items():
            sensor.store([offset], value)
        await with_agenda(g, g.talk(sensor, 60.0))
        sensor.begin_anew()

        async def live() -> None:
            for offset, value in after.items():
                await sensor.live(offset, glucose=value)
                await asyncio.sleep(1)
                assert_same(newest(g), said)

        await with_agenda(g, g.talk(sensor, 60.0 * (max(after) + 3)), live())
        first, second = g.store.sessions()
        assert wearers.kept(g.store.tables, second.no) == learnt
        # A gateway that finds another version's blobs, or none, computes the same.
        with g.store.tables.database.transaction():
            g.store.tables.blobs.put(wearers.KIND, second.no, wearers.VERSION + 1, b"other")
            g.store.tables.blobs.delete(wearers.KIND, first.no)
        g.restart()
        await with_agenda(g, asyncio.sleep(1.0))
        assert_same(newest(g), said)
        assert wearers.kept(g.store.tables, second.no) == learnt

    play(scenario)


def test_a_store_that_cannot_write_changes_nothing(tmp_path: Path) -> None:
    readings = recorded(0, 150)
    said = analysed(readings, tmp_path)

    async def scenario(g: Gateway) -> None:
        g.store.is_full = True
        sensor = Sensor(age_min=0)

        async def live() -> None:
            await asyncio.sleep(1)
            for offset, value in readings.items():
                await sensor.live(offset, glucose=value)
                await asyncio.sleep(1)
                assert_same(newest(g), said)
            g.store.is_full = False
            await asyncio.sleep(7200)
            assert_same(newest(g), said)
            assert g.store.kept() == list(readings)

        await with_agenda(g, g.talk(sensor, 60 * (max(readings) + 125)), live())

    play(scenario)


def test_what_does_not_count_is_passed_over_and_a_calibration_ends_what_is_steady(tmp_path: Path) -> None:
    counted = (
        {5 * k: 120.0 for k in range(10)}
        | {55 + 5 * k: 121.0 for k in range(3)}
        | {70: -math.inf, 75: math.inf}
    )
    said = analysed(counted, tmp_path)

    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=0)
        found: dict[int, int] = {}
        newest_of: dict[int, int] = {}

        async def live(offset: int, glucose: MedFloat, status: int = 0) -> None:
            sensor.status = SensorStatus(status)
            await sensor.live(offset, glucose=glucose)
            await asyncio.sleep(1)
            newest_of[offset], _ = newest(g)
            assert_same(newest(g), said)
            found[offset] = known(g).steady_readings

        async def all_of_them() -> None:
            await asyncio.sleep(1)
            for k in range(10):
                await live(5 * k, 120.0)
            await live(50, 300.0, SensorStatus.CALIBRATION_PENDING)
            for k in range(3):
                await live(55 + 5 * k, 121.0)
            await live(70, Special.NEGATIVE_INFINITY)
            await live(75, Special.POSITIVE_INFINITY)
            await live(80, Special.NAN)

        await with_agenda(g, g.talk(sensor, 6000.0), all_of_them())
        assert [found[5 * k] for k in range(10)] == list(range(1, 11))
        assert newest_of[50] == 45
        assert [found[m] for m in (50, 55, 60, 65)] == [0, 1, 2, 3]
        assert newest_of[80] == 75

    play(scenario)


def test_what_a_process_before_knew_is_known_with_its_age() -> None:
    async def scenario(g: Gateway) -> None:
        assert g.cgm.glycaemia.glucose(0) is None
        sensor = Sensor(age_min=100, stored=range(0, 101, 5))
        await with_agenda(g, g.talk(sensor, 60.0))
        age_s = known(g).age_s
        for boots in (False, True):
            await asyncio.sleep(1000.0)
            g.restart(boots=boots)
            assert g.cgm.glycaemia.glucose(g.clocks.boot_ns()) is None
            await with_agenda(g, asyncio.sleep(1.0))
            age_s += 1001.0
            assert known(g).age_s == pytest.approx(age_s, abs=62.0)

    play(scenario)


def test_while_kernels_are_compiled_readings_wait_and_nobody_calls_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = recorded(0, 24)
    said = analysed(readings, tmp_path)
    kernels = KernelsReady(is_ready=False)

    def checked(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            assert kernels.is_ready, "it would wait for the compiler"
            return kernel(*arguments)

        return call

    for name in ("update", "follow"):
        monkeypatch.setattr(realtime, name, checked(getattr(realtime, name)))

    async def scenario() -> None:
        g, sensor = Gateway(kernels=kernels), Sensor(age_min=0)

        async def live() -> None:
            await asyncio.sleep(1)
            for n, (offset, value) in enumerate(readings.items()):
                if n == 20:
                    assert g.cgm.glycaemia.newest is None
                    kernels.set()
                await sensor.live(offset, glucose=value)
                await asyncio.sleep(10)
            assert_same(newest(g), said)

        await with_agenda(g, g.talk(sensor, 300), live())

    run(scenario())
