"""Continuous glucose: sessions and their records, each record once.

A record is named by sensor, session and time offset, never by a wall clock, so that what arrives live and
again from the sensor's storage is one row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from edge.database import Database
from edge.summary_log import Cursors


class CgmSession(NamedTuple):
    """One wearing of one sensor."""

    id: int
    sensor_id: str
    number: int
    start_utc_s: int
    run_time_h: int

    def utc_s(self, time_offset_min: int) -> int:
        return self.start_utc_s + 60 * time_offset_min


@dataclass(frozen=True)
class CgmRecord:
    """What the sensor said of one minute. Infinite glucose is beyond its scale, None is no measurement."""

    time_offset_min: int
    glucose_mg_dl: float | None
    trend_mg_dl_min: float | None
    quality_pct: float | None
    status: int
    received_boot_ns: int
    backfilled: bool


class CgmLog(Cursors, Database):
    """The part of the store that holds glucose."""

    def begin_session(self, sensor_id: str, start_utc_s: int, run_time_h: int) -> CgmSession:
        previous = self.current_session(sensor_id)
        number = previous.number + 1 if previous else 1
        self.write(
            "INSERT INTO cgm_sessions (sensor_id, number, start_utc_s, run_time_h) VALUES (?, ?, ?, ?)",
            sensor_id,
            number,
            start_utc_s,
            run_time_h,
        )
        session = self.current_session(sensor_id)
        assert session is not None
        return session

    def current_session(self, sensor_id: str) -> CgmSession | None:
        rows = self.read(
            "SELECT id, sensor_id, number, start_utc_s, run_time_h FROM cgm_sessions WHERE sensor_id = ?"
            " ORDER BY number DESC LIMIT 1",
            sensor_id,
        )
        return CgmSession(*rows[0]) if rows else None

    def session(self, session_id: int) -> CgmSession:
        (row,) = self.read(
            "SELECT id, sensor_id, number, start_utc_s, run_time_h FROM cgm_sessions WHERE id = ?", session_id
        )
        return CgmSession(*row)

    def insert_records(
        self, session: CgmSession, records: Iterable[CgmRecord], boot_id: str
    ) -> list[CgmRecord]:
        """Store the records received in this boot; those that were new."""
        return [
            record
            for record in records
            if self.write(
                "INSERT INTO cgm_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                session.id,
                record.time_offset_min,
                record.glucose_mg_dl,
                record.trend_mg_dl_min,
                record.quality_pct,
                record.status,
                record.received_boot_ns,
                record.backfilled,
                boot_id,
            )
        ]

    def record(self, session: CgmSession, time_offset_min: int) -> CgmRecord:
        (row,) = self.read(
            "SELECT * FROM cgm_records WHERE session_id = ? AND time_offset_min = ?",
            session.id,
            time_offset_min,
        )
        return _record(row)

    def records_between(
        self, sensor_id: str, start_utc_s: int, end_utc_s: int
    ) -> list[tuple[int, CgmRecord]]:
        """(utc_s, record) in [start, end), in time order, across sessions."""
        rows = self.read(
            "SELECT start_utc_s + 60 * time_offset_min AS utc_s, cgm_records.*"
            " FROM cgm_sessions JOIN cgm_records ON session_id = id"
            " WHERE sensor_id = ? AND utc_s >= ? AND utc_s < ? ORDER BY utc_s, number",
            sensor_id,
            start_utc_s,
            end_utc_s,
        )
        return [(row[0], _record(row[1:])) for row in rows]

    def newest_offset(self, session: CgmSession) -> int | None:
        rows = self.read("SELECT max(time_offset_min) FROM cgm_records WHERE session_id = ?", session.id)
        return rows[0][0] if rows[0][0] is None else int(rows[0][0])

    def watermark(self, session: CgmSession) -> int:
        """Everything up to this offset has been fetched; -1 at first."""
        watermark = self.cursor(f"cgm_session/{session.id}")
        return -1 if watermark is None else watermark

    def move_watermark(self, session: CgmSession, time_offset_min: int) -> None:
        self.set_cursor(f"cgm_session/{session.id}", time_offset_min)


def _record(row: tuple[Any, ...]) -> CgmRecord:
    _session_id, *fields, backfilled, _received_boot_id = row
    return CgmRecord(*[*fields, bool(backfilled)])
