"""Alerts are raised by what is known now, end when it is known to be over, and count silence as an event."""

import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge_parts import minimal_config, open_store

from edge.alerts import AlertBoard, Rule, glucose_rules, heart_rules
from edge.cgm_sensor import LiveGlucose
from edge.config import Alerts
from edge.heart_sensor import LiveHeart
from edge.store import Store

S = 10**9
LIMITS = Alerts()


class Board:
    """One sensor, asked once a second; what is open after each."""

    def __init__(self, store: Store, kind: str, started_s: int = 0, boot_id: str = "boot-1") -> None:
        self.sensor: Any = SimpleNamespace(config=SimpleNamespace(id=kind), live=None)
        self.now_s = started_s
        self.boot_id = boot_id
        self.store = store
        make: Any = heart_rules if kind == "strap" else glucose_rules
        rules: list[Rule] = make(self.sensor, LIMITS, started_s * S)
        self.board = AlertBoard(rules, store, self)

    def boot_ns(self) -> int:
        return self.now_s * S

    def utc_ns(self) -> int:
        raise AssertionError("alerts do not ask the wall clock")

    @property
    def open(self) -> set[str]:
        return {alert.kind for alert in self.store.open_alerts()}

    def heart(self, seconds: int, bpm: int, contact: bool | None = None) -> set[str]:
        for _ in range(seconds):
            self.now_s += 1
            self.sensor.live = LiveHeart(self.now_s * S, bpm, contact)
            self.board.tick()
        return self.open

    def glucose(self, mg_dl: float, age_s: int = 0) -> set[str]:
        self.now_s += 300
        self.sensor.live = LiveGlucose((self.now_s - age_s) * S, mg_dl)
        self.board.tick()
        return self.open

    def silence(self, seconds: int) -> set[str]:
        for _ in range(seconds):
            self.now_s += 1
            self.board.tick()
        return self.open


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


@pytest.mark.parametrize(
    ("bpm", "raised"), [(39, {"heart_rate_low"}), (40, set()), (130, set()), (131, {"heart_rate_high"})]
)
def test_a_rate_beyond_its_threshold_must_last(store: Store, bpm: int, raised: set[str]) -> None:
    b = Board(store, "strap")
    assert b.heart(60, bpm) == set()
    assert b.heart(1, bpm) == raised
    assert b.heart(600, bpm) == raised
    assert b.heart(1, 80) == set()
    assert len(store.alerts(10)) == len(raised)


def test_one_good_second_starts_the_hold_anew(store: Store) -> None:
    b = Board(store, "strap")
    for _ in range(10):
        assert b.heart(59, 180) == set()
        assert b.heart(1, 120) == set()


@pytest.mark.parametrize(("bpm", "contact"), [(0, None), (0, False), (180, False), (20, False)])
def test_a_strap_that_is_not_worn_says_nothing_of_the_heart_and_is_not_silent(
    store: Store, bpm: int, contact: bool | None
) -> None:
    b = Board(store, "strap")
    assert b.heart(61, 180) == {"heart_rate_high"}
    assert b.heart(1, bpm, contact) == set()
    assert b.heart(3000, bpm, contact) == set()


def test_one_high_packet_and_then_nothing_is_silence_and_no_high_rate(store: Store) -> None:
    b = Board(store, "strap")
    b.heart(1, 180)
    assert b.silence(600) == set()
    assert b.silence(1) == {"heart_rate_silence"}
    assert {alert.kind for alert in store.alerts(10)} == {"heart_rate_silence"}
    assert b.heart(1, 80) == set()


def test_a_standing_rate_alert_gives_way_to_silence(store: Store) -> None:
    b = Board(store, "strap")
    assert b.heart(61, 180) == {"heart_rate_high"}
    assert b.silence(600) == {"heart_rate_high"}
    assert b.silence(1) == {"heart_rate_silence"}


def test_never_heard_is_silence_too(store: Store) -> None:
    b = Board(store, "cgm", started_s=5000)
    assert b.silence(1200) == set()
    assert b.silence(1) == {"cgm_silence"}


@pytest.mark.parametrize(
    ("mg_dl", "raised"),
    [
        (-math.inf, {"glucose_urgent_low", "glucose_low"}),
        (53.0, {"glucose_urgent_low", "glucose_low"}),
        (54.0, {"glucose_low"}),
        (70.0, set()),
        (250.0, set()),
        (251.0, {"glucose_high"}),
        (math.inf, {"glucose_high"}),
    ],
)
def test_one_reading_beyond_a_threshold_is_enough(store: Store, mg_dl: float, raised: set[str]) -> None:
    b = Board(store, "cgm")
    assert b.glucose(mg_dl) == raised
    assert b.glucose(100.0) == set()


def test_a_low_that_becomes_urgent_is_one_more_alert_and_ends_on_its_own(store: Store) -> None:
    b = Board(store, "cgm")
    assert b.glucose(65.0) == {"glucose_low"}
    assert b.glucose(50.0) == {"glucose_low", "glucose_urgent_low"}
    assert b.glucose(45.0) == {"glucose_low", "glucose_urgent_low"}
    assert b.glucose(60.0) == {"glucose_low"}
    assert b.glucose(90.0) == set()
    assert [(alert.kind, alert.value) for alert in reversed(store.alerts(10))] == [
        ("glucose_low", 65.0),
        ("glucose_urgent_low", 50.0),
    ]


def test_an_old_low_is_silence_and_not_low(store: Store) -> None:
    assert Board(store, "cgm").glucose(40.0, age_s=1201) == {"cgm_silence"}


@pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
def test_an_alert_outlives_a_restart_until_something_is_known(store: Store, boot_id: str) -> None:
    assert Board(store, "cgm").glucose(50.0) == {"glucose_low", "glucose_urgent_low"}
    with store.transaction():
        store.note_boot(boot_id)
    again = Board(store, "cgm", started_s=7, boot_id=boot_id)
    assert again.silence(200) == {"glucose_low", "glucose_urgent_low"}
    assert again.glucose(60.0) == {"glucose_low"}
    assert len(store.alerts(10)) == 2  # none was raised a second time
    cleared = next(alert for alert in store.alerts(10) if alert.kind == "glucose_urgent_low")
    assert (cleared.cleared_boot_id, cleared.cleared_boot_ns) == (boot_id, again.boot_ns())


def test_an_alert_that_outlived_a_restart_gives_way_to_silence(store: Store) -> None:
    Board(store, "cgm").glucose(60.0)
    again = Board(store, "cgm")
    assert again.silence(1200) == {"glucose_low"}
    assert again.silence(1) == {"cgm_silence"}


def test_silence_that_outlived_a_restart_ends_with_the_first_word(store: Store) -> None:
    assert Board(store, "strap").silence(601) == {"heart_rate_silence"}
    again = Board(store, "strap")
    assert again.silence(300) == {"heart_rate_silence"}
    assert again.heart(1, 80) == set()


def test_two_sensors_have_alerts_of_their_own(store: Store) -> None:
    strap, cgm = Board(store, "strap"), Board(store, "cgm")
    strap.heart(61, 20)
    cgm.glucose(300.0)
    assert {(a.sensor_id, a.kind) for a in store.open_alerts()} == {
        ("strap", "heart_rate_low"),
        ("cgm", "glucose_high"),
    }


def test_each_alert_is_one_line_when_it_begins_and_one_when_it_ends(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    b = Board(store, "cgm")
    with caplog.at_level(logging.INFO):
        for mg_dl in (60.0, 59.0, 58.0, 100.0, 101.0):
            b.glucose(mg_dl)
    assert [record.message for record in caplog.records] == [
        # Neither the kind nor the value: they are health data, and the log is not encrypted.
        "cgm: an alert was raised; `vitalgate status` shows it",
        "cgm: an alert is over",
    ]
