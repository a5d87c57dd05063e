"""What a scenario file may say: faults, and what is expected (`wanted`), by their names. Data only, no behaviour.

Contract: a fault is a Struct whose tag is its name and whose fields are what the file says of it; so is an expectation.
`home.faults` says what happens, `verdict.expectations` what is then looked at, each with a map that lacks no name.
Times are seconds since the midnight at which the scenario begins.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct, field

from tools.rig.language.durations import Duration, Offset, Shift, Span
from tools.rig.language.wanted import Alert as Alert
from tools.rig.language.wanted import Complete as Complete
from tools.rig.language.wanted import Data as Data
from tools.rig.language.wanted import Expectation as Expectation
from tools.rig.language.wanted import Log as Log
from tools.rig.language.wanted import NoAlert as NoAlert
from tools.rig.language.wanted import NothingElse as NothingElse
from tools.rig.language.wanted import Status as Status

FOREIGN_SENSORS: Final = ("bumble_heart_rate",)
"""Sensors that others have written: what may be there instead of one of a kind."""


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


class PacketsCorrupted(Fault, frozen=True, kw_only=True, tag="packets corrupted"):
    """In each of the next packets of what the sensor measures one bit is wrong."""

    sensor: str
    packets: Annotated[int, Meta(ge=1, le=10_000)] = 1


class DropsMidReport(Fault, frozen=True, kw_only=True, tag="drops mid-report"):
    """The link of a CGM fades in the middle of the next report of stored records, after so many of them."""

    sensor: str
    after_records: Annotated[int, Meta(ge=0, le=10_000)] = field(name="after", default=3)


class StorageOverwritten(Fault, frozen=True, kw_only=True, tag="storage overwritten"):
    """A CGM keeps only so many of its newest records; nobody gets the others any more."""

    sensor: str
    keeps: Annotated[int, Meta(ge=0, le=10_000)] = 0


class SensorRebooted(Lasting, frozen=True, kw_only=True, tag="sensor rebooted"):
    """The sensor has no power for a while: it measures nothing and is not heard. It keeps what it had stored."""

    for_s: Duration = field(name="for", default=Span(5.0))
    sensor: str


class Interruption(Lasting, frozen=True, kw_only=True):
    """The gateway does not run for a while."""

    for_s: Duration = field(name="for", default=Span(1.0))


class GatewayStopped(Interruption, frozen=True, tag="gateway stopped"):
    """As by SIGTERM; then it is started again."""


class GatewayKilled(Interruption, frozen=True, tag="gateway killed"):
    """As by `kill -9`; then it is started again."""


class KilledAnywhere(Interruption, frozen=True, kw_only=True, tag="killed anywhere"):
    """As by `kill -9`, so many steps of the event loop after the time: between any two things that it awaits."""

    steps: Annotated[int, Meta(ge=0, le=100_000)]


class Rebooted(Interruption, frozen=True, kw_only=True, tag="rebooted"):
    """The machine's power fails; every link is lost; its clock may come back wrong."""

    for_s: Duration = field(name="for", default=Span(30.0))
    wrong_by_s: Shift = field(name="wrong_by", default=Offset(0.0))
    trusted: bool = True


class ConfigChanged(Interruption, frozen=True, kw_only=True, tag="config changed"):
    """The operator stops the gateway, writes into its file that a person gives or withdraws consent, and starts it."""

    person: str
    consent: bool


class NewCard(Interruption, frozen=True, kw_only=True, tag="new card"):
    """The machine's card is broken: the gateway begins on a new one, with its file, and nothing of what it had kept."""

    for_s: Duration = field(name="for", default=Span(900.0))


class ClockSet(Fault, frozen=True, kw_only=True, tag="clock"):
    """The machine's clock is set, wrong by so much or right; `trusted` is whether something vouches for it."""

    wrong_by_s: Shift = field(name="wrong_by", default=Offset(0.0))
    trusted: bool = True


class DiskFull(Lasting, frozen=True, tag="disk full"):
    """Nothing more can be written."""


class DiskSlow(Lasting, frozen=True, kw_only=True, tag="disk slow"):
    """Each commit takes up to so long."""

    takes_s: Duration = field(name="takes")


class DiskFails(Lasting, frozen=True, kw_only=True, tag="disk fails"):
    """Of what is to be written to the store, a share is refused, by chance."""

    share: Annotated[float, Meta(gt=0.0, le=1.0)]


class UpstreamAway(Lasting, frozen=True, tag="upstream away"):
    """The upstream's directory is gone, and nothing can be put in its place."""


class UpstreamSlow(Lasting, frozen=True, kw_only=True, tag="upstream slow"):
    """Each batch takes so long to be taken."""

    takes_s: Duration = field(name="takes")


class UpstreamForgetsToAnswer(Lasting, frozen=True, tag="upstream forgets to answer"):
    """Each batch is taken, and then said to have failed: what is sent again is there already."""


class UpstreamRejects(Lasting, frozen=True, tag="upstream rejects"):
    """No batch is taken, and none ever will be."""


class UpstreamLies(Lasting, frozen=True, tag="upstream lies"):
    """Each batch is said to be taken, and is thrown away. No gateway can do anything about that."""


class FeedAway(Lasting, frozen=True, kw_only=True, tag="feed away"):
    """The phone or server of a feed is not reached. It goes on collecting what its sensor measures."""

    sensor: str


class GlucoseMoves(Lasting, frozen=True, kw_only=True, tag="glucose moves"):
    """What a CGM measures is higher or lower than what is worn, by so many mg/dL within `ramp`, and comes back so.

    So does the body of its wearer, or the arm on which somebody lies.
    """

    sensor: str
    by_mg_dl: Annotated[float, Meta(ge=-400, le=400)] = field(name="by")
    ramp_s: Duration = field(name="ramp", default=Span(900.0))


class BatteryLow(Fault, frozen=True, kw_only=True, tag="battery low"):
    """The sensor's battery has so many percent left from now on, and its link fades."""

    sensor: str
    percent: Annotated[int, Meta(ge=0, le=100)]


class SensorReplaced(Fault, frozen=True, kw_only=True, tag="sensor replaced"):
    """A CGM is taken off, and a new one put on at the same transmitter."""

    sensor: str


class SensorSwapped(Fault, frozen=True, kw_only=True, tag="sensor swapped"):
    """Another unit answers under the sensor's address: it knows no bond, and a CGM has a session of its own."""

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


class BusStalled(SystemFault, frozen=True, tag="bus stalled"):
    """The D-Bus daemon is stopped by SIGSTOP, and goes on afterwards."""


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


class Drawn(Fault, frozen=True, kw_only=True, tag="drawn"):
    """Faults that the scenario's seed draws, with exponential times between them, until the end if not `until`.

    `faults` are the names of those that may come; if none is named, all that nothing of the scenario forbids. Sensors
    and durations are drawn, too: `longest` is the longest.
    """

    at_s: Duration = field(name="at", default=Span(0.0))
    every_s: Duration = field(name="every")
    longest_s: Duration = field(name="longest", default=Span(1800.0))
    until_s: Duration | None = field(name="until", default=None)
    faults: tuple[str, ...] = ()


def _by_name(*types: type[Struct]) -> dict[str, type[Struct]]:
    return {str(one.__struct_config__.tag): one for one in types}


FAULTS: Final = _by_name(
    OutOfReach,
    LinkDrops,
    DisconnectHangs,
    Silent,
    Garbage,
    PacketsCorrupted,
    DropsMidReport,
    StorageOverwritten,
    SensorRebooted,
    GatewayStopped,
    GatewayKilled,
    KilledAnywhere,
    Rebooted,
    NewCard,
    ConfigChanged,
    ClockSet,
    DiskFull,
    DiskSlow,
    DiskFails,
    UpstreamAway,
    UpstreamSlow,
    UpstreamForgetsToAnswer,
    UpstreamRejects,
    UpstreamLies,
    FeedAway,
    GlucoseMoves,
    BatteryLow,
    SensorReplaced,
    SensorSwapped,
    LinkLost,
    BondForgotten,
    AnswerLost,
    BluetoothdKilled,
    BluetoothdFrozen,
    BusKilled,
    BusStalled,
    PoweredOff,
    InterfaceDown,
    RadioBlocked,
    Unplugged,
    BondRemoved,
    Drawn,
)
OF_A_CGM: Final = (DropsMidReport, StorageOverwritten, SensorReplaced, GlucoseMoves)
"""Befalls what stores records of a session."""
EXPECTATIONS: Final = _by_name(Complete, Data, Status, Log, Alert, NoAlert, NothingElse)
