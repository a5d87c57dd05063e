"""A wrong clock, at the start or after a reboot, costs nothing once the time is known, and deletes nothing."""

from pathlib import Path

import pytest

from hw_sim.clock import run
from tools.rig.home.world import open_world
from tools.rig.language.durations import Offset, Span
from tools.rig.language.scenario import CGM, MIDNIGHT_UTC_S, STRAP, Clock, home_of

MINUTE_S, HOUR_S = 60, 3600
LOST_S, AFTER_S = 1800.0, 3600.0

# Who is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.mark.parametrize("wrong_s", [-20_000 * 86_400, -400 * 86_400, 30 * 86_400, 3650 * 86_400])
def test_a_wrong_clock_at_start_costs_nothing_once_the_time_is_known(tmp_path: Path, wrong_s: int) -> None:
    async def main() -> None:
        clock = Clock(wrong_by_s=Offset(wrong_s), trusted=False)
        scenario = home_of(STRAP, CGM, hours=1, clock=clock, history_s=Span(7200.0))
        async with open_world(scenario, tmp_path) as world:
            await world.until_s(LOST_S)
            tables = world.gateway.store.tables
            assert tables.summaries.between("heart_5min", -(1 << 40), 1 << 40) == []
            assert not list((tmp_path / "bundles").glob("*.json"))
            (cgm,) = world.home.cgms
            # Nothing is written into a sensor by a clock that nobody vouches for.
            assert cgm.session.start_time is None
            world.machine.set_clock()
            await world.until_s(AFTER_S)
            windows = tables.summaries.between("heart_5min", -(1 << 40), 1 << 40)
            starts = [summary.key.start_utc_s for summary in windows]
            assert starts[0] in (MIDNIGHT_UTC_S, MIDNIGHT_UTC_S - 300)
            assert starts[-1] >= MIDNIGHT_UTC_S + AFTER_S - 900
            assert starts == list(range(starts[0], starts[-1] + 1, 300))
            # The packets of the untrusted half hour are all there.
            chunks = tables.raw_chunks.spans(world.row_no("strap"), 1)
            assert chunks[0][0] < 120 * 10**9
            await world.until_settled()

    run(main())


def test_a_clock_that_is_a_year_ahead_after_a_reboot_deletes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_world(home_of(STRAP, hours=2), tmp_path) as world:
            await world.until_s(600)
            await world.machine.reboot(30.0, wrong_s=400 * 86_400.0, is_trusted=False)
            tables, strap_no = world.gateway.store.tables, world.row_no("strap")
            before = tables.raw_chunks.spans(strap_no, 1)
            windows = tables.summaries.between("heart_5min", -(1 << 40), 1 << 40)
            assert before
            assert windows
            await world.for_s(HOUR_S + MINUTE_S)  # what is too old is looked for once an hour
            assert tables.raw_chunks.spans(strap_no, 1) == before
            assert tables.summaries.between("heart_5min", -(1 << 40), 1 << 40) == windows
            assert tables.raw_chunks.spans(strap_no, 2)

    run(main())
