"""Files of `vitalgate analyse`: CSV tables that come in, and where the results go.

The only place that knows how a CSV is packed, separated and headed. What its columns mean must not be here.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from edge.errors import ConfigError

if TYPE_CHECKING:
    from _csv import Reader

DRAWINGS = (".png", ".svg")


class Table(NamedTuple):
    """An open CSV file.

    Attributes:
        columns: names in the header, in lower case without the spaces around them.
        rows: of the rest of the file; a row may be shorter than the header, or empty.
        decimal: what stands before decimals, a comma where spreadsheets separate columns by semicolons.
    """

    columns: list[str]
    rows: "Reader"
    decimal: str

    @property
    def line(self) -> int:
        """Number of the line read last, the header being line 1."""
        return self.rows.line_num + 1

    def find(self, *names: str) -> int | None:
        """Where the first of these names that the header has stands, without regard to case and spaces."""
        for name in (name.strip().lower() for name in names):
            if self.columns.count(name) > 1:
                raise ConfigError("FILE", f"it has two columns {name}", "keep the one that counts")
            if name in self.columns:
                return self.columns.index(name)
        return None

    def number(self, text: str) -> float:
        """A cell as a number, or a ValueError. Python would read 1_00 as 100."""
        if "_" in text:
            raise ValueError(f"could not convert string to float: {text!r}")
        return float(text if self.decimal == "." else text.replace(self.decimal, "."))


@contextmanager
def table(file: Path) -> Iterator[Table]:
    """A CSV or CSV.gz file, its header read.

    Raises:
        ConfigError: it cannot be read, at once or later on.
    """
    try:
        with _text_of(file) as text:
            header = text.readline()
            separator = ";" if ";" in header else ","
            first, rows = (
                csv.reader(lines, delimiter=separator, skipinitialspace=True) for lines in ([header], text)
            )
            columns = [name.strip().lower() for name in next(first, [])]
            yield Table(columns, rows, "," if separator == ";" else ".")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        what = f"cannot read {file}: {error}"
        raise ConfigError("FILE", what, "give a CSV or CSV.gz file in UTF-8") from error


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
