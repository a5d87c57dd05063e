"""Links that fail at random: sensors that go out of reach and come back, exactly the same way for each seed.

Contract: each sensor has a random stream of its own, from the seed and its address, so another sensor in the
room changes nothing for the first. Out of reach means what `Air.set_reachable` says.

Not here: faults inside a sensor (sensors), the loss itself (air).
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hw_sim.radio.sensor_air import SensorAir


@dataclass(frozen=True)
class LinkFaults:
    """How long a sensor stays in reach and out of it: exponential times with these means."""

    seed: int
    up_s_mean: float
    down_s_mean: float


async def drop_links(
    air: SensorAir, addresses: Sequence[str], faults: LinkFaults, drops: Counter[str]
) -> None:
    """Move sensors out of reach and back until cancelled, then leave them in reach. Counts into `drops`."""
    try:
        async with asyncio.TaskGroup() as sensors:
            for address in addresses:
                sensors.create_task(_come_and_go(air, address, faults, drops))
    finally:
        for address in addresses:  # here and not in the tasks, which a group cancels in no particular order
            air.set_reachable(address, True)


async def _come_and_go(air: SensorAir, address: str, faults: LinkFaults, drops: Counter[str]) -> None:
    times = random.Random(f"{faults.seed} {address}")
    while True:
        await asyncio.sleep(times.expovariate(1 / faults.up_s_mean))
        air.set_reachable(address, False)
        drops[address] += 1
        await asyncio.sleep(times.expovariate(1 / faults.down_s_mean))
        air.set_reachable(address, True)
