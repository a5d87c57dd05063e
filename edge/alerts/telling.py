"""Whether an alert that stands is told, to whom, and when again.

Contract: pure. The table is above `edge.alerts.engine`.
"""

import math
from typing import Final

from msgspec.structs import replace

from edge.alerts.findings import Finding, Signal
from edge.alerts.rules import RULES, Rule
from edge.alerts.state import Event, Key, Phase, RuleState, Snooze, Tier, What
from edge.config import Alerts
from edge.now.known import GatewayKnown

SLACK_S: Final = 1e-6  # sums of seconds are not exact


class Muting:
    """Which alerts are told to nobody for now, and until when. Snoozes that are broken leave `snoozes`."""

    def __init__(self, snoozes: tuple[Snooze, ...], known: GatewayKnown, at_s: float, limits: Alerts) -> None:
        self.snoozes = snoozes
        self._night_until_s = -math.inf
        if limits.quiet_hours is not None and known.minute_of_day is not None:
            left_min = limits.quiet_hours.left_min(known.minute_of_day)
            self._night_until_s = at_s + 60.0 * left_min

    def until_s(self, key: Key, rule: Rule, state: RuleState) -> float:
        """The end of what mutes an alert; not after this moment if nothing does."""
        if rule.urgent:
            return -math.inf
        until_s = -math.inf if rule.at_night else self._night_until_s
        snoozed = (snooze.until_s for snooze in self.snoozes if snooze.covers(*key))
        return max([until_s, state.quiet_until_s or -math.inf, *snoozed])

    def break_by(self, key: Key, rule: Rule, state: RuleState, found: Finding) -> None:
        """End the snoozes of a raised alert that the newest finding breaks."""
        if self.snoozes and found.signal is Signal.BEYOND:
            self.snoozes = tuple(
                snooze
                for snooze in self.snoozes
                if not (snooze.covers(*key) and _breaks(snooze, rule, state, found))
            )


def _breaks(snooze: Snooze, rule: Rule, state: RuleState, found: Finding) -> bool:
    if snooze.unless is None:
        return found.grade > state.grade
    if found.value is None:
        return False
    return found.value < snooze.unless if rule.side == "below" else found.value > snooze.unless


def say(what: What, key: Key, state: RuleState, at_s: float, found: Finding) -> Event:
    """An event of an alert; who says it counts `step` on."""
    rule = RULES.get(key[0])
    return Event(
        rule=key[0],
        subject=key[1],
        person=state.person,
        what=what,
        tier=state.tier,
        ordinal=state.ordinal,
        step=state.step,
        at_s=at_s,
        value=None if found.signal is Signal.UNKNOWN else found.value,
        unit=rule.unit if rule else None,
        urgent=rule is not None and rule.urgent,
        reason=found.reason,
    )


def escalate_s(rule: Rule, limits: Alerts) -> float:
    """How long an alert waits to be acknowledged before more people are told."""
    return limits.urgent_escalate_s if rule.urgent else limits.escalate_s


def _says(rule: Rule, state: RuleState, found: Finding, at_s: float, limits: Alerts) -> What | None:
    """What is to be told of a raised alert that is not muted."""
    is_beyond = found.signal is Signal.BEYOND
    if is_beyond and state.step and found.grade > state.grade:
        return rule.grown
    if is_beyond and not state.told and not state.acknowledged:
        return What.FOLLOW_UP if state.step else What.RAISED
    if not state.told or state.acknowledged or state.tier_since_s is None:
        return None
    if at_s - state.tier_since_s < escalate_s(rule, limits) - SLACK_S:
        return None
    if state.tier < rule.last:
        return What.ESCALATED
    return What.FOLLOW_UP if rule.urgent and is_beyond else None


def tell(
    key: Key, rule: Rule, state: RuleState, found: Finding, at_s: float, limits: Alerts, muting: Muting
) -> tuple[RuleState, list[Event]]:
    """What is told at this moment of an alert that is raised."""
    is_muted = muting.until_s(key, rule, state) > at_s
    what = None if is_muted else _says(rule, state, found, at_s, limits)
    if what is None:
        return state, []
    tier = Tier(state.tier + 1) if what is What.ESCALATED else state.tier
    grade = max(state.grade, found.grade) if found.signal is Signal.BEYOND else state.grade
    state = replace(state, tier=tier, tier_since_s=at_s, told=True, acknowledged=False, grade=grade)
    return replace(state, step=state.step + 1), [say(what, key, state, at_s, found)]


def next_told_s(
    key: Key, rule: Rule, state: RuleState, found: Finding, at_s: float, limits: Alerts, muting: Muting
) -> float:
    """When time alone can have more told of an alert."""
    if state.phase is not Phase.RAISED:
        return math.inf
    muted_until_s = muting.until_s(key, rule, state)
    if muted_until_s > at_s:
        return muted_until_s
    if _says(rule, state, found, at_s, limits) is not None:
        return at_s
    is_beyond = found.signal is Signal.BEYOND
    goes_on = state.tier < rule.last or (rule.urgent and is_beyond)
    if not state.told or state.acknowledged or state.tier_since_s is None or not goes_on:
        return math.inf
    return state.tier_since_s + escalate_s(rule, limits)
