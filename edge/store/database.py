"""One connection to the encrypted database: statements, transactions, savepoints, typed failures.

Contract: SQLCipher with a raw key, WAL and full synchronisation, so that a committed transaction survives a power cut.
A connection is used by one thread at a time, but not always by the same one. `opening` finds, makes, migrates and sets
aside files. This module does not know what the tables mean.
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

# Small, because a commit writes whole pages. It cannot be changed once the file exists.
PAGE_BYTES = 1024

Value = str | int | float | bytes | None
Row = tuple[Any, ...]


class Database:
    """An open connection. Reads need no transaction; writes do."""

    def __init__(self, path: Path, identity: Identity, page_bytes: int = PAGE_BYTES) -> None:
        """Connect; nothing of the file is read yet.

        Raises:
            StoreUnavailable: the file cannot be opened.
        """
        self.path = path
        try:
            # One process has the store, so the index of its log need not lie in a file that all may map: keeping it up
            # to date would write more than everything else.
            self._connection = _connect(f"{path.absolute().as_uri()}?vfs=unix-excl", identity, page_bytes)
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
        """Commit everything that the block wrote, or nothing of it. Transactions do not nest.

        Raises:
            StoreUnavailable, StoreCorrupt: nothing that the block wrote is in the database.
        """
        assert not self.in_transaction, "transactions do not nest"
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            if not self.in_transaction:
                # On some errors, such as a full disk, SQLite rolls back by itself. What the block wrote later
                # was then written without a transaction.
                raise StoreUnavailable("the database cannot be used: the transaction was rolled back")
            self.execute("COMMIT")
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A savepoint: if the block raises, undo what it wrote, and nothing else of the transaction around it."""
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
        """All reads in the block see the same state, even if another connection commits meanwhile."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self.in_transaction:
                self.execute("ROLLBACK")

    @contextmanager
    def attached(self, path: Path, identity: Identity, name: str) -> Iterator[None]:
        """Attach another file, which has the cipher's default page size, under a schema name."""
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
        """Read, but return None after so many thousand steps of SQLite's virtual machine, or checked pages."""
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
    """Whether key and page size fit the first page of the file. Changes nothing, and takes no lock.

    Raises:
        StoreUnavailable: it cannot be read at all.
    """
    try:
        connection = _connect(f"{path.absolute().as_uri()}?immutable=1", identity, page_bytes)
        try:
            connection.execute("PRAGMA schema_version").fetchall()
        finally:
            connection.close()
    except sqlite.Error as failure:
        if _code(failure) in _UNAVAILABLE:
            _raise_typed(failure)
        return False
    return True


def _connect(name: str, identity: Identity, page_bytes: int) -> sqlite.Connection:
    # The owner sees to it that only one thread at a time uses the connection: a worker's thread is not the one that
    # opens it.
    connection = sqlite.connect(name, isolation_level=None, check_same_thread=False, uri=True)
    # Otherwise SQLCipher prints a line to stderr for each page that it cannot read.
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA key = \"x'{identity.store_key.hex()}'\"")
    connection.execute(f"PRAGMA cipher_page_size = {page_bytes}")
    return connection


def _code(failure: sqlite.Error) -> int:
    return int(getattr(failure, "sqlite_errorcode", 0)) & 0xFF


def _raise_typed(failure: sqlite.Error) -> NoReturn:
    """Turn SQLite's errors about disk and file into ours. An error about a statement is a defect and stays as it is."""
    code = _code(failure)
    if code in _CORRUPT:
        raise StoreCorrupt(f"the database is damaged: {failure}") from failure
    if code in _UNAVAILABLE:
        raise StoreUnavailable(f"the database cannot be used: {failure}") from failure
    raise failure
