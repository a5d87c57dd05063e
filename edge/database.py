"""The encrypted database file: opening, setting a damaged one aside, transactions, typed failures.

Contract: one process, one connection, SQLCipher with a raw key, WAL and full synchronisation: what a
transaction committed survives a power cut. A damaged file is moved aside, never deleted, and a new one
begins. A key that does not fit, another schema or another world (simulated or real) is left to the
operator. What the tables hold and mean is not known here.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlcipher3 import dbapi2 as sqlite

from edge import durable
from edge.errors import ConfigError, StoreCorrupt, StoreUnavailable
from edge.identity import Identity
from edge.tables import SCHEMA, SCHEMA_VERSION

# Result codes of SQLite, https://www.sqlite.org/rescode.html.
_CORRUPT = {11, 26}  # CORRUPT, NOTADB
_UNAVAILABLE = {3, 5, 6, 7, 8, 10, 13, 14, 23}  # PERM BUSY LOCKED NOMEM READONLY IOERR FULL CANTOPEN AUTH

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 4194304",
    "busy_timeout = 5000",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "mmap_size = 0",  # mapped memory turns an I/O error into a signal
    "temp_store = MEMORY",
    "secure_delete = FAST",
)

Value = str | int | float | bytes | None
Row = tuple[Any, ...]


class Database:
    """An open database. Reads may stand alone; writes need a transaction."""

    def __init__(self, path: Path, identity: Identity, *, simulated: bool | None) -> None:
        """Open, or create, the database at `path`.

        With `simulated` None it is only looked at: it has to exist, either world will do, and a damaged one
        stays where it is (StoreCorrupt).

        Raises:
            ConfigError: the key does not fit, the file is from another version or another world, or its
                directory cannot be used.
            StoreUnavailable: the disk is full, fails, or somebody holds the file.
        """
        self.path = path
        self.simulated = bool(simulated)
        self.quarantined: Path | None = None
        note = path.with_name(path.name + ".keycheck")
        noted = _noted(note)
        if simulated is not None:
            _make_room(path)
        self._connection = _connect(path, identity)
        try:
            try:
                self._examine(was_filled=noted is not None, key_is_noted=noted == identity.key_check)
            except StoreCorrupt:
                if simulated is None:
                    raise
                # Before closing: SQLite would write to the file, and delete its log.
                self.quarantined = _set_aside(path)
                self.close()
                self._connection = _connect(path, identity)
            self._prepare(simulated)
            if simulated is not None and noted != identity.key_check:
                with _usable(note):
                    durable.write(note, f"{identity.key_check}\n".encode(), 0o600)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block wrote, all or nothing. Transactions do not nest."""
        assert not self.in_transaction, "transactions do not nest"
        with typed_failures():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with typed_failures():
                self._connection.execute("COMMIT")
        finally:
            # After some failures, a full disk among them, SQLite has rolled back by itself.
            if self.in_transaction:
                with typed_failures():
                    self._connection.execute("ROLLBACK")

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def read(self, sql: str, *values: Value) -> list[Row]:
        with typed_failures():
            return list(self._connection.execute(sql, values))

    def write(self, sql: str, *values: Value) -> int:
        """Run one statement inside the open transaction; the number of rows it changed."""
        assert self.in_transaction, "a write needs a transaction"
        with typed_failures():
            return int(self._connection.execute(sql, values).rowcount)

    def _examine(self, *, was_filled: bool, key_is_noted: bool) -> None:
        """Tell a key that does not fit from damage: both make the first page unreadable.

        Then look at every page in use, through the log: a checkpoint cut short by a power cut is no damage.
        """
        if was_filled and self.path.exists() and self.path.stat().st_size == 0:
            raise StoreCorrupt("the database is damaged: it is empty, and was not")
        try:
            self.read("PRAGMA schema_version")
        except StoreCorrupt as failure:
            if key_is_noted:
                raise
            remedy = f"restore the key it was made with, or move {self.path} away"
            raise ConfigError(str(self.path), "was made with another key", remedy) from failure
        ((finding,),) = self.read("PRAGMA quick_check(1)")
        if finding != "ok":
            raise StoreCorrupt(f"the database is damaged: {' '.join(finding.split())}")

    def _prepare(self, simulated: bool | None) -> None:
        ((version,),) = self.read("PRAGMA user_version")
        if version == 0 and simulated is None:
            raise ConfigError(str(self.path), "holds nothing yet", "run the gateway first")
        if version == 0:
            # On an existing database this would be a write, and without effect.
            self.read("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in _PRAGMAS:
            self.read(f"PRAGMA {pragma}")
        if version == 0:
            self._create(bool(simulated))
        elif version != SCHEMA_VERSION:
            reason = f"has schema {version}, this program works with {SCHEMA_VERSION}"
            raise ConfigError(str(self.path), reason, "run the version that made it, or move it away")
        ((world,),) = self.read("SELECT value FROM meta WHERE key = 'world'")
        self.simulated = world == _world(simulated=True)
        if simulated not in (None, self.simulated):
            remedy = f"use another state_dir for {_world(bool(simulated))} sensors"
            raise ConfigError(str(self.path), f"holds data of {world} sensors", remedy)

    def _create(self, simulated: bool) -> None:
        with self.transaction():
            for statement in _statements(SCHEMA):
                self.write(statement)
            self.write("INSERT INTO meta VALUES ('world', ?)", _world(simulated))
            self.write(f"PRAGMA user_version = {SCHEMA_VERSION}")


@contextmanager
def typed_failures() -> Iterator[None]:
    """Turn SQLite's errors of medium and file into ours; a wrong statement stays what it is, our defect."""
    try:
        yield
    except sqlite.Error as failure:
        code = getattr(failure, "sqlite_errorcode", 0) & 0xFF
        if code in _CORRUPT:
            raise StoreCorrupt(f"the database is damaged: {failure}") from failure
        if code in _UNAVAILABLE:
            raise StoreUnavailable(f"the database cannot be used: {failure}") from failure
        raise


def _world(simulated: bool) -> str:
    return "simulated" if simulated else "real"


def _statements(script: str) -> Sequence[str]:
    """`executescript` would commit on its own, so the schema runs statement by statement."""
    return [statement for statement in script.split(";\n") if statement.strip()]


def _connect(path: Path, identity: Identity) -> sqlite.Connection:
    with typed_failures():
        connection = sqlite.connect(str(path), isolation_level=None)
        # SQLCipher would print a line to stderr for each page it cannot read.
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{identity.store_key.hex()}'\"")
    return connection


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """What the disk refuses here is for the operator to mend."""
    try:
        yield
    except OSError as fault:
        raise ConfigError(str(path), fault.strerror or str(fault), "correct gateway.state_dir") from fault


def _noted(note: Path) -> str | None:
    """The check of the key that the database was filled with; None if none ever was, or the note is lost."""
    with _usable(note), suppress(FileNotFoundError):
        return note.read_text(errors="replace").strip()
    return None


def _make_room(path: Path) -> None:
    with _usable(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its other files the mode of this one.
        path.touch(mode=0o600)


def _set_aside(path: Path) -> Path:
    """Move the damaged file and its companions to the first free `.corrupt-<n>`."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    with _usable(path):
        for suffix in ("-wal", "-shm", ""):
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.rename(aside.with_name(aside.name + suffix))
        path.touch(mode=0o600)
    return aside
