"""Files of `vitalgate analyse`: CSV tables that come in, and where the results go.

The only place that knows how a CSV is packed, separated and headed, how a cell says that it holds nothing, and what
the column is called that tells people apart. What the other columns mean must not be here.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from edge.errors import ConfigError

if TYPE_CHECKING:
    from _csv import Reader

LINE_CHARS_MAX = 1 << 20
DRAWINGS = (".png", ".svg")
MISSING = frozenset(("", "-", "na", "n/a", "<na>", "nan", "nat", "null", "none"))
IDS = ("id", "subject", "subject_id", "patient", "patient_id", "user_id", "participant_id")


class Kept(NamedTuple):
    """Where a gateway keeps its data: its state directory, and its key, if that lies elsewhere."""

    directory: Path
    key_file: Path | None


def chosen(file: Path | None, store: Path | None, key_file: Path | None) -> Kept | None:
    """What is to be analysed: a store, or else the file.

    Raises:
        ConfigError: both are given, or none.
    """
    if (file is None) == (store is None):
        raise ConfigError("FILE", "give a file or --store, one of both", "see --help for examples")
    if store is None:
        return None
    return Kept(store, key_file)


class Table(NamedTuple):
    """An open CSV file.

    Attributes:
        name: of the file.
        columns: names in the header, in lower case without the spaces around them.
        rows: of the rest of the file; a row may be shorter than the header, or empty.
        decimal: what stands before decimals, a comma where spreadsheets separate columns by semicolons.
        header_lines: 1, or 0 for a bare list of numbers.
    """

    name: str
    columns: list[str]
    rows: "Reader"
    decimal: str
    header_lines: int

    @property
    def line(self) -> int:
        """Number of the line read last, the first of the file being 1."""
        return self.rows.line_num + self.header_lines

    def find(self, *names: str) -> int | None:
        """Where the first of these names that the header has stands, without regard to case and spaces."""
        for name in (name.strip().lower() for name in names):
            if self.columns.count(name) > 1:
                raise ConfigError("FILE", f"it has two columns {name}", "keep the one that counts")
            if name in self.columns:
                return self.columns.index(name)
        return None

    def column(self, name: str) -> int:
        """Where the column stands that the user has named."""
        k = self.find(name)
        if k is None:
            found = ", ".join(self.columns) or "nothing"
            raise ConfigError("--column", f"{self.name} has no column {name}", f"it has: {found}")
        return k

    def number_or_nan(self, column: str, text: str) -> float:
        """A cell of that column, which holds a number or nothing."""
        try:
            return math.nan if text.lower() in MISSING else self.number(text)
        except ValueError as error:
            what = f"{self.name}, line {self.line}: column {column} is not a number"
            raise ConfigError("FILE", what, str(error)) from error

    def number(self, text: str) -> float:
        """A cell as a number, or a ValueError. Python would read 1_00 as 100."""
        if "_" in text:
            raise ValueError(f"could not convert string to float: {text!r}")
        return float(text if self.decimal == "." else text.replace(self.decimal, "."))


@contextmanager
def table(file: Path, bare: str = "") -> Iterator[Table]:
    """A CSV or CSV.gz file, its header read.

    Args:
        file: to read.
        bare: what the only column of a file is called that begins with a number instead of a header.

    Raises:
        ConfigError: it cannot be read, at once or later on.
    """
    try:
        with _text_of(file) as text:
            # A file without line ends, such as /dev/zero, is not read to its end, which may never come.
            text_lines = iter(partial(text.readline, LINE_CHARS_MAX), "")
            header = next(text_lines, "")
            if len(header) == LINE_CHARS_MAX:
                raise ConfigError("FILE", f"the first line of {file} does not end", "give a CSV file")
            separator = ";" if ";" in header else ","
            first, rows = (
                csv.reader(lines, delimiter=separator, skipinitialspace=True)
                for lines in ([header], text_lines)
            )
            columns = [name.strip().lower() for name in next(first, [])]
            if bare and len(columns) == 1 and _is_number(columns[0]):
                yield Table(file.name, [bare.lower()], csv.reader(chain([header], text_lines)), ".", 0)
            else:
                yield Table(file.name, columns, rows, "," if separator == ";" else ".", 1)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot read {file}: {error}"
        raise ConfigError("FILE", what, "give a CSV or CSV.gz file in UTF-8") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextmanager
def _text_of(file: Path) -> Iterator[TextIO]:
    """A file's text, unpacked if compressed; how much of it has been read shows on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        progress.open(file, "rb", description=f"Reading {file.name}") as packed,
        gzip.open(packed) if file.suffix.lower() == ".gz" else packed as raw,
        TextIOWrapper(raw, "utf-8-sig", newline="") as text,
    ):
        yield text


def check_outputs(source: Path, outputs: Mapping[str, Path | None]) -> None:
    """What cannot be written is said before the work, not after it. The key of a drawing is --plot."""
    taken = {source.resolve(): "the file to read"}
    for option, file in outputs.items():
        if file is None:
            continue
        if not file.parent.is_dir():
            raise ConfigError(option, f"there is no directory {file.parent}", "make it, or name another")
        if file.is_dir():
            raise ConfigError(option, f"{file} is a directory", "name a file")
        if option == "--plot" and file.suffix.lower() not in DRAWINGS:
            raise ConfigError(option, f"{file.name} is neither .png nor .svg", "choose one of them")
        same = [what for other, what in taken.items() if file.resolve() == other or _is_same(file, other)]
        if same:
            raise ConfigError(option, f"{file} is {same[0]}", "name another file")
        taken[file.resolve()] = f"the file of {option}"


def _is_same(file: Path, other: Path) -> bool:
    """Whether two names, as hard links are, lead to one file."""
    return file.is_file() and other.is_file() and file.samefile(other)


@contextmanager
def writing(option: str) -> Iterator[None]:
    """The disk's refusals are the user's to mend."""
    try:
        yield
    except OSError as error:
        raise ConfigError(option, str(error), "choose a file that can be written") from error
