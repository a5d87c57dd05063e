"""`vitalgate alert replay`: what rules would have told, shown side by side.

Contract: the store is only read, and no gateway runs on it meanwhile. Progress goes to standard error.
"""

from collections.abc import Callable
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edge import config
from tools.analyse import kept
from tools.replay.figures import AlertLine, EventLine, Raised
from tools.replay.history import Replay, Run, SensorReplay
from tools.terminal import ended_by_interrupt, print_json


def command(config_file: Path, rules_file: Path | None, days: int, *, json: bool) -> None:
    """Play the history.

    Raises:
        ConfigError: wrong files, no store, or nothing in it.
        StoreCorrupt, StoreUnavailable: the store cannot be read.
    """
    checked = config.load(config_file)
    new = None if rules_file is None else config.load_alerts(rules_file)
    bar = Progress(
        TextColumn("replaying"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=json,
    )
    named = "gateway.state_dir", "run the gateway first"
    with kept.opened(checked.gateway.state_dir, checked.key_file, *named) as tables:
        run = Run(tables, checked, new, days)
        _play(run, bar)
        found = run.result
    print_json(found) if json else show(found, is_compared=new is not None)


def _play(run: Run, bar: Progress) -> None:
    with bar:
        task = bar.add_task("days", total=1.0)
        steps = run.run()
        while True:
            with ended_by_interrupt():
                share = next(steps, None)
            if share is None:
                break
            bar.update(task, completed=share)


def show(found: Replay, *, is_compared: bool) -> None:
    """The answer as a person reads it."""
    console = Console()
    print(f"{found.begins} to {found.ends}")
    for sensor in found.sensors:
        print(f"\n{sensor.person}/{sensor.sensor}: {sensor.days:g} days with values, from {sensor.begins}")
        console.print(_raised(sensor, is_compared=is_compared))
        early = _early(sensor, is_compared=is_compared)
        if early.row_count:
            console.print(early)
        for event in sensor.events:
            print(_event(event))
    print(f"\nnot in the history, and left out: {', '.join(found.left_out)}")


def _table(first: str, *columns: str, is_compared: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(f"{column}\nnow" if is_compared else column, justify="right", no_wrap=True)
        if is_compared:
            table.add_column("\nnew", justify="right", no_wrap=True)
    return table


def _cells(line: AlertLine, says: list[Callable[[Raised], str]], *, is_compared: bool) -> list[str]:
    sides = (line.now, line.new) if is_compared else (line.now,)
    return ["off" if side is None else say(side) for say in says for side in sides]


def _raised(sensor: SensorReplay, *, is_compared: bool) -> Table:
    table = _table("alert", "raised", "a week", "at night", "hours", is_compared=is_compared)
    says: list[Callable[[Raised], str]] = [
        lambda one: str(one.raised),
        lambda one: "-" if one.per_week is None else f"{one.per_week:.1f}",
        lambda one: str(one.at_night),
        lambda one: f"{one.stood_h:.1f}",
    ]
    for line in sensor.alerts:
        table.add_row(line.alert, *_cells(line, says, is_compared=is_compared))
    return table


def _early(sensor: SensorReplay, *, is_compared: bool) -> Table:
    """Those that announce something."""
    table = _table("early alert", "events", "min ahead", "false", is_compared=is_compared)
    says: list[Callable[[Raised], str]] = [
        lambda one: str(one.early.announced) if one.early else "",
        _lead,
        lambda one: str(one.early.false) if one.early else "",
    ]
    for line in sensor.alerts:
        if any(side is not None and side.early is not None for side in (line.now, line.new)):
            table.add_row(line.alert, *_cells(line, says, is_compared=is_compared))
    return table


def _lead(one: Raised) -> str:
    early = one.early
    if early is None or early.lead_min_median is None:
        return "-"
    return f"{early.lead_min_median:.0f} ({early.lead_min_least:.0f}..{early.lead_min_most:.0f})"


def _event(event: EventLine) -> str:
    what = f"{event.event.replace('_', ' ')}s {event.side} {event.limit:g} mg/dL: {event.events}"
    missed = f"missed {event.missed_now} now"
    return f"{what}, {missed}" if event.missed_new is None else f"{what}, {missed}, {event.missed_new} new"
