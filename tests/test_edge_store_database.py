"""The database keeps what it committed, hides what it holds, and types what can go wrong."""

import re
import shutil
import threading
from pathlib import Path
from random import Random

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store
from sqlcipher3 import dbapi2 as sqlite
from store_parts import alert_event, chunk, reading, session_of

from edge.errors import StoreUnavailable
from edge.store.database import Database, can_read
from edge.store.door import Store, Tables
from edge.store.summaries import SummaryKey
from edge.workers import inline

PLANTED = (
    "A4:C1:38:00:00:02",
    "planted-sensor",
    "planted-alert",
    "planted-channel",
    "planted-body",
    "planted-blob",
    "planted-boot",
)


def strings(raw: bytes) -> set[bytes]:
    """What `strings` would show."""
    return set(re.findall(rb"[\x20-\x7e]{4,}", raw))


def test_no_planted_identifier_can_be_read_from_the_files(tmp_path: Path) -> None:
    config = minimal_config(tmp_path, **{'id = "cgm"': 'id = "planted-sensor"'})
    store = open_store(config, boot_id="planted-boot")

    def fill(tables: Tables) -> None:
        tables.alerts.note(alert_event("planted-alert"), ["planted-channel"])
        tables.summaries.put(
            SummaryKey("heart_5min", 1, 0), 300, IDENTITY.id("x"), {"x": "planted-body"}, final=True
        )
        tables.blobs.put("alerts", 0, 1, b"planted-blob")
        tables.raw_chunks.append(chunk(0, 1))

    in_transaction(store, fill)
    files = sorted(config.gateway.state_dir.iterdir())
    assert [path.name for path in files] == ["store.db", "store.db-wal", "store.db.keycheck"]
    raw = b"".join(path.read_bytes() for path in files)
    readable = b"\n".join(strings(raw))
    secrets = [IDENTITY.store_key, IDENTITY.store_key.hex().encode(), bytes(range(32))]
    for planted in [*(text.encode() for text in PLANTED), *secrets, b"CREATE TABLE", b"SQLite format"]:
        assert planted not in raw
        assert planted not in readable

    # The same rows without encryption do show: the search above can find something.
    plain = tmp_path / "plain.db"
    database = store.tables.database
    database.execute(f"ATTACH DATABASE '{plain}' AS plain KEY ''")
    database.execute("SELECT sqlcipher_export('plain')")
    store.close()
    for text in PLANTED:
        assert text.encode() in plain.read_bytes()


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    assert config.gateway.state_dir.stat().st_mode & 0o777 == 0o700
    for suffix in ("", "-wal"):
        assert store.path.with_name(store.path.name + suffix).stat().st_mode & 0o777 == 0o600
    store.close()


def test_settings_are_in_force(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    settings = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "auto_vacuum": 2,
        "cipher_page_size": "1024",
        "cache_size": -4000,
    }
    database = store.tables.database
    for name, value in settings.items():
        assert database.read(f"PRAGMA {name}") == [(value,)]
    tables = database.read(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
    )
    assert all(strict for _, strict in tables)
    store.close()


def test_full_disk_is_typed_and_leaves_what_was_there(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    database, tables = store.tables.database, store.tables
    ((pages,),) = database.read("PRAGMA page_count")
    database.read(f"PRAGMA max_page_count = {pages + 2}")

    def write_much(tables: Tables) -> None:
        tables.dirty.mark("heart_5min", 1, [0])
        tables.sensors.keep_trait(1, "large", "x" * 50_000)

    with pytest.raises(StoreUnavailable, match="full"):
        in_transaction(store, write_much)
    assert not database.in_transaction
    assert tables.dirty.all() == []
    database.read("PRAGMA max_page_count = 1000000")
    in_transaction(store, write_much)
    assert len(tables.dirty.all()) == 1
    store.close()


def test_a_transaction_that_sqlite_rolled_back_is_not_taken_for_committed(tmp_path: Path) -> None:
    """Who swallows the failure of a statement must not lose the ones before it silently."""
    store = open_store(minimal_config(tmp_path))

    def swallow(tables: Tables) -> None:
        tables.dirty.mark("heart_5min", 1, [0])
        # As SQLite does of its own accord when the disk is full.
        tables.database.execute("ROLLBACK")

    with pytest.raises(StoreUnavailable, match="rolled back"):
        in_transaction(store, swallow)
    store.close()


def test_file_held_by_another_is_typed(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    store.tables.database.read("PRAGMA busy_timeout = 0")
    other = Store(store.path, IDENTITY, simulated=True, workers=inline())
    with (
        other.tables.database.transaction(),
        pytest.raises(StoreUnavailable, match="locked"),
        store.tables.database.transaction(),
    ):
        pass
    in_transaction(store, lambda tables: tables.dirty.mark("heart_5min", 1, [0]))
    other.close()
    store.close()


def test_transactions_are_all_or_nothing(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    database, dirty = store.tables.database, store.tables.dirty

    def fail() -> None:
        with database.transaction():
            dirty.mark("heart_5min", 1, [1])
            raise KeyError

    def nest() -> None:
        with database.transaction():
            dirty.mark("heart_5min", 1, [2])
            with database.transaction():
                pass

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(AssertionError, match="do not nest"):
        nest()
    assert dirty.all() == []
    with pytest.raises(AssertionError, match="needs a transaction"):
        dirty.mark("heart_5min", 1, [3])
    in_transaction(store, lambda tables: tables.dirty.mark("heart_5min", 1, [4]))
    assert len(dirty.all()) == 1
    store.close()


def test_a_savepoint_undoes_its_own_block_only(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    database, dirty = store.tables.database, store.tables.dirty

    def fail() -> None:
        with database.savepoint():
            dirty.mark("heart_5min", 1, [2])
            raise KeyError

    with database.transaction():
        dirty.mark("heart_5min", 1, [1])
        with pytest.raises(KeyError):
            fail()
        with database.savepoint():
            dirty.mark("heart_5min", 1, [3])
    assert [key.start_utc_s for key in dirty.all()] == [1, 3]
    store.close()


def test_our_own_mistakes_stay_what_they_are(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    with pytest.raises(sqlite.IntegrityError):
        in_transaction(store, lambda tables: tables.raw_chunks.note_unplaced(1, 99))
    with pytest.raises(sqlite.OperationalError):
        store.tables.database.read("SELECT nonsense")
    store.close()


def test_a_connection_may_be_used_by_another_thread_than_opened_it(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    thread = threading.Thread(
        target=in_transaction, args=(store, lambda tables: tables.dirty.mark("heart_5min", 1, [4]))
    )
    thread.start()
    thread.join()
    assert len(store.tables.dirty.all()) == 1
    store.close()


def test_reading_gives_up_when_its_budget_is_spent(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    database: Database = store.tables.database
    assert database.read_within(10, endless) is None
    assert database.read_within(10, "SELECT 1") == [(1,)]
    assert database.read("SELECT 2") == [(2,)]
    store.close()


def test_a_torn_log_loses_the_end_and_nothing_else(tmp_path: Path) -> None:
    """Whatever prefix of the log reached the disk, what is found is a prefix of what was committed."""
    store = open_store(minimal_config(tmp_path))
    store.tables.database.read("PRAGMA wal_checkpoint(TRUNCATE)")

    def work(tables: Tables, n: int) -> None:
        tables.raw_chunks.append(chunk(n, n))
        tables.dirty.mark("heart_5min", 1, [n])

    for n in range(12):
        with store.tables.database.transaction():
            work(store.tables, n)
    image = tmp_path / "image"
    shutil.copytree(store.path.parent, image)
    store.close()
    wal = (image / "store.db-wal").read_bytes()
    kept = []
    for length in sorted(Random(5).sample(range(len(wal)), 40)):
        torn = tmp_path / f"torn-{length}"
        shutil.copytree(image, torn)
        (torn / "store.db-wal").write_bytes(wal[:length] + Random(length).randbytes(512))
        found = Store(torn / "store.db", IDENTITY, simulated=True, workers=inline())
        assert found.quarantined is None
        chunks = found.tables.raw_chunks.between(1, 1, 0, 100)
        assert [one.packets[0].arrival_boot_ns for one in chunks] == list(range(len(chunks)))
        assert [key.start_utc_s for key in found.tables.dirty.all()] == list(range(len(chunks)))
        kept.append(len(chunks))
        found.close()
    assert kept == sorted(kept)
    assert kept[0] < 2
    assert kept[-1] > 9


def test_a_snapshot_sees_one_state_whatever_is_committed_meanwhile(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    other = Database(store.path, IDENTITY)
    session = session_of(store)
    with other.snapshot():
        before = other.read("SELECT count(*) FROM readings")
        in_transaction(store, lambda tables: tables.readings.insert(session.no, "glucose", [reading(1)]))
        assert other.read("SELECT count(*) FROM readings") == before == [(0,)]
    assert other.read("SELECT count(*) FROM readings") == [(1,)]
    assert session.start_utc_s == MIDNIGHT_UTC_S
    other.close()
    store.close()


def test_a_file_that_cannot_be_read_at_all_is_not_one_of_another_key(tmp_path: Path) -> None:
    """Told apart, it is tried again later; else it would be opened with another page size, which deletes its log."""
    with pytest.raises(StoreUnavailable):
        can_read(tmp_path, IDENTITY, 1024)
    (tmp_path / "other").write_bytes(bytes(range(256)) * 16)
    assert not can_read(tmp_path / "other", IDENTITY, 1024)
