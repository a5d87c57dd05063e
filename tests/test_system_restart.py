"""A gateway that dies while the system's Bluetooth lives on, is stopped, or meets a wrong clock goes on where it was.

`kill -9` leaves every link held: a connected sensor does not advertise, and nothing tells the system that its client is
gone.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_gateway import MIDNIGHT_UTC_S, World, configured, world

from edge.workers import Workers, inline
from hw_sim.clock import VirtualClock, run

MINUTE_S, HOUR_S = 60, 3600
# The shortest pause is a second; finding, connecting and setting up take about as long.
BACK_OFF_S = 5.0


class Switch:
    """A worker that does nothing any more once its process is dead."""

    def __init__(self) -> None:
        self.is_dead = False

    async def __call__(self, work: Callable[[], Any]) -> Any:
        if self.is_dead:
            await asyncio.get_running_loop().create_future()
        return work()

    def close(self) -> None: ...


async def kill(home: World) -> None:
    """What `kill -9` leaves: nothing more is written or said, and what the system holds stays held."""
    for worker in home.workers:
        worker.is_dead = True  # type: ignore[attr-defined]
    home.central.abandon_clients()
    home.running.cancel()
    await asyncio.wait({home.running}, timeout=1)
    home.gateway.store.close()
    home.gateway.release()


def links(home: World) -> int:
    return len(home.central.device.connections)


def received(home: World) -> dict[str, int]:
    return {name: sensor.live().records for name, sensor in home.gateway.sensors.items()}


@pytest.mark.parametrize("after_s", [3.0, 61.5, 600.0, 1803.0])
def test_data_flow_again_within_one_back_off_after_a_kill(tmp_path: Path, after_s: float) -> None:
    async def main() -> None:
        async with world(configured(tmp_path, "heart_rate", "cgm"), hours=3, workers=dying()) as home:
            await home.for_s(60 + after_s)
            held = links(home)
            await kill(home)
            assert links(home) == held == 2
            home.workers = dying()
            home.start()
            await home.for_s(BACK_OFF_S)
            assert received(home)["strap"] > 0
            status = await home.gateway.status()
            assert {sensor.phase for sensor in status.sensors} <= {"streaming", "settling"}
            await home.until_utc_s(MIDNIGHT_UTC_S + 2 * HOUR_S)
            assert received(home)["strap"] > 1000
            (session,) = home.gateway.store.tables.sessions.of_sensor(home.gateway.rows[1].no)
            stored = home.gateway.store.tables.readings.sequences(session.no, "glucose")
            (cgm,) = home.home.cgms
            assert stored == [record.time_offset_min for record in cgm.stored]

    run(main())


def dying() -> Workers:
    return Workers(Switch(), Switch(), Switch())


@pytest.mark.parametrize("wrong_s", [-20_000 * 86_400, -400 * 86_400, 30 * 86_400, 3650 * 86_400])
def test_a_wrong_clock_at_start_costs_nothing_once_the_time_is_known(tmp_path: Path, wrong_s: int) -> None:
    async def main() -> None:
        clock = VirtualClock((MIDNIGHT_UTC_S - 60 + wrong_s) * 10**9, "boot-0", error_ms=None)
        config = configured(tmp_path, "heart_rate", "cgm")
        async with world(config, hours=3, clock=clock, history_s=7200.0) as home:
            await home.until_utc_s(MIDNIGHT_UTC_S + HOUR_S)
            tables = home.gateway.store.tables
            assert tables.summaries.between("heart_5min", -(1 << 40), 1 << 40) == []
            assert not list((tmp_path / "bundles").glob("*.json"))
            (cgm,) = home.home.cgms
            # Nothing is written into a sensor by a clock that nobody vouches for.
            assert cgm.session.start_time is None
            clock.epoch_utc_ns -= wrong_s * 10**9
            clock.error_ms = 500
            await home.until_utc_s(MIDNIGHT_UTC_S + 2 * HOUR_S)
            windows = tables.summaries.between("heart_5min", -(1 << 40), 1 << 40)
            starts = [summary.key.start_utc_s for summary in windows]
            assert starts[0] in (MIDNIGHT_UTC_S, MIDNIGHT_UTC_S - 300)
            assert starts[-1] >= MIDNIGHT_UTC_S + 2 * HOUR_S - 900
            assert starts == list(range(starts[0], starts[-1] + 1, 300))
            # The packets of the untrusted hour are all there.
            chunks = tables.raw_chunks.spans(home.gateway.rows[0].no, 1)
            assert chunks[0][0] < 120 * 10**9
            await home.until_sent()

    run(main())


def test_a_clock_that_is_a_year_ahead_after_a_reboot_deletes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(configured(tmp_path, "heart_rate"), hours=2) as home:
            await home.until_utc_s(MIDNIGHT_UTC_S + 600)
            await home.stop()
            year_ahead_ns = home.clock.epoch_utc_ns + 400 * 86_400 * 10**9
            home.clock = VirtualClock(year_ahead_ns, "boot-1", error_ms=None)
            home.start()
            tables, strap_no = home.gateway.store.tables, home.gateway.rows[0].no
            before = tables.raw_chunks.spans(strap_no, 1)
            windows = tables.summaries.between("heart_5min", -(1 << 40), 1 << 40)
            assert before
            assert windows
            await home.for_s(HOUR_S + MINUTE_S)  # what is too old is looked for once an hour
            assert tables.raw_chunks.spans(strap_no, 1) == before
            assert tables.summaries.between("heart_5min", -(1 << 40), 1 << 40) == windows
            assert tables.raw_chunks.spans(strap_no, 2)

    run(main())


def test_a_stopped_gateway_goes_on_and_sends_nothing_twice(tmp_path: Path) -> None:
    from fhir_directory import LOINC, receive

    async def main() -> None:
        async with world(configured(tmp_path, "heart_rate", "cgm"), hours=4) as home:
            for hour in (1, 2, 3):
                await home.until_utc_s(MIDNIGHT_UTC_S + hour * HOUR_S - 7 * MINUTE_S)
                await home.stop()
                home.workers = inline()
                home.start()
            await home.until_utc_s(MIDNIGHT_UTC_S + 4 * HOUR_S)
            await home.until_sent()
            (cgm,) = home.home.cgms
            readings = receive(tmp_path / "bundles").with_code(LOINC, "99504-3")
            assert len(readings) == len(cgm.stored)

    run(main())
