"""One measurement that two sources tell is one: which of them counts. Functions of the store, called inside its jobs.

Contract: sources are sensors of one person that measure glucose all the time, taken away ones included. Of two that
tell one measurement the better one counts: an own connection before an advertisement, that before a feed, and of equals
the one that was here first. The other is kept, does not count, and is not sent. If the better one comes later, it takes
the place of the other: also upstream, where it goes under the id that the other had if that was sent already.

Two readings are one measurement if the sources tell the same sensor and are no further apart than half an interval. The
configuration may say which sources tell the same sensor (`same_as`) and which do not (`another_sensor`). Otherwise
their values decide: of the pairs of readings within `EVIDENCE_S` at least `AGREEING` must agree within `CLOSE_MG_DL`.
So two sensors worn at once stay two, although some of their values agree by chance.

    the other source is | has a reading that counts, half an interval away at most | the new reading
    --------------------|-----------------------------------------------------------|-----------------------------
    better              | yes                                                       | does not count
    better              | no                                                        | counts
    worse               | yes                                                       | counts, in place of the other
    worse               | no                                                        | counts

Each sensor has its own summary of a day, of the readings that count: each measurement is in one of them.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import Final, NamedTuple

from edge.config import SensorConfig
from edge.kinds import KINDS, Reach
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from edge.store.sessions import Session
from edge.store.tables import Tables

MEASUREMENT: Final = "glucose"
EVIDENCE_S: Final = 7200
AGREEING: Final = 0.6
CLOSE_MG_DL: Final = 2.0
# Few readings, or such with gaps, make a source look slower than it is.
INTERVAL_S_MIN, INTERVAL_S_MAX = 60, 300
RANK: Final[Mapping[Reach, int]] = {Reach.CONNECTION: 0, Reach.ADVERTISEMENT: 1, Reach.FEED: 2}


class Told(NamedTuple):
    """A reading on the axis of wall time, and whose it is."""

    utc_s: int
    value: float
    counts: bool
    session: Session
    reading: Reading


class Replaced(NamedTuple):
    """A reading that counted and does no longer, and the sequence of the one that takes its place."""

    sensor: SensorRow
    session: Session
    reading: Reading
    by_sequence: int


class Settled(NamedTuple):
    """Readings, marked, and those of others whose place they take."""

    readings: list[Reading]
    replaced: list[Replaced]


class Sources:
    """What the configuration says about which sources tell the same sensor."""

    def __init__(self, sensors: Sequence[SensorConfig]) -> None:
        self._same = {frozenset((one.id, one.same_as)) for one in sensors if one.same_as is not None}
        self._others = {one.id for one in sensors if one.another_sensor}

    def said(self, one: str, other: str) -> bool | None:
        """Whether two sensors are told by the configuration to be the same; None: it does not say."""
        if frozenset((one, other)) in self._same:
            return True
        return False if one in self._others or other in self._others else None

    def settle(
        self, tables: Tables, sensor: SensorRow, session: Session, readings: Sequence[Reading]
    ) -> Settled:
        """What counts of readings of a session that are about to be stored, or have just been placed."""
        settled = Settled(list(readings), [])
        if session.start_utc_s is None or not readings:
            return settled
        begin_s = session.start_utc_s
        from_s = begin_s + min(r.at_s for r in readings) - EVIDENCE_S
        to_s = begin_s + max(r.at_s for r in readings) + EVIDENCE_S
        for other in _others(tables, sensor):
            theirs = _told(tables, other, from_s, to_s)
            if not theirs:
                continue
            stored = _told(tables, sensor, from_s, to_s)
            known = {(one.session.no, one.reading.sequence) for one in stored}
            new = _placed(session, settled.readings)
            fresh = [one for one in new if (session.no, one.reading.sequence) not in known]
            own = sorted([*stored, *fresh], key=lambda one: one.utc_s)
            half_s = max(interval_s(own), interval_s(theirs)) / 2.0
            said = self.said(sensor.id, other.id)
            if said is None:
                said = may_be_same(sensor.kind, other.kind) and are_same(own, theirs, half_s)
            if said:
                settled = _judge(settled, sensor, session, other, theirs, half_s)
        return settled


def _others(tables: Tables, sensor: SensorRow) -> list[SensorRow]:
    """The other sources of the person, best first."""
    others = [
        row
        for row in tables.sensors.all()
        if row.no != sensor.no and row.person == sensor.person is not None and is_source(row.kind)
    ]
    return sorted(others, key=rank)


def is_source(kind: str) -> bool:
    """Whether sensors of a kind measure glucose all the time."""
    return MEASUREMENT in KINDS[kind].measurements and KINDS[kind].stays


def may_be_same(kind: str, other: str) -> bool:
    """Whether sources of two kinds may tell of one sensor. Two that the gateway reads itself in one way are two."""
    reach = KINDS[kind].reach
    return reach is Reach.FEED or reach is not KINDS[other].reach


def rank(row: SensorRow) -> tuple[int, int]:
    """Which source goes before which: the smaller."""
    return RANK[KINDS[row.kind].reach], row.no


def _told(tables: Tables, row: SensorRow, from_utc_s: int, to_utc_s: int) -> list[Told]:
    """What a source has told of a time, in order."""
    found: list[Told] = []
    for session in tables.sessions.of_sensor(row.no):
        start_s = session.start_utc_s
        if start_s is not None and session.start_error_ms is not None:
            near = tables.readings.between(session.no, MEASUREMENT, from_utc_s - start_s, to_utc_s - start_s)
            found += _placed(session, near)
    return sorted(found, key=lambda one: one.utc_s)


def _placed(session: Session, readings: Iterable[Reading]) -> list[Told]:
    assert session.start_utc_s is not None
    return [
        Told(session.start_utc_s + one.at_s, one.value, one.not_counted is None, session, one)
        for one in readings
        if one.value is not None and one.not_counted in (None, NotCounted.DUPLICATE)
    ]


def interval_s(told: Sequence[Told]) -> float:
    """How often a source tells something."""
    steps_s = [b.utc_s - a.utc_s for a, b in pairwise(told)]
    usual_s = median(steps_s) if steps_s else INTERVAL_S_MAX
    return min(INTERVAL_S_MAX, max(INTERVAL_S_MIN, usual_s))


def are_same(own: Sequence[Told], theirs: Sequence[Told], half_s: float) -> bool:
    """Whether the values of two sources show that they tell one sensor."""
    pairs = [(one.value, other.value) for one in own if (other := _nearest(theirs, one.utc_s, half_s))]
    return agree(pairs)


def agree(pairs: Sequence[tuple[float, float]]) -> bool:
    """Whether so many of the values agree that one sensor measured both; few must agree all."""
    agreeing = sum(a == b or abs(a - b) <= CLOSE_MG_DL for a, b in pairs)
    return agreeing > 0 and agreeing >= (AGREEING * len(pairs) if len(pairs) > 2 else len(pairs))


def _nearest(told: Sequence[Told], utc_s: int, half_s: float) -> Told | None:
    place = bisect_left(told, utc_s, key=lambda one: one.utc_s)
    near = [one for one in told[max(0, place - 1) : place + 1] if abs(one.utc_s - utc_s) <= half_s]
    return min(near, key=lambda one: abs(one.utc_s - utc_s), default=None)


def _judge(
    settled: Settled,
    sensor: SensorRow,
    session: Session,
    other: SensorRow,
    theirs: Sequence[Told],
    half_s: float,
) -> Settled:
    """Of two sources of one sensor the better one counts."""
    counting = [one for one in theirs if one.counts]
    if rank(other) < rank(sensor):
        return Settled([_after(one, session, counting, half_s) for one in settled.readings], settled.replaced)
    own = [one for one in _placed(session, settled.readings) if one.counts]
    replaced = [
        Replaced(other, one.session, one.reading, by.reading.sequence)
        for one in counting
        if (by := _nearest(own, one.utc_s, half_s)) is not None
    ]
    return Settled(settled.readings, [*settled.replaced, *replaced])


def _after(reading: Reading, session: Session, better: Sequence[Told], half_s: float) -> Reading:
    """A reading of the worse of two sources."""
    assert session.start_utc_s is not None
    if reading.not_counted is not None or reading.value is None:
        return reading
    if _nearest(better, session.start_utc_s + reading.at_s, half_s) is None:
        return reading
    return reading._replace(not_counted=NotCounted.DUPLICATE.value)


def known_pairs(tables: Tables, rows: Sequence[SensorRow]) -> Iterator[tuple[str, str, bool]]:
    """Of each two sources of a person that are in use: whether the newest time that both tell of shows one sensor."""
    sources = [row for row in rows if is_source(row.kind)]
    for one, other in combinations(sources, 2):
        if one.person != other.person:
            continue
        newest_s = [_newest_utc_s(tables, row) for row in (one, other)]
        until_s = min((s for s in newest_s if s is not None), default=0) if None not in newest_s else 0
        span = until_s - EVIDENCE_S, until_s + INTERVAL_S_MAX
        own, theirs = _told(tables, one, *span), _told(tables, other, *span)
        if own and theirs:
            half_s = max(interval_s(own), interval_s(theirs)) / 2.0
            yield one.id, other.id, are_same(own, theirs, half_s)


def _newest_utc_s(tables: Tables, row: SensorRow) -> int | None:
    """When a source told something last."""
    found = [
        session.start_utc_s + newest.at_s
        for session in tables.sessions.of_sensor(row.no)
        if session.start_utc_s is not None and session.start_error_ms is not None
        if (newest := tables.readings.newest(session.no, MEASUREMENT)) is not None
    ]
    return max(found, default=None)
