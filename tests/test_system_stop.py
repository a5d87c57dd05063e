"""What a full disk, or a store that was deleted, costs at the stop is said."""

from pathlib import Path

import pytest

from hw_sim.clock import run
from tools.rig.home.machine import GatewayEnded
from tools.rig.home.world import open_world
from tools.rig.language.scenario import STRAP, home_of


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    return [line for line in said if any(word in line for word in words)]


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
