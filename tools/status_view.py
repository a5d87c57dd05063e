"""`vitalgate status`: of a running gateway by its socket, of a stopped one from its store."""

import asyncio
import os
from pathlib import Path
from typing import Any

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


def newest(body: dict[str, Any] | None) -> str:
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
        table = Table("sensor", "state", "newest", "age", "battery", "connects", "undecodable", "last error")
        for sensor in answer["sensors"]:
            newest = (
                sensor.get("heart_rate_bpm")
                if sensor["kind"] == "heart_rate"
                else sensor.get("glucose_mg_dl")
            )
            unit = "bpm" if sensor["kind"] == "heart_rate" else "mg/dL"
            table.add_row(
                sensor["id"],
                sensor["phase"],
                "-" if newest is None else f"{newest:g} {unit}",
                "-" if sensor["age_s"] is None else f"{sensor['age_s']:.0f} s",
                "-" if sensor["battery_pct"] is None else f"{sensor['battery_pct']} %",
                str(sensor["connects"]),
                str(sensor["undecodable"]),
                sensor["last_error"] or "",
            )
        console.print(table)
        upstream = answer["upstream"]
        console.print(f"upstream: {upstream['batches']} batches sent; {upstream['last_error'] or 'no error'}")
    outbox = answer["outbox"]
    console.print(
        "outbox: " + ", ".join(f"{outbox[k]} {k}" for k in ("pending", "inflight", "acked", "parked"))
    )
    for kind, summaries in answer["summaries"].items():
        console.print(f"{kind}: {summaries['count']} summaries" + newest(summaries["newest"]))
    for alert in answer["alerts"]:
        console.print(f"[bold red]alert[/] {alert_text(alert)}")
    if answer["store"]["set_aside"]:
        console.print(f"[yellow]a damaged database is set aside as {answer['store']['set_aside']}[/]")
