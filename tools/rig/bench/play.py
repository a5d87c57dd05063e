"""Plays scenarios on the air, in real time: a dongle for each sensor, against a gateway on a bench.

Contract: as `tools.rig.bluez.play`, with what can be done to a gateway from outside: its links, its sensors, and its
lives, if the bench has commands for them. What goes wrong on the bench is raised as a `BenchError`; nothing is said of
the gateway then.

Not here: how a scenario is chosen and a verdict is shown.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from edge.errors import ConfigError
from edge.kinds import KINDS, Reach
from tools.rig.bench.inventory import GatewayUnderTest, Inventory
from tools.rig.bench.world import AirWorld, open_world
from tools.rig.bluez.play import SETTLES_S_MAX, settle, unwanted
from tools.rig.bluez.world import recordings
from tools.rig.home.faults import ON_THE_AIR
from tools.rig.language import vocabulary as v
from tools.rig.language.scenario import Scenario
from tools.rig.run.play import looks, shown_times
from tools.rig.verdict.blame import Blame, Finding
from tools.rig.verdict.evidence import gather
from tools.rig.verdict.expectations import Played, findings
from tools.rig.verdict.outcome import Outcome

EXPECTED: Final = (v.Complete, v.Data, v.Status)
IN_THE_LOG: Final = (v.Log, v.NothingElse)

Happening = Callable[[AirWorld, Any], Awaitable[None]]


def new_life(how: str) -> Happening:
    """The gateway's life ends, and another begins."""

    async def happening(world: AirWorld, fault: v.Interruption) -> None:
        async with world.turn:
            await world.end(how)
            await asyncio.sleep(fault.for_s)
            await world.start()

    return happening


LIVES: Final[dict[type[v.Fault], str]] = {v.GatewayStopped: "stop", v.GatewayKilled: "kill"}
HAPPENINGS: Final[dict[type[v.Fault], Happening]] = {
    **ON_THE_AIR,
    **{fault: new_life(how) for fault, how in LIVES.items()},
}


def require_playable(name: str, scenario: Scenario, gateway: GatewayUnderTest) -> None:
    """Raises ConfigError for what cannot be played on the air against this gateway."""
    remedy = f"play it in virtual time: vitalgate rig run {name}"
    for n, sensor in enumerate(scenario.sensors):
        kind = sensor.really or sensor.kind
        if kind not in v.FOREIGN_SENSORS and KINDS[kind].reach is not Reach.CONNECTION:
            what = f"what a sensor of kind {kind} advertises is not said to a dongle"
            raise ConfigError(f"{name}: sensors[{n}]", what, remedy)
    for n, fault in enumerate(scenario.faults):
        where, what = f"{name}: faults[{n}]", repr(fault.__struct_config__.tag)
        if type(fault) not in HAPPENINGS:
            raise ConfigError(where, f"{what} cannot be done to a gateway from outside", remedy)
        how = LIVES.get(type(fault))
        if how is not None and (gateway.start is None or getattr(gateway, how) is None):
            raise ConfigError(where, f"{what} needs commands of the bench", f"add `start` and `{how}` to it")
    for n, row in enumerate(scenario.expect):
        where, what = f"{name}: expect[{n}]", repr(row.__struct_config__.tag)
        if isinstance(row, IN_THE_LOG) and gateway.log is None:
            raise ConfigError(
                where, f"{what} needs the gateway's log", "add `log` to the gateway on the bench"
            )
        if not isinstance(row, EXPECTED + IN_THE_LOG):
            raise ConfigError(where, f"{what} cannot be seen from outside", remedy)


async def play(scenario: Scenario, bench: Inventory, gateway: GatewayUnderTest) -> Outcome:
    """Play it. Raises BenchError, and ConfigError if the gateway's file is another scenario's."""
    recordings(bodies=scenario.bodies)  # while it is read, no dongle would be answered
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    async with open_world(scenario, bench, gateway) as world:
        played = Played(scenario, world, world.lines)
        found = await _pass(played, world)
    found += findings(played)
    found += [Finding(Blame.PRODUCT, line) for line in unwanted(played.lines)]
    return Outcome(
        seed=scenario.seed,
        findings=tuple(found),
        took_s=round(loop.time() - begun_s, 1),
        times=shown_times(played),
        evidence=gather(played),
    )


async def _pass(played: Played, world: AirWorld) -> list[Finding]:
    """Everything, from the gateway's start until nothing is left to do; what went wrong whatever is expected."""
    tasks = [asyncio.ensure_future(world.read_log())]
    try:
        await world.start()
        tasks += [asyncio.ensure_future(_happen(world, one)) for one in played.scenario.faults]
        tasks += looks(played)
        passing = asyncio.ensure_future(_to_the_end(played, world, tasks[1:]))
        tasks.append(passing)
        await _first(passing, world.failure)
        ended = played.samples[None] is None
        return [Finding(Blame.PRODUCT, "the gateway has ended by itself, or hangs")] if ended else []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if world.lived.starts_s and world.gateway.stop is not None:
            await world.end("stop")
        world.note_log()


async def _to_the_end(played: Played, world: AirWorld, happening: "list[asyncio.Task[None]]") -> None:
    await asyncio.gather(world.until_moment(played.scenario.lasts_s), *happening)
    if any(isinstance(one, v.Complete) for one in played.scenario.expect):
        await settle(world, min(SETTLES_S_MAX, played.scenario.settles_s))
    played.samples[None] = await world.status()


async def _first(passing: "asyncio.Task[None]", failure: Awaitable[object]) -> None:
    """Wait for the end, or for what keeps the bench from reaching it, which is raised."""
    failing = asyncio.ensure_future(failure)
    await asyncio.wait({passing, failing}, return_when=asyncio.FIRST_COMPLETED)
    if failing.done():
        failing.result()
    passing.result()


async def _happen(world: AirWorld, fault: v.Fault) -> None:
    await world.until_moment(fault.at_s)
    await HAPPENINGS[type(fault)](world, fault)
