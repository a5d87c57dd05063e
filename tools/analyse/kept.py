"""What a gateway that is stopped has kept, as recordings: its store is only read, and no gateway starts meanwhile.

A recording is of one sensor and its wearer, named `PSEUDONYM/SENSOR`. What came before a wall time was known for it is
left out and counted. The signal processing is not repeated here: that is in `glucose` and `rr`.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from dsp.arrays import as_f64
from dsp.glucose import realtime
from dsp.glucose.realtime import Live
from edge import identity, workers
from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.config import DATABASE_NAME, KEY_NAME
from edge.errors import ConfigError
from edge.history.beats import Beats, Reader
from edge.kinds import KINDS, Procedure
from edge.lock import is_locked, lock
from edge.now import wearers
from edge.sensors.heart_reading import rr_unit
from edge.sensors.sources import is_source
from edge.store.door import Store, Tables
from edge.store.raw_chunks import NO_BEAT, NS_PER_US, HeartChunk
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from edge.store.sessions import Session
from tools.analyse.glucose_csv import Row

EVER_S = 1 << 40
CHUNKS_MAX = 500


class Kept(NamedTuple):
    """One sensor's readings, what was said of each when it came, and how many have no wall time."""

    id: str
    rows: list[Row]
    said: list[Live]
    unplaced: int


class Worn(NamedTuple):
    """One strap's beats on one axis: seconds since the first, intervals, and what follows."""

    id: str
    t_s: list[float]
    rr_ms: list[float]
    follows: list[float]


@contextmanager
def opened(
    directory: Path,
    key_file: Path | None,
    named: str = "--store",
    remedy: str = "give the gateway's state_dir",
) -> Iterator[Tables]:
    """The tables of a state directory; `named` and `remedy` say where it was named, and what to do if it is wrong.

    Raises:
        ConfigError: it holds no store, a gateway runs on it, or the key does not fit.
        StoreCorrupt, StoreUnavailable: it cannot be read.
    """
    database = directory / DATABASE_NAME
    if not database.is_file():
        raise ConfigError(named, f"{directory} holds no store", remedy)
    if not os.access(directory, os.W_OK):  # the database makes files beside it while it is open
        raise ConfigError(named, f"{directory} cannot be used", "ask as the user of the gateway")
    if is_locked(directory):
        raise ConfigError(named, f"a gateway is running on {directory}", "stop it while this runs")
    held = lock(directory)
    try:
        key = key_file or directory / KEY_NAME
        store = Store(database, identity.load(key, database), simulated=None, workers=workers.inline())
        try:
            yield store.tables
        finally:
            store.close()
    finally:
        os.close(held)


def _name(row: SensorRow) -> str:
    return f"{row.person or 'unknown'}/{row.id}"


STRAPS: Final = (Procedure.HEART_STRAP, Procedure.POLAR)
"""What is said to those that send the intervals between beats."""


def sensors(tables: Tables, *procedures: Procedure) -> list[SensorRow]:
    """The devices of some kinds, those that were taken away included."""
    return [row for row in tables.sensors.all() if KINDS[row.kind].procedure in procedures]


def glucose(tables: Tables, timezone: str | None) -> list[Kept]:
    """The readings of each CGM and feed.

    What is said of them goes on from what was learnt in the wearer's former sessions.
    """
    zone = ZoneInfo(timezone or "UTC")
    found = []
    for row in (row for row in tables.sensors.all() if is_source(row.kind)):
        kept = Kept(_name(row), [], [], 0)
        for session in tables.sessions.of_sensor(row.no):
            kept = _with_session(tables, kept, session, zone)
        if kept.rows:
            found.append(kept)
    return found


def _with_session(tables: Tables, kept: Kept, session: Session, zone: ZoneInfo) -> Kept:
    readings = tables.readings.between(session.no, wearers.GLUCOSE, -EVER_S, EVER_S)
    if session.start_utc_s is None:
        return kept._replace(unplaced=kept.unplaced + len(readings))
    wearer = wearers.beginner(wearers.learnt_before(tables, session))
    t_min, glucose_mg_dl, _ = wearers.records_with_lead_in(tables, session)
    said = realtime.follow(wearer, t_min, glucose_mg_dl)[t_min.size - len(readings) :]
    kept.rows.extend(_row(kept.id, reading, session.start_utc_s, zone) for reading in readings)
    kept.said.extend(Live._make(row) for row in said.tolist())
    return kept


def _row(name: str, reading: Reading, start_utc_s: int, zone: ZoneInfo) -> Row:
    utc_s = start_utc_s + reading.at_s
    moment = datetime.fromtimestamp(utc_s, UTC).astimezone(zone)
    offset = moment.utcoffset()
    assert offset is not None, "the zone says it"
    # What another source tells as well is in its rows.
    value = wearers.value_of(reading) if reading.not_counted is None else math.nan
    return Row(name, moment.isoformat(), utc_s / 60.0, offset.total_seconds() / 60.0, value)


def heart(tables: Tables) -> list[Worn]:
    """The beats of each strap, boot after boot."""
    timeline = tables.boots.timeline()
    worn = [_beats(tables, timeline, row) for row in sensors(tables, *STRAPS)]
    return [one for one in worn if one is not None]


def _beats(tables: Tables, timeline: Timeline, row: SensorRow) -> Worn | None:
    worn, begin_ns = Worn(_name(row), [], [], []), None
    for boot_no, beats in _of_boots(tables, row.no):
        if not beats.t_ns:
            continue
        placed = timeline.place(boot_no, int(beats.t_ns[0]))
        assert placed is not None, "each boot has an anchor"
        begin_ns = placed.utc_ns if begin_ns is None else begin_ns
        # Boots follow each other, whatever the clock showed.
        first_s = max((placed.utc_ns - begin_ns) / NS_PER_S, worn.t_s[-1] if worn.t_s else 0.0)
        worn.t_s.extend(((as_f64(beats.t_ns) - beats.t_ns[0]) / NS_PER_S + first_s).tolist())
        worn.rr_ms.extend(beats.rr_ms)
        worn.follows.extend(beats.follows)
    return worn if worn.t_s else None


def _of_boots(tables: Tables, sensor_no: int) -> Iterator[tuple[int, Beats]]:
    """The beats of each boot."""
    unit, read = rr_unit(tables, sensor_no), Reader().read
    boot_no, beats = -1, Beats(unit)
    for chunk in chunks(tables, sensor_no):
        if chunk.boot_no != boot_no:
            yield boot_no, beats
            boot_no, beats = chunk.boot_no, Beats(unit)
        for payload, arrival_ns, last_beat_ns in chunk.packets:
            reading = None if last_beat_ns == NO_BEAT else read(payload)
            if reading is not None and reading.rr_ticks:
                beats.add(reading.rr_ticks, arrival_ns, last_beat_ns)
    yield boot_no, beats


def chunks(tables: Tables, sensor_no: int, boot_no: int = -1, boot_ns: int = -1) -> Iterator[HeartChunk]:
    """A strap's chunks that end after a moment of a boot, read some at a time: all of them are too many."""
    while some := tables.raw_chunks.after(sensor_no, boot_no, boot_ns, CHUNKS_MAX):
        yield from some
        boot_no, boot_ns = some[-1].boot_no, some[-1].packets[-1].arrival_boot_ns + NS_PER_US
