"""The demo as a person sees it: a live view while it runs, a table of what came of it at the end."""

import logging
import shlex
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from statistics import fmean, median
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from edge.app import Gateway
from edge.local.status import StatusDocument
from edge.store.summaries import Summary
from tools.live_view import Trail, screen
from tools.rig.demo.beside import beside, clock_time, narrow_table
from tools.rig.demo.day import HOUR_S, Options, Result, Watch, play, prepare
from tools.terminal import own_command

GETTING_READY = "getting ready; the first time, kernels are compiled, which takes up to a minute"
RANGES = (
    ("very_low_pct", "<54"),
    ("low_pct", "54-69"),
    ("in_range_pct", "70-180"),
    ("high_pct", "181-250"),
    ("very_high_pct", ">250"),
)


def watched(options: Options, *, quiet: bool) -> Result:
    """Run the demo with a live view on stderr; quiet, or without a terminal, without one."""
    out = prepare(options)
    console = Console(stderr=True)
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    # To the simulated radio every lost link is an error, with a traceback; here links are lost on purpose.
    for radio in ("bumble", "asyncio"):
        logging.getLogger(radio).setLevel(logging.CRITICAL)
    logging.getLogger("edge.app").disabled = True  # why a gateway ended is what the command ends with
    if quiet and not console.is_terminal:
        return play(options, out, _unwatched)
    if not console.is_terminal:
        console.print(GETTING_READY, highlight=False)
        return play(options, out, _lines(options, console))
    progress = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(complete_style="cyan", finished_style="cyan"),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        console=console,
    )
    bar = progress.add_task(GETTING_READY, total=options.hours * HOUR_S)
    trail = Trail()
    with Live(progress, console=console, refresh_per_second=8, transient=True) as live:

        async def watch(since_midnight_s: float, gateway: Gateway) -> None:
            progress.update(bar, completed=since_midnight_s, description="simulated")
            said = await gateway.status()
            for sensor in said.sensors:
                trail.add(since_midnight_s, sensor)
            size = {"width": console.width, "height": console.height - 2}
            live.update(Group(progress, screen(said, trail, clock=clock_time(since_midnight_s), **size)))

        return play(options, out, watch)


async def _unwatched(_since_midnight_s: float, _gateway: Gateway) -> None:
    """Nobody looks."""


def _lines(options: Options, console: Console) -> Watch:
    """Progress for a log: a line per simulated hour."""

    async def watch(since_midnight_s: float, gateway: Gateway) -> None:
        if since_midnight_s % HOUR_S == 0 and since_midnight_s <= options.hours * HOUR_S:
            sent = sum(route.items or 0 for route in (await gateway.status()).deliveries)
            console.print(f"{clock_time(since_midnight_s)} simulated, {sent} items upstream", highlight=False)

    return watch


def _traffic(said: StatusDocument) -> str:
    """What has gone up, what waits and what was refused, by all routes together."""
    sent, parked = (
        sum(getattr(route, name) or 0 for route in said.deliveries) for name in ("items", "parked")
    )
    waiting = sum((route.pending or 0) + (route.inflight or 0) for route in said.deliveries)
    return f"{sent} items sent, {waiting} waiting, {parked} refused"


def report(result: Result) -> None:
    """The tables at the end, on stdout."""
    console = Console()
    console.print(_heart_table(result.heart))
    days = [(summary.body["date"][5:], summary.body) for summary in result.glucose]
    if result.glucose_so_far:
        days.append(("so far", result.glucose_so_far))
    console.print(_glucose_table(days))
    for part in beside(result.compared):
        console.print(part, highlight=False)
    hours = result.options.hours
    console.print(f"{hours:g} simulated hours in {result.elapsed_s:.0f} s. {_traffic(result.status)}.")
    console.print(f"{len(result.bundles)} FHIR bundles in {result.out / 'bundles'}", soft_wrap=True)
    config = shlex.quote(str(result.out / "gateway.toml"))
    console.print(f"More: {own_command()} status --config {config}", soft_wrap=True, highlight=False)
    if result.options.worn.is_own:
        console.print("Our methods have learnt from these recordings: BENCHMARKS.md judges by others.")
    console.print("Simulated sensors: resources are marked as test data (HTEST). Not a diagnosis.")


def _heart_table(summaries: Iterable[Summary]) -> Table:
    """An hour a row: of its summaries the extremes, the mean of the coverage, the medians of the rest."""
    hours: dict[int, list[dict[str, Any]]] = {}
    for summary in summaries:
        hours.setdefault(summary.key.start_utc_s // HOUR_S, []).append(summary.body)
    names = ("UTC", "windows", "beats", "HR min", "HR", "HR max", "SDNN", "RMSSD", "cov. %")
    table = narrow_table("Heart: 5-minute summaries by the hour (medians)", names)
    for hour, bodies in hours.items():
        table.add_row(
            datetime.fromtimestamp(hour * HOUR_S, UTC).strftime("%H:%M"),
            str(len(bodies)),
            str(sum(body["beats"] for body in bodies)),
            _number(min, bodies, "hr_min_bpm"),
            _number(median, bodies, "hr_mean_bpm"),
            _number(max, bodies, "hr_max_bpm"),
            _number(median, bodies, "sdnn_ms"),
            _number(median, bodies, "rmssd_ms"),
            _number(fmean, bodies, "coverage_pct"),
        )
    return table


def _number(statistic: Any, bodies: Iterable[dict[str, Any]], name: str) -> str:
    values = [body[name] for body in bodies if body[name] is not None]
    return f"{statistic(values):.1f}" if values else "-"


def _glucose_table(days: Iterable[tuple[str, dict[str, Any]]]) -> Table:
    names = ("day", "n", "cov.", "mean", "SD", "CV", "GMI", *(title for _, title in RANGES))
    table = narrow_table("Glucose: daily summaries (mg/dL; cov., CV, GMI and ranges in %)", names)
    for title, body in days:
        names = ("coverage_pct", "mean_mg_dl", "sd_mg_dl", "cv_pct", "gmi_pct", *(name for name, _ in RANGES))
        values = ["-" if body[name] is None else f"{body[name]:.1f}" for name in names]
        table.add_row(title, str(body["readings"]), *values)
    return table
