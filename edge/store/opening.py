"""Opening the store: find or make the file, tell a wrong key from damage, set damage aside, migrate.

Contract: a damaged file is set aside and a new one begins. A disk that would not read a page once has not damaged it,
so damage is what three connections find in the same place: what one could not read stays unreadable to it, and two may
miss the same page by chance. A wrong key, a later schema, or data of the other world (real and simulated data are never
mixed) is an error that the operator has to solve. A database without data belongs to neither world. The check has a
budget; parts of a large file that it does not reach are checked while the gateway runs. A file that was marked as
damaged while it was in use is checked completely, and is used if it is whole. If only the log is damaged, a copy of it
is kept and what SQLite recovered is used.

The note of the key is written when the new database has its tables, and goes when the database is set aside: a database
beside such a note was whole once. One without tables and without a note was never finished.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from edge import durable
from edge.errors import ConfigError, StoreCorrupt, StoreUnavailable
from edge.identity import Identity
from edge.store import checking, damage, migrations, write_ahead
from edge.store.database import PAGE_BYTES, READING, WRITING, Database, can_read
from edge.store.schema import SCHEMA_VERSION, create

# How many connections have to find the same before it is damage.
FINDS = 3
# How often to look before a disk is said to read nothing so often.
LOOKS_MAX = 8


class Opened(NamedTuple):
    """A connection, and what opening the file found out.

    Attributes:
        simulated: whether its data come from simulated sensors.
        quarantined: the new path of a damaged file that was set aside.
        log_copy: where a log is kept that ended too early because it was damaged.
        unchecked: the tables that the check did not reach within its budget.
    """

    database: Database
    simulated: bool
    quarantined: Path | None
    log_copy: Path | None
    unchecked: tuple[checking.Part, ...]


def open_for_writing(path: Path, identity: Identity, *, simulated: bool) -> Opened:
    """Open, or create, the database at `path`.

    Raises:
        ConfigError: the key does not fit, the file is from a later version or another world, or its directory
            cannot be used.
        StoreUnavailable: the disk is full, fails, or somebody holds the file.
    """
    with _usable(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives the files that it makes beside this one the same mode.
        path.touch(mode=0o600)
    with ExitStack() as unless_opened:
        quarantined = None
        try:
            database, unchecked, log_copy = _found_whole(path, identity, unless_opened)
        except StoreCorrupt:
            # Before closing: SQLite would write to the file, and delete its log.
            with _usable(path):
                quarantined = damage.set_aside(path)
                _note(path).unlink(missing_ok=True)
                path.touch(mode=0o600)
            unless_opened.close()
            database, unchecked, log_copy = _connected(path, identity, unless_opened), (), None
        _prepare(database, simulated=simulated)
        if _noted(path) != identity.key_check:
            with _usable(path):
                durable.write(_note(path), f"{identity.key_check}\n".encode(), 0o600)
        unless_opened.pop_all()
    return Opened(database, simulated, quarantined, log_copy, unchecked)


def open_for_reading(path: Path, identity: Identity) -> Opened:
    """Open an existing database, and change nothing.

    Raises:
        ConfigError: there is no database, the key does not fit, or the schema is of another version.
        StoreCorrupt: it is damaged; it is not set aside.
        StoreUnavailable: it cannot be read.
    """
    with _usable(path):
        if not path.exists():
            raise ConfigError(str(path), "is not there", "run the gateway first")
    with ExitStack() as unless_opened:
        with _usable(path):
            if (reason := damage.marked(path)) is not None:
                raise StoreCorrupt(reason)
            # Before connecting: SQLite deletes the log when the last connection is closed.
            if _log_is_damaged(path, identity):
                raise StoreCorrupt(
                    "the log of the database is damaged; the next run keeps it and goes on with what is whole"
                )
        database = _unlocked(path, identity, unless_opened)
        version = _version(database)
        if version == 0:
            _must_be_new(path)
            raise ConfigError(str(path), "holds nothing yet", "run the gateway first")
        if version < SCHEMA_VERSION:
            raise ConfigError(str(path), f"has schema {version}, an older one", "run the gateway first")
        checking.check_at_start(database)
        database.set(READING)
        simulated = _world(database) == _name(simulated=True)
        unless_opened.pop_all()
    return Opened(database, simulated, None, None, ())


def _found_whole(
    path: Path, identity: Identity, unless_opened: ExitStack
) -> tuple[Database, tuple[checking.Part, ...], Path | None]:
    """As `_whole`, but it raises StoreCorrupt only for what is found again and again in the same place."""
    finds: Counter[str] = Counter()
    with ExitStack() as looks:
        for _ in range(LOOKS_MAX):
            # An earlier connection is open until this one is: if it closed as the last one, SQLite would write.
            look = looks.enter_context(ExitStack())
            try:
                whole = _whole(path, identity, look)
            except StoreCorrupt as found:
                finds[found.reason] += 1
                if finds[found.reason] == FINDS:
                    unless_opened.push(look.pop_all())
                    raise
            else:
                unless_opened.push(look.pop_all())
                return whole
    raise StoreUnavailable("the database cannot be used: the disk reads it differently each time")


def _whole(
    path: Path, identity: Identity, unless_opened: ExitStack
) -> tuple[Database, tuple[checking.Part, ...], Path | None]:
    """A connection to the file in its present version, the tables that were not checked, and the copy of its log.

    SQLite reads the file together with its log, so a checkpoint that a power cut interrupted is no damage.
    """
    database = _unlocked(path, identity, unless_opened)
    with _usable(path):
        is_marked = damage.marked(path) is not None
    unchecked = checking.check_completely(database) if is_marked else checking.check_at_start(database)
    version = _version(database)
    if version == 0:
        _must_be_new(path)
    with _usable(path):
        damage.unmark(path)
        log_copy = damage.keep_log(path) if _log_is_damaged(path, identity) else None
    if version == migrations.COPIED_VERSION:
        database.close()
        migrations.migrate(path, identity)
        return _connected(path, identity, unless_opened), (), log_copy
    return database, unchecked, log_copy


def _unlocked(path: Path, identity: Identity, unless_opened: ExitStack) -> Database:
    """A connection to a file, with a key that fits.

    A key that does not fit, damage and the pages of an old version all make the first page unreadable.
    """
    with _usable(path):
        if path.stat().st_size == 0:
            # Before connecting: SQLite deletes the log of an empty file.
            _must_be_new(path)
        page_bytes = _page_bytes(path, identity)
    database = _connected(path, identity, unless_opened, page_bytes)
    try:
        database.read("PRAGMA schema_version")
    except StoreCorrupt as failure:
        if _noted(path) == identity.key_check:
            raise
        remedy = f"restore the key it was made with, or move {path} away"
        raise ConfigError(str(path), "was made with another key", remedy) from failure
    return database


def _page_bytes(path: Path, identity: Identity) -> int:
    """The page size of the file. Its log says it; without a log, the sizes are tried on the first page.

    This must not be tried by opening the database: with the wrong page size, SQLite deletes the log.
    """
    sizes = (PAGE_BYTES, migrations.OLD_PAGE_BYTES)
    told = write_ahead.page_bytes(write_ahead.log_of(path))
    if told in sizes:
        return told
    return next((page_bytes for page_bytes in sizes if can_read(path, identity, page_bytes)), PAGE_BYTES)


def _log_is_damaged(path: Path, identity: Identity) -> bool:
    return write_ahead.hides_commits(write_ahead.log_of(path), _page_bytes(path, identity))


def _must_be_new(path: Path) -> None:
    """Raise StoreCorrupt if the database, which has no tables, has had some."""
    if _noted(path) is not None:
        raise StoreCorrupt("the database is damaged: it is empty, and was not")


def _connected(
    path: Path, identity: Identity, unless_opened: ExitStack, page_bytes: int = PAGE_BYTES
) -> Database:
    database = Database(path, identity, page_bytes)
    unless_opened.callback(database.close)
    return database


def _prepare(database: Database, *, simulated: bool) -> None:
    """Apply the settings, make the schema or bring it up to date, and check which world the data are of."""
    version = _version(database)
    is_new = version == 0
    # What an earlier process left behind the end of the log must not look like damage to the next one.
    with suppress(StoreUnavailable):
        database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    if is_new:
        # Only for a new database: on an existing one this would write, and have no effect.
        database.read("PRAGMA auto_vacuum = INCREMENTAL")
    database.set(READING + WRITING)
    if is_new:
        with database.transaction():
            create(database)
            database.write("INSERT INTO meta VALUES ('world', ?)", _name(simulated))
    elif version < SCHEMA_VERSION:
        migrations.bring_up(database, version)
    world = _world(database)
    if world != _name(simulated):
        if _holds_data(database):
            remedy = f"use another state_dir for {_name(simulated)} sensors"
            raise ConfigError(str(database.path), f"holds data of {world} sensors", remedy)
        with database.transaction():
            database.write("UPDATE meta SET value = ? WHERE key = 'world'", _name(simulated))


def _version(database: Database) -> int:
    """The version of the schema; 0 if there is none yet."""
    ((version,),) = database.read("PRAGMA user_version")
    if version > SCHEMA_VERSION:
        reason = f"has schema {version}, this program works with {SCHEMA_VERSION}"
        raise ConfigError(str(database.path), reason, "run the version that made it, or move it away")
    return int(version)


def _holds_data(database: Database) -> bool:
    ((found,),) = database.read(
        "SELECT EXISTS (SELECT 1 FROM raw_chunks) OR EXISTS (SELECT 1 FROM sessions)"
        " OR EXISTS (SELECT 1 FROM summaries)"
    )
    return bool(found)


def _world(database: Database) -> str:
    ((world,),) = database.read("SELECT value FROM meta WHERE key = 'world'")
    return str(world)


def _name(simulated: bool) -> str:
    return "simulated" if simulated else "real"


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".keycheck")


def _noted(path: Path) -> str | None:
    """The check value of the key that the database was made with; None if there is no such note."""
    with _usable(path), suppress(FileNotFoundError):
        return _note(path).read_text(errors="replace").strip()
    return None


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn errors about the directory into a ConfigError: the operator has to solve them."""
    try:
        yield
    except OSError as fault:
        raise ConfigError(str(path), fault.strerror or str(fault), "correct gateway.state_dir") from fault
