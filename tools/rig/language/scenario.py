"""A scenario: who lives in a home and what they wear, what goes wrong, and what must be true. Read from TOML.

Contract: `load` and `parse` give a checked `Scenario` or raise one `ConfigError` with file, place, cause and remedy. A
scenario that expects nothing is refused, and so is a name that means nothing in it. Unless it says otherwise, its
bundles go out at once. Python tests make a `Scenario` themselves, or take the `home_of` one person.

It begins at midnight UTC of `MIDNIGHT`; bodies begin then, and the gateway was switched on `LEAD_S` earlier. Everything
random follows from `seed`.

Not here: what may be said (`vocabulary`), how it is played (`play`).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta, Struct, field, structs

from edge import config, config_faults
from edge.config import Config
from edge.errors import ConfigError
from edge.kinds import KINDS, Reach, Security
from hw_sim.capture.heard import Device
from tools.rig.language import captured, status_fields
from tools.rig.language.durations import Duration, Offset, Shift, Span, seconds
from tools.rig.language.gateway_file import merged, to_toml
from tools.rig.language.vocabulary import (
    EXPECTATIONS,
    FAULTS,
    FOREIGN_SENSORS,
    OF_A_CGM,
    Alert,
    Complete,
    ConfigChanged,
    Data,
    Expectation,
    Fault,
    FeedAway,
    Interruption,
    Lasting,
    NoAlert,
    Status,
    UpstreamAway,
    UpstreamLies,
    UpstreamRejects,
)

MIDNIGHT: Final = datetime(2026, 3, 2, tzinfo=UTC)
MIDNIGHT_UTC_S: Final = round(MIDNIGHT.timestamp())
LEAD_S: Final = 60.0
# Whose alerts are those of the gateway itself.
GATEWAY: Final = "gateway"


class _Rows(NamedTuple):
    """A list of sections of the file, each of which says by `what` it is which of the known ones."""

    name: str
    known: Mapping[str, type[Struct]]


ROWS: Final = {"faults": _Rows("fault", FAULTS), "expect": _Rows("expectation", EXPECTATIONS)}


class Person(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who wears sensors, under a pseudonym; whether all of it may leave the gateway."""

    id: str
    pseudonym: str | None = None
    consent: bool = True

    def section(self) -> dict[str, Any]:
        kinds = ("heart_summaries", "glucose_summaries", "glucose_readings")
        pseudonym = self.pseudonym or f"patient-{self.id}"
        return {"id": self.id, "pseudonym": pseudonym, "consent": dict.fromkeys(kinds, self.consent)}


class Sensor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sensor as the gateway's file has it, and who wears it: the first person, if nobody is named.

    Attributes:
        passkey: what the file says; `label` is what the sensor has, if that is another. Without one it is paired all
            the same.
        really: the kind of sensor that is there, if it is another, or one that others have written.
        capture: a file that was captured of a real one, which is played; seen from where the scenario lies.
        captured_address: which device of that file, if more than one would do.
        handles: what handles are that the file does not discover, like "0x0012" = "2A37".
        address: of a feed, where its phone or server is; they are simulated, too, and all tell of one wearer.
    """

    id: str
    kind: str
    person: str | None = None
    address: str | None = None
    passkey: str | None = None
    label: Annotated[str, Meta(pattern=r"^\d{6}$", description="the six digits on the sensor")] | None = None
    really: str | None = None
    user: int | None = None
    consent_code: int | None = None
    capture: str | None = None
    captured_address: str | None = None
    handles: dict[str, str] = {}

    def captured(self, where: str = "sensors") -> Device | None:
        """What plays it, if that was captured. Raises ConfigError."""
        if self.capture is None:
            return None
        kind = self.really or self.kind
        return captured.device(Path(self.capture), kind, self.captured_address, self.handles, where)

    @property
    def is_feed(self) -> bool:
        """Whether it is no sensor on the air, but somebody who tells of one."""
        return self.kind in KINDS and KINDS[self.kind].reach is Reach.FEED

    def section(self, number: int, wearer: str) -> dict[str, Any]:
        on_the_air = f"F0:00:00:00:00:{number:02X}"
        address = self.address or (f"http://192.168.1.{number}:17580" if self.is_feed else on_the_air)
        person = self.person or wearer
        section: dict[str, Any] = {"id": self.id, "kind": self.kind, "address": address, "person": person}
        said = {"passkey": self.passkey, "user": self.user, "consent_code": self.consent_code}
        section |= {key: value for key, value in said.items() if value is not None}
        needs_one = self.kind in KINDS and KINDS[self.kind].least_security is Security.AUTHENTICATED
        return section | ({"accept_just_works": True} if needs_one and self.passkey is None else {})


class Clock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The machine's clock when it is switched on."""

    wrong_by_s: Shift = field(name="wrong_by", default=Offset(0.0))
    trusted: bool = True


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A home, what happens in it, and what is expected.

    Attributes:
        about: what is shown.
        lasts_s: how long bodies live; every fault is over then.
        settles_s: how long the gateway is given afterwards to fetch and send what is left; if "0s", it need not be
            done.
        bodies: simulated bodies, all different, instead of recordings that all wear.
        heart_from_s: where in the recording of the heart its wearers begin.
        history_s: how long the CGMs have been worn, and storing, already.
        neighbours: kinds of sensors that others wear in radio range, and the gateway's file does not name.
        adapters: how many the machine has; more than one for the real Bluetooth alone.
        experimental: whether the machine's BlueZ offers what it calls experimental; a simulated one always does.
        gateway: sections of the gateway's own file, laid over those that follow from people and sensors.
    """

    about: str = ""
    lasts_s: Duration = field(name="lasts")
    settles_s: Duration = field(name="settles", default=Span(7200.0))
    seed: int = 0
    bodies: bool = False
    heart_from_s: Duration = field(name="heart_from", default=Span(0.0))
    history_s: Duration = field(name="history", default=Span(0.0))
    clock: Clock = Clock()
    people: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=16)] = (Person(id="jo"),)
    sensors: Annotated[tuple[Sensor, ...], Meta(min_length=1, max_length=32)]
    neighbours: Annotated[tuple[str, ...], Meta(max_length=32)] = ()
    adapters: Annotated[int, Meta(ge=1, le=2)] = 1
    experimental: bool = False
    gateway: dict[str, Any] = {}
    faults: tuple[Fault, ...] = ()
    expect: tuple[Expectation, ...] = ()

    def gateway_text(self) -> str:
        """The gateway's file."""
        base = {
            "gateway": {"id": "gateway", "state_dir": "state", "timezone": "UTC"},
            "people": [person.section() for person in self.people],
            "sensors": [sensor.section(n, self.people[0].id) for n, sensor in enumerate(self.sensors, 1)],
            "upstream": {"directory": "bundles"},
        }
        return to_toml(merged(base, self.gateway))

    def configure(self, directory: Path) -> Config:
        """Write the gateway's file into a directory, and check it."""
        path = directory / "gateway.toml"
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(self.gateway_text())
        return config.load(path)

    def wearer(self, sensor_id: str) -> str:
        """Who wears a sensor at the beginning."""
        return next(sensor.person or self.people[0].id for sensor in self.sensors if sensor.id == sensor_id)

    def changed(self, change: ConfigChanged) -> "Scenario":
        """As the operator has changed the gateway's file."""
        people = [
            structs.replace(one, consent=change.consent) if one.id == change.person else one
            for one in self.people
        ]
        return structs.replace(self, people=tuple(people))


STRAP: Final = Sensor(id="strap", kind="heart_rate", address="F0:00:00:00:00:01")
CGM: Final = Sensor(id="cgm", kind="cgm", address="F0:00:00:00:00:02")
AT_ONCE: Final[dict[str, Any]] = {"upstream": {"interval_s": 1.0}}


def home_of(*sensors: Sensor, hours: float = 1.0, **said: Any) -> Scenario:
    """A scenario for Python tests: one person, whose bundles go out at once."""
    said["gateway"] = merged(AT_ONCE, said.get("gateway", {}))
    return Scenario(lasts_s=Span(3600.0 * hours), sensors=sensors, **said)


def load(path: Path) -> Scenario:
    """Read and check a file.

    Raises:
        ConfigError: anything wrong with the file or its content.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise ConfigError(str(path), fault.strerror or str(fault), "give a readable scenario file") from fault
    return parse(content, path)


def parse(content: bytes, path: Path) -> Scenario:
    """Check the content of the file at `path`.

    Raises:
        ConfigError: as `load`.
    """
    document = config.read_toml(content, path)
    rest = merged({"gateway": AT_ONCE}, {key: value for key, value in document.items() if key not in ROWS})
    scenario: Scenario = _converted(rest, Scenario, str(path))
    lists = {key: tuple(_rows(document.get(key, []), key, path)) for key in ROWS}
    scenario = structs.replace(scenario, **lists)
    scenario = structs.replace(scenario, sensors=tuple(_placed(one, path) for one in scenario.sensors))
    if not scenario.expect:
        known = ", ".join(EXPECTATIONS)
        raise ConfigError(
            f"{path}: expect", "the scenario expects nothing", f"add [[expect]] with what = one of: {known}"
        )
    _check_names(scenario, path)
    _check_times(scenario, path)
    _check_sense(scenario, path)
    config.parse(scenario.gateway_text().encode(), Path(f"{path} (the gateway's file)"))
    return scenario


def _placed(sensor: Sensor, path: Path) -> Sensor:
    """A sensor whose capture is named from where the scenario lies."""
    if sensor.capture is None:
        return sensor
    return structs.replace(sensor, capture=str(path.parent / sensor.capture))


def _converted(document: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(document, kind, dec_hook=seconds)
    except msgspec.ValidationError as fault:
        raise config_faults.not_valid(where, document, kind, fault) from fault


def _rows(rows: Any, key: str, path: Path) -> Iterator[Any]:
    name, known = ROWS[key]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(
            f"{path}: {key}", "it is not in the right form", f"give a list of sections [[{key}]]"
        )
    for n, row in enumerate(rows):
        where, what = f"{path}: {key}[{n}]", row.get("what")
        if not isinstance(what, str) or what not in known:
            said = "it does not say what" if what is None else f"{what!r} is no {name}"
            near = get_close_matches(str(what), known, n=1, cutoff=0.75)
            all_known = f"use one of those in `vitalgate rig schema`: {', '.join(known)}"
            raise ConfigError(where, said, f"use {near[0]!r}" if near else all_known)
        yield _converted(row, known[what], where)


def _check_names(scenario: Scenario, path: Path) -> None:
    """Who and what faults and expectations speak of is there."""
    sensors = {sensor.id: sensor.kind for sensor in scenario.sensors}
    played = {sensor.id for sensor in scenario.sensors if sensor.capture is not None}
    people = {person.id for person in scenario.people}
    for n, sensor in enumerate(scenario.sensors):
        really = [] if sensor.really is None else [sensor.really]
        _require(really, (*KINDS, *FOREIGN_SENSORS), "kind of sensor", f"{path}: sensors[{n}]")
        if sensor.kind in KINDS:
            sensor.captured(f"{path}: sensors[{n}]")
    on_the_air = [kind for kind, row in KINDS.items() if row.reach is not Reach.FEED]
    _require(scenario.neighbours, on_the_air, "kind of sensor on the air", f"{path}: neighbours")
    for key, rows in (("faults", scenario.faults), ("expect", scenario.expect)):
        for n, row in enumerate(rows):
            where = f"{path}: {key}[{n}]"
            named = [getattr(row, "sensor", None), *getattr(row, "sensors", ())]
            also = [GATEWAY] if isinstance(row, Alert | NoAlert) else []
            _require([name for name in named if name is not None], [*sensors, *also], "sensor", where)
            _require([row.person] if isinstance(row, ConfigChanged) else [], people, "person", where)
            _require_kinds(row, sensors, played, where)
            if isinstance(row, Status):
                for name in row.fields:
                    status_fields.check(name, sensors, f"{where}: fields")


def _require_kinds(row: Struct, sensors: Mapping[str, str], played: Collection[str], where: str) -> None:
    """What befalls a CGM befalls nothing else; a feed is away, and is not on the air."""
    named = getattr(row, "sensor", None)
    if not isinstance(row, Fault) or named is None:
        return
    if isinstance(row, OF_A_CGM) and (sensors[named] != "cgm" or named in played):
        raise ConfigError(where, f"{named} is no simulated CGM", "name one that stores what it measures")
    is_feed = KINDS[sensors[named]].reach is Reach.FEED if sensors[named] in KINDS else False
    if is_feed != isinstance(row, FeedAway):
        said = "is a feed, which is not on the air" if is_feed else "is no feed"
        remedy = 'let a feed be away by "feed away"' if is_feed else "name a feed"
        raise ConfigError(where, f"{named} {said}", remedy)


def _require(names: Sequence[str], known: Collection[str], what: str, where: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                where, f"there is no {what} {name!r}", f"use one of: {', '.join(sorted(known))}"
            )


def _check_times(scenario: Scenario, path: Path) -> None:
    """Everything happens before the end, and the gateway's lives do not overlap."""
    if scenario.lasts_s <= 0:
        raise ConfigError(f"{path}: lasts", "nothing can happen in no time", 'write a duration like "15min"')
    for n, fault in enumerate(scenario.faults):
        if fault.end_s > scenario.lasts_s:
            raise ConfigError(
                f"{path}: faults[{n}]", "it goes on after the end", "end it earlier, or let it last longer"
            )
    for n, row in enumerate(scenario.expect):
        if isinstance(row, Status) and row.at_s is not None and row.at_s > scenario.lasts_s:
            raise ConfigError(f"{path}: expect[{n}]", "it is after the end", "leave `at` out for the end")
        if isinstance(row, Alert) and row.after_s > scenario.lasts_s + scenario.settles_s:
            raise ConfigError(
                f"{path}: expect[{n}]",
                "it is after the end",
                "name an earlier `after`, or let it last longer",
            )
        if isinstance(row, Data) and row.after_s + row.within_s > scenario.lasts_s:
            raise ConfigError(
                f"{path}: expect[{n}]", "it goes on after the end", "let the scenario last longer"
            )
    in_order = sorted(scenario.faults, key=lambda fault: fault.at_s)
    for away, again in pairwise(fault for fault in in_order if isinstance(fault, UpstreamAway)):
        if again.at_s <= away.end_s:
            what = f"the upstream is away already at {again.at_s:g} s"
            raise ConfigError(f"{path}: faults", what, "let one be over before the other begins")
    lives = [fault for fault in in_order if isinstance(fault, Interruption)]
    for one, other in pairwise(lives):
        if other.at_s <= one.end_s:
            what = f"the gateway does not run at {other.at_s:g} s, where something else is to happen to it"
            raise ConfigError(f"{path}: faults", what, "let one be over before the other begins")


def _check_sense(scenario: Scenario, path: Path) -> None:
    """Nothing is expected that cannot be, and no fault ends another of its kind."""
    alerts = [one for one in scenario.expect if isinstance(one, Alert)]
    for n, row in enumerate(scenario.expect):
        where = f"{path}: expect[{n}]"
        if isinstance(row, Alert) and row.before_s is not None and row.before_s <= row.after_s:
            raise ConfigError(where, "`before` is not after `after`", "give a span of time")
        if isinstance(row, NoAlert) and any(
            row.alert in (None, one.alert) and row.sensor in (None, one.sensor) for one in alerts
        ):
            raise ConfigError(where, "another expectation wants this alert", "name an alert, or a sensor")
        lossy = [one for one in scenario.faults if isinstance(one, UpstreamLies | UpstreamRejects)]
        if isinstance(row, Complete) and lossy:
            what = f"nothing is complete after {lossy[0].__struct_config__.tag!r}"
            raise ConfigError(where, what, "expect what the status, or the log, says of it")
    lasting = sorted((one for one in scenario.faults if isinstance(one, Lasting)), key=lambda one: one.at_s)
    for one, other in combinations(lasting, 2):
        is_same = type(one) is type(other) and getattr(one, "sensor", None) == getattr(other, "sensor", None)
        if is_same and other.at_s < one.end_s and not isinstance(one, Interruption | UpstreamAway):
            what = f"{one.__struct_config__.tag!r} has not ended when it begins again at {other.at_s:g} s"
            raise ConfigError(f"{path}: faults", what, "let one be over before the other begins")
