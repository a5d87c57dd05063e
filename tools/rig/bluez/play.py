"""Plays scenarios on a real Bluetooth stack, in real time, and says what was wrong.

Contract: faults that begin at "0s" have begun before the gateway is started. Whatever is expected, it is a failure if
the gateway ends by itself, if anything that it writes holds a traceback or the address of a sensor, or if the guest
fails. A scenario that expects "complete" is given `settles` at the end, so that what was measured is sent.

Not here: how a scenario is chosen and a verdict is shown (`__main__`).
"""

import asyncio
import re
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import Final

from edge.errors import ConfigError
from tools.rig.bluez.faults import HAPPENINGS, happen
from tools.rig.bluez.guest import GuestError
from tools.rig.bluez.world import RealWorld, open_world
from tools.rig.home.scene import Scene
from tools.rig.language import vocabulary as v
from tools.rig.language.scenario import Scenario
from tools.rig.run.play import looks, shown_times
from tools.rig.verdict.blame import Blame, Finding, finding
from tools.rig.verdict.evidence import gather
from tools.rig.verdict.expectations import Line, Played, findings
from tools.rig.verdict.outcome import Outcome

EXPECTED: Final = (v.Complete, v.Data, v.Status, v.Log, v.NothingElse)
SETTLES_S_MAX: Final = 60.0
LOOK_S: Final = 0.5
_ADDRESS: Final = re.compile(r"(?<![0-9A-F])(?:[0-9A-F]{2}[:_-]){5}[0-9A-F]{2}(?![0-9A-F])", re.IGNORECASE)


class GatewayGone(Exception):  # noqa: N818 - what the product has done
    """The gateway in the guest has ended by itself."""


def require_playable(name: str, scenario: Scenario) -> None:
    """Raises ConfigError for what cannot be played on a real stack."""
    remedy = f"play it in virtual time: vitalgate rig run {name}"
    for key, rows, known in (
        ("faults", scenario.faults, tuple(HAPPENINGS)),
        ("expect", scenario.expect, EXPECTED),
    ):
        for n, row in enumerate(rows):
            if not isinstance(row, known):
                what = f"{row.__struct_config__.tag!r} is not to be had on a real Bluetooth stack"
                raise ConfigError(f"{name}: {key}[{n}]", what, remedy)
    for n, fault in enumerate(scenario.faults):
        if isinstance(fault, v.Unplugged) and fault.adapter >= scenario.adapters:
            raise ConfigError(
                f"{name}: faults[{n}]", f"there is no adapter {fault.adapter}", "let it have more"
            )


async def play(scenario: Scenario, version: str, run: Path) -> Outcome:
    """Play it with a version of bluetoothd; the run's files lie in a new directory."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    played: Played | None = None
    found: list[Finding] = []
    try:
        async with open_world(scenario, version, run) as world:
            played = Played(scenario, world, world.lines)
            await _pass(played, world)
        found = findings(played)
    except GatewayGone as error:
        found = [Finding(Blame.PRODUCT, str(error))]
    except (GuestError, OSError) as error:
        found = [finding(error)]
    if played is not None:
        found += [Finding(Blame.PRODUCT, line) for line in unwanted(played.lines)]
    return Outcome(
        seed=scenario.seed,
        findings=tuple(found),
        took_s=round(loop.time() - begun_s, 1),
        times={} if played is None else shown_times(played),
        evidence=None if played is None else gather(played),
    )


async def _pass(played: Played, world: RealWorld) -> None:
    """Everything, from the gateway's start until nothing is left to do. Raises GatewayGone, GuestError."""
    early = [one for one in played.scenario.faults if one.at_s == 0.0]
    tasks: list[asyncio.Task[None]] = [asyncio.ensure_future(happen(world, one)) for one in early]
    try:
        # Commands in the guest take turns: this one comes after those with which faults begin.
        await asyncio.sleep(0)
        await world.do("true")
        await world.start()
        tasks += [
            asyncio.ensure_future(happen(world, one)) for one in played.scenario.faults if one.at_s > 0.0
        ]
        tasks += looks(played)
        await _all(tasks, world.until_moment(played.scenario.lasts_s))
        if any(isinstance(one, v.Complete) for one in played.scenario.expect):
            await settle(world, min(SETTLES_S_MAX, played.scenario.settles_s))
        played.samples[None] = await world.status()
        if not await world.is_running():
            raise GatewayGone("the gateway has ended by itself")
        await world.end("TERM")
    finally:
        for task in tasks:
            task.cancel()


async def _all(tasks: Iterable["asyncio.Task[None]"], end: Awaitable[None]) -> None:
    """Wait for everything; the first failure is raised at once."""
    await asyncio.gather(*tasks, end)


async def settle(world: Scene, limit_s: float) -> None:
    """Until all that was measured is sent, as far as the gateway knows; what is missing then is told as such."""
    end_s = world.now_s + limit_s
    while world.now_s < end_s:
        told = await world.status()
        if told is not None and all(not (one.pending or one.inflight) for one in told.deliveries):
            missing = [one.session.missing for one in told.sensors if one.session is not None]
            if missing and not any(missing):
                return
        await asyncio.sleep(LOOK_S)


def unwanted(lines: Iterable[Line]) -> Iterator[str]:
    """Tracebacks and addresses, whatever is expected."""
    for line in lines:
        if line.has_traceback:
            yield f"a traceback {line}"
        if _ADDRESS.search(line.text):
            yield f"an address in the log {line}"
