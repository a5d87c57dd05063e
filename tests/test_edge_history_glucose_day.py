"""A day is plain arithmetic over what counts of it, between local midnights, and final when all of it is here."""

import math
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from history_parts import DAY_S, GRACE_S, MIDNIGHT_UTC_S, Box, SetClock, play

from edge.anchors import Timeline
from edge.history import closing
from edge.history.body import Computed
from edge.history.bounds import Bounds, around, touched
from edge.history.glucose_day import GRACE_S as WAITED_S
from edge.history.glucose_day import RUN_TIME_S_MAX
from edge.store.summaries import Summary
from edge.store.tables import Tables

BERLIN = ZoneInfo("Europe/Berlin")


def only(summaries: list[Summary], start_utc_s: int) -> Summary:
    (found,) = [s for s in summaries if s.key.start_utc_s == start_utc_s]
    return found


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 11, 21), 24)]
)
def test_a_local_day_has_all_its_hours_and_no_others(tmp_path: Path, day: date, hours: int) -> None:
    midnight_s = int(datetime(day.year, day.month, day.day, tzinfo=BERLIN).timestamp())

    async def scenario() -> None:
        box = Box(tmp_path, zone="Europe/Berlin", clock=SetClock(zero_utc_s=midnight_s - 3600))
        await box.at(0)
        session = box.session(midnight_s - 3600)
        box.readings(
            session,
            {m: 100.0 + 50 * (60 <= m < 60 + 60 * hours) for m in range(0, 60 * 30, 5)},
            watermark=1795,
        )
        end_s = 3600 * (hours + 1)
        assert midnight_s not in [s.key.start_utc_s for s in await box.at(end_s + GRACE_S - 1)]
        summary = only(await box.at(end_s + GRACE_S), midnight_s)
        assert summary.end_utc_s == midnight_s + 3600 * hours
        assert summary.body["date"] == day.isoformat()
        assert (summary.body["readings"], summary.body["coverage_pct"]) == (12 * hours, 100.0)
        assert (summary.body["mean_mg_dl"], summary.body["sd_mg_dl"]) == (150.0, 0.0)
        assert summary.status == "final"

    play(scenario)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        # Days gone by: of those to come each release of the time zone database may say something else.
        ("UTC", date(2026, 1, 1), 24),
        ("Asia/Beirut", date(2024, 3, 31), 23),  # the clocks go forward at midnight: there is none
        ("America/Havana", date(2024, 11, 3), 25),  # back at one o'clock: there are two
        ("Pacific/Apia", date(2011, 12, 29), 24),  # before a day that never was
        ("Antarctica/Troll", date(2024, 3, 31), 22),
    ],
)
def test_days_follow_each_other_without_a_gap_wherever_they_are(zone: str, day: date, hours: int) -> None:
    where = ZoneInfo(zone)
    noon_s = int(datetime(day.year, day.month, day.day, 12, tzinfo=where).timestamp())
    bounds = around("glucose_day", noon_s, where)
    assert bounds.end_utc_s - bounds.start_utc_s == 3600 * hours
    for utc_s in (bounds.start_utc_s, bounds.end_utc_s - 1):
        assert around("glucose_day", utc_s, where) == bounds
    assert around("glucose_day", bounds.end_utc_s, where).start_utc_s == bounds.end_utc_s
    assert around("glucose_day", bounds.start_utc_s - 1, where).end_utc_s == bounds.start_utc_s
    assert touched("glucose_day", bounds.start_utc_s, bounds.end_utc_s, where) == [
        bounds.start_utc_s,
        bounds.end_utc_s,
    ]


def test_windows_are_five_minutes_of_the_hour() -> None:
    ten_s = int(datetime(2026, 11, 21, 10, 7, tzinfo=UTC).timestamp())
    assert around("heart_5min", ten_s, BERLIN) == Bounds(ten_s - 120, ten_s + 180)
    assert touched("heart_5min", ten_s, ten_s, BERLIN) == [ten_s - 120]


def test_readings_off_the_scale_count_as_just_off_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        values = {0: -math.inf, 5: 60.0, 10: 100.0, 15: 200.0, 20: math.inf, 25: None}
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, values)
        [summary] = await box.at(DAY_S + GRACE_S)
        body = summary.body
        assert (body["readings"], body["mean_mg_dl"]) == (5, (39 + 60 + 100 + 200 + 401) / 5)
        shares = [body[f"{name}_pct"] for name in ("very_low", "low", "in_range", "high", "very_high")]
        assert shares == [20.0] * 5
        assert body["coverage_pct"] == pytest.approx(100 * 5 / 288)
        assert body["not_counted"] == {"no measurement": 1}
        assert all(type(value) in (float, int, str, dict, type(None)) for value in body.values())

    play(scenario)


def test_only_what_counts_is_summarised_and_the_rest_is_told_by_its_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        values = {**dict.fromkeys(range(0, 600, 5), 100.0), 600: 44.0, 605: 44.0, 610: 700.0, 615: None}
        box.readings(
            session, values, {600: "sensor malfunction", 605: "sensor malfunction", 610: "out of range"}
        )
        [summary] = await box.at(DAY_S + GRACE_S)
        assert (summary.body["readings"], summary.body["mean_mg_dl"]) == (120, 100.0)
        assert summary.body["coverage_pct"] == pytest.approx(100 * 120 / 288)
        assert summary.body["not_counted"] == {
            "no measurement": 1,
            "out of range": 1,
            "sensor malfunction": 2,
        }
        kinds = [kind for kind, *_ in box.delivered()]
        assert (kinds.count("cgm_reading"), kinds.count("glucose_day")) == (120, 1)

    play(scenario)


@pytest.mark.parametrize("values", [{}, {0: None, 5: None}])
def test_a_day_without_a_measurement_is_no_summary(tmp_path: Path, values: dict[int, float | None]) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, values)
        box.end(session.no)
        assert await box.at(DAY_S + GRACE_S) == []
        assert box.dirty() == []

    play(scenario)


def test_one_reading_alone_has_no_coverage(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, {0: 100.0, 1440: math.inf, 1445: math.inf})
        one, off_scale = await box.at(2 * DAY_S + GRACE_S)
        assert (one.body["coverage_pct"], one.body["sd_mg_dl"], one.body["mean_mg_dl"]) == (None, None, 100.0)
        assert off_scale.body["mean_mg_dl"] == 401.0
        assert off_scale.body["very_high_pct"] == 100.0

    play(scenario)


def test_a_day_holds_the_readings_of_all_sessions_of_its_sensor_in_order_of_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        first = box.session(MIDNIGHT_UTC_S - DAY_S, number=1)
        box.readings(first, dict.fromkeys(range(1440, 1440 + 300, 5), 100.0))
        second = box.session(MIDNIGHT_UTC_S + 60 * 300, number=2)
        box.readings(second, dict.fromkeys(range(0, 300, 5), 200.0))
        unplaced = box.session(MIDNIGHT_UTC_S, None, number=3)
        box.do(lambda tables: tables.sessions.update(unplaced.no, start_boot_ns=None, start_boot_no=None))
        box.readings(unplaced._replace(start_boot_no=None), {0: 400.0})
        [day] = await box.at(DAY_S + GRACE_S)
        assert (day.body["readings"], day.body["mean_mg_dl"]) == (120, 150.0)
        assert day.body["coverage_pct"] == pytest.approx(100 * 120 / 288)

    play(scenario)


def test_late_readings_amend_the_day_they_belong_to_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(
            session, dict.fromkeys((*range(0, 600, 5), *range(1440, 2880, 5)), 100.0), watermark=2880
        )
        box.readings(session, {2880: 100.0})
        first, second = await box.at(2 * DAY_S + GRACE_S)
        assert first.status == second.status == "final"
        late = dict.fromkeys(range(0, 1440, 5), 200.0)
        assert len(box.readings(session, late)) == 168  # type: ignore[arg-type]  # 120 were there already
        amended, same = await box.at(2 * DAY_S + 2 * GRACE_S)
        assert same == second
        assert (amended.id, amended.rev, amended.status) == (first.id, 2, "amended")
        assert amended.body["mean_mg_dl"] == pytest.approx((120 * 100 + 168 * 200) / 288)

    play(scenario)


def test_each_new_reading_is_announced_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        assert len(box.readings(session, {0: 100.0, 5: 101.0})) == 2
        assert len(box.readings(session, {0: 100.0, 5: 101.0, 10: 102.0})) == 1
        assert box.pending() == 3
        other = box.session(MIDNIGHT_UTC_S + 10_000, number=2)
        assert (
            len(box.readings(other, {0: 100.0})) == 1
        )  # the same offset of another session is another reading
        assert box.pending() == 4
        await box.settle()
        assert box.enqueued >= 1

    play(scenario)


def test_no_id_of_a_reading_hangs_on_when_its_session_began(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S, number=77)
        box.readings(session, {0: 100.0, 5: 101.0})
        before = {ref: item for kind, ref, item, _ in box.delivered() if kind == "cgm_reading"}
        box.change(session.no, start_utc_s=MIDNIGHT_UTC_S - 90_000, told_start_utc_s=5)
        box.readings(session, {10: 102.0})
        after = {ref: item for kind, ref, item, _ in box.delivered() if kind == "cgm_reading"}
        assert before.items() <= after.items()
        assert len(after) == len(set(after.values())) == 3
        # Another store of the same gateway, where the session is known to have begun at another time.
        other = Box(tmp_path / "other")
        await other.at(0)
        again = other.session(MIDNIGHT_UTC_S + 5000, number=77)
        other.readings(again, {0: 100.0, 5: 101.0, 10: 102.0})
        assert {ref: item for kind, ref, item, _ in other.delivered() if kind == "cgm_reading"} == after

    play(scenario)


# Preliminary and final


def test_a_day_is_preliminary_until_the_watermark_has_passed_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S - 3 * DAY_S)
        minutes = range(0, 3 * 1440, 5)
        # Three days are fetched, oldest first, a third of a day at a time, and the gateway has all the time.
        for n, start in enumerate(range(0, 3 * 1440, 480)):
            part = {m: 100.0 for m in minutes if start <= m < start + 480}
            box.readings(session, part, watermark=max(part))  # type: ignore[arg-type]
            summaries = await box.at((n + 1) * 600)
            finals = [s.key.start_utc_s for s in summaries if s.status == "final"]
            assert finals == [MIDNIGHT_UTC_S - (3 - day) * DAY_S for day in range(n // 3)]
            assert all(s.status != "amended" for s in summaries)
        box.readings(session, {3 * 1440: 100.0}, watermark=3 * 1440)
        summaries = await box.at(7200)
        assert [s.status for s in summaries] == ["final"] * 3
        assert [s.body["readings"] for s in summaries] == [288] * 3
        assert [key.start_utc_s for key in box.dirty()] == [MIDNIGHT_UTC_S]

    play(scenario)


def test_a_day_that_was_closed_in_the_middle_of_it_by_nothing_is_not_final(tmp_path: Path) -> None:
    async def scenario() -> None:
        # The wall clock is a day ahead and nobody vouches for it; then it is set.
        box = Box(tmp_path, clock=SetClock(zero_utc_s=MIDNIGHT_UTC_S + DAY_S, error_ms=None))
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S + DAY_S, None)
        box.readings(session, dict.fromkeys(range(0, 140, 5), 100.0), watermark=135)
        assert await box.at(2 * 3600) == []
        box.clock.zero_utc_s, box.clock.error_ms = MIDNIGHT_UTC_S, 0
        assert await box.at(3 * 3600) == []
        box.readings(session, dict.fromkeys(range(0, 1445, 5), 100.0), watermark=1440)
        [day] = await box.at(DAY_S + GRACE_S)
        assert (day.status, day.rev, day.body["coverage_pct"]) == ("final", 1, 100.0)

    play(scenario)


def test_a_session_that_ended_or_whose_sensor_ran_out_is_awaited_no_longer(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S, run_time_h=24)
        box.readings(session, {0: 100.0, 5: 100.0}, watermark=5)
        ended_s = DAY_S + WAITED_S
        [day] = await box.at(ended_s - 1)
        assert (day.status, day.rev) == ("preliminary", 1)
        assert box.periods.next_due_boot_ns() == ended_s * 10**9
        [day] = await box.at(ended_s)
        assert (day.status, day.rev) == ("final", 2)
        assert box.dirty() == []
        later = box.session(MIDNIGHT_UTC_S + ended_s, number=2, run_time_h=None)
        box.readings(later, {0: 100.0, 5: 100.0})
        [_, second] = await box.at(ended_s + DAY_S + GRACE_S)
        assert second.status == "preliminary"
        assert box.periods.next_due_boot_ns() == (ended_s + RUN_TIME_S_MAX + WAITED_S) * 10**9
        box.end(later.no)
        [_, second] = await box.at(ended_s + DAY_S + 2 * GRACE_S)
        assert second.status == "final"
        assert box.dirty() == []

    play(scenario)


def test_a_day_is_preliminary_while_it_is_not_known_when_the_sensors_session_began(tmp_path: Path) -> None:
    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        first = box.session(MIDNIGHT_UTC_S)
        box.readings(first, dict.fromkeys(range(0, 700, 5), 100.0))
        unplaced = box.session(MIDNIGHT_UTC_S, None, number=2)
        box.do(lambda tables: tables.sessions.update(unplaced.no, start_boot_ns=None, start_boot_no=None))
        [day] = await box.at(DAY_S + GRACE_S)
        assert day.status == "preliminary"
        box.change(unplaced.no, start_utc_s=MIDNIGHT_UTC_S + DAY_S, start_error_ms=60_000)
        [day] = await box.at(DAY_S + 2 * GRACE_S)
        assert day.status == "final"

    play(scenario)


def test_while_a_day_is_awaited_it_is_not_computed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[Bounds] = []
    compute = closing.COMPUTE["glucose_day"]

    def counting(
        tables: Tables, timeline: Timeline, sensor_no: int, bounds: Bounds, zone: ZoneInfo
    ) -> Computed:
        computed.append(bounds)
        return compute(tables, timeline, sensor_no, bounds, zone)

    monkeypatch.setitem(closing.COMPUTE, "glucose_day", counting)  # type: ignore[arg-type]

    async def scenario() -> None:
        box = Box(tmp_path)
        await box.at(0)
        session = box.session(MIDNIGHT_UTC_S)
        box.readings(session, {0: 100.0, 5: 100.0}, watermark=5)
        await box.at(DAY_S + GRACE_S)
        for n in range(20):
            # Live readings come, and the gap before them is still being asked for.
            box.readings(session, {1440 + 5 * n: 100.0})
            [day] = await box.at(DAY_S + 300 * n + 100)
            assert (day.rev, day.status) == (1, "preliminary")
        assert len(computed) == 1
        box.readings(session, {10: 100.0}, watermark=1535)
        [day] = await box.at(DAY_S + 7000)
        assert (day.rev, day.status, day.body["readings"]) == (2, "final", 3)

    play(scenario)
