"""RR intervals in a CSV file: one row for each, in ms, of one record or of several; or a bare list of them.

The column of intervals may stand beside others. Of these, two matter (in any case): one of `IDS` names the record
a row belongs to, and one of `TIMES` makes the rows moments, such as the notifications of a strap. There an empty
cell says that nothing was sent, and the intervals before and behind it follow each other. Without such a column
a row is an interval, and one that holds none is a gap; so is `nan` in either. What is too short or too long for an
interval is not decided here.
"""

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from edge.errors import ConfigError
from tools.analyse import recording_files
from tools.analyse.recording_files import Table

IDS = ("record", *recording_files.IDS)
TIMES = ("time", "timestamp")


class Record(NamedTuple):
    """The rows of one record as they stand in the file."""

    id: str | None  # None if the file does not say
    row: npt.NDArray[np.int64]  # the number of each in the file, 1 = the first below the header
    rr_ms: F64  # NaN where there is none
    was_sent: npt.NDArray[np.bool_]  # False where there was none to send


class _Rows(NamedTuple):
    row: "array[int]"
    rr_ms: "array[float]"
    was_sent: bytearray


def records(file: Path, column: str) -> list[Record]:
    """Every record of a file, in the order of appearance.

    Raises:
        ConfigError: the file cannot be read, has no such column, or something else than numbers in it.
    """
    found: dict[str, _Rows] = {}
    count = 0
    with recording_files.table(file, bare=column) as table:
        k, of_record, has_times = table.column(column), table.find(*IDS), table.find(*TIMES)
        for count, row in enumerate(_rows(table), 1):
            text = _cell(row, k)
            rows = found.setdefault(_cell(row, of_record), _Rows(array("q"), array("d"), bytearray()))
            rows.row.append(count)
            rows.rr_ms.append(table.number_or_nan(column, text))
            rows.was_sent.append(bool(text) or has_times is None)
    if not found:
        raise ConfigError("FILE", f"no intervals in {file.name}", "it has no rows below its header")
    if of_record is None or 1 < count == len(found):
        return [_record(None, list(found.values()))]  # a name for each row is its number, and names no record
    return [_record(name, [rows]) for name, rows in found.items()]


def _rows(table: Table) -> Iterator[list[str]]:
    """A blank line is no row - but among rows of a single cell an empty one, if more rows follow."""
    blank = 0
    for row in table.rows:
        if row:
            yield from [[""]] * blank
            yield row
            blank = 0
        elif len(table.columns) == 1:
            blank += 1


def _cell(row: list[str], k: int | None) -> str:
    return row[k].strip() if k is not None and k < len(row) else ""


def _record(name: str | None, parts: list[_Rows]) -> Record:
    row, rr_ms, was_sent = (
        np.concatenate([np.asarray(x) for x in column]) for column in zip(*parts, strict=True)
    )
    return Record(name, row, as_f64(rr_ms), was_sent.astype(bool))
