"""A strap's history, played as its packets came.

Contract: rate and contact are those of each packet as it came; rhythm and rest those of the chunks stored so far, as in
the gateway. A packet that changes nothing is not looked at: one whose rate lies between the same limits as the one
before, with nothing waiting to be held. That is most of them, and what is raised is the same.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from edge.alerts.board import LOOK_S
from edge.alerts.findings import LEVELS
from edge.alerts.rules import RULES
from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.config import Alerts
from edge.history.beats import Reader
from edge.now.known import Rest, SensorKnown, ValueKnown
from edge.now.rest import NIGHT
from edge.now.rhythm import night_bpm_of, take_stored
from edge.now.rhythm_state import DAY_S, RhythmState, Taken
from edge.sensors.heart_reading import rr_unit, why_not_counted
from edge.store.raw_chunks import HeartChunk
from edge.store.sensors import SensorRow
from edge.store.tables import Tables
from protocols.heart_rate import HeartRateMeasurement
from tools.analyse import kept
from tools.replay.cgm import STREAMING
from tools.replay.stage import Stage
from tools.replay.streams import Stream, Window

HEART_RATE: Final = "heart_rate"
# A night has been summarised an hour after it has ended.
NIGHT_OVER: Final = timedelta(hours=NIGHT[1].hour + 1)


def newest_utc_s(tables: Tables, stream: Stream, timeline: Timeline) -> float | None:
    """When the newest packet came."""
    found = []
    for row in stream.rows:
        newest = tables.raw_chunks.newest(row.no)
        placed = newest and timeline.place(newest.boot_no, newest.packets[-1].arrival_boot_ns)
        if placed:
            found.append(placed.utc_ns / NS_PER_S)
    return max(found, default=None)


def play(
    tables: Tables, stream: Stream, timeline: Timeline, window: Window, stage: Stage
) -> Iterator[float | None]:
    """Play it; after each chunk its wall time. It begins a day before the window."""
    begin_ns = round((window.begin_utc_s - DAY_S) * NS_PER_S)
    spans = timeline.spans(begin_ns, round(window.end_utc_s * NS_PER_S) + 1)
    boot_no, boot_ns = (spans[0].boot_no, spans[0].from_boot_ns) if spans else (-1, -1)
    source = _Source(stream, stage, timeline)
    for row in stream.rows:
        source.begin(tables, row)
        for chunk in kept.chunks(tables, row.no, boot_no, boot_ns):
            yield source.take(chunk)
    source.end()


class _Nights:
    """The night's heart rate of the wearer, as it was known on each day."""

    def __init__(self, tables: Tables, sensor_no: int, zone: ZoneInfo) -> None:
        self._tables = tables
        self._sensor_no = sensor_no
        self._zone = zone
        self._day: date | None = None

    def news(self, utc_s: float) -> float | None:
        """What is known now, if a night was over since the last time; nights to come are not known yet."""
        known = datetime.fromtimestamp(utc_s, self._zone) - NIGHT_OVER
        if known.date() == self._day:
            return None
        self._day = known.date()
        now_utc_s = int(known.timestamp())
        return night_bpm_of(self._tables, sensor_no=self._sensor_no, now_utc_s=now_utc_s, zone=self._zone)


class _Source:
    """What is known of one strap, as far as it has been played."""

    def __init__(self, stream: Stream, stage: Stage, timeline: Timeline) -> None:
        self._stream = stream
        self._stage = stage
        self._timeline = timeline
        self._edges = _edges([player.limits for player in stage.players])
        self._read = Reader().read
        self._newest: HeartRateMeasurement | None = None
        self._newest_s = -math.inf
        self._sort: object = None
        self._is_news = False  # the rhythm is another than at the last look
        self._state: RhythmState
        self._nights: _Nights
        self._upto_s = 0.0

    def begin(self, tables: Tables, row: SensorRow) -> None:
        """Another device."""
        self._state = RhythmState(rr_unit(tables, row.no))
        self._nights = _Nights(tables, row.no, self._stage.zone)

    def take(self, chunk: HeartChunk) -> float | None:
        """A chunk came, packet after packet; the wall time of its beginning."""
        first_ns = chunk.packets[0].arrival_boot_ns
        placed = self._timeline.place(chunk.boot_no, first_ns)
        utc_s = None if placed is None else placed.utc_ns / NS_PER_S
        stage, edges, read = self._stage, self._edges, self._read
        begin_s = stage.course.at_s(chunk.boot_no, first_ns, utc_s)
        self._pause(begin_s)
        taken: list[Taken] = []
        for payload, arrival_ns, last_beat_ns in chunk.packets:
            reading = read(payload)
            if reading is None:
                continue
            at_s = begin_s + (arrival_ns - first_ns) / NS_PER_S
            if stage.due_s < at_s:
                stage.wait(self.known, at_s)
            self._newest, self._newest_s = reading, at_s
            sort = bisect_right(edges, reading.heart_rate_bpm), reading.contact, reading.heart_rate_bpm == 0
            if sort != self._sort or self._is_news or stage.is_waiting:
                self._sort, self._is_news = sort, False
                stage.look(self.known, at_s)
            taken.append((arrival_ns, last_beat_ns, reading))
        stage.trace.heard.append((begin_s, self._newest_s))
        if utc_s is not None and (bpm := self._nights.news(utc_s)) is not None:
            self._state.resting.night_bpm = bpm
        take_stored(self._state, self._timeline, chunk, taken)
        self._is_news, self._upto_s = True, self._newest_s
        return utc_s

    def end(self) -> None:
        """Nothing follows."""
        self._pause(math.inf)

    def _pause(self, until_s: float) -> None:
        """If nothing comes for longer than that, everything is looked at all the same."""
        look_s = self._newest_s + LOOK_S
        if self._newest is None or until_s <= look_s:
            return
        self._stage.wait(self.known, look_s)
        self._stage.look(self.known, look_s)
        self._is_news = False

    def known(self, at_s: float) -> SensorKnown:
        """What the gateway would know at a moment."""
        newest, state, axis = self._newest, self._state, self._state.axis
        assert newest is not None, "something has come"
        now_s = None if axis is None else axis.of(state.upto_ns) + at_s - self._upto_s
        age_s = at_s - self._newest_s
        return SensorKnown(
            id=self._stream.sensor,
            kind=self._stream.rows[-1].kind,
            person=self._stream.person,
            phase=STREAMING,
            trouble=None,
            heard_age_s=age_s,
            worn=newest.contact,
            worn_age_s=None,
            warm_up_left_s=None,
            wear_left_s=None,
            battery_pct=None,
            rest=Rest.UNKNOWN if now_s is None else state.resting.at(now_s),
            values={HEART_RATE: ValueKnown(float(newest.heart_rate_bpm), age_s, why_not_counted(newest))},
            rhythm=None if now_s is None else state.known(now_s),
        )


def _edges(rules: Sequence[Alerts]) -> list[float]:
    """Between these, and not at them, all whole rates say the same to all rules."""
    found = set[float]()
    for limits in rules:
        for name in LEVELS:
            rule = RULES[name]
            assert rule.limit is not None
            sign, limit = (1.0 if rule.side == "below" else -1.0), getattr(limits, rule.limit)
            found |= {limit - 0.5 * sign, limit + sign * (rule.hysteresis - 0.5)}
    return sorted(found)
