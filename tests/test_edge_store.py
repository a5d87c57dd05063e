"""The store keeps what it committed, hides what it holds, and sets damage aside instead of failing on it."""

import math
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, minimal_config, open_store
from sqlcipher3 import dbapi2 as sqlite

from edge.errors import ConfigError, StoreCorrupt, StoreUnavailable
from edge.identity import Identity
from edge.store import CgmRecord, HeartChunk, Store, TimeAnchor

PAGE_BYTES = 4096
PLANTED = ("A4:C1:38:00:00:02", "planted-sensor", "planted-alert", "planted-body", "planted-boot")


def chunk(
    first_boot_ns: int, last_boot_ns: int, boot_id: str = "boot-1", payloads: bytes = b"\x00\x3c"
) -> HeartChunk:
    return HeartChunk("strap", boot_id, first_boot_ns, last_boot_ns, 1, b"a" * 8, b"b" * 8, b"\x02", payloads)


def reading(time_offset_min: int, glucose_mg_dl: float | None = 100.0, backfilled: bool = False) -> CgmRecord:
    return CgmRecord(time_offset_min, glucose_mg_dl, None, 2.5, 0x010203, 42, backfilled)


def filled(directory: Path, chunks: int = 60) -> Path:
    """A closed database with some pages of every kind."""
    store = open_store(minimal_config(directory))
    rng = random.Random(1)
    with store.transaction():
        session = store.begin_session("cgm", MIDNIGHT_UTC_S, 240)
        store.insert_records(session, [reading(n) for n in range(300)], "boot-1")
        for n in range(chunks):
            store.append_chunk(chunk(n, n + 1, payloads=rng.randbytes(9000 if n % 20 == 0 else 300)))
    store.close()
    return store.path


def content(path: Path) -> tuple[object, ...]:
    store = Store(path, IDENTITY, simulated=True)
    found = (
        store.quarantined,
        store.chunks_between("strap", "boot-1", 0, 1 << 60),
        store.records_between("cgm", 0, 1 << 40),
        store.current_session("cgm"),
    )
    store.close()
    return found


# Encryption


def test_no_planted_identifier_can_be_read_from_the_files(tmp_path: Path) -> None:
    config = minimal_config(tmp_path, **{'id = "cgm"': 'id = "planted-sensor"'})
    store = open_store(config, boot_id="planted-boot")
    with store.transaction():
        store.raise_alert("planted-alert", "planted-sensor", 1.0, "planted-boot", 1)
        store.put_summary(
            UUID(int=1), "heart_5min", "planted-sensor", (0, 300), {"x": "planted-body"}, final=True
        )
    files = sorted(config.gateway.state_dir.iterdir())
    assert [path.name for path in files] == ["store.db", "store.db-shm", "store.db-wal", "store.db.keycheck"]
    readable = subprocess.run(["strings", "-n", "4", *files], capture_output=True, check=True).stdout
    raw = b"".join(path.read_bytes() for path in files)
    secrets = [IDENTITY.store_key, IDENTITY.store_key.hex().encode(), bytes(range(32))]
    for planted in [*(text.encode() for text in PLANTED), *secrets, b"CREATE TABLE", b"SQLite format"]:
        assert planted not in raw
        assert planted not in readable

    # The same rows without encryption do show: the search above can find something.
    plain = tmp_path / "plain.db"
    store.read(f"ATTACH DATABASE '{plain}' AS plain KEY ''")
    store.read("SELECT sqlcipher_export('plain')")
    store.close()
    for text in PLANTED:
        assert text.encode() in plain.read_bytes()


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    assert config.gateway.state_dir.stat().st_mode & 0o777 == 0o700
    for suffix in ("", "-wal", "-shm"):
        assert store.path.with_name(store.path.name + suffix).stat().st_mode & 0o777 == 0o600
    store.close()


def test_wrong_key_is_the_operators_fault(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="was made with another key"):
        Store(path, Identity(b"x" * 32), simulated=True)
    assert path.read_bytes() == before
    assert content(path)[0] is None


def test_another_gateways_database_without_its_note_is_not_touched(tmp_path: Path) -> None:
    path = filled(tmp_path)
    before, note = path.read_bytes(), path.with_name("store.db.keycheck")
    note.unlink()
    with pytest.raises(ConfigError, match="was made with another key"):
        Store(path, Identity(b"x" * 32), simulated=True)
    assert path.read_bytes() == before
    assert not note.exists()


def test_a_restored_database_is_known_by_its_key_not_by_the_note_beside_it(tmp_path: Path) -> None:
    """A backup of store and key, copied over what a fresh gateway had begun."""
    path = filled(tmp_path)
    good, note = content(path), path.with_name("store.db.keycheck")
    note.write_text(f"{Identity(b'x' * 32).key_check}\n")
    assert content(path) == good
    assert note.read_text() == f"{IDENTITY.key_check}\n"


def test_a_database_that_was_emptied_is_damage(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_bytes(b"")
    store = Store(path, IDENTITY, simulated=True)
    assert store.quarantined == path.with_name("store.db.corrupt-1")
    store.close()


def test_worlds_and_versions_do_not_mix(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with pytest.raises(ConfigError, match="holds data of simulated sensors; use another state_dir"):
        Store(path, IDENTITY, simulated=False)
    store = Store(path, IDENTITY, simulated=True)
    with store.transaction():
        store.write("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(ConfigError, match="has schema 99"):
        Store(path, IDENTITY, simulated=True)


def test_directory_that_cannot_be_used_is_the_operators_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"correct gateway\.state_dir"):
        Store(tmp_path / "file" / "store.db", IDENTITY, simulated=True)


def test_settings_are_in_force(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    settings = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "auto_vacuum": 2,
    }
    for name, value in settings.items():
        assert store.read(f"PRAGMA {name}") == [(value,)]
    tables = store.read(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
    )
    assert all(strict for _, strict in tables)
    assert len(tables) == 12
    store.close()


# Damage


def garbage(raw: bytes) -> bytes:
    return random.Random(3).randbytes(len(raw))


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(garbage, id="garbage"),
        pytest.param(lambda raw: b"not a database", id="text"),
        pytest.param(lambda raw: b"\0" * len(raw), id="zeros"),
        pytest.param(lambda raw: raw[:10], id="truncated in the header"),
        pytest.param(lambda raw: raw[:PAGE_BYTES], id="truncated after a page"),
        pytest.param(lambda raw: raw[: len(raw) // 2 + 7], id="truncated in the middle"),
        pytest.param(lambda raw: raw[:-1], id="truncated by a byte"),
        pytest.param(flip(0), id="first byte"),
        pytest.param(flip(15), id="header byte"),
        pytest.param(flip(2000), id="first page"),
        pytest.param(flip(PAGE_BYTES - 1), id="seal of the first page"),
        pytest.param(flip(20 * PAGE_BYTES + 100), id="a middle page"),
    ],
)
def test_damaged_file_is_set_aside_and_a_new_one_begins(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = filled(tmp_path)
    damaged = damage(path.read_bytes())
    for number in (1, 2):
        path.write_bytes(damaged)
        store = Store(path, IDENTITY, simulated=True)
        assert store.quarantined == path.with_name(f"store.db.corrupt-{number}")
        assert store.quarantined.read_bytes() == damaged
        assert store.boots() == []
        with store.transaction():
            store.note_boot("boot-2")
        store.close()
        store = Store(path, IDENTITY, simulated=True)
        assert store.quarantined is None
        assert store.boots() == ["boot-2"]
        store.close()


def test_empty_file_is_a_new_database(tmp_path: Path) -> None:
    path = minimal_config(tmp_path).database
    path.parent.mkdir()
    path.touch()
    assert content(path) == (None, [], [], None)


def test_a_flipped_byte_in_any_page_is_noticed_or_harmless(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = filled(tmp_path)
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
    found = Store(path, IDENTITY, simulated=True)
    assert found.quarantined is not None
    assert (crashed / "store.db.corrupt-1-wal").exists()
    assert found.boots() == []
    found.close()


def test_a_torn_log_loses_the_end_and_nothing_else(tmp_path: Path) -> None:
    """Whatever prefix of the log reached the disk, what is found is a prefix of what was committed."""
    store = open_store(minimal_config(tmp_path))
    store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    for n in range(12):
        with store.transaction():
            store.append_chunk(chunk(n, n))
            store.set_cursor("chunks", n + 1)
    image = tmp_path / "image"
    shutil.copytree(store.path.parent, image)
    store.close()
    wal = (image / "store.db-wal").read_bytes()
    kept = []
    for length in sorted(random.Random(5).sample(range(len(wal)), 40)):
        torn = tmp_path / f"torn-{length}"
        shutil.copytree(image, torn)
        (torn / "store.db-wal").write_bytes(wal[:length] + bytes(random.Random(length).randbytes(512)))
        (torn / "store.db-shm").unlink()
        found = Store(torn / "store.db", IDENTITY, simulated=True)
        assert found.quarantined is None
        chunks = found.chunks_between("strap", "boot-1", 0, 100)
        assert [one.first_boot_ns for one in chunks] == list(range(len(chunks)))
        assert (found.cursor("chunks") or 0) == len(chunks)
        kept.append(len(chunks))
        found.close()
    assert kept == sorted(kept)
    assert kept[0] < 2
    assert kept[-1] > 9


def test_damage_found_at_work_is_typed(tmp_path: Path) -> None:
    path = filled(tmp_path)
    store = Store(path, IDENTITY, simulated=True)
    whole = path.read_bytes()
    for page in range(10, len(whole) // PAGE_BYTES):
        whole = flip(page * PAGE_BYTES + 9)(whole)
    path.write_bytes(whole)
    store.read("PRAGMA shrink_memory")
    with pytest.raises(StoreCorrupt, match="the database is damaged"):
        store.chunks_between("strap", "boot-1", 0, 1 << 60)
    store.close()


def test_full_disk_is_typed_and_leaves_what_was_there(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    ((pages,),) = store.read("PRAGMA page_count")
    store.read(f"PRAGMA max_page_count = {pages + 2}")

    def write_much() -> None:
        with store.transaction():
            store.set_cursor("stream", 1)
            store.append_chunk(chunk(0, 1, payloads=bytes(50_000)))

    with pytest.raises(StoreUnavailable, match="full"):
        write_much()
    assert store.cursor("stream") is None
    store.read("PRAGMA max_page_count = 1000000")
    write_much()
    assert store.cursor("stream") == 1
    store.close()


def test_file_held_by_another_is_typed(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    store.read("PRAGMA busy_timeout = 0")
    other = Store(store.path, IDENTITY, simulated=True)
    with other.transaction(), pytest.raises(StoreUnavailable, match="locked"), store.transaction():
        pass
    with store.transaction():
        store.set_cursor("stream", 1)
    other.close()
    store.close()


# Transactions


def test_transactions_are_all_or_nothing(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))

    def fail() -> None:
        with store.transaction():
            store.set_cursor("stream", 1)
            raise KeyError

    def nest() -> None:
        with store.transaction():
            store.set_cursor("stream", 2)
            with store.transaction():
                pass

    with pytest.raises(KeyError):
        fail()
    with pytest.raises(AssertionError, match="do not nest"):
        nest()
    assert store.cursor("stream") is None
    with pytest.raises(AssertionError, match="needs a transaction"):
        store.set_cursor("stream", 3)
    with store.transaction():
        store.set_cursor("stream", 4)
    assert store.cursor("stream") == 4
    store.close()


def test_our_own_mistakes_stay_what_they_are(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    with pytest.raises(sqlite.IntegrityError), store.transaction():
        store.append_chunk(chunk(0, 1, boot_id="never noted"))
    with pytest.raises(sqlite.OperationalError):
        store.read("SELECT nonsense")
    store.close()


# What it holds


def test_readings_are_stored_once(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    with store.transaction():
        first = store.begin_session("cgm", MIDNIGHT_UTC_S, 240)
        assert store.insert_records(first, [reading(5), reading(10, math.inf)], "boot-1") == [
            reading(5),
            reading(10, math.inf),
        ]
        assert store.insert_records(first, [reading(10, 3.0), reading(0, None, True)], "boot-1") == [
            reading(0, None, True)
        ]
        second = store.begin_session("cgm", MIDNIGHT_UTC_S + 1000, 240)
        assert store.insert_records(second, [reading(0, -math.inf)], "boot-1") == [reading(0, -math.inf)]
    assert store.current_session("cgm") == second
    assert (first.number, second.number) == (1, 2)
    assert store.session(first.id) == first
    assert store.record(first, 10) == reading(10, math.inf)
    assert (store.newest_offset(first), store.newest_offset(second)) == (10, 0)
    assert store.records_between("cgm", MIDNIGHT_UTC_S + 300, MIDNIGHT_UTC_S + 1001) == [
        (MIDNIGHT_UTC_S + 300, reading(5)),
        (MIDNIGHT_UTC_S + 600, reading(10, math.inf)),
        (MIDNIGHT_UTC_S + 1000, reading(0, -math.inf)),
    ]
    half_open = store.records_between("cgm", MIDNIGHT_UTC_S + 300, MIDNIGHT_UTC_S + 600)
    assert half_open == [(MIDNIGHT_UTC_S + 300, reading(5))]
    assert store.records_between("strap", 0, 1 << 40) == []
    assert store.watermark(first) == -1
    with store.transaction():
        store.move_watermark(first, 10)
    assert (store.watermark(first), store.watermark(second)) == (10, -1)
    store.close()


def test_chunks_are_found_by_overlap(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    with store.transaction():
        store.note_boot("boot-2")
        for boot_id in ("boot-1", "boot-2"):
            for n in range(0, 100, 10):
                store.append_chunk(chunk(n, n + 9, boot_id))

    def starts(start: int, end: int) -> list[int]:
        return [one.first_boot_ns for one in store.chunks_between("strap", "boot-1", start, end)]

    assert starts(19, 40) == [10, 20, 30]
    assert starts(20, 41) == [20, 30, 40]
    assert starts(99, 100) == [90]
    assert starts(100, 200) == starts(5, 0) == []
    assert store.chunks_between("cgm", "boot-1", 0, 100) == []
    assert store.chunks_between("strap", "boot-1", 0, 1) == [chunk(0, 9)]
    store.close()


def test_old_chunks_are_deleted_by_wall_time_across_boots(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    second = 1_000_000_000
    with store.transaction():
        for boot_id in ("boot-2", "boot-3"):
            store.note_boot(boot_id)
        for boot_id in ("boot-1", "boot-2", "boot-3"):
            for n in range(4):
                store.append_chunk(chunk(n * second, (n + 1) * second, boot_id))
        assert store.delete_chunks_before(1 << 33) == 0
        # Boot 1 never learned its wall time; boot 2 learned it twice, the second time better.
        store.add_anchor(TimeAnchor("boot-2", 0, 9_000_000 * second, 10_000, "rtc"))
        store.add_anchor(TimeAnchor("boot-2", second, 1001 * second, 10, "ntp"))
        store.add_anchor(TimeAnchor("boot-3", second, 2001 * second, 10, "ntp"))
        assert store.anchors("boot-2")[0].source == "rtc"
        assert store.boots() == ["boot-1", "boot-2", "boot-3"]
        assert store.delete_chunks_before(1000) == 0
        assert store.delete_chunks_before(1003) == 6
    assert [len(store.chunks_between("strap", f"boot-{n}", 0, 1 << 60)) for n in (1, 2, 3)] == [0, 2, 4]
    store.close()


def test_summaries_get_a_revision_when_they_change(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))

    def put(mean: float, *, final: bool) -> tuple[int | None, str]:
        with store.transaction():
            rev = store.put_summary(
                UUID(int=7), "glucose_day", "cgm", (0, 86400), {"mean": mean}, final=final
            )
        summary = store.summary(UUID(int=7))
        assert summary is not None
        assert summary.body == {"mean": mean}
        return rev, summary.status

    assert store.summary(UUID(int=7)) is None
    assert put(1.5, final=False) == (1, "preliminary")
    assert put(1.5, final=False) == (None, "preliminary")
    assert put(1.75, final=False) == (2, "preliminary")
    assert put(1.75, final=True) == (3, "final")
    assert put(1.75, final=True) == (None, "final")
    assert put(1.75, final=False) == (None, "final")
    assert put(2.0, final=True) == (4, "amended")
    assert put(2.0, final=True) == (None, "amended")
    assert put(2.5, final=True) == (5, "amended")
    with store.transaction():
        store.put_summary(UUID(int=8), "glucose_day", "cgm", (86400, 2 * 86400), {}, final=True)
        store.put_summary(UUID(int=9), "heart_5min", "strap", (0, 300), {}, final=True)
    assert [summary.id.int for summary in store.summaries("glucose_day")] == [7, 8]
    assert [summary.id.int for summary in store.summaries("glucose_day", 1, 86401)] == [8]
    store.close()


def test_alerts_open_once_and_close(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    with store.transaction():
        assert store.raise_alert("glucose_low", "cgm", 65.0, "boot-1", 10)
        assert not store.raise_alert("glucose_low", "cgm", 60.0, "boot-1", 20)
        assert store.raise_alert("cgm_silence", "cgm", None, "boot-1", 30)
        assert [(alert.kind, alert.value) for alert in store.open_alerts()] == [
            ("glucose_low", 65.0),
            ("cgm_silence", None),
        ]
        assert store.clear_alert("glucose_low", "cgm", "boot-1", 40)
        assert not store.clear_alert("glucose_low", "cgm", "boot-1", 50)
        assert store.raise_alert("glucose_low", "cgm", 61.0, "boot-1", 60)
    assert [(alert.value, alert.cleared_boot_ns) for alert in store.alerts(2)] == [(61.0, None), (None, None)]
    assert store.alerts(9)[-1].cleared_boot_ns == 40
    store.close()


def test_a_sensors_name_stands_for_one_device(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)
    store = open_store(config)
    with store.transaction():
        store.register_sensor(config.sensors[0])
    assert store.address("cgm") == "A4:C1:38:00:00:02"
    replacements = [
        {"A4:C1:38:00:00:02": "A4:C1:38:00:00:03"},
        {'id = "cgm"': 'id = "cgm-2"'},
        {"A4:C1:38:00:00:01": "A4:C1:38:00:00:04", "A4:C1:38:00:00:02": "A4:C1:38:00:00:01"},
    ]
    for replacement in replacements:
        changed = minimal_config(tmp_path, **replacement).sensors[1]
        with pytest.raises(ConfigError, match="does not match what is stored"), store.transaction():
            store.register_sensor(changed)
    store.close()


def test_a_lost_note_of_the_key_is_made_again(tmp_path: Path) -> None:
    path = filled(tmp_path)
    note = path.with_name("store.db.keycheck")
    note.unlink()
    assert content(path)[0] is None
    assert note.read_text() == f"{IDENTITY.key_check}\n"
    # Without a database there is nothing that would need the old key.
    path.unlink()
    Store(path, Identity(b"x" * 32), simulated=True).close()
    assert note.read_text() == f"{Identity(b'x' * 32).key_check}\n"
