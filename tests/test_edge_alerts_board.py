"""Alerts are raised by what is known now, end when it is known to be over, and count silence as an event."""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from edge_parts import in_transaction, minimal_config, open_store

from edge.agenda import Agenda
from edge.alerts.board import AlertBoard
from edge.config import Alerts
from edge.now.facts import Facts
from edge.store.door import Store
from hw_sim.clock import VirtualClock, run

S = 10**9


class Bench:
    """The board of a strap and a CGM; time passes when told to."""

    def __init__(self, store: Store, facts: Facts | None = None, boot_id: str = "boot-1") -> None:
        self.clock = VirtualClock(0, boot_id)
        self.facts = facts or Facts()
        self.agenda = Agenda(self.clock)
        self.store = store
        rows = [row for row in store.tables.sensors.all() if not row.retired]
        with store.tables.database.transaction():
            boot_no = store.tables.boots.note(boot_id)
        self.board = AlertBoard(
            rows,
            facts=self.facts,
            store=store,
            agenda=self.agenda,
            clock=self.clock,
            boot_no=boot_no,
            limits=Alerts(),
        )
        self.board.start()

    @property
    def open(self) -> set[str]:
        return {standing.kind for standing in self.board.standing}

    async def heart(self, seconds: int, bpm: float, not_counted: str | None = None) -> set[str]:
        for _ in range(seconds):
            await asyncio.sleep(1)
            self.facts.note_heard("strap", self.clock.boot_ns())
            self.facts.note("strap", "heart_rate", bpm, self.clock.boot_ns(), not_counted)
        return self.of("heart_rate")

    async def glucose(self, mg_dl: float, age_s: int = 0, not_counted: str | None = None) -> set[str]:
        await asyncio.sleep(300)
        taken_boot_ns = self.clock.boot_ns() - age_s * S
        if not_counted is None:
            self.facts.note_heard("cgm", taken_boot_ns)
        self.facts.note("cgm", "glucose", mg_dl, taken_boot_ns, not_counted)
        return self.of("glucose", "cgm")

    async def silence(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def of(self, *prefixes: str) -> set[str]:
        return {kind for kind in self.open if kind.startswith(prefixes)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


def play(store: Store, scenario: Callable[[Bench], Awaitable[None]], boot_id: str = "boot-1") -> Bench:
    async def main() -> Bench:
        bench = Bench(store, boot_id=boot_id)
        tasks = [asyncio.ensure_future(bench.agenda.run()), asyncio.ensure_future(store.run())]
        await scenario(bench)
        await store.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return bench

    return run(main())


def stored(store: Store) -> set[str]:
    return {alert.kind for alert in store.tables.alerts.open()}


@pytest.mark.parametrize(
    ("bpm", "raised"), [(39, {"heart_rate_low"}), (40, set()), (130, set()), (131, {"heart_rate_high"})]
)
def test_a_rate_beyond_its_threshold_must_last(store: Store, bpm: float, raised: set[str]) -> None:
    async def scenario(b: Bench) -> None:
        assert await b.heart(60, bpm) == set()
        assert await b.heart(1, bpm) == raised
        assert await b.heart(600, bpm) == raised
        assert await b.heart(1, 80) == set()

    play(store, scenario)
    assert len([a for a in store.tables.alerts.newest(10) if a.kind.startswith("heart")]) == len(raised)


def test_one_good_second_starts_the_hold_anew(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        for _ in range(10):
            assert await b.heart(59, 180) == set()
            assert await b.heart(1, 120) == set()

    play(store, scenario)


def test_a_second_without_contact_does_not_start_the_hold_anew(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        for _ in range(3):
            await b.heart(19, 180)
            await b.heart(1, 0, "not worn")
        assert await b.heart(2, 180) == {"heart_rate_high"}

    play(store, scenario)


def test_a_strap_that_is_not_worn_says_nothing_of_the_heart_and_is_not_silent(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        assert await b.heart(61, 80) == set()
        assert await b.heart(3000, 180, "not worn") == set()

    play(store, scenario)


def test_a_value_alert_ends_by_a_good_value_only(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        await b.glucose(50.0)
        await b.silence(3600)
        assert b.of("glucose", "cgm") == {"glucose_low", "glucose_urgent_low", "cgm_silence"}
        assert await b.glucose(45.0, not_counted="malfunction") == {
            "glucose_low",
            "glucose_urgent_low",
            "cgm_silence",
        }
        assert await b.glucose(100.0) == set()

    play(store, scenario)


def test_one_high_packet_and_then_nothing_is_silence_and_no_high_rate(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        await b.heart(1, 180)
        await b.silence(600)
        assert b.of("heart") == set()
        await b.silence(1)
        assert b.of("heart") == {"heart_rate_silence"}
        assert await b.heart(1, 80) == set()
        await b.silence(601)
        assert b.of("heart") == {"heart_rate_silence"}

    play(store, scenario)


def test_never_heard_is_silence_too(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        await b.silence(1200)
        assert b.of("cgm") == set()
        await b.silence(1)
        assert b.of("cgm") == {"cgm_silence"}

    play(store, scenario)


def test_silence_is_looked_for_when_it_would_be_too_long(store: Store) -> None:
    looks: Counter[str] = Counter()

    async def scenario(bench: Bench) -> None:
        bench.agenda.set = partial(counting, bench.agenda.set)  # type: ignore[method-assign]
        await bench.silence(500)
        assert looks == {}
        await bench.silence(101)
        assert bench.open == {"heart_rate_silence"}

    def counting(set_it: Callable[..., None], name: str, *rest: object) -> None:
        looks[name] += 1
        set_it(name, *rest)

    play(store, scenario)


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
    async def scenario(b: Bench) -> None:
        assert await b.glucose(mg_dl) == raised
        assert await b.glucose(100.0) == set()

    play(store, scenario)


def test_a_value_that_does_not_count_raises_nothing(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        assert await b.glucose(44.0, not_counted="malfunction") == set()

    play(store, scenario)


def test_a_low_that_becomes_urgent_is_one_more_alert_and_ends_on_its_own(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        assert await b.glucose(65.0) == {"glucose_low"}
        assert await b.glucose(50.0) == {"glucose_low", "glucose_urgent_low"}
        assert await b.glucose(45.0) == {"glucose_low", "glucose_urgent_low"}
        assert await b.glucose(60.0) == {"glucose_low"}
        assert await b.glucose(90.0) == set()

    play(store, scenario)
    noted = [
        (a.kind, a.value) for a in reversed(store.tables.alerts.newest(10)) if a.kind.startswith("glucose")
    ]
    assert noted == [("glucose_low", 65.0), ("glucose_urgent_low", 50.0)]


def test_a_low_of_long_ago_raises_nothing(store: Store) -> None:
    async def scenario(b: Bench) -> None:
        assert await b.glucose(40.0, age_s=1201) == set()

    play(store, scenario)


@pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
def test_an_alert_outlives_a_restart_until_something_is_known(store: Store, boot_id: str) -> None:
    async def before(b: Bench) -> None:
        assert await b.glucose(50.0) == {"glucose_low", "glucose_urgent_low"}

    async def after(b: Bench) -> None:
        await b.silence(200)
        assert b.of("glucose") == {"glucose_low", "glucose_urgent_low"}
        assert await b.glucose(60.0) == {"glucose_low"}

    play(store, before)
    play(store, after, boot_id)
    assert len(store.tables.alerts.newest(10)) == 2  # none was raised a second time
    assert stored(store) == {"glucose_low"}


def test_alerts_of_a_sensor_that_was_taken_away_end_with_the_next_start(store: Store, tmp_path: Path) -> None:
    async def before(b: Bench) -> None:
        assert await b.glucose(50.0) == {"glucose_low", "glucose_urgent_low"}

    async def after(b: Bench) -> None:
        assert b.open == set()

    play(store, before)
    config = minimal_config(tmp_path)
    in_transaction(
        store, lambda tables: tables.sensors.register(config.sensors[:1], config.people, boot_no=1, boot_ns=0)
    )
    assert stored(store) == {"glucose_low", "glucose_urgent_low"}
    play(store, after)
    assert stored(store) == set()


def test_silence_that_outlived_a_restart_ends_with_the_first_word(store: Store) -> None:
    async def before(b: Bench) -> None:
        await b.silence(601)

    async def after(b: Bench) -> None:
        await b.silence(300)
        assert b.of("heart") == {"heart_rate_silence"}
        assert await b.heart(1, 80) == set()

    play(store, before)
    play(store, after)


def test_silence_counts_from_the_newest_stored_datum(store: Store) -> None:
    async def main() -> None:
        facts = Facts()
        facts.note_heard("cgm", -1000 * S)  # stored by the process before
        b = Bench(store, facts)
        running = asyncio.ensure_future(b.agenda.run())
        await asyncio.sleep(201)
        assert b.of("cgm") == {"cgm_silence"}
        running.cancel()
        await asyncio.wait({running})

    run(main())


def test_each_alert_is_one_line_when_it_begins_and_one_when_it_ends(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(b: Bench) -> None:
        for mg_dl in (60.0, 59.0, 58.0, 100.0, 101.0):
            await b.glucose(mg_dl)

    with caplog.at_level(logging.INFO):
        play(store, scenario)
    assert [record.message for record in caplog.records if record.message.startswith("cgm")] == [
        # Neither the kind nor the value: they are health data, and the log is not encrypted.
        "cgm: an alert was raised; `vitalgate status` shows it",
        "cgm: an alert is over",
    ]
