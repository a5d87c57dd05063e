"""`vitalgate status`: of a running gateway by its socket, of a stopped one from its store; the same document."""

import os
import pwd
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edge import config, identity, workers
from edge.clock import SystemClock
from edge.errors import ConfigError, StoreUnavailable
from edge.local import control, survey
from edge.local.status import AlertStatus, RouteStatus, SensorStatus, StatusDocument, SummaryStatus, Value
from edge.lock import is_locked
from edge.store.door import Store

UNITS = {"/min": "bpm"}
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
        return _asked(checked) or _looked_at(checked)
    except PermissionError as fault:
        raise _closed(checked.gateway.state_dir, config_file) from fault


def _asked(checked: config.Config) -> StatusDocument | None:
    state_dir = checked.gateway.state_dir
    try:
        answer = control.ask(state_dir, {"do": "status"})
    except TimeoutError as fault:
        raise StoreUnavailable(f"a gateway runs on {state_dir} but does not answer") from fault
    if answer is None:
        if is_locked(state_dir):
            raise StoreUnavailable(
                f"a gateway runs on {state_dir} but does not answer yet; ask again in a minute"
            )
        return None
    try:
        return msgspec.json.decode(answer, type=StatusDocument)
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
        now = survey.moment(SystemClock(vouched=checked.gateway.trust_clock), store.tables)
        return survey.stored(checked, now, store.tables, simulated=store.simulated)
    finally:
        store.close()


def _closed(state_dir: Path, config_file: Path) -> ConfigError:
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
        command = f"sudo -u {shlex.quote(name)} vitalgate status --config {shlex.quote(str(config_file))}"
        remedy = f"ask as that user: {command}"
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
        text = "none" if value.value is None else f"{value.value:.0f} {UNITS.get(value.unit, value.unit)}"
    return text if value.counts else f"({text})"


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


def sensor_lines(sensor: SensorStatus) -> Iterator[str]:
    """What there is to say of a sensor beside the table."""
    if sensor.trouble is not None:
        age = "" if sensor.trouble.age_s is None else f" ({age_text(sensor.trouble.age_s)} ago)"
        yield f"[yellow]{sensor.id}: {escape(sensor.trouble.cause)}; {escape(sensor.trouble.remedy)}{age}[/]"
    for value in sensor.values:
        if value.not_counted is not None:
            yield f"{sensor.id}: the newest value of {value.measurement} does not count: {escape(value.not_counted)}"
    if sensor.session is not None:
        if sensor.session.warm_up_left_s:
            yield f"{sensor.id}: warming up for another {age_text(sensor.session.warm_up_left_s)}"
        if sensor.session.missing:
            yield f"{sensor.id}: about {sensor.session.missing} records that it may hold are still to be asked for"
        for part in sensor.session.given_up_newest[-SHOWN:]:
            minutes = (
                f"minute {part.first}" if part.first == part.last else f"minutes {part.first} to {part.last}"
            )
            yield f"{sensor.id}: {minutes} of the session given up after {part.tries} tries: {escape(part.reason)}"
        if len(sensor.session.given_up_newest) > SHOWN:
            yield f"{sensor.id}: these and earlier ones make {sensor.session.given_up_min} minutes given up"
    odd = {"undecodable": sensor.undecodable, "dropped": sensor.dropped, "odd": sensor.oddities}
    counted = ", ".join(f"{count} {name}" for name, count in odd.items() if count)
    if counted:
        yield f"{sensor.id}: packets: {counted}"


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
    """An alert in one line; a reading off the sensor's scale has no number."""
    raised = "" if alert.age_s is None else f", raised {age_text(alert.age_s)} ago"
    if alert.kind.endswith("_silence"):
        return f"{alert.kind} on {alert.sensor} (no data for {age_text(alert.value)}{raised})"
    value = "off the scale" if alert.value is None else f"{alert.value:g}"
    return f"{alert.kind} on {alert.sensor} ({value}{raised})"


def when_text(summary: SummaryStatus) -> str:
    """From when to when a summary is, by this machine's time zone."""
    start, end = (
        datetime.fromtimestamp(utc_s, UTC).astimezone() for utc_s in (summary.start_utc_s, summary.end_utc_s)
    )
    return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M}"


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
    lines += [line for route in said.deliveries for line in route_lines(route)]
    lines += [
        f"{summary.kind} of {summary.sensor}, {when_text(summary)}: "
        + ", ".join(f"{name} {value:.1f}" for name, value in summary.body.items() if isinstance(value, float))
        for summary in said.summaries
    ]
    lines += [f"[bold red]alert[/] {alert_text(alert)}" for alert in said.alerts]
    if said.store.trouble is not None:
        lines.append(f"[bold red]nothing can be stored:[/] {escape(said.store.trouble)}")
    if said.store.not_summarised:
        lines.append(f"[yellow]{said.store.not_summarised} periods cannot be summarised; the log says why[/]")
    lines += [f"[yellow]a damaged database is set aside as {path}[/]" for path in said.store.set_aside]
    for line in lines:
        console.print(line, soft_wrap=True)
