"""`vitalgate status`: of a running gateway by its socket, of a stopped one from its store."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from edge import config, identity, status
from edge.clock import SystemClock
from edge.errors import ConfigError, StoreUnavailable
from edge.lock import lock
from edge.outbox import Outbox
from edge.store import Store


def document(config_file: Path) -> dict[str, Any]:
    """The status document; `running` says which of the two it is.

    Raises:
        ConfigError: a wrong configuration, or nothing has ever run with it.
        StoreUnavailable: a gateway holds the store and does not answer.
    """
    checked = config.load(config_file)
    state_dir = checked.gateway.state_dir
    if not checked.database.exists():
        raise ConfigError("gateway.state_dir", f"{state_dir} holds no store", "run the gateway first")
    answer = asyncio.run(status.ask(state_dir))
    if answer is not None:
        return answer
    try:
        held = lock(state_dir)
    except ConfigError as error:
        raise StoreUnavailable(f"a gateway runs on {state_dir} but does not answer") from error
    try:
        return stopped(checked)
    finally:
        os.close(held)


def stopped(checked: config.Config) -> dict[str, Any]:
    secret = identity.load(checked.key_file, checked.database)
    store = Store(checked.database, secret, simulated=None)
    try:
        return {"running": False, **status.stored(checked, store, Outbox(store, SystemClock()))}
    finally:
        store.close()


def sensor_table(sensors: Iterable[dict[str, Any]]) -> Table:
    """One line a sensor: how it is, the newest value and its age, what was received and what was not."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("sensor", "state", "now", "age", "battery", "received", "bad", "losses"):
        table.add_column(name, no_wrap=True)
    for sensor in sensors:
        is_strap = sensor["kind"] == "heart_rate"
        value = sensor["heart_rate_bpm"] if is_strap else sensor["glucose_mg_dl"]
        table.add_row(
            sensor["id"],
            sensor["phase"],
            "-" if value is None else f"{value:.0f} {'bpm' if is_strap else 'mg/dL'}",
            "-" if sensor["age_s"] is None else f"{sensor['age_s']:.0f} s",
            "-" if sensor["battery_pct"] is None else f"{sensor['battery_pct']} %",
            f"{sensor['packets']} packets" if is_strap else f"{sensor['records']} readings",
            str(sensor["undecodable"]),
            str(sensor["losses"]),
        )
    return table


def newest_line(body: dict[str, Any] | None) -> str:
    """What the newest summary says, in one line."""
    if body is None:
        return ""
    values = (f"{name} {value:.1f}" for name, value in body.items() if isinstance(value, float))
    return "; newest: " + ", ".join(values)


def alert_text(alert: dict[str, Any]) -> str:
    """An alert in one line; a reading off the sensor's scale has no number."""
    value = "off the scale" if alert["value"] is None else f"{alert['value']:g}"
    return f"{alert['kind']} on {alert['sensor']} ({value})"


def show(answer: dict[str, Any], console: Console | None = None) -> None:
    """The document as a person reads it."""
    console = console or Console()
    state = "running" if answer["running"] else "stopped"
    console.print(
        f"[bold]{answer['gateway']}[/] {state}" + (" [yellow]simulated[/]" if answer.get("simulated") else "")
    )
    if answer["running"]:
        console.print(sensor_table(answer["sensors"]))
        for sensor in answer["sensors"]:
            if sensor["last_error"]:
                console.print(
                    f"{sensor['id']}: {sensor['last_error']} ({sensor['last_error_age_s']:.0f} s ago)"
                )
        upstream = answer["upstream"]
        console.print(f"upstream: {upstream['batches']} batches sent; {upstream['last_error'] or 'no error'}")
    outbox = answer["outbox"]
    console.print(
        "outbox: " + ", ".join(f"{outbox[k]} {k}" for k in ("pending", "inflight", "acked", "parked"))
    )
    for kind, summaries in answer["summaries"].items():
        console.print(f"{kind}: {summaries['count']} summaries" + newest_line(summaries["newest"]))
    for alert in answer["alerts"]:
        console.print(f"[bold red]alert[/] {alert_text(alert)}")
    if answer["store"]["set_aside"]:
        console.print(f"[yellow]a damaged database is set aside as {answer['store']['set_aside']}[/]")
