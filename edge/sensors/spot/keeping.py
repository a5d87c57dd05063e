"""The store jobs of a device that delivers: each measurement is stored once, whatever is delivered how often.

Contract: an entry is stored as a whole or not at all, and holds all that is needed to begin its session. What a device
delivers again is known by its own number or time stamp and by its values, in whichever session it was stored; never by
our clock. A number that stands for something else begins a new session: the device counts from the start again.

    the key of a reading in its session | of
    ------------------------------------|---------------------------------------------------------------------------
    the device's number                 | what has one
    `SLOTS` times the seconds since the | what has a time stamp; two different measurements of one second lie in
    start, by the device's clock        | different slots
    milliseconds since boot             | what arrives without either

The watermark, of devices that number their records: every number up to it was delivered and is stored. While records
come in ascending order it follows them, one behind, as what belongs to a record comes after it; otherwise it moves when
all were reported.
"""

from collections.abc import Collection, Sequence
from math import isclose
from typing import Final, NamedTuple
from uuid import UUID

from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.history.periods import Periods
from edge.sensors.spot.epochs import Epoch
from edge.sensors.spot.measured import Value
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.tables import Tables

SLOTS: Final = 16
_NS_PER_MS: Final = 1_000_000


class Move(NamedTuple):
    """The watermark goes from one number to another, if it is where it is thought to be."""

    old: int
    new: int


class Entry(NamedTuple):
    """What is stored at once: the values of one measurement, or of one part of it.

    Attributes:
        epoch: that of its time; the session begins with the first entry of it.
        spare: the uuid of the session that begins if the device numbers anew.
        stamp_s: by the device's clock.
        received_boot_ns: when it came.
        move: what is known of earlier numbers.
    """

    sensor_no: int
    epoch: Epoch
    spare: UUID
    values: tuple[Value, ...]
    stamp_s: int | None
    number: int | None
    status: int
    boot_no: int
    received_boot_ns: int
    fetched: bool
    move: Move | None = None


class Kept(NamedTuple):
    """Whether it was new, and the watermark."""

    is_new: bool
    watermark: int


def keep(tables: Tables, entry: Entry, periods: Periods, timeline: Timeline) -> Kept:
    """Store an entry, unless it is stored."""
    sessions = tables.sessions.of_sensor(entry.sensor_no)
    values = tuple(
        value
        for value in entry.values
        if not any(_holds(tables, session, entry, value) for session in sessions)
    )
    if values:
        entry = entry._replace(values=values)
        session = _session(tables, sessions, entry)
        sequence = _free_sequence(tables, session, entry)
        for value in values:
            reading = _reading(entry, session, value, sequence)
            periods.keep_readings(tables, session, value.measurement, [reading], timeline)
        _correct(tables, session, entry, periods)
    newest = tables.sessions.of_sensor(entry.sensor_no)[-1]
    move = entry.move
    if move is not None and newest.watermark == move.old and _is_stored(tables, sessions, move.new):
        tables.sessions.update(newest.no, watermark=move.new)
    return Kept(bool(values), watermark(tables, entry.sensor_no))


def complete(tables: Tables, sensor_no: int, numbers: Collection[int]) -> int:
    """All records were reported, and these came: move the watermark over them if they are stored; where it is."""
    sessions = tables.sessions.of_sensor(sensor_no)
    if numbers and all(_is_stored(tables, sessions, number) for number in numbers):
        newest = sessions[-1]
        tables.sessions.update(newest.no, watermark=max(newest.watermark, *numbers, -1))
    return watermark(tables, sensor_no)


def watermark(tables: Tables, sensor_no: int) -> int:
    """Up to which number everything is stored; -1 before the first."""
    sessions = tables.sessions.of_sensor(sensor_no)
    return sessions[-1].watermark if sessions else -1


def epochs_of(tables: Tables, sensor_no: int) -> list[Epoch]:
    """The epochs that the store knows of a device."""
    return [
        Epoch(
            session.uuid,
            session.told_start_utc_s,
            session.start_boot_no,
            session.start_boot_ns,
            None if session.start_error_ms is None else session.start_utc_s,
        )
        for session in tables.sessions.of_sensor(sensor_no)
        if session.start_boot_no is not None and session.start_boot_ns is not None
    ]


# Is it stored?


def _holds(tables: Tables, session: Session, entry: Entry, value: Value) -> bool:
    """Whether a session has this value of the entry already."""
    told_s, stamp_s = session.told_start_utc_s, entry.stamp_s
    if entry.number is not None:
        stored = tables.readings.get(session.no, value.measurement, entry.number)
        if stored is None or not _is_equal(stored.value, value.value):
            return False
        return told_s is None or stamp_s is None or told_s + stored.at_s == stamp_s
    if told_s is None or stamp_s is None:
        return False
    at_s = stamp_s - told_s
    of_second = tables.readings.between(session.no, value.measurement, at_s, at_s + 1)
    return any(_is_equal(stored.value, value.value) for stored in of_second)


def _is_equal(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else isclose(one, other, rel_tol=1e-9)


def _is_stored(tables: Tables, sessions: Sequence[Session], number: int) -> bool:
    return any(
        tables.readings.get(session.no, measurement, number) is not None
        for session in reversed(sessions)
        for measurement in tables.readings.measurements(session.no)
    )


# Where it goes


def _session(tables: Tables, sessions: Sequence[Session], entry: Entry) -> Session:
    """The session of the entry's epoch, begun if it is not there; another if its number is taken there."""
    epoch = entry.epoch
    base = next((session for session in sessions if session.uuid == epoch.uuid), None)
    if base is None:
        carried = sessions[-1].watermark if sessions else -1
        return _begin(tables, entry, epoch.uuid, carried)
    # The newest session of the epoch: one more for each time that the device has begun to count anew.
    told_s = base.told_start_utc_s
    session = [one for one in sessions if one.number >= base.number and one.told_start_utc_s == told_s][-1]
    is_taken = entry.number is not None and any(
        tables.readings.get(session.no, value.measurement, entry.number) is not None for value in entry.values
    )
    return _begin(tables, entry, entry.spare, -1) if is_taken else session


def _begin(tables: Tables, entry: Entry, uuid: UUID, carried: int) -> Session:
    epoch = entry.epoch
    session = tables.sessions.begin(
        entry.sensor_no,
        uuid,
        told_start_utc_s=epoch.shows_s,
        start_boot_no=epoch.boot_no,
        start_boot_ns=epoch.boot_ns,
        start_utc_s=None,
        start_error_ms=None,
        run_time_h=None,
    )
    tables.sessions.update(session.no, watermark=carried)
    return tables.sessions.get(session.no)


def _correct(tables: Tables, session: Session, entry: Entry, periods: Periods) -> None:
    """A newer stamp over the same link has shown that the epoch began earlier than was reckoned."""
    epoch, before = entry.epoch, tables.sessions.get(session.no)
    if (epoch.boot_no, epoch.boot_ns) == (before.start_boot_no, before.start_boot_ns):
        return
    if epoch.boot_no == before.start_boot_no and epoch.uuid == before.uuid:
        moved_s = round((epoch.boot_ns - (before.start_boot_ns or 0)) / NS_PER_S)
        start_utc_s = None if before.start_utc_s is None else before.start_utc_s + moved_s
        tables.sessions.update(before.no, start_boot_ns=epoch.boot_ns, start_utc_s=start_utc_s)
        periods.session_changed(tables, before, tables.sessions.get(before.no))


def _free_sequence(tables: Tables, session: Session, entry: Entry) -> int:
    """The key of the entry's readings."""
    if entry.number is not None:
        return entry.number
    told_s = session.told_start_utc_s
    if told_s is None or entry.stamp_s is None:
        sequence, last = entry.received_boot_ns // _NS_PER_MS, None
    else:
        sequence = SLOTS * (entry.stamp_s - told_s)
        last = sequence + SLOTS - 1
    while sequence != last and any(
        tables.readings.get(session.no, value.measurement, sequence) is not None for value in entry.values
    ):
        sequence += 1
    return sequence


def _reading(entry: Entry, session: Session, value: Value, sequence: int) -> Reading:
    told_s = session.told_start_utc_s
    if told_s is None or entry.stamp_s is None:
        at_s = (entry.received_boot_ns - (session.start_boot_ns or 0)) // NS_PER_S
    else:
        at_s = entry.stamp_s - told_s
    return Reading(
        sequence=sequence,
        at_s=at_s,
        value=value.value,
        trend=None,
        quality_pct=None,
        status=entry.status,
        not_counted=value.not_counted.value if value.not_counted else None,
        boot_no=entry.boot_no,
        boot_ns=entry.received_boot_ns,
        fetched=entry.fetched,
    )
