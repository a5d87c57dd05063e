"""The operator's file: TOML -> `Config`, every limit of the daemon with its default.

Contract: `load` returns a checked `Config` or raises one `ConfigError` that names file, key and remedy.
Nothing is read from the environment, and the file is not read again later. This module has no behaviour: what a limit
does is explained where it is used. `example.toml` beside this file is the operator's reference.
"""

import itertools
import os
import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from edge import config_faults, config_sensors
from edge.alerts.rules import RULES
from edge.config_radio import RadioUse
from edge.config_sensors import Passkey as Passkey
from edge.config_sensors import Secret
from edge.config_sensors import SensorConfig as SensorConfig
from edge.config_values import FhirId, Glucose, GlucoseRate, QuietHours, Seconds, Slug
from edge.errors import ConfigError

FILE_BYTES_MAX = 1 << 20

Bpm = Annotated[int, Meta(ge=20, le=250)]
GlucoseLimit = Annotated[Glucose, Meta(description='a value like "70 mg/dL" or "3.9 mmol/L"')]
GlucoseFall = Annotated[GlucoseRate, Meta(description='a rate like "2 mg/dL/min" or "0.11 mmol/L/min"')]
RuleNames = Annotated[
    tuple[str, ...], Meta(max_length=len(RULES), description='a list of rules, like ["not_worn"]')
]
Argv = Annotated[
    tuple[str, ...],
    Meta(max_length=64, description='a list like ["/usr/bin/aplay", "/etc/vitalgate/alarm.wav"]'),
]
Days = Annotated[int, Meta(ge=1, le=4000)]


def _ordered(section: Struct, *keys: str) -> None:
    for lower, upper in itertools.pairwise(keys):
        if getattr(section, lower) >= getattr(section, upper):
            raise ValueError(f"{lower} is not below {upper}; change one of them")


def _distinct(section: str, rows: Sequence["Person | SensorConfig"], *fields: str) -> None:
    for field, (one, other) in itertools.product(fields, itertools.combinations(rows, 2)):
        if getattr(one, field) == getattr(other, field):
            raise ValueError(f"{section}: {one.id} and {other.id} have the same {field}; give each its own")


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # whoever opens it says what the matter is


class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway itself: its opaque id upstream, its state directory, its time zone.

    `trust_clock`: its clock is right although nothing synchronises it, such as a battery-backed clock set by hand.
    """

    id: FhirId
    state_dir: Path
    timezone: str = "UTC"
    trust_clock: bool = False

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as fault:
            raise ValueError("timezone is not an IANA name; use one like Europe/Berlin") from fault


class Consent(Struct, frozen=True, forbid_unknown_fields=True):
    """Which classes of a person's data may leave the gateway, until the end of the day `valid_until`."""

    heart_summaries: bool = False
    glucose_summaries: bool = False
    glucose_readings: bool = False
    valid_until: date | None = None


class Person(Struct, frozen=True, forbid_unknown_fields=True):
    """Who wears sensors: a local name, and the opaque key given at provisioning; never a real name."""

    id: Slug
    pseudonym: FhirId
    consent: Consent = Consent()


class Upstream(Struct, frozen=True, forbid_unknown_fields=True):
    """Where batches go, how often, how large they are and how patiently they are retried."""

    directory: Path
    interval_s: Seconds = 900.0
    batch_items_max: Annotated[int, Meta(ge=1, le=1000)] = 100
    retry_s_min: Seconds = 1.0
    retry_s_max: Seconds = 900.0

    def __post_init__(self) -> None:
        _ordered(self, "retry_s_min", "retry_s_max")


class StoreFiles(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the key of the encrypted store lies, if not beside it."""

    key_file: Path | None = None


# No other file that the gateway makes in its state directory ends like this.
KEY_SUFFIX: Final = ".key"
# In the state directory.
DATABASE_NAME: Final = "store.db"
KEY_NAME: Final = f"store{KEY_SUFFIX}"


class Alerts(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the alerts, whose rules are in `edge.alerts.rules`. A value at its limit is still allowed."""

    glucose_urgent_low: GlucoseLimit = Glucose(54)
    glucose_urgent_low_soon: GlucoseLimit = Glucose(55)
    glucose_low: GlucoseLimit = Glucose(70)
    glucose_high: GlucoseLimit = Glucose(250)
    glucose_high_persistent_s: Seconds = 7200.0
    glucose_fall: GlucoseFall = GlucoseRate(2.0)
    glucose_fall_below: GlucoseLimit = Glucose(120)
    heart_rate_low_bpm: Bpm = 40
    heart_rate_high_bpm: Bpm = 130
    heart_rate_hold_s: Seconds = 60.0
    heart_rate_unsure_hold_s: Seconds = 600.0
    heart_rate_high_persistent_s: Seconds = 7200.0
    pause_s: Annotated[float, Meta(ge=2.0, le=10.0)] = 3.0
    irregular_rhythm_s: Seconds = 1800.0
    irregular_rhythm_unsure_s: Seconds = 3600.0
    # What must last does so by readings no further apart than this. Straps tell one a second, CGMs one in 5 minutes.
    heart_silence_s: Annotated[float, Meta(ge=30.0, le=86400.0)] = 600.0
    cgm_silence_s: Annotated[float, Meta(ge=660.0, le=86400.0)] = 1200.0
    not_worn_s: Seconds = 1800.0
    sensor_ending_s: Seconds = 86400.0
    sensor_ending_soon_s: Seconds = 7200.0
    battery_low_pct: Annotated[int, Meta(ge=1, le=90)] = 20
    sync_stuck_s: Annotated[float, Meta(ge=60.0, le=2_592_000.0)] = 86400.0
    clock_untrusted_s: Seconds = 3600.0
    disk_full_s: Seconds = 60.0
    refractory_s: Seconds = 1800.0
    escalate_s: Seconds = 900.0
    urgent_escalate_s: Seconds = 300.0
    quiet_hours: Annotated[QuietHours, Meta(description='hours like "22:00-07:00"')] | None = None
    off: RuleNames = ()

    def __post_init__(self) -> None:
        _ordered(self, "heart_rate_low_bpm", "heart_rate_high_bpm")
        _ordered(self, "glucose_urgent_low", "glucose_low", "glucose_high")
        _ordered(self, "glucose_urgent_low_soon", "glucose_low")
        _ordered(self, "sensor_ending_soon_s", "sensor_ending_s")
        for name in self.off:
            if name not in RULES:
                raise ValueError(f"off: there is no rule {name!r}; use one of: {', '.join(RULES)}")


class Delivery(Struct, frozen=True, forbid_unknown_fields=True):
    """How alerts are told beside the log and the socket: `command` gets each as JSON on its standard input."""

    command: Argv = ()
    command_timeout_s: Seconds = 10.0

    def __post_init__(self) -> None:
        if self.command and not self.command[0].startswith("/"):
            raise ValueError("command does not begin with a whole path; name the program like /usr/bin/aplay")
        if any("\0" in part for part in self.command):
            raise ValueError("command holds a character that no command can hold; remove it")


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """Limits on memory, on waiting times and on how long data are kept."""

    queue_notifications_max: Annotated[int, Meta(ge=16, le=1_000_000)] = 4096
    chunk_s: Annotated[float, Meta(ge=0.1, le=60.0)] = 60.0
    connect_timeout_s: Seconds = 20.0
    gatt_timeout_s: Seconds = 10.0
    backoff_s_min: Seconds = 1.0
    backoff_s_max: Seconds = 120.0
    summary_grace_s: Seconds = 90.0
    racp_reconcile_s: Seconds = 3600.0
    raw_retention_days: Days = 14
    retention_days: Days = 400
    delivered_retention_days: Days = 30

    def __post_init__(self) -> None:
        _ordered(self, "backoff_s_min", "backoff_s_max")


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    gateway: Gateway
    people: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=16)]
    sensors: Annotated[tuple[SensorConfig, ...], Meta(min_length=1, max_length=32)]
    upstream: Upstream
    store: StoreFiles = StoreFiles()
    alerts: Alerts = Alerts()
    delivery: Delivery = Delivery()
    radio: RadioUse = RadioUse()
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        _distinct("sensors", self.sensors, "id")
        config_sensors.check_devices(self.sensors)
        _distinct("people", self.people, "id", "pseudonym")
        config_sensors.check_names(self.sensors, [person.id for person in self.people])
        self._check_key_file()

    def _check_key_file(self) -> None:
        """The key must not take the place of something else of the gateway."""
        key_file = Path(os.path.realpath(self.key_file))
        taken = [Path(os.path.realpath(path)) for path in (self.gateway.state_dir, self.upstream.directory)]
        if _is_directory(key_file) or any(path.is_relative_to(key_file) for path in taken):
            raise ValueError("store.key_file is a directory; name a file in it")
        if key_file.parent == taken[0] and key_file.suffix != KEY_SUFFIX:
            raise ValueError(
                "store.key_file has a name that the gateway itself may use in gateway.state_dir; "
                f"end it in {KEY_SUFFIX}, or put it into another directory"
            )

    def person(self, person_id: str) -> Person:
        return next(person for person in self.people if person.id == person_id)

    @property
    def database(self) -> Path:
        return self.gateway.state_dir / DATABASE_NAME

    @property
    def key_file(self) -> Path:
        return self.store.key_file or self.gateway.state_dir / KEY_NAME


def load(path: Path) -> Config:
    """Read and check the file; relative paths in it start at its own directory.

    Raises:
        ConfigError: anything wrong with the file or its content.
    """
    return parse(_content(path, "a readable configuration file"), path)


def parse(content: bytes, path: Path) -> Config:
    """Check the content of the file that lies at `path`.

    Raises:
        ConfigError: as `load`.
    """
    document = read_toml(content, path)
    try:
        return msgspec.convert(document, Config, dec_hook=partial(_special, path.parent.absolute()))
    except msgspec.ValidationError as fault:
        raise config_faults.not_valid(path, document, Config, fault) from fault


class _Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """A file with nothing but rules."""

    alerts: Alerts


def load_alerts(path: Path) -> Alerts:
    """Read and check a file that holds nothing but `[alerts]`.

    Raises:
        ConfigError: as `load`.
    """
    document = read_toml(_content(path, "a readable file with [alerts]"), path)
    try:
        return msgspec.convert(document, _Rules, dec_hook=partial(_special, path.parent.absolute())).alerts
    except msgspec.ValidationError as fault:
        raise config_faults.not_valid(path, document, _Rules, fault) from fault


def _content(path: Path, wanted: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as fault:
        reason = (fault.strerror if isinstance(fault, OSError) else None) or str(fault)
        raise ConfigError(str(path), reason, f"give {wanted}") from fault


def read_toml(content: bytes, path: Path) -> dict[str, Any]:
    """The document in a file's content.

    Raises:
        ConfigError: the content is too long, or no TOML.
    """
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(str(path), f"longer than {FILE_BYTES_MAX} bytes", "give a configuration file")
    try:
        text = content.decode("utf-8-sig")  # Windows puts a byte order mark before it
    except UnicodeDecodeError as fault:
        raise config_faults.undecodable(path, content, fault) from fault
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        raise config_faults.not_toml(path, text, fault) from fault


def _special(base: Path, kind: type, value: Any) -> Any:
    return _READERS[kind](value) if kind in _READERS else _path(base, value)


def _passkey(value: Any) -> Passkey:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 999_999
    if not is_number and not (isinstance(value, str) and re.fullmatch("[0-9]{6}", value)):
        raise ValueError('not a passkey; give the six digits on the sensor, like "012345"')
    return Passkey(value)


_READERS: Final[dict[type, Callable[[Any], object]]] = {
    Passkey: _passkey,
    Secret: config_sensors.read_secret,
    Glucose: Glucose.read,
    GlucoseRate: GlucoseRate.read,
    QuietHours: QuietHours.read,
}


def _path(base: Path, value: Any) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("not a path; give a file or directory name in quotes")
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", value):
        raise ValueError("a network address is not a path; name a directory of this machine")
    try:
        return base / Path(value).expanduser()
    except RuntimeError as fault:
        raise ValueError("nobody knows the home directory that ~ stands for; write the whole path") from fault
