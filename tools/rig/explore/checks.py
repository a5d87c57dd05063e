"""What must be true of every home, whatever befell it: of its readings and beats, of time, and of what is left behind.

Contract: each function yields what is wrong, a sentence each. A reading that the sensor still holds at the end is
upstream exactly once; so is one of a sensor that was replaced, if a gateway that lived on had heard it. Others may be.
None is there that was not measured, or at another time.

Not here: alerts (`alerts`).
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from edge.clock import NS_PER_S
from hw_sim.direct_home import DirectHome
from hw_sim.sensors.cgm_sensor import Measured
from hw_sim.sensors.direct_worn import WornCgm, WornStrap
from tools.rig.home.world import World
from tools.rig.language import vocabulary as v
from tools.rig.language.scenario import MIDNIGHT_UTC_S
from tools.rig.verdict.expectations import PLACED_S, VALUE_MG_DL, clock_time, wrong_beats
from tools.rig.verdict.received import Reading, receive
from tools.rig.verdict.truth import truth_of

# What was heard so long before a life ended is stored, on the slowest disk.
STORED_S: Final = 60.0
TIME_ERROR_S: Final = 1.0
SAMPLE_S: Final = 1800.0


class Due(NamedTuple):
    """A reading that was measured, and whether it has to be upstream."""

    utc_s: float
    value_mg_dl: float
    must: bool


def wrong_data(world: World) -> Iterator[str]:
    """Of the readings and beats upstream."""
    received = receive(world.bundles)
    for person in world.scenario.people:
        theirs = [one.id for one in world.scenario.sensors if world.scenario.wearer(one.id) == person.id]
        pseudonym = person.pseudonym or f"patient-{person.id}"
        yield from wrong_readings(_due(world, theirs), received.readings.get(pseudonym, []))
        if not _was_full(world):
            straps = [one for one in theirs if isinstance(world.sensor(one), WornStrap)]
            truth = truth_of(world, person.id, straps)
            yield from wrong_beats(truth, received.windows.get(pseudonym, []))


def _was_full(world: World) -> bool:
    """What memory holds for an hour may be lost at a kill."""
    return any(isinstance(fault, v.DiskFull | v.DiskSlow | v.DiskFails) for fault in world.scenario.faults)


def home_of(world: World) -> DirectHome:
    home: object = world.home
    assert isinstance(home, DirectHome)
    return home


def _due(world: World, sensors: list[str]) -> list[Due]:
    addresses = {world.address(sensor) for sensor in sensors}
    found = []
    for cgm in home_of(world).cgms:
        if cgm.address in addresses:
            heard = _heard(world, cgm)
            held = {id(record) for record in cgm.held}
            found += [
                Due(
                    world.zero_utc_s + one.at_s,
                    one.record.glucose_mg_dl,
                    id(one.record) in held or (one.at_s, one.worn) in heard,
                )
                for one in cgm.measured
                if isinstance(one.record.glucose_mg_dl, float)
            ]
    return sorted(found)


def _heard(world: World, cgm: WornCgm) -> set[tuple[float, int]]:
    """Which readings a gateway has heard as they were measured, that had time to store them."""
    ends_s = [*world.machine.kills_s, *world.machine.stops_s]
    full = [
        (one.at_s, one.end_s) for one in world.scenario.faults if isinstance(one, v.DiskFull | v.DiskFails)
    ]
    told_s = [now_s for now_s, _ in cgm.told]

    def is_kept(one: Measured) -> bool:
        k = bisect_left(told_s, one.at_s)
        is_told = k < len(told_s) and told_s[k] == one.at_s
        at_s = one.at_s - world.begin_s
        is_full = any(begin_s - STORED_S <= at_s <= end_s + STORED_S for begin_s, end_s in full)
        runs = _runs_at(world, one.at_s)
        return (
            is_told
            and runs
            and not is_full
            and not any(one.at_s <= end_s <= one.at_s + STORED_S for end_s in ends_s)
        )

    return {(one.at_s, one.worn) for one in cgm.measured if is_kept(one)}


def _runs_at(world: World, at_s: float) -> bool:
    """Whether a gateway ran then."""
    starts = sum(start_s <= at_s for start_s in world.machine.starts_s)
    ends = sum(end_s <= at_s for end_s in [*world.machine.kills_s, *world.machine.stops_s])
    return starts > ends


def wrong_readings(due: list[Due], told: list[Reading]) -> Iterator[str]:
    """Readings that are missing, double, or of nobody's."""
    left = sorted(one for one in told if one.value_mg_dl is not None)
    for one in due:
        k = bisect_left(left, one.utc_s - PLACED_S, key=lambda reading: reading.utc_s)
        while k < len(left) and left[k].utc_s <= one.utc_s + PLACED_S:
            if abs((left[k].value_mg_dl or 0.0) - one.value_mg_dl) <= VALUE_MG_DL:
                del left[k]
                break
            k += 1
        else:
            if one.must:
                yield f"{one.value_mg_dl:.1f} mg/dL of {_of_utc(one.utc_s)} is not upstream"
    for reading in left:
        yield f"{reading.value_mg_dl:g} mg/dL of {_of_utc(reading.utc_s)} was never measured, or is double"


def _of_utc(utc_s: float) -> str:
    return clock_time(utc_s - MIDNIGHT_UTC_S)


def wrong_time(world: World) -> Iterator[str]:
    """Moments that the gateway is sure of and places elsewhere."""
    timeline = world.gateway.store.tables.boots.timeline()
    ends_s = [boot.booted_ns / NS_PER_S for boot in world.machine.boots[1:]] + [world.machine.now_s]
    for boot_no, (boot, end_s) in enumerate(zip(world.machine.boots, ends_s, strict=True), 1):
        begun_s = boot.booted_ns / NS_PER_S
        moments = range(int(begun_s), int(end_s), int(SAMPLE_S))
        for at_s in moments:
            placed = timeline.place(boot_no, round(at_s * NS_PER_S) - boot.booted_ns)
            if placed is None or placed.error_ms is None:
                continue
            off_s = placed.utc_ns / NS_PER_S - (world.machine.utc_s - world.machine.now_s + at_s)
            if abs(off_s) > max(TIME_ERROR_S, placed.error_ms / 1000):
                when = clock_time(at_s - world.begin_s)
                yield f"{when} is taken for {off_s:+.1f} s from then, give or take {placed.error_ms} ms"
                break
