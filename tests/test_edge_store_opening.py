"""Opening tells keys, worlds and versions apart, and sets damage aside instead of failing on it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from edge_parts import IDENTITY, in_transaction, minimal_config, open_store
from store_parts import FRAME_BYTES, begin, chunk, crashed, filled, frame_at, reopened

from edge import identity
from edge.errors import ConfigError, StoreCorrupt
from edge.identity import Identity
from edge.store import checking, damage, opening
from edge.store.database import PAGE_BYTES, Database
from edge.store.door import Store
from edge.workers import inline

OTHER_KEY = Identity(b"x" * 32)


def content(path: Path) -> tuple[object, ...]:
    store = reopened(path)
    tables = store.tables
    found = (
        store.quarantined,
        tables.raw_chunks.between(1, 1, 0, 1 << 60),
        tables.readings.between(1, "glucose", 0, 1 << 40),
        tables.sessions.current(2),
    )
    store.close()
    return found


def boots(store: Store) -> list[str]:
    return [row[0] for row in store.tables.database.read("SELECT boot_id FROM boots ORDER BY no")]


# Keys


def test_wrong_key_is_the_operators_fault(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="was made with another key"):
        Store(path, OTHER_KEY, simulated=True, workers=inline())
    assert path.read_bytes() == before
    assert content(path)[0] is None


def test_another_gateways_database_without_its_note_is_not_touched(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before, note = path.read_bytes(), path.with_name("store.db.keycheck")
    note.unlink()
    with pytest.raises(ConfigError, match="was made with another key"):
        Store(path, OTHER_KEY, simulated=True, workers=inline())
    assert path.read_bytes() == before
    assert not note.exists()


def test_a_restored_database_is_known_by_its_key_not_by_the_note_beside_it(tmp_path: Path) -> None:
    """A backup of store and key, copied over what a fresh gateway had begun."""
    path = filled(tmp_path)
    good, note = content(path), path.with_name("store.db.keycheck")
    note.write_text(f"{OTHER_KEY.key_check}\n")
    assert content(path) == good
    assert note.read_text() == f"{IDENTITY.key_check}\n"


def test_a_lost_note_of_the_key_is_made_again(tmp_path: Path) -> None:
    path = filled(tmp_path)
    note = path.with_name("store.db.keycheck")
    note.unlink()
    assert content(path)[0] is None
    assert note.read_text() == f"{IDENTITY.key_check}\n"
    # Without a database there is nothing that would need the old key.
    path.unlink()
    Store(path, OTHER_KEY, simulated=True, workers=inline()).close()
    assert note.read_text() == f"{OTHER_KEY.key_check}\n"


def test_a_key_file_that_vanished_under_a_running_gateway_is_written_again(tmp_path: Path) -> None:
    key_file, database = tmp_path / "state" / "store.key", tmp_path / "state" / "store.db"
    known = identity.load(key_file, database)
    written = key_file.read_bytes()
    database.write_bytes(b"something")
    key_file.unlink()
    with pytest.raises(ConfigError, match="missing, but"):
        identity.load(key_file, database)
    assert identity.load(key_file, database, known) is known
    assert key_file.read_bytes() == written
    assert key_file.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(tmp_path / "state")
    assert identity.load(key_file, database, known) is known
    assert key_file.read_bytes() == written


# Worlds and versions


def test_worlds_and_versions_do_not_mix(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with pytest.raises(ConfigError, match="holds data of simulated sensors; use another state_dir"):
        Store(path, IDENTITY, simulated=False, workers=inline())
    store = reopened(path)
    in_transaction(store, lambda tables: tables.database.write("PRAGMA user_version = 99"))
    store.close()
    for simulated in (True, None):
        with pytest.raises(ConfigError, match="has schema 99"):
            Store(path, IDENTITY, simulated=simulated, workers=inline())


def test_a_store_without_data_belongs_to_no_world_yet(tmp_path: Path) -> None:
    """Its sensors are known, but nothing came of them."""
    store = open_store(minimal_config(tmp_path))
    store.close()
    real = Store(store.path, IDENTITY, simulated=False, workers=inline())
    assert not real.simulated
    in_transaction(real, begin)
    real.close()
    with pytest.raises(ConfigError, match="holds data of real sensors"):
        reopened(store.path)


def test_directory_that_cannot_be_used_is_the_operators_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"correct gateway\.state_dir"):
        reopened(tmp_path / "file" / "store.db")


# Looking only


def test_looking_changes_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    store = Store(path, IDENTITY, simulated=None, workers=inline())
    assert store.simulated
    assert store.tables.readings.count(1, "glucose") == 300
    store.close()
    assert path.read_bytes() == before


def test_looking_needs_something_to_look_at(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with pytest.raises(ConfigError, match="is not there; run the gateway first"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert list(tmp_path.iterdir()) == []
    path.touch()
    with pytest.raises(ConfigError, match="holds nothing yet; run the gateway first"):
        Store(path, IDENTITY, simulated=None, workers=inline())


def test_looking_leaves_damage_where_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path)
    damaged = flip(20 * PAGE_BYTES + 100)(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(StoreCorrupt):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert path.read_bytes() == damaged
    assert not path.with_name("store.db.corrupt-1").exists()


# Damage


def garbage(raw: bytes) -> bytes:
    return Random(3).randbytes(len(raw))


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(garbage, id="garbage"),
        pytest.param(lambda raw: b"not a database", id="text"),
        pytest.param(lambda raw: b"", id="emptied"),
        pytest.param(lambda raw: b"\0" * len(raw), id="zeros"),
        pytest.param(lambda raw: raw[:10], id="truncated in the header"),
        pytest.param(lambda raw: raw[:PAGE_BYTES], id="truncated after a page"),
        pytest.param(lambda raw: raw[: len(raw) // 2 + 7], id="truncated in the middle"),
        pytest.param(lambda raw: raw[:-1], id="truncated by a byte"),
        pytest.param(flip(0), id="first byte"),
        pytest.param(flip(15), id="header byte"),
        pytest.param(flip(700), id="first page"),
        pytest.param(flip(PAGE_BYTES - 1), id="seal of the first page"),
        pytest.param(flip(20 * PAGE_BYTES + 100), id="a middle page"),
    ],
)
def test_damaged_file_is_set_aside_and_a_new_one_begins(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = filled(tmp_path)
    damaged = spoil(path.read_bytes())
    for number in (1, 2):
        path.write_bytes(damaged)
        store = reopened(path)
        assert store.quarantined == path.with_name(f"store.db.corrupt-{number}")
        assert store.quarantined.read_bytes() == damaged
        assert boots(store) == []
        in_transaction(store, lambda tables: tables.boots.note("boot-2"))
        store.close()
        store = reopened(path)
        assert store.quarantined is None
        assert boots(store) == ["boot-2"]
        store.close()


def test_of_the_damaged_files_the_first_and_the_last_are_kept(tmp_path: Path) -> None:
    path = filled(tmp_path)
    (tmp_path / "state" / "store.db.corrupt-x").touch()
    for number in range(1, 13):
        path.write_bytes(b"damaged %d" % number)
        path.with_name("store.db-wal").write_bytes(b"log %d" % number)
        reopened(path).close()
    set_aside = [p for p in path.parent.iterdir() if "corrupt-" in p.name]
    kept = {p.name: p.read_bytes() for p in set_aside}
    assert kept == {
        "store.db.corrupt-1": b"damaged 1",
        "store.db.corrupt-1-wal": b"log 1",
        "store.db.corrupt-12": b"damaged 12",
        "store.db.corrupt-12-wal": b"log 12",
        "store.db.corrupt-x": b"",
    }


def test_empty_file_is_a_new_database(tmp_path: Path) -> None:
    path = minimal_config(tmp_path).database
    path.parent.mkdir()
    path.touch()
    assert content(path) == (None, [], [], None)


def test_a_flipped_byte_in_any_page_is_noticed_or_harmless(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = filled(tmp_path, chunks=10, readings=40)
    whole, good = path.read_bytes(), content(path)
    noticed = 0
    for page in range(len(whole) // PAGE_BYTES):
        path.write_bytes(flip(page * PAGE_BYTES + 77)(whole))
        found = content(path)
        if found[0] is None:
            assert found == good
        else:
            noticed += 1
    assert noticed > 0.9 * len(whole) / PAGE_BYTES
    # One clear line is the caller's to print; SQLCipher must not print its own.
    assert capfd.readouterr() == ("", "")


def test_companions_of_a_damaged_file_go_with_it(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    crashed = tmp_path / "crashed"
    shutil.copytree(store.path.parent, crashed)
    store.close()
    path = crashed / "store.db"
    wal = (crashed / "store.db-wal").read_bytes()
    assert wal
    path.write_bytes(garbage(path.read_bytes()) or b"garbage")
    (crashed / "store.db-wal").write_bytes(garbage(wal))
    found = reopened(path)
    assert found.quarantined is not None
    assert (crashed / "store.db.corrupt-1-wal").read_bytes() == garbage(wal)
    assert boots(found) == []
    found.close()


def test_the_log_of_a_file_that_is_damaged_in_the_middle_is_kept_as_it_is(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    store.tables.database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    in_transaction(store, lambda tables: tables.raw_chunks.append(chunk(0, 1)))
    crashed = tmp_path / "crashed"
    shutil.copytree(store.path.parent, crashed)
    store.close()
    path, wal = crashed / "store.db", (crashed / "store.db-wal").read_bytes()
    whole = path.read_bytes()
    damaged = flip(len(whole) - PAGE_BYTES // 2)(whole)
    path.write_bytes(damaged)
    found = reopened(path)
    found.close()
    assert found.quarantined
    assert found.quarantined.read_bytes() == damaged
    assert path.with_name("store.db.corrupt-1-wal").read_bytes() == wal


def test_a_checkpoint_that_was_cut_short_is_no_damage(tmp_path: Path) -> None:
    """The first page of the file is torn, and whole in the log."""
    store = open_store(minimal_config(tmp_path))
    store.tables.database.read("PRAGMA wal_checkpoint(TRUNCATE)")
    in_transaction(store, lambda tables: tables.sensors.keep_trait(1, "large", "x" * 20_000))
    crashed = tmp_path / "crashed"
    shutil.copytree(store.path.parent, crashed)
    store.close()
    path = crashed / "store.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:500] + bytes(524) + whole[1024:])
    found = reopened(path)
    assert found.quarantined is None
    assert len(found.tables.sensors.trait(1, "large") or "") == 20_000
    found.close()


@pytest.mark.parametrize("is_damaged", [True, False])
def test_all_of_a_file_that_was_marked_is_checked_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_damaged: bool
) -> None:
    # As a large file, of which a start does not check the chunks.
    monkeypatch.setattr(checking, "START_PAGES_MAX", 50)
    path = filled(tmp_path, chunks=300)
    before = content(path)
    if is_damaged:
        database = Database(path, IDENTITY)
        ((root,),) = database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'raw_chunks'")
        database.close()
        flipped(path, (root - 1) * PAGE_BYTES + 100)
    left = path.read_bytes()
    damage.mark(path, "a page of it forgot")
    with pytest.raises(StoreCorrupt, match="a page of it forgot"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    store = reopened(path)
    assert (store.quarantined is not None) == is_damaged
    if store.quarantined:
        assert store.quarantined.read_bytes() == left
    store.close()
    assert damage.marked(path) is None
    # The new one, or the one that is whole, is used.
    assert content(path)[0] is None
    assert (content(path) == before) != is_damaged


@pytest.mark.parametrize("failures", [1, 2])
def test_what_connections_could_not_read_and_the_next_one_can_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """A read error: SQLite takes it for a damaged page, and keeps to that for as long as the connection lives."""
    path = filled(tmp_path)
    checks: list[Database] = []
    check_at_start = checking.check_at_start

    def fail_at_first(database: Database) -> tuple[checking.Part, ...]:
        checks.append(database)
        if len(checks) <= failures:
            raise StoreCorrupt(
                "the database is damaged: Tree 22 page 22: btreeInitPage() returns error code 11"
            )
        return check_at_start(database)

    monkeypatch.setattr(checking, "check_at_start", fail_at_first)
    store = reopened(path)
    assert (store.quarantined, len(checks)) == (None, failures + 1)
    assert store.tables.database is checks[-1]
    assert len(store.tables.readings.sequences(1, "glucose")) == 300
    store.close()
    with pytest.raises(Exception, match="closed"):
        checks[0].read("PRAGMA schema_version")


# A damaged log


def flipped(path: Path, at: int) -> bytes:
    damaged = flip(at)(path.read_bytes())
    path.write_bytes(damaged)
    return damaged


@pytest.mark.parametrize("at", [0, 9, 17, 30, 60], ids=["magic", "size", "salt", "checksum", "first frame"])
def test_a_log_that_is_damaged_before_its_first_commit_is_no_new_beginning(tmp_path: Path, at: int) -> None:
    path = crashed(tmp_path)
    assert path.stat().st_size == PAGE_BYTES
    log = path.with_name("store.db-wal")
    damaged = flipped(log, at)
    with pytest.raises(StoreCorrupt):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert log.read_bytes() == damaged
    store = reopened(path)
    assert store.quarantined == path.with_name("store.db.corrupt-1")
    assert path.with_name("store.db.corrupt-1-wal").read_bytes() == damaged
    assert store.log_copy is None
    assert boots(store) == []
    store.close()


def test_a_log_that_is_lost_is_no_new_beginning(tmp_path: Path) -> None:
    path = crashed(tmp_path)
    path.with_name("store.db-wal").unlink()
    with pytest.raises(StoreCorrupt, match="it is empty, and was not"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    store = reopened(path)
    assert store.quarantined
    store.close()


def test_looking_at_an_emptied_file_leaves_its_log(tmp_path: Path) -> None:
    path = crashed(tmp_path)
    log = path.with_name("store.db-wal")
    before = log.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="it is empty, and was not"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert log.read_bytes() == before


def test_commits_behind_a_damaged_frame_are_kept_beside_and_the_store_goes_on(tmp_path: Path) -> None:
    path = crashed(tmp_path)
    log = path.with_name("store.db-wal")
    before = (log.stat().st_size - 32) // FRAME_BYTES
    damaged = flipped(log, frame_at(before - 3))
    with pytest.raises(StoreCorrupt, match="the log of the database is damaged; the next run"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert log.read_bytes() == damaged
    store = reopened(path)
    assert store.quarantined is None
    assert store.log_copy == path.with_name("store.db-wal.corrupt-1")
    assert store.log_copy.read_bytes() == damaged
    assert store.log_copy.stat().st_mode & 0o777 == 0o600
    assert boots(store) == [f"boot-{n}" for n in range(1, 6)]
    # What lay behind the damage is not found again, although the next process is killed, too.
    in_transaction(store, lambda tables: tables.boots.note("boot-x"))
    again = tmp_path / "again"
    shutil.copytree(path.parent, again, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    store = reopened(again / "store.db")
    assert (store.quarantined, store.log_copy) == (None, None)
    assert boots(store) == [*(f"boot-{n}" for n in range(1, 6)), "boot-x"]
    store.close()


def test_a_log_that_is_torn_at_its_end_is_no_damage(tmp_path: Path) -> None:
    """In its last frame, before it, or in a transaction whose commit did not reach the disk."""
    path = crashed(tmp_path)
    log = path.with_name("store.db-wal")
    whole = log.read_bytes()
    frames = (len(whole) - 32) // FRAME_BYTES
    for torn in (
        flip(frame_at(frames - 1))(whole),
        # A disk writes sectors in any order: the frame that commits is there, and the one before it is not.
        whole[: -2 * FRAME_BYTES] + bytes(FRAME_BYTES) + whole[-FRAME_BYTES:],
        whole[: -FRAME_BYTES // 2],
        whole[:-FRAME_BYTES] + bytes(FRAME_BYTES),
        whole + 3 * whole[32 : 32 + FRAME_BYTES],  # without a commit
        whole[:20],
    ):
        place = tmp_path / "torn"
        shutil.copytree(path.parent, place)
        (place / "store.db-wal").write_bytes(torn)
        store = reopened(place / "store.db")
        assert store.log_copy is None
        assert (store.quarantined is None) == (torn != whole[:20])
        store.close()
        shutil.rmtree(place)


def test_what_an_earlier_use_of_the_log_left_behind_its_end_is_no_damage(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    for n in range(2, 8):
        in_transaction(store, lambda tables, n=n: tables.boots.note(f"boot-{n}"))  # type: ignore[misc]
    store.tables.database.read("PRAGMA wal_checkpoint(FULL)")
    in_transaction(store, lambda tables: tables.boots.note("boot-8"))
    copy = tmp_path / "crashed"
    shutil.copytree(store.path.parent, copy, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    assert (copy / "store.db-wal").stat().st_size > 10 * FRAME_BYTES
    store = reopened(copy / "store.db")
    assert (store.quarantined, store.log_copy) == (None, None)
    assert len(boots(store)) == 8
    store.close()


def test_a_flipped_byte_in_any_frame_of_the_log_is_said_or_costs_the_last_commit_only(tmp_path: Path) -> None:
    path = crashed(tmp_path)
    whole = path.with_name("store.db-wal").read_bytes()
    place, said = tmp_path / "flipped", 0
    frames = range((len(whole) - 32) // FRAME_BYTES)
    for frame in frames:
        shutil.copytree(path.parent, place)
        (place / "store.db-wal").write_bytes(flip(frame_at(frame, frame % 32))(whole))
        store = reopened(place / "store.db")
        if store.quarantined or store.log_copy:
            said += 1
        else:
            assert boots(store) == [f"boot-{n}" for n in range(1, 7)]
        store.close()
        shutil.rmtree(place)
    assert said >= len(frames) - 3


@pytest.mark.parametrize("before", ["nothing", "a damaged file"])
def test_a_start_that_was_cut_short_while_it_made_the_store_is_no_damage(
    tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = minimal_config(tmp_path).database
    if before == "a damaged file":
        filled(tmp_path)
        path.write_bytes(garbage(path.read_bytes()))

    def cut(_: Database) -> None:
        raise KeyError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(opening, "create", cut)
        with pytest.raises(KeyError):
            reopened(path)
    assert path.stat().st_size == PAGE_BYTES
    with pytest.raises(ConfigError, match="holds nothing yet"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    store = reopened(path)
    assert store.quarantined is None
    store.close()


def test_of_the_damaged_logs_the_first_and_the_last_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for number in range(1, 12):
        path.with_name("store.db-wal").write_bytes(b"log %d" % number)
        assert damage.keep_log(path) == tmp_path / f"store.db-wal.corrupt-{number}"
    kept = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    assert kept == {
        "store.db-wal": b"log 11",
        "store.db-wal.corrupt-1": b"log 1",
        "store.db-wal.corrupt-11": b"log 11",
    }


# A large file


def large(directory: Path, mb: int) -> Path:
    """A file of some megabytes of raw chunks; its path."""
    store = open_store(minimal_config(directory))
    database = store.tables.database
    database.execute("PRAGMA synchronous = OFF")
    with database.transaction():
        database.write(
            "INSERT INTO raw_chunks SELECT i, 1, 1, i * 30, i * 30 + 29, 30, randomblob(900)"
            " FROM (WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ?) SELECT i FROM n)",
            mb * 1000,
        )
    store.close()
    return store.path


def test_opening_does_not_take_longer_with_the_years(tmp_path: Path) -> None:
    path = large(tmp_path, 25)
    started_s = time.process_time()
    store = reopened(path)
    took_s = time.process_time() - started_s
    assert store.quarantined is None
    store.close()
    # A check of everything is what takes longer.
    database = Database(path, IDENTITY)
    assert database.read_within(2, "PRAGMA quick_check('raw_chunks')") is None
    started_s = time.process_time()
    assert database.read("PRAGMA quick_check(1)") == [("ok",)]
    assert time.process_time() - started_s > 3 * took_s
    database.close()


def test_of_a_large_file_the_small_tables_are_checked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "START_PAGES_MAX", 50)
    path = filled(tmp_path, chunks=300)
    opened = opening.open_for_writing(path, IDENTITY, simulated=True)
    assert opened.unchecked == checking.LARGE
    ((root,),) = opened.database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'boots'")
    ((large_root,),) = opened.database.read("SELECT rootpage FROM sqlite_schema WHERE name = 'raw_chunks'")
    opened.database.close()
    whole = path.read_bytes()
    path.write_bytes(flip((large_root - 1) * PAGE_BYTES + 100)(whole))
    store = reopened(path)
    assert store.quarantined is None
    store.close()
    path.write_bytes(flip((root - 1) * PAGE_BYTES + 100)(whole))
    store = reopened(path)
    assert store.quarantined is not None
    store.close()
