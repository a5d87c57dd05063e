"""A store of each earlier version opens with all that is in it; a migration that is killed leaves one version whole."""

import math
import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from edge_parts import IDENTITY, in_transaction, minimal_config
from migration_parts import Rows, contents, killed_at
from sqlcipher3 import dbapi2 as sqlite
from store_parts import reopened

from edge.config import Config
from edge.errors import ConfigError, StoreUnavailable
from edge.store import migrations
from edge.store.database import Database, Value
from edge.store.door import Store
from edge.store.raw_chunks import NO_BEAT, Packet
from edge.store.schema import SCHEMA_VERSION
from edge.store.summaries import SummaryKey
from edge.workers import inline

VERSION_1 = Path(__file__).parent / "stores" / "version_1.db"
STRAP, CGM = 1, 2
US = 1000
# 2026-03-02, and when its third boot began.
MIDNIGHT_UTC_S = 1_772_409_600
BOOT_B_UTC_S = MIDNIGHT_UTC_S + 86_400


def copy_of(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return Path(shutil.copy(VERSION_1, directory / "store.db"))


def version_1_connection(path: Path) -> sqlite.Connection:
    connection = sqlite.connect(str(path), isolation_level=None)
    connection.execute(f"PRAGMA key = \"x'{IDENTITY.store_key.hex()}'\"")
    return connection


@pytest.fixture
def old(tmp_path: Path) -> Iterator[sqlite.Connection]:
    """The old file, as it was."""
    connection = version_1_connection(copy_of(tmp_path / "old"))
    yield connection
    connection.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The same, opened by the program of today."""
    store = reopened(copy_of(tmp_path / "state"))
    yield store
    store.close()


def rows(connection: sqlite.Connection, sql: str) -> Rows:
    return connection.execute(sql).fetchall()


def test_it_is_a_whole_store_of_the_present_version(store: Store) -> None:
    database = store.tables.database
    assert store.quarantined is None
    assert store.simulated
    assert database.read("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert database.read("PRAGMA integrity_check") == [("ok",)]
    assert database.read("PRAGMA foreign_key_check") == []
    assert database.read("PRAGMA cipher_page_size") == [("1024",)]
    assert database.read("PRAGMA auto_vacuum") == [(2,)]
    assert [path.name for path in sorted(store.path.parent.iterdir())] == [
        "store.db",
        "store.db-wal",
        "store.db.keycheck",
    ]


def test_every_packet_is_there_to_the_microsecond(old: sqlite.Connection, store: Store) -> None:
    expected = []
    for boot_id, arrivals, beats, lengths, payloads in rows(
        old, "SELECT boot_id, arrival_boot_ns, last_beat_boot_ns, lengths, payloads FROM heart_chunks"
    ):
        end = 0
        for arrival, beat, length in zip(
            array("q", arrivals), array("q", beats), array("H", lengths), strict=True
        ):
            start, end = end, end + length
            expected.append(("abc".index(boot_id[-1]) + 1, Packet(payloads[start:end], arrival, beat)))
    found = [
        (boot_no, packet)
        for boot_no in store.tables.raw_chunks.boots(STRAP)
        for chunk in store.tables.raw_chunks.between(STRAP, boot_no, 0, 1 << 60)
        for packet in chunk.packets
    ]
    assert len(found) == len(expected) == 24 * 30 + 4 + 16 * 30 + 60
    for (boot_no, packet), (old_boot_no, was) in zip(_in_time(found), _in_time(expected), strict=True):
        assert (boot_no, packet.payload) == (old_boot_no, was.payload)
        assert abs(packet.arrival_boot_ns - was.arrival_boot_ns) < US
        assert (packet.last_beat_boot_ns == NO_BEAT) == (was.last_beat_boot_ns == NO_BEAT)
        assert abs(packet.last_beat_boot_ns - was.last_beat_boot_ns) < 2 * US


def _in_time(packets: list[tuple[int, Packet]]) -> list[tuple[int, Packet]]:
    return sorted(packets, key=lambda row: (row[0], row[1].arrival_boot_ns))


def test_sessions_and_their_records_are_there(old: sqlite.Connection, store: Store) -> None:
    sessions = store.tables.sessions.of_sensor(CGM)
    kept = rows(old, "SELECT id, number, start_utc_s, run_time_h FROM cgm_sessions ORDER BY id")
    assert [(one.no, one.number, one.start_utc_s, one.run_time_h) for one in sessions] == kept
    assert [one.told_start_utc_s for one in sessions] == [row[2] for row in kept]
    # What was placed stays placed.
    assert store.tables.sessions.untrusted() == []
    assert [one.ended for one in sessions] == ["superseded", None]
    assert len({one.uuid for one in sessions}) == 2
    assert {one.uuid.version for one in sessions} == {4}
    # Up to where the old one was sure is not sure; the sensor is asked again as long as it can be.
    assert [one.watermark for one in sessions] == [195, -1]
    for session in sessions:
        records = rows(
            old,
            "SELECT time_offset_min, 60 * time_offset_min, glucose_mg_dl, trend_mg_dl_min, quality_pct, status,"
            f" received_boot_id, received_boot_ns, backfilled FROM cgm_records WHERE session_id = {session.no}",
        )
        found = store.tables.readings.between(session.no, "glucose", -1, 1 << 40)
        assert [
            (*one[:6], f"boot-{'abc'[one.boot_no - 1]}", one.boot_ns, int(one.fetched)) for one in found
        ] == records
        assert {one.not_counted for one in found if one.sequence % 5 == 0} == {
            None,
            "sensor malfunction",
            "no measurement",
        }
        assert {one.value for one in found if one.value and math.isinf(one.value)} == {math.inf, -math.inf}


def test_summaries_keep_their_ids(old: sqlite.Connection, store: Store) -> None:
    numbers = {"strap": STRAP, "cgm": CGM}
    kept = rows(old, "SELECT kind, sensor_id, start_utc_s, end_utc_s, id, rev, status FROM summaries")
    assert len(kept) == 11
    for kind, sensor_id, start_utc_s, *rest in kept:
        found = store.tables.summaries.get(SummaryKey(kind, numbers[sensor_id], start_utc_s))
        assert found
        assert [found.end_utc_s, str(found.id), found.rev, found.status] == rest
        assert found.body
    assert (
        len(store.tables.summaries.between("heart_5min")) + len(store.tables.summaries.between("glucose_day"))
        == 11
    )


def test_every_item_goes_on_from_where_it_was_under_the_id_it_had(
    old: sqlite.Connection, store: Store
) -> None:
    kept = rows(
        old,
        "SELECT id, kind, ref, rev, state, sent_rev, batch_max, attempts, reason FROM outbox ORDER BY seq",
    )
    found = store.tables.database.read(
        "SELECT item, kind, ref, rev, state, sent_rev, batch_max, attempts, reason FROM deliveries"
        " WHERE route = 'files' ORDER BY seq"
    )
    assert Counter(row[4] for row in found) == {"pending": 124, "acked": 23, "inflight": 4, "parked": 1}
    assert [(*row[:2], *row[3:]) for row in found] == [(*row[:2], *row[3:]) for row in kept]
    for item, kind, ref, *_ in found:
        if kind == "cgm_reading":
            session_no, measurement, sequence = ref.split("/")
            assert measurement == "glucose"
            assert store.tables.readings.get(int(session_no), "glucose", int(sequence))
        else:
            summary_kind, sensor_no, start_utc_s = ref.split("/")
            summary = store.tables.summaries.get(SummaryKey(summary_kind, int(sensor_no), int(start_utc_s)))
            assert summary
            assert summary_kind == kind
            assert str(summary.id) == item


def test_the_batch_in_flight_stays_in_flight(old: sqlite.Connection, store: Store) -> None:
    batch = store.tables.deliveries.in_flight("files")
    ((name, body),) = rows(old, "SELECT name, body FROM outbox_batch")
    assert batch
    assert (batch.name, batch.body) == (name, body)
    assert [(str(item.id), item.rev) for item in batch.items] == rows(
        old, "SELECT id, sent_rev FROM outbox WHERE state = 'inflight' ORDER BY seq"
    )


def test_the_configuration_says_whose_items_they_are(tmp_path: Path, store: Store) -> None:
    config = minimal_config(tmp_path)
    deliveries = store.tables.deliveries
    kinds = ("cgm_reading", "glucose_day", "heart_5min")
    allowed = {("p-7f3a", kind) for kind in kinds}
    assert deliveries.waiting("files", 500, allowed) == []
    found = in_transaction(
        store, lambda tables: tables.sensors.register(config.sensors, config.people, boot_no=1, boot_ns=0)
    )
    assert [(row.no, row.person, row.retired) for row in found] == [
        (1, "p-7f3a", False),
        (2, "p-7f3a", False),
    ]
    assert len(deliveries.waiting("files", 500, allowed)) == 124
    assert store.tables.sensors.trait(STRAP, "rr_unit") == "MILLISECONDS"


def test_whose_items_they_are_is_known_of_a_sensor_that_is_not_configured_any_more(
    tmp_path: Path, store: Store
) -> None:
    config = minimal_config(tmp_path)
    alone = Config(
        **{name: getattr(config, name) for name in config.__struct_fields__} | {"sensors": config.sensors[:1]}
    )
    in_transaction(
        store, lambda tables: tables.sensors.register(alone.sensors, alone.people, boot_no=1, boot_ns=0)
    )
    assert [(row.person, row.retired) for row in store.tables.sensors.all()] == [
        ("p-7f3a", False),
        ("p-7f3a", True),
    ]
    assert len(store.tables.deliveries.waiting("files", 500, {("p-7f3a", "cgm_reading")})) == 113


def test_alerts_are_there(store: Store) -> None:
    found = [(a.rule, a.sensor_no, a.what, a.ordinal, a.step, a.value) for a in store.tables.alerts.newest(9)]
    assert found == [
        ("heart_silence", STRAP, "raised", 1, 0, None),
        ("glucose_low", CGM, "raised", 2, 0, 61.0),
        ("glucose_low", CGM, "over", 1, 1, 65.0),
        ("glucose_low", CGM, "raised", 1, 0, 65.0),
    ]
    assert [event.ordinal for event in store.tables.alerts.open()] == [2, 1]


def test_boots_are_placed_as_they_were(store: Store) -> None:
    """By their newest anchor: the first of the first boot was of a clock that had not been set yet."""
    timeline = store.tables.boots.timeline()
    assert [timeline.is_trusted(boot_no) for boot_no in (1, 2, 3)] == [True, True, False]
    placement = timeline.place(1, 2_000_000_000)
    assert placement
    assert placement.utc_ns == (MIDNIGHT_UTC_S + 36_000 + 2) * 1_000_000_000
    anchors = store.tables.database.read("SELECT boot_no, error_ms FROM anchors ORDER BY boot_no, boot_ns")
    assert anchors == [(1, None), (1, 500), (1, 500), (2, 500)]


def test_what_was_not_closed_is_dirty(store: Store) -> None:
    """Windows of the second boot, which had not been reached; the day that was still open, by quarters of an hour."""
    dirty = store.tables.dirty.all()
    windows = [key.start_utc_s for key in dirty if key.kind == "heart_5min"]
    assert windows == [BOOT_B_UTC_S - 300, BOOT_B_UTC_S, BOOT_B_UTC_S + 300]
    quarters = [key.start_utc_s for key in dirty if key.kind == "glucose_day"]
    berlin_midnight_utc_s = MIDNIGHT_UTC_S + 86_400 - 3600
    readings = store.tables.readings.between(
        2, "glucose", berlin_midnight_utc_s - MIDNIGHT_UTC_S - 75_000, 1 << 40
    )
    moments = {MIDNIGHT_UTC_S + 75_000 + one.at_s for one in readings}
    assert quarters == sorted({utc_s // 900 * 900 for utc_s in moments})
    assert quarters[0] == berlin_midnight_utc_s
    assert store.tables.raw_chunks.unplaced() == [(STRAP, 3)]


def test_an_item_whose_thing_is_gone_is_parked(tmp_path: Path) -> None:
    path = copy_of(tmp_path / "state")
    connection = version_1_connection(path)
    connection.execute("DELETE FROM cgm_records WHERE session_id = 2 AND time_offset_min = 50")
    connection.execute("DELETE FROM summaries WHERE kind = 'heart_5min' AND start_utc_s = 1772445300")
    connection.close()
    store = reopened(path)
    parked = store.tables.deliveries.parked("files", 9)
    assert [(one.item.kind, one.reason) for one in parked if one.reason != "refused alone"] == [
        ("heart_5min", "what it names is not in the store"),
        ("cgm_reading", "what it names is not in the store"),
    ]
    assert len(parked) == 3
    assert store.tables.database.read("SELECT count(*) FROM deliveries") == [(152,)]
    store.close()


def test_of_two_summaries_of_a_period_the_later_stays(tmp_path: Path) -> None:
    """As after a change of pseudonym, which was part of the id."""
    path = copy_of(tmp_path / "state")
    connection = version_1_connection(path)
    connection.execute(
        "INSERT INTO summaries SELECT ?, kind, sensor_id, start_utc_s, end_utc_s, 1, 'final', '{\"x\":1}'"
        " FROM summaries WHERE start_utc_s = 1772445300",
        (str(UUID(int=5)),),
    )
    connection.execute(
        "INSERT INTO outbox (id, kind, ref, rev, state, enqueued_boot_id, enqueued_boot_ns)"
        " VALUES (?1, 'heart_5min', ?1, 1, 'pending', 'boot-a', 0)",
        (str(UUID(int=5)),),
    )
    connection.close()
    store = reopened(path)
    summary = store.tables.summaries.get(SummaryKey("heart_5min", STRAP, 1_772_445_300))
    assert summary
    assert (summary.id, summary.body["x"]) == (UUID(int=5), 1)
    states = store.tables.database.read(
        "SELECT state FROM deliveries WHERE item = ? OR ref = ?", str(UUID(int=5)), "heart_5min/1/1772445300"
    )
    assert states == [("pending",)]
    assert store.tables.deliveries.counts("files").parked == 2
    store.close()


def test_a_store_that_never_closed_a_period_has_all_of_them_open(tmp_path: Path) -> None:
    path = copy_of(tmp_path / "state")
    connection = version_1_connection(path)
    for table in ("cursors", "summaries", "outbox", "outbox_batch"):
        connection.execute(f"DELETE FROM {table}")
    connection.close()
    store = reopened(path)
    dirty = store.tables.dirty.all()
    assert len([key for key in dirty if key.kind == "heart_5min"]) > 8
    assert (
        min(key.start_utc_s for key in dirty if key.kind == "glucose_day")
        == (MIDNIGHT_UTC_S - 20_000) // 900 * 900
    )
    assert [session.watermark for session in store.tables.sessions.of_sensor(CGM)] == [-1, -1]
    assert store.tables.deliveries.carried("files").items == 0
    store.close()


def test_looking_does_not_migrate(tmp_path: Path) -> None:
    path = copy_of(tmp_path / "state")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="has schema 1, an older one; run the gateway first"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert path.read_bytes() == before


def test_what_was_only_in_the_log_is_migrated_too(tmp_path: Path) -> None:
    """After a crash most of the newest is in the log beside the file."""
    connection = version_1_connection(copy_of(tmp_path / "running"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("UPDATE cgm_records SET glucose_mg_dl = 123.0 WHERE session_id = 2")
    shutil.copytree(tmp_path / "running", tmp_path / "state")
    connection.close()
    assert (tmp_path / "state" / "store.db-wal").stat().st_size > 0
    store = reopened(tmp_path / "state" / "store.db")
    assert store.quarantined is None
    assert {reading.value for reading in store.tables.readings.between(2, "glucose", 0, 1 << 40)} == {123.0}
    store.close()


def test_a_checkpoint_of_the_old_file_that_was_cut_short_is_no_damage(tmp_path: Path) -> None:
    """Its first page is torn, and whole in the log."""
    connection = version_1_connection(copy_of(tmp_path / "running"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO meta VALUES ('large', ?)", ("x" * 20_000,))
    shutil.copytree(tmp_path / "running", tmp_path / "state")
    connection.close()
    path = tmp_path / "state" / "store.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + bytes(2096) + whole[4096:])
    store = reopened(path)
    assert store.quarantined is None
    assert store.tables.readings.count(2, "glucose") == 100
    assert store.tables.database.read("SELECT length(value) FROM meta WHERE key = 'large'") == [(20_000,)]
    store.close()


# Killed


def test_killed_at_any_statement_it_leaves_one_version_whole(tmp_path: Path) -> None:
    whole = copy_of(tmp_path / "whole")
    old_contents = whole.read_bytes()
    migrations.migrate(whole, IDENTITY)
    expected = contents(whole)
    left = Counter[str]()
    for step in count():
        found = killed_at(step, VERSION_1, tmp_path, lambda path: migrations.migrate(path, IDENTITY))
        if found is None:
            break
        if found.read_bytes() == old_contents:
            left["old"] += 1
            # Again, with whatever the killed one left behind.
            migrations.migrate(found, IDENTITY)
        else:
            left["new"] += 1
        assert contents(found) == expected, step
        assert not list(found.parent.glob("*.new*")) or left["new"]
        for used in (found.parent, tmp_path / f"{step}"):
            shutil.rmtree(used)
    assert left["old"] > 100
    assert left["new"] >= 1


@pytest.mark.parametrize("what", ["a disk that is full", "a defect"])
def test_a_migration_that_fails_can_be_tried_again(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of(tmp_path / "state")
    before = path.read_bytes()
    failure: Exception = StoreUnavailable("full") if what == "a disk that is full" else KeyError("defect")
    with monkeypatch.context() as patch:

        def fail(database: Database, sql: str, *values: Value) -> Sequence[Any]:
            if "deliveries" in sql:
                raise failure
            return read(database, sql, *values)

        read = Database.write
        patch.setattr(Database, "write", fail)
        with pytest.raises(type(failure)):
            reopened(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["store.db"]
    store = reopened(path)
    assert store.quarantined is None
    assert store.tables.readings.count(2, "glucose") == 100
    store.close()


def test_a_damaged_old_store_is_set_aside(tmp_path: Path) -> None:
    path = copy_of(tmp_path / "state")
    spoilt = bytearray(path.read_bytes())
    spoilt[Random(1).randrange(20, 30) * 4096 + 100] ^= 1
    path.write_bytes(bytes(spoilt))
    store = reopened(path)
    assert store.quarantined
    assert store.quarantined.read_bytes() == bytes(spoilt)
    store.close()
