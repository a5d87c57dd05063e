"""What people do about alerts: snooze one, end a snooze, acknowledge one.

Contract: pure. Nothing that is urgent can be snoozed. What a snooze of an alert that stands lets pass is told by the
next `step`.
"""

from enum import Enum
from math import isfinite
from typing import Final

from msgspec.structs import replace

from edge.alerts.findings import NOTHING, value_limit
from edge.alerts.rules import RULES, Rule
from edge.alerts.state import AlertState, Event, Key, Phase, RuleState, Snooze, What
from edge.alerts.telling import say
from edge.config import Alerts

SNOOZE_S_MAX: Final = 86_400.0


class Refusal(Enum):
    """Why what people ask is not done; the value says it to them, with the remedy if there is a special one."""

    NO_RULE = "there is no such alert"
    NO_SENSOR = "there is no such sensor; use its name in the configuration, or gateway"
    NOT_OF_SENSOR = "this sensor has no such alert; use one that has it"
    NOT_WAITING = "no such alert waits to be acknowledged"
    SWITCHED_OFF = "this alert is switched off"
    URGENT = "this alert is urgent and cannot be snoozed; acknowledge it"
    PAST = "it would end before it begins"
    TOO_LONG = "an alert can be snoozed for 24 hours at most; the configuration can switch it off"
    NO_VALUE = "this alert has no value that could get worse"
    NOT_WORSE = (
        "the value that ends the snooze is not beyond the limit of the alert; give a worse one, or none"
    )


def refusal(snooze: Snooze, at_s: float, limits: Alerts) -> Refusal | None:
    rule = RULES.get(snooze.rule)
    if rule is None:
        return Refusal.NO_RULE
    if rule.urgent:
        return Refusal.URGENT
    if snooze.rule in limits.off:
        return Refusal.SWITCHED_OFF
    if not snooze.until_s > at_s:
        return Refusal.PAST
    if snooze.until_s - at_s > SNOOZE_S_MAX:
        return Refusal.TOO_LONG
    return None if snooze.unless is None else _unless_refusal(rule, snooze.unless, limits)


def _unless_refusal(rule: Rule, unless: float, limits: Alerts) -> Refusal | None:
    """A value that is no worse than the limit would end the snooze at once."""
    if rule.side is None:
        return Refusal.NO_VALUE
    limit = value_limit(rule, limits)
    is_worse = limit is None or (unless < limit if rule.side == "below" else unless > limit)
    return None if is_worse and isfinite(unless) else Refusal.NOT_WORSE


def snooze(state: AlertState, snooze: Snooze, at_s: float, limits: Alerts) -> AlertState | Refusal:
    """Begin a snooze; it replaces one of the same rule and subject.

    An alert that it covers, and that nobody has acknowledged, is told again when the snooze ends, if it is still beyond
    its limit then.
    """
    refused = refusal(snooze, at_s, limits)
    if refused is not None:
        return refused
    kept = unsnooze(state, snooze.rule, snooze.subject).snoozes
    covered = {
        key: replace(one, told=False)
        for key, one in state.rules.items()
        if snooze.covers(*key) and one.phase is Phase.RAISED and one.told and not one.acknowledged
    }
    return AlertState(state.at_s, {**state.rules, **covered}, (*kept, snooze))


def unsnooze(state: AlertState, rule: str, subject: str | None) -> AlertState:
    """End the snooze of this rule and subject, if there is one."""
    kept = tuple(one for one in state.snoozes if (one.rule, one.subject) != (rule, subject))
    return replace(state, snoozes=kept)


def acknowledge(state: AlertState, rule: str, subject: str, at_s: float) -> tuple[AlertState, list[Event]]:
    """Somebody takes note of an alert: it goes to no more people, until it gets worse. Nothing else is changed."""
    key: Key = rule, subject
    one: RuleState | None = state.rules.get(key)
    if one is None or one.phase is not Phase.RAISED or one.acknowledged:
        return state, []
    event = say(What.ACKNOWLEDGED, key, one, max(round(at_s, 3), state.at_s), NOTHING)
    noted = replace(one, acknowledged=True, step=one.step + 1)
    return replace(state, rules={**state.rules, key: noted}), [event]
