"""What a scenario file may say: durations, faults and expectations, by their names. Data only, no behaviour.

Contract: a fault is a Struct whose tag is its name and whose fields are what the file says of it; so is an expectation.
`home.faults` says what happens, `verdict.expectations` what is then looked at, each with a map that lacks no name.
Times are seconds since the midnight at which the scenario begins.
"""

import re
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from edge.alerts.rules import RULES

UNITS_S: Final = {"d": 86_400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
_PARTS: Final = "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in UNITS_S)
_TEXT: Final = re.compile(rf"(-?)(?=\d){_PARTS}", re.ASCII)
FOREIGN_SENSORS: Final = ("bumble_heart_rate",)
"""Sensors that others have written: what may be there instead of one of a kind."""
YEARS_S_MAX: Final = 100 * 365 * 86_400.0


class Span(float):
    """Seconds that are written as "90s", "15min", "1h30min" or "3d"; not negative."""


class Offset(float):
    """As a `Span`, before or after."""


def seconds(kind: type, text: object) -> Span | Offset:
    """What a duration in the file means. Raises ValueError with cause and remedy."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None or (found[1] and kind is Span):
        raise ValueError('not a duration; write it like "90s", "15min", "2h", "1h30min" or "3d"')
    size_s = sum(
        float(count or 0) * unit_s for count, unit_s in zip(found.groups()[1:], UNITS_S.values(), strict=True)
    )
    if size_s > YEARS_S_MAX:
        raise ValueError("longer than a hundred years; write a shorter duration")
    return Offset(-size_s if found[1] else size_s) if kind is Offset else Span(size_s)


Duration = Annotated[Span, Meta(description='a duration like "90s", "15min", "1h30min" or "3d"')]
Shift = Annotated[Offset, Meta(description='a duration like "1h30min", or "-400d" for too early')]


def _check_alert(kind: str | None) -> None:
    if kind is not None and kind not in RULES:
        raise ValueError(f"{kind!r} is no alert; use one of: {', '.join(RULES)}")


class Fault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="what"):
    """Something that goes wrong, at a time."""

    at_s: Duration = field(name="at")

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s


class Lasting(Fault, frozen=True, kw_only=True):
    """Something that is wrong for a while."""

    for_s: Duration = field(name="for")

    @property
    def end_s(self) -> float:
        return self.at_s + self.for_s


class OutOfReach(Lasting, frozen=True, kw_only=True, tag="out of reach"):
    """The sensor is not heard, and hears nothing."""

    sensor: str


class LinkDrops(Fault, frozen=True, kw_only=True, tag="link drops"):
    """Sensors go out of reach and come back, at random by the scenario's seed, until the end if not `until`.

    `every` and `for` are means of exponential times.
    """

    at_s: Duration = field(name="at", default=Span(0.0))
    every_s: Duration = field(name="every")
    for_s: Duration = field(name="for")
    until_s: Duration | None = field(name="until", default=None)
    sensors: tuple[str, ...] = ()


class DisconnectHangs(Lasting, frozen=True, kw_only=True, tag="disconnect hangs"):
    """Whoever hangs up on the sensor gets no answer from the machine's Bluetooth."""

    sensor: str


class Silent(Lasting, frozen=True, kw_only=True, tag="silent"):
    """The sensor stays connected and sends nothing."""

    sensor: str


class Garbage(Fault, frozen=True, kw_only=True, tag="garbage"):
    """The sensor sends packets that make no sense."""

    sensor: str
    packets: Annotated[int, Meta(ge=1, le=10_000)] = 1


class Interruption(Lasting, frozen=True, kw_only=True):
    """The gateway does not run for a while."""

    for_s: Duration = field(name="for", default=Span(1.0))


class GatewayStopped(Interruption, frozen=True, tag="gateway stopped"):
    """As by SIGTERM; then it is started again."""


class GatewayKilled(Interruption, frozen=True, tag="gateway killed"):
    """As by `kill -9`; then it is started again."""


class Rebooted(Interruption, frozen=True, kw_only=True, tag="rebooted"):
    """The machine's power fails; every link is lost; its clock may come back wrong."""

    for_s: Duration = field(name="for", default=Span(30.0))
    wrong_by_s: Shift = field(name="wrong_by", default=Offset(0.0))
    trusted: bool = True


class ConfigChanged(Interruption, frozen=True, kw_only=True, tag="config changed"):
    """The operator stops the gateway, writes into its file that a person gives or withdraws consent, and starts it."""

    person: str
    consent: bool


class ClockSet(Fault, frozen=True, kw_only=True, tag="clock"):
    """The machine's clock is set, wrong by so much or right; `trusted` is whether something vouches for it."""

    wrong_by_s: Shift = field(name="wrong_by", default=Offset(0.0))
    trusted: bool = True


class DiskFull(Lasting, frozen=True, tag="disk full"):
    """Nothing more can be written."""


class DiskSlow(Lasting, frozen=True, kw_only=True, tag="disk slow"):
    """Each commit takes up to so long."""

    takes_s: Duration = field(name="takes")


class UpstreamAway(Lasting, frozen=True, tag="upstream away"):
    """The upstream's directory is gone, and nothing can be put in its place."""


class SensorReplaced(Fault, frozen=True, kw_only=True, tag="sensor replaced"):
    """A CGM is taken off, and a new one put on at the same transmitter."""

    sensor: str


class LinkLost(Fault, frozen=True, kw_only=True, tag="link lost"):
    """The links of these sensors (of all, if none is named) fade, and they can be heard again at once."""

    sensors: tuple[str, ...] = ()


class BondForgotten(Fault, frozen=True, kw_only=True, tag="bond forgotten"):
    """The sensor has lost its keys, and its link fades."""

    sensor: str


class AnswerLost(Fault, frozen=True, kw_only=True, tag="answer lost"):
    """The next answer of the sensor to a request of the gateway never comes."""

    sensor: str


class SystemFault(Lasting, frozen=True, kw_only=True):
    """What the machine's own Bluetooth suffers, from its programs down to its adapters. For the real one alone.

    One that begins at "0s" has begun before the gateway is started.
    """


class BluetoothdKilled(SystemFault, frozen=True, kw_only=True, tag="bluetoothd killed"):
    """As by `kill -9`; then it is started again."""

    for_s: Duration = field(name="for", default=Span(2.0))


class BluetoothdFrozen(SystemFault, frozen=True, tag="bluetoothd frozen"):
    """It is stopped by SIGSTOP, and goes on afterwards."""


class BusKilled(SystemFault, frozen=True, kw_only=True, tag="bus killed"):
    """The D-Bus daemon, as by `kill -9`; then it is started again, and bluetoothd, which has ended with it."""

    for_s: Duration = field(name="for", default=Span(3.0))


class PoweredOff(SystemFault, frozen=True, tag="powered off"):
    """`bluetoothctl power off`, and on again."""


class InterfaceDown(SystemFault, frozen=True, tag="interface down"):
    """`hciconfig down`, and up again."""


class RadioBlocked(SystemFault, frozen=True, tag="radio blocked"):
    """`rfkill block`, and unblock."""


class Unplugged(SystemFault, frozen=True, kw_only=True, tag="unplugged"):
    """An adapter has no power and is not there; then it is plugged in again. Adapters count from 0."""

    adapter: Annotated[int, Meta(ge=0, le=3)] = 0


class BondRemoved(SystemFault, frozen=True, kw_only=True, tag="bond removed"):
    """The machine forgets the sensor and its keys, as by `bluetoothctl remove`."""

    for_s: Duration = field(name="for", default=Span(0.0))
    sensor: str


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


def _by_name(*types: type[Struct]) -> dict[str, type[Struct]]:
    return {str(one.__struct_config__.tag): one for one in types}


FAULTS: Final = _by_name(
    OutOfReach,
    LinkDrops,
    DisconnectHangs,
    Silent,
    Garbage,
    GatewayStopped,
    GatewayKilled,
    Rebooted,
    ConfigChanged,
    ClockSet,
    DiskFull,
    DiskSlow,
    UpstreamAway,
    SensorReplaced,
    LinkLost,
    BondForgotten,
    AnswerLost,
    BluetoothdKilled,
    BluetoothdFrozen,
    BusKilled,
    PoweredOff,
    InterfaceDown,
    RadioBlocked,
    Unplugged,
    BondRemoved,
)
EXPECTATIONS: Final = _by_name(Complete, Data, Status, Log, Alert, NoAlert, NothingElse)
