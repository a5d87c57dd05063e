"""The whole gateway through random schedules of what can go wrong: its alerts ring when they must, and only then.

A schedule is drawn from its seed alone; one that fails says how it is played again:

    ALERTS=1234 .venv/bin/python -P -m pytest -q tests/test_system_alerts.py -k replay
    .venv/bin/python -P -m pytest -q -m soak tests/test_system_alerts.py     # 500 of them
"""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from alert_events import EVENTS, Event
from alert_world import SENSORS, SILENCE, Told, World

from edge.store.alerts import AlertEvent
from hw_sim.clock import run

SCHEDULES, SOAK_SCHEDULES, BLOCK = 20, 510, 10
HOURS = (1.0, 2.5)
EVENTS_MAX = 9
LOOK_S = 20.0
SHM = Path("/dev/shm")

LIMIT_S = {"strap": 600.0, "cgm": 1200.0}
# A CGM tells the minute of a record.
ROUNDED_S = {"strap": 1.0, "cgm": 61.0}
# A process that begins lets sensors be silent for so long, and everything is looked at once a minute.
SETTLING_S, LOOKED_S = 120.0, 61.0
# The state is kept so often; a boot whose clock nobody trusts goes on from there.
MARK_S = 301.0
# A message that could not be told is tried again at least so often.
RETRY_S = 301.0
# What nobody has stored yet when the gateway is killed.
UNSTORED_S = 400.0
FRESH_S = {"glucose": 900.0, "heart_rate": 60.0}
OF = {"glucose": "cgm", "heart_rate": "strap"}
LIMITS = {
    "glucose_urgent_low": lambda value: value < 54,
    "glucose_low": lambda value: value < 70,
    "glucose_high": lambda value: value > 250,
    "glucose_high_persistent": lambda value: value > 250,
    "heart_rate_low": lambda value: value < 40,
    "heart_rate_high": lambda value: value > 130,
}

# Who is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def measured(rule: str) -> str:
    return "heart_rate" if rule.startswith("heart") else "glucose"


# What must be true while it goes on


def overdue(world: World) -> Iterator[str]:
    """Nothing is heard of a sensor, and people have not been told."""
    if not world.machine.is_running or world.now_s < world.deaf_until_s + RETRY_S:
        return
    started_s = world.machine.starts_s[-1]
    for sensor in SENSORS:
        heard_s = max(0.0, world.lost_s, world.truth[sensor].newest_s)
        off_s = sum(off_s + MARK_S for at_s, off_s in world.reboots if at_s + off_s > heard_s)
        due_s = max(heard_s + LIMIT_S[sensor] + off_s, started_s + SETTLING_S) + LOOKED_S
        if world.now_s > due_s and not world.stands(SILENCE[sensor]):
            yield f"{sensor}: nothing heard since {heard_s:.0f} s, and nobody is told"


# What must be true of what was told


def false_silence(world: World) -> Iterator[str]:
    """Somebody is told that nothing is heard, while it is."""
    for sensor in SENSORS:
        for told in world.told_of(SILENCE[sensor]):
            if told.message.what != "raised":
                continue
            # What only a killed process knew nobody knows any more.
            life_s = world.machine.starts_s[told.life - 1]
            known = [at_s for at_s in world.truth[sensor].heard_s if life_s <= at_s <= told.at_s]
            if (
                known
                and told.at_s - known[-1] < LIMIT_S[sensor] - ROUNDED_S[sensor]
                and world.deaf_until_s < told.at_s
            ):
                yield f"{sensor}: told at {told.at_s:.0f} s that nothing is heard, heard at {known[-1]:.0f} s"


def baseless(world: World) -> Iterator[str]:
    """A value alert began or ended without a fresh value that says so."""
    for told in world.told:
        rule, what = told.message.rule, told.message.what
        if rule not in LIMITS or what not in ("raised", "over", "worse"):
            continue
        measurement = measured(rule)
        late_s = RETRY_S + 1200.0 if told.at_s < world.deaf_until_s + RETRY_S else 10.0
        fresh = [
            reading.value
            for reading in world.truth[OF[measurement]].readings
            if reading.counts and told.at_s - FRESH_S[measurement] - late_s <= reading.at_s <= told.at_s
        ]
        is_beyond = LIMITS[rule]
        fits = [value for value in fresh if is_beyond(value) == (what != "over")]
        if not fits:
            yield f"{rule}: {what} at {told.at_s:.0f} s, but what was measured is {fresh[-3:]}"
        if what == "over" and not fresh:
            yield f"{rule}: ended by silence at {told.at_s:.0f} s"


def retracted(world: World) -> Iterator[str]:
    for told in world.told:
        if told.message.what == "retracted":
            yield f"{told.message.rule}: retracted at {told.at_s:.0f} s: {told.message.reason}"


def repeated(world: World) -> Iterator[str]:
    """The same is told twice though nobody was killed, or under another id."""
    first: dict[str, Told] = {}
    begun: dict[tuple[str, str], Told] = {}
    for told in world.told:
        message, key = told.message, (told.message.rule, told.message.sensor)
        before = first.setdefault(message.id, told)
        was_killed = any(before.at_s <= at_s <= told.at_s for at_s in world.forgot_s)
        if before is not told and not was_killed:
            yield f"{message.rule} {message.what} was told at {before.at_s:.1f} and {told.at_s:.1f} s in vain"
        if message.what == "raised":
            known = begun.get(key)
            is_new = known is not None and message.id != known.message.id and before is told
            is_lost = known is not None and any(known.at_s <= at_s <= told.at_s for at_s in world.losses_s)
            if known is not None and is_new and not is_lost:
                yield f"{message.rule} raised at {known.at_s:.1f} s and again at {told.at_s:.1f} s, never over"
            begun[key] = told
        elif message.what in ("over", "retracted"):
            begun.pop(key, None)


def untold(world: World, events: list[tuple[AlertEvent, str]]) -> Iterator[str]:
    """Something happened to an alert, and people were not told."""
    told = {one.message.id for one in world.told}
    for event, state in events:
        is_settled = state in ("retracted", "acknowledged")
        if str(event.id) not in told and not is_settled:
            yield f"{event.rule} {event.what} at {event.at_s:.0f} s is in the store, {state}, and nobody was told"


def unstored(world: World, events: list[tuple[AlertEvent, str]]) -> Iterator[str]:
    """People were told, and the store does not know."""
    stored = {str(event.id) for event, _ in events}
    ends_s = [*world.forgot_s, *world.losses_s]
    for told in world.told:
        # While the disk is full it waits in memory.
        full_s = UNSTORED_S + max(0.0, min(world.full_until_s, world.now_s) - told.at_s)
        was_ended = (
            any(told.at_s <= at_s <= told.at_s + full_s for at_s in ends_s) or told.at_s <= world.lost_s
        )
        if told.message.id not in stored and not was_ended:
            yield f"{told.message.rule} {told.message.what} was told at {told.at_s:.0f} s and is not in the store"


def unnoticed(world: World) -> Iterator[str]:
    """An urgent low was heard by a gateway that lived on, and nobody was told."""
    for reading in world.truth["cgm"].readings:
        if not (reading.counts and reading.value < 50) or reading.at_s not in world.truth["cgm"].heard_s:
            continue
        until_s = reading.at_s + 5.0
        ends_s = [*world.machine.kills_s, *world.machine.stops_s, *world.losses_s]
        if (
            any(reading.at_s <= at_s <= until_s for at_s in ends_s)
            or world.deaf_until_s + RETRY_S > reading.at_s
        ):
            continue
        about = [one for one in world.told_of("glucose_urgent_low") if one.at_s <= until_s]
        if not about or about[-1].message.what in ("over", "retracted"):
            yield f"{reading.value} was heard at {reading.at_s:.0f} s, and nobody was told"


def drawn(rng: Random) -> tuple[float, list[tuple[float, Event]]]:
    """How long it lasts, and when what happens, in the loop's time."""
    end_s = rng.uniform(*HOURS) * 3600
    events = rng.choices(list(EVENTS), list(EVENTS.values()), k=rng.randint(2, EVENTS_MAX))
    return end_s, sorted(((rng.uniform(0.0, end_s), event) for event in events), key=lambda due: due[0])


async def play(seed: int, directory: Path) -> tuple[list[str], Counter[str]]:
    """What was wrong in the schedule of a seed, and how often what happened in it."""
    rng = Random(seed)
    world = World(directory, rng)
    world.machine.start()
    world.live()
    found: list[str] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            found.extend(overdue(world))

    watching = asyncio.ensure_future(watch())
    end_s, events = drawn(rng)
    for due_s, event in events:
        await asyncio.sleep(max(0.0, due_s - world.now_s))
        world.counts[event.__name__] += 1
        await event(world, rng)
    await asyncio.sleep(max(0.0, end_s - world.now_s))
    # Until what could not be told, or stored, has been.
    await asyncio.sleep(max(0.0, max(world.deaf_until_s, world.full_until_s) - world.now_s) + 2 * RETRY_S)
    watching.cancel()
    world.end()
    await asyncio.sleep(LOOK_S)
    tables = world.machine.gateway.store.tables
    stored = [
        (event, next(d.state for d in tables.alerts.deliveries(event.id) if d.channel == "receiver"))
        for event in reversed(tables.alerts.newest(1000))
    ]
    found += [*world.broken, *false_silence(world), *baseless(world), *retracted(world), *repeated(world)]
    found += [*untold(world, stored), *unstored(world, stored), *unnoticed(world)]
    await world.machine.stop()
    world.counts.update(one.message.rule for one in world.told)
    return found, world.counts


def check(seed: int) -> Counter[str]:
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as directory:
        found, counts = run(play(seed, Path(directory)))
    command = f"ALERTS={seed} .venv/bin/python -P -m pytest -q tests/test_system_alerts.py -k replay"
    lines = "\n  ".join(dict.fromkeys(found))
    assert not found, f"schedule {seed}:\n  {lines}\n{dict(counts)}\nplayed again by: {command}"
    return counts


def check_block(block: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        counts += check(seed)
    assert counts["cgm_silence"] + counts["glucose_urgent_low"] > 0


@pytest.mark.parametrize("block", range(SCHEDULES // BLOCK))
def test_alerts_ring_when_they_must_and_only_then(block: int) -> None:
    check_block(block)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(SCHEDULES // BLOCK, (SCHEDULES + SOAK_SCHEDULES) // BLOCK))
def test_and_so_they_do_in_hundreds_of_schedules(block: int) -> None:
    check_block(block)


@pytest.mark.parametrize("seed", [98, 179, 196, 231, 394, 480, 718, 976, 5042, 5245])
def test_what_was_found_once_does_not_come_back(seed: int) -> None:
    check(seed)


@pytest.mark.skipif("ALERTS" not in os.environ, reason="replays the schedule of $ALERTS")
def test_replay() -> None:
    check(int(os.environ["ALERTS"]))


def test_every_event_is_drawn() -> None:
    drawn_events = {event for seed in range(SCHEDULES) for _, event in drawn(Random(seed))[1]}
    assert drawn_events == set(EVENTS)
