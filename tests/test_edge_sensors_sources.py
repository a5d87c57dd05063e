"""One measurement that two sources tell is one, in whatever order they come."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, open_store, sensor_row
from feed_world import config_of, sensor
from history_parts import SetClock

from edge.config import Config
from edge.history.periods import Periods
from edge.sensors.sources import agree, known_pairs
from edge.store.door import Store
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.timekeeper import Timekeeper

CGM, FEED, FEED_2 = "cgm", "phone", "night"
ITEM = "cgm_reading"
ROUTE = "files"


def config(directory: Path, *, phone: str = "", night: str = "") -> Config:
    return config_of(
        directory,
        sensor(CGM, "cgm", "F0:00:00:00:00:02"),
        sensor(more=phone),
        sensor(FEED_2, address="http://night.lan", more=night),
        sends=True,
    )


class Kept:
    """A store in which sources keep readings."""

    def __init__(self, config: Config) -> None:
        self.store: Store = open_store(config)
        clock = SetClock()
        self.timekeeper = Timekeeper(clock, self.store, 1, self.store.tables.boots.timeline())
        self.periods = Periods(config, IDENTITY, self.store, self.timekeeper)
        self.tables = self.store.tables
        self.sessions: dict[str, Session] = {}
        for name in (CGM, FEED, FEED_2):
            with self.tables.database.transaction():
                self.sessions[name] = self.tables.sessions.begin(
                    sensor_row(self.store, name).no,
                    IDENTITY.id("session", name),
                    told_start_utc_s=None,
                    start_boot_no=None,
                    start_boot_ns=None,
                    start_utc_s=MIDNIGHT_UTC_S,
                    start_error_ms=0,
                    run_time_h=None,
                )

    def keep(self, name: str, values: dict[int, float]) -> None:
        readings = [
            Reading(at_s, at_s, value, None, None, 0, None, 1, 0, False) for at_s, value in values.items()
        ]
        with self.tables.database.transaction():
            self.periods.keep_readings(
                self.tables, self.sessions[name], "glucose", readings, self.timekeeper.timeline
            )

    def marks(self, name: str) -> list[str | None]:
        return [
            r.not_counted for r in self.tables.readings.between(self.sessions[name].no, "glucose", 0, 1 << 30)
        ]

    def counted(self) -> list[int]:
        """Over all sources, when something counts."""
        return sorted(
            r.at_s
            for session in self.sessions.values()
            for r in self.tables.readings.between(session.no, "glucose", 0, 1 << 30)
            if r.not_counted is None
        )

    def pending(self) -> dict[str, tuple[str, int]]:
        """What waits, by its place in the store: its id and its revision."""
        items = self.tables.deliveries.waiting(ROUTE, 1000, {("patient-1", ITEM)})
        return {item.ref: (str(item.id), item.rev) for item in items}

    def send_all(self) -> None:
        from edge.store.deliveries import Batch

        items = self.tables.deliveries.waiting(ROUTE, 1000, {("patient-1", ITEM)})
        with self.tables.database.transaction():
            self.tables.deliveries.begin_batch(ROUTE, Batch("b", b"", tuple(items)))
            self.tables.deliveries.acknowledge(ROUTE, MIDNIGHT_UTC_S)


def series(off_s: int = 0, off: float = 0.0, of: Sequence[int] = range(24)) -> dict[int, float]:
    return {3600 + 300 * n + off_s: 100.0 + 3 * n + off for n in of}


DUPLICATE = "duplicate of another source"


@pytest.mark.parametrize("order", list(permutations((CGM, FEED, FEED_2))))
@pytest.mark.parametrize("pieces", [1, 3, 24])
def test_the_better_source_counts_in_whatever_order_they_come(
    order: tuple[str, ...], pieces: int, tmp_path: Path
) -> None:
    kept = Kept(config(tmp_path))
    offs_s = {CGM: 0, FEED: 70, FEED_2: -50}
    size = 24 // pieces
    for piece in range(pieces):
        for name in order:
            kept.keep(name, series(offs_s[name], of=range(piece * size, (piece + 1) * size)))
    assert kept.marks(CGM) == [None] * 24
    assert kept.marks(FEED) == kept.marks(FEED_2) == [DUPLICATE] * 24
    assert len(kept.pending()) == 24


def test_random_pieces_in_random_order_count_each_measurement_once(tmp_path: Path) -> None:
    for seed in range(12):
        directory = tmp_path / str(seed)
        directory.mkdir()
        kept, rng = Kept(config(directory)), Random(seed)
        pieces = [(name, [n]) for name in (CGM, FEED) for n in range(24) if n % 7 or name == FEED]
        rng.shuffle(pieces)
        for name, of in sorted(pieces, key=lambda piece: piece[1][0] + rng.uniform(0.0, 4.0)):
            kept.keep(name, series(30 if name == FEED else 0, of=of))
        assert len(kept.counted()) == 24
        assert kept.marks(CGM) == [None] * 20


def test_a_better_source_that_comes_later_goes_under_the_id_that_was_sent(tmp_path: Path) -> None:
    kept = Kept(config(tmp_path))
    kept.keep(FEED, series(20))
    was = kept.pending()
    kept.send_all()
    kept.keep(CGM, series(of=range(12)))
    now = kept.pending()
    feed_no, cgm_no = kept.sessions[FEED].no, kept.sessions[CGM].no
    assert len(now) == 12
    for n in range(12):
        sent_id, rev = was[f"{feed_no}/glucose/{3620 + 300 * n}"]
        assert now[f"{cgm_no}/glucose/{3600 + 300 * n}"] == (sent_id, rev + 1)


def test_what_was_not_sent_yet_is_forgotten(tmp_path: Path) -> None:
    kept = Kept(config(tmp_path))
    kept.keep(FEED, series(20))
    kept.keep(CGM, series())
    assert {ref.split("/")[0] for ref in kept.pending()} == {str(kept.sessions[CGM].no)}


def test_gaps_of_the_better_source_are_filled_by_the_other(tmp_path: Path) -> None:
    kept = Kept(config(tmp_path))
    kept.keep(CGM, series(of=[*range(6), *range(18, 24)]))
    kept.keep(FEED, series(40))
    assert kept.marks(FEED) == [*[DUPLICATE] * 6, *[None] * 12, *[DUPLICATE] * 6]
    assert len(kept.counted()) == 24


def test_the_days_of_both_are_summarised_again(tmp_path: Path) -> None:
    kept = Kept(config(tmp_path))
    kept.keep(FEED, series(20))
    with kept.tables.database.transaction():
        for key in kept.tables.dirty.all():
            kept.tables.dirty.clear(*key)
    kept.keep(CGM, series())
    assert {key.sensor_no for key in kept.tables.dirty.all()} == {
        sensor_row(kept.store, name).no for name in (CGM, FEED)
    }


@pytest.mark.parametrize(
    ("phone", "off", "is_one"),
    [
        ("", 0.0, True),
        ("", 2.0, True),
        ("", 9.0, False),
        ('same_as = "cgm"', 9.0, True),
        ("another_sensor = true", 0.0, False),
    ],
)
def test_values_or_the_configuration_say_whether_two_sources_tell_one_sensor(
    phone: str, off: float, is_one: bool, tmp_path: Path
) -> None:
    kept = Kept(config(tmp_path, phone=phone))
    kept.keep(CGM, series())
    kept.keep(FEED, series(10, off))
    assert kept.marks(FEED) == [DUPLICATE if is_one else None] * 24


def test_two_people_are_two(tmp_path: Path) -> None:
    text = sensor(more="").replace('"anna"', '"ben"')
    (tmp_path / "upstream").mkdir()
    kept = Kept(config(tmp_path))
    assert "ben" in text
    with kept.tables.database.transaction():
        kept.tables.database.write(
            "UPDATE sensors SET person = 'patient-2' WHERE no = ?", sensor_row(kept.store, FEED).no
        )
    kept.keep(CGM, series())
    kept.keep(FEED, series())
    assert kept.marks(FEED) == [None] * 24


@pytest.mark.parametrize(
    ("pairs", "same"),
    [
        ([], False),
        ([(100, 100)], True),
        ([(100, 103)], False),
        ([(100, 100), (90, 60)], False),
        ([(100, 100), (90, 91), (80, 60)], True),
        ([(100, 100), (90, 60), (80, 60)], False),
    ],
)
def test_few_pairs_must_agree_all(pairs: list[tuple[float, float]], same: bool) -> None:
    assert agree(pairs) is same


def test_what_the_store_shows_of_two_sources_is_known_at_the_start(tmp_path: Path) -> None:
    kept = Kept(config(tmp_path))
    kept.keep(CGM, series(of=range(12)))
    kept.keep(FEED, series(20))
    kept.keep(FEED_2, series(0, 50.0))
    rows = [sensor_row(kept.store, name) for name in (CGM, FEED, FEED_2)]
    assert set(known_pairs(kept.tables, rows)) == {
        (CGM, FEED, True),
        (CGM, FEED_2, False),
        (FEED, FEED_2, False),
    }
