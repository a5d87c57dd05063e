"""The store jobs of a feed: writing its readings into weeks, and finding at the start how far it was read.

Contract: a week begins as a session with its first reading. Its UUID follows from the person, the address and the week,
so that a store that was lost gets the same ids again. A reading that is stored already is not changed. The newest week
is the current session; a week that is over ends when the next one begins, for then the feed has been read beyond it.
What is older and comes late is stored in its own week. `watermark` is the newest second of a week that was read.
"""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from edge.anchors import Timeline
from edge.feeds import entries
from edge.feeds.entries import WEEK_H, WEEK_S
from edge.history.periods import Periods
from edge.identity import Identity
from edge.now import wearers
from edge.store.door import Tables
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from edge.store.sessions import SUPERSEDED, Session

GLUCOSE: Final = "glucose"
# What may be one measurement is no further apart than this.
AROUND_S: Final = entries.INTERVAL_S_MAX


class Arrived(NamedTuple):
    """A reading and when its week began."""

    week_utc_s: int
    reading: Reading


class Written(NamedTuple):
    """The newest week of the feed, and what of it was new."""

    newest: Session | None
    new: list[Reading]
    is_begun: bool


def uuid_of(identity: Identity, row: SensorRow, week_utc_s: int) -> UUID:
    """The id of a week of a feed."""
    return identity.id("session", str(row.person), row.address, week_utc_s)


def write(
    tables: Tables,
    row: SensorRow,
    arrived: Sequence[Arrived],
    *,
    identity: Identity,
    periods: Periods,
    timeline: Timeline,
) -> Written:
    """Store readings, given in order of time."""
    new: list[Reading] = []
    before = newest(tables, row.no)
    for week_utc_s, group in groupby(arrived, key=lambda one: one.week_utc_s):
        session = _week(tables, row, week_utc_s, identity, periods)
        readings = [one.reading for one in group]
        held = _held(tables, row.no, week_utc_s, readings)
        new = periods.keep_readings(
            tables, session, GLUCOSE, entries.once(week_utc_s, readings, held), timeline
        )
        _move_watermark(tables, session, readings[-1].sequence, periods)
    after = newest(tables, row.no)
    is_begun = after is not None and (before is None or before.no != after.no)
    is_of_newest = after is not None and bool(arrived) and arrived[-1].week_utc_s == after.start_utc_s
    return Written(after, new if is_of_newest else [], is_begun)


def newest(tables: Tables, sensor_no: int) -> Session | None:
    """The newest week of a feed."""
    return max(tables.sessions.of_sensor(sensor_no), key=_begin_utc_s, default=None)


def read_until_ms(tables: Tables, sensor_no: int) -> int | None:
    """The stamp up to which the feed was read; None: never."""
    session = newest(tables, sensor_no)
    if session is None or session.start_utc_s is None:
        return None
    return 1000 * (session.start_utc_s + session.watermark) + 999


def _begin_utc_s(session: Session) -> int:
    assert session.start_utc_s is not None, "a week has a beginning"
    return session.start_utc_s


def _week(tables: Tables, row: SensorRow, week_utc_s: int, identity: Identity, periods: Periods) -> Session:
    weeks = tables.sessions.of_sensor(row.no)
    known = next((session for session in weeks if session.start_utc_s == week_utc_s), None)
    if known is not None:
        return known
    current = next((session for session in weeks if session.ended is None), None)
    begin = partial(
        tables.sessions.begin,
        row.no,
        uuid_of(identity, row, week_utc_s),
        told_start_utc_s=None,
        start_boot_no=None,
        start_boot_ns=None,
        start_utc_s=week_utc_s,
        start_error_ms=0,
        run_time_h=WEEK_H,
    )
    if any(_begin_utc_s(session) > week_utc_s for session in weeks):
        begun = begin(ended=SUPERSEDED)
    else:
        begun = begin()
        if current is not None:
            periods.session_changed(tables, current, tables.sessions.get(current.no))
    wearers.keep(tables, begun)
    return begun


def _held(tables: Tables, sensor_no: int, week_utc_s: int, readings: Sequence[Reading]) -> list[entries.Seen]:
    """What is stored around these, in their week and at the edges of its neighbours."""
    held = []
    from_s, to_s = readings[0].at_s - AROUND_S, readings[-1].at_s + AROUND_S + 1
    for session in tables.sessions.of_sensor(sensor_no):
        start_utc_s = _begin_utc_s(session)
        shift_s = start_utc_s - week_utc_s
        if abs(shift_s) <= WEEK_S:
            near = tables.readings.between(session.no, GLUCOSE, from_s - shift_s, to_s - shift_s)
            held += entries.seen(start_utc_s, near)
    return held


def _move_watermark(tables: Tables, session: Session, sequence: int, periods: Periods) -> None:
    if sequence > session.watermark:
        tables.sessions.update(session.no, watermark=sequence)
        periods.session_changed(tables, session, tables.sessions.get(session.no))
