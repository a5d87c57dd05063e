"""Readings: the values of a session, each stored once.

The key of a reading is session, measurement and sequence, never a wall time. So a reading that arrives live, and again
from the sensor's storage, is one row. Whether it counts has been decided before it is stored.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edge.store.database import Database, Row

_SELECT = """
SELECT sequence, at_s, value, trend, quality_pct, status, not_counted, boot_no, boot_ns, fetched FROM readings
WHERE session_no = ? AND measurement = ? """


class Reading(NamedTuple):
    """What a sensor measured at one moment of a session.

    Attributes:
        sequence: its number in the session.
        at_s: seconds since the session's start.
        value: infinite if it is beyond the sensor's scale, None if nothing was measured.
        not_counted: why it does not count; None if it does.
        boot_no, boot_ns: when it was received.
        fetched: whether it came from the sensor's storage.
    """

    sequence: int
    at_s: int
    value: float | None
    trend: float | None
    quality_pct: float | None
    status: int
    not_counted: str | None
    boot_no: int
    boot_ns: int
    fetched: bool


class Readings:
    """The readings of all sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, session_no: int, measurement: str, readings: Sequence[Reading]) -> list[Reading]:
        """Store readings and return the new ones. Readings that are already stored are not changed here."""
        return [
            reading
            for reading in readings
            if self._database.write(
                "INSERT INTO readings (session_no, measurement, sequence, at_s, value, trend, quality_pct, status,"
                " not_counted, boot_no, boot_ns, fetched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                session_no,
                measurement,
                *reading,
            )
        ]

    def discount(self, session_no: int, measurement: str, sequence: int, reason: str) -> None:
        """A reading that was stored as one that counts does not count after all."""
        self._database.write(
            "UPDATE readings SET not_counted = ? WHERE session_no = ? AND measurement = ? AND sequence = ?"
            " AND not_counted IS NULL",
            reason,
            session_no,
            measurement,
            sequence,
        )

    def get(self, session_no: int, measurement: str, sequence: int) -> Reading | None:
        found = self._database.read(_SELECT + "AND sequence = ?", session_no, measurement, sequence)
        return _reading(found[0]) if found else None

    def between(self, session_no: int, measurement: str, from_s: int, to_s: int) -> list[Reading]:
        """Readings of [from, to) in seconds since the session's start, in order of time."""
        rows = self._database.read(
            _SELECT + "AND at_s >= ? AND at_s < ? ORDER BY at_s, sequence",
            session_no,
            measurement,
            from_s,
            to_s,
        )
        return [_reading(row) for row in rows]

    def sequences(self, session_no: int, measurement: str) -> list[int]:
        """The sequences of all readings, ascending."""
        rows = self._database.read(
            "SELECT sequence FROM readings WHERE session_no = ? AND measurement = ? ORDER BY sequence",
            session_no,
            measurement,
        )
        return [sequence for (sequence,) in rows]

    def newest(self, session_no: int, measurement: str) -> Reading | None:
        """The reading with the largest sequence."""
        rows = self._database.read(_SELECT + "ORDER BY sequence DESC LIMIT 1", session_no, measurement)
        return _reading(rows[0]) if rows else None

    def count(self, session_no: int, measurement: str) -> int:
        """How many readings a session has; a session is short, so counting is cheap."""
        ((count,),) = self._database.read(
            "SELECT count(*) FROM readings WHERE session_no = ? AND measurement = ?", session_no, measurement
        )
        return int(count)

    def measurements(self, session_no: int) -> list[str]:
        """The measurements that have readings. Found by the key, without reading all rows."""
        found: list[str] = []
        while rows := self._database.read(
            "SELECT measurement FROM readings WHERE session_no = ? AND measurement > ? ORDER BY measurement LIMIT 1",
            session_no,
            found[-1] if found else "",
        ):
            found.append(rows[0][0])
        return found

    def oldest(self, session_no: int, measurement: str, rows_max: int) -> list[tuple[int, int]]:
        """Sequence and second of the readings with the smallest sequences."""
        rows = self._database.read(
            "SELECT sequence, at_s FROM readings WHERE session_no = ? AND measurement = ? ORDER BY sequence LIMIT ?",
            session_no,
            measurement,
            rows_max,
        )
        return [(sequence, at_s) for sequence, at_s in rows]

    def delete_until(self, session_no: int, measurement: str, sequence: int) -> int:
        """Delete the readings up to this sequence; how many there were."""
        return self._database.write(
            "DELETE FROM readings WHERE session_no = ? AND measurement = ? AND sequence <= ?",
            session_no,
            measurement,
            sequence,
        )


def _reading(row: Row) -> Reading:
    *fields, fetched = row
    return Reading._make((*fields, bool(fetched)))
