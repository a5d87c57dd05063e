"""One connection to the encrypted database: statements, transactions, savepoints, typed failures.

Contract: SQLCipher with a raw key, WAL and full synchronisation: what a transaction committed survives a power cut. A
connection is used by one thread at a time, not always the same one. How a file is found, made, migrated and set aside
is in `opening`; what the tables hold and mean is not known here.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sqlcipher3 import dbapi2 as sqlite

from edge.errors import StoreCorrupt, StoreUnavailable
from edge.identity import Identity

# Result codes of SQLite, https://www.sqlite.org/rescode.html.
_INTERRUPTED = 9
_CORRUPT = {11, 26}  # CORRUPT, NOTADB
_UNAVAILABLE = {3, 5, 6, 7, 8, 10, 13, 14, 23}  # PERM BUSY LOCKED NOMEM READONLY IOERR FULL CANTOPEN AUTH

READING = (
    "busy_timeout = 5000",
    "cache_size = -4000",  # kB
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "mmap_size = 0",  # mapped memory turns an I/O error into a signal
    "temp_store = MEMORY",
)
WRITING = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 2000",
    "journal_size_limit = 4194304",
    "foreign_keys = ON",
    "secure_delete = FAST",
)

# Small, because a commit writes whole pages. Fixed when a file is made.
PAGE_BYTES = 1024

Value = str | int | float | bytes | None
Row = tuple[Any, ...]


class Database:
    """An open connection. Reads may stand alone; writes need a transaction."""

    def __init__(self, path: Path, identity: Identity, page_bytes: int = PAGE_BYTES) -> None:
        """Connect; nothing of the file is read yet.

        Raises:
            StoreUnavailable: the file cannot be opened.
        """
        self.path = path
        try:
            self._connection = _connect(str(path), identity, page_bytes)
        except sqlite.Error as failure:
            _raise_typed(failure)

    def close(self) -> None:
        self._connection.close()

    def set(self, pragmas: Iterable[str]) -> None:
        for pragma in pragmas:
            self.execute(f"PRAGMA {pragma}")

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block wrote, all or nothing. Transactions do not nest.

        Raises:
            StoreUnavailable, StoreCorrupt: nothing of the block is in the database, whatever failed.
        """
        assert not self.in_transaction, "transactions do not nest"
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            if not self.in_transaction:
                # A full disk, among others, makes SQLite roll back by itself: what was written since stood alone.
                raise StoreUnavailable("the database cannot be used: the transaction was rolled back")
            self.execute("COMMIT")
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote if it raises, and nothing else of the transaction around it."""
        self.write("SAVEPOINT work")
        try:
            yield
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK TO work")
                self.execute("RELEASE work")
            raise
        if self.in_transaction:
            self.execute("RELEASE work")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads of the block see the same state, whatever is committed meanwhile."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def attached(self, path: Path, identity: Identity, name: str) -> Iterator[None]:
        """Tables of another file, which has the cipher's default page size, are there under a name of their own."""
        self.execute(f"ATTACH ? AS {name} KEY \"x'{identity.store_key.hex()}'\"", (str(path),))
        try:
            yield
        finally:
            self.execute(f"DETACH {name}")

    def read(self, sql: str, *values: Value) -> list[Row]:
        return self.execute(sql, values)

    def write(self, sql: str, *values: Value) -> int:
        """Run one statement inside the open transaction; the number of rows it changed."""
        assert self._connection.in_transaction, "a write needs a transaction"
        try:
            return int(self._connection.execute(sql, values).rowcount)
        except sqlite.Error as failure:
            _raise_typed(failure)

    def write_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        """Run one statement for each row inside the open transaction; the number of rows it changed."""
        assert self._connection.in_transaction, "a write needs a transaction"
        try:
            return int(self._connection.executemany(sql, rows).rowcount)
        except sqlite.Error as failure:
            _raise_typed(failure)

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run a statement that needs no transaction, or makes one."""
        try:
            return list(self._connection.execute(sql, values))
        except sqlite.Error as failure:
            _raise_typed(failure)

    def read_within(self, steps_max: int, sql: str) -> list[Row] | None:
        """Read, but give up after so many thousand steps of SQLite's machine, or pages that it checks; then None."""
        steps = iter(range(steps_max))
        self._connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
        try:
            return list(self._connection.execute(sql))
        except sqlite.Error as failure:
            if _code(failure) == _INTERRUPTED:
                return None
            _raise_typed(failure)
        finally:
            self._connection.set_progress_handler(None, 0)


def can_read(path: Path, identity: Identity, page_bytes: int) -> bool:
    """Whether key and page size fit the first page of the file itself; nothing is changed, not even a lock taken."""
    connection = _connect(f"{path.absolute().as_uri()}?immutable=1", identity, page_bytes)
    try:
        connection.execute("PRAGMA schema_version").fetchall()
    except sqlite.Error:
        return False
    finally:
        connection.close()
    return True


def _connect(name: str, identity: Identity, page_bytes: int) -> sqlite.Connection:
    # One thread at a time is the business of who owns this: a worker's thread is not the one that opens.
    connection = sqlite.connect(
        name, isolation_level=None, check_same_thread=False, uri=name.startswith("file:")
    )
    # SQLCipher would print a line to stderr for each page it cannot read.
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA key = \"x'{identity.store_key.hex()}'\"")
    connection.execute(f"PRAGMA cipher_page_size = {page_bytes}")
    return connection


def _code(failure: sqlite.Error) -> int:
    return int(getattr(failure, "sqlite_errorcode", 0)) & 0xFF


def _raise_typed(failure: sqlite.Error) -> NoReturn:
    """Turn SQLite's errors of medium and file into ours; a wrong statement stays what it is, our defect."""
    code = _code(failure)
    if code in _CORRUPT:
        raise StoreCorrupt(f"the database is damaged: {failure}") from failure
    if code in _UNAVAILABLE:
        raise StoreUnavailable(f"the database cannot be used: {failure}") from failure
    raise failure
