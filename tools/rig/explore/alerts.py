"""Whether people were told what they had to be told of a home, and nothing else.

Contract: a `Listener` is a channel that always works, and notes what arrives. `overdue` is asked now and then while the
home goes on, `wrong_alerts` afterwards; each yields what is wrong. What is true comes from the sensors: what they told
a gateway that lived, and when. The default limits stand here again.

Not here: every detail of an alert's course (the engine's own tests).
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from edge.alerts.message import Message
from edge.alerts.state import Tier
from protocols.medfloat import Special
from tools.rig.explore.checks import home_of
from tools.rig.home.world import World
from tools.rig.language import vocabulary as v
from tools.rig.verdict.expectations import clock_time

LOOK_S: Final = 60.0
SILENCE: Final = {"cgm": ("cgm_silence", 1200.0, 61.0), "heart_rate": ("heart_rate_silence", 600.0, 1.0)}
# A process that begins lets sensors be silent for so long, and everything is looked at once a minute.
SETTLING_S, LOOKED_S = 120.0, 61.0
# The state is kept so often; a boot whose clock nobody trusts goes on from there.
MARK_S: Final = 301.0
FRESH_S: Final = {"cgm": 910.0, "heart_rate": 70.0}
TOLD_S: Final = 5.0
# Reports are in order: the newest record is among the last that passed.
RECENT: Final = 20
URGENT_MG_DL: Final = 50.0
OVER: Final = ("over", "retracted")
LIMITS: Final[dict[str, tuple[str, Callable[[float], bool]]]] = {
    "glucose_urgent_low": ("cgm", lambda value: value < 54),
    "glucose_low": ("cgm", lambda value: value < 70),
    "glucose_high": ("cgm", lambda value: value > 250),
    "glucose_high_persistent": ("cgm", lambda value: value > 250),
    "heart_rate_low": ("heart_rate", lambda value: value < 40),
    "heart_rate_high": ("heart_rate", lambda value: value > 130),
}


class Told(NamedTuple):
    """A message that arrived, and in which life of the gateway."""

    at_s: float
    life: int
    message: Message


class Listener:
    """Somebody who hears everything, through all lives of the gateway."""

    name = "listener"
    least_tier = Tier.REMINDER
    must_work = True

    def __init__(self) -> None:
        self.world: World | None = None
        self.told: list[Told] = []

    async def deliver(self, message: Message) -> None:
        assert self.world is not None
        machine = self.world.machine
        self.told.append(Told(machine.now_s, len(machine.starts_s), message))

    def of(self, rule: str) -> list[Told]:
        return [one for one in self.told if one.message.rule == rule]

    def stands(self, rule: str) -> bool:
        """Whether people were told that it began, and not that it ended."""
        about = self.of(rule)
        return bool(about) and about[-1].message.what not in OVER


class Heard(NamedTuple):
    """What a gateway that ran may know of a kind of sensor: when it was told as it was measured, and the values."""

    live_s: list[float]
    values: list[tuple[float, float]]


def newest_s(world: World, kind: str) -> float:
    """When the newest was measured that a gateway which ran may know of."""
    runs, home = _running(world), home_of(world)
    if kind == "heart_rate":
        told = (at_s for strap in home.straps for at_s, _ in reversed(strap.told) if runs(at_s))
        return next(told, -math.inf)
    passed = (pair for cgm in home.cgms for pair in reversed(cgm.told))
    recent = list(islice((pair for pair in passed if runs(pair[0])), RECENT))
    return max((min(now_s, taken_s + 60.0) for now_s, taken_s in recent), default=-math.inf)


def heard(world: World, kind: str) -> Heard:
    """Of the only sensor of its kind."""
    runs = _running(world)
    home = home_of(world)
    if kind == "heart_rate":
        told = [pair for strap in home.straps for pair in strap.told]
        return Heard([at_s for at_s, _ in told if runs(at_s)], [pair for pair in told if pair[1]])
    passed = [pair for cgm in home.cgms for pair in cgm.told if runs(pair[0])]
    live_s = [now_s for now_s, taken_s in passed if now_s - taken_s < 61.0]
    values = [(one.at_s, _value(one.record.glucose_mg_dl)) for cgm in home.cgms for one in cgm.measured]
    return Heard(live_s, [(at_s, value) for at_s, value in values if not math.isnan(value)])


def _running(world: World) -> Callable[[float], bool]:
    starts_s = world.machine.starts_s
    ends_s = sorted([*world.machine.kills_s, *world.machine.stops_s])
    return lambda at_s: bisect_right(starts_s, at_s) > bisect_right(ends_s, at_s)


def _value(told: object) -> float:
    if isinstance(told, float | int) and not isinstance(told, Special):
        return float(told)
    return {Special.NEGATIVE_INFINITY: -math.inf, Special.POSITIVE_INFINITY: math.inf}.get(told, math.nan)  # type: ignore[call-overload, no-any-return]


def _off_s(world: World, since_s: float) -> float:
    """How long the machine was off since then, and what its clock may have forgotten by that."""
    reboots = [one for one in world.scenario.faults if isinstance(one, v.Rebooted)]
    return sum(one.for_s + MARK_S for one in reboots if world.begin_s + one.end_s > since_s)


def overdue(world: World, listener: Listener) -> Iterator[str]:
    """Nothing is heard of a sensor, and nobody is told."""
    machine = world.machine
    if not machine.is_running:
        return
    worn = {sensor.kind for sensor in world.scenario.sensors}
    for kind, (rule, limit_s, _) in SILENCE.items():
        if kind not in worn:
            continue
        heard_s = max(0.0, newest_s(world, kind))
        due_s = max(heard_s + limit_s + _off_s(world, heard_s), machine.starts_s[-1] + SETTLING_S)
        if machine.now_s > due_s + LOOKED_S and not listener.stands(rule):
            yield f"{kind}: nothing heard since {_when(world, heard_s)}, and at {_when(world)} nobody is told"


def _when(world: World, at_s: float | None = None) -> str:
    return clock_time((world.machine.now_s if at_s is None else at_s) - world.begin_s)


def wrong_alerts(world: World, listener: Listener) -> Iterator[str]:
    """All that is wrong with what people were told."""
    yield from _false_silence(world, listener)
    yield from _baseless(world, listener)
    yield from _unnoticed(world, listener)
    yield from _untold(world, listener)
    yield from _repeated(world, listener)


def _false_silence(world: World, listener: Listener) -> Iterator[str]:
    """Somebody is told that nothing is heard, while it is."""
    for kind, (rule, limit_s, rounded_s) in SILENCE.items():
        live_s = heard(world, kind).live_s
        for told in listener.of(rule):
            life_s = world.machine.starts_s[told.life - 1]
            known = [at_s for at_s in live_s if life_s <= at_s <= told.at_s]
            if told.message.what == "raised" and known and told.at_s - known[-1] < limit_s - rounded_s:
                yield f"{rule} at {_when(world, told.at_s)}, and it was heard at {_when(world, known[-1])}"


def _baseless(world: World, listener: Listener) -> Iterator[str]:
    """A value alert began or ended without a fresh value that says so."""
    values = {kind: heard(world, kind).values for kind in SILENCE}
    for told in listener.told:
        message = told.message
        if message.rule not in LIMITS or message.what not in ("raised", "over", "worse"):
            continue
        kind, is_beyond = LIMITS[message.rule]
        fresh = [value for at_s, value in values[kind] if told.at_s - FRESH_S[kind] <= at_s <= told.at_s]
        if not any(is_beyond(value) == (message.what != "over") for value in fresh):
            yield f"{message.rule} {message.what} at {_when(world, told.at_s)}, and {fresh[-3:]} was measured"


def _unnoticed(world: World, listener: Listener) -> Iterator[str]:
    """An urgent low was heard by a gateway that lived on, and nobody was told."""
    known = heard(world, "cgm")
    live, ends_s = set(known.live_s), [*world.machine.kills_s, *world.machine.stops_s]
    about = listener.of("glucose_urgent_low")
    for at_s, value in known.values:
        until_s = at_s + TOLD_S
        if value >= URGENT_MG_DL or at_s not in live or any(at_s <= end_s <= until_s for end_s in ends_s):
            continue
        before = [one for one in about if one.at_s <= until_s]
        if not before or before[-1].message.what in OVER:
            yield f"{value:.0f} mg/dL was heard at {_when(world, at_s)}, and nobody was told"


def _untold(world: World, listener: Listener) -> Iterator[str]:
    """Something happened to an alert, and nobody was told."""
    told = {one.message.id for one in listener.told}
    alerts = world.gateway.store.tables.alerts
    for event in alerts.newest(1000):
        states = {one.state for one in alerts.deliveries(event.id) if one.channel == listener.name}
        if str(event.id) not in told and not states & {"retracted", "acknowledged"}:
            yield f"{event.rule} {event.what} is in the store, {states}, and nobody was told"


def _repeated(world: World, listener: Listener) -> Iterator[str]:
    """An alert is raised that was raised already and is not over: the gateway had forgotten it."""
    forgot_s = [*world.machine.kills_s]
    begun: dict[tuple[str, str], Told] = {}
    for told in listener.told:
        key = (told.message.rule, told.message.sensor)
        before = begun.get(key)
        if told.message.what in OVER:
            begun.pop(key, None)
        elif told.message.what == "raised":
            is_new = before is not None and before.message.id != told.message.id
            # What was told a moment before the end was not stored yet.
            is_known = before is not None and not any(0 <= s - before.at_s <= FORGETS_S for s in forgot_s)
            if before is not None and is_new and is_known and not _was_full(world):
                yield f"{key[0]} raised {_when(world, before.at_s)} and again {_when(world, told.at_s)}, never over"
            begun[key] = told


FORGETS_S: Final = 60.0


def _was_full(world: World) -> bool:
    return any(isinstance(one, v.DiskFull | v.DiskFails) for one in world.scenario.faults)
