"""Periods that have data are closed once they are over, by a clock that is trusted; others are never looked at."""

import asyncio
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from edge_parts import running
from history_parts import DAY_S, GRACE_S, MIDNIGHT_UTC_S, Box, S, SetClock, packet, play

from edge.history import closing, heart_window
from edge.history.bounds import _SPANS
from edge.history.periods import RETRY_S
from edge.measurements import PERIODS, Span
from edge.store.raw_chunks import Columns, HeartChunk
from edge.store.summaries import SummaryKey
from edge.workers import InlineWorker, Workers, threads
from protocols.heart_rate import HeartRateMeasurement

YEAR_S = 365 * DAY_S
T = TypeVar("T")


def test_every_kind_of_period_is_known_everywhere() -> None:
    assert closing.COMPUTE.keys() == closing.KEPT_DAYS.keys() == PERIODS.keys()
    assert closing.AWAITED.keys() == {kind for kind, period in PERIODS.items() if period.awaits_records}
    assert _SPANS.keys() == set(Span)


# Five minutes of heart


def test_a_window_is_closed_once_its_data_have_had_time_to_arrive(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(*range(1, 100))
        box.beats(*range(100, 300))
        assert await box.at(300 + GRACE_S - 1) == []
        assert box.periods.next_due_boot_ns() == (300 + GRACE_S) * S
        [summary] = await box.at(300 + GRACE_S)
        assert (summary.key, summary.end_utc_s) == (
            SummaryKey("heart_5min", box.strap, MIDNIGHT_UTC_S),
            MIDNIGHT_UTC_S + 300,
        )
        assert (summary.rev, summary.status) == (1, "final")
        assert summary.body == {
            "hr_mean_bpm": 60.0,
            "hr_min_bpm": 60.0,
            "hr_max_bpm": 60.0,
            "sdrr_ms": 0.0,
            "rmssd_rr_ms": 0.0,
            "beats": 299,
            "coverage_pct": pytest.approx(99.6667, abs=1e-3),
            "normal_pct": 100.0,
            "mean_nn_ms": 1000.0,
            "sdnn_ms": 0.0,
            "rmssd_ms": 0.0,
            "pnn50_pct": 0.0,
            "lf_ms2": 0.0,
            "hf_ms2": 0.0,
            "dfa_a1": None,
            "af_pct": 0.0,
            "breathing_bpm": None,
            "breathing_confidence": pytest.approx(0.34, abs=0.01),
        }
        assert (box.pending(), box.enqueued) == (1, 1)
        assert box.dirty() == []
        assert box.periods.next_due_boot_ns() is None
        assert await box.at(400) == [summary]

    play(scenario)


def test_statistics_are_plain_arithmetic_and_differences_do_not_cross_a_gap(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        for at_s, ticks in ((10.0, 1024), (10.5, 512), (100.0, 1024), (100.75, 768)):
            box.beats(at_s, rr_ticks=ticks)
        [summary] = await box.at(400)
        rr = [1000.0, 500.0, 1000.0, 750.0]
        mean = sum(rr) / 4
        assert summary.body["hr_mean_bpm"] == pytest.approx(60_000 / mean)
        assert summary.body["sdrr_ms"] == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in rr) / 3))
        assert summary.body["rmssd_rr_ms"] == pytest.approx(math.sqrt((500.0**2 + 250.0**2) / 2))
        assert (summary.body["hr_min_bpm"], summary.body["hr_max_bpm"]) == (None, None)  # not 8 in a row
        assert summary.body["coverage_pct"] == pytest.approx(100 * 3.25 / 300)
        assert all(type(value) in (float, int, type(None)) for value in summary.body.values())

    play(scenario)


def test_windows_without_data_are_never_looked_at(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.5)
        await box.at(86_400)
        box.beats(86_400.5)
        assert len(await box.at(86_400 + 300 + GRACE_S)) == 2
        assert [key.start_utc_s - MIDNIGHT_UTC_S for key in box.closed] == [0, 86_400]

    play(scenario)


@pytest.mark.parametrize("days", [30, 400, 20_000])
def test_years_that_a_clock_leaps_over_cost_nothing(tmp_path: Path, days: int) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(zero_utc_s=MIDNIGHT_UTC_S - days * DAY_S, error_ms=None))
        await box.at(0)
        box.beats(1.0, 2.0)
        await box.at(100)
        box.clock.zero_utc_s, box.clock.error_ms = MIDNIGHT_UTC_S, 0
        box.beats(101.0)
        assert await box.at(120) == []
        [summary] = await box.at(300 + GRACE_S)
        assert (summary.key.start_utc_s, summary.body["beats"]) == (MIDNIGHT_UTC_S, 3)
        assert len(box.closed) == 1

    play(scenario)


@pytest.mark.parametrize(
    "kind_of_restart", [Box.restart, lambda box: box.reboot("boot-2", MIDNIGHT_UTC_S + 100)]
)
def test_a_restart_in_the_middle_of_a_window_joins_both_parts(
    tmp_path: Path, kind_of_restart: Callable[[Box], None]
) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(*(n + 1 for n in range(10)))
        await box.at(60)
        boot_s = box.clock.boot_s
        kind_of_restart(box)
        later_s = 101 if box.clock.boot_s == boot_s else 1
        await box.at(later_s)
        box.beats(*(n + later_s for n in range(10)))
        [summary] = await box.at(400)
        assert (summary.body["beats"], summary.body["rmssd_rr_ms"]) == (20, 0.0)

    play(scenario)


def test_a_strap_without_intervals_yields_its_own_heart_rates(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.packets(*(packet(second + 0.2, HeartRateMeasurement(60 + second % 3)) for second in range(115)))
        box.packets(
            *(packet(second + 0.2, HeartRateMeasurement(60 + second % 3)) for second in range(115, 120))
        )
        box.packets(
            packet(200.0, HeartRateMeasurement(0)), packet(201.0, HeartRateMeasurement(180, contact=False))
        )
        [summary] = await box.at(400)
        assert summary.body == heart_window.EMPTY | {
            "hr_mean_bpm": 61.0,
            "hr_min_bpm": 60.0,
            "hr_max_bpm": 62.0,
            "beats": 0,
            "coverage_pct": 40.0,
        }

    play(scenario)


def test_intervals_where_there_are_any_are_what_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.packets(packet(1.0, HeartRateMeasurement(180)))
        box.beats(2.0)
        [summary] = await box.at(400)
        assert (summary.body["hr_mean_bpm"], summary.body["beats"]) == (60.0, 1)

    play(scenario)


def test_a_strap_nobody_wears_yields_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        for start in range(0, 300, 100):
            box.packets(
                *(packet(n, HeartRateMeasurement(0, contact=False)) for n in range(start, start + 100))
            )
        assert await box.at(400) == []
        assert box.dirty() == []

    play(scenario)


def test_a_beat_told_in_the_next_window_still_counts_in_its_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        # Nothing arrives in the first window, but a packet of the second tells of it.
        box.packets(packet(301.0, HeartRateMeasurement(60, rr_ticks=(1024, 1024)), 300.5))
        first, second = await box.at(700)
        assert [s.key.start_utc_s - MIDNIGHT_UTC_S for s in (first, second)] == [0, 300]
        assert (first.body["beats"], second.body["beats"]) == (1, 1)

    play(scenario)


def test_a_chunk_that_comes_late_amends_its_window_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        box.beats(310.0)
        first, second = await box.at(700)
        box.beats(20.0)
        assert await box.at(700 + GRACE_S - 1) == [first, second]
        amended, same = await box.at(700 + GRACE_S)
        assert same == second
        assert (amended.id, amended.rev, amended.status) == (first.id, 2, "amended")
        assert amended.body["beats"] == 2

    play(scenario)


def test_a_packet_that_nobody_can_read_costs_nothing_but_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        bad = packet(2.0, HeartRateMeasurement(60, rr_ticks=(1024,)))._replace(payload=b"")
        box.packets(packet(1.0, HeartRateMeasurement(60, rr_ticks=(1024,))), bad)
        [summary] = await box.at(400)
        assert summary.body["beats"] == 1
        assert box.periods.undecodable == {box.strap: 1}
        assert box.periods.parked == {}

    play(scenario)


def test_the_unit_that_was_learned_of_a_strap_is_used(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.do(lambda tables: tables.sensors.keep_trait(box.strap, "rr_unit", "MILLISECONDS"))
        box.beats(2.0, rr_ticks=1000)
        [summary] = await box.at(400)
        assert summary.body["hr_mean_bpm"] == 60.0

    play(scenario)


# Trust


def test_nothing_is_closed_by_a_clock_that_nobody_vouches_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        box.beats(10.0)
        session = box.session(MIDNIGHT_UTC_S, None)
        box.readings(session, {0: 100.0})
        box.clock.zero_utc_s += YEAR_S
        assert await box.at(1000) == []
        assert box.dirty() == []
        assert box.pending() == 0
        assert box.timekeeper.trusted_utc_ns() is None
        assert box.periods.next_due_boot_ns() is None
        assert box.closed == []

    play(scenario)


def test_what_an_earlier_boot_left_open_is_not_closed_by_such_a_clock_either(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        box.reboot("boot-2", MIDNIGHT_UTC_S + YEAR_S, error_ms=None)
        await box.at(100)
        box.periods.close_due()
        await box.settle()
        assert box.closed == []
        assert [key.start_utc_s for key in box.dirty()] == [MIDNIGHT_UTC_S]

    play(scenario)


def test_when_trust_comes_everything_of_the_boot_is_placed(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(zero_utc_s=0, error_ms=None))
        await box.at(0)
        box.beats(10.0)
        box.beats(910.0)
        session = box.session(box.clock.zero_utc_s, None)
        box.readings(session, {0: 100.0, 5: 110.0, 10: 90.0}, {10: "low quality"})
        await box.at(950)
        box.clock.zero_utc_s, box.clock.error_ms = MIDNIGHT_UTC_S, 0
        await box.at(1000)
        assert box.pending() == 2  # the readings that count
        summaries = await box.at(1300)
        assert [s.key.start_utc_s - MIDNIGHT_UTC_S for s in summaries] == [0, 900]
        assert len(box.closed) == 2  # and nothing in between was looked at
        placed = box.store.tables.sessions.get(session.no)
        assert (placed.start_utc_s, placed.start_error_ms) == (MIDNIGHT_UTC_S, 60_000 + 1000 * 200 // 1000)
        assert box.store.tables.raw_chunks.unplaced() == []
        assert box.enqueued == 3

    play(scenario)


def test_a_session_that_is_stored_without_a_place_although_there_is_trust_is_placed_with_its_readings(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        # It began before the clock was trusted, and is written after.
        session = box.session(MIDNIGHT_UTC_S, None)
        await box.at(1)
        assert not box.store.tables.sessions.get(session.no).start_error_ms
        box.readings(session, {0: 100.0, 5: 110.0})
        placed = box.store.tables.sessions.get(session.no)
        assert (placed.start_utc_s, placed.start_error_ms) == (MIDNIGHT_UTC_S, 60_000)
        assert box.pending() == 2
        assert [key.start_utc_s for key in box.dirty()] == [MIDNIGHT_UTC_S]

    play(scenario)


def test_a_boot_that_was_never_trusted_stays_unplaced_and_costs_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        box.beats(10.0)
        session = box.session(MIDNIGHT_UTC_S, None)
        box.readings(session, {0: 100.0})
        await box.at(100)
        box.reboot("boot-2", MIDNIGHT_UTC_S + 5000)
        await box.at(0)
        box.beats(10.0)
        assert [s.body["beats"] for s in await box.at(4000)] == [1]
        assert box.store.tables.raw_chunks.unplaced() == [(box.strap, 1)]
        assert not box.store.tables.sessions.get(session.no).start_error_ms
        assert [key.start_utc_s for key in box.closed] == [(MIDNIGHT_UTC_S + 5010) // 300 * 300]

    play(scenario)


def test_a_session_of_a_boot_without_network_is_placed_by_its_verified_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S, None)
        box.readings(session, {0: 100.0, 5: 110.0})
        await box.at(1000)
        box.reboot("boot-2", MIDNIGHT_UTC_S + 5000)
        await box.at(10)
        assert box.pending() == 0
        box.change(session.no, start_utc_s=MIDNIGHT_UTC_S - DAY_S, start_error_ms=60_000)
        [day] = await box.at(10 + GRACE_S)
        assert (day.key.start_utc_s, day.body["readings"]) == (MIDNIGHT_UTC_S - DAY_S, 2)
        assert box.pending() == 3

    play(scenario)


def test_a_wall_clock_that_steps_while_nobody_vouches_for_it_moves_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        box.clock.error_ms = None
        await box.at(60)
        before = box.timekeeper.timeline
        for step_s in (YEAR_S, -2 * YEAR_S, 3600):
            box.clock.zero_utc_s += step_s
            await box.at(box.clock.boot_s + 60)
            assert box.timekeeper.timeline.moved_since(before) == []
        box.beats(290.0)
        [summary] = await box.at(300 + GRACE_S)
        assert (summary.key.start_utc_s, summary.body["beats"]) == (MIDNIGHT_UTC_S, 2)

    play(scenario)


@pytest.mark.parametrize("step_s", [YEAR_S, -YEAR_S, 3600, -3600, 0.7, -0.7])
def test_a_trusted_clock_that_is_set_leaves_what_was_before_where_it_was(
    tmp_path: Path, step_s: float
) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0, 20.0)
        await box.at(100)
        box.clock.zero_utc_s += step_s
        await box.at(100)
        box.beats(110.0)
        await box.at(1000)
        box.clock.zero_utc_s = MIDNIGHT_UTC_S
        summaries = await box.at(1000)
        starts = [s.key.start_utc_s - MIDNIGHT_UTC_S for s in summaries]
        later_s = math.floor(110 + step_s) // 300 * 300
        expected = sorted({0: 2, later_s: 1}.items()) if later_s else [(0, 3)]
        assert list(zip(starts, [s.body["beats"] for s in summaries], strict=True)) == expected
        assert all(s.rev == 1 for s in summaries)

    play(scenario)


def test_a_repaired_clock_amends_what_it_moves(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        # A sensor says that it is 100 s later than it is, and admits that it may be wrong by as much.
        box.timekeeper.suggest((MIDNIGHT_UTC_S + 100) * S, 0, 100_000, "cgm")
        box.beats(250.0)
        box.beats(550.0)
        wrong = await box.at(1001)
        assert [(s.key.start_utc_s - MIDNIGHT_UTC_S, s.body["beats"]) for s in wrong] == [(300, 1), (600, 1)]
        box.clock.error_ms = 0
        await box.at(1010)
        summaries = await box.at(1010 + GRACE_S)
        assert [(s.key.start_utc_s - MIDNIGHT_UTC_S, s.rev, s.status) for s in summaries] == [
            (0, 1, "final"),
            (300, 1, "final"),
            (600, 2, "amended"),
        ]
        assert [s.body["beats"] for s in summaries] == [1, 1, 0]
        assert summaries[2].body == {**dict.fromkeys(summaries[2].body), "beats": 0, "coverage_pct": 0.0}
        assert [s.id for s in summaries[1:]] == [s.id for s in wrong]
        assert box.dirty() == []

    play(scenario)


def test_whoever_asks_too_early_has_nothing_closed(tmp_path: Path) -> None:
    """The deadline may have been set by a clock that was surer then."""

    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        box.reboot("boot-2", MIDNIGHT_UTC_S + 340, error_ms=100_000)
        box.timekeeper.poll()
        box.periods.close_due()
        await box.store.drain()
        assert box.closed == []

    play(scenario)


def test_a_period_is_over_only_when_it_is_by_a_clock_that_is_as_fast_as_it_may_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=100_000))
        await box.at(0)
        box.beats(10.0)
        assert await box.at(300 + 99) == []
        due_ns = box.periods.next_due_boot_ns()
        assert due_ns is not None
        assert 400 * S <= due_ns <= 401 * S
        assert len(await box.at(401)) == 1

    play(scenario)


def test_nothing_is_closed_by_a_clock_that_may_be_wrong_by_minutes(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        box.timekeeper.suggest(MIDNIGHT_UTC_S * S, 0, 120_500, "cgm")
        box.beats(10.0)
        assert await box.at(DAY_S) == []
        assert box.periods.next_due_boot_ns() is None
        assert box.store.tables.raw_chunks.unplaced() == []
        box.clock.error_ms = 500
        assert [s.key.start_utc_s for s in await box.at(DAY_S + 60)] == [MIDNIGHT_UTC_S]

    play(scenario)


def test_a_start_that_is_vouched_for_moves_only_by_a_clock_that_is_sure(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, {0: 100.0, 5: 110.0})
        # Another sensor, whose clock was set, contradicts what was sure in an earlier boot.
        box.timekeeper.suggest((MIDNIGHT_UTC_S + 900) * S, 0, 120_500, "cgm")
        await box.at(60)
        assert box.store.tables.sessions.get(session.no) == session
        box.clock.zero_utc_s, box.clock.error_ms = MIDNIGHT_UTC_S + 3600, 500
        await box.at(120)
        assert box.store.tables.sessions.get(session.no).start_utc_s == MIDNIGHT_UTC_S + 3600

    play(scenario)


def test_a_day_too_is_amended_to_an_empty_one_when_its_session_moves(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(3 * DAY_S)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, {0: 100.0, 5: 100.0})
        box.end(session.no)
        [wrong] = await box.at(3 * DAY_S + GRACE_S)
        ids = {(kind, ref): item for kind, ref, item, _ in box.delivered()}
        box.change(session.no, start_utc_s=MIDNIGHT_UTC_S + DAY_S)
        empty, right = await box.at(3 * DAY_S + 2 * GRACE_S)
        assert (empty.id, empty.rev, empty.status, empty.body["readings"]) == (wrong.id, 2, "amended", 0)
        assert empty.body["mean_mg_dl"] is empty.body["coverage_pct"] is None
        assert (right.rev, right.body["readings"]) == (1, 2)
        # The readings go up again, as the same things.
        again = list(box.delivered())
        assert ids.items() <= {(kind, ref): item for kind, ref, item, _ in again}.items()
        assert [rev for kind, _, _, rev in again if kind == "cgm_reading"] == [2, 2]
        box.change(session.no, start_utc_s=MIDNIGHT_UTC_S + 2 * DAY_S)
        assert [rev for kind, _, _, rev in box.delivered() if kind == "cgm_reading"] == [3, 3]

    play(scenario)


def test_an_anchor_and_what_it_moves_are_stored_together(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        box.timekeeper.suggest((MIDNIGHT_UTC_S + 100) * S, 0, 100_000, "cgm")
        box.beats(250.0)
        await box.at(900)
        box.clock.error_ms = 0
        box.timekeeper.poll()
        before = len(box.store.tables.boots.timeline().moved_since(box.timekeeper.timeline))
        assert before
        assert box.dirty() == []
        await box.store.drain()
        # Whoever crashes now finds both.
        assert box.store.tables.boots.timeline().moved_since(box.timekeeper.timeline) == []
        assert {key.start_utc_s - MIDNIGHT_UTC_S for key in box.dirty()} == {0, 300}

    play(scenario)


def test_a_crash_before_what_waits_was_placed_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, clock=SetClock(error_ms=None))
        await box.at(0)
        box.beats(10.0)
        session = box.session(MIDNIGHT_UTC_S, None)
        box.readings(session, {0: 100.0})
        box.clock.error_ms = 0
        box.clock.boot_s = 20
        box.timekeeper.poll()
        await box.store.drain()
        assert box.store.tables.raw_chunks.unplaced() != []
        box.restart()
        await box.at(21)
        assert [s.body["beats"] for s in await box.at(300 + GRACE_S)] == [1]
        assert box.store.tables.sessions.untrusted() == []
        assert box.pending() == 2

    play(scenario)


# When things are done


class FullDisk(InlineWorker):
    is_full = False

    async def __call__(self, work: Callable[[], T]) -> T:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return await super().__call__(work)


def test_a_tick_where_nothing_is_due_does_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        submitted = box.store._writer._submitted
        for second in range(11, 300):
            box.clock.boot_s = second
            box.periods.close_due()
            assert box.periods.next_due_boot_ns() == (300 + GRACE_S) * S
        assert box.store._writer._submitted == submitted

    play(scenario)


def test_who_waits_is_told_when_something_is_due_earlier(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        told: list[int | None] = []
        box.periods.on_marked = lambda: told.append(box.periods.next_due_boot_ns())
        await box.at(0)
        told.clear()
        box.beats(10.0)
        await asyncio.sleep(0)
        assert told == [(300 + GRACE_S) * S]
        box.beats(20.0)
        await asyncio.sleep(0)
        assert told == [(300 + GRACE_S) * S]
        await box.at(300 + GRACE_S)
        assert told[-1] is None

    play(scenario)


def test_what_is_stored_just_before_a_period_is_closed_is_in_it_and_closes_it_no_second_time(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(*range(1, 290))
        box.clock.boot_s = 300 + GRACE_S
        box.timekeeper.poll()
        late = [packet(second, HeartRateMeasurement(60, rr_ticks=(1024,))) for second in range(290, 320)]
        chunk = HeartChunk(box.strap, box.boot_no, tuple(late))
        box.store.post(lambda tables: box.periods.keep_chunks(tables, [chunk]))
        box.periods.close_due()
        await box.settle()
        [summary] = await box.at(300 + 3 * GRACE_S)
        assert (summary.rev, summary.body["beats"]) == (1, 299)
        assert len(box.closed) == 1

    play(scenario)


def test_a_job_for_each_period_and_not_all_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        for n in range(50):
            box.beats(300 * n + 10.0)
        box.clock.boot_s = 50 * 300 + GRACE_S
        box.timekeeper.poll()
        submitted = box.store._writer._submitted
        box.periods.close_due()
        assert box.store._writer._submitted - submitted == 16
        assert box.periods.next_due_boot_ns() is None  # who asks now would turn in circles
        box.periods.close_due()
        assert box.store._writer._submitted - submitted == 16
        await box.settle()
        assert len(box.summaries()) == 50

    play(scenario)


def test_a_store_that_is_unavailable_is_tried_again_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = FullDisk()
        box = Box(tmp_path, workers=Workers(disk, InlineWorker(), InlineWorker()))
        await box.at(0)
        box.beats(10.0)
        disk.is_full = True
        assert await box.at(300 + GRACE_S) == []
        assert box.periods.next_due_boot_ns() == (300 + GRACE_S + RETRY_S) * S
        disk.is_full = False
        assert len(await box.at(300 + GRACE_S + RETRY_S)) == 1
        assert box.periods.parked == {}

    play(scenario)


def test_what_cannot_be_closed_is_parked_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        box.beats(310.0)
        compute = closing.COMPUTE["heart_5min"]

        def fails_on_the_first(*where: object) -> object:
            if where[3][0] == MIDNIGHT_UTC_S:  # type: ignore[index]
                raise ValueError("not a number\nof this world")
            return compute(*where)  # type: ignore[arg-type]

        monkeypatch.setitem(closing.COMPUTE, "heart_5min", fails_on_the_first)  # type: ignore[arg-type]
        assert len(await box.at(700)) == 1
        key = SummaryKey("heart_5min", box.strap, MIDNIGHT_UTC_S)
        assert box.periods.parked == {key: "ValueError: not a number\\nof this world"}
        assert box.dirty() == [key]
        assert box.closed.count(key) == 1
        await box.at(5000)
        assert box.closed.count(key) == 1
        box.restart()
        await box.at(5060)  # the next start tries again, once
        assert box.closed.count(key) == 1 + 1
        assert box.periods.parked.keys() == {key}
        monkeypatch.setitem(closing.COMPUTE, "heart_5min", compute)  # type: ignore[arg-type]
        box.beats(20.0)
        assert len(await box.at(5060 + GRACE_S)) == 2
        assert box.periods.parked == {}

    play(scenario)


def test_a_sensor_that_nobody_is_known_to_wear_waits_for_its_person(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        box.do(lambda tables: tables.database.write("UPDATE sensors SET person = NULL"))
        assert await box.at(400) == []
        assert list(box.periods.parked.values()) == ["LookupError: nobody is known to wear this sensor"]
        box.restart()  # the configuration says it
        assert [s.body["beats"] for s in await box.at(460)] == [1]

    play(scenario)


def test_a_period_whose_data_are_kept_no_longer_stays_as_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        [summary] = await box.at(400)
        box.do(lambda tables: tables.raw_chunks.delete_until(box.strap, 1, 1000 * S, 100))
        late_s = 14 * DAY_S + 700
        box.clock.boot_s = late_s
        box.do(lambda tables: box.periods.mark(tables, "heart_5min", box.strap, [MIDNIGHT_UTC_S + 10]))
        assert await box.at(late_s + GRACE_S) == [summary]
        assert box.dirty() == []

    play(scenario)


def test_the_periods_of_a_sensor_that_was_replaced_close_all_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        box.beats(10.0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, dict.fromkeys(range(0, 600, 5), 100.0), watermark=595)
        await box.at(700)
        box.replacements = {
            "A4:C1:38:00:00:01": "A4:C1:38:00:00:0A",
            "A4:C1:38:00:00:02": "A4:C1:38:00:00:0B",
        }
        box.config = box.configured()
        old = {box.strap, box.cgm}
        box.restart()
        assert not old & {box.strap, box.cgm}
        window, day = await box.at(DAY_S + GRACE_S)
        assert {window.key.sensor_no, day.key.sensor_no} == old
        assert (day.status, day.body["readings"]) == ("final", 120)
        assert box.dirty() == []

    play(scenario)


def test_days_that_another_time_zone_marked_are_days_of_this_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, dict.fromkeys(range(0, 1440, 60), 100.0))
        box.end(session.no)
        await box.at(60)
        box.zone = "Asia/Tokyo"
        box.config = box.configured()
        box.restart()
        first, second = await box.at(2 * DAY_S)
        assert [s.body["date"] for s in (first, second)] == ["2026-11-21", "2026-11-22"]
        assert [s.body["readings"] for s in (first, second)] == [15, 9]
        assert box.dirty() == []

    play(scenario)


def test_a_window_is_read_within_its_bounds_however_much_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        for n in range(300):
            box.beats(100.0 * n + 50)
        asked: list[tuple[int, int]] = []
        between = box.store.tables.raw_chunks.columns_between

        def noting(sensor_no: int, boot_no: int, from_ns: int, to_ns: int) -> Columns:
            asked.append((from_ns, to_ns))
            return between(sensor_no, boot_no, from_ns, to_ns)

        monkeypatch.setattr(box.store.tables.raw_chunks, "columns_between", noting)
        assert len(await box.at(30_100)) == 100
        assert asked == [((300 * n - 600) * S, (300 * n + 390) * S) for n in range(100)]

    play(scenario)


def test_jobs_may_run_in_the_writers_thread(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path, workers=threads())
        async with running(box.store):
            box.timekeeper.poll()
            for n in range(120):
                reading = HeartRateMeasurement(60, rr_ticks=(1024,))
                chunk = HeartChunk(box.strap, 1, (packet(100.0 * n + 50, reading),))
                box.clock.boot_s = 100.0 * n + 60
                await box.store.write(partial(box.periods.keep_chunks, chunks=[chunk]))
                due_ns = box.periods.next_due_boot_ns()
                if due_ns is not None and due_ns <= box.clock.boot_ns():
                    box.periods.close_due()
            await box.at(12_100)
            summaries = await box.store.read(lambda tables: tables.summaries.between("heart_5min"))
        assert [s.body["beats"] for s in summaries] == [3] * 40
        assert all(s.rev == 1 for s in summaries)
        assert box.dirty() == []
        assert box.workers is not None
        box.workers.close()

    play(scenario)
