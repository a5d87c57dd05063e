"""What the signal processing has learnt about a wearer's glucose by the beginning of a session, as the store has it.

Contract: pure functions of the store. What is learnt in a session begins with what was learnt in the wearer's former
one, whichever sensor that was of. It is written as a blob in the job that begins the session. If there is none, or
another version wrote it, it is computed from the sessions that are stored, which gives the same. So a result follows
from the records alone, however often the gateway was started. A session that is a week of a source that goes on has a
lead-in: what the source told in the last hours of the week before.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.glucose import realtime
from edge.kinds import KINDS, SessionIdentity
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.tables import Tables

KIND: Final = "glycaemia"
VERSION: Final = 1
GLUCOSE: Final = "glucose"
# What a person has calibrated the sensor by. One that the sensor rejected does not count.
CALIBRATION: Final = "calibration"
# After these the sensor's scale may have changed: what comes next does not go on from what came before.
CALIBRATIONS: Final = frozenset({NotCounted.CALIBRATING, NotCounted.UNCALIBRATED})
_EVER_S: Final = 1 << 40
# More than the signal processing looks back.
_LEAD_IN_S: Final = 3 * 3600


class Records(NamedTuple):
    """Records of a session in order: their offsets, their values, NaN for what does not count, and calibrations."""

    t_min: F64
    glucose_mg_dl: F64
    calibrations_min: list[float]


def value_of(reading: Reading) -> float:
    """What the signal processing is given of a record: infinite beyond the sensor's scale, NaN if it does not count.

    What another source tells as well is a value of this one, too: each goes on from its own records.
    """
    is_measured = reading.not_counted in (None, NotCounted.DUPLICATE)
    return reading.value if is_measured and reading.value is not None else np.nan


def minute_of(reading: Reading) -> float:
    """How many minutes after the beginning of its session a record was taken."""
    return reading.at_s / 60.0


def is_calibration(reading: Reading) -> bool:
    """Whether the sensor's scale may change with this record."""
    return reading.not_counted in CALIBRATIONS


def records(tables: Tables, session_no: int) -> Records:
    """What the store has of a session."""
    readings = tables.readings.between(session_no, GLUCOSE, -_EVER_S, _EVER_S)
    return records_of(readings, calibrations(tables, session_no))


def records_with_lead_in(tables: Tables, session: Session) -> Records:
    """The same, after what the source told just before; that has offsets below 0."""
    readings = tables.readings.between(session.no, GLUCOSE, -_EVER_S, _EVER_S)
    return records_of([*lead_in(tables, session), *readings], calibrations(tables, session.no))


def lead_in(tables: Tables, session: Session) -> list[Reading]:
    """What the source of a week told just before it, as seconds of this week."""
    begin_utc_s, row = session.start_utc_s, tables.sensors.get(session.sensor_no)
    if begin_utc_s is None or KINDS[row.kind].session is not SessionIdentity.WEEK:
        return []
    before: list[Reading] = []
    for former in tables.sessions.of_sensor(row.no):
        apart_s = begin_utc_s - (begin_utc_s if former.start_utc_s is None else former.start_utc_s)
        if apart_s > 0:
            late = tables.readings.between(former.no, GLUCOSE, apart_s - _LEAD_IN_S, apart_s)
            before += [reading._replace(at_s=reading.at_s - apart_s) for reading in late]
    return before


def records_of(readings: Sequence[Reading], calibrations_min: Iterable[int] = ()) -> Records:
    """Readings in order of time as records; `calibrations_min`: when a person has calibrated the sensor."""
    return Records(
        as_f64([minute_of(reading) for reading in readings]),
        as_f64([value_of(reading) for reading in readings]),
        sorted({minute_of(one) for one in readings if is_calibration(one)}.union(calibrations_min)),
    )


def calibrations(tables: Tables, session_no: int) -> list[int]:
    """The minutes of a session in which a person has calibrated the sensor."""
    made = tables.readings.between(session_no, CALIBRATION, -_EVER_S, _EVER_S)
    return [reading.sequence for reading in made if reading.not_counted is None]


def beginner(learnt: bytes | None) -> realtime.Wearer:
    """A wearer at the beginning of a session."""
    return realtime.new_wearer() if learnt is None else realtime.load(learnt)


def keep(tables: Tables, session: Session) -> None:
    """Write what is known at the beginning of a session."""
    keep_learnt(tables, session.no, learnt_before(tables, session))


def keep_learnt(tables: Tables, session_no: int, learnt: bytes) -> None:
    """Write what was computed of a session that had no blob of this version."""
    tables.blobs.put(KIND, session_no, VERSION, zlib.compress(learnt))


def kept(tables: Tables, session_no: int) -> bytes | None:
    """What the store has for the beginning of a session, if this version can read it."""
    found = tables.blobs.get(KIND, session_no)
    if found is None or found[0] != VERSION:
        return None
    try:
        learnt = zlib.decompress(found[1])
        realtime.load(learnt)
    except (zlib.error, ValueError):
        return None
    return learnt


def learnt_before(tables: Tables, session: Session) -> bytes:
    """What is known at the beginning of a session: kept, or computed from the wearer's former sessions."""
    chain, learnt = [session], kept(tables, session.no)
    while learnt is None and (former := _former(tables, chain[-1])) is not None:
        chain.append(former)
        learnt = kept(tables, former.no)
    wearer = beginner(learnt)
    for former in reversed(chain[1:]):
        t_min, glucose_mg_dl, _ = records(tables, former.no)
        realtime.follow(wearer, t_min, glucose_mg_dl)
        realtime.begin_session(wearer)
    return realtime.dump(wearer)


def _former(tables: Tables, session: Session) -> Session | None:
    """The newest earlier session of the wearer that is over."""
    person = tables.sensors.get(session.sensor_no).person
    worn = [
        row.no
        for row in tables.sensors.all()
        if row.person == person and GLUCOSE in KINDS[row.kind].measurements
    ]
    earlier = [
        former
        for no in worn
        for former in tables.sessions.of_sensor(no)
        if former.no < session.no and former.ended is not None
    ]
    return max(earlier, key=lambda former: former.no, default=None)
