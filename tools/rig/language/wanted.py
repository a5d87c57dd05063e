"""What a scenario may expect: expectations by their names, to which `vocabulary` gives faults. Data only, no behaviour.

Contract: an expectation is a Struct whose tag is its name and whose fields are what the file says of it.
`verdict.expectations` says what is looked at. Times are seconds since the midnight at which the scenario begins.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from edge.alerts.rules import RULES
from tools.rig.language.durations import Duration, Span


def _check_alert(kind: str | None) -> None:
    if kind is not None and kind not in RULES:
        raise ValueError(f"{kind!r} is no alert; use one of: {', '.join(RULES)}")


class Expectation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    """Something that must be true."""


class Complete(Expectation, frozen=True, kw_only=True, tag="complete"):
    """At the end, all that these sensors measured (or all sensors) is upstream exactly once, and nothing else is."""

    sensors: tuple[str, ...] = ()


class Status(Expectation, frozen=True, kw_only=True, tag="status"):
    """The status document says so, at a time, or at the end.

    A field is named by its path, like "sensors.cgm.phase" or "store.trouble". Its value is equal, or compared, like
    "< 600"; "null" is what is unknown or not there.
    """

    at_s: Duration | None = field(name="at", default=None)
    fields: Annotated[dict[str, Any], Meta(min_length=1)]


class Data(Expectation, frozen=True, kw_only=True, tag="data"):
    """Each of these sensors (of all, if none is named) brings data within a time after a moment.

    A sensor that is linked and has nothing to send until then brings the first thing that it does send.
    """

    after_s: Duration = field(name="after", default=Span(0.0))
    within_s: Duration = field(name="within")
    sensors: tuple[str, ...] = ()


class Log(Expectation, frozen=True, kw_only=True, tag="log"):
    """So many lines of the log contain these words."""

    says: Annotated[str, Meta(min_length=1)]
    times: Annotated[int, Meta(ge=0, le=100_000)] = 1


class Alert(Expectation, frozen=True, kw_only=True, tag="alert"):
    """An alert of this kind was raised, after a time and before another."""

    alert: str
    sensor: str
    after_s: Duration = field(name="after", default=Span(0.0))
    before_s: Duration | None = field(name="before", default=None)

    def __post_init__(self) -> None:
        _check_alert(self.alert)


class NoAlert(Expectation, frozen=True, kw_only=True, tag="no alert"):
    """No alert of any sensor was raised, or none of this kind, or none of this sensor."""

    alert: str | None = None
    sensor: str | None = None

    def __post_init__(self) -> None:
        _check_alert(self.alert)


class NothingElse(Expectation, frozen=True, tag="nothing else"):
    """The log has no warning and no error that no other expectation names, and no traceback."""
