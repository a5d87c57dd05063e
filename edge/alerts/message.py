"""What a channel is given to tell: one event of an alert, as a document for other programs.

Contract: it holds health data. It goes to people and to programs that the operator chose, and into no log. Its id stays
the same however often it is told: who has seen it shows it once.
"""

from math import isfinite
from typing import Final

from msgspec import Struct

from edge.alerts.state import GATEWAY, Tier, What
from edge.store.alerts import AlertEvent

TEST: Final = "test"
"""The rule of a message that says nothing, but that the channel works."""


WORDS: Final = {
    What.RAISED: "",
    What.WORSE: "worse: ",
    What.FOLLOW_UP: "still: ",
    What.ESCALATED: "not acknowledged: ",
    What.OVER: "over: ",
    What.RETRACTED: "void: ",
    What.ACKNOWLEDGED: "acknowledged: ",
}
UNITS: Final = {"/min": "bpm"}


class Message(Struct, frozen=True):
    """An event of an alert.

    Attributes:
        id: of the event.
        rule: a name of `edge.alerts.rules`, or `TEST`.
        sensor: its name in the configuration, or `GATEWAY`.
        person: whom it is about, as the configuration names them; None for the gateway.
        what, tier: what happened, and who is to be told; see `edge.alerts.state`.
        ordinal: tells the alerts of a rule and sensor apart; all events of one have the same.
        value, unit: of the newest reading; None if there is none. `beyond` is "above" or "below" where the sensor can
            only say that it is off its scale; then the value is None.
        urgent: nothing may hold it back.
        reason: what is uncertain, what is in trouble, or why it is retracted.
        utc_s: when it happened; None while no trusted clock says so.
        text: all of it in one line, for people.
    """

    id: str
    rule: str
    sensor: str
    person: str | None
    what: str
    tier: str
    ordinal: int
    value: float | None
    beyond: str | None
    unit: str | None
    urgent: bool
    reason: str | None
    utc_s: float | None
    text: str

    @property
    def alert(self) -> tuple[str, str, int]:
        """What all messages about the same alert have in common."""
        return self.rule, self.sensor, self.ordinal


def message(event: AlertEvent, sensor: str | None, person: str | None, utc_s: float | None) -> Message:
    """The message about an event of a sensor and a person of these names."""
    value, beyond = number(event.value)
    whose = f"{sensor or GATEWAY}" + (f" ({person})" if person else "")
    return Message(
        id=str(event.id),
        rule=event.rule,
        sensor=sensor or GATEWAY,
        person=person,
        what=event.what,
        tier=Tier(event.tier).name.lower(),
        ordinal=event.ordinal,
        value=value,
        beyond=beyond,
        unit=event.unit,
        urgent=event.urgent,
        reason=event.reason,
        utc_s=utc_s,
        text=_text(event, whose, _value_text(value, beyond, event.unit)),
    )


def _text(event: AlertEvent, whose: str, value: str) -> str:
    urgent = "Urgent: " if event.urgent else ""
    parts = [
        f"{urgent}{WORDS[What(event.what)]}{event.rule.replace('_', ' ')}, {whose}",
        value,
        event.reason or "",
    ]
    return ": ".join(filter(None, parts))


def _value_text(value: float | None, beyond: str | None, unit: str | None) -> str:
    if beyond is not None:
        return f"{beyond} the scale"
    if value is None:
        return ""
    return f"{value:.{0 if value >= 10 else 1}f} {UNITS.get(unit or '', unit or '')}".rstrip()


def number(value: float | None) -> tuple[float | None, str | None]:
    """A value as JSON can say it: beyond the sensor's scale it has no number, but a side."""
    if value is None or isfinite(value):
        return value, None
    return None, "above" if value > 0 else "below"
