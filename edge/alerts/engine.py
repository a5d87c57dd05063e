"""The alert engine: from what is known at a moment to what is told, by the rules.

Contract: pure. `step` takes the state, what is known now, and the moment, and gives the new state and the events; the
same arguments give the same. It may be called at any time and as often as one likes; called again with nothing new, it
says nothing new. Time alone can change something at `next_due_s`, and not before. An alert about values begins and ends
by fresh values that count; data that stay away end none.

    phase     | event                                               | next
    ----------|-----------------------------------------------------|--------------------------------------------------
    quiet     | beyond the limit, and armed                         | breached
    breached  | beyond it for the hold, and no pause is on          | raised
    breached  | readings are too far apart                          | breached, the hold begins anew
    breached  | not beyond it any more                              | quiet
    raised    | within the limit by the hysteresis                  | quiet, OVER; a pause begins
    raised    | sensor retired or another's, rule switched off      | quiet, RETRACTED
    any       | the danger has receded                              | armed
    any       | nothing fresh is known                              | as it is

While an alert is raised, it is told by this table. It is muted by a snooze, and in quiet hours; urgent ones never are.

    told      | event, while it is not muted                        | says
    ----------|-----------------------------------------------------|--------------------------------------------------
    no        | beyond the limit, nobody acknowledged it            | RAISED; FOLLOW_UP if it was told before a snooze
    any       | worse by a step of the rule                         | WORSE (FOLLOW_UP for a rhythm)
    yes       | not acknowledged for the time of its tier           | ESCALATED, to the next tier
    yes       | the same in its last tier, urgent and still beyond  | FOLLOW_UP

Acknowledging ends escalation until it gets worse. A snooze is broken by what its `unless` says. `edge.alerts.snooze`
has what people do.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec.structs import replace

from edge.alerts.findings import (
    GATEWAY_FINDERS,
    LEVELS,
    NOTHING,
    SENSOR_FINDERS,
    Finding,
    SensorFinder,
    Signal,
)
from edge.alerts.rules import RULES, SENSOR, Rule
from edge.alerts.state import GATEWAY, AlertState, Event, Key, Phase, RuleState, What
from edge.alerts.telling import SLACK_S, Muting, next_told_s, say, tell
from edge.config import Alerts
from edge.kinds import KINDS
from edge.now.known import GatewayKnown

RETIRED: Final = "the sensor is no longer in use"
SWITCHED_OFF: Final = "the rule is switched off"
COVERED: Final = "another source tells what this sensor measures"
GLUCOSE: Final = "glucose"
OF_ANOTHER: Final = "another person wears the sensor"
NO_RULE: Final = "there is no such rule for it any more"

QUIET: Final = RuleState()
BEYOND: Final = Signal.BEYOND

Found = tuple[Key, str | None, Rule, Finding]


def step(
    state: AlertState,
    known: GatewayKnown,
    at_s: float,
    limits: Alerts,
    only: Collection[str] | None = None,
) -> tuple[AlertState, list[Event]]:
    """Go on to a moment.

    Args:
        known: all that is known at the moment, whatever `only` says.
        at_s: alert time; one that is before that of the state counts as that.
        only: subjects to look at, ids of sensors or `GATEWAY`; None: all. What ends because a sensor or a rule is gone
            is noticed with None.
    """
    return _step(state, known, _find(known, limits, only), at_s, limits, is_all=only is None)


def next_due_s(
    state: AlertState,
    known: GatewayKnown,
    at_s: float,
    limits: Alerts,
    only: Collection[str] | None = None,
) -> float | None:
    """When a `step` is due, if nothing new is known until then; None: never. The arguments are those of `step`."""
    return _next_due_s(state, known, _find(known, limits, only), at_s, limits)


class Looked(NamedTuple):
    """What came of a look.

    Attributes:
        state, events: as of `step`.
        due_s: as of `next_due_s` after it.
        busy: the subjects of which something is beyond its limit, stands, or is waited for. Of the others nothing
            changes by values within `calm`.
    """

    state: AlertState
    events: list[Event]
    due_s: float | None
    busy: set[str]


def look(
    state: AlertState,
    known: GatewayKnown,
    at_s: float,
    limits: Alerts,
    only: Collection[str] | None = None,
) -> Looked:
    """`step`, and what there is to know after it: what is known is looked at once for all. Arguments as of `step`."""
    found = _find(known, limits, only)
    state, events = _step(state, known, found, at_s, limits, is_all=only is None)
    busy = {key[1] for key, _, _, one in found if one.signal is BEYOND or one.quiet_s is not None}
    busy.update(key[1] for key, one in state.rules.items() if one.phase is not Phase.QUIET or not one.armed)
    return Looked(state, events, _next_due_s(state, known, found, at_s, limits), busy)


def calm(kind: str, limits: Alerts) -> dict[str, tuple[float, float]]:
    """For sensors of a kind that are not busy: the values of a measurement, from and to, that change nothing."""
    ranges = {RULES[name].about: (-math.inf, math.inf) for name in LEVELS}
    for name, rule in rules_for(kind, limits.off):
        if name in LEVELS and rule.limit is not None:
            low, high = ranges[rule.about]
            limit: float = getattr(limits, rule.limit)
            ranges[rule.about] = (max(low, limit), high) if rule.side == "below" else (low, min(high, limit))
    return ranges


def _step(
    state: AlertState,
    known: GatewayKnown,
    all_found: Sequence[Found],
    at_s: float,
    limits: Alerts,
    *,
    is_all: bool,
) -> tuple[AlertState, list[Event]]:
    at_s = max(round(at_s, 3), state.at_s)
    changed, events = dict[Key, RuleState](), list[Event]()
    muting = Muting(tuple(one for one in state.snoozes if one.until_s > at_s), known, at_s, limits)
    if is_all:
        kinds = {sensor.id: sensor.kind for sensor in known.sensors}
        covered = {sensor.id for sensor in known.sensors if sensor.covered_by is not None}
        for key, reason in _gone(state, kinds, covered, limits):
            changed[key], said = _retract(key, state.rules[key], at_s, reason)
            events += said
        subjects = {None, GATEWAY, *kinds}
        muting.snoozes = tuple(one for one in muting.snoozes if one.subject in subjects)
    standing = list[tuple[Key, Rule, RuleState, Finding]]()
    for key, person, rule, found in all_found:
        before = state.rules.get(key, QUIET)
        # Most rules of most packets end here.
        if found.signal is not BEYOND and before is QUIET and found.quiet_s is None:
            continue
        after, said = _advance(key, person, rule, before, found, at_s, limits)
        events += said
        if after.phase is Phase.RAISED:
            standing.append((key, rule, after, found))
        if after is not before:
            changed[key] = after
    # One alert may break a snooze of several: all of them are told by what snoozes are left.
    for row in standing:
        muting.break_by(*row)
    for key, rule, untold, found in standing:
        told, said = tell(key, rule, untold, found, at_s, limits, muting)
        events += said
        if told is not untold:
            changed[key] = told
    rules = {**state.rules, **changed} if changed else state.rules
    snoozes = muting.snoozes if len(muting.snoozes) < len(state.snoozes) else state.snoozes
    return AlertState(at_s, rules, snoozes), events


def _next_due_s(
    state: AlertState, known: GatewayKnown, all_found: Sequence[Found], at_s: float, limits: Alerts
) -> float | None:
    at_s = max(round(at_s, 3), state.at_s)
    muting = Muting(state.snoozes, known, at_s, limits)
    due_s = min((snooze.until_s for snooze in state.snoozes), default=math.inf)
    for key, _, rule, found in all_found:
        one = state.rules.get(key, QUIET)
        due_s = min(due_s, at_s + found.next_s)
        if found.signal is BEYOND or one is not QUIET:
            due_s = min(due_s, next_told_s(key, rule, one, found, at_s, limits, muting))
            due_s = min(due_s, _changes_s(one, found, at_s))
    if math.isinf(due_s):
        return None
    # A moment is a whole millisecond, and none is due twice.
    return max(math.ceil(due_s * 1000.0 - SLACK_S), at_s * 1000.0 + 1.0) / 1000.0


def _changes_s(state: RuleState, found: Finding, at_s: float) -> float:
    """When the phase changes by time alone: at once if that waits for the next step; or when hold and pause end."""
    if found.signal is Signal.UNKNOWN:
        return math.inf
    if found.signal is not Signal.BEYOND:
        ends = state.phase is Phase.BREACHED or (
            state.phase is Phase.RAISED and found.signal >= Signal.WITHIN
        )
        return at_s if ends else math.inf
    if state.phase is Phase.RAISED or not state.armed:
        return math.inf
    if state.breached_s is None:
        return at_s
    held_s = state.breached_s + found.hold_s
    if math.isfinite(found.gap_s) and held_s > at_s - found.age_s + SLACK_S:
        return math.inf  # another reading has to come
    return max(held_s, state.quiet_until_s or 0.0)


@lru_cache(maxsize=256)
def rules_for(kind: str, off: tuple[str, ...]) -> tuple[tuple[str, Rule], ...]:
    """The rules in force for sensors of a kind; `GATEWAY` is the kind of the gateway itself."""
    about = {GATEWAY} if kind == GATEWAY else {SENSOR, *KINDS[kind].measurements}
    return tuple((name, rule) for name, rule in RULES.items() if rule.about in about and name not in off)


@lru_cache(maxsize=4096)
def _rows(subject: str, kind: str, off: tuple[str, ...]) -> tuple[tuple[Key, Rule, SensorFinder], ...]:
    """The rules in force for a sensor, and who finds out about them."""
    return tuple(((name, subject), rule, SENSOR_FINDERS[name]) for name, rule in rules_for(kind, off))


def _find(known: GatewayKnown, limits: Alerts, only: Collection[str] | None) -> list[Found]:
    all_found: list[Found] = [
        (key, sensor.person, rule, finder(rule, sensor, limits))
        for sensor in known.sensors
        if only is None or sensor.id in only
        for key, rule, finder in _rows(sensor.id, sensor.kind, limits.off)
        if sensor.covered_by is None or rule.about != GLUCOSE
    ]
    if only is None or GATEWAY in only:
        for name, rule in rules_for(GATEWAY, limits.off):
            all_found.append(((name, GATEWAY), None, rule, GATEWAY_FINDERS[name](rule, known, limits)))
    return all_found


def _gone(
    state: AlertState, kinds: Mapping[str, str], covered: Collection[str], limits: Alerts
) -> Iterator[tuple[Key, str]]:
    """What is remembered of sensors and rules that are not in use any more, and why they are not."""
    for (name, subject), one in state.rules.items():
        if one == RuleState(ordinal=one.ordinal):
            continue
        kind = GATEWAY if subject == GATEWAY else kinds.get(subject)
        if kind is None:
            yield (name, subject), RETIRED
        elif subject in covered and RULES[name].about == GLUCOSE:
            yield (name, subject), COVERED
        elif name not in dict(rules_for(kind, limits.off)):
            yield (name, subject), SWITCHED_OFF if name in limits.off else NO_RULE


def _retract(key: Key, state: RuleState, at_s: float, reason: str) -> tuple[RuleState, list[Event]]:
    """Forget all but the number of the newest alert; who was told of it is told that it is void."""
    is_told = state.phase is Phase.RAISED and state.step > 0
    said = [say(What.RETRACTED, key, state, at_s, NOTHING._replace(reason=reason))] if is_told else []
    return RuleState(ordinal=state.ordinal), said


def _advance(
    key: Key,
    person: str | None,
    rule: Rule,
    state: RuleState,
    found: Finding,
    at_s: float,
    limits: Alerts,
) -> tuple[RuleState, list[Event]]:
    """One rule of one subject goes on to the moment; whether it is told is seen when all have."""
    events = list[Event]()
    if state.person != person and state.person is not None:
        state, events = _retract(key, state, at_s, OF_ANOTHER)
    state = _wait(state, person, found, at_s)
    if found.signal is Signal.BEYOND:
        state = _beyond(state, person, rule, found, at_s)
    elif found.signal is not Signal.UNKNOWN:
        state, said = _not_beyond(key, rule, state, found, at_s, limits)
        events += said
    return state, events


def _wait(state: RuleState, person: str | None, found: Finding, at_s: float) -> RuleState:
    """Note until when nothing is to be raised."""
    known_s, until_s = state.quiet_until_s, state.quiet_until_s
    if found.quiet_s is not None:
        until_s = round(at_s + found.quiet_s, 3)
        if known_s is not None and abs(until_s - known_s) <= 0.01:
            return state  # moments are whole milliseconds: the same end, told again
    elif found.quiet_s_max is not None and known_s is not None:
        until_s = min(known_s, round(at_s + found.quiet_s_max, 3))
    return state if until_s == known_s else replace(state, person=person, quiet_until_s=until_s)


def _beyond(state: RuleState, person: str | None, rule: Rule, found: Finding, at_s: float) -> RuleState:
    if state.phase is Phase.RAISED:
        return _worse(state, rule, found)
    if not state.armed:
        return state
    taken_s = round(at_s - found.age_s, 3)
    breached_s, judged_s = state.breached_s, state.judged_s
    if breached_s is None or judged_s is None or taken_s - judged_s > found.gap_s + SLACK_S:
        breached_s = judged_s = taken_s
    elif math.isfinite(found.gap_s):
        judged_s = max(judged_s, taken_s)
    is_held = taken_s - breached_s >= found.hold_s - SLACK_S
    if not is_held or (state.quiet_until_s is not None and at_s < state.quiet_until_s - SLACK_S):
        if (state.phase, state.breached_s, state.judged_s) == (Phase.BREACHED, breached_s, judged_s):
            return state
        return replace(state, phase=Phase.BREACHED, person=person, breached_s=breached_s, judged_s=judged_s)
    return RuleState(
        phase=Phase.RAISED,
        ordinal=state.ordinal + 1,
        person=person,
        since_s=at_s,
        breached_s=breached_s,
        value=found.value,
        worst=found.value,
        grade=found.grade,
        tier=rule.first,
        armed=not rule.once,
    )


def _worse(state: RuleState, rule: Rule, found: Finding) -> RuleState:
    """Keep the worst value."""
    if found.value is None or rule.side is None or state.worst is None:
        return state
    is_worse = found.value < state.worst if rule.side == "below" else found.value > state.worst
    return replace(state, worst=found.value) if is_worse else state


def _not_beyond(
    key: Key, rule: Rule, state: RuleState, found: Finding, at_s: float, limits: Alerts
) -> tuple[RuleState, list[Event]]:
    said = list[Event]()
    if state.phase is Phase.BREACHED:
        state = replace(state, phase=Phase.QUIET, breached_s=None, judged_s=None)
    elif state.phase is Phase.RAISED and found.signal >= Signal.WITHIN:
        said = [say(What.OVER, key, state, at_s, found)] if state.step else []
        quiet_until_s = at_s + limits.refractory_s if rule.pauses else state.quiet_until_s
        state = RuleState(
            ordinal=state.ordinal, person=state.person, armed=state.armed, quiet_until_s=quiet_until_s
        )
    if found.signal is Signal.RECEDED and not state.armed:
        state = replace(state, armed=True)
    return state, said
