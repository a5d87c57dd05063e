"""The glucose summary of a local day, computed from the stored readings, and whether more readings can still come.

Contract: the time of a reading follows from the start of its session, which has to be trusted. Whether a reading counts
was decided when it was received. A reading beyond the sensor's scale counts as the value just beyond it. This module
writes nothing, and does not check whether the day is over.
"""

import math
from collections import Counter
from itertools import pairwise
from operator import itemgetter
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from dsp.arrays import as_f64
from dsp.glucose.ranges import glucose_stats
from edge.history.body import Body, Computed, number
from edge.history.bounds import Bounds, local_date
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.tables import Tables

MEASUREMENT: Final = "glucose"
# No CGM measures less often than this; longer steps are gaps.
STEP_S_MAX: Final = 900
# A record's number is its minute, in two octets: no record of a session can be later than this.
RUN_TIME_S_MAX: Final = 60 * 0xFFFF
# How long after a session's run time its records are still awaited.
GRACE_S: Final = 86_400
# Later than any run time ends.
NEVER_UTC_S: Final = 1 << 40


def compute(tables: Tables, sensor_no: int, bounds: Bounds, zone: ZoneInfo) -> Computed:
    """The metrics of the day, from the readings that are stored so far."""
    times_s, readings = _readings(tables, sensor_no, bounds)
    counted = [r.value for r in readings if r.not_counted is None and r.value is not None]
    stats = glucose_stats(as_f64(counted))
    steps_s = [later - earlier for earlier, later in pairwise(times_s) if later > earlier]
    length_s = bounds.end_utc_s - bounds.start_utc_s
    expected = length_s / min(median(steps_s), STEP_S_MAX) if steps_s else math.nan
    body: Body = {
        "date": local_date(bounds.start_utc_s, zone).isoformat(),
        **{name: number(value) for name, value in stats._asdict().items()},
        "readings": len(counted),
        "coverage_pct": number(min(100.0, 100.0 * len(counted) / expected)) if steps_s else None,
        "not_counted": dict(sorted(Counter(r.not_counted for r in readings if r.not_counted).items())),
    }
    return Computed(body, bool(counted))


def _readings(tables: Tables, sensor_no: int, bounds: Bounds) -> tuple[list[int], list[Reading]]:
    """The times of the day's readings, and the readings, in order of time, from all sessions."""
    found = [
        (session.start_utc_s + reading.at_s, session.number, reading)
        for session in tables.sessions.of_sensor(sensor_no)
        if session.start_utc_s is not None and session.start_error_ms is not None
        for reading in tables.readings.between(
            session.no,
            MEASUREMENT,
            bounds.start_utc_s - session.start_utc_s,
            bounds.end_utc_s - session.start_utc_s,
        )
    ]
    found.sort(key=itemgetter(0, 1))
    return [utc_s for utc_s, _, _ in found], [reading for _, _, reading in found]


def awaited_until_utc_s(tables: Tables, sensor_no: int, bounds: Bounds, now_utc_s: int) -> int | None:
    """Until when a record of the day may still come, if nothing happens before; None if none can come any more."""
    awaited = [
        _awaited_until_utc_s(tables, s, bounds)
        for s in tables.sessions.of_sensor(sensor_no)
        if s.ended is None
    ]
    return max((until for until in awaited if until is not None and until > now_utc_s), default=None)


def _awaited_until_utc_s(tables: Tables, session: Session, bounds: Bounds) -> int | None:
    """Until when a session may bring records of the day; None if it can bring none any more."""
    if session.start_utc_s is None or session.start_error_ms is None:
        # The session may have begun at any time. Once its start is known, this is called again.
        return NEVER_UTC_S
    run_time_s = RUN_TIME_S_MAX if session.run_time_h is None else 3600 * session.run_time_h
    has_passed = session.start_utc_s + _told_until_s(tables, session) >= bounds.end_utc_s
    return None if has_passed else session.start_utc_s + run_time_s + GRACE_S


def _told_until_s(tables: Tables, session: Session) -> int:
    """The second of the session up to which every record is stored or given up."""
    told = tables.readings.get(session.no, MEASUREMENT, session.watermark)
    if told is None:
        # The record at the watermark was given up. The newest stored record counts if it is earlier.
        newest = tables.readings.newest(session.no, MEASUREMENT)
        told = newest if newest is not None and newest.sequence <= session.watermark else None
    return 0 if told is None else told.at_s
