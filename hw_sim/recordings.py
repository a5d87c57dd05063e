"""Recordings of real people: files -> arrays and endless sources a simulated sensor can wear.

A beat source is an iterator of RR intervals in ms; a glucose source is an iterator of (seconds since the
source began, mg/dL) with increasing times. The body models in `physiology` give the same two shapes.

Must not be here: anything that knows a sensor, a radio or a clock.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator
from datetime import datetime, time
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_DAY_S = 86_400.0
_RR_MS_MIN, _RR_MS_MAX = 1.0, 63_999.0  # a Heart Rate Measurement carries RR as uint16 in 1/1024 s


class RecordingError(Exception):
    """A recording cannot be used: the file is torn, or is not the kind of file it should be."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class GlucoseRecording(NamedTuple):
    """A glucose trace: times since local midnight of its first day, and mg/dL (NaN, -inf LO, +inf HI)."""

    t_s: NDArray[np.float64]
    glucose_mg_dl: NDArray[np.float64]


def load_rr(path: Path) -> NDArray[np.float64]:
    """RR intervals in ms, in beat order, from the column `rr_ms` of a CSV or CSV.gz file."""
    [texts] = _columns(path, "rr_ms")
    rr_ms = np.array([_number(path, line, text) for line, text in enumerate(texts, 2)])
    if not np.all((rr_ms >= _RR_MS_MIN) & (rr_ms <= _RR_MS_MAX)):
        raise RecordingError(path, f"an RR interval is not within {_RR_MS_MIN:.0f}..{_RR_MS_MAX:.0f} ms")
    return rr_ms


def load_glucose(path: Path) -> GlucoseRecording:
    """A trace from the columns `time` (local, ISO 8601) and `glucose_mg_dl` of a CSV or CSV.gz file."""
    stamps, values = _columns(path, "time", "glucose_mg_dl")
    glucose_mg_dl = np.array([_number(path, line, text) for line, text in enumerate(values, 2)])
    times = [_stamp(path, line, text) for line, text in enumerate(stamps, 2)]
    midnight = datetime.combine(times[0], time())
    t_s = np.array([(stamp - midnight).total_seconds() for stamp in times])
    if not np.all(np.diff(t_s) > 0):
        raise RecordingError(path, "the times do not increase")
    return GlucoseRecording(t_s, glucose_mg_dl)


def repeat(rr_ms: NDArray[np.float64]) -> Iterator[float]:
    """The beats of a recording, over and over."""
    beats = rr_ms.tolist()
    while True:
        yield from beats


def repeat_days(recording: GlucoseRecording) -> Iterator[tuple[float, float]]:
    """The readings of a recording, over and over, each round at the same times of day."""
    readings = list(zip(*(column.tolist() for column in recording), strict=True))
    round_s = math.ceil((readings[-1][0] + 1) / _DAY_S) * _DAY_S
    for n in count():
        for t_s, glucose_mg_dl in readings:
            yield t_s + n * round_s, glucose_mg_dl


def _columns(path: Path, *names: str) -> list[tuple[str, ...]]:
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            rows = csv.DictReader(file, strict=True)
            missing = set(names) - set(rows.fieldnames or ())
            if missing:
                raise RecordingError(path, f"no column {', '.join(sorted(missing))}")
            table = [tuple(row[name] or "" for name in names) for row in rows]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(path, str(error)) from error
    if not table:
        raise RecordingError(path, "no rows")
    return list(zip(*table, strict=True))


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise RecordingError(path, f"line {line}: {text!r} is not a number") from error


def _stamp(path: Path, line: int, text: str) -> datetime:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise RecordingError(path, f"line {line}: {text!r} is not a time") from error
    if stamp.tzinfo is not None:
        raise RecordingError(path, f"line {line}: {text!r} is not a local time")
    return stamp
