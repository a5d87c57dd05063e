"""Stores of versions 2 and 3 open with all that is in them; the alerts of version 2 have become events."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from edge_parts import IDENTITY
from migration_parts import contents, killed_at
from store_parts import reopened

from edge.errors import ConfigError, StoreUnavailable
from edge.history.heart_window import EMPTY
from edge.store.database import Database, Value
from edge.store.door import Store
from edge.store.migrations import bring_up
from edge.store.schema import SCHEMA_VERSION
from edge.workers import inline

VERSION_2 = Path(__file__).parent / "stores" / "version_2.db"
VERSION_3 = VERSION_2.with_name("version_3.db")
STRAP, CGM = 1, 2
SECOND_NS = 1_000_000_000
UNCHANGED = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN"
    " ('meta', 'alerts', 'alert_events', 'alert_deliveries', 'blobs', 'summaries')"
)


def copy_of(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    return Path(shutil.copy(VERSION_2, directory / "store.db"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = reopened(copy_of(tmp_path / "state"))
    yield store
    store.close()


def test_it_is_a_whole_store_of_the_present_version(store: Store, tmp_path: Path) -> None:
    database = store.tables.database
    assert store.quarantined is None
    assert database.read("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert database.read("PRAGMA integrity_check") == [("ok",)]
    assert database.read("PRAGMA foreign_key_check") == []
    new = Store(tmp_path / "new" / "store.db", IDENTITY, simulated=True, workers=inline())
    form = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
    assert database.read(form) == new.tables.database.read(form)
    new.close()


def test_everything_else_is_as_it_was(store: Store, tmp_path: Path) -> None:
    old = Database(copy_of(tmp_path / "old"), IDENTITY)
    tables = [name for (name,) in old.read(UNCHANGED)]
    assert {"readings", "raw_chunks", "deliveries", "given_up", "sensors"} <= {*tables}
    for table in tables:
        assert store.tables.database.read(f"SELECT * FROM {table}") == old.read(f"SELECT * FROM {table}")
    assert {*old.read("SELECT * FROM meta")} <= {*store.tables.database.read("SELECT * FROM meta")}
    old.close()


def test_summaries_say_of_what_their_variability_is(tmp_path: Path) -> None:
    """It was that of all intervals, under the names of that of the normal ones."""
    common = {"hr_mean_bpm": 60.1, "hr_min_bpm": 55.0, "hr_max_bpm": None, "beats": 300, "coverage_pct": 99.5}
    path = copy_of(tmp_path)
    old = Database(path, IDENTITY)
    body = json.dumps(common | {"sdnn_ms": 41.23123512312777, "rmssd_ms": None})
    with old.transaction():
        old.write("UPDATE summaries SET body = ? WHERE kind = 'heart_5min'", body)
    days = old.read("SELECT body FROM summaries WHERE kind = 'glucose_day'")
    old.close()
    store = reopened(path)
    bodies = [summary.body for summary in store.tables.summaries.between("heart_5min")]
    assert bodies[0] == EMPTY | common | {"sdrr_ms": 41.23123512312777, "rmssd_rr_ms": None}
    assert bodies == bodies[:1] * len(bodies)
    assert store.tables.database.read("SELECT body FROM summaries WHERE kind = 'glucose_day'") == days
    store.close()


def test_what_happened_to_alerts_is_there_in_order(store: Store) -> None:
    found = [
        (e.rule, e.sensor_no, e.what, e.ordinal, e.step, e.value, e.boot_no, e.boot_ns // SECOND_NS)
        for e in reversed(store.tables.alerts.newest(9))
    ]
    assert found == [
        ("glucose_low", CGM, "raised", 1, 0, 65.0, 1, 100),
        ("heart_rate_high", STRAP, "raised", 1, 0, 151.0, 1, 110),
        ("glucose_low", CGM, "over", 1, 1, 65.0, 1, 700),
        ("cgm_silence", CGM, "raised", 1, 0, 1200.0, 1, 3000),
        ("cgm_silence", CGM, "over", 1, 1, 1200.0, 2, 15),
        ("glucose_low", CGM, "raised", 2, 0, 61.0, 2, 20),
    ]
    assert [event.rule for event in store.tables.alerts.open()] == ["heart_rate_high", "glucose_low"]
    assert {event.person for event in store.tables.alerts.newest(9)} == {"p-7f3a"}
    assert len({event.id for event in store.tables.alerts.newest(9)}) == 6
    assert store.tables.alerts.waiting() == []


def test_every_store_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = set()
    for n in range(3):
        store = reopened(copy_of(tmp_path / f"{n}"))
        names.add(store.tables.store_id())
        store.close()
    assert len(names) == 3
    again = reopened(tmp_path / "0" / "store.db")
    assert again.tables.store_id() in names
    again.close()


def test_looking_does_not_migrate(tmp_path: Path) -> None:
    path = copy_of(tmp_path / "state")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="has schema 2, an older one; run the gateway first"):
        Store(path, IDENTITY, simulated=None, workers=inline())
    assert path.read_bytes() == before


def migrate(path: Path) -> None:
    reopened(path).close()


def version_of(path: Path) -> int:
    database = Database(path, IDENTITY)
    ((version,),) = database.read("PRAGMA user_version")
    database.close()
    return int(version)


def test_killed_at_any_statement_it_leaves_one_version_whole(tmp_path: Path) -> None:
    whole = copy_of(tmp_path / "whole")
    migrate(whole)
    expected = contents(whole)
    left = Counter[int]()
    for step in count():
        found = killed_at(step, VERSION_2, tmp_path, migrate)
        if found is None:
            break
        left[version_of(found)] += 1
        migrate(found)
        assert contents(found) == expected, step
        for used in (found.parent, tmp_path / f"{step}"):
            shutil.rmtree(used)
    assert left[2] > 10
    assert left[SCHEMA_VERSION] >= 1


def test_a_migration_that_fails_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy_of(tmp_path / "state")

    def full(database: Database, sql: str, *values: Value) -> int:
        if "DROP" in sql:
            raise StoreUnavailable("full")
        return write(database, sql, *values)

    write = Database.write
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", full)
        with pytest.raises(StoreUnavailable):
            migrate(path)
    assert version_of(path) == 2
    database = Database(path, IDENTITY)
    assert len(database.read("SELECT * FROM alerts")) == 4
    bring_up(database, 2)
    database.close()
    assert version_of(path) == SCHEMA_VERSION


def test_a_store_of_version_3_has_all_that_it_had_and_what_is_new(tmp_path: Path) -> None:
    path = Path(shutil.copy(VERSION_3, tmp_path / "store.db"))
    old = Database(Path(shutil.copy(VERSION_3, tmp_path / "old.db")), IDENTITY)
    tables = [name for (name,) in old.read("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    store = reopened(path)
    database = store.tables.database
    assert store.quarantined is None
    assert {"readings", "blobs", "alert_events"} <= {*tables}
    for table in tables:
        assert database.read(f"SELECT * FROM {table}") == old.read(f"SELECT * FROM {table}"), table
    new = Store(tmp_path / "new" / "store.db", IDENTITY, simulated=True, workers=inline())
    form = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
    assert database.read(form) == new.tables.database.read(form)
    new.close()
    store.close()
    old.close()
    assert version_of(path) == SCHEMA_VERSION
