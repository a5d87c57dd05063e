"""Plays a scenario in virtual time, and says what was wrong and whose fault it is.

Contract: the same scenario gives the same outcome. Faults happen at their times; when the scenario is over, the gateway
is given `settles` to finish; then the expectations are looked at. A gateway that ends by itself, or is never done, is a
failure whatever is expected, and so is a sensor that has died.

Not here: how a scenario is chosen, and how often it is played (`commands`).
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from edge.clock import NS_PER_S
from edge.errors import ConfigError
from hw_sim.clock import run
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from hw_sim.sensors.peripheral import Peripheral
from tools.rig.home.faults import HAPPENINGS, happen
from tools.rig.home.flow import times
from tools.rig.home.recorded import recorded
from tools.rig.home.world import Disks, World, open_world
from tools.rig.language import vocabulary as v
from tools.rig.language.drawing import drawn
from tools.rig.language.scenario import Scenario
from tools.rig.verdict.blame import Blame, Finding, finding
from tools.rig.verdict.evidence import Evidence, gather
from tools.rig.verdict.expectations import ALERTS_MAX, Line, Played, RaisedAlert, clock_time, findings
from tools.rig.verdict.outcome import Outcome

# Who is heard: the gateway, and what asyncio says of tasks that nobody awaited. To Bumble every lost link is an error.
HEARD = ("edge", "asyncio")
# After the last beat a window of five minutes ends; then it waits for late data, and is closed.
CLOSED_S = 300.0 + 30.0
# A sensor that measures has done so by then.
FLAT_S = 360.0


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
    """Raises ConfigError for a scenario that wants the real Bluetooth of a machine, or draws what cannot be drawn."""
    remedy = f"play it on the real one: vitalgate rig run --setting bluez {name}"
    for n, fault in enumerate(scenario.faults):
        if type(fault) not in HAPPENINGS and not isinstance(fault, v.Drawn):
            what = f"{fault.__struct_config__.tag!r} befalls no simulated Bluetooth"
            raise ConfigError(f"{name}: faults[{n}]", what, remedy)
    if scenario.adapters != 1:
        raise ConfigError(f"{name}: adapters", "a simulated Bluetooth has one adapter", remedy)
    drawn(scenario)


def play(scenario: Scenario, directory: Path, air: Path | None = None) -> Outcome:
    """Play it; the gateway's files lie in `directory`, and what goes over the air is written to a file."""

    async def played() -> Outcome:
        playing = asyncio.ensure_future(_play(drawn(scenario), directory, air))
        error = await _ended_by(playing)
        return playing.result() if error is None else Outcome(seed=scenario.seed, findings=(finding(error),))

    return run(played())


async def _ended_by(task: "asyncio.Task[Any]") -> BaseException | None:
    """What has ended it: whatever that is, somebody is to blame for it."""
    await asyncio.wait({task})
    return task.exception()


async def _play(scenario: Scenario, directory: Path, air: Path | None) -> Outcome:
    found: list[Finding] = []
    evidence: Evidence | None = None
    times_shown: dict[str, dict[str, float | None]] = {}
    with _listening() as listener:
        async with open_world(scenario, directory, disks=Disks(scenario.seed)) as world:
            listener.begin_s = world.begin_s
            played = Played(scenario, world, listener.lines)
            with recorded(world, air):
                error = await _ended_by(asyncio.ensure_future(_pass(played)))
            if error is None:
                played.alerts = raised_alerts(world)
            else:
                found.append(finding(error, f" (at {clock_time(world.now_s)})"))
            found += bench_findings(world)
        # What is said on the way out is looked at, too.
        if not found:
            found = findings(played)
            evidence, times_shown = gather(played), shown_times(played)
    digest = "" if evidence is None else digest_of(evidence)
    return Outcome(
        seed=scenario.seed, findings=tuple(found), digest=digest, times=times_shown, evidence=evidence
    )


def bench_findings(world: World) -> list[Finding]:
    """Sensors that have died, or that measured nothing though they were worn."""
    found = []
    for sensor in world.scenario.sensors:
        worn = None if sensor.is_feed else world.sensor(sensor.id)
        if worn is not None and is_flat(world, worn):
            found.append(
                Finding(Blame.BENCH, f"the simulated sensor {sensor.id} was worn and has measured nothing")
            )
        if worn is not None and (error := worn.died_of) is not None:
            found.append(Finding(Blame.BENCH, f"the simulated sensor {sensor.id} has died: {error!r}"))
    return found


def is_flat(world: World, sensor: Peripheral) -> bool:
    """Whether a sensor that always measures has measured nothing, though nobody took its power."""
    has_power = not any(isinstance(one, v.SensorRebooted) for one in world.scenario.faults)
    match sensor:
        case HeartRateStrap():
            return has_power and not sensor.rr_sent + sensor.rr_lost and world.now_s > FLAT_S
        case CgmSensor():
            return has_power and not sensor.measured and world.now_s > FLAT_S
    return False


def digest_of(evidence: Evidence) -> str:
    """Of all that must be the same when a seed is played again. Versions of files, and their names, are not."""
    same = (evidence.people, evidence.alerts, evidence.log, evidence.faults)
    return hashlib.sha256(msgspec.json.encode(same)).hexdigest()[:16]


def shown_times(played: Played) -> dict[str, dict[str, float | None]]:
    """How long data took, in seconds, by the moment from which it was measured."""
    return {
        clock_time(expected.after_s): {
            sensor: None if after_s is None else round(after_s, 1) for sensor, after_s in found.items()
        }
        for expected, found in played.times.items()
    }


async def _pass(played: Played) -> None:
    """Everything, until nothing is left to do."""
    scenario, world = played.scenario, played.world
    assert isinstance(world, World)
    tasks = [asyncio.ensure_future(happen(world, fault)) for fault in scenario.faults] + looks(played)
    try:
        await world.until_s(scenario.lasts_s)
        await asyncio.gather(*tasks)
        await world.for_s(CLOSED_S)
        if scenario.settles_s > 0.0:
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
