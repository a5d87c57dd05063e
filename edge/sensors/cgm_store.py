"""The store jobs of a CGM: writing a session, and reading at the start of the gateway what is known of it.

Contract: an `Entry` is written as a whole or not at all. It names its session and holds all that is needed to begin
that session. So no entry depends on another one, and none is lost because another could not be written. The watermark
is computed from what the store has, in the transaction that stores the records that it moves over.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Final, NamedTuple

from edge.anchors import Timeline
from edge.history.periods import Periods
from edge.now import wearers
from edge.sensors import validity
from edge.sensors.cgm_identity import Beginning, Known
from edge.sensors.cgm_ledger import OFFSET_MAX, Loss, advance
from edge.sensors.validity import WARM_UP_MIN_MAX
from edge.store.door import Tables
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from edge.store.sessions import GivenUp, Session
from protocols import cgm_profile
from protocols.cgm import CgmMeasurement, OctetOrder
from protocols.cgm_profile import CgmProfile

GLUCOSE: Final = "glucose"
_OCTET_ORDER: Final = "octet_order"
_END_S: Final = 60 * (OFFSET_MAX + 1)
# How many of the newest records are searched for values: a sensor that fails sends records without values for long.
_LOOKED_THROUGH: Final = 300


class Entry(NamedTuple):
    """What is written at once.

    Attributes:
        beginning: that of the session. If the store does not have the session yet, it begins with this entry.
        readings: new ones.
        calibrations: what the sensor was calibrated by.
        given_up: what will not be asked for again.
        came_after_all: offsets of readings that had been given up.
        changes: fields of the session that are known better now.
        usual_min: the usual interval, by which the watermark moves; None where it is known that it cannot.
    """

    sensor_no: int
    beginning: Beginning
    readings: Sequence[Reading] = ()
    calibrations: Sequence[Reading] = ()
    given_up: Sequence[GivenUp] = ()
    came_after_all: Sequence[int] = ()
    changes: tuple[tuple[str, int | None], ...] = ()
    usual_min: float | None = None


class Written(NamedTuple):
    """The session after an entry, and all that is given up of it if that has changed."""

    session: Session
    given_up: list[GivenUp] | None


def write(tables: Tables, entry: Entry, periods: Periods, timeline: Timeline) -> Written:
    """Write an entry."""
    before = _begun(tables, entry, periods)
    _change(tables, before, dict(entry.changes))
    for note in entry.given_up:
        tables.sessions.give_up(before.no, *note)
    for offset_min in entry.came_after_all:
        tables.sessions.take_back(before.no, offset_min)
    if entry.readings:
        session = tables.sessions.get(before.no)
        periods.keep_readings(tables, session, GLUCOSE, entry.readings, timeline)
    tables.readings.insert(before.no, wearers.CALIBRATION, entry.calibrations)
    if entry.usual_min is not None:
        _move_watermark(tables, before, entry.usual_min)
    after = tables.sessions.get(before.no)
    if after != before:
        periods.session_changed(tables, before, after)
    is_given_up_changed = entry.given_up or entry.came_after_all
    return Written(after, tables.sessions.given_up(after.no) if is_given_up_changed else None)


def _begun(tables: Tables, entry: Entry, periods: Periods) -> Session:
    """The entry's session; if it has not begun yet it begins now, and the one before it is over."""
    former = tables.sessions.current(entry.sensor_no)
    if former is not None and former.uuid == entry.beginning.uuid:
        return former
    begun = tables.sessions.begin(entry.sensor_no, **entry.beginning._asdict())
    wearers.keep(tables, begun)
    for note in entry.given_up:
        if note.reason == Loss.OF_ANOTHER:
            # What is another person's is neither asked for nor missed.
            tables.sessions.update(begun.no, watermark=note.last)
            begun = tables.sessions.get(begun.no)
    if former is not None:
        periods.session_changed(tables, former, tables.sessions.get(former.no))
    return begun


def _change(tables: Tables, session: Session, changes: dict[str, int | None]) -> None:
    if session.start_error_ms is not None:
        # Its start has become trusted meanwhile, and readings are placed by it.
        changes.pop("start_utc_s", None)
    if changes:
        tables.sessions.update(session.no, **changes)


def _move_watermark(tables: Tables, session: Session, usual_min: float) -> None:
    above = tables.readings.between(session.no, GLUCOSE, 60 * (session.watermark + 1), _END_S)
    held = [reading.sequence for reading in above]
    given_up = tables.sessions.given_up(session.no)
    watermark = advance(session.watermark, held, given_up, usual_min)
    if watermark > session.watermark:
        tables.sessions.update(session.no, watermark=watermark)


class Stored(NamedTuple):
    """What the store knows of a sensor's session when the gateway starts."""

    session: Session
    beginning: Beginning
    offsets_min: list[int]
    given_up: list[GivenUp]
    values: dict[int, float]
    first_value_min: int | None


def load(tables: Tables, sensor_no: int) -> Stored | None:
    """The session that the sensor was in."""
    session = tables.sessions.current(sensor_no)
    return None if session is None else _stored(tables, session)


def load_former(tables: Tables, row: SensorRow) -> Stored | None:
    """The newest session that is known of a device, whoever wore it."""
    devices = [device.no for device in tables.sensors.all() if device.address == row.address]
    sessions = [session for no in devices for session in tables.sessions.of_sensor(no)]
    return _stored(tables, max(sessions, key=attrgetter("no"))) if sessions else None


def _stored(tables: Tables, session: Session) -> Stored:
    offsets = tables.readings.sequences(session.no, GLUCOSE)
    from_s = 60 * offsets[-_LOOKED_THROUGH:][0] if offsets else _END_S
    values = values_of(tables.readings.between(session.no, GLUCOSE, from_s, _END_S))
    early = values_of(tables.readings.between(session.no, GLUCOSE, 0, 60 * WARM_UP_MIN_MAX))
    return Stored(
        session,
        Beginning(*(getattr(session, name) for name in Beginning._fields)),
        offsets,
        tables.sessions.given_up(session.no),
        values,
        min(early, default=None),
    )


def known_of(stored: Stored) -> Known:
    """A session of the store, as far as the sensor may be known by it again."""
    return Known(stored.beginning, max(stored.offsets_min, default=None), stored.values)


def values_of(readings: Sequence[Reading]) -> dict[int, float]:
    """What was measured, by the offsets of the records."""
    return {reading.sequence: reading.value for reading in readings if reading.value is not None}


def load_profile(tables: Tables, sensor_no: int) -> CgmProfile:
    """How a device is read, as far as that was learned."""
    order = tables.sensors.trait(sensor_no, _OCTET_ORDER)
    return replace(cgm_profile.DEFAULT, octet_order=OctetOrder[order]) if order else cgm_profile.DEFAULT


def keep_profile(tables: Tables, sensor_no: int, profile: CgmProfile) -> None:
    tables.sensors.keep_trait(sensor_no, _OCTET_ORDER, profile.octet_order.name)


def reading_of(
    record: CgmMeasurement,
    profile: CgmProfile,
    *,
    first_value_min: int | None,
    boot_no: int,
    boot_ns: int,
) -> Reading:
    """A record as it is kept, and whether it counts."""
    quality_pct = validity.number(profile.quality_pct(record))
    reason = validity.why_not_counted(record, quality_pct=quality_pct, first_value_min=first_value_min)
    return Reading(
        sequence=record.time_offset_min,
        at_s=60 * record.time_offset_min,
        value=validity.glucose_mg_dl(record),
        trend=validity.number(record.trend_mg_dl_min),
        quality_pct=quality_pct,
        status=int(record.status),
        not_counted=reason.value if reason else None,
        boot_no=boot_no,
        boot_ns=boot_ns,
        fetched=False,
    )
