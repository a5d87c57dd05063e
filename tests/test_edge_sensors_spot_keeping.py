"""Each measurement is stored once, whatever is delivered how often and in which order; a plain list is the oracle."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_vectors import BOUNDED
from spot_bench import NOON_UTC_S, Bench, play

from edge.sensors.spot import keeping, sensor
from edge.sensors.spot.keeping import SLOTS
from edge.sensors.spot.measured import WAYS
from edge.sensors.spot.sensor import PER_S_MAX, WAITING_MAX
from hw_sim.clock import run
from protocols.errors import DecodeError


def values(bench: Bench, measurement: str) -> list[float | None]:
    return [reading.value for _, reading in bench.readings(measurement)]


def test_what_comes_again_is_known_by_its_time_and_its_value(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        shown_s = NOON_UTC_S - 60
        for _ in range(3):
            bench.temperature(37.0, shown_s)
            bench.temperature(37.5, shown_s)  # another one within the same second
            bench.temperature(36.9, shown_s - 30)
            await bench.restart()
        assert sorted(values(bench, "body_temperature")) == [36.9, 37.0, 37.5]
        assert [reading.at_s for _, reading in bench.readings("body_temperature")] == [-30, 0, 0]

    play(tmp_path, "thermometer", scenario)


def test_more_within_a_second_than_there_are_slots_are_no_error(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for n in range(3 * SLOTS):
            bench.temperature(36.0 + n / 100, NOON_UTC_S)
        await bench.restart()
        assert len(values(bench, "body_temperature")) == SLOTS

    play(tmp_path, "thermometer", scenario)


def test_what_arrives_each_second_is_stored_in_pieces(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for n in range(25):
            bench.temperature(36.0 + n / 100, None)
            await asyncio.sleep(1.0)
            if n == 8:
                assert len(values(bench, "body_temperature")) == 1
        await bench.restart()
        assert len(values(bench, "body_temperature")) == 25

    play(tmp_path, "thermometer", scenario)


def test_a_number_that_stands_for_something_else_begins_another_session(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number, mg_dl in ((1, 100.0), (2, 110.0), (1, 120.0), (2, 130.0), (1, 120.0), (1, 100.0)):
            bench.glucose(number, mg_dl, NOON_UTC_S - 1000 + round(mg_dl))
        await bench.store.drain()
        assert [(n, r.sequence, r.value) for n, r in bench.readings("capillary_glucose")] == [
            (1, 1, 100.0),
            (1, 2, 110.0),
            (2, 1, 120.0),
            (2, 2, 130.0),
        ]
        bench.glucose(1, 100.0, NOON_UTC_S - 5)  # the same value at another time
        await bench.store.drain()
        assert len(bench.readings("capillary_glucose")) == 5

    play(tmp_path, "glucose_meter", scenario)


def test_the_watermark_goes_only_over_what_is_stored(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        for number in (1, 2, 4):
            bench.glucose(number, 100.0 + number, NOON_UTC_S - 1000 + number)
        await bench.store.drain()
        tables, no = bench.store.tables, bench.row.no
        with tables.database.transaction():
            assert keeping.complete(tables, no, {1, 2, 3, 4}) == -1
            assert keeping.complete(tables, no, {1, 2, 4}) == 4
            assert keeping.complete(tables, no, {1}) == 4
            assert keeping.complete(tables, no, set()) == 4

    play(tmp_path, "glucose_meter", scenario)


@pytest.mark.parametrize("seed", range(12))
def test_random_deliveries_are_what_a_list_without_doubles_is(tmp_path: Path, seed: int) -> None:
    """A thermometer with a clock that is never set delivers any of what it has, in any order, over any restarts."""

    async def scenario(bench: Bench) -> None:
        rng = random.Random(seed)
        held: list[tuple[int, float]] = []
        for _ in range(40):
            await asyncio.sleep(rng.uniform(1.0, 4000.0))
            now_s = bench.clock.utc_ns() // 10**9
            held.append((now_s, round(rng.uniform(35.0, 40.0), 1)))
            bench.temperature(held[-1][1], held[-1][0])
            for shown_s, celsius in rng.sample(held, rng.randint(0, min(5, len(held)))):
                bench.temperature(celsius, shown_s)
            if rng.random() < 0.2:
                await bench.restart()
                bench.sensor._epochs.begin_contact()
        await bench.restart()
        tables = bench.store.tables
        found = sorted(
            ((session.start_utc_s or 0) + reading.at_s, reading.value)
            for session in tables.sessions.of_sensor(bench.row.no)
            for reading in tables.readings.between(session.no, "body_temperature", -(1 << 40), 1 << 40)
        )
        assert [value for _, value in found] == [value for _, value in held]
        # The start of a session is a whole second.
        assert all(0 <= true_s - at_s <= 1 for (at_s, _), (true_s, _) in zip(found, held, strict=True))

    play(tmp_path, "thermometer", scenario)


PACKETS = st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.binary(min_size=1, max_size=24)), max_size=30)


@pytest.mark.parametrize("kind", ["glucose_meter", "thermometer", "body_composition"])
@given(packets=PACKETS)
@settings(BOUNDED, max_examples=30)
def test_whatever_comes_the_store_goes_on(
    tmp_path_factory: pytest.TempPathFactory, kind: str, packets: list[tuple[str, bytes]]
) -> None:
    async def main() -> None:
        bench = Bench(tmp_path_factory.mktemp("hostile"), kind)
        for characteristic, payload in packets:
            try:
                bench.take(characteristic, payload)
            except DecodeError:
                continue
        await bench.restart()
        await bench.stop()

    run(main())


def test_a_device_that_sends_without_end_fills_no_memory_and_what_is_dropped_is_counted(
    tmp_path: Path,
) -> None:
    async def scenario(bench: Bench) -> None:
        for n in range(5000):
            bench.glucose(n, 100.0, NOON_UTC_S - n)
            assert len(bench.sensor._waiting) <= WAITING_MAX
        await asyncio.sleep(60)
        live = bench.sensor.live()
        assert (live.records, live.dropped, live.waiting) == (1500, 3500, 0)
        tables, no = bench.store.tables, bench.row.no
        with tables.database.transaction():
            # What was dropped will be asked for again.
            assert keeping.complete(tables, no, bench.sensor._kept_numbers) == -1

    play(tmp_path, "glucose_meter", scenario)


def test_a_flood_fills_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who poses as a thermometer sends as fast as the air carries it."""
    monkeypatch.setattr(sensor, "AT_ONCE_MAX", 20.0)

    async def scenario(bench: Bench) -> None:
        for n in range(60):
            bench.temperature(37.0, NOON_UTC_S - 100 + n)
        await asyncio.sleep(2.0)
        assert len(values(bench, "body_temperature")) == 20
        assert bench.sensor.live().dropped == 40
        for n in range(60):
            bench.temperature(38.0, NOON_UTC_S - 100 + n)
        await asyncio.sleep(1.0)
        assert len(values(bench, "body_temperature")) == 20 + int(2.0 * PER_S_MAX)

    play(tmp_path, "thermometer", scenario)
