"""`vitalgate alert replay`: what rules would have told, by histories whose truth is known beforehand, and by what whole
gateways told when it happened."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, MINIMAL, in_transaction, open_store
from typer.testing import CliRunner, Result

from edge import config
from edge.anchors import Anchor
from edge.clock import NS_PER_S
from edge.config import Alerts
from edge.config_values import Glucose
from edge.feeds.entries import WEEK_H, WEEK_S, week_of
from edge.lock import lock
from edge.now.glycaemia import DEBOUNCE_S
from edge.sensors.validity import NotCounted
from edge.store.alerts import AlertEvent
from edge.store.door import Tables
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.readings import Reading
from hw_sim.clock import run
from hw_sim.faults import LinkFaults
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement
from tools.analyse import kept
from tools.cli import app
from tools.replay import figures, history, strap
from tools.replay.figures import Event, Judge, events
from tools.replay.stage import LEFT_OUT, Alarm, Course, Stage, Trace
from tools.replay.streams import Window, streams
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import CGM, STRAP, Sensor, home_of

MIN_S = 60.0
UTC = ZoneInfo("UTC")


def replayed(home: Path, *words: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["alert", "replay", "--config", str(home / "gateway.toml"), *words])
    assert done.exit_code == code, done.output
    return done


def said(home: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(replayed(home, "--json", *words).stdout)
    return found


def alerts_of(sensor: dict[str, Any], side: str = "now") -> dict[str, int]:
    """How often each alert was raised."""
    return {line["alert"]: line[side]["raised"] for line in sensor["alerts"] if line[side]}


# A history by hand


def trace() -> dict[int, float]:
    """Readings by minute: 120 mg/dL but for three lows, one that hovers around the limit, one after a gap, a high."""
    values: dict[int, float] = {}

    def go(*to: float) -> None:
        for value in to:
            values[5 * len(values)] = value

    down, up = range(115, 60, -5), range(65, 120, 5)
    go(*[120] * 120, *down, *[60] * 6, *up)  # a low from minute 650 on
    go(*[120] * 60, *range(115, 70, -5), 69, 69, 69, 69, 71, 69, 71, 69, 69, 71, 72, *[76] * 3, *up)  # hovers
    go(*[120] * 60, *down, *[62] * 6, *up)  # a third low
    go(*[120] * 40, *range(125, 255, 5), *[270] * 30, *range(250, 120, -5))  # a high, and persistent
    go(*[120] * 40, *range(115, 90, -5), *[None] * 18, *[60] * 6, *up)  # type: ignore[list-item]  # after a gap
    go(*[120] * 40)
    return {minute: value for minute, value in values.items() if value is not None}


BEGINS_MIN = {"low": 3, "high": 1, "urgent_low": 0}


def fill(tables: Tables, readings: dict[int, float], late: range = range(0), came_min: int = 0) -> None:
    """One session, and an anchor an hour; those of the minutes `late` came then, from the sensor's memory."""
    session = tables.sessions.begin(
        2,
        UUID(int=7),
        told_start_utc_s=MIDNIGHT_UTC_S,
        start_boot_no=1,
        start_boot_ns=0,
        start_utc_s=MIDNIGHT_UTC_S,
        start_error_ms=500,
        run_time_h=None,
    )
    for hour in range(max(readings, default=0) // 60 + 2):
        at_ns = 3600 * hour * NS_PER_S
        tables.boots.add_anchor(Anchor(1, at_ns, MIDNIGHT_UTC_S * NS_PER_S + at_ns, 500, "system"))
    rows = []
    for m, value in readings.items():
        came_ns = 60 * (came_min if m in late else m) * NS_PER_S
        rows.append(Reading(m, 60 * m, value, None, None, 0, None, 1, came_ns, fetched=m in late))
    tables.readings.insert(session.no, "glucose", rows)


def packets(rates: Sequence[tuple[int, int, bool]]) -> Iterator[Packet]:
    """A packet a second: each rate for so many seconds, with or without contact."""
    second = 0
    for bpm, seconds, contact in rates:
        for _ in range(seconds):
            second += 1
            payload = heart_rate.encode(HeartRateMeasurement(bpm + second % 3, contact=contact))
            yield Packet(payload, second * NS_PER_S, NO_BEAT)


RATES = (
    (70, 1215, True),  # no change falls on a minute, when packets are stored
    (35, 300, True),  # too low, at rest
    (70, 1800, True),
    (140, 100, True),  # too high, before it is known to be activity
    (70, 600, True),
    (0, 2400, False),
    (70, 300, True),
)


def home_with(directory: Path, *work: Callable[[Tables], None], more: str = "") -> Path:
    """The files of a gateway that has this in its store; `more` is what its configuration says beside."""
    (directory / "gateway.toml").write_text(MINIMAL + more)
    checked = config.load(directory / "gateway.toml")
    checked.gateway.state_dir.mkdir()
    IDENTITY.keep(checked.key_file)
    store = open_store(checked)
    for one in work:
        in_transaction(store, one)
    store.close()
    return directory


def wear_strap(tables: Tables) -> None:
    found = list(packets(RATES))
    for first in range(0, len(found), 60):
        tables.raw_chunks.append(HeartChunk(1, 1, tuple(found[first : first + 60])))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a gateway with that history."""
    return home_with(tmp_path_factory.mktemp("home"), lambda tables: fill(tables, trace()), wear_strap)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "new.toml"


class Level(NamedTuple):
    limit: float
    sign: float
    hysteresis: float


def raised_by_hand(readings: dict[int, float], level: Level, pause_min: float = 30.0) -> list[float]:
    """When an alert about a level is raised: in plain words, minute by minute."""
    raised, stands, quiet_until = [], False, -1.0
    for minute in range(max(readings) + 1):
        newest = max((m for m in readings if m <= minute), default=None)
        if newest is None or minute - newest > 15:
            continue
        beyond = level.sign * (readings[newest] - level.limit)
        if stands and beyond <= -level.hysteresis:
            stands, quiet_until = False, minute + pause_min
        elif not stands and beyond > 0.0 and minute >= quiet_until:
            stands = True
            raised.append(float(minute))
    return raised


LEVELS = {
    "glucose_low": (Level(70, -1.0, 5.0), Level(80, -1.0, 5.0)),
    "glucose_high": (Level(250, 1.0, 10.0), Level(200, 1.0, 10.0)),
}


def test_values_raise_what_plain_code_finds_under_both_sets_of_rules(home: Path, rules: Path) -> None:
    rules.write_text('[alerts]\nglucose_low = "80 mg/dL"\nglucose_high = "11.1 mmol/L"\n')
    cgm, _ = said(home, "--rules", str(rules))["sensors"]
    assert (cgm["person"], cgm["sensor"]) == ("anna", "cgm")
    for rule, levels in LEVELS.items():
        expected = [len(raised_by_hand(trace(), level)) for level in levels]
        assert [alerts_of(cgm, side)[rule] for side in ("now", "new")] == expected
        assert min(expected) > 0
    assert alerts_of(cgm)["glucose_high_persistent"] == 1
    line = next(line for line in cgm["alerts"] if line["alert"] == "glucose_low")
    assert line["now"]["per_week"] == pytest.approx(line["now"]["raised"] * 7.0 / cgm["days"], rel=0.01)


def test_what_is_at_night_and_for_how_long_follows_from_the_times(home: Path) -> None:
    cgm, _ = said(home)["sensors"]
    low = next(line["now"] for line in cgm["alerts"] if line["alert"] == "glucose_low")
    hours = [minute / 60.0 % 24.0 for minute in raised_by_hand(trace(), LEVELS["glucose_low"][0])]
    assert low["at_night"] == sum(not 7.0 <= hour < 22.0 for hour in hours)
    readings = trace()
    stood_min = 0.0
    for minute in raised_by_hand(readings, LEVELS["glucose_low"][0]):
        stood_min += next(m for m in sorted(readings) if m > minute and readings[m] >= 75.0) - minute
    assert low["stood_h"] == pytest.approx(stood_min / 60.0, abs=0.02)


def test_lows_are_counted_and_missed_where_nobody_was_told(home: Path, rules: Path) -> None:
    off = "glucose_low", "glucose_low_ahead", "glucose_falling_fast"
    rules.write_text(f"[alerts]\noff = {json.dumps(off)}\n")
    cgm, heart = said(home, "--rules", str(rules))["sensors"]
    assert {line["event"]: line["events"] for line in cgm["events"]} == BEGINS_MIN
    low, _, high = cgm["events"]
    assert (low["missed_now"], high["missed_now"], high["missed_new"]) == (0, 0, 0)
    soon = alerts_of(cgm, "new")["glucose_urgent_low_soon"]
    assert low["missed_new"] == 3 - min(3, soon)
    assert not set(off) & set(alerts_of(cgm, "new"))
    assert heart["events"] == []


def test_what_came_late_from_the_sensors_memory_raises_nothing(tmp_path: Path) -> None:
    """The first low happened while the sensor was out of reach."""
    (cgm,) = said(home_with(tmp_path, lambda tables: fill(tables, trace(), range(600, 760), 760)))["sensors"]
    low = cgm["events"][0]
    assert (low["events"], low["missed_now"]) == (3, 1)
    first, *others = raised_by_hand(trace(), LEVELS["glucose_low"][0])
    assert 600 < first < 760
    assert alerts_of(cgm)["glucose_low"] == len(others)


FEED = """
[[sensors]]
id = "phone"
kind = "sgv"
address = "http://192.168.1.20:17580"
person = "anna"
another_sensor = true
"""


def fill_feed(tables: Tables, readings: dict[int, float], *, begins_utc_s: int) -> None:
    """The weeks of a feed; each measurement came at once, and once more by another uploader, some seconds later."""
    for week_utc_s, of_week in groupby(readings, key=lambda m: week_of(begins_utc_s + 60 * m)):
        session = tables.sessions.begin(
            3,
            UUID(int=week_utc_s),
            told_start_utc_s=None,
            start_boot_no=None,
            start_boot_ns=None,
            start_utc_s=week_utc_s,
            start_error_ms=0,
            run_time_h=WEEK_H,
        )
        rows = []
        for m in of_week:
            for late_s, reason in ((0, None), (9, NotCounted.SENT_TWICE.value)):
                at_s = begins_utc_s + 60 * m + late_s - week_utc_s
                came_ns = (begins_utc_s - MIDNIGHT_UTC_S + 60 * m + late_s) * NS_PER_S
                values = readings[m], None, None, 0, reason, 1, came_ns
                rows.append(Reading(at_s, at_s, *values, fetched=False))
        tables.readings.insert(session.no, "glucose", rows)


def test_a_feed_raises_what_a_cgm_with_its_values_raises_over_the_border_of_a_week(tmp_path: Path) -> None:
    values = trace()
    border_min = (week_of(MIDNIGHT_UTC_S) + WEEK_S - MIDNIGHT_UTC_S) // 60
    begin_min = border_min - 640  # ten minutes before the first low
    shifted = {begin_min + m: value for m, value in values.items()}
    home = home_with(
        tmp_path,
        lambda tables: fill(tables, shifted),
        lambda tables: fill_feed(tables, values, begins_utc_s=MIDNIGHT_UTC_S + 60 * begin_min),
        more=FEED,
    )
    cgm, feed = said(home)["sensors"]
    assert (cgm["kind"], feed["kind"]) == ("cgm", "sgv")
    of_cgm, of_feed = alerts_of(cgm), alerts_of(feed)
    assert of_feed == {rule: times for rule, times in of_cgm.items() if rule != "sensor_ending"}
    assert of_feed["glucose_low"] == len(raised_by_hand(values, LEVELS["glucose_low"][0]))
    assert feed["events"] == cgm["events"]
    assert feed["days"] == pytest.approx(cgm["days"], abs=0.1)


def test_late_readings_before_the_newest_change_what_follows_from_it(tmp_path: Path) -> None:
    """Of a fall of 3 mg/dL in a minute the middle came a minute after the reading that ends it."""
    falling = [180 - 15 * n for n in range(8)]
    readings = dict(zip(range(0, 5 * 128, 5), [180.0] * 120 + falling, strict=True))
    came = home_with(tmp_path, lambda tables: fill(tables, readings, range(605, 625), 626))
    (alarm,) = [one for one in alarms(came, [Alerts()]) if one.rule == "glucose_falling_fast"]
    assert alarm.at_s == 626 * MIN_S + DEBOUNCE_S


def test_a_calibration_puts_off_what_is_told_of_a_trend_as_in_the_gateway(tmp_path: Path) -> None:
    """In a fall of 3 mg/dL in a minute the sensor was calibrated."""
    falling = [180 - 15 * n for n in range(8)]
    readings = dict(zip(range(0, 5 * 128, 5), [180.0] * 120 + falling, strict=True))

    def falls_s(name: str, *calibrations: Reading) -> list[float]:
        def work(tables: Tables) -> None:
            fill(tables, readings)
            session = tables.sessions.current(2)
            assert session is not None
            tables.readings.insert(session.no, "calibration", calibrations)

        (tmp_path / name).mkdir()
        came = home_with(tmp_path / name, work)
        return [one.at_s for one in alarms(came, [Alerts()]) if one.rule == "glucose_falling_fast"]

    made = Reading(617, 60 * 617, 150.0, None, None, 0, None, 1, 0, fetched=False)
    (without,) = falls_s("none")
    (accepted,) = falls_s("accepted", made)
    (rejected,) = falls_s("rejected", made._replace(not_counted="rejected"))
    assert accepted > without == rejected


def test_a_strap_raises_what_its_packets_say(home: Path, rules: Path) -> None:
    rules.write_text("[alerts]\nheart_rate_low_bpm = 30\nheart_rate_high_bpm = 150\nnot_worn_s = 3000\n")
    _, heart = said(home, "--rules", str(rules))["sensors"]
    now = {"heart_rate_low": 1, "heart_rate_high": 1, "not_worn": 1}
    assert alerts_of(heart) == now | {"heart_rate_high_persistent": 0, "pause": 0, "irregular_rhythm": 0}
    assert set(alerts_of(heart, "new").values()) == {0}
    assert heart["days"] == pytest.approx(sum(seconds for _, seconds, _ in RATES) / 86_400.0, abs=0.01)


def test_packets_that_are_not_looked_at_change_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates go to and fro by 2 beats per minute, across the limits or not."""
    rules = [Alerts(heart_rate_low_bpm=low, heart_rate_high_bpm=high) for low, high in ((36, 141), (38, 139))]
    found = [alarms(home, [one]) for one in rules]
    monkeypatch.setattr(strap, "_edges", lambda _: [n + 0.5 for n in range(300)])
    assert [alarms(home, [one]) for one in rules] == found
    assert {alarm.rule for alarm in found[1]} >= {"heart_rate_low", "heart_rate_high", "not_worn"}
    assert {alarm.rule for alarm in found[0]}.isdisjoint({"heart_rate_low", "heart_rate_high"})


def alarms(home: Path, rules: list[Alerts]) -> list[Alarm]:
    """All that the first of these rules raise."""
    checked = config.load(home / "gateway.toml")
    found: list[Alarm] = []
    with kept.opened(checked.gateway.state_dir, checked.key_file) as tables:
        people = {person.pseudonym: person.id for person in checked.people}
        for stream in streams(tables, people):
            stage, way = Stage(rules, UTC), history.WAYS[stream.procedure]
            for _ in way.play(tables, stream, tables.boots.timeline(), Window(0.0, 1e10), stage):
                pass
            found += stage.players[0].alarms
    return sorted(found, key=lambda alarm: alarm.at_s)


def test_a_window_begins_where_it_is_said_to(home: Path) -> None:
    """The newest value is the end of it."""
    readings, whole = trace(), said(home)
    last_min = max(readings)
    cgm = next(one for one in said(home, "--days", "1")["sensors"] if one["sensor"] == "cgm")
    raised = raised_by_hand(readings, LEVELS["glucose_low"][0])
    assert alerts_of(cgm)["glucose_low"] == sum(minute >= last_min - 1440 for minute in raised)
    assert 0 < alerts_of(cgm)["glucose_low"] < len(raised)
    assert whole["left_out"] == list(LEFT_OUT)


# What is judged


def judged(
    alarms_s: dict[str, list[float]], values: Sequence[tuple[float, float]]
) -> tuple[Judge, list[Alarm]]:
    found = [Alarm(rule, t * MIN_S, None, None, (t + 5) * MIN_S) for rule, at in alarms_s.items() for t in at]
    trace_of = Trace()
    for minute, value in values:
        trace_of.add(minute * MIN_S, value)
    return Judge(trace_of, 0.0, 1e6, Alerts()), found


def flat(value: float, first_min: int, end_min: int) -> list[tuple[float, float]]:
    return [(float(minute), value) for minute in range(first_min, end_min, 5)]


FALL = [*flat(110, 0, 200), *flat(65, 200, 240), *flat(110, 240, 600)]


@pytest.mark.parametrize(
    ("at_min", "early", "missed"),
    [
        ([180], (1, 20.0, 0), 0),
        ([145], (1, 55.0, 0), 1),  # announced, but too early to count as told in time
        ([135], (0, None, 1), 1),
        ([203], (1, -3.0, 0), 0),
        ([206], (0, None, 0), 1),
        ([400], (0, None, 1), 1),
        ([598], (0, None, 0), 1),  # nothing is known of what followed
        ([170, 185], (1, 30.0, 0), 0),
    ],
)
def test_an_early_alert_leads_is_false_or_too_late(
    at_min: list[float], early: tuple[int, float | None, int], missed: int
) -> None:
    judge, found = judged({"glucose_low_ahead": at_min}, FALL)
    line = judge.raised("glucose_low_ahead", found, 86_400.0, UTC)
    assert line.early is not None
    assert (line.early.announced, line.early.lead_min_most, line.early.false) == early
    assert judge.missed("low", found) == missed


def test_an_alert_that_stands_tells_of_what_comes() -> None:
    judge, found = judged({"glucose_low": [100]}, FALL)
    assert judge.missed("low", found) == 1
    found[0].over_s = 300 * MIN_S
    assert judge.missed("low", found) == 0
    assert judge.missed("low", [Alarm("glucose_high", 195 * MIN_S, None, None)]) == 1


@pytest.mark.parametrize(
    ("values", "begins"),
    [
        (FALL, [200]),
        ([*flat(110, 0, 100), *flat(65, 100, 110), *flat(110, 110, 200)], []),  # too short
        ([*flat(110, 0, 100), *flat(65, 200, 260)], []),  # it began in a gap
        (
            [*flat(110, 0, 100), *flat(65, 100, 120), *flat(71, 120, 125), *flat(65, 125, 180)],
            [100],
        ),  # hovers
        ([*flat(110, 0, 100), *flat(65, 100, 120), *flat(71, 120, 140), *flat(65, 140, 180)], [100, 140]),
        ([], []),
    ],
)
def test_events_begin_where_values_stay_beyond_the_limit(
    values: list[tuple[float, float]], begins: list[int]
) -> None:
    times = [minute * MIN_S for minute, _ in values]
    found = events(times, [value < 70.0 for _, value in values])
    assert [event.begin_s for event in found] == [begin * MIN_S for begin in begins]
    assert all(isinstance(event, Event) and event.end_s > event.begin_s for event in found)


def test_time_goes_on_over_boots_by_the_wall_time_that_passed() -> None:
    course = Course()
    assert course.at_s(1, 5 * NS_PER_S, 1000.0) == 0.0
    assert course.at_s(1, 65 * NS_PER_S, None) == 60.0
    assert course.at_s(2, 1 * NS_PER_S, 1100.0) == 100.0
    assert course.at_s(3, 1 * NS_PER_S, None) == 100.0
    assert course.at_s(3, 0, 900.0) == 100.0
    assert course.utc_s(110.0) == 910.0


# What whole gateways told

OWN_LIMITS = {
    "glucose_high": "220 mg/dL",
    "heart_rate_high_bpm": 84,
    "heart_rate_low_bpm": 72,
    "heart_rate_hold_s": 20.0,
    "irregular_rhythm_s": 420.0,
    "pause_s": 2.5,
    "refractory_s": 600.0,
    "quiet_hours": "09:00-11:02",
}


def worn() -> DemoRecordings:
    """Atrial fibrillation at rest: as it was recorded, but slower."""
    came_along = DemoRecordings.chosen(None, None)
    assert came_along.rr_ms is not None
    begin = np.searchsorted(np.cumsum(came_along.rr_ms), 203.0 * 60_000.0)
    return replace(came_along, rr_ms=np.ascontiguousarray(1.4 * came_along.rr_ms[begin:]))


def lived(
    directory: Path, sensor: Sensor, hours: float, *, drops: LinkFaults | None, kills: int
) -> list[AlertEvent]:
    """What a gateway told of its sensor in so many hours, in which it was killed so often."""
    told: list[AlertEvent] = []

    async def live() -> None:
        scenario = home_of(sensor, hours=hours, gateway={"alerts": OWN_LIMITS})
        async with open_world(scenario, directory, worn=worn()) as world:
            if drops is not None:
                world.drop_links(drops)
            for kill in range(kills):
                await world.until_s(3600.0 * hours * (kill + 1) / (kills + 1))
                await world.machine.kill()
                world.machine.start()
            await world.until_s(3600.0 * hours)
            await world.machine.stop()
        told.extend(stored_events(world))

    run(live())
    return told


def stored_events(world: World) -> list[AlertEvent]:
    checked = world.config
    with kept.opened(checked.gateway.state_dir, checked.key_file) as tables:
        return tables.alerts.newest(10_000)[::-1]


@pytest.mark.parametrize(
    ("sensor", "hours", "drops", "kills", "rules"),
    [
        (
            CGM,
            30.0,
            LinkFaults(seed=1, up_s_mean=3000.0, down_s_mean=600.0),
            2,
            {"glucose_low_ahead", "glucose_high_ahead", "glucose_urgent_low"},
        ),
        (STRAP, 1.2, None, 0, {"heart_rate_low", "heart_rate_high", "irregular_rhythm"}),
    ],
)
def test_the_rules_in_force_raise_again_what_the_gateway_raised_live(
    sensor: Sensor, hours: float, drops: LinkFaults | None, kills: int, rules: set[str], tmp_path: Path
) -> None:
    told = lived(tmp_path, sensor, hours, drops=drops, kills=kills)
    live = [one for one in told if one.what == "raised" and one.rule not in LEFT_OUT]
    found = alarms(tmp_path, [config.load(tmp_path / "gateway.toml").alerts])
    assert {one.rule for one in live} >= rules
    assert [(one.rule, one.value) for one in found] == [(one.rule, one.value) for one in live]
    # The axes begin at other moments.
    zero_s = live[0].at_s - found[0].at_s
    for one, alarm in zip(live, found, strict=True):
        assert alarm.at_s + zero_s == pytest.approx(one.at_s, abs=2.0)
    ends = [one.at_s for one in told if one.what == "over" and one.rule not in LEFT_OUT]
    overs = sorted(alarm.over_s + zero_s for alarm in found if alarm.over_s < 1e9)
    assert overs == pytest.approx(ends, abs=2.0)
    document = said(tmp_path)
    assert sum(sum(alerts_of(one).values()) for one in document["sensors"]) == len(live)


# The command


def test_in_words_it_says_the_same(home: Path, rules: Path) -> None:
    rules.write_text('[alerts]\nglucose_low = "80 mg/dL"\noff = ["glucose_high_ahead"]\n')
    text = replayed(home, "--rules", str(rules)).stdout
    assert "anna/cgm" in text
    assert "anna/strap" in text
    assert "lows below 70 mg/dL: 3, missed 0 now, 0 new" in text
    assert "left out: heart_rate_silence, cgm_silence, battery_low, sync_stuck" in text
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("glucose_high_ahead"))
    assert row[2::2] == ["off"] * 4
    alone = replayed(home).stdout
    assert "new" not in alone.replace("newest", "")
    assert "lows below 70 mg/dL: 3, missed 0 now\n" in alone


def test_a_store_is_not_changed_and_no_gateway_runs_meanwhile(home: Path) -> None:
    checked = config.load(home / "gateway.toml")
    before = checked.database.read_bytes()
    assert said(home)["sensors"]
    assert checked.database.read_bytes() == before
    held = lock(checked.gateway.state_dir)
    try:
        command = ["alert", "replay", "--config", str(home / "gateway.toml")]
        done = CliRunner().invoke(app, command)
    finally:
        os.close(held)
    assert done.exit_code == 2
    assert f"a gateway is running on {checked.gateway.state_dir}; stop it while this runs" in done.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "No such file"),
        ("[alerts", "line 1: not valid TOML: a [section] is not closed"),
        ("", "alerts: it is missing; add it: a section [alerts]"),
        ("[alert]\n", "alert: there is no such key; use alerts"),
        ("[alerts]\nglucose_lo = 3\n", "alerts.glucose_lo: there is no such key; use glucose_low"),
        ("[alerts]\nglucose_low = 70\n", 'alerts.glucose_low: 70 has no unit; write it like "70 mg/dL"'),
        ('[alerts]\nglucose_low = "300 mg/dL"\n', "glucose_low is not below glucose_high"),
        ('[alerts]\noff = ["nonsense"]\n', "off: there is no rule 'nonsense'"),
    ],
)
def test_wrong_rules_are_said_in_one_line(home: Path, rules: Path, text: str | None, line: str) -> None:
    if text is not None:
        rules.write_text(text)
    done = replayed(home, "--rules", str(rules), code=2)
    (told,) = done.stderr.splitlines()
    assert told.startswith(f"vitalgate: {rules}")
    assert line in told


def test_without_a_store_or_anything_in_it_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(MINIMAL)
    (line,) = replayed(tmp_path, code=2).stderr.splitlines()
    assert f"gateway.state_dir: {tmp_path}/state holds no store; run the gateway first" in line
    done = replayed(home_with(tmp_path), code=2)
    assert "holds no data of a sensor yet; let the gateway run for some days" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_new_limits_hold_for_glucose_in_both_units(rules: Path) -> None:
    rules.write_text('[alerts]\nglucose_low = "4.4 mmol/L"\n')
    assert config.load_alerts(rules).glucose_low == Glucose(79)
    assert figures.EARLY.keys() <= {rule for kind in figures.EVENTS.values() for rule in kind.alerts}
