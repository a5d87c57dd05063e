"""What is shown of the alerts that stand, and of the snoozes: with the value of this moment, not the one of long ago.

Contract: pure. A value is None where nothing fresh is known; that does not end the alert.
"""

from typing import NamedTuple

from edge.alerts.findings import GATEWAY_FINDERS, NOTHING, SENSOR_FINDERS, Finding, Signal
from edge.alerts.rules import RULES
from edge.alerts.state import AlertState, Key, Tier
from edge.config import Alerts
from edge.now.known import GatewayKnown


class Shown(NamedTuple):
    """An alert that has not ended.

    Attributes:
        rule, subject, person: what it is about; see `edge.alerts.state`.
        value, unit: of the newest reading, None if there is no fresh one; `raised_by` is the value that raised it.
        reason: what is uncertain, or in trouble.
        age_s: how long it has stood.
        urgent, tier: whether nothing may hold it back, and who has been told.
        is_told: whether anybody was told since it was raised or snoozed.
        acknowledged: somebody has taken note.
        snoozed_left_s: how long it will be silent; None if it is not snoozed.
    """

    rule: str
    subject: str
    person: str | None
    value: float | None
    raised_by: float | None
    unit: str | None
    reason: str | None
    age_s: float
    urgent: bool
    tier: Tier
    is_told: bool
    acknowledged: bool
    snoozed_left_s: float | None


class ShownSnooze(NamedTuple):
    """A snooze that has not ended; `subject` is None where it holds for all sensors."""

    rule: str
    subject: str | None
    left_s: float
    unless: float | None


def shown(state: AlertState, known: GatewayKnown, at_s: float, limits: Alerts) -> list[Shown]:
    """The alerts that stand, the longest first."""
    found = []
    for key, one in state.standing.items():
        rule, finding = RULES.get(key[0]), _finding(key, known, limits)
        snoozed_s = [snooze.until_s - at_s for snooze in state.snoozes if snooze.covers(*key)]
        left_s = max(snoozed_s, default=0.0)
        found.append(
            Shown(
                rule=key[0],
                subject=key[1],
                person=one.person,
                value=None if finding.signal is Signal.UNKNOWN else finding.value,
                raised_by=one.value,
                unit=rule.unit if rule else None,
                reason=finding.reason,
                age_s=at_s - (at_s if one.since_s is None else one.since_s),
                urgent=rule is not None and rule.urgent,
                tier=one.tier,
                is_told=one.told,
                acknowledged=one.acknowledged,
                snoozed_left_s=left_s if left_s > 0.0 and not (rule and rule.urgent) else None,
            )
        )
    return sorted(found, key=lambda one: -one.age_s)


def snoozes(state: AlertState, at_s: float) -> list[ShownSnooze]:
    """The snoozes, the one that ends first first."""
    left = [
        ShownSnooze(one.rule, one.subject, one.until_s - at_s, one.unless)
        for one in state.snoozes
        if one.until_s > at_s
    ]
    return sorted(left, key=lambda one: one.left_s)


def _finding(key: Key, known: GatewayKnown, limits: Alerts) -> Finding:
    name, subject = key
    if name in GATEWAY_FINDERS:
        return GATEWAY_FINDERS[name](RULES[name], known, limits)
    sensor = next((one for one in known.sensors if one.id == subject), None)
    if sensor is None or name not in SENSOR_FINDERS:
        return NOTHING
    return SENSOR_FINDERS[name](RULES[name], sensor, limits)
