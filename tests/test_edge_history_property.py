"""Whatever the clocks do, in the end each period says what plain arithmetic says of the data that are stored.

Random lives of a gateway: data come while its clocks are set, doubted, trusted and repaired, it is restarted, killed
and booted anew. What is held against it is computed from the raw data alone, by the timeline as it is in the end.
"""

import asyncio
import math
import random
import statistics
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from history_parts import DAY_S, GRACE_S, MIDNIGHT_UTC_S, Box, S, SetClock, packet, play

from edge.anchors import Span, Timeline
from edge.history.beats import GAP_NS, TOLD_WITHIN_NS
from edge.history.bounds import around, touched
from edge.store.sessions import Session
from edge.store.summaries import Summary
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement

STEP_MIN = 5
PAUSE_NS_MAX = 120 * S
RUN_TIME_H = 48


class Record(NamedTuple):
    minute: int
    value: float | None
    not_counted: str | None


class Wearing:
    """A session as its sensor knows it, and what the gateway has got of it."""

    def __init__(self, session: Session, true_start_s: float) -> None:
        self.session = session
        self.true_start_s = true_start_s
        self.got: set[int] = set()

    def minutes_until(self, true_s: float) -> range:
        told = math.floor(min(true_s - self.true_start_s, 3600 * RUN_TIME_H) / 60)
        return range(0, told + 1, STEP_MIN)

    @property
    def watermark(self) -> int:
        """Up to where everything is here."""
        minute = -STEP_MIN
        while minute + STEP_MIN in self.got:
            minute += STEP_MIN
        return max(minute, -1)


class Life:
    """One random life. `true_s` is the time that it really is, in seconds since `MIDNIGHT_UTC_S`."""

    def __init__(self, directory: Path, seed: int, *, clock_lies: bool) -> None:
        self.rng = random.Random(seed)
        self.clock_lies = clock_lies
        self.true_s = self.rng.uniform(0, DAY_S)
        self.boots = 1
        self.wearing: Wearing | None = None
        self.sessions = 0
        self.timelines: list[Timeline] = []
        self.final_days: dict[int, int] = {}  # to how many sessions were known when it was first final
        self.too_early: list[int] = []
        self.box = Box(directory, clock=self._clock())
        self.beat_s = 0.0

    def _clock(self) -> SetClock:
        self.boot_true_s = self.true_s
        is_trusted = self.rng.random() < 0.4
        return SetClock(0.0, self._wall_zero_s(is_trusted), 100 if is_trusted else None, f"boot-{self.boots}")

    def _wall_zero_s(self, is_trusted: bool) -> float:
        """What the wall clock shows at boot: what it likes, or nearly the truth where somebody vouches for it."""
        true_zero_s = MIDNIGHT_UTC_S + self.boot_true_s
        if is_trusted and not self.clock_lies:
            return true_zero_s
        off_s = self.rng.choice([0.0, 0.0, 0.3, 0.9, -0.9, 40.0, -3600.0, 7200.0, -DAY_S, 2 * DAY_S])
        return true_zero_s + off_s if is_trusted else self.rng.choice([0.0, true_zero_s + off_s])

    async def live(self, events: int) -> None:
        acts = [
            self.pass_time,
            self.pass_time,
            self.beat,
            self.beat,
            self.beat,
            self.wear,
            self.fetch,
            self.fetch,
            self.set_clock,
            self.be_told,
            self.restart,
            self.kill,
            self.reboot,
        ]
        await self.pass_time()
        for _ in range(events):
            await self.rng.choice(acts)()
            self.timelines.append(self.box.timekeeper.timeline)
            self.note_final_days()

    def note_final_days(self) -> None:
        final = [s for s in self.box.summaries("glucose_day") if s.status != "preliminary"]
        for summary in final:
            self.final_days.setdefault(summary.key.start_utc_s, self.sessions)

    async def pass_time(self) -> None:
        await self._pass_s(
            self.rng.choice([1.0, 20.0, 90.0, 400.0, 4000.0, 40_000.0]) * self.rng.uniform(0.5, 1)
        )

    async def _pass_s(self, seconds: float) -> None:
        self.true_s += seconds
        await self.box.at(self.true_s - self.boot_true_s)

    async def beat(self) -> None:
        """Half a minute of packets, of which some tell no interval, some no rate, and one is rubbish."""
        packets = []
        for _ in range(self.rng.randrange(1, 30)):
            ticks = tuple(self.rng.randrange(300, 1500) for _ in range(self.rng.choice([0, 1, 1, 1, 2])))
            pause_s = self.rng.choice([0.0, 0.0, 0.0, 0.0, 0.1, 0.3, 8.0])
            arrival_s = max(15.0, self.beat_s, self.true_s - self.boot_true_s) + sum(ticks) / 1024 + pause_s
            reading = HeartRateMeasurement(self.rng.randrange(40, 200), rr_ticks=ticks or None)
            packets.append(packet(arrival_s, reading, arrival_s - self.rng.choice([0.0, 0.0, 1.5])))
            self.beat_s = arrival_s
            self.true_s = self.boot_true_s + arrival_s
        if self.rng.random() < 0.1:
            packets[-1] = packets[-1]._replace(payload=b"")
        self.box.clock.boot_s = self.beat_s
        self.box.packets(*packets)

    async def wear(self) -> None:
        """A new sensor session; what the one before had not brought is lost."""
        self.sessions += 1
        started_s = self.true_s - self.rng.choice([0.0, 7200.0, DAY_S])
        start_boot_ns = round((started_s - self.boot_true_s) * S)
        placed = self.box.timekeeper.timeline.place(self.box.boot_no, start_boot_ns)
        known = placed is not None and placed.trusted and self.rng.random() < 0.7
        session = self.box.session(0, None, number=self.sessions, run_time_h=RUN_TIME_H)
        self.box.do(
            lambda tables: tables.sessions.update(session.no, start_boot_ns=start_boot_ns, start_utc_s=None)
        )
        if known and placed is not None and placed.error_ms is not None:
            start_s, error_ms = placed.utc_ns // S, placed.error_ms + 60_000
            self.box.change(session.no, start_utc_s=start_s, start_error_ms=error_ms)
        elif placed is not None and placed.trusted:
            self.box.periods._told.was_placed = True
        self.wearing = Wearing(session, started_s)

    async def fetch(self) -> None:
        """Some records come, the newest or the oldest that are missing."""
        wearing = self.wearing
        if wearing is None:
            return
        missing = [m for m in wearing.minutes_until(self.true_s) if m not in wearing.got]
        count = self.rng.choice([1, 1, 20, 300])
        part = missing[-count:] if self.rng.random() < 0.3 else missing[:count]
        if not part:
            return
        values = {m: self.rng.choice([None, 40.0, 100.0, math.inf, 250.0 + m % 7]) for m in part}
        reasons = {m: "low quality" for m in part if self.rng.random() < 0.1}
        wearing.got |= set(part)
        no = wearing.session.no
        session = self.box.store.tables.sessions.get(no)
        if session.start_error_ms is not None and session.start_utc_s is not None:
            days = {
                around("glucose_day", session.start_utc_s + 60 * m, self.box.periods._zone)[0] for m in part
            }
            # What a sensor brings that was worn before anybody knew of it could not be waited for.
            self.too_early += [day for day in days if self.final_days.get(day, 0) >= self.sessions]
        self.box.readings(session, values, reasons, watermark=wearing.watermark)

    async def set_clock(self) -> None:
        is_trusted = self.rng.random() < 0.5
        self.box.clock.zero_utc_s = self._wall_zero_s(is_trusted)
        self.box.clock.error_ms = self.rng.choice([100, 100, 5000]) if is_trusted else None
        await self._pass_s(5)

    async def be_told(self) -> None:
        off_s = self.rng.choice([0, 20, -7200]) if self.clock_lies else self.rng.uniform(-50, 50)
        utc_ns = round((MIDNIGHT_UTC_S + self.true_s + off_s) * S)
        boot_ns = round((self.true_s - self.boot_true_s) * S)
        self.box.timekeeper.suggest(utc_ns, boot_ns, self.rng.choice([60_000, 60_000, 4_000_000]), "cgm")
        await self._pass_s(5)

    async def restart(self) -> None:
        await self.box.store.drain()
        await asyncio.sleep(0)
        self.box.restart()
        await self._pass_s(1)

    async def kill(self) -> None:
        """What the store had not begun is lost."""
        self.box.timekeeper.poll()
        self.box.periods.close_due()
        self.box.restart()
        await self._pass_s(1)

    async def reboot(self) -> None:
        self.boots += 1
        self.true_s += 30
        self.box.store.close()
        self.box.clock = self._clock()
        self.beat_s = 0.0
        self.box.start()
        await self._pass_s(1)

    async def end(self) -> None:
        """The clock is right and trusted, the sensor is taken off, and all that is known is over."""
        if self.wearing is not None:
            self.box.end(self.wearing.session.no)
        self.box.clock.zero_utc_s = MIDNIGHT_UTC_S + self.boot_true_s
        self.box.clock.error_ms = 1
        await self._pass_s(60)
        self.timelines.append(self.box.timekeeper.timeline)
        await self._pass_s(4 * DAY_S)
        await self._pass_s(2 * GRACE_S)
        self.timelines.append(self.box.timekeeper.timeline)


# What must be in the end


def windows(box: Box) -> dict[int, dict[str, float | None]]:
    """Start of each window with heart data -> what its summary should say."""
    timeline = box.store.tables.boots.timeline()
    beats: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    rates: dict[int, dict[tuple[int, int], int]] = defaultdict(dict)
    for boot_no in box.store.tables.raw_chunks.boots(box.strap):
        if timeline.is_trusted(boot_no):
            _share_out(box, timeline, boot_no, beats, rates)
    return {
        start: _of_beats(beats[start]) if beats[start] else _of_rates(list(rates[start].values()))
        for start in {s for s in beats if beats[s]} | {s for s in rates if rates[s]}
    }


def _share_out(
    box: Box,
    timeline: Timeline,
    boot_no: int,
    beats: dict[int, list[tuple[float, bool]]],
    rates: dict[int, dict[tuple[int, int], int]],
) -> None:
    """Put each beat and each rate of a boot into its window."""

    def window(boot_ns: float) -> int:
        placed = timeline.place(boot_no, math.floor(boot_ns))
        assert placed is not None
        return placed.utc_ns // S // 300 * 300

    last_ns, last_window, newest_ns = -math.inf, None, -math.inf
    for chunk in box.store.tables.raw_chunks.between(box.strap, boot_no, 0, 1 << 60):
        for payload, arrival_ns, beat_ns in chunk.packets:
            if not payload:
                continue
            reading = heart_rate.decode(payload)
            start = window(arrival_ns)
            # By the second, counted from where the boot's part of the window begins.
            (span,) = [
                s
                for s in timeline.spans(start * S, (start + 300) * S)
                if s.boot_no == boot_no and s.from_boot_ns <= arrival_ns < s.to_boot_ns
            ]
            rates[start][boot_no, span.from_boot_ns + (arrival_ns - span.from_boot_ns) // S * S] = (
                reading.heart_rate_bpm
            )
            intervals = [ticks * 1000 / 1024 for ticks in reading.rr_ticks or ()]
            moments = [beat_ns - 1e6 * sum(intervals[n + 1 :]) for n in range(len(intervals))]
            for moment_ns, interval in zip(moments, intervals, strict=True):
                newest_ns = max(newest_ns, moment_ns)  # times never fall
                start = window(newest_ns)
                follows = start == last_window and moment_ns - 1e6 * interval - last_ns <= GAP_NS
                beats[start].append((interval, follows))
                last_ns, last_window = moment_ns, start


def _of_beats(beats: list[tuple[float, bool]]) -> dict[str, float | None]:
    rr = [interval for interval, _ in beats]
    differences = [b[0] - a[0] for a, b in pairwise(beats) if b[1]]
    return {
        "hr_mean_bpm": 60_000 / statistics.fmean(rr),
        "sdrr_ms": statistics.stdev(rr) if len(rr) > 1 else None,
        "rmssd_rr_ms": math.sqrt(statistics.fmean(d * d for d in differences)) if differences else None,
        "beats": len(rr),
        "coverage_pct": min(100.0, sum(rr) / 3000),
    }


def _of_rates(rates: list[int]) -> dict[str, float | None]:
    return {
        "hr_mean_bpm": statistics.fmean(rates),
        "sdrr_ms": None,
        "rmssd_rr_ms": None,
        "beats": 0,
        "coverage_pct": min(100.0, 100 * len(rates) / 300),
    }


def days(box: Box) -> dict[int, dict[str, float | None]]:
    """Start of each day with glucose that counts -> what its summary should say."""
    values: dict[int, list[float]] = defaultdict(list)
    for session in box.store.tables.sessions.of_sensor(box.cgm):
        if session.start_utc_s is None or session.start_error_ms is None:
            continue
        for reading in box.store.tables.readings.between(session.no, "glucose", -(1 << 40), 1 << 40):
            if reading.not_counted is None and reading.value is not None:
                day = (session.start_utc_s + reading.at_s) // DAY_S * DAY_S
                values[day].append(min(401.0, reading.value))
    return {
        day: {"readings": len(of_day), "mean_mg_dl": statistics.fmean(of_day)}
        for day, of_day in values.items()
    }


def check(summaries: list[Summary], expected: dict[int, dict[str, float | None]], empty: str) -> None:
    said = {s.key.start_utc_s: s for s in summaries}
    assert expected.keys() <= said.keys()
    for start, summary in said.items():
        assert summary.status in ("final", "amended")
        if start not in expected:
            assert (summary.status, summary.body[empty]) == ("amended", 0)
            continue
        for name, value in expected[start].items():
            assert summary.body[name] == (None if value is None else pytest.approx(value, abs=1e-6)), (
                start,
                name,
            )


def may_be_visited(life: Life) -> set[int]:
    """Windows that had data by some timeline, or lay next to some within a pause."""
    found: set[int] = set()
    box = life.box
    for timeline in life.timelines:
        for boot_no in box.store.tables.raw_chunks.boots(box.strap):
            for first_ns, last_ns in box.store.tables.raw_chunks.spans(box.strap, boot_no):
                near = Span(boot_no, first_ns - TOLD_WITHIN_NS - PAUSE_NS_MAX, last_ns + PAUSE_NS_MAX)
                for from_ns, to_ns in timeline.stretches(near):
                    found |= set(touched("heart_5min", from_ns // S, to_ns // S, box.periods._zone))
    return found


def play_a_life(directory: Path, seed: int, *, clock_lies: bool, events: int = 30) -> None:
    async def scenario() -> None:
        life = Life(directory, seed, clock_lies=clock_lies)
        await life.live(events)
        await life.end()
        box = life.box
        assert box.periods.parked == {}
        check(box.summaries("heart_5min"), windows(box), "beats")
        check(box.summaries("glucose_day"), days(box), "readings")
        assert box.dirty() == []
        assert {key.start_utc_s for key in box.closed if key.kind == "heart_5min"} <= may_be_visited(life)
        waiting = [boot_no for _, boot_no in box.store.tables.raw_chunks.unplaced()]
        assert not any(map(box.timekeeper.timeline.is_trusted, waiting))
        if not clock_lies:
            assert life.too_early == []
        counted = sum(
            reading.not_counted is None
            for session in box.store.tables.sessions.of_sensor(box.cgm)
            if session.start_error_ms is not None
            for reading in box.store.tables.readings.between(session.no, "glucose", -(1 << 40), 1 << 40)
        )
        assert sum(kind == "cgm_reading" for kind, *_ in box.delivered()) == counted
        box.store.close()

    play(scenario)


@pytest.mark.parametrize("clock_lies", [False, True])
def test_in_the_end_every_period_says_what_its_data_say(tmp_path: Path, clock_lies: bool) -> None:
    for seed in range(12):
        play_a_life(tmp_path / str(seed), seed, clock_lies=clock_lies)


@pytest.mark.soak
@pytest.mark.parametrize("clock_lies", [False, True])
@pytest.mark.parametrize("hundred", range(10))
def test_in_the_end_of_many_lives(tmp_path: Path, clock_lies: bool, hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        play_a_life(tmp_path / str(seed), seed, clock_lies=clock_lies, events=80)
