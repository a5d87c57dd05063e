"""Plays the home of a seed, or of a file, and says what was wrong in it.

Contract: the same document gives the same result. While it goes on, alerts are looked at once a minute; at the end, all
that must be true. A gateway that ends by itself, is never done, or lets a task or a file open is wrong, too. Who plays
for longer than `WALL_S_MAX` is ended: something turns round and round.

Not here: what is drawn (`draw`), which seeds (`campaign`).
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from msgspec import Struct

from hw_sim.clock import run
from tools.rig.explore.alerts import LOOK_S, Listener, overdue, wrong_alerts
from tools.rig.explore.checks import wrong_data, wrong_time
from tools.rig.explore.draw import Document
from tools.rig.explore.home import open_direct
from tools.rig.home.faults import happen
from tools.rig.home.machine import GatewayEnded
from tools.rig.home.world import World
from tools.rig.language.gateway_file import to_toml
from tools.rig.language.scenario import Scenario, parse
from tools.rig.run.play import CLOSED_S

WALL_S_MAX: Final = 900
# Thousands of real fsyncs need not be waited for.
SHM: Final = Path("/dev/shm")  # noqa: S108
FILES: Final = Path("/proc/self/fd")
STATM: Final = Path("/proc/self/statm")
WRONG_MAX: Final = 10


class Result(Struct):
    """What came of a home.

    Attributes:
        faults: how often each kind of fault befell it.
        cpu_s: the processor time that it took.
        pid, rss_mb: of the process that played it, when it was over.
    """

    seed: int
    wrong: list[str]
    faults: dict[str, int]
    cpu_s: float
    pid: int
    rss_mb: float


class _StuckError(Exception):
    """Real time is up."""


def scenario_of(document: Document) -> Scenario:
    """Raises ConfigError for what is no scenario."""
    return parse(to_toml(document).encode(), Path(f"seed-{document['seed']}.toml"))


def play(scenario: Scenario) -> Result:
    """What is wrong in a home."""
    began_s = _cpu_s()
    files = _files()
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as directory, _bounded():
        try:
            wrong = run(_play(scenario, Path(directory)))
        except _StuckError:
            wrong = [f"the gateway turns round and round: no end after {WALL_S_MAX} s"]
    gc.collect()
    if (left := _files() - files) > 0:
        wrong.append(f"{left} files are left open")
    kinds = Counter(str(fault.__struct_config__.tag) for fault in scenario.faults)
    cpu_s = _cpu_s() - began_s
    return Result(scenario.seed, wrong[:WRONG_MAX], dict(kinds), cpu_s, os.getpid(), rss_mb())


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def quiet() -> Iterator[None]:
    """Nobody reads what thousands of gateways log; a line that is made and not read costs time."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def rss_mb() -> float:
    """The memory that this process holds."""
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    return pages * resource.getpagesize() / 1e6


def _files() -> int:
    return sum(1 for _ in FILES.iterdir()) if FILES.is_dir() else 0


@contextmanager
def _bounded() -> Iterator[None]:
    def on_alarm(_: int, __: FrameType | None) -> None:
        raise _StuckError

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(WALL_S_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


async def _play(scenario: Scenario, directory: Path) -> list[str]:
    listener = Listener()
    wrong: list[str] = []
    async with open_direct(scenario, directory, lambda: (listener,)) as world:
        listener.world = world
        watching = asyncio.ensure_future(_watch(world, listener, wrong))
        try:
            await _pass(world)
            watching.cancel()
            wrong += [*wrong_data(world), *wrong_time(world), *wrong_alerts(world, listener)]
        except (GatewayEnded, TimeoutError) as error:
            wrong.append(f"{error} (at {world.now_s:.0f} s)")
        watching.cancel()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    # What a killed process waited for never comes.
    if left and not world.machine.kills_s:
        wrong.append(f"{len(left)} tasks go on when all is over")
    return list(dict.fromkeys(wrong))


async def _watch(world: World, listener: Listener, wrong: list[str]) -> None:
    while not wrong:
        await asyncio.sleep(LOOK_S)
        wrong += overdue(world, listener)


async def _pass(world: World) -> None:
    """Everything, until nothing is left to do."""
    tasks = [asyncio.ensure_future(happen(world, fault)) for fault in world.scenario.faults]
    try:
        await world.until_s(world.scenario.lasts_s)
        await asyncio.gather(*tasks)
        await world.for_s(CLOSED_S)
        await world.until_settled(world.scenario.settles_s)
    finally:
        for task in tasks:
            task.cancel()
