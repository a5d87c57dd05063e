"""Who has what on the bench, in a SQLite file that all who use it share.

    a resource is | when                                                            | may be taken
    --------------|-----------------------------------------------------------------|-------------
    free          | nobody has had it, or who had it has given it back              | yes
    held          | its holder lives, and has renewed the lease within SILENT_S     | no
    left behind   | its holder has ended, in whatever way, or the machine has       | yes
    silent        | its holder lives, and has not renewed the lease for SILENT_S    | yes

Contract: several resources are taken together or not at all, so nobody waits for one while holding another. Each time a
resource is taken its fence, a number, grows. A holder stops by itself: `Lease.require` refuses once TERM_S have passed
since it renewed, which is sooner than others call it silent, and what was refused once is refused for ever. All
compare the same clock, that of the boot, which also runs while the machine sleeps. A process that is killed at any
moment leaves a file that the next one can use.

Limits: what a process has begun before it stopped, it ends when it goes on; a dongle's own lock (USB claims an
interface, a serial port is opened exclusively) is what keeps the last packet from somebody else's dongle.

Not here: what the names mean (`inventory`), and who is alive (`holders`).
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from edge.clock import NS_PER_S, Clock
from edge.workers import in_thread
from tools.rig.bench import holders
from tools.rig.bench.errors import BenchError, LeaseLost, NothingFree
from tools.rig.bench.holders import Holder

HEARTBEAT_S: Final = 2.0
TERM_S: Final = 10.0
SILENT_S: Final = 15.0
BUSY_S: Final = 5.0
"""How long somebody else may write the file; a write takes milliseconds."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS resource (
    name TEXT PRIMARY KEY, fence INTEGER NOT NULL, purpose TEXT NOT NULL, renewed_ns INTEGER NOT NULL,
    boot_id TEXT, namespace TEXT, pid INTEGER, started INTEGER
) STRICT
"""
_RENEW: Final = "UPDATE resource SET renewed_ns = ? WHERE name = ? AND fence = ?"
_GIVE_BACK: Final = """
UPDATE resource SET boot_id = NULL, namespace = NULL, pid = NULL, started = NULL WHERE name = ? AND fence = ?
"""


class Wanted(NamedTuple):
    """So many of these resources, whichever are free."""

    names: Sequence[str]
    number: int = 1


class Row(NamedTuple):
    """A resource that somebody has had: its fence, for what, since when silent, and its holder, if it has one."""

    name: str
    fence: int
    purpose: str
    renewed_ns: int
    holder: Holder | None


@dataclass
class Lease:
    """What a process holds: the fence of each resource, by name."""

    holder: Holder
    fences: Mapping[str, int]
    clock: Clock
    renewed_ns: int
    is_lost: bool = False

    def require(self) -> None:
        """Refuse to go on if others may hold it by now. Raises LeaseLost."""
        if self.is_lost or self.clock.boot_ns() - self.renewed_ns >= TERM_S * NS_PER_S:
            self.is_lost = True
            raise LeaseLost(", ".join(self.fences), f"the lease was not renewed for {TERM_S:g} s")


class Leases:
    """The file, and how this process uses it."""

    def __init__(self, path: Path, clock: Clock, is_gone: Callable[[Holder], bool] = holders.is_gone) -> None:
        self._path = path
        self._clock = clock
        self._is_gone = is_gone

    def take(self, wanted: Sequence[Wanted], purpose: str) -> Lease:
        """Hold what is wanted, all of it.

        Raises:
            NothingFree: others hold too much of it; nothing is held then.
            BenchError: the file cannot be used.
        """
        holder = holders.this_process()
        with self._changing() as database:
            now_ns = self._clock.boot_ns()
            rows = {row.name: row for row in _rows(database)}
            fences: dict[str, int] = {}
            for names, number in wanted:
                free = [
                    name for name in names if name not in fences and self._is_free(rows.get(name), now_ns)
                ]
                if len(free) < number:
                    raise NothingFree(_shown(names, number), self._who(rows, names, now_ns))
                fences |= {name: _fence(rows.get(name)) + 1 for name in free[:number]}
            for name, fence in fences.items():
                database.execute(
                    "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (name, fence, purpose, now_ns, *holder),
                )
        return Lease(holder, fences, self._clock, now_ns)

    def renew(self, lease: Lease) -> None:
        """Say that this process goes on.

        Raises:
            LeaseLost: it was silent for too long.
            BenchError: the file cannot be used.
        """
        lease.require()
        with self._changing() as database:
            now_ns = self._clock.boot_ns()
            for name, fence in lease.fences.items():
                changed = database.execute(_RENEW, (now_ns, name, fence))
                if changed.rowcount != 1:
                    lease.is_lost = True
                    raise LeaseLost(name, "another process has taken it")
        lease.renewed_ns = now_ns

    def give_back(self, lease: Lease) -> None:
        """Hold it no longer. What others have taken meanwhile stays theirs. Raises BenchError."""
        lease.is_lost = True
        with self._changing() as database:
            for name, fence in lease.fences.items():
                database.execute(_GIVE_BACK, (name, fence))

    def rows(self) -> list[Row]:
        """Whatever was held at any time. Raises BenchError."""
        with self._changing() as database:
            return list(_rows(database))

    def state(self, row: Row) -> str:
        """As the table above says."""
        if row.holder is None:
            return "free"
        if self._is_gone(row.holder):
            return "left behind"
        is_silent = self._clock.boot_ns() - row.renewed_ns >= SILENT_S * NS_PER_S
        return "silent" if is_silent else "held"

    async def keep(self, lease: Lease, every_s: float = HEARTBEAT_S) -> None:
        """Renew it again and again, until cancelled. Raises as `renew`."""
        while True:
            await asyncio.sleep(every_s)
            await in_thread(lambda: self.renew(lease))

    def _is_free(self, row: Row | None, now_ns: int) -> bool:
        if row is None or row.holder is None or self._is_gone(row.holder):
            return True
        return now_ns - row.renewed_ns >= SILENT_S * NS_PER_S

    def _who(self, rows: Mapping[str, Row], names: Sequence[str], now_ns: int) -> str:
        held = [rows[name] for name in names if not self._is_free(rows.get(name), now_ns)]
        said = [
            f"{row.name} is held by process {row.holder.pid} ({row.purpose})" for row in held if row.holder
        ]
        return "; ".join(said) or "there are no more"

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """The database, for one change that happens whole or not at all."""
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as database:
                database.execute("BEGIN IMMEDIATE")
                database.execute(_SCHEMA)
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise BenchError(f"the leases in {self._path}", str(error)) from error


def _rows(database: sqlite3.Connection) -> Iterator[Row]:
    query = "SELECT name, fence, purpose, renewed_ns, boot_id, namespace, pid, started FROM resource ORDER BY name"
    for name, fence, purpose, renewed_ns, *holder in database.execute(query):
        yield Row(name, fence, purpose, renewed_ns, None if holder[0] is None else Holder(*holder))


def _fence(row: Row | None) -> int:
    return 0 if row is None else row.fence


def _shown(names: Sequence[str], number: int) -> str:
    return f"{number} of {', '.join(names) or 'nothing'}"
