"""What the simulated sensors wear: recordings as files of the user, or models of a body where there is none.

A recording is refused if a sensor could not have sent it: its wearer would be another than the file's.
"""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsp.arrays import F64
from edge.errors import ConfigError, one_line
from hw_sim.recordings import GlucoseRecording
from tools.analyse import glucose_csv, recording_files, rr_csv

# Real recordings lie beside the tests; an installed gateway has none, and its simulated people are models.
OWN = ("afdb_08219_rr.csv.gz", "azt1d_09_glucose.csv.gz")
RECORDINGS = Path(__file__).resolve().parents[3] / "tests" / "recordings"
# Shorter ones would come faster than a strap's packets can carry them; recorders' artefacts are longer.
RR_MS_MIN, RR_MS_MAX = 100.0, 10_000.0
GLUCOSE_MG_DL_MIN = 1.0
DAY_MIN = 1440
# What PhysioNet's annotations call the rhythm in force.
RHYTHM, AF = "rhythm", "AFIB"


class HeartRecording(NamedTuple):
    """Intervals in ms, and of each whether it is labelled as atrial fibrillation; None if the file has no labels."""

    rr_ms: F64
    is_af: NDArray[np.bool_] | None


@dataclass(frozen=True)
class DemoRecordings:
    """The recordings' values, None for a model, and the files they are from.

    `is_af` says of each interval whether the recording's rhythm is labelled as atrial fibrillation there.
    """

    rr_recording: Path | None
    glucose_recording: Path | None
    rr_ms: F64 | None
    glucose: GlucoseRecording | None
    is_af: NDArray[np.bool_] | None = None

    @property
    def is_own(self) -> bool:
        """Whether one is of those that come along."""
        return not {RECORDINGS / name for name in OWN}.isdisjoint([self.rr_recording, self.glucose_recording])

    def heart_from(self, begin_s: float) -> "DemoRecordings":
        """The same, but that the heart begins so far in; what comes before is its end."""
        if self.rr_ms is None or begin_s == 0.0:
            return self
        first = int(np.searchsorted(np.cumsum(self.rr_ms), 1000.0 * begin_s))
        is_af = None if self.is_af is None else np.roll(self.is_af, -first)
        return replace(self, rr_ms=np.roll(self.rr_ms, -first), is_af=is_af)

    @classmethod
    def chosen(
        cls, rr: Path | None, glucose: Path | None, *, bodies: bool = False, pace: float = 1.0
    ) -> "DemoRecordings":
        """The recordings named; for those that are not, the ones that come along, or bodies.

        Args:
            rr: a file for the strap.
            glucose: a file for the CGM.
            bodies: whether models take the place of the recordings that come along.
            pace: how many times as fast glucose is played.

        Raises:
            ConfigError: a recording cannot be used.
        """
        ours = [None if bodies or not path.exists() else path for path in (RECORDINGS / name for name in OWN)]
        heart = read_heart(rr) if rr else _own_heart(ours[0]) if ours[0] else None
        rr, glucose = rr or ours[0], glucose or ours[1]
        return cls(
            rr,
            glucose,
            None if heart is None else heart.rr_ms,
            None if glucose is None else read_glucose(glucose, pace),
            None if heart is None else heart.is_af,
        )


@cache
def _own_heart(file: Path) -> HeartRecording:
    """The one that comes along is long, and many homes of a process wear it: read once, and written to by nobody."""
    found = read_heart(file)
    for values in found:
        if values is not None:
            values.flags.writeable = False
    return found


def read_heart(file: Path) -> HeartRecording:
    """What a strap sends of a file with one record.

    Raises:
        ConfigError: it cannot be read, holds several records, or an interval that no strap sends.
    """
    with _named("--heart", file):
        found = rr_csv.records(file, "rr_ms")
        if len(found) > 1:
            raise ConfigError("FILE", f"it holds {len(found)} records", "give a file with one")
        record = found[0]
        rr_ms, row = record.rr_ms[record.was_sent], record.row[record.was_sent]
        wrong = np.flatnonzero(~((rr_ms >= RR_MS_MIN) & (rr_ms <= RR_MS_MAX)))
        if wrong.size:
            what = f"row {row[wrong[0]]} below the header is {rr_ms[wrong[0]]:g} ms"
            remedy = f"give intervals within {RR_MS_MIN:.0f}..{RR_MS_MAX:.0f} ms, and no gaps"
            raise ConfigError("FILE", what, remedy)
        if not rr_ms.size:
            raise ConfigError("FILE", "it holds no intervals", "give a file with some")
        is_af = _is_af(file)
        return HeartRecording(rr_ms, None if is_af is None else is_af[row - 1])


def _is_af(file: Path) -> NDArray[np.bool_] | None:
    """Which rows of a file of intervals are labelled as atrial fibrillation; None without a column of labels."""
    with recording_files.table(file, bare="rr_ms") as table:
        k = table.find(RHYTHM)
        if k is None:
            return None
        return np.array([k < len(row) and row[k].strip() == AF for row in table.rows if row], dtype=np.bool_)


def read_glucose(file: Path, pace: float = 1.0) -> GlucoseRecording:
    """The readings of a file with one person, one a minute at most; what is more is told on stderr.

    Raises:
        ConfigError: it cannot be read, holds several people, a row that is no reading, or times out of order.
    """
    with _named("--glucose", file):
        found = glucose_csv.read(file)
        if found.left_out:
            why = found.left_out[0]
            what = f"{why.rows} rows with {why.reason}, the first in line {why.first_line}"
            raise ConfigError("FILE", what, glucose_csv.REMEDIES[why.reason])
        people = found.people()
        if len(people) > 1:
            raise ConfigError("FILE", f"it holds {len(people)} people", "give a file with one")
        _check_values(found.rows)
        return _one_a_minute(file, found.rows, pace)


def _check_values(rows: list[glucose_csv.Row]) -> None:
    measured = [row for row in rows if math.isfinite(row.glucose_mg_dl)]
    low = min(measured, key=lambda row: row.glucose_mg_dl, default=None)
    if low is not None and low.glucose_mg_dl < GLUCOSE_MG_DL_MIN:
        what = f"the reading of {low.time} is {low.glucose_mg_dl:g} mg/dL"
        raise ConfigError("FILE", what, f"write LO below {GLUCOSE_MG_DL_MIN:g}")
    usual_mg_dl = glucose_csv.USUAL_MG_DL[0]
    if measured and max(row.glucose_mg_dl for row in measured) < usual_mg_dl:
        what = f"all its readings are below {usual_mg_dl:g} mg/dL"
        raise ConfigError("FILE", what, "name a column of mmol/L glucose_mmol_l")


def _one_a_minute(file: Path, rows: list[glucose_csv.Row], pace: float) -> GlucoseRecording:
    """Seconds since the first day's midnight; a CGM's records are told apart by their minute alone."""
    first = rows[0]
    midnight_utc_min = first.utc_min - (first.utc_min + first.offset_min) % DAY_MIN
    t_s: list[float] = []
    glucose_mg_dl: list[float] = []
    before, minute_before = first, -1
    for row in rows:
        if row.utc_min < before.utc_min:
            raise ConfigError("FILE", f"{row.time} comes after {before.time}", "sort its rows by time")
        since_s = round((row.utc_min - midnight_utc_min) * 60, 3)
        minute = math.floor(since_s / pace / 60)
        if minute > minute_before:
            t_s.append(since_s)
            glucose_mg_dl.append(row.glucose_mg_dl)
        before, minute_before = row, minute
    if len(t_s) < len(rows):
        what = f"{len(rows) - len(t_s)} of {len(rows)} readings left out: their minute has one already"
        print(f"vitalgate: --glucose {one_line(file.name)}: {what}", file=sys.stderr)
    return GlucoseRecording(np.array(t_s), np.array(glucose_mg_dl))


@contextmanager
def _named(option: str, file: Path) -> Iterator[None]:
    """What is wrong with a file, under the option and the name it was given."""
    try:
        yield
    except ConfigError as error:
        what = error.reason if error.key in ("FILE", "--column") else f"{error.key}: {error.reason}"
        raise ConfigError(f"{option} {file.name}", what, error.remedy) from error
