"""What happened to alerts is kept once and in order, and how far each channel has come with telling it; blobs."""

from pathlib import Path

import pytest
from edge_parts import in_transaction, minimal_config, open_store
from store_parts import alert_event, begin

from edge.store.alerts import Delivery, Waiting
from edge.store.door import Store, Tables


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


LOW = alert_event("glucose_low", value=65.0)
HIGH = alert_event("heart_rate_high", sensor_no=1, boot_ns=5)
STUCK = alert_event("sync_stuck", sensor_no=None, boot_ns=6)


def test_an_event_is_kept_once(store: Store) -> None:
    def work(tables: Tables) -> None:
        assert tables.alerts.note(LOW)
        assert tables.alerts.note(HIGH)
        assert not tables.alerts.note(LOW._replace(value=60.0, boot_ns=7))
        assert tables.alerts.newest(9) == [HIGH, LOW]

    in_transaction(store, work)


def test_an_alert_stands_until_its_end(store: Store) -> None:
    def work(tables: Tables) -> None:
        alerts = tables.alerts
        for event in (LOW, HIGH, STUCK, alert_event("glucose_low", "over")):
            alerts.note(event)
        assert alerts.open() == [HIGH, STUCK]
        alerts.note(alert_event("glucose_low", ordinal=2))
        alerts.note(alert_event("sync_stuck", "retracted", sensor_no=None))
        assert [(event.rule, event.ordinal) for event in alerts.open()] == [
            ("heart_rate_high", 1),
            ("glucose_low", 2),
        ]
        assert [(event.rule, event.what) for event in alerts.newest_of_each()][-1] == (
            "sync_stuck",
            "retracted",
        )

    in_transaction(store, work)


def test_a_channel_moves_on_by_itself(store: Store) -> None:
    def work(tables: Tables) -> None:
        alerts = tables.alerts
        alerts.note(LOW, ["command", "journal"])
        alerts.note(HIGH, ["journal"])
        alerts.move(LOW.id, "journal", "delivered", 1, 1, 10)
        alerts.move(LOW.id, "command", "issued", 3, 1, 20)
        alerts.move(HIGH.id, "command", "delivered", 1, 1, 30)
        assert alerts.waiting() == [Waiting(LOW, "command", 3), Waiting(HIGH, "journal", 0)]
        assert alerts.deliveries(LOW.id) == [
            Delivery("command", "issued", 3, 1, 20),
            Delivery("journal", "delivered", 1, 1, 10),
        ]
        # An event that comes again does not go back to the beginning.
        alerts.note(LOW, ["command", "journal"])
        assert [one.channel for one in alerts.deliveries(LOW.id) if one.state == "delivered"] == ["journal"]
        alerts.delete(LOW.id)
        assert alerts.newest(9) == [HIGH]
        assert alerts.deliveries(LOW.id) == []

    in_transaction(store, work)


def test_a_blob_replaces_the_owners_former_one(store: Store) -> None:
    def work(tables: Tables) -> None:
        blobs = tables.blobs
        assert blobs.get("rhythm", 1) is None
        blobs.put("rhythm", 1, 1, b"a" * 100_000)
        blobs.put("rhythm", 2, 1, b"other")
        blobs.put("alerts", 0, 3, b"gateway")
        blobs.put("rhythm", 1, 2, b"\x00b")
        assert blobs.get("rhythm", 1) == (2, b"\x00b")
        blobs.delete("rhythm", 1)
        assert blobs.get("rhythm", 1) is None
        assert blobs.get("rhythm", 2) == (1, b"other")
        assert blobs.get("alerts", 0) == (3, b"gateway")

    in_transaction(store, work)


def test_a_blob_goes_with_its_owner(store: Store) -> None:
    def work(tables: Tables) -> None:
        session = begin(tables)
        tables.blobs.put("glycaemia", session.no, 1, b"x")
        tables.blobs.put("rhythm", session.no, 1, b"y")
        tables.sessions.delete(session.no)
        assert tables.blobs.get("glycaemia", session.no) is None
        assert tables.blobs.get("rhythm", session.no) == (1, b"y")
        with pytest.raises(AssertionError, match="whose it is"):
            tables.blobs.put("nobody's", 1, 1, b"")

    in_transaction(store, work)
