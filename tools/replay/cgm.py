"""The history of a CGM or a feed, played as its readings came: what was told of each at once, and what came late.

Contract: a reading that came live is a value from its arrival on; a late one only changes what follows from those
before. Both go into the state that the gateway has of a session, and a session that has to be computed anew is so as
long after the late ones as in the gateway.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.kinds import KINDS, SessionIdentity
from edge.now import wearers
from edge.now.glycaemia import DEBOUNCE_S
from edge.now.glycaemia_state import GlycaemiaState
from edge.now.known import Rest, SensorKnown, ValueKnown
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.tables import Tables
from tools.analyse.kept import EVER_S
from tools.replay.stage import Stage
from tools.replay.streams import Stream, Window

STREAMING: Final = "streaming"
ANOTHER: Final = "another source"


class Arrival(NamedTuple):
    """A reading, the session it is of, and the wall time at which it came, if anybody knows that."""

    session: Session
    reading: Reading
    utc_s: float | None


def newest_utc_s(tables: Tables, stream: Stream, _: Timeline) -> float | None:
    """When the newest reading was taken."""
    found = [
        session.start_utc_s + newest.at_s
        for session in _sessions(tables, stream)
        if session.start_utc_s is not None
        and (newest := tables.readings.newest(session.no, wearers.GLUCOSE)) is not None
    ]
    return max(found, default=None)


def play(
    tables: Tables, stream: Stream, timeline: Timeline, window: Window, stage: Stage
) -> Iterator[float | None]:
    """Play it; after each arrival its wall time."""
    source = _Source(tables, stream, stage)
    found = _arrivals(tables, stream, timeline, window)
    for (boot_no, boot_ns), group in groupby(found, key=_moment):
        arrivals = list(group)
        utc_s = arrivals[0].utc_s
        source.take(arrivals, stage.course.at_s(boot_no, boot_ns, utc_s))
        yield utc_s
    source.end()


def _moment(arrival: Arrival) -> tuple[int, int]:
    return arrival.reading.boot_no, arrival.reading.boot_ns


def _sessions(tables: Tables, stream: Stream) -> list[Session]:
    return [session for row in stream.rows for session in tables.sessions.of_sensor(row.no)]


def _arrivals(tables: Tables, stream: Stream, timeline: Timeline, window: Window) -> list[Arrival]:
    """The readings of all sessions that reach into the window, in the order in which they came."""
    found: list[Arrival] = []
    for session in _sessions(tables, stream):
        readings = tables.readings.between(session.no, wearers.GLUCOSE, -EVER_S, EVER_S)
        if not readings:
            continue
        start_utc_s = session.start_utc_s
        if start_utc_s is not None and start_utc_s + readings[-1].at_s < window.begin_utc_s:
            continue
        found.extend(Arrival(session, one, _came_utc_s(session, one, timeline)) for one in readings)
    return sorted(found, key=lambda one: (*_moment(one), one.session.no, one.reading.sequence))


def _came_utc_s(session: Session, reading: Reading, timeline: Timeline) -> float | None:
    """When it came: of a boot that was forgotten since, live readings say it by when they were taken."""
    placed = timeline.place(reading.boot_no, reading.boot_ns)
    if placed is not None:
        return placed.utc_ns / NS_PER_S
    return None if session.start_utc_s is None or reading.fetched else session.start_utc_s + reading.at_s


class _Source:
    """What is known of one CGM, as far as it has been played."""

    def __init__(self, tables: Tables, stream: Stream, stage: Stage) -> None:
        self._tables = tables
        self._stream = stream
        self._stage = stage
        self._session: Session | None = None
        self._state = GlycaemiaState(None)
        self._start_s = 0.0  # when the session began
        self._calibrations: list[int] = []  # minutes of the session, those that are still to come
        self._newest: Reading | None = None
        self._newest_s = -math.inf  # when the newest live value was taken
        self._anew_s = math.inf  # when the session is computed anew

    def take(self, arrivals: Sequence[Arrival], at_s: float) -> None:
        """What came at one moment: all of it is known before anything is told."""
        self._anew(at_s)
        self._stage.wait(self.known, at_s)
        for session, reading, utc_s in arrivals:
            self._start(session, reading, utc_s, at_s)
            while self._calibrations and self._calibrations[0] <= reading.sequence:
                self._state.calibrate(self._calibrations.pop(0))
            value, is_calibration = wearers.value_of(reading), wearers.is_calibration(reading)
            if self._state.add(wearers.minute_of(reading), value, is_calibration=is_calibration):
                self._anew_s = min(self._anew_s, at_s + DEBOUNCE_S)
            if not math.isnan(value):
                self._stage.trace.add(self._taken_s(reading, at_s), value)
        for _, reading, _ in arrivals:
            taken_s = self._taken_s(reading, at_s)
            is_told = not reading.fetched and reading.not_counted != NotCounted.SENT_TWICE
            if is_told and reading.value is not None and taken_s >= self._newest_s:
                self._newest, self._newest_s = reading, taken_s
                self._stage.look(self.known, at_s)

    def end(self) -> None:
        """Nothing follows."""
        self._anew(math.inf)

    def _anew(self, until_s: float) -> None:
        due_s = self._anew_s
        if due_s >= until_s or math.isinf(due_s):
            return
        self._stage.wait(self.known, due_s)
        self._state = GlycaemiaState(self._state.learnt, self._state.records)
        self._anew_s = math.inf
        if self._newest is not None:
            self._stage.look(self.known, due_s)

    def _start(self, session: Session, reading: Reading, utc_s: float | None, at_s: float) -> None:
        """Note when the session began, which may be known better than before."""
        if self._session is None or session.no != self._session.no:
            learnt = wearers.learnt_before(self._tables, session)
            lead_in = wearers.lead_in(self._tables, session)
            self._state = GlycaemiaState(learnt, wearers.records_of(lead_in) if lead_in else None)
            self._calibrations = wearers.calibrations(self._tables, session.no)
            self._anew_s = math.inf
            self._start_s = at_s - reading.at_s
        self._session = session
        if session.start_boot_no == reading.boot_no and session.start_boot_ns is not None:
            self._start_s = at_s - (reading.boot_ns - session.start_boot_ns) / NS_PER_S
        elif utc_s is not None and session.start_utc_s is not None:
            self._start_s = at_s - (utc_s - session.start_utc_s)

    def _taken_s(self, reading: Reading, at_s: float) -> float:
        return min(at_s, self._start_s + reading.at_s)

    @property
    def _is_covered(self) -> bool:
        """Whether another source told the newest value, and stood for this one."""
        return self._newest is not None and self._newest.not_counted == NotCounted.DUPLICATE

    def known(self, at_s: float) -> SensorKnown:
        """What the gateway would know at a moment."""
        values, session, row = {}, self._session, self._stream.rows[-1]
        assert session is not None, "something has come"
        if self._newest is not None and self._newest.value is not None:
            age_s = max(0.0, at_s - self._newest_s)
            values[wearers.GLUCOSE] = ValueKnown(self._newest.value, age_s, self._newest.not_counted)
        is_worn = KINDS[row.kind].session is SessionIdentity.SENSOR
        run_s = 3600.0 * session.run_time_h if is_worn and session.run_time_h is not None else None
        return SensorKnown(
            id=self._stream.sensor,
            kind=row.kind,
            person=self._stream.person,
            phase=STREAMING,
            trouble=None,
            heard_age_s=0.0,
            worn=None,
            worn_age_s=None,
            warm_up_left_s=None,
            wear_left_s=None if run_s is None else run_s - (at_s - self._start_s),
            battery_pct=None,
            rest=Rest.UNKNOWN,
            values=values,
            glucose=self._state.known(at_s - self._start_s),
            covered_by=ANOTHER if self._is_covered else None,
        )
