"""The home of a scenario behind a radio that is ordinary calls: the same faults, for one tenth of the time.

Contract: as `tools.rig.home.world.open_world`, for CGMs and straps. Whoever wants to know what people are told gives a
channel.

Not here: what must be true (`checks`, `alerts`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, cast

from edge.alerts.delivery import Channel
from hw_sim.direct_home import DirectAir, DirectHome
from hw_sim.radio.direct_stack import DirectStack
from tools.rig.home.machine import Machine, direct
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.scene import sensors_there
from tools.rig.home.simulated_feeds import SimulatedFeeds
from tools.rig.home.world import Disks, World
from tools.rig.language.scenario import LEAD_S, MIDNIGHT_UTC_S, Scenario


class _Adapter:
    """What a world asks of the machine's Bluetooth beside links."""

    def __init__(self, stack: DirectStack) -> None:
        self.hangs_on_disconnect = stack.hangs_on_disconnect
        self.bluetoothd = stack.bluetoothd

    async def close(self) -> None:
        """Nothing has to be taken down."""


@asynccontextmanager
async def open_direct(
    scenario: Scenario, directory: Path, new_channels: Callable[[], Sequence[Channel]] = tuple
) -> AsyncIterator[World]:
    """A home in which a gateway has just been switched on; its files lie in `directory`."""
    begin_s = asyncio.get_running_loop().time() + LEAD_S
    config = scenario.configure(directory)
    stack = DirectStack(connect_s=0.2, request_s=0.02)
    worn = [(spec.kind, spec.address) for spec in sensors_there(scenario, config)]
    recorded = DemoRecordings.chosen(None, None, bodies=scenario.bodies)
    home = DirectHome(
        stack,
        worn,
        begin_s=begin_s,
        duration_s=scenario.lasts_s,
        seed=scenario.seed,
        rr_ms=recorded.rr_ms,
        glucose=recorded.glucose,
    )
    await home.start()
    disks = Disks(scenario.seed)
    machine = Machine(
        lambda: world.config,
        direct(stack),
        zero_utc_s=MIDNIGHT_UTC_S - begin_s,
        new_rng=lambda life: Random(scenario.seed + life),  # noqa: S311 - the same seed gives the same run
        new_workers=disks,
        new_channels=new_channels,
        boot_id=f"boot-{scenario.seed}",
        wrong_s=scenario.clock.wrong_by_s,
        is_trusted=scenario.clock.trusted,
    )
    adapter: Any = _Adapter(stack)
    air, sensors = cast(Any, DirectAir(stack)), cast(Any, home)
    feeds = SimulatedFeeds(recorded, lambda: machine.utc_s, scenario.seed)
    world = World(scenario, config, air, sensors, begin_s, adapter, machine, disks, feeds)
    world.note_consents()
    try:
        machine.start()
        yield world
    finally:
        await world.close()
