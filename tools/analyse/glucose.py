"""`vitalgate analyse glucose`: readings from a CSV file to metrics, episodes, a profile and rows per reading.

Per reading, the columns `low`, `very_low` and `high` are 1 where the reading is below 70, below 54 or above
250 mg/dL; `low_ahead` and `high_ahead` where it is about to be below 70 or above 250. See `dsp.glucose.alerts`.
"""

import csv
import math
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dsp.arrays import as_f64
from dsp.glucose import agp, arrows, metrics, realtime, smoothing
from dsp.glucose.grid import Grid, grid, step_min
from edge.errors import one_line
from tools.analyse import glucose_csv, glucose_plot, kept, recording_files
from tools.analyse.glucose_csv import LeftOut, Person, Recording, Row
from tools.analyse.recording_files import Kept
from tools.terminal import print_json

FLAGS = ("low", "very_low", "high", "low_ahead", "high_ahead", "compression")
NUMBERS = [name for name in realtime.Live._fields if name not in (*FLAGS, "grade", "trend_min", "steady")]
WORDS = {math.inf: "HI", -math.inf: "LO"}


Said = Iterable[tuple[Row, realtime.Live]]


def command(
    file: Path | None,
    kept_in: Kept | None,
    timezone: str | None,
    per_reading: Path | None,
    drawing: Path | None,
    *,
    json: bool,
) -> None:
    outputs = {"--per-reading": per_reading, "--plot": drawing}
    if file is not None:
        recording_files.check_outputs(file, outputs)
        recording = glucose_csv.read(file, timezone)
        people, left_out, said = recording.people(), recording.left_out, follow(recording)
    else:
        assert kept_in is not None, "one of both is given"
        with kept.opened(*kept_in) as tables:
            found = kept.glucose(tables, timezone)
        people = [Person(one.id, one.rows) for one in found]
        left_out = [LeftOut("no wall time yet", n, 0) for one in found if (n := one.unplaced)]
        said = chain.from_iterable(zip(one.rows, one.said, strict=True) for one in found)
    documents = [document(person) for person in people]
    if per_reading is not None:
        write_readings(said, per_reading)
    if drawing is not None:
        plot(people, drawing)
    if json:
        print_json({"people": documents, "rows_left_out": [group._asdict() for group in left_out]})
    else:
        tell(left_out)
        show(documents)


def tell(left_out: list[LeftOut]) -> None:
    """What of the file is not in the result, as one line on stderr."""
    if left_out:
        groups = (
            f"{g.rows} with {g.reason}" + (f" (first in line {g.first_line})" if g.first_line else "")
            for g in left_out
        )
        print(f"vitalgate: rows left out: {', '.join(groups)}", file=sys.stderr)


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def document(person: Person) -> dict[str, Any]:
    """Metrics, episodes and profile of a person, ready for JSON: None where undefined."""
    readings = person.trace()
    found, episodes = metrics.metrics_of(readings)
    on_grid = grid(readings, step_min(readings.t_min))
    measured = sorted(
        (row for row in person.rows if not math.isnan(row.glucose_mg_dl)), key=lambda row: row.utc_min
    )
    return {
        "id": person.id,
        "from": measured[0].time if measured else None,
        "to": measured[-1].time if measured else None,
        "sufficient": metrics.is_sufficient(found),
        "gri_zone": metrics.gri_zone(found["gri"]),
        "metrics": _plain(found),
        "episodes": {kind: _plain(summary._asdict()) for kind, summary in episodes.items()},
        "agp": profile(on_grid),
    }


def profile(on_grid: Grid) -> list[dict[str, Any]]:
    """The ambulatory glucose profile, one row for each clock time that has values."""
    rows = []
    for slot, percentiles in enumerate(agp.agp(on_grid).tolist()):
        minute = round((slot + 1) * on_grid.step_min)
        if not math.isnan(percentiles[0]):
            names = (f"p{p}_mg_dl" for p in agp.PERCENTILES)
            clock = f"{minute // 60:02d}:{minute % 60:02d}"
            rows.append({"clock": clock, **dict(zip(names, percentiles, strict=True))})
    return rows


def follow(recording: Recording) -> Iterator[tuple[Row, realtime.Live]]:
    """Each row in the order of the file, with what was said of it when it came. Each person begins anew.

    What is said of a row follows from the rows before it, so that a file's beginning gives the beginning of
    this; in a file with the newest row first, from those below it. See `tools.analyse.glucose_csv` for which it is.
    """
    said = {}
    for person in recording.people():
        t, glucose = zip(*((row.utc_min, row.glucose_mg_dl) for row in person.rows), strict=True)
        said[person.id] = iter(realtime.follow(realtime.new_wearer(), t, glucose).tolist())
    pairs = [(row, realtime.Live._make(next(said[row.person]))) for row in recording.rows]
    return reversed(pairs) if recording.newest_first else iter(pairs)


def write_readings(said_of: Said, out: Path) -> None:
    """What was said of each row when it came, as CSV."""
    header = ["id", "time", "reading_mg_dl"]
    header += [f"smoothed_{name}" if name == "glucose_mg_dl" else name for name in NUMBERS]
    header += ["arrow_dexcom", "arrow_libre", "grade", *FLAGS]
    with recording_files.writing("--per-reading"), out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row, live in said_of:
            said = live._asdict()
            reading = WORDS.get(row.glucose_mg_dl, _cell(row.glucose_mg_dl, "g"))
            grade = "" if math.isnan(live.grade) else smoothing.GRADES[int(live.grade)]
            drawn = [realtime.trend(live, system) or "" for system in (arrows.DEXCOM, arrows.LIBRE)]
            numbers = [_cell(said[name], ".2f") for name in NUMBERS]
            flags = [int(said[name]) for name in FLAGS]
            writer.writerow([row.person, row.time, reading, *numbers, *drawn, grade, *flags])


def _cell(value: float, form: str) -> str:
    return "" if math.isnan(value) else f"{value:{form}}"


def plot(people: list[Person], out: Path) -> None:
    """The profile of everyone, one below the other; PNG or SVG by the name."""
    panels = []
    for person in people:
        readings = person.trace()
        on_grid = grid(readings, step_min(readings.t_min))
        rows = agp.agp(on_grid)
        hours = as_f64([(k + 1) * on_grid.step_min / 60.0 for k in range(len(rows))])
        panels.append(glucose_plot.Panel(one_line(person.id), hours, rows))
    with recording_files.writing("--plot"):
        if out.suffix.lower() == ".svg":
            out.write_text(glucose_plot.svg(panels), encoding="utf-8")
        else:
            out.write_bytes(glucose_plot.png(panels))


def show(documents: list[dict[str, Any]], console: Console | None = None) -> None:
    """The documents as a person reads them."""
    console = console or Console()
    for person in documents:
        title = one_line(person["id"]) or "glucose"
        enough = "sufficient" if person["sufficient"] else "fewer than 14 days with 70 % of the readings"
        span = f"{person['from']} to {person['to']}" if person["from"] else "no readings"
        console.print(Text.assemble((title, "bold"), f"  {span}  ({enough})"), soft_wrap=True)
        table = Table("metric", "value", "metric", "value")
        cells = [(n, "-" if v is None else f"{v:.6g}") for n, v in person["metrics"].items()]
        cells.append(("gri_zone", person["gri_zone"] or "-"))
        cells += [("", "")] * (-len(cells) % 2)
        for i in range(0, len(cells), 2):
            table.add_row(*(cell for pair in cells[i : i + 2] for cell in pair))
        console.print(table)
        events = Table("episodes", "number", "per day", "minutes", "mean mg/dL")
        for kind, summary in person["episodes"].items():
            events.add_row(kind, *("-" if v is None else f"{v:.4g}" for v in summary.values()))
        console.print(events)
