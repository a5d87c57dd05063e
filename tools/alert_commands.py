"""`vitalgate alert`: its commands and their arguments. What they do is in `tools.alert`, imported when one is typed."""

from pathlib import Path
from typing import Annotated

import typer

from tools import terminal
from tools.terminal import ConfigFile, Json, print_json

app = terminal.Commands(help="Alerts: what stands, whether it can be told, and what you do about it.")

Alert = Annotated[str, typer.Argument(metavar="ALERT", help="As `vitalgate alert list` names it.")]


@app.command("list", epilog="Example: vitalgate alert list --config gateway.toml")
def list_(config: ConfigFile, json: Json = False) -> None:
    """The alerts that have not ended, with today's values, and the snoozes with the time that is left."""
    from tools import alert
    from tools.terminal import one_line_errors

    with one_line_errors():
        said = alert.listed(config)
    print_json(said) if json else alert.show(said)


@app.command("test", epilog="Example: vitalgate alert test --config gateway.toml")
def try_channels(config: ConfigFile, json: Json = False) -> None:
    """Tell a test on each channel of the running gateway; exit code 1 if one of them does not work."""
    from tools import alert
    from tools.terminal import one_line_errors

    with one_line_errors():
        said = alert.tested(config)
    print_json(said) if json else alert.show_test(said)
    if any(channel.trouble is not None for channel in said.channels):
        raise typer.Exit(1)


@app.command(
    epilog='Example: vitalgate alert snooze glucose_low --for 2h --unless "60 mg/dL" --config gateway.toml'
)
def snooze(
    alert: Alert,
    config: ConfigFile,
    length: Annotated[
        str | None, typer.Option("--for", metavar="LENGTH", help="How long: 30min, 2h; 24h at most.")
    ] = None,
    sensor: Annotated[str | None, typer.Option(help="Of this sensor only; all if left out.")] = None,
    unless: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE", help="A value that ends it; if left out, each step for the worse does."
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="End the snooze.")] = False,
    json: Json = False,
) -> None:
    """Let an alert tell nobody for a while. Urgent ones cannot be snoozed."""
    from tools import alert as alerts
    from tools.terminal import fail, one_line_errors

    if off == (length is not None):
        fail("alert snooze needs --for LENGTH, or --off", 2)
    with one_line_errors():
        said = alerts.snoozed(config, alert, length, sensor, unless)
    print_json(said) if json else alerts.show(said)


@app.command(epilog="Example: vitalgate alert ack glucose_low cgm --config gateway.toml")
def ack(
    alert: Alert,
    sensor: Annotated[
        str, typer.Argument(metavar="SENSOR", help="Its name in the configuration, or gateway.")
    ],
    config: ConfigFile,
    json: Json = False,
) -> None:
    """Take note of an alert: it goes to no more people, until it gets worse."""
    from tools import alert as alerts
    from tools.terminal import one_line_errors

    with one_line_errors():
        said = alerts.acknowledged(config, alert, sensor)
    print_json(said) if json else alerts.show(said)


@app.command(
    epilog="Examples: vitalgate alert replay --config gateway.toml; "
    "vitalgate alert replay --rules new.toml --days 30 --config gateway.toml --json"
)
def replay(
    config: ConfigFile,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="New rules: a TOML file with the table alerts. If left out, only those in force.",
            readable=False,
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=4000, help="How far back from the newest value that was kept.")
    ] = 90,
    json: Json = False,
) -> None:
    """What rules would have told, from the history that a gateway has kept, before you change a limit.

    The store is only read; stop the gateway while this runs.

    What a history does not tell, such as lost links, is left out.
    """
    from tools.replay import command as replaying
    from tools.terminal import one_line_errors

    with one_line_errors():
        replaying.command(config, rules, days, json=json)
