"""What is true of a person who wore sensors: what they measured, what must have come, and what may have.

Contract: truth comes from the simulated sensors alone: the records that a CGM took, what a feed's server was told, the
beats that a strap's radio carried. What need not have come is what nobody could have had: beats sent around the end of
one of the gateway's lives or while its machine's Bluetooth was in trouble, and records that no sensor holds any more
and that were not sent to a gateway with time and a disk to store them.

Not here: what was told, and what is said of it (`expectations`).
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Final, NamedTuple

from hw_sim.sensors.bumble_strap import BumbleStrap
from hw_sim.sensors.cgm_sensor import CgmSensor, Measured
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from hw_sim.sensors.replayed.connected import ReplayedSensor
from tools.rig.home.scene import Scene
from tools.rig.language import vocabulary as v

# What a kill may cost: the packets of the minute that is open, and those on their way to the store.
KILL_S, STOP_S, START_S = 65.0, 2.0, 5.0
# What was not written when a disk is well again is written by then.
DISK_S: Final = 60.0
# What a machine's Bluetooth held back while it was in trouble has come, or is lost, by then.
BLUETOOTH_S: Final = 10.0

Known = list[tuple[float, float]]
"""Readings: seconds of UTC, and mg/dL."""
Spans = list[tuple[float, float]]


class Truth(NamedTuple):
    """What a person's sensors measured: readings and beats with their true time.

    `certain` beats reached a gateway that had time to store them; other ones may have. `readings` can still be asked
    for, or were sent to such a gateway; `maybe` are the others. `is_due` is whether all must be upstream, and nothing
    may be that was measured after `allowed_utc_s`.
    """

    readings: Known
    beats: list[float]
    certain: list[float]
    is_due: bool
    allowed_utc_s: float
    maybe: Known = []  # noqa: RUF012


def truth_of(world: Scene, person: str, sensors: Iterable[str]) -> Truth:
    """Of a person who wears these sensors, and no others."""
    zero_utc_s, names = world.zero_utc_s, list(sensors)
    addresses = {world.address(sensor) for sensor in names}
    spans = [*_unsure(world), *_bluetooth_in_trouble(world)]
    for_records = spans + list(_disk_in_trouble(world))
    due: Known = []
    maybe: Known = []
    cgms: list[CgmSensor | ReplayedSensor] = [*world.home.cgms, *world.home.replayed]
    straps: list[HeartRateStrap | BumbleStrap | ReplayedSensor] = [*world.home.straps, *world.home.replayed]
    for cgm in cgms:
        for one in cgm.measured if cgm.address in addresses else ():
            if isinstance(one.record.glucose_mg_dl, float):
                where = due if _was_to_be_had(cgm, one, for_records) else maybe
                where.append((zero_utc_s + one.at_s, one.record.glucose_mg_dl))
    told = [reading for name in names for reading in world.told_by_feed(name).items()]
    end_utc_s = zero_utc_s + world.begin_s + world.scenario.lasts_s
    due += [(float(utc_s), value) for utc_s, value in told if utc_s <= end_utc_s]
    maybe += [(float(utc_s), value) for utc_s, value in told if utc_s > end_utc_s]
    carried = [beat for strap in straps if strap.address in addresses for beat in strap.carried]
    certain = [beat for beat in carried if not _is_within(beat.sent_s, spans)]
    is_due, allowed_s = _consent(world, person)
    return Truth(
        sorted(due),
        sorted(zero_utc_s + beat.beat_s for beat in carried),
        sorted(zero_utc_s + beat.beat_s for beat in certain),
        is_due,
        zero_utc_s + allowed_s,
        sorted(maybe),
    )


def _consent(world: Scene, person: str) -> tuple[bool, float]:
    """Whether all is due at the end, and until when what is measured may leave the gateway."""
    given = [(since_s, consents[person]) for since_s, consents in world.consents]
    withdrawn_s = [since_s for (_, before), (since_s, now) in pairwise(given) if before and not now]
    if given[-1][1]:
        return True, float("inf")
    return False, withdrawn_s[-1] if any(consent for _, consent in given) else float("-inf")


def _was_to_be_had(cgm: CgmSensor | ReplayedSensor, one: Measured, spans: Spans) -> bool:
    if isinstance(cgm, ReplayedSensor) or cgm.is_held(one):
        return True
    sent_s = cgm.records_sent_s.get((one.worn, one.record.time_offset_min))
    return sent_s is not None and not _is_within(sent_s, spans)


def _is_within(at_s: float, spans: Spans) -> bool:
    return any(begin_s <= at_s <= end_s for begin_s, end_s in spans)


def _unsure(world: Scene) -> Iterator[tuple[float, float]]:
    """When what was sent need not have been kept: around each end of a life, until the next has begun."""
    machine = world.lives
    ends = chain(((s, KILL_S) for s in machine.kills_s), ((s, STOP_S) for s in machine.stops_s))
    for end_s, before_s in ends:
        next_s = next((start_s for start_s in machine.starts_s if start_s >= end_s), end_s)
        yield end_s - before_s, next_s + START_S


def _bluetooth_in_trouble(world: Scene) -> Iterator[tuple[float, float]]:
    """When what a link carried need not have come to the gateway: its machine's Bluetooth had it, and lost it."""
    for fault in world.scenario.faults:
        if isinstance(fault, v.SystemFault):
            yield world.begin_s + fault.at_s - STOP_S, world.begin_s + fault.end_s + BLUETOOTH_S


def _disk_in_trouble(world: Scene) -> Iterator[tuple[float, float]]:
    """When what was sent may have been in memory only, for longer than a moment."""
    for fault in world.scenario.faults:
        if isinstance(fault, v.DiskFull | v.DiskSlow | v.DiskFails):
            yield world.begin_s + fault.at_s, world.begin_s + fault.end_s + DISK_S
