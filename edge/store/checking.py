"""Checks the database for damage without delaying anything: a part at the start, the rest in slices.

Contract: at the start a small file is checked completely, and of a large file only the small tables, within a budget,
unless damage of it was met before.
The large tables are then read, slice by slice, while the gateway runs. Every page carries a checksum (HMAC), so reading
a page shows whether the disk has damaged it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from edge.errors import StoreCorrupt, StoreUnavailable
from edge.store.database import Database, Value
from edge.store.tables import Tables

# The check at the start takes about 12 us a page.
START_PAGES_MAX = 16_384
START_STEPS_MAX = 500
SLICE_ROWS = 1000
SLICE_EVERY_S = 600.0
PASS_EVERY_S = 86_400.0


class Part(NamedTuple):
    """A table that grows for years: its key, and the column that fills its pages."""

    table: str
    key: tuple[str, ...]
    bulk: str


LARGE = (
    Part("deliveries", ("seq",), "ref"),
    Part("summaries", ("rowid",), "body"),
    Part("readings", ("session_no", "measurement", "sequence"), "status"),
    Part("raw_chunks", ("no",), "body"),
)


def check_at_start(database: Database) -> tuple[Part, ...]:
    """Check as much as the budget allows; returns the tables that were not reached.

    Raises:
        StoreCorrupt: the database is damaged.
    """
    ((pages,),) = database.read("PRAGMA page_count")
    if pages <= START_PAGES_MAX:
        _judge(database.read("PRAGMA quick_check(1)"))
        return ()
    large = {part.table for part in LARGE}
    for (table,) in database.read("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"):
        if table not in large:
            # Tables of an old schema need no check here: the migration reads them completely.
            _judge(database.read_within(START_STEPS_MAX, f"PRAGMA quick_check('{table}')"))
    return LARGE


def check_completely(database: Database) -> tuple[Part, ...]:
    """Check everything, however long it takes; nothing is left.

    Raises:
        StoreCorrupt: the database is damaged.
    """
    _judge(database.read("PRAGMA integrity_check(1)"))
    return ()


class RollingCheck:
    """Reads the large tables from beginning to end, again and again."""

    def __init__(self, first: Sequence[Part]) -> None:
        """`first`: the tables that the start did not reach. They are read before the others."""
        self._ahead = list(first)
        self._after: tuple[Value, ...] = ()

    async def run(self, read: Callable[[Callable[[Tables], None]], Awaitable[None]]) -> None:
        """Read slices until cancelled. `read` runs a slice in the store's reader, and handles damage that it finds."""
        while True:
            await asyncio.sleep(SLICE_EVERY_S if self._ahead else PASS_EVERY_S)
            if not self._ahead:
                self._ahead = list(LARGE)
            # If the disk is busy or failing, the slice is read again later.
            with suppress(StoreUnavailable):
                await read(self.read_slice)

    def read_slice(self, tables: Tables) -> None:
        """Read the next rows.

        Raises:
            StoreCorrupt: the database is damaged.
        """
        part = self._ahead[0]
        key = ", ".join(part.key)
        after = f"WHERE ({key}) > ({', '.join('?' * len(part.key))})" if self._after else ""
        rows = tables.database.read(
            f"SELECT {key}, substr({part.bulk}, -1) FROM {part.table} {after} ORDER BY {key} LIMIT {SLICE_ROWS}",  # noqa: S608
            *self._after,
        )
        if len(rows) < SLICE_ROWS:
            self._ahead.pop(0)
            self._after = ()
        else:
            self._after = rows[-1][:-1]


def _judge(findings: Sequence[tuple[str]] | None) -> None:
    """Raise what a check found; None means that its budget was used up before it found anything."""
    if findings and findings[0][0] != "ok":
        raise StoreCorrupt(f"the database is damaged: {' '.join(findings[0][0].split())}")
