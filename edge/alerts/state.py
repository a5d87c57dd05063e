"""What the alert engine remembers and what it says: the state of each rule, the snoozes, and the events.

Contract: values only, none changes. Times are seconds of alert time, an axis that never goes back and outlives
reboots; whoever steps the engine makes it. `encode` and `decode` carry a state through a store. What a state means, and
when it changes, is said in `edge.alerts.engine`.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Final

import msgspec
from msgspec import Struct

VERSION: Final = 1
GATEWAY: Final = "gateway"
"""The subject of alerts about the gateway itself."""

Key = tuple[str, str]
"""The name of a rule, and its subject: the id of a sensor, or `GATEWAY`."""


class What(Enum):
    """What an event says of its alert.

    RAISED: it begins. WORSE: it got worse by a step of its rule. FOLLOW_UP: it still stands, and is told again.
    ESCALATED: nobody acknowledged it in time, so more people are told. OVER: a good value ended it. RETRACTED: it ended
    for another reason, which is said. ACKNOWLEDGED: somebody has taken note.
    """

    RAISED = "raised"
    WORSE = "worse"
    FOLLOW_UP = "follow_up"
    ESCALATED = "escalated"
    OVER = "over"
    RETRACTED = "retracted"
    ACKNOWLEDGED = "acknowledged"


class Tier(IntEnum):
    """Who is told: the wearer, everybody at home, and those who are elsewhere as well."""

    REMINDER = 0
    HOME = 1
    REMOTE = 2


class Phase(Enum):
    """See the transition table of `edge.alerts.engine`."""

    QUIET = "quiet"
    BREACHED = "breached"
    RAISED = "raised"


class RuleState(Struct, frozen=True, omit_defaults=True):
    """One rule for one subject.

    Attributes:
        ordinal: how many alerts of it were raised so far; the newest has this number. It is never used again.
        step: the number of the next event of that alert.
        person: whom it is about; None for the gateway.
        since_s: since when the alert stands.
        breached_s: when the first of the readings was taken that are beyond the limit and follow each other.
        judged_s: when the newest of them was taken.
        value: what raised it, in the unit of its rule; None for rules without a value.
        worst: the worst value while it stands.
        grade: how bad the worst was, in steps of its rule.
        tier, tier_since_s: who has been told, and since when.
        told: whether anybody has been told since it was raised or snoozed. If not, it is muted.
        acknowledged: somebody took note; it ends with the next step for the worse.
        armed: False from an alert on until the danger has receded, for rules that alert once per approach.
        quiet_until_s: it is not raised before; of the pause after an alert, and of a warm-up.
    """

    phase: Phase = Phase.QUIET
    ordinal: int = 0
    step: int = 0
    person: str | None = None
    since_s: float | None = None
    breached_s: float | None = None
    judged_s: float | None = None
    value: float | None = None
    worst: float | None = None
    grade: int = 0
    tier: Tier = Tier.REMINDER
    tier_since_s: float | None = None
    told: bool = False
    acknowledged: bool = False
    armed: bool = True
    quiet_until_s: float | None = None


class Snooze(Struct, frozen=True):
    """A rule that rings for nobody for a while.

    Attributes:
        subject: None for all subjects.
        until_s: its end.
        unless: a value that breaks it, in the unit of the rule: one below it for what is too low, one above it for what
            is too high. None: any step for the worse breaks it.
    """

    rule: str
    subject: str | None
    until_s: float
    unless: float | None = None

    def covers(self, rule: str, subject: str) -> bool:
        return self.rule == rule and self.subject in (None, subject)


class AlertState(Struct, frozen=True):
    """All that the engine remembers. Rules that never had anything to remember are not in it.

    `rules` and `snoozes` are the same objects as before a step that changed nothing of them.
    """

    at_s: float = 0.0
    rules: Mapping[Key, RuleState] = msgspec.field(default_factory=dict)
    snoozes: tuple[Snooze, ...] = ()

    @property
    def standing(self) -> dict[Key, RuleState]:
        """The alerts that have not ended, muted ones as well."""
        return {key: rule for key, rule in self.rules.items() if rule.phase is Phase.RAISED}


class Event(Struct, frozen=True):
    """Something to be told.

    Its identity is `rule`, `subject`, `ordinal` and `step`: the same alert that is found once more after a crash has
    the same.

    Attributes:
        person: whom it is about, as the configuration names them; None for the gateway.
        tier: who is to be told.
        value, unit: of the newest reading, in UCUM; None for rules without a value, and where nothing fresh is known;
            infinite where the sensor says no more than that it is out of its range.
        urgent: nothing may hold it back.
        reason: why it was retracted, or what is uncertain or in trouble.
    """

    rule: str
    subject: str
    person: str | None
    what: What
    tier: Tier
    ordinal: int
    step: int
    at_s: float
    value: float | None
    unit: str | None
    urgent: bool
    reason: str | None = None


class _Stored(Struct, array_like=True):
    version: int
    at_s: float
    rules: list[tuple[str, str, RuleState]]
    snoozes: tuple[Snooze, ...]


_DECODER: Final = msgspec.msgpack.Decoder(_Stored)


def encode(state: AlertState) -> bytes:
    rows = [(rule, subject, one) for (rule, subject), one in state.rules.items()]
    return msgspec.msgpack.encode(_Stored(VERSION, state.at_s, rows, state.snoozes))


def decode(body: bytes) -> AlertState | None:
    """The state that `encode` was given; None if the bytes are of another version, or none of ours."""
    try:
        stored = _DECODER.decode(body)
    except msgspec.MsgspecError:
        return None
    if stored.version != VERSION:
        return None
    rules = {(rule, subject): one for rule, subject, one in stored.rules}
    return AlertState(stored.at_s, rules, stored.snoozes)
