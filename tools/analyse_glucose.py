"""`vitalgate analyse glucose`: readings from a CSV file to metrics, episodes, a profile and rows per reading."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rich.console import Console
from rich.table import Table

from dsp.arrays import F64, as_f64
from dsp.glucose import agp, arrows, metrics, realtime, smoothing
from dsp.glucose.grid import Grid, grid, step_min
from dsp.glucose.readings import MG_DL_PER_MMOL_L, Trace, trace
from edge.errors import ConfigError
from tools import glucose_plot

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFF_SCALE = {"lo": -math.inf, "low": -math.inf, "hi": math.inf, "high": math.inf}
MISSING = ("", "na", "nan", "null", "none")
IDS = ("id", "subject", "patient")
UNITS = {"glucose_mg_dl": 1.0, "glucose_mmol_l": MG_DL_PER_MMOL_L}


class Person(NamedTuple):
    """One person's rows as they stand in the file."""

    id: str
    times: list[str]
    utc_min: list[float]
    offset_min: list[float]
    glucose_mg_dl: list[float]

    def trace(self) -> Trace:
        return trace(self.utc_min, self.glucose_mg_dl, self.offset_min)


def load(path: Path, timezone: str | None = None) -> list[Person]:
    """Everyone in a file, in the order of appearance.

    Raises:
        ConfigError: the file cannot be read, or a line is not what its column says.
    """
    zone = _zone(timezone)
    people: dict[str, Person] = {}
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        name = next((row[key] for key in IDS if key in row), "")
        person = people.setdefault(name, Person(name, [], [], [], []))
        before = person.utc_min[-1] if person.utc_min else -math.inf
        stamp = _stamp(row["time"], where, zone, before)
        offset = stamp.utcoffset() or timedelta()
        person.times.append(row["time"])
        person.utc_min.append((stamp - EPOCH).total_seconds() / 60.0)
        person.offset_min.append(offset.total_seconds() / 60.0)
        person.glucose_mg_dl.append(_glucose_mg_dl(row, where))
    if not people:
        raise ConfigError(str(path), "it has no rows", "one row for each reading")
    for person in people.values():
        _check_unit(path, person)
    return list(people.values())


def _glucose_mg_dl(row: dict[str, str], where: str) -> float:
    """A row's value, from whichever column has one."""
    for column, factor in UNITS.items():
        value = _number(row.get(column, ""), where)
        if not math.isnan(value):
            return value * factor
    return math.nan


def _check_unit(path: Path, person: Person) -> None:
    """Nobody lives for long below 25 or above 700 mg/dL: the values are under the wrong unit then."""
    measured = [value for value in person.glucose_mg_dl if math.isfinite(value) and value > 0.0]
    usual = median(measured) if measured else 100.0
    if not 25.0 < usual < 700.0:
        what = f"its usual value {person.id} is {usual:.4g} mg/dL".replace("  ", " ")
        raise ConfigError(str(path), what, "name the column after its unit, glucose_mg_dl or glucose_mmol_l")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as file:
            header = file.readline()
            # As spreadsheets write it where a comma stands before the decimals.
            separator = ";" if ";" in header else ","
            columns = [name.strip() for name in next(csv.reader([header], delimiter=separator), [])]
            reader = csv.DictReader(file, columns, delimiter=separator)
            if "time" not in columns or not UNITS.keys() & set(columns):
                what = f"its columns are {', '.join(columns) or 'none'}"
                raise ConfigError(str(path), what, "name them time and glucose_mg_dl or glucose_mmol_l")
            for row in reader:
                cells = {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)}
                if separator == ";":
                    cells |= {unit: cells[unit].replace(",", ".") for unit in UNITS.keys() & cells.keys()}
                yield reader.line_num + 1, cells
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(str(path), str(error), "give a CSV or CSV.gz file in UTF-8") from error


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError("--timezone", f"{name!r} is no time zone", "write it like Europe/Berlin") from error


def _number(text: str, where: str) -> float:
    word = text.lower()
    if word in MISSING:
        return math.nan
    try:
        return OFF_SCALE[word] if word in OFF_SCALE else float(word)
    except ValueError as error:
        remedy = "write a number, LO, HI, or nothing"
        raise ConfigError(where, f"{text!r} is not a glucose value", remedy) from error


def _stamp(text: str, where: str, zone: ZoneInfo | None, before_utc_min: float) -> datetime:
    """A time with its offset. Of an hour that the clock shows twice it is the second if the rows say so."""
    try:
        stamp = datetime.fromisoformat(text)
        if stamp.tzinfo is not None:
            return stamp
        if zone is None:
            return stamp.replace(tzinfo=UTC)
        first, second = (stamp.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        late = (first.astimezone(UTC) - EPOCH).total_seconds() / 60.0 <= before_utc_min
        chosen = second if late and first.utcoffset() != second.utcoffset() else first
        return chosen.astimezone(UTC).astimezone(zone)
    except (ValueError, OverflowError) as error:
        raise ConfigError(where, f"{text!r} is not a time", "write it like 2026-01-31 08:05:00") from error


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def document(person: Person) -> dict[str, Any]:
    """Metrics, episodes and profile of a person, ready for JSON: None where undefined."""
    readings = person.trace()
    found, episodes = metrics.metrics_of(readings)
    on_grid = grid(readings, step_min(readings.t_min))
    return {
        "id": person.id,
        "from": person.times[person.utc_min.index(min(person.utc_min))],
        "to": person.times[person.utc_min.index(max(person.utc_min))],
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


def _follow(person: Person) -> F64:
    """What was said of each row when it came; of a file with the newest row first, from its end."""
    order = (
        -1 if person.utc_min[0] > person.utc_min[-1] and person.utc_min == sorted(person.utc_min)[::-1] else 1
    )
    t, glucose = person.utc_min[::order], person.glucose_mg_dl[::order]
    return realtime.follow(realtime.new_wearer(), t, glucose)[::order]


def write_readings(people: Iterable[Person], out: Path) -> None:
    """What was said of each row when it came, in the order of the file. Each person begins anew."""
    flags = ("low", "very_low", "high", "low_ahead", "high_ahead", "compression")
    numbers = [name for name in realtime.Live._fields if name not in (*flags, "grade", "trend_min")]
    header = [
        "id",
        "time",
        "reading_mg_dl",
        *(f"smoothed_{n}" if n == "glucose_mg_dl" else n for n in numbers),
    ]
    header += ["arrow_dexcom", "arrow_libre", "grade", *flags]
    try:
        with out.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            for person in people:
                said_of = _follow(person)
                triples = zip(person.times, person.glucose_mg_dl, said_of.tolist(), strict=True)
                for time, glucose, row in triples:
                    live = realtime.Live._make(row)
                    said = live._asdict()
                    cells = ["" if math.isnan(said[n]) else f"{said[n]:.2f}" for n in numbers]
                    grade = "" if math.isnan(live.grade) else smoothing.GRADES[int(live.grade)]
                    drawn = [realtime.trend(live, system) or "" for system in (arrows.DEXCOM, arrows.LIBRE)]
                    flagged = [int(said[n]) for n in flags]
                    writer.writerow([person.id, time, f"{glucose:g}", *cells, *drawn, grade, *flagged])
    except OSError as error:
        raise ConfigError("--per-reading", str(error), "choose a file that can be written") from error


def plot(people: list[Person], out: Path) -> None:
    """The profile of everyone, one below the other; PNG or SVG by the name."""
    panels = []
    for person in people:
        readings = person.trace()
        on_grid = grid(readings, step_min(readings.t_min))
        rows = agp.agp(on_grid)
        hours = as_f64([(k + 1) * on_grid.step_min / 60.0 for k in range(len(rows))])
        panels.append(glucose_plot.Panel(person.id, hours, rows))
    try:
        if out.suffix == ".svg":
            out.write_text(glucose_plot.svg(panels))
        elif out.suffix == ".png":
            out.write_bytes(glucose_plot.png(panels))
        else:
            raise ConfigError("--plot", f"{out.name} is neither .png nor .svg", "choose one of the two")
    except OSError as error:
        raise ConfigError("--plot", str(error), "choose a file that can be written") from error


def show(documents: list[dict[str, Any]], console: Console | None = None) -> None:
    """The documents as a person reads them."""
    console = console or Console()
    for person in documents:
        title = person["id"] or "glucose"
        enough = "sufficient" if person["sufficient"] else "fewer than 14 days with 70 % of the readings"
        console.print(f"[bold]{title}[/]  {person['from']} to {person['to']}  ({enough})")
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
