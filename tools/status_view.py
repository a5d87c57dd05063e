"""`vitalgate status`: of a running gateway by its socket, of a stopped one from its store; the same document."""

import os
import pwd
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge import config, identity, workers
from edge.alerts.rules import RULES
from edge.clock import SystemClock
from edge.errors import ConfigError, StoreUnavailable
from edge.kinds import KINDS
from edge.local import control, survey
from edge.local.status import (
    AlertStatus,
    RadioStatus,
    RouteStatus,
    SensorStatus,
    SessionStatus,
    SnoozeStatus,
    StatusDocument,
    Value,
)
from edge.lock import is_locked
from edge.radio.pairing.security import Made
from edge.sensors.cgm_ledger import Loss
from edge.store.door import Store
from tools.summary_text import summary_text
from tools.terminal import own_command

T = TypeVar("T")

UNITS = {"/min": "bpm", "Cel": "°C", "mm[Hg]": "mmHg"}
# How many digits behind the point say something.
DIGITS = {"Cel": 1, "kg": 1, "m": 2}
# Of what was given up the newest ranges are named.
SHOWN = 3
AGES = ((86_400, "d"), (3600, "h"), (60, "min"))


def document(config_file: Path) -> StatusDocument:
    """The status document of the gateway that this configuration describes.

    Raises:
        ConfigError: a wrong configuration, nothing has ever run with it, or it belongs to another user.
        StoreUnavailable: a gateway runs and does not answer, or the store cannot be read.
        StoreCorrupt: the store is damaged.
    """
    checked = config.load(config_file)
    try:
        found = asked(checked, config_file, {"do": "status"}, StatusDocument)
        return found or _looked_at(checked)
    except PermissionError as fault:
        raise closed(checked.gateway.state_dir, config_file) from fault


def asked(
    checked: config.Config,
    config_file: Path,
    request: Mapping[str, Any],
    form: type[T],
    timeout_s: float | None = None,
) -> T | None:
    """What the running gateway answers to a request; None if none runs.

    Raises:
        StoreUnavailable: it refuses, does not answer, or not in this form.
        ConfigError: it belongs to another user.
    """
    state_dir = checked.gateway.state_dir
    try:
        answer = control.ask(state_dir, request, timeout_s or control.ANSWER_TIMEOUT_S)
    except TimeoutError as fault:
        raise StoreUnavailable(
            f"a gateway runs on {state_dir} but does not answer; ask again in a minute; if it never does, restart it"
        ) from fault
    except PermissionError as fault:
        raise closed(state_dir, config_file) from fault
    if answer is None:
        if is_locked(state_dir):
            raise StoreUnavailable(
                f"a gateway runs on {state_dir} but does not answer yet; ask again in a minute"
            )
        return None
    try:
        return msgspec.json.decode(answer, type=form)
    except msgspec.ValidationError as fault:
        refusal = msgspec.json.decode(answer)
        if isinstance(refusal, dict) and "error" in refusal:
            raise StoreUnavailable("{cause}; {remedy}".format(**refusal["error"])) from fault
        raise StoreUnavailable("the gateway that runs is of another version than this command") from fault


def _looked_at(checked: config.Config) -> StatusDocument:
    """What the store of a stopped gateway holds."""
    state_dir = checked.gateway.state_dir
    if not checked.database.exists():
        raise ConfigError("gateway.state_dir", f"{state_dir} holds no store", "run the gateway first")
    if not os.access(state_dir, os.W_OK):  # the database makes files beside it while it is open
        raise PermissionError
    secret = identity.load(checked.key_file, checked.database)
    store = Store(checked.database, secret, simulated=None, workers=workers.inline())
    try:
        # A simulated home is dated by this machine's clock, whatever that is worth.
        clock = SystemClock(vouched=checked.gateway.trust_clock or bool(store.simulated))
        now = survey.moment(clock, store.tables)
        return survey.stored(checked, now, store.tables, simulated=store.simulated)
    finally:
        store.close()


def closed(state_dir: Path, config_file: Path) -> ConfigError:
    """What keeps this user out, and who is not kept out."""
    found = next(path for path in (state_dir, *state_dir.parents) if _owner(path) is not None)
    owner = _owner(found)
    if os.statvfs(found).f_flag & os.ST_RDONLY:
        what, remedy = "is on a read-only file system", "mount it for writing, or ask while the gateway runs"
    elif owner == os.geteuid():
        what, remedy = "is read-only", f"chmod u+rwx {shlex.quote(str(found))}, or ask while the gateway runs"
    else:
        name = _name(owner or 0)
        what = f"belongs to the user {name}"
        command = f"{own_command()} status --config {shlex.quote(str(config_file))}"
        remedy = f"ask as that user: sudo -u {shlex.quote(name)} {command}"
    return ConfigError("gateway.state_dir", f"{found} {what}", remedy)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except OSError:
        return None


def sensor_table(sensors: list[SensorStatus]) -> Table:
    """One line a sensor: how it is, the newest value and its age, what was received and what was not."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("sensor", "person", "state", "newest", "age", "battery", "received", "drops"):
        table.add_column(name, no_wrap=True)
    for sensor in sensors:
        value = sensor.values[0] if sensor.values else None
        table.add_row(
            sensor.id,
            sensor.person,
            sensor.phase,
            value_text(value),
            age_text(value.age_s if value else None),
            "-" if sensor.battery_pct is None else f"{sensor.battery_pct} %",
            received_text(sensor),
            "-" if sensor.losses is None else str(sensor.losses),
        )
    return table


def value_text(value: Value | None) -> str:
    """A value with its unit, or where beyond the sensor's scale it lies; in brackets if it does not count."""
    if value is None:
        return "-"
    if value.beyond is not None:
        text = f"{value.beyond} the scale"
    else:
        text = "none" if value.value is None else number_text(value.value, value.unit)
    return text if value.counts else f"({text})"


def number_text(number: float, unit: str) -> str:
    """A number with its unit, as people write them."""
    return f"{number:.{DIGITS.get(unit, 0)}f} {UNITS.get(unit, unit)}"


def age_text(age_s: float | None) -> str:
    """How long ago, in the unit that a person would choose."""
    if age_s is None:
        return "-"
    for unit_s, unit in AGES:
        if age_s >= 2 * unit_s:
            return f"{age_s / unit_s:.0f} {unit}"
    return f"{age_s:.0f} s"


def received_text(sensor: SensorStatus) -> str:
    if sensor.session is not None:
        count = sum(sensor.session.readings.values())
        return f"{count} reading{'s' * (count != 1)}"
    return "-" if sensor.packets is None else f"{sensor.packets} packets"


def pairing_lines(sensor: SensorStatus) -> Iterator[str]:
    """What there is to say of how a sensor is paired."""
    pairing = sensor.pairing
    if pairing is None:
        return
    if pairing.awaits_passkey:
        yield f"{sensor.id}: it waits for its passkey"
    if pairing.shown_passkey is not None:
        yield f"{sensor.id}: enter {pairing.shown_passkey} on it"
    if pairing.made == Made.JUST_WORKS.value and pairing.accepts_just_works:
        yield f"{sensor.id}: paired without a passkey, as accept_just_works says"
    if pairing.rest_s is not None:
        yield f"{sensor.id}: it is tried again in {age_text(pairing.rest_s)}"
    if pairing.renewed_today:
        yield f"{sensor.id}: paired anew by itself within a day: {pairing.renewed_today}"


def sensor_lines(sensor: SensorStatus) -> Iterator[str]:
    """What there is to say of a sensor beside the table."""
    if sensor.trouble is not None:
        age = "" if sensor.trouble.age_s is None else f" ({age_text(sensor.trouble.age_s)} ago)"
        yield f"[yellow]{sensor.id}: {escape(sensor.trouble.cause)}; {escape(sensor.trouble.remedy)}{age}[/]"
    yield from map(escape, pairing_lines(sensor))
    if len(sensor.values) > 1 and not KINDS[sensor.kind].stays:
        others = (f"{value.measurement.replace('_', ' ')} {value_text(value)}" for value in sensor.values[1:])
        yield f"{sensor.id}: {', '.join(others)}"
    for value in sensor.values:
        if value.not_counted is not None:
            yield f"{sensor.id}: the newest value of {value.measurement} does not count: {escape(value.not_counted)}"
    if sensor.session is not None:
        if sensor.session.warm_up_left_s:
            yield f"{sensor.id}: warming up for another {age_text(sensor.session.warm_up_left_s)}"
        if sensor.session.missing:
            yield f"{sensor.id}: about {sensor.session.missing} records that it may hold are still to be asked for"
        yield from _given_up_lines(sensor.id, sensor.session)
    for name, said in (sensor.streams or {}).items():
        if said != "streaming":
            yield f"{sensor.id}: no {name}: {escape(said)}"
    odd = {"undecodable": sensor.undecodable, "dropped": sensor.dropped, "odd": sensor.oddities}
    counted = ", ".join(f"{count} {name}" for name, count in odd.items() if count)
    if counted:
        yield f"{sensor.id}: packets: {counted}"


def _given_up_lines(sensor_id: str, session: SessionStatus) -> Iterator[str]:
    """What will not be asked for again. Where a sensor says that it has nothing, nothing is lost: that is one line."""
    lost = [part for part in session.given_up_newest if part.reason != Loss.NO_RECORDS]
    for part in lost[-SHOWN:]:
        minutes = (
            f"minute {part.first}" if part.first == part.last else f"minutes {part.first} to {part.last}"
        )
        tried = f" after {part.tries} tries" if part.tries else ""
        yield f"{sensor_id}: {minutes} of the session given up{tried}: {escape(part.reason)}"
    if session.given_up_min:
        yield (
            f"{sensor_id}: {session.given_up_min} minutes of the session have no record and will get none; "
            "before its first reading that is no loss"
        )


def radio_lines(radio: RadioStatus | None) -> Iterator[str]:
    """What keeps the machine's Bluetooth from being used, and what was done to mend it."""
    if radio is None:
        return
    if radio.trouble is not None:
        yield f"[yellow]Bluetooth: {escape(radio.trouble.cause)}; {escape(radio.trouble.remedy)}[/]"
    for adapter in radio.adapters:
        most = f" of {adapter.connections_max}" if adapter.connections_max is not None else ""
        noun = "connection" if adapter.connections == 1 and not most else "connections"
        off = "" if adapter.powered else ", off"
        yield f"adapter {adapter.name}: {adapter.connections}{most} {noun}{off}"
    for rung in radio.recovery:
        failed = f"; that failed: {rung.failure}" if rung.failure else ""
        done = f"{rung.rung.replace('_', ' ')} {rung.times} times, the last time {age_text(rung.age_s)} ago"
        yield f"recovery: {done}: {escape(rung.reason + failed)}"


def route_lines(route: RouteStatus) -> Iterator[str]:
    """What there is to say of one way upstream."""
    if route.pending is None:
        return
    waiting = f", the oldest for {age_text(route.oldest_age_s)}" if route.oldest_age_s is not None else ""
    yield (
        f"upstream by {route.route}: {route.items} items sent, {route.pending} waiting{waiting}, "
        f"{route.inflight} on their way, {route.parked} parked"
    )
    if route.trouble is not None:
        yield f"[yellow]upstream by {route.route}: {escape(route.trouble)}[/]"
    for held in route.held:
        yield f"upstream by {route.route}: {held.items} of those that wait are held: {escape(held.reason)}"
    for reason in route.parked_reasons:
        yield f"upstream by {route.route}: parked: {escape(reason)}"


def alert_text(alert: AlertStatus) -> str:
    """An alert in one line, with today's value; a reading off the sensor's scale has no number."""
    parts = [
        alert_value(alert),
        "" if alert.age_s is None else f"since {age_text(alert.age_s)}",
        alert.reason or "",
    ]
    if alert.acknowledged:
        parts.append("acknowledged")
    if alert.snoozed_left_s is not None:
        parts.append(f"snoozed for another {age_text(alert.snoozed_left_s)}")
    elif not alert.told and not alert.acknowledged:
        parts.append("not told to anybody yet")
    return f"{alert.kind} on {alert.sensor} ({', '.join(filter(None, parts))})"


def alert_value(alert: AlertStatus) -> str:
    """The value of now; of an alert of what is ahead, the value that is expected."""
    if alert.kind.endswith("_silence"):
        return f"no data for {age_text(alert.value)}"
    if alert.beyond is not None:
        return f"{alert.beyond} the scale"
    if alert.value is None:
        return "nothing fresh is known" if alert.unit else ""
    word = "expected" if alert.kind.endswith(("_ahead", "_soon")) else "now"
    number = f"{alert.value:.{0 if alert.unit == 'mg/dL' else 1}f}".removesuffix(".0")
    return f"{word} {number} {UNITS.get(alert.unit or '', alert.unit or '')}".rstrip()


def snooze_text(snooze: SnoozeStatus) -> str:
    """A snooze in one line."""
    of = "all sensors" if snooze.sensor is None else snooze.sensor
    unless = "it gets worse"
    if snooze.unless is not None:
        rule = RULES.get(snooze.kind)
        unit = UNITS.get(rule.unit or "", rule.unit or "") if rule else ""
        verb = {"below": "falls below", "above": "rises above"}.get((rule and rule.side) or "", "passes")
        unless = f"it {verb} {snooze.unless:g} {unit}".rstrip()
    return f"{snooze.kind} of {of} is snoozed for another {age_text(snooze.left_s)}, unless {unless}"


def show(said: StatusDocument, console: Console | None = None) -> None:
    """The document as a person reads it."""
    console = console or Console()
    state = "running" if said.running else "stopped"
    console.print(f"[bold]{said.gateway}[/] {state}" + (" [yellow]simulated[/]" if said.simulated else ""))
    console.print(sensor_table(said.sensors))
    lines = [line for sensor in said.sensors for line in sensor_lines(sensor)]
    if not said.clock.trusted:
        lines.append(
            "[yellow]nothing vouches for this machine's clock now, so ages are unknown and what comes is not dated; "
            "connect it to a time server, or set trust_clock if the clock is right[/]"
        )
    lines += radio_lines(said.radio)
    lines += [line for route in said.deliveries for line in route_lines(route)]
    lines += map(summary_text, said.summaries)
    lines += [f"[bold red]alert[/] {escape(alert_text(alert))}" for alert in said.alerts]
    lines += [escape(snooze_text(snooze)) for snooze in said.snoozes]
    if said.store.trouble is not None:
        lines.append(f"[bold red]nothing can be stored:[/] {escape(said.store.trouble)}")
    if said.store.not_summarised:
        lines.append(f"[yellow]{said.store.not_summarised} periods cannot be summarised; the log says why[/]")
    lines += [f"[yellow]a damaged database is set aside as {path}[/]" for path in said.store.set_aside]
    for line in lines:
        console.print(line, soft_wrap=True)
