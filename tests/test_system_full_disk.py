"""A disk that is full for an hour: the gateway measures on, says so, and stores what it still can get afterwards."""

from pathlib import Path

import pytest

from hw_sim.clock import run
from tools.rig.machine import GatewayEnded
from tools.rig.scenario import CGM, STRAP, home_of
from tools.rig.world import open_world

HOUR_S = 3600


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    return [line for line in said if any(word in line for word in words)]


def test_nothing_is_lost_that_a_sensor_or_an_hour_of_memory_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def main() -> None:
        async with open_world(home_of(STRAP, CGM, hours=4), tmp_path) as world:
            await world.until_s(HOUR_S)
            world.machine.is_full = True
            await world.for_s(0.9 * HOUR_S)
            status = await world.gateway.status()
            assert status.store.trouble == "No space left on device"
            strap, cgm = status.sensors
            assert (strap.phase, cgm.phase) == ("streaming", "streaming")
            ages_s = {value.measurement: value.age_s for sensor in (strap, cgm) for value in sensor.values}
            assert ages_s["heart_rate"] is not None
            assert ages_s["heart_rate"] < 2
            assert ages_s["glucose"] is not None
            assert ages_s["glucose"] < 600
            world.machine.is_full = False
            await world.until_s(3.5 * HOUR_S)
            assert (await world.gateway.status()).store.trouble is None
            tables, (strap_row, cgm_row) = world.gateway.store.tables, world.gateway.rows
            (session,) = tables.sessions.of_sensor(cgm_row.no)
            offsets = [r.time_offset_min for r in world.home.cgms[0].stored]
            assert tables.readings.sequences(session.no, "glucose") == offsets
            windows = [s for s in tables.summaries.between("heart_5min") if s.key.sensor_no == strap_row.no]
            full = [s for s in windows if s.body["coverage_pct"] > 95]
            assert len(full) >= 3.4 * 12
            await world.until_settled()

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
        async with open_world(home_of(STRAP), tmp_path) as world:
            await world.until_s(600.0)
            world.machine.is_full = what == "a full disk"
            if what == "a deleted file":
                world.gateway.store.path.unlink()
                with pytest.raises(GatewayEnded, match="deleted or replaced"):
                    await world.for_s(120.0)
            elif what == "a full disk":
                await world.for_s(90.0)

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
