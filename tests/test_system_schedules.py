"""A whole gateway through random schedules of everything that goes wrong, in virtual time: nothing is lost or doubled.

One or two people, each with a CGM and maybe a strap, on a Bluetooth and a disk that outlive the gateway. A schedule is
drawn from its seed alone; one that fails says how it is played again:

    SCHEDULE=1234 .venv/bin/python -P -m pytest -q tests/test_system_schedules.py -k replay
    .venv/bin/python -P -m pytest -q -m soak tests/test_system_schedules.py     # thousands
"""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

import pytest
from schedule_events import EVENTS, Event, calm, misled
from schedule_truth import (
    missing_records,
    unsent,
    unshown,
    wrong_beats,
    wrong_bundles,
    wrong_days,
    wrong_deliveries,
    wrong_requests,
    wrong_sessions,
    wrong_writes,
)
from schedule_world import INTERVAL_S, MIDNIGHT_UTC_S, Wearer, World

from edge.app import Gateway
from hw_sim.clock import run
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols.cgm import SessionStartTime
from protocols.racp import Operator

SCHEDULES, SOAK_SCHEDULES, BLOCK = 40, 2160, 10
HOURS_MAX = 2.0
EVENTS_MAX = 12
SETTLE_S, SETTLE_S_MAX = 120.0, 3 * 3600.0
# Where a virtual file system is at hand, thousands of real fsyncs need not be waited for.
SHM = Path("/dev/shm")

# Who is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def wearer(rng: Random, number: int) -> Wearer:
    """Somebody with a sensor that has been worn for a while, and knows as much as sensors do."""
    worn_min = rng.choice([0, 7, 120, 900])
    cgm = WaywardCgm(
        f"F0:00:00:00:0{number}:02",
        began_s=-60.0 * worn_min,
        capacity=rng.choice([12, 4096, 4096]),
        event_s=rng.choice([0.0, 0.03, 0.3]),
        operators=rng.choice(
            [
                frozenset(Operator),
                frozenset(Operator),
                frozenset({Operator.ALL, Operator.GREATER_OR_EQUAL}),
                frozenset({Operator.ALL}),
            ]
        ),
        counts=rng.random() < 0.8,
        interleaves=rng.random() < 0.5,
    )
    made = Wearer(number, cgm, DirectStrap(f"F0:00:00:00:0{number}:01") if rng.random() < 0.6 else None)
    for at_min in range(-worn_min, 0, 5):
        made.note(cgm.session.take(60.0 * at_min, made.next_value()), 60.0 * at_min)
    return made


def world_of(rng: Random, directory: Path) -> World:
    zero_utc_s = MIDNIGHT_UTC_S - rng.uniform(0.1, 2.0) * 3600
    stack = DirectStack(connect_s=rng.choice([0.05, 0.5]), request_s=rng.choice([0.0, 0.02, 0.1]))
    world = World(directory, rng, zero_utc_s=zero_utc_s, stack=stack)
    for number in range(rng.choice([1, 1, 2])):
        made = wearer(rng, number)
        if rng.random() < 0.7:
            start_s = int(zero_utc_s + made.cgm.session.began_s)
            made.cgm.session.start_time = SessionStartTime.from_utc_seconds(start_s)
        if rng.random() < 0.4:
            misled(made.cgm, rng)
        world.wear(made, rng.uniform(0.0, INTERVAL_S))
    return world


def drawn(rng: Random) -> list[tuple[float, Event]]:
    """When what happens, in the loop's time."""
    end_s = rng.uniform(0.5, HOURS_MAX) * 3600
    events = rng.choices(list(EVENTS), list(EVENTS.values()), k=rng.randint(2, EVENTS_MAX))
    return sorted(((rng.uniform(0.0, end_s), event) for event in events), key=lambda due: due[0])


def faults(world: World, gateway: Gateway, days: set[tuple[int, int]]) -> Iterator[str]:
    yield from world.broken
    yield from wrong_sessions(world, gateway)
    yield from wrong_days(world, gateway, days)
    yield from wrong_beats(world, gateway)
    yield from wrong_deliveries(gateway)
    yield from wrong_bundles(world, gateway)
    yield from wrong_writes(world)
    yield from wrong_requests(world)
    if world.stack.connects_while_scanning:
        yield f"{world.stack.connects_while_scanning} times somebody scanned while a sensor was connected to"


async def play(seed: int, directory: Path) -> tuple[list[str], Counter[str]]:
    """What was wrong in the schedule of a seed, and how often what happened in it."""
    rng = Random(seed)
    world = world_of(rng, directory)
    days: set[tuple[int, int]] = set()

    def on_watch() -> None:
        assert world.gateway is not None
        world.broken += wrong_days(world, world.gateway, days)

    world.on_watch = on_watch
    world.machine.start()
    world.watch()
    for due_s, event in drawn(rng):
        await asyncio.sleep(max(0.0, due_s - world.now_s))
        world.counts[event.__name__] += 1
        await event(world, rng)
        if world.broken:
            return world.broken, world.counts
    calm(world)
    await settle(world)
    gateway = world.gateway
    assert gateway is not None
    shown = await gateway.status()
    found = [*unsettled(world, gateway), *faults(world, gateway, days), *unshown(world, gateway, shown)]
    await world.machine.stop()
    return found, world.counts


def unsettled(world: World, gateway: Gateway) -> list[str]:
    return [*missing_records(world, gateway), *unsent(gateway)]


async def settle(world: World) -> None:
    """Until every record is where it belongs, and then until everything has gone up; what never is, is found later."""
    await _until(world, missing_records)
    world.is_worn = False
    await _until(world, unsettled)


async def _until(world: World, wanting: Callable[[World, Gateway], Iterable[str]]) -> None:
    end_s = world.now_s + SETTLE_S_MAX
    while True:
        await asyncio.sleep(SETTLE_S)
        assert world.gateway is not None
        if world.broken or world.now_s >= end_s or not list(wanting(world, world.gateway)):
            return


def check(seed: int) -> Counter[str]:
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as directory:
        found, counts = run(play(seed, Path(directory)))
    command = f"SCHEDULE={seed} .venv/bin/python -P -m pytest -q tests/test_system_schedules.py -k replay"
    lines = "\n  ".join(dict.fromkeys(found))
    assert not found, f"schedule {seed}:\n  {lines}\nevents: {dict(counts)}\nplayed again by: {command}"
    return counts


def check_block(block: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        counts += check(seed)
    assert counts["live"] > BLOCK


@pytest.mark.parametrize("block", range(SCHEDULES // BLOCK))
def test_nothing_is_lost_doubled_shared_or_late(block: int) -> None:
    check_block(block)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(SCHEDULES // BLOCK, (SCHEDULES + SOAK_SCHEDULES) // BLOCK))
def test_nor_is_it_in_thousands_of_schedules(block: int) -> None:
    check_block(block)


@pytest.mark.skipif("SCHEDULE" not in os.environ, reason="replays the schedule of $SCHEDULE")
def test_replay() -> None:
    check(int(os.environ["SCHEDULE"]))


def test_every_event_is_drawn() -> None:
    drawn_events = {event for seed in range(SCHEDULES) for _, event in drawn(Random(seed))}
    assert drawn_events == set(EVENTS)
