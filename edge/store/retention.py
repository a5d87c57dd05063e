"""How long data are kept. What is older is deleted, a slice at a time.

Contract: data are deleted only by a trusted clock, and none of this boot that are younger by the time since it, for a
clock that was trusted may have been wrong all the same. Data of a boot whose wall time is unknown are deleted when a
later boot is old enough. A slice changes few rows, so that it does not occupy the writer for long. Together with a
thing its deliveries are deleted.
"""

from collections.abc import Callable, Collection
from itertools import product, takewhile
from typing import Final, NamedTuple

from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.config import Limits
from edge.measurements import MEASUREMENTS, PERIODS
from edge.store.deliveries import reading_ref, summary_ref
from edge.store.sessions import Session
from edge.store.tables import Tables

DAY_S = 86_400
# SQLite uses free pages again, and giving one back costs two writes. So about a tenth of the file is left free.
FREE_PAGES_KEPT = 64
FREE_SHARE_KEPT = 8
VACUUM_PAGES_MAX = 128
# Before a boot or a sensor is deleted, the small tables are searched for references to it.
SEARCHED_MAX = 10
_EVER = 1 << 62


class Cutoff:
    """A wall time before which things are deleted, and what it is in terms of boots."""

    def __init__(self, utc_s: int, timeline: Timeline, boot_no: int, boot_ns: int) -> None:
        """`boot_ns`: what it is in terms of the present boot, `boot_no`, by its own time; below 0: before it."""
        self.utc_s = utc_s
        self._timeline = timeline
        self._kept_from_ns: dict[int, int] = {}
        for span in timeline.spans(utc_s * NS_PER_S, _EVER):
            known_ns = self._kept_from_ns.get(span.boot_no, _EVER)
            self._kept_from_ns[span.boot_no] = min(known_ns, span.from_boot_ns)
        self._kept_from_ns[boot_no] = min(self._kept_from_ns.get(boot_no, _EVER), boot_ns)
        # If a boot had begun by then, all boots before it are older as a whole.
        self._reached = max((span.boot_no for span in timeline.spans(0, utc_s * NS_PER_S)), default=0)

    def boot_ns(self, boot_no: int) -> int:
        """The time since this boot up to which everything is surely older."""
        if self._timeline.is_trusted(boot_no):
            return self._kept_from_ns.get(boot_no, _EVER)
        return _EVER if boot_no < self._reached else -_EVER

    def has_passed(self, boot_no: int, boot_ns: int = _EVER - 1) -> bool:
        """Whether a moment of a boot, or the boot as a whole, is surely older."""
        return boot_ns < self.boot_ns(boot_no)

    @property
    def boots_cut_through(self) -> dict[int, int]:
        """The boots that are older in part, and up to which time since boot."""
        return {boot_no: ns for boot_no, ns in self._kept_from_ns.items() if ns > 0}


Purge = Callable[[Tables, Cutoff, int], int]


class Rule(NamedTuple):
    """What is deleted, after the longest of which limits, and the function that deletes at most so many rows."""

    what: str
    limits: tuple[str, ...]
    purge: Purge


class Present(NamedTuple):
    """The present moment: by a trusted clock, and since this boot."""

    utc_s: int
    boot_no: int
    boot_ns: int

    def cutoff(self, timeline: Timeline, keep_s: int) -> Cutoff:
        """The moment so long before it."""
        return Cutoff(self.utc_s - keep_s, timeline, self.boot_no, self.boot_ns - keep_s * NS_PER_S)


def purge_slice(tables: Tables, timeline: Timeline, now: Present, limits: Limits, rows_max: int) -> bool:
    """Delete a part of what is too old, or give back free pages; whether there is more to do.

    Args:
        tables: of the writing connection, inside a transaction.
        timeline: what is known of wall time.
        limits: how long things are kept.
        rows_max: the most rows that one slice deletes.
    """
    for rule in RETENTION:
        days = max(getattr(limits, limit) for limit in rule.limits)
        if rule.purge(tables, now.cutoff(timeline, days * DAY_S), rows_max):
            return True
    return _shrink(tables)


def _raw_chunks(tables: Tables, cutoff: Cutoff, rows_max: int) -> int:
    deleted = 0
    boots = {sensor.no: tables.raw_chunks.boots(sensor.no) for sensor in tables.sensors.all()}
    straps = [sensor_no for sensor_no in boots if boots[sensor_no]]
    for n, sensor_no in enumerate(straps):
        # Some of each strap, because chunks that came at the same time lie in the same pages.
        left = (rows_max - deleted) // (len(straps) - n)
        for boot_no in boots[sensor_no]:
            gone = tables.raw_chunks.delete_until(sensor_no, boot_no, cutoff.boot_ns(boot_no), left)
            deleted, left = deleted + gone, left - gone
        _forget_figures(tables, cutoff, sensor_no, boots[sensor_no])
    if deleted:
        tables.database.write(
            "DELETE FROM unplaced WHERE NOT EXISTS (SELECT 1 FROM raw_chunks AS r"
            " WHERE r.sensor_no = unplaced.sensor_no AND r.boot_no = unplaced.boot_no)"
        )
    return deleted


def _forget_figures(tables: Tables, cutoff: Cutoff, sensor_no: int, boots: Collection[int]) -> None:
    """What streams said goes with the packets of its time; the last of a boot is noted a little after them."""
    left = tables.raw_chunks.boots(sensor_no)
    for boot_no in boots:
        until_ns = cutoff.boot_ns(boot_no) if boot_no in left else _EVER
        tables.stream_figures.delete_until(sensor_no, boot_no, until_ns)


def _readings(tables: Tables, cutoff: Cutoff, rows_max: int) -> int:
    deleted = 0
    for sensor in tables.sensors.all():
        for session in tables.sessions.of_sensor(sensor.no):
            until_s = _until_s(tables, session, cutoff)
            for measurement in tables.readings.measurements(session.no):
                oldest = tables.readings.oldest(session.no, measurement, rows_max - deleted)
                old = _old(oldest, until_s)
                if not old:
                    continue
                deleted += tables.readings.delete_until(session.no, measurement, old[-1])
                item = MEASUREMENTS[measurement].item
                if item:
                    tables.deliveries.forget(item, (reading_ref(session.no, measurement, n) for n in old))
    return deleted


def _old(oldest: list[tuple[int, int]], until_s: int) -> list[int]:
    """The oldest readings, as far as they are too old."""
    return [sequence for sequence, _ in takewhile(lambda row: row[1] < until_s, oldest)]


def _until_s(tables: Tables, session: Session, cutoff: Cutoff) -> int:
    """The second of a session up to which its readings are too old."""
    if session.start_utc_s is not None and session.start_error_ms is not None:
        return cutoff.utc_s - session.start_utc_s
    # The session's wall time is unknown: it is too old when its last received reading is.
    newest = [tables.readings.newest(session.no, name) for name in tables.readings.measurements(session.no)]
    is_old = session.ended and all(cutoff.has_passed(one.boot_no, one.boot_ns) for one in newest if one)
    return _EVER if is_old else -_EVER


def _sessions(tables: Tables, cutoff: Cutoff, rows_max: int) -> int:
    old = [
        session.no
        for sensor in tables.sensors.all()
        for session in tables.sessions.of_sensor(sensor.no)
        if session.ended
        and _has_begun_before(session, cutoff)
        and not tables.readings.measurements(session.no)
    ]
    for no in old[:rows_max]:
        tables.sessions.delete(no)
    return len(old[:rows_max])


def _has_begun_before(session: Session, cutoff: Cutoff) -> bool:
    if session.start_utc_s is not None and session.start_error_ms is not None:
        return session.start_utc_s < cutoff.utc_s
    return session.start_boot_no is not None and cutoff.has_passed(session.start_boot_no)


def _summaries(tables: Tables, cutoff: Cutoff, rows_max: int) -> int:
    deleted = 0
    for kind, sensor in product(PERIODS, tables.sensors.all()):
        starts = tables.summaries.delete_before(kind, sensor.no, cutoff.utc_s, rows_max - deleted)
        tables.deliveries.forget(kind, (summary_ref(kind, sensor.no, start_utc_s) for start_utc_s in starts))
        tables.dirty.delete_before(kind, sensor.no, cutoff.utc_s)
        deleted += len(starts)
    return deleted


def _alerts(tables: Tables, cutoff: Cutoff, rows_max: int) -> int:
    old = [
        event.id
        for event in tables.alerts.oldest(rows_max)
        if cutoff.has_passed(event.boot_no, event.boot_ns)
    ]
    for event_id in old:
        tables.alerts.delete(event_id)
    return len(old)


def _acked(tables: Tables, cutoff: Cutoff, rows_max: int) -> int:
    return tables.deliveries.delete_acked_before(cutoff.utc_s, rows_max)


def _boots(tables: Tables, cutoff: Cutoff, _: int) -> int:
    """Delete anchors that no data need any more, and boots that nothing refers to."""
    deleted = sum(tables.boots.delete_anchors(*boot) for boot in cutoff.boots_cut_through.items())
    old = [no for no in tables.boots.unused() if cutoff.has_passed(no)]
    for no in old[:SEARCHED_MAX]:
        tables.boots.delete(no)
    return deleted + len(old[:SEARCHED_MAX])


def _sensors(tables: Tables, _: Cutoff, __: int) -> int:
    """Delete retired devices without any data."""
    forgotten = [row.no for row in tables.sensors.all() if row.retired and tables.sensors.is_unused(row.no)]
    for no in forgotten[:SEARCHED_MAX]:
        tables.sensors.delete(no)
    return len(forgotten[:SEARCHED_MAX])


def _shrink(tables: Tables) -> bool:
    """Give some free pages back if there are many; whether there are more."""
    ((free,),) = tables.database.read("PRAGMA freelist_count")
    ((pages,),) = tables.database.read("PRAGMA page_count")
    surplus = int(free - max(FREE_PAGES_KEPT, (pages - free) // FREE_SHARE_KEPT))
    if surplus <= 0:
        return False
    tables.database.read(f"PRAGMA incremental_vacuum({min(surplus, VACUUM_PAGES_MAX)})")
    return surplus > VACUUM_PAGES_MAX


RETENTION: Final = (
    Rule("raw chunks", ("raw_retention_days",), _raw_chunks),
    Rule("readings", ("retention_days",), _readings),
    Rule("sessions, and what was given up of them", ("retention_days",), _sessions),
    Rule("summaries and dirty periods", ("retention_days",), _summaries),
    Rule("what happened to alerts", ("retention_days",), _alerts),
    Rule("deliveries that arrived", ("delivered_retention_days",), _acked),
    Rule("boots and their anchors", ("retention_days", "raw_retention_days"), _boots),
    Rule("retired sensors, and what was learned of them", ("retention_days",), _sensors),
)
