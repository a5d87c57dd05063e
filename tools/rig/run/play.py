"""Plays a scenario in virtual time, and says what was wrong.

    python -P -m tools.rig.run.play FILES...

Contract: the same scenario gives the same verdict. Faults happen at their times; when the scenario is over, the gateway
is given `settles` to finish; then the expectations are looked at. A gateway that ends by itself, or is never done, is a
failure whatever is expected.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.clock import NS_PER_S
from edge.errors import ConfigError
from hw_sim.clock import run
from tools.rig.home.faults import HAPPENINGS, happen
from tools.rig.home.flow import times
from tools.rig.home.machine import GatewayEnded
from tools.rig.home.world import Disks, World, open_world
from tools.rig.language import vocabulary as v
from tools.rig.language.scenario import Scenario, load
from tools.rig.verdict.expectations import ALERTS_MAX, CHECKS, Line, Played, RaisedAlert, clock_time

# Who is heard: the gateway, and what asyncio says of tasks that nobody awaited. To Bumble every lost link is an error.
HEARD = ("edge", "asyncio")
# After the last beat a window of five minutes ends; then it waits for late data, and is closed.
CLOSED_S = 300.0 + 30.0


@dataclass
class Verdict:
    """What was wrong, a sentence each."""

    scenario: Scenario
    failures: list[str] = field(default_factory=list)


class _Listener(logging.Handler):
    """Keeps what is logged, with the time in the home."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[Line] = []
        self.begin_s = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        text, has_traceback = record.getMessage(), record.exc_info is not None
        at_s = asyncio.get_running_loop().time() - self.begin_s
        self.lines.append(Line(at_s, record.levelno, record.name, text, has_traceback or "Traceback" in text))


@contextmanager
def _listening() -> Iterator[_Listener]:
    listener, loggers = _Listener(), [logging.getLogger(name) for name in HEARD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.INFO)
    try:
        yield listener
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)


def require_simulated(name: str, scenario: Scenario) -> None:
    """Raises ConfigError for a scenario that wants the real Bluetooth of a machine."""
    remedy = f"play it on the real one: python -P -m tools.rig.bluez {name}"
    for n, fault in enumerate(scenario.faults):
        if type(fault) not in HAPPENINGS:
            what = f"{fault.__struct_config__.tag!r} befalls no simulated Bluetooth"
            raise ConfigError(f"{name}: faults[{n}]", what, remedy)
    if scenario.adapters != 1:
        raise ConfigError(f"{name}: adapters", "a simulated Bluetooth has one adapter", remedy)


def play(scenario: Scenario, directory: Path) -> Verdict:
    """Play it; the gateway's files lie in `directory`."""
    return Verdict(scenario, run(_play(scenario, directory)))


async def _play(scenario: Scenario, directory: Path) -> list[str]:
    with _listening() as listener:
        async with open_world(scenario, directory, disks=Disks(scenario.seed)) as world:
            listener.begin_s = world.begin_s
            played = Played(scenario, world, listener.lines)
            try:
                await _pass(played)
            except (GatewayEnded, TimeoutError) as error:
                return [f"{error} (at {clock_time(world.now_s)})"]
            played.alerts = raised_alerts(world)
        # What is said on the way out is looked at, too.
        return [
            failure for expected in scenario.expect for failure in CHECKS[type(expected)](played, expected)
        ]


async def _pass(played: Played) -> None:
    """Everything, until nothing is left to do."""
    scenario, world = played.scenario, played.world
    assert isinstance(world, World)
    tasks = [asyncio.ensure_future(happen(world, fault)) for fault in scenario.faults] + looks(played)
    try:
        await world.until_s(scenario.lasts_s)
        await asyncio.gather(*tasks)
        await world.for_s(CLOSED_S)
        await world.until_settled(scenario.settles_s)
    finally:
        for task in tasks:
            task.cancel()
    played.samples[None] = await world.gateway.status()


def raised_alerts(world: World) -> list[RaisedAlert]:
    """The alerts in the store, while it is open."""
    names = {row.no: row.id for row in world.gateway.rows}
    found = []
    for event in world.gateway.store.tables.alerts.newest(ALERTS_MAX):
        if event.what == "raised":
            booted_ns = world.machine.boots[event.boot_no - 1].booted_ns
            at_s = (booted_ns + event.boot_ns) / NS_PER_S - world.begin_s
            sensor = "gateway" if event.sensor_no is None else names.get(event.sensor_no, "?")
            found.append(RaisedAlert(event.rule, sensor, at_s))
    return found


async def sample(played: Played, at_s: float) -> None:
    """Keep what the status says at a time."""
    await played.world.until_moment(at_s)
    played.samples[at_s] = await played.world.status()


async def measure(played: Played, expected: v.Data) -> None:
    """Keep when data came."""
    played.times[expected] = await times(played.world, expected)


def looks(played: Played) -> "list[asyncio.Task[None]]":
    """What is looked at while the scenario goes on."""
    expect = played.scenario.expect
    moments = dict.fromkeys(one.at_s for one in expect if isinstance(one, v.Status) and one.at_s is not None)
    flows = [one for one in expect if isinstance(one, v.Data)]
    return [asyncio.ensure_future(sample(played, at_s)) for at_s in moments] + [
        asyncio.ensure_future(measure(played, one)) for one in flows
    ]


def main(files: list[str]) -> int:
    """Play files, and print what was wrong; the exit code is 1 if anything was, 2 if a file cannot be played."""
    logging.basicConfig(handlers=[logging.NullHandler()])  # what is said is looked at, not shown
    try:
        scenarios = [(name, load(Path(name))) for name in files]
        for name, scenario in scenarios:
            require_simulated(name, scenario)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    failed = False
    for name, scenario in scenarios:
        with tempfile.TemporaryDirectory() as directory:
            failures = play(scenario, Path(directory)).failures
        print(f"{name}: {'failed' if failures else 'passed'}: {scenario.about}")
        for failure in failures:
            print(f"  {failure}")
        failed = failed or bool(failures)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tools.rig.run.play", description="Play scenarios in virtual time.")
    parser.add_argument("files", nargs="+", metavar="FILE", help="as in tests/scenarios")
    sys.exit(main(parser.parse_args().files))
