"""Links that drop at random: what the CGM stored is complete upstream, and nothing of it twice."""

from pathlib import Path

import pytest
from fhir_directory import LOINC, receive

from hw_sim.clock import run
from hw_sim.faults import LinkFaults
from tools.rig.scenario import CGM, home_of
from tools.rig.world import open_world


async def day_with_drops(
    directory: Path, seed: int
) -> tuple[list[tuple[int, float]], list[tuple[int, float]], int]:
    """What the sensor stored, what arrived (time offset by the clock, mg/dL), and how often the link dropped."""
    async with open_world(home_of(CGM, hours=24, seed=seed), directory) as world:
        world.drop_links(LinkFaults(seed, up_s_mean=1500.0, down_s_mean=900.0))
        await world.until_s(24 * 3600.0)
        await world.until_settled(24 * 3600.0)
        (cgm,) = world.home.cgms
        session = world.gateway.store.tables.sessions.current(world.row_no("cgm"))
        assert session is not None
        stored = [(session.start_utc_s + 60 * r.time_offset_min, float(r.glucose_mg_dl)) for r in cgm.stored]
        assert cgm.sessions_started == 0
        return stored, arrived(world.bundles), world.drops[cgm.address]


def arrived(bundles: Path) -> list[tuple[int, float]]:
    from datetime import datetime

    received = receive(bundles)
    readings = received.with_code(LOINC, "99504-3")
    assert all(received.times_sent[reading["id"]] == 1 for reading in readings)
    return sorted(
        (round(datetime.fromisoformat(r["effectiveDateTime"]).timestamp()), r["valueQuantity"]["value"])
        for r in readings
    )


@pytest.mark.parametrize("seed", range(20))
def test_cgm_is_complete_and_free_of_doubles(tmp_path: Path, seed: int) -> None:
    stored, upstream, drops = run(day_with_drops(tmp_path, seed))
    assert drops > 10
    assert len(stored) == 274
    assert upstream == stored
