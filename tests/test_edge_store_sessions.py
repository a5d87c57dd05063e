"""Sessions follow each other, readings are stored once, and what was given up is on record."""

import math
from pathlib import Path
from uuid import UUID

import pytest
from edge_parts import MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store
from store_parts import begin, reading

from edge.store.door import Store, Tables
from edge.store.sessions import GivenUp, Session


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


def test_a_session_is_what_was_told_of_it(store: Store) -> None:
    session = in_transaction(
        store,
        lambda tables: tables.sessions.begin(
            2,
            UUID(int=5),
            told_start_utc_s=None,
            start_boot_no=1,
            start_boot_ns=-7,
            start_utc_s=None,
            start_error_ms=None,
            run_time_h=None,
        ),
    )
    assert session == Session(1, UUID(int=5), 2, 1, None, 1, -7, None, None, None, -1, None)
    sessions = store.tables.sessions
    assert sessions.current(2) == sessions.get(1) == session
    assert sessions.current(1) is None
    assert sessions.untrusted() == sessions.of_boot(1) == sessions.of_sensor(2) == [session]
    assert sessions.of_boot(2) == sessions.of_sensor(1) == []


def test_a_session_ends_the_one_before_it_and_no_other_sensors(store: Store) -> None:
    def work(tables: Tables) -> None:
        first, other = begin(tables), begin(tables, sensor_no=1)
        second = begin(tables, start_utc_s=MIDNIGHT_UTC_S + 1000)
        assert (first.number, second.number, other.number) == (1, 2, 1)
        assert tables.sessions.current(2) == second
        assert tables.sessions.current(1) == other
        assert tables.sessions.get(first.no).ended == "superseded"
        tables.sessions.end(second.no, "it told so")
        tables.sessions.end(second.no, "later")
        assert tables.sessions.get(second.no).ended == "it told so"
        assert tables.sessions.current(2) is None
        assert [one.ended for one in tables.sessions.of_sensor(2)] == ["superseded", "it told so"]

    in_transaction(store, work)


def test_what_is_learned_of_a_session_is_kept(store: Store) -> None:
    def work(tables: Tables) -> None:
        session = begin(tables, trusted=False)
        assert tables.sessions.untrusted() == [session]
        tables.sessions.update(session.no, watermark=17, start_error_ms=60_000, told_start_utc_s=None)
        changed = session._replace(watermark=17, start_error_ms=60_000, told_start_utc_s=None)
        assert tables.sessions.get(session.no) == changed
        assert tables.sessions.untrusted() == []
        with pytest.raises(AssertionError):
            tables.sessions.update(session.no, sensor_no=1)

    in_transaction(store, work)


def test_what_was_given_up_is_taken_back_record_by_record(store: Store) -> None:
    def work(tables: Tables) -> None:
        no = begin(tables).no
        tables.sessions.give_up(no, 5, 9, "not reported", 3, 1, 42)
        tables.sessions.give_up(no, 20, 20, "undecodable", 3, 1, 43)
        note = GivenUp(5, 9, "not reported", 3, 1, 42)
        assert tables.sessions.given_up(no) == [note, GivenUp(20, 20, "undecodable", 3, 1, 43)]
        assert [tables.sessions.take_back(no, n) for n in (4, 10, 19, 21)] == [False] * 4
        assert tables.sessions.take_back(no, 7)
        assert not tables.sessions.take_back(no, 7)
        assert tables.sessions.take_back(no, 20)
        assert tables.sessions.given_up(no) == [note._replace(last=6), note._replace(first=8)]
        assert tables.sessions.take_back(no, 5)
        assert tables.sessions.take_back(no, 9)
        assert tables.sessions.given_up(no) == [
            note._replace(first=6, last=6),
            note._replace(first=8, last=8),
        ]
        tables.sessions.delete(no)
        assert tables.sessions.given_up(no) == tables.sessions.of_sensor(2) == []

    in_transaction(store, work)


def test_readings_are_stored_once(store: Store) -> None:
    def work(tables: Tables) -> None:
        readings, first = tables.readings, begin(tables)
        assert readings.insert(first.no, "glucose", [reading(5), reading(10, math.inf)]) == [
            reading(5),
            reading(10, math.inf),
        ]
        late = reading(0, None, fetched=True)
        assert readings.insert(first.no, "glucose", [reading(10, 3.0), late, late]) == [late]
        second = begin(tables)
        assert readings.insert(second.no, "glucose", [reading(0, -math.inf)]) == [reading(0, -math.inf)]
        assert readings.insert(first.no, "weight", [reading(5, 80.0)]) == [reading(5, 80.0)]
        assert readings.get(first.no, "glucose", 10) == reading(10, math.inf)
        assert readings.get(first.no, "glucose", 11) is None
        assert readings.sequences(first.no, "glucose") == [0, 5, 10]
        assert readings.newest(first.no, "glucose") == reading(10, math.inf)
        assert readings.newest(first.no, "steps") is None
        assert [readings.count(no, "glucose") for no in (first.no, second.no)] == [3, 1]
        assert readings.between(first.no, "glucose", 0, 600) == [late, reading(5)]
        assert readings.between(first.no, "glucose", 300, 601) == [reading(5), reading(10, math.inf)]
        assert readings.measurements(first.no) == ["glucose", "weight"]
        assert readings.oldest(first.no, "glucose", 2) == [(0, 0), (5, 300)]
        assert readings.delete_until(first.no, "glucose", 5) == 2
        assert readings.sequences(first.no, "glucose") == [10]
        assert readings.sequences(first.no, "weight") == [5]

    in_transaction(store, work)


def test_why_a_reading_does_not_count_is_kept_with_it(store: Store) -> None:
    def work(tables: Tables) -> None:
        no = begin(tables).no
        doubtful = reading(5)._replace(
            not_counted="sensor malfunction", trend=-1.5, quality_pct=None, boot_no=7
        )
        tables.readings.insert(no, "glucose", [doubtful])
        assert tables.readings.between(no, "glucose", 0, 301) == [doubtful]

    in_transaction(store, work)
