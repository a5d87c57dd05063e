"""The whole gateway on a machine whose radio is ordinary calls: for what is too much, or too odd, for a real stack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from hw_sim.radio.direct_stack import DirectStack, Peripheral
from tools.rig.home.machine import Machine, direct
from tools.rig.language.scenario import MIDNIGHT_UTC_S, Scenario


@asynccontextmanager
async def direct_home(
    directory: Path, scenario: Scenario, *peripherals: Peripheral, stack: DirectStack | None = None
) -> AsyncIterator[Machine]:
    """A machine in reach of these sensors; its first gateway is not started yet."""
    stack = stack or DirectStack()
    stack.add(*peripherals)
    config = scenario.configure(directory)
    machine = Machine(
        lambda: config, direct(stack), zero_utc_s=MIDNIGHT_UTC_S, new_rng=lambda life: Random(1 + life)
    )
    try:
        yield machine
    finally:
        await machine.stop()
