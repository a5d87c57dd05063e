"""A sensor's section of the operator's file: its keys, what they must be, and whom they may name.

Contract: pure. A ValueError says what contradicts what. `edge.config` reads the file.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from edge.alerts.state import GATEWAY
from edge.config_values import Seconds, Slug
from edge.kinds import KINDS, PAIRABLE, FoundBy, Kind, Procedure, Reach
from protocols.user_data import CONSENT_CODE_MAX, USER_INDEX_MAX

SECRET_LENGTH_MAX: Final = 256
SERVERS: Final = r"\A(nightscout|nightscout v3|xdrip|juggluco)\Z"
SERVER: Final = 'one of "nightscout", "nightscout v3", "xdrip", "juggluco"'
URL: Final = re.compile(
    r"https?://([A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/%\-]*)?"
)


# What `address` must look like, by what tells a sensor of its kind from others.
ADDRESS: Final = f"{FoundBy.ADDRESS.value}, or what other kinds have in its place"
ADDRESS_FORMS: Final = {
    FoundBy.ADDRESS: re.compile("[0-9A-F]{2}(:[0-9A-F]{2}){5}"),
    FoundBy.URL: URL,
    FoundBy.SERIAL: re.compile("([0-9A-Za-z ]{1,20}-)?[0-9A-Za-z]{6,16}"),
}
# Beside a server it names a user, or asks something. There people put their secrets.
WITH_MORE: Final = re.compile(r"https?://([^/?]*@|[^?]*\?)")


def _of_feeds(kind: Kind) -> bool:
    return kind.reach is Reach.FEED


# Keys that are for some kinds only, and for which. On a sensor of another kind they would do nothing, unnoticed, and
# what was meant by them would be missing elsewhere. (`accept_just_works` may stand anywhere: it takes nothing away.)
ONLY_FOR: Final[Mapping[str, Callable[[Kind], bool]]] = {
    "passkey": lambda kind: kind in PAIRABLE,
    "streams": lambda kind: bool(kind.streams),
    "user": lambda kind: kind.procedure is Procedure.SPOT,
    "consent_code": lambda kind: kind.procedure is Procedure.SPOT,
    "secret": _of_feeds,
    "server": _of_feeds,
    "allow_plain_http": _of_feeds,
    "heart_from": _of_feeds,
    "same_as": lambda kind: "glucose" in kind.measurements,
    "another_sensor": lambda kind: "glucose" in kind.measurements,
}
# What a key that names another sensor takes from it.
TAKEN: Final = {"same_as": "glucose", "heart_from": "heart_rate"}
StreamNames = Annotated[tuple[str, ...], Meta(max_length=8, description='a list like ["ecg", "acc"]')]


class Secret(str):
    """A secret; nothing shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


class Passkey(int):
    """The six digits on a sensor. Those that begin with 0 can only be written in quotes."""


def read_secret(value: Any) -> Secret:
    if not isinstance(value, str) or not 1 <= len(value) <= SECRET_LENGTH_MAX or not value.isprintable():
        raise ValueError(f"not a secret; give a text in quotes, of at most {SECRET_LENGTH_MAX} characters")
    return Secret(value)


def serial_of(name: str) -> str:
    """The serial number at the end of a name like "LinX-22222DXJ9C"; a bare serial number is itself."""
    return name.rpartition("-")[2].strip().upper()


def is_public(host: str) -> bool:
    """Whether a host is an IP address of the internet; of a name nobody knows before it was looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_global


class SensorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """A sensor, and who wears it.

    `address`: what tells the device from others, in the form that `kinds.FoundBy` says of its kind.
    `accept_just_works`: it may be paired without a passkey although its kind demands one.
    `stale_s`: a connected sensor that is silent for so long is reconnected; by default its kind says how long.
    `streams`: what it is to stream beside what all of its kind send; by default all that its kind can.
    `user`: which of the device's users the person is; what is another user's does not count.
    `consent_code`: with it the device tells that user's data, where it wants one.
    The last keys are of feeds (`edge.feeds`), and of glucose that comes by two ways (`edge.sensors.sources`).
    """

    id: Slug
    kind: Annotated[str, Meta(description=f"one of: {', '.join(KINDS)}")]
    address: Annotated[str, Meta(min_length=1, max_length=512, description=ADDRESS)]
    person: Annotated[str, Meta(description="the id of one of the [[people]], in quotes")]
    passkey: Annotated[Passkey, Meta(description='the six digits on the sensor, like "012345"')] | None = None
    accept_just_works: bool = False
    stale_s: Seconds | None = None
    streams: StreamNames | None = None
    user: Annotated[int, Meta(ge=0, le=USER_INDEX_MAX)] | None = None
    consent_code: Annotated[int, Meta(ge=0, le=CONSENT_CODE_MAX)] | None = None
    secret: Annotated[Secret, Meta(description="a text in quotes, of at most 256 characters")] | None = None
    server: Annotated[str, Meta(pattern=SERVERS, description=SERVER)] | None = None
    allow_plain_http: bool = False
    heart_from: Slug | None = None
    same_as: Slug | None = None
    another_sensor: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise ValueError(f"kind {self.kind!r} is none that this gateway knows; use one of: {known}")
        if self.id == GATEWAY:
            raise ValueError(f"id {GATEWAY!r} stands for the gateway itself; use another")
        kind = KINDS[self.kind]
        msgspec.structs.force_setattr(self, "address", _address(self.address, kind.found_by))
        _check_keys(self, kind)
        if _of_feeds(kind):
            _check_feed(self)

    @property
    def device(self) -> str:
        """What is the same for two sensors that are the same device."""
        match KINDS[self.kind].found_by:
            case FoundBy.SERIAL:
                return serial_of(self.address)
            case FoundBy.URL:
                return self.address.rstrip("/")
        return self.address


def _address(typed: str, found_by: FoundBy) -> str:
    """An address in the form that its kind has; ValueError if it has another."""
    address = typed.upper() if found_by is FoundBy.ADDRESS else typed
    if ADDRESS_FORMS[found_by].fullmatch(address):
        return address
    # People put secrets into the addresses of servers: nothing of such a text is shown.
    shown = f" {typed!r}" if found_by is FoundBy.ADDRESS and "/" not in typed else ""
    if found_by is FoundBy.URL and WITH_MORE.match(address):
        raise ValueError(
            "address holds more than the server: a name, a password or a question; give the part before `?` without "
            "them, and the password or token as `secret`"
        )
    others = [
        kind
        for kind, row in KINDS.items()
        if row.found_by is not found_by and ADDRESS_FORMS[row.found_by].fullmatch(typed)
    ]
    hint = f"; for what stands there, use the kind {' or '.join(others)}"
    is_clear = len(others) == 1 and ("-" in typed or "/" in typed)
    raise ValueError(f"address{shown} does not fit the kind; give {found_by.value}{hint if is_clear else ''}")


def _check_keys(sensor: SensorConfig, kind: Kind) -> None:
    """ValueError if a key is not for sensors of this kind, or if two contradict each other."""
    for key, is_for in ONLY_FOR.items():
        if getattr(sensor, key) not in (None, False) and not is_for(kind):
            fitting = ", ".join(name for name, row in KINDS.items() if is_for(row))
            raise ValueError(
                f"{key} is not for the kind {sensor.kind!r}, but for: {fitting}; remove it there"
            )
    for name in sensor.streams or ():
        if name not in kind.streams:
            raise ValueError(
                f"streams: there is no {name!r}; those of its kind are: {', '.join(kind.streams)}"
            )
    if sensor.consent_code is not None and sensor.user is None:
        raise ValueError(
            "consent_code says nothing without user; give the number of the user on the device, too"
        )
    if sensor.same_as and sensor.another_sensor:
        raise ValueError("same_as and another_sensor contradict each other; remove one of them")


def _check_feed(sensor: SensorConfig) -> None:
    """ValueError if a feed cannot be asked, or must not be, in the way that its keys say."""
    try:
        parts = urlsplit(sensor.address)
        parts.port  # noqa: B018 - it raises
    except ValueError as fault:
        raise ValueError("address has no port that there is; use one up to 65535") from fault
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError as fault:
        raise ValueError("address has no host that there can be; look at its dots") from fault
    is_plain = parts.scheme == "http" and not sensor.allow_plain_http
    if is_plain and is_public(parts.hostname or ""):
        raise ValueError("address is public and has no https; use https, or set allow_plain_http")
    if sensor.heart_from and not is_plain:
        raise ValueError("heart_from is for a phone in this network; use http, and not allow_plain_http")


def check_devices(sensors: Sequence[SensorConfig]) -> None:
    """ValueError if two sections are about one device."""
    for one, other in combinations(sensors, 2):
        if one.device != other.device:
            continue
        found = f"sensors: {one.id} and {other.id} have the same address"
        if one.person == other.person:
            raise ValueError(f"{found}; give each its own")
        raise ValueError(
            f"{found}, but are of {one.person} and {other.person}. The data of a device go to one person: keep one of "
            "the sections, and if several people use the device, set user to the number that its person has on it; "
            "what is another user's then does not count"
        )


def check_names(sensors: Sequence[SensorConfig], people: Sequence[str]) -> None:
    """ValueError if a sensor names a person who is not there, or a sensor that is not of the same wearer."""
    named = {sensor.id: sensor for sensor in sensors}
    for sensor in sensors:
        if sensor.person not in people:
            raise ValueError(
                f"sensors: {sensor.id} is worn by {sensor.person!r}, who is not among the people; add [[people]] "
                f"with that id, or use one of: {', '.join(sorted(people))}"
            )
        for key, measurement in TAKEN.items():
            if (name := getattr(sensor, key)) is None:
                continue
            other = named.get(name)
            if other is None or other is sensor or other.person != sensor.person:
                raise ValueError(
                    f"sensors: {key} of {sensor.id} is {name!r}; use the id of another sensor that"
                    f" {sensor.person} wears"
                )
            if measurement not in KINDS[other.kind].measurements:
                raise ValueError(
                    f"sensors: {key} of {sensor.id} is {name!r}, which does not measure"
                    f" {measurement.replace('_', ' ')}; use the id of a sensor that does"
                )
