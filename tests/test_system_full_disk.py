"""A disk that is full for an hour: the gateway measures on, says so, and stores what it still can get afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_gateway import MIDNIGHT_UTC_S, configured, world

from edge.workers import InlineWorker, Workers
from hw_sim.clock import run

HOUR_S = 3600


class Disk:
    """The writer's disk, full when told to be."""

    def __init__(self) -> None:
        self.is_full = False

    async def __call__(self, work: Callable[[], Any]) -> Any:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return work()

    def close(self) -> None: ...


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    return [line for line in said if any(word in line for word in words)]


def test_nothing_is_lost_that_a_sensor_or_an_hour_of_memory_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        disk = Disk()
        workers = Workers(disk, InlineWorker(), InlineWorker())
        async with world(configured(tmp_path, "heart_rate", "cgm"), hours=4, workers=workers) as home:
            await home.until_utc_s(MIDNIGHT_UTC_S + HOUR_S)
            disk.is_full = True
            await home.for_s(0.9 * HOUR_S)
            status = await home.gateway.status()
            assert status.store.trouble == "No space left on device"
            strap, cgm = status.sensors
            assert (strap.phase, cgm.phase) == ("streaming", "streaming")
            ages_s = {value.measurement: value.age_s for sensor in (strap, cgm) for value in sensor.values}
            assert ages_s["heart_rate"] is not None
            assert ages_s["heart_rate"] < 2
            assert ages_s["glucose"] is not None
            assert ages_s["glucose"] < 600
            disk.is_full = False
            await home.until_utc_s(MIDNIGHT_UTC_S + 3.5 * HOUR_S)
            assert (await home.gateway.status()).store.trouble is None
            tables, (strap_row, cgm_row) = home.gateway.store.tables, home.gateway.rows
            (session,) = tables.sessions.of_sensor(cgm_row.no)
            offsets = [r.time_offset_min for r in home.home.cgms[0].stored]
            assert tables.readings.sequences(session.no, "glucose") == offsets
            windows = [s for s in tables.summaries.between("heart_5min") if s.key.sensor_no == strap_row.no]
            full = [s for s in windows if s.body["coverage_pct"] > 95]
            assert len(full) >= 3.4 * 12
            await home.until_sent()

    run(main())
    assert lines(caplog, "store") == [
        "the store cannot be written: No space left on device",
        "the store can be written again",
    ]


@pytest.mark.parametrize("what", ["a full disk", "a deleted file", "nothing"])
def test_what_cannot_be_stored_at_the_stop_is_said(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The packets of the minute that is open, and of the one before."""

    async def main() -> None:
        disk = Disk()
        workers = Workers(disk, InlineWorker(), InlineWorker())
        async with world(configured(tmp_path, "heart_rate"), hours=1, workers=workers) as home:
            await home.until_utc_s(MIDNIGHT_UTC_S + 600)
            disk.is_full = what == "a full disk"
            if what == "a deleted file":
                home.gateway.store.path.unlink()
                with pytest.raises(ExceptionGroup, match="unhandled errors"):
                    await home.for_s(120.0)
            elif what == "a full disk":
                await home.for_s(90.0)

    run(main())
    lost = lines(caplog, "could not be stored")
    if what == "nothing":
        assert lost == []
    else:
        (line,) = lost
        count, rest = line.split(" ", 1)
        assert rest.startswith("packets of strap could not be stored: ")
        reason = {"a full disk": "No space left on device", "a deleted file": "was deleted or replaced"}[what]
        assert reason in rest
        assert int(count) > (90 if what == "a full disk" else 1)
