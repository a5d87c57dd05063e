"""Anchors are written when the clocks say something new, and trusted while something vouches for them."""

import asyncio
from pathlib import Path

import pytest
from edge_parts import MIDNIGHT_UTC_S, minimal_config, open_store
from history_parts import S, SetClock, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.anchors import DRIFT_PPM, SURE_ERROR_MS, Anchor, Timeline
from edge.store.door import Store, Tables
from edge.timekeeper import NOISE_NS, RENEW_NS, STEP_NS, Timekeeper
from edge.workers import InlineWorker, Workers

HOUR_S = 3600
YEAR_S = 365 * 86_400


class Kept:
    """A timekeeper on a store, and what it wrote."""

    def __init__(self, directory: Path, clock: SetClock, workers: Workers | None = None) -> None:
        self.clock = clock
        self.store: Store = open_store(minimal_config(directory), by=workers)
        self.changes: list[tuple[Timeline, Timeline]] = []
        self.start()

    def start(self) -> None:
        """As after a restart of the process in the same boot."""
        self.keeper = Timekeeper(self.clock, self.store, 1, self.store.tables.boots.timeline())
        self.keeper.on_change = self._note

    def _note(self, _: Tables, old: Timeline, new: Timeline) -> None:
        self.changes.append((old, new))

    async def look(self, *boot_s: float) -> list[tuple[float, float, int | None]]:
        """Poll at these moments; all anchors as (boot s, wall clock later than boot by s, error ms)."""
        for moment_s in boot_s:
            self.clock.boot_s = moment_s
            self.keeper.poll()
            for _ in range(2):  # what was suggested before may still be on its way
                await self.store.drain()
                await asyncio.sleep(0)
        return [
            (a.boot_ns / S, round((a.utc_ns - a.boot_ns) / S - MIDNIGHT_UTC_S, 6), a.error_ms)
            for a in self.stored()
        ]

    def stored(self) -> list[Anchor]:
        rows = self.store.tables.database.read(
            "SELECT boot_no, boot_ns, utc_ns, error_ms, source FROM anchors ORDER BY boot_no, boot_ns"
        )
        return [Anchor(*row) for row in rows]


def test_one_at_the_start_then_one_an_hour(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        written = await kept.look(*range(0, 2 * HOUR_S + 1, 60))
        assert written == [(0, 0, 100), (HOUR_S, 0, 105), (2 * HOUR_S, 0, 105)]
        assert {a.source for a in kept.stored()} == {"system"}
        assert len(kept.changes) == 1

    play(scenario)


@pytest.mark.parametrize(("step_s", "noticed"), [(0.4, False), (-0.4, False), (0.6, True), (-7200.0, True)])
def test_a_clock_that_was_set_is_anchored_at_once_and_where_it_was_right_last(
    tmp_path: Path, step_s: float, noticed: bool
) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        await kept.look(0, 60, 120)
        kept.clock.zero_utc_s += step_s
        written = await kept.look(180, 240)
        assert written[1:] == ([(120, 0, 105), (180, step_s, 100)] if noticed else [])
        # What was before the look before is where it was.
        before = kept.keeper.timeline.place(1, 119 * S)
        assert before is not None
        assert before.utc_ns == (MIDNIGHT_UTC_S + 119) * S
        assert STEP_NS == S // 2

    play(scenario)


def test_a_slow_drift_is_followed_by_the_hour(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        for second in range(0, 3 * HOUR_S + 1, 60):
            kept.clock.zero_utc_s = MIDNIGHT_UTC_S + second * 50e-6
            written = await kept.look(second)
        assert [
            (s, pytest.approx(0.18 * s / HOUR_S, abs=1e-6)) for s in range(0, 3 * HOUR_S + 1, HOUR_S)
        ] == [(s, off_s) for s, off_s, _ in written]
        assert len(kept.changes) == 4

    play(scenario)


def test_a_clock_that_grows_unsure_says_nothing_new_by_what_it_is_unsure_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=20))
        await kept.look(0, 60)
        kept.clock.zero_utc_s += 0.7
        kept.clock.error_ms = 10_000
        assert len(await kept.look(*range(120, 3600, 60))) == 1
        kept.clock.zero_utc_s += 20
        assert [off_s for _, off_s, _ in await kept.look(3590)] == [0, 0, 20.7]

    play(scenario)


def test_reading_two_clocks_one_after_the_other_is_no_drift(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        for n, late_s in enumerate((0.0, 0.003, -0.004, 0.0049, 0.001)):
            kept.clock.zero_utc_s = MIDNIGHT_UTC_S + late_s
            written = await kept.look(n * HOUR_S)
        assert [off_s for _, off_s, _ in written] == [0.0] * 5
        assert len(kept.changes) == 1
        assert NOISE_NS == 5_000_000

    play(scenario)


def test_an_unvouched_clock_moves_nothing_whatever_it_shows(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(zero_utc_s=0, error_ms=None))
        await kept.look(0, 60)
        assert kept.keeper.trusted_utc_ns() is None
        assert kept.keeper.trusted_error_ms() is None
        assert kept.keeper.boot_ns_at(0) is None
        assert kept.keeper.utc_ns() == 60 * S
        kept.clock.zero_utc_s = YEAR_S
        written = await kept.look(120, 180, 180 + HOUR_S)
        assert [(s, error_ms) for s, _, error_ms in written] == [
            (0, None),
            (120, None),
            (120 + HOUR_S + 60, None),
        ]
        assert kept.changes == []
        assert not kept.keeper.timeline.is_trusted(1)

    play(scenario)


def test_trust_begins_ends_and_begins_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(zero_utc_s=0, error_ms=None))
        await kept.look(0, 60)
        kept.clock.zero_utc_s, kept.clock.error_ms = MIDNIGHT_UTC_S, 100
        await kept.look(120, 180, 240)
        assert kept.keeper.trusted_utc_ns() == (MIDNIGHT_UTC_S + 240) * S
        kept.clock.error_ms = None
        kept.clock.zero_utc_s += YEAR_S  # moves nothing: what vouched for it is no longer there
        written = await kept.look(300, 360)
        assert written[1:] == [(120, 0, 100), (240, 0, 105)]
        assert kept.keeper.trusted_utc_ns() == (MIDNIGHT_UTC_S + 360) * S
        assert kept.keeper.utc_ns() == (MIDNIGHT_UTC_S + 360) * S
        assert kept.keeper.trusted_error_ms() == 105 + -(-120 * DRIFT_PPM // 1000)
        assert kept.keeper.boot_ns_at((MIDNIGHT_UTC_S + 1000) * S) == 1000 * S
        kept.clock.error_ms = 100
        kept.clock.zero_utc_s = MIDNIGHT_UTC_S
        written = await kept.look(420)
        assert written[3:] == [(420, 0, 105)]
        assert len(kept.changes) == 1

    play(scenario)


def test_a_restart_in_the_same_boot_goes_on_with_its_anchors(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        await kept.look(0, 60)
        kept.start()
        assert len(await kept.look(600)) == 1
        kept.start()
        kept.clock.error_ms = None
        assert await kept.look(660) == [(0, 0, 100)]
        kept.clock.error_ms = 100
        assert (await kept.look(720))[1:] == [(720, 0, 105)]
        kept.start()
        kept.clock.zero_utc_s += 5
        assert (await kept.look(780))[2:] == [(780, 5, 100)]
        kept.start()
        kept.clock.error_ms = None
        assert (await kept.look(840, 780 + HOUR_S))[3:] == [(780 + HOUR_S, 5, None)]

    play(scenario)


def test_what_a_sensor_tells_is_believed_while_no_clock_knows_better(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(zero_utc_s=0, error_ms=None))
        await kept.look(0)
        kept.clock.boot_s = 100
        kept.keeper.suggest((MIDNIGHT_UTC_S + 90) * S, 100 * S, 60_000, "cgm")
        assert kept.keeper.trusted_utc_ns() == (MIDNIGHT_UTC_S + 90) * S
        # What is not much surer says nothing more.
        kept.keeper.suggest((MIDNIGHT_UTC_S + 150) * S, 160 * S, 59_000, "cgm")
        written = await kept.look(160)
        assert written[1:] == [(100, -10, 60_000)]
        kept.keeper.suggest((MIDNIGHT_UTC_S + 165) * S, 161 * S, 1000, "http date")
        kept.clock.zero_utc_s, kept.clock.error_ms = MIDNIGHT_UTC_S, 100
        kept.keeper.suggest((MIDNIGHT_UTC_S + 1) * S, 162 * S, 1, "cgm")  # the clock knows
        written = await kept.look(170)
        assert written[2:] == [(161, 4, 1000), (170, 0, 100)]
        assert [a.source for a in kept.stored()] == ["system", "cgm", "http date", "system"]
        placed = kept.keeper.timeline.place(1, 100 * S)
        assert placed is not None
        assert (
            placed.utc_ns == (MIDNIGHT_UTC_S + 104) * S
        )  # the surer anchors agree, and differ from each other
        assert len(kept.changes) == 3

    play(scenario)


def test_a_time_that_may_be_wrong_by_minutes_places_and_is_not_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(zero_utc_s=0, error_ms=None))
        await kept.look(0)
        kept.keeper.suggest((MIDNIGHT_UTC_S + 90) * S, 0, SURE_ERROR_MS, "cgm")
        assert kept.keeper.timeline.is_trusted(1)
        assert kept.keeper.utc_ns() == (MIDNIGHT_UTC_S + 90) * S
        assert kept.keeper.trusted_error_ms() == SURE_ERROR_MS
        assert kept.keeper.trusted_utc_ns() is None
        assert kept.keeper.boot_ns_at(MIDNIGHT_UTC_S * S) is None
        kept.keeper.suggest((MIDNIGHT_UTC_S + 60) * S, 0, SURE_ERROR_MS // 2, "http date")
        assert kept.keeper.trusted_utc_ns() == (MIDNIGHT_UTC_S + 60) * S
        assert kept.keeper.boot_ns_at((MIDNIGHT_UTC_S + 70) * S) == 10 * S

    play(scenario)


def test_trust_that_ends_and_a_step_at_one_moment_leave_the_trusted_anchor(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        await kept.look(0)
        kept.clock.error_ms, kept.clock.zero_utc_s = None, 0
        assert await kept.look(0) == [(0, 0, 105)]
        assert kept.keeper.timeline.is_trusted(1)
        assert await kept.look(60) == [(0, 0, 105)]

    play(scenario)


class FullDisk(InlineWorker):
    is_full = False

    async def __call__(self, work):  # type: ignore[no-untyped-def]
        if self.is_full:
            raise OSError(28, "No space left on device")
        return await super().__call__(work)


def test_anchors_that_could_not_be_stored_are_stored_with_the_next(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = FullDisk()
        kept = Kept(tmp_path, SetClock(error_ms=100), Workers(disk, InlineWorker(), InlineWorker()))
        await kept.look(0)
        disk.is_full = True
        kept.clock.zero_utc_s += 100
        assert await kept.look(60, 120) == [(0, 0, 100)]
        kept.clock.zero_utc_s += 100
        assert await kept.look(180) == [(0, 0, 100)]
        assert kept.keeper.trusted_utc_ns() == (MIDNIGHT_UTC_S + 380) * S
        disk.is_full = False
        written = await kept.look(240)
        assert [off_s for _, off_s, _ in written] == [0, 100, 100, 200]
        # Whoever places data again hears of all of it.
        old, new = kept.changes[-1]
        assert len(kept.changes) == 2
        assert old.place(1, 100 * S) != new.place(1, 100 * S)
        assert new is kept.keeper.timeline

    play(scenario)


def test_what_on_change_does_and_the_anchor_are_one_transaction(tmp_path: Path) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path, SetClock(error_ms=100))
        seen: list[bool] = []

        def on_change(tables: Tables, _: Timeline, new: Timeline) -> None:
            seen.append(tables.database.in_transaction)
            tables.dirty.mark("heart_5min", 1, [300])

        kept.keeper.on_change = on_change
        kept.keeper.poll()
        assert kept.stored() == []
        await kept.store.drain()
        assert seen == [True]
        assert len(kept.stored()) == len(kept.store.tables.dirty.all()) == 1

    play(scenario)


LOOKS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 60.0, 3599.0, 3601.0]),
        st.sampled_from([0.0, 0.0, 0.0, 0.003, 0.2, -0.7, 5.0, -3600.0, YEAR_S]),
        st.sampled_from([None, 0, 100, 10_000]),
        st.booleans(),
    ),
    max_size=14,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LOOKS)
def test_the_store_knows_what_the_timekeeper_knows_and_trusted_time_is_the_clocks(
    tmp_path_factory: pytest.TempPathFactory, looks: list[tuple[float, float, int | None, bool]]
) -> None:
    async def scenario() -> None:
        kept = Kept(tmp_path_factory.mktemp("kept"), SetClock(error_ms=None))
        boot_s = 0.0
        for gone_s, step_s, error_ms, restarts in looks:
            boot_s += gone_s
            kept.clock.zero_utc_s += step_s
            kept.clock.error_ms = error_ms
            if restarts:
                kept.start()
            await kept.look(boot_s)
            if error_ms is not None:
                trusted_ns = kept.keeper.trusted_utc_ns()
                assert trusted_ns is not None
                assert abs(trusted_ns - kept.clock.utc_ns()) <= STEP_NS + 2 * error_ms * 1_000_000
            stored = kept.store.tables.boots.timeline()
            assert stored.moved_since(kept.keeper.timeline) == []
            assert stored.is_trusted(1) is kept.keeper.timeline.is_trusted(1)
            newest = stored.newest(1)
            assert newest is not None
            assert kept.clock.boot_ns() - newest.boot_ns < RENEW_NS
        kept.store.close()

    play(scenario)
