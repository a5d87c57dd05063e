"""Faults that a scenario's seed draws: what takes the place of each "drawn" in a scenario.

Contract: `drawn` gives the scenario with faults at times instead, the same ones for the same seed. What is drawn ends
before the scenario does, and disturbs no other fault of its kind: the gateway's lives do not overlap, and a sensor does
not suffer the same thing twice at once. A clock that comes back wrong is put right later. The two that no gateway can
make good are drawn only if they are named: batches that are rejected, or thrown away.

Not here: what the faults do (`home.faults`).
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Final, NamedTuple

from msgspec import structs

from edge.errors import ConfigError
from tools.rig.language import vocabulary as v
from tools.rig.language.durations import Offset, Span
from tools.rig.language.scenario import Scenario

SHORTEST_S: Final = 1.0
# The machine's own clock is wrong by so much at most.
WRONG_S_MAX: Final = 20 * 365 * 86_400.0
STEPS_MAX: Final = 2000
FORGIVEN: Final = ("upstream rejects", "upstream lies")


class _Moment(NamedTuple):
    """When a fault begins, how long it lasts, and the dice for the rest of it."""

    scenario: Scenario
    at_s: Span
    for_s: Span
    dice: Random

    def sensor(self, *, kind: str | None = None, is_feed: bool = False) -> str | None:
        """One of the home, of a kind if it must be of one."""
        fitting = [
            one.id
            for one in self.scenario.sensors
            if one.is_feed == is_feed and kind in (None, one.really or one.kind)
        ]
        return self.dice.choice(fitting) if fitting else None


Draw = Callable[[_Moment], Iterator[v.Fault]]


def _of_a_sensor(kind: type[v.Fault], worn: str | None = None, *, lasts: bool = True) -> Draw:
    def draw(moment: _Moment) -> Iterator[v.Fault]:
        sensor = moment.sensor(kind=worn, is_feed=kind is v.FeedAway)
        if sensor is not None:
            more = {"for_s": moment.for_s} if lasts else {}
            yield kind(at_s=moment.at_s, sensor=sensor, **more)  # type: ignore[call-arg]

    return draw


def _of_the_home(kind: type[v.Fault], *, lasts: bool = True) -> Draw:
    def draw(moment: _Moment) -> Iterator[v.Fault]:
        yield kind(at_s=moment.at_s, **({"for_s": moment.for_s} if lasts else {}))

    return draw


def _garbage(moment: _Moment) -> Iterator[v.Fault]:
    if (sensor := moment.sensor()) is not None:
        yield v.Garbage(at_s=moment.at_s, sensor=sensor, packets=moment.dice.randint(1, 50))


def _packets_corrupted(moment: _Moment) -> Iterator[v.Fault]:
    """Of a CGM: what a strap sends has no checksum, and a wrong bit of it is another beat."""
    if (sensor := moment.sensor(kind="cgm")) is not None:
        yield v.PacketsCorrupted(at_s=moment.at_s, sensor=sensor, packets=moment.dice.randint(1, 10))


def _storage_overwritten(moment: _Moment) -> Iterator[v.Fault]:
    if (sensor := moment.sensor(kind="cgm")) is not None:
        yield v.StorageOverwritten(at_s=moment.at_s, sensor=sensor, keeps=moment.dice.randint(0, 20))


def _killed_anywhere(moment: _Moment) -> Iterator[v.Fault]:
    steps = moment.dice.randint(0, STEPS_MAX)
    yield v.KilledAnywhere(at_s=moment.at_s, for_s=Span(moment.dice.uniform(0.0, 60.0)), steps=steps)


def _rebooted(moment: _Moment) -> Iterator[v.Fault]:
    """Half of the machines come back without knowing the time."""
    off_s = Span(min(moment.for_s, 300.0))
    if moment.dice.random() < 0.5:
        yield v.Rebooted(at_s=moment.at_s, for_s=off_s)
    else:
        wrong_s = Offset(-moment.dice.uniform(0.0, WRONG_S_MAX))
        yield v.Rebooted(at_s=moment.at_s, for_s=off_s, wrong_by_s=wrong_s, trusted=False)


def _clock(moment: _Moment) -> Iterator[v.Fault]:
    wrong_s = Offset(moment.dice.uniform(-WRONG_S_MAX, WRONG_S_MAX))
    yield v.ClockSet(at_s=moment.at_s, wrong_by_s=wrong_s, trusted=False)
    yield v.ClockSet(at_s=Span(moment.at_s + moment.for_s))


def _config_changed(moment: _Moment) -> Iterator[v.Fault]:
    person = moment.dice.choice(moment.scenario.people).id
    yield v.ConfigChanged(at_s=moment.at_s, person=person, consent=moment.dice.random() < 0.5)


def _disk_slow(moment: _Moment) -> Iterator[v.Fault]:
    yield v.DiskSlow(at_s=moment.at_s, for_s=moment.for_s, takes_s=Span(moment.dice.uniform(0.1, 10.0)))


def _disk_fails(moment: _Moment) -> Iterator[v.Fault]:
    yield v.DiskFails(at_s=moment.at_s, for_s=moment.for_s, share=moment.dice.uniform(0.05, 0.9))


def _upstream_slow(moment: _Moment) -> Iterator[v.Fault]:
    yield v.UpstreamSlow(at_s=moment.at_s, for_s=moment.for_s, takes_s=Span(moment.dice.uniform(1.0, 60.0)))


DRAWS: Final[dict[str, Draw]] = {
    "out of reach": _of_a_sensor(v.OutOfReach),
    "disconnect hangs": _of_a_sensor(v.DisconnectHangs),
    "silent": _of_a_sensor(v.Silent),
    "garbage": _garbage,
    "packets corrupted": _packets_corrupted,
    "drops mid-report": _of_a_sensor(v.DropsMidReport, "cgm", lasts=False),
    "storage overwritten": _storage_overwritten,
    "sensor rebooted": _of_a_sensor(v.SensorRebooted),
    "gateway stopped": _of_the_home(v.GatewayStopped),
    "gateway killed": _of_the_home(v.GatewayKilled),
    "killed anywhere": _killed_anywhere,
    "rebooted": _rebooted,
    "config changed": _config_changed,
    "clock": _clock,
    "disk full": _of_the_home(v.DiskFull),
    "disk slow": _disk_slow,
    "disk fails": _disk_fails,
    "upstream away": _of_the_home(v.UpstreamAway),
    "upstream slow": _upstream_slow,
    "upstream forgets to answer": _of_the_home(v.UpstreamForgetsToAnswer),
    "upstream rejects": _of_the_home(v.UpstreamRejects),
    "upstream lies": _of_the_home(v.UpstreamLies),
    "feed away": _of_a_sensor(v.FeedAway),
    "sensor replaced": _of_a_sensor(v.SensorReplaced, "cgm", lasts=False),
    "sensor swapped": _of_a_sensor(v.SensorSwapped, lasts=False),
    "link lost": _of_the_home(v.LinkLost, lasts=False),
    "bond forgotten": _of_a_sensor(v.BondForgotten, lasts=False),
    "answer lost": _of_a_sensor(v.AnswerLost, lasts=False),
    "bluetoothd killed": _of_the_home(v.BluetoothdKilled),
    "bluetoothd frozen": _of_the_home(v.BluetoothdFrozen),
    "bus killed": _of_the_home(v.BusKilled),
    "powered off": _of_the_home(v.PoweredOff),
    "unplugged": _of_the_home(v.Unplugged),
    "bond removed": _of_a_sensor(v.BondRemoved, lasts=False),
}


def drawn(scenario: Scenario) -> Scenario:
    """The scenario with faults at times in the place of those that are "drawn".

    Raises:
        ConfigError: a fault is named that cannot be drawn.
    """
    faults = [one for one in scenario.faults if not isinstance(one, v.Drawn)]
    for n, row in enumerate(scenario.faults):
        if isinstance(row, v.Drawn):
            _require_drawable(row, n)
            # Dice, not secrets: the same seed gives the same faults.
            faults += _faults(scenario, row, faults, Random(f"{scenario.seed} {n}"))  # noqa: S311
    return structs.replace(scenario, faults=tuple(sorted(faults, key=lambda one: one.at_s)))


def _require_drawable(row: v.Drawn, n: int) -> None:
    for name in row.faults:
        if name not in DRAWS:
            raise ConfigError(f"faults[{n}]", f"{name!r} cannot be drawn", f"use some of: {', '.join(DRAWS)}")


def _faults(scenario: Scenario, row: v.Drawn, others: list[v.Fault], dice: Random) -> list[v.Fault]:
    names = row.faults or tuple(name for name in DRAWS if name not in FORGIVEN)
    end_s = scenario.lasts_s if row.until_s is None else row.until_s
    found: list[v.Fault] = []
    at_s = row.at_s + dice.expovariate(1 / row.every_s)
    while at_s < end_s:
        for_s = min(row.longest_s, dice.expovariate(3 / row.longest_s) + SHORTEST_S)
        moment = _Moment(scenario, Span(at_s), Span(for_s), dice)
        new = list(DRAWS[dice.choice(names)](moment))
        if all(one.end_s < end_s for one in new) and not _disturbs(new, [*others, *found]):
            found += new
        at_s += dice.expovariate(1 / row.every_s)
    if any(isinstance(one, v.Rebooted | v.ClockSet) and not one.trusted for one in found):
        found.append(v.ClockSet(at_s=Span(end_s)))
    return found


def _disturbs(new: list[v.Fault], others: list[v.Fault]) -> bool:
    return any(
        _group(one) == _group(other) and one.at_s <= other.end_s and other.at_s <= one.end_s
        for one in new
        for other in others
    )


def _group(fault: v.Fault) -> object:
    """Of faults of one group there is one at a time."""
    if isinstance(fault, v.Interruption):
        return v.Interruption
    if isinstance(fault, v.SystemFault):
        return v.SystemFault
    if isinstance(fault, v.OutOfReach | v.SensorRebooted):
        return v.OutOfReach, getattr(fault, "sensor", None)
    return type(fault), getattr(fault, "sensor", None)
