"""Glucose readings in a CSV file as people have them: rows with a time in UTC and a value in mg/dL.

The columns, in any case and order: `time`; `glucose_mg_dl`, `glucose_mmol_l` or both; and maybe one that names
the person. A row that cannot be used is left out and counted; nothing is guessed. What readings say must not be
here.

Rows stand oldest first or newest first. Which it is, is decided once for the file: newest first if more rows step
back in their person's time than forward. Two rows, 10:05 and 10:00, are thus newest first; in a file that goes on
with 10:10 and 10:15 the same two are oldest first, one out of place. A newest-first file is taken from its end:
of rows with the same time the upper one counts then, else the lower one.
"""

import math
import re
from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dsp.glucose.readings import MG_DL_PER_MMOL_L, Trace, trace
from edge.errors import ConfigError
from tools.analyse import recording_files
from tools.analyse.recording_files import IDS, MISSING, Table

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFF_SCALE = {"lo": -math.inf, "low": -math.inf, "hi": math.inf, "high": math.inf}
# Where sensors' scales end: <40 is LO, but <120 says nothing.
LO_MG_DL_MAX, HI_MG_DL_MIN = 70.0, 300.0
# mg/dL per unit, and from which value on it is no reading.
UNITS = {"glucose_mg_dl": (1.0, 1000.0), "glucose_mmol_l": (MG_DL_PER_MMOL_L, 55.0)}
# Nobody's median lies outside for long: the values are under the wrong unit then.
USUAL_MG_DL = (25.0, 700.0)
READINGS_TO_JUDGE = 12
UNREADABLE_SHARE = 0.2  # from which on the file is of another format

NO_TIME, BAD_TIME, BAD_VALUE, TOO_MUCH = "no time", "unreadable time", "unreadable value", "impossible value"
REMEDIES = {
    NO_TIME: "give each reading a time",
    BAD_TIME: "write it like 2026-01-31 08:05:00",
    BAD_VALUE: "write a number, LO, HI, or nothing",
    TOO_MUCH: "is the column named after its unit?",
}
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_LOOSE = re.compile(r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?:(?:T|\s+)(\d{1,2})(:.*))?", re.ASCII)
_YEAR_LAST = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(?:\d{4}|\d{2})(?:\D.*)?", re.ASCII)


class Row(NamedTuple):
    """A row that has a time.

    Attributes:
        person: empty if the file does not say.
        time: as it stands in the file.
        utc_min: minutes since 1970 in UTC.
        offset_min: what the person's clock showed beyond that.
        glucose_mg_dl: NaN no measurement, -inf LO, +inf HI.
    """

    person: str
    time: str
    utc_min: float
    offset_min: float
    glucose_mg_dl: float


class Person(NamedTuple):
    """One person's rows, oldest first as far as the file is in order."""

    id: str
    rows: list[Row]

    def trace(self) -> Trace:
        utc_min, offset_min, glucose_mg_dl = zip(*(row[2:] for row in self.rows), strict=True)
        return trace(utc_min, glucose_mg_dl, offset_min)


class LeftOut(NamedTuple):
    """Rows that could not be used, for one and the same reason."""

    reason: str
    rows: int
    first_line: int


class Recording(NamedTuple):
    """What a file holds.

    Attributes:
        rows: oldest first as far as the file is in order: those of a newest-first file from its end.
        newest_first: whether that is so.
        left_out: what is not among the rows.
    """

    rows: list[Row]
    newest_first: bool
    left_out: list[LeftOut]

    def people(self) -> list[Person]:
        """Everyone, in the order of appearance in the file."""
        in_file = reversed(self.rows) if self.newest_first else self.rows
        people = {name: Person(name, []) for name in dict.fromkeys(row.person for row in in_file)}
        for row in self.rows:
            people[row.person].rows.append(row)
        return list(people.values())


class _Parsed(NamedTuple):
    """A row whose local time is not placed yet; its value may be an impossible one."""

    person: str
    time: str
    stamp: datetime
    glucose_mg_dl: float
    value_is_possible: bool


class _Unusable(Exception):  # noqa: N818 - a row is, not the file
    def __init__(self, reason: str, what: str, line: int = 0) -> None:
        super().__init__(what)
        self.reason, self.what, self.line = reason, what, line


def read(path: Path, timezone: str | None = None) -> Recording:
    """A file's rows.

    Args:
        path: CSV or CSV.gz.
        timezone: where times without offset were kept; None UTC.

    Raises:
        ConfigError: the file cannot be read, has no usable row, is of another format, or has the wrong unit.
    """
    zone = _zone(timezone)
    rows: list[_Parsed] = []
    unusable: list[_Unusable] = []
    measured: list[float] = []
    with recording_files.table(path) as table:
        for found in _parsed(table):
            if isinstance(found, _Unusable):
                unusable.append(found)
                continue
            if 0.0 < found.glucose_mg_dl < math.inf:
                measured.append(found.glucose_mg_dl)
            if found.value_is_possible:
                rows.append(found)
            else:
                what = f"a value of {found.glucose_mg_dl:g} mg/dL"
                unusable.append(_Unusable(TOO_MUCH, what, table.line))
    _check_unit(path, measured)
    _check_format(path, len(rows), unusable)
    newest_first = _is_newest_first(rows)
    if newest_first:
        rows.reverse()
    return Recording(list(_placed(rows, zone)), newest_first, _grouped(unusable))


def _parsed(table: Table) -> Iterator[_Parsed | _Unusable]:
    """Each row of a table, or why it cannot be used. Lines with nothing on them are no rows."""
    time, person = table.find("time"), table.find(*IDS)
    units = [(table.find(name), *scale) for name, scale in UNITS.items()]
    units = [unit for unit in units if unit[0] is not None]
    if time is None or not units:
        what = f"its columns are {', '.join(table.columns) or 'none'}"
        raise ConfigError("FILE", what, "name them time and glucose_mg_dl or glucose_mmol_l")
    for row in table.rows:
        if not row:
            continue
        cells = [cell.strip() for cell in row] + [""] * (len(table.columns) - len(row))
        try:
            stamp = _stamp(cells[time])
            texts = [(cells[k], factor, least) for k, factor, least in units if k is not None]
            value, is_possible = _glucose_mg_dl(table, texts)
        except _Unusable as why:
            yield _Unusable(why.reason, why.what, table.line)
            continue
        yield _Parsed("" if person is None else cells[person], cells[time], stamp, value, is_possible)


def _stamp(text: str) -> datetime:
    """A time, with its offset if it has one."""
    if text.lower() in MISSING:
        raise _Unusable(NO_TIME, "it has no time")
    if _NUMBER.fullmatch(text):  # of an epoch, which Python would read as a date without hyphens now and then
        raise _Unusable(BAD_TIME, f"{text!r} is a number, not a time")
    if _YEAR_LAST.fullmatch(text):
        raise _Unusable(BAD_TIME, f"{text!r} does not say which is the day and which the month")
    try:
        stamp = datetime.fromisoformat(_iso(text))
    except ValueError as error:
        raise _Unusable(BAD_TIME, f"{text!r} is not a time") from error
    if stamp.tzinfo is None and not MINYEAR < stamp.year < MAXYEAR:
        raise _Unusable(BAD_TIME, f"{text!r} is beyond all calendars")  # in UTC it may lie outside of them
    return stamp


def _iso(text: str) -> str:
    """2026/1/31 8:05 UTC as 2026-01-31T08:05Z; what is not of this kind stays as it is."""
    loose = _LOOSE.fullmatch(text)
    if loose is None:
        return text
    year, _, month, day, hour, rest = loose.groups()
    date = f"{year}-{month:0>2}-{day:0>2}"
    return date if hour is None else f"{date}T{hour:0>2}{''.join(rest.upper().split()).replace('UTC', 'Z')}"


def _glucose_mg_dl(table: Table, texts: list[tuple[str, float, float]]) -> tuple[float, bool]:
    """A row's value, from whichever column has one, and whether a body can have it."""
    for text, factor, impossible in texts:
        word = text.lower()
        if word in MISSING:
            continue
        if word in OFF_SCALE:
            return OFF_SCALE[word], True
        try:
            if word[0] in "<>":
                return _off_scale(word[0], table.number(word[1:]) * factor), True
            value = table.number(word)
        except ValueError as error:
            raise _Unusable(BAD_VALUE, f"{text!r} is not a glucose value") from error
        return (value * factor if value > 0.0 else math.nan), not value >= impossible
    return math.nan, True


def _off_scale(sign: str, end_mg_dl: float) -> float:
    if sign == "<" and 0.0 < end_mg_dl <= LO_MG_DL_MAX:
        return -math.inf
    if sign == ">" and end_mg_dl >= HI_MG_DL_MIN:
        return math.inf
    raise ValueError("not the end of a sensor's scale")


def _check_unit(path: Path, measured: list[float]) -> None:
    least, most = USUAL_MG_DL
    if len(measured) >= READINGS_TO_JUDGE and not least < median(measured) < most:
        what = f"its usual value is {median(measured):.4g} mg/dL"
        raise ConfigError(str(path), what, "name the column after its unit, glucose_mg_dl or glucose_mmol_l")


def _check_format(path: Path, usable: int, unusable: list[_Unusable]) -> None:
    """Too many rows that cannot be read are another format; empty ones are no sign of that."""
    bad = [why for why in unusable if why.reason in (BAD_TIME, BAD_VALUE)]
    rows = usable + sum(why.reason != NO_TIME for why in unusable)
    if not bad or len(bad) < UNREADABLE_SHARE * rows:
        bad = [] if usable else unusable
    if bad:
        first = bad[0]
        raise ConfigError(f"{path}, line {first.line}", first.what, REMEDIES[first.reason])
    if not usable:
        raise ConfigError(str(path), "it has no rows", "one row for each reading")


def _grouped(unusable: list[_Unusable]) -> list[LeftOut]:
    groups: dict[str, LeftOut] = {}
    for why in unusable:
        group = groups.get(why.reason, LeftOut(why.reason, 0, why.line))
        groups[why.reason] = group._replace(rows=group.rows + 1)
    return list(groups.values())


def _is_newest_first(rows: list[_Parsed]) -> bool:
    before: dict[str, datetime] = {}
    later = 0
    for row in rows:
        stamp = row.stamp if row.stamp.tzinfo else row.stamp.replace(tzinfo=UTC)
        last = before.get(row.person, stamp)
        later += (stamp > last) - (stamp < last)
        before[row.person] = stamp
    return later < 0


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: Europe is a directory
        raise ConfigError("--timezone", f"{name!r} is no time zone", "write it like Europe/Berlin") from error


def _placed(rows: list[_Parsed], zone: ZoneInfo | None) -> Iterator[Row]:
    """Rows with their time in UTC. Of an hour that the clock shows twice it is the second after a step back."""
    before: dict[str, float] = {}
    for row in rows:
        stamp = row.stamp
        if stamp.tzinfo is None and zone is None:
            stamp = stamp.replace(tzinfo=UTC)
        elif stamp.tzinfo is None:
            first, second = (row.stamp.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
            late = _utc_min(first) < before.get(row.person, -math.inf)  # the same time twice is no step back
            stamp = second if late and first.utcoffset() != second.utcoffset() else first
            stamp = stamp.astimezone(UTC).astimezone(zone)
        offset = stamp.utcoffset() or timedelta()
        before[row.person] = utc_min = _utc_min(stamp)
        yield Row(row.person, row.time, utc_min, offset.total_seconds() / 60.0, row.glucose_mg_dl)


def _utc_min(stamp: datetime) -> float:
    return (stamp - EPOCH).total_seconds() / 60.0
