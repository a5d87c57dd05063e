"""Summaries are plain arithmetic over what lies in the store, once a period is over, at local midnights too."""

import math
from array import array
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, StillClock, minimal_config, open_store

from edge.anchors import Anchors
from edge.heart_sensor import NO_BEAT
from edge.outbox import Outbox
from edge.store import CgmRecord, CgmSession, HeartChunk, Summary
from edge.summary import Summaries
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement

S = 10**9
GRACE_S = 30


class Box:
    """A store and what closes its periods. `boot_s` of data are seconds since `MIDNIGHT_UTC_S`."""

    def __init__(self, directory: Path, at_utc_s: float = MIDNIGHT_UTC_S, timezone: str = "UTC") -> None:
        text = {'state_dir = "state"': f'state_dir = "state"\ntimezone = "{timezone}"'}
        self.config = minimal_config(directory, **text)
        self.store = open_store(self.config)
        self.clock = StillClock(at_utc_s)
        self.start()

    def start(self) -> None:
        """As after a restart of the gateway."""
        with self.store.transaction():
            self.store.note_boot(self.clock.boot_id)
        self.outbox = Outbox(self.store, self.clock)
        self.anchors = Anchors(self.store, self.clock)
        self.summaries = Summaries(self.config, IDENTITY, self.store, self.outbox, self.anchors, self.clock)
        self.anchors.tick()
        self.summaries.tick()

    def at(self, utc_s: float, ticks: int = 1) -> list[Summary]:
        self.clock.utc_s = utc_s
        self.anchors.tick()
        for _ in range(ticks):
            self.summaries.tick()
        return [s for kind in ("heart_5min", "glucose_day") for s in self.store.summaries(kind)]

    def packet(self, boot_s: float, reading: HeartRateMeasurement) -> None:
        payload = heart_rate.encode(reading)
        boot_ns = round(boot_s * S)
        beat_ns = boot_ns if reading.rr_ticks else NO_BEAT
        arrival, beat = (array("q", [n]).tobytes() for n in (boot_ns, beat_ns))
        lengths = array("H", [len(payload)]).tobytes()
        chunk = HeartChunk("strap", self.clock.boot_id, boot_ns, boot_ns, 1, arrival, beat, lengths, payload)
        with self.store.transaction():
            self.store.append_chunk(chunk)

    def beats(self, *ends_s: float, rr_ticks: int = 1024) -> None:
        for end_s in ends_s:
            self.packet(end_s, HeartRateMeasurement(60, rr_ticks=(rr_ticks,)))

    def session(self, start_utc_s: int) -> CgmSession:
        with self.store.transaction():
            return self.store.begin_session("cgm", start_utc_s, 240)

    def readings(self, session: CgmSession, values: dict[int, float | None]) -> int:
        records = [
            CgmRecord(offset_min, mg_dl, None, None, 0, 0, backfilled=True)
            for offset_min, mg_dl in values.items()
        ]
        return self.summaries.keep_records(session, records)


# Five minutes of heart


def test_a_window_is_closed_once_its_data_have_had_time_to_arrive(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.beats(*range(1, 300))
    assert box.at(MIDNIGHT_UTC_S + 300 + GRACE_S - 1) == []
    [summary] = box.at(MIDNIGHT_UTC_S + 300 + GRACE_S)
    assert (summary.start_utc_s, summary.end_utc_s) == (MIDNIGHT_UTC_S, MIDNIGHT_UTC_S + 300)
    assert (summary.rev, summary.status) == (1, "final")
    assert summary.body == {
        "hr_mean_bpm": 60.0,
        "hr_min_bpm": 60.0,
        "hr_max_bpm": 60.0,
        "sdnn_ms": 0.0,
        "rmssd_ms": 0.0,
        "beats": 299,
        "coverage_pct": pytest.approx(99.6667, abs=1e-3),
    }
    assert box.outbox.counts().pending == 1
    assert box.at(MIDNIGHT_UTC_S + 400) == [summary]


def test_statistics_are_plain_arithmetic_and_differences_do_not_cross_a_gap(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.beats(10.0, rr_ticks=1024)
    box.beats(10.5, rr_ticks=512)
    box.beats(100.0, rr_ticks=1024)
    box.beats(100.75, rr_ticks=768)
    [summary] = box.at(MIDNIGHT_UTC_S + 400)
    rr = [1000.0, 500.0, 1000.0, 750.0]
    mean = sum(rr) / 4
    assert summary.body["hr_mean_bpm"] == pytest.approx(60_000 / mean)
    assert summary.body["sdnn_ms"] == pytest.approx(math.sqrt(sum((x - mean) ** 2 for x in rr) / 3))
    assert summary.body["rmssd_ms"] == pytest.approx(math.sqrt((500.0**2 + 250.0**2) / 2))
    assert (summary.body["hr_min_bpm"], summary.body["hr_max_bpm"]) == (None, None)  # not 8 in a row
    assert summary.body["coverage_pct"] == pytest.approx(100 * 3.25 / 300)


def test_windows_without_data_are_stepped_over_and_many_do_not_hold_up_a_tick(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.beats(86_400.5)
    assert box.at(MIDNIGHT_UTC_S + 86_400 + 330) == []
    [summary] = box.at(MIDNIGHT_UTC_S + 86_400 + 330, ticks=5)  # 289 windows, 50 a tick
    assert summary.start_utc_s == MIDNIGHT_UTC_S + 86_400


def test_a_gateway_that_starts_late_does_not_ask_for_the_past(tmp_path: Path) -> None:
    box = Box(tmp_path, at_utc_s=MIDNIGHT_UTC_S + 1000)
    box.beats(920.0, 1100.0)
    [summary] = box.at(MIDNIGHT_UTC_S + 1230)
    assert summary.start_utc_s == MIDNIGHT_UTC_S + 900
    assert summary.body["beats"] == 2


@pytest.mark.parametrize("boot_id", ["boot-1", "boot-2"])
def test_a_restart_in_the_middle_of_a_window_joins_both_parts(tmp_path: Path, boot_id: str) -> None:
    box = Box(tmp_path)
    box.beats(*(n + 1 for n in range(10)))
    box.clock = StillClock(MIDNIGHT_UTC_S + 100, boot_id)
    box.start()
    box.beats(*(n + 101 for n in range(10)))
    [summary] = box.at(MIDNIGHT_UTC_S + 400)
    assert (summary.body["beats"], summary.body["rmssd_ms"]) == (20, 0.0)


def test_a_strap_without_intervals_yields_its_own_heart_rates(tmp_path: Path) -> None:
    box = Box(tmp_path)
    for second in range(120):
        box.packet(second + 0.2, HeartRateMeasurement(60 + second % 3))
    box.packet(200.0, HeartRateMeasurement(0))
    box.packet(201.0, HeartRateMeasurement(180, contact=False))
    [summary] = box.at(MIDNIGHT_UTC_S + 400)
    assert summary.body == {
        "hr_mean_bpm": 61.0,
        "hr_min_bpm": 60.0,
        "hr_max_bpm": 62.0,
        "sdnn_ms": None,
        "rmssd_ms": None,
        "beats": 0,
        "coverage_pct": 40.0,
    }


def test_intervals_where_there_are_any_are_what_counts(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.packet(1.0, HeartRateMeasurement(180))
    box.beats(2.0)
    [summary] = box.at(MIDNIGHT_UTC_S + 400)
    assert (summary.body["hr_mean_bpm"], summary.body["beats"]) == (60.0, 1)


def test_a_strap_nobody_wears_yields_nothing(tmp_path: Path) -> None:
    box = Box(tmp_path)
    for second in range(300):
        box.packet(second, HeartRateMeasurement(0, contact=False))
    assert box.at(MIDNIGHT_UTC_S + 400) == []
    assert box.summaries.heart_closed_until_utc_s() == MIDNIGHT_UTC_S + 300


# A day of glucose


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 11, 21), 24)]
)
def test_a_local_day_has_all_its_hours_and_no_others(tmp_path: Path, day: date, hours: int) -> None:
    midnight_s = int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    box = Box(tmp_path, at_utc_s=midnight_s, timezone="Europe/Berlin")
    session = box.session(midnight_s - 3600)
    box.readings(session, {m: 100.0 + 50 * (60 <= m < 60 + 60 * hours) for m in range(0, 60 * 30, 5)})
    end_s = midnight_s + 3600 * hours
    assert midnight_s not in [s.start_utc_s for s in box.at(end_s + GRACE_S - 1)]
    summaries = box.at(end_s + GRACE_S)
    [summary] = [s for s in summaries if s.start_utc_s == midnight_s]
    assert summary.end_utc_s == end_s
    assert summary.body["date"] == day.isoformat()
    assert (summary.body["readings"], summary.body["coverage_pct"]) == (12 * hours, 100.0)
    assert (summary.body["mean_mg_dl"], summary.body["sd_mg_dl"]) == (150.0, 0.0)


def test_a_day_is_closed_at_its_end_and_not_before(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.readings(box.session(MIDNIGHT_UTC_S), dict.fromkeys(range(0, 1440, 5), 100.0))
    assert box.at(MIDNIGHT_UTC_S + 86_400 + GRACE_S - 1) == []
    [summary] = box.at(MIDNIGHT_UTC_S + 86_400 + GRACE_S)
    assert (summary.rev, summary.status, summary.body["readings"]) == (1, "final", 288)


def test_readings_off_the_scale_count_as_just_off_it(tmp_path: Path) -> None:
    box = Box(tmp_path)
    values = {0: -math.inf, 5: 60.0, 10: 100.0, 15: 200.0, 20: math.inf, 25: None}
    box.readings(box.session(MIDNIGHT_UTC_S), values)
    [summary] = box.at(MIDNIGHT_UTC_S + 86_400 + GRACE_S)
    body = summary.body
    assert (body["readings"], body["mean_mg_dl"]) == (5, (39 + 60 + 100 + 200 + 401) / 5)
    shares = [body[f"{name}_pct"] for name in ("very_low", "low", "in_range", "high", "very_high")]
    assert shares == [20.0] * 5
    assert body["coverage_pct"] == pytest.approx(100 * 5 / 288)


@pytest.mark.parametrize("values", [{}, {0: None, 5: None}])
def test_a_day_without_a_measurement_is_no_summary(tmp_path: Path, values: dict[int, float | None]) -> None:
    box = Box(tmp_path)
    box.readings(box.session(MIDNIGHT_UTC_S), values)
    assert box.at(MIDNIGHT_UTC_S + 86_400 + GRACE_S) == []


def test_one_reading_alone_has_no_coverage_and_off_scale_counts_as_just_off_it(tmp_path: Path) -> None:
    box = Box(tmp_path)
    session = box.session(MIDNIGHT_UTC_S)
    box.readings(session, {0: 100.0, 1440: math.inf, 1445: math.inf})
    one, off_scale = box.at(MIDNIGHT_UTC_S + 2 * 86_400 + GRACE_S)
    assert (one.body["coverage_pct"], one.body["sd_mg_dl"], one.body["mean_mg_dl"]) == (None, None, 100.0)
    assert off_scale.body["mean_mg_dl"] == 401.0
    assert off_scale.body["very_high_pct"] == 100.0


def test_late_readings_amend_the_day_they_belong_to_and_no_other(tmp_path: Path) -> None:
    box = Box(tmp_path)
    session = box.session(MIDNIGHT_UTC_S)
    box.readings(session, dict.fromkeys((*range(0, 600, 5), *range(1440, 2880, 5)), 100.0))
    first, second = box.at(MIDNIGHT_UTC_S + 2 * 86_400 + GRACE_S)
    assert box.readings(session, dict.fromkeys(range(0, 1440, 5), 200.0)) == 168  # 120 were there already
    amended, same = box.at(MIDNIGHT_UTC_S + 2 * 86_400 + 60)
    assert same == second
    assert (amended.id, amended.rev, amended.status) == (first.id, 2, "amended")
    assert amended.body["mean_mg_dl"] == pytest.approx((120 * 100 + 168 * 200) / 288)


def test_history_that_arrives_at_the_first_start_is_summarised_by_the_day(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.readings(box.session(MIDNIGHT_UTC_S - 20 * 86_400), dict.fromkeys(range(0, 20 * 1440, 60), 100.0))
    summaries = box.at(MIDNIGHT_UTC_S + 60, ticks=2)  # ten days a tick
    assert [s.start_utc_s for s in summaries] == [MIDNIGHT_UTC_S - n * 86_400 for n in range(20, 0, -1)]
    assert all(s.rev == 1 and s.body["readings"] == 24 for s in summaries)


def test_each_new_reading_is_announced_once(tmp_path: Path) -> None:
    box = Box(tmp_path)
    session = box.session(MIDNIGHT_UTC_S)
    assert box.readings(session, {0: 100.0, 5: 101.0}) == 2
    assert box.readings(session, {0: 100.0, 5: 101.0, 10: 102.0}) == 1
    assert box.outbox.counts().pending == 3
    other = box.session(MIDNIGHT_UTC_S + 10_000)
    assert box.readings(other, {0: 100.0}) == 1  # the same offset of another session is another reading
    assert box.outbox.counts().pending == 4


def test_a_clock_that_goes_back_takes_nothing_back(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.beats(*range(1, 300))
    box.readings(box.session(MIDNIGHT_UTC_S), dict.fromkeys(range(0, 1440, 5), 100.0))
    before = box.at(MIDNIGHT_UTC_S + 90_000, ticks=10)
    cursors = [box.store.cursor(s) for s in ("heart_5min/strap", "glucose_day/cgm")]
    box.clock = replace(box.clock, utc_s=MIDNIGHT_UTC_S - 86_400 * 10)
    box.summaries.tick()
    assert [s for k in ("heart_5min", "glucose_day") for s in box.store.summaries(k)] == before
    assert [box.store.cursor(s) for s in ("heart_5min/strap", "glucose_day/cgm")] == cursors
