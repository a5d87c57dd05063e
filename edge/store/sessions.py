"""Sessions: one wearing of one sensor, up to where its records have been fetched, and which were given up.

A session is identified by a random UUID. Its start is stored in three ways: as the sensor says, as time since boot, and
as the best known wall time. Until the wall time is trusted, its readings belong to no period.
"""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from edge.store.blobs import Blobs
from edge.store.database import Database, Value

SUPERSEDED = "superseded"

_SELECT = """
SELECT no, uuid, sensor_no, number, told_start_utc_s, start_boot_no, start_boot_ns, start_utc_s, start_error_ms,
    run_time_h, watermark, ended
FROM sessions WHERE """
_CHANGING = frozenset(
    {
        "told_start_utc_s",
        "start_boot_no",
        "start_boot_ns",
        "start_utc_s",
        "start_error_ms",
        "run_time_h",
        "watermark",
    }
)


class Session(NamedTuple):
    """A session. Every record up to `watermark` is stored or given up. After it has `ended`, no more records come."""

    no: int
    uuid: UUID
    sensor_no: int
    number: int
    told_start_utc_s: int | None
    start_boot_no: int | None
    start_boot_ns: int | None
    start_utc_s: int | None
    start_error_ms: int | None
    run_time_h: int | None
    watermark: int
    ended: str | None


class GivenUp(NamedTuple):
    """Records from `first` to `last`, both included, that will not be asked for again."""

    first: int
    last: int
    reason: str
    tries: int
    boot_no: int
    boot_ns: int


class Sessions:
    """The sessions of all sensors."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def begin(
        self,
        sensor_no: int,
        uuid: UUID,
        *,
        told_start_utc_s: int | None,
        start_boot_no: int | None,
        start_boot_ns: int | None,
        start_utc_s: int | None,
        start_error_ms: int | None,
        run_time_h: int | None,
        ended: str | None = None,
    ) -> Session:
        """Begin a sensor's next session; the former one ends. One that has `ended` already ends no other."""
        if ended is None:
            self.end_all(sensor_no, SUPERSEDED)
        self._database.write(
            "INSERT INTO sessions (uuid, sensor_no, number, told_start_utc_s, start_boot_no, start_boot_ns,"
            " start_utc_s, start_error_ms, run_time_h, ended) VALUES (?1, ?2,"
            " 1 + coalesce((SELECT max(number) FROM sessions WHERE sensor_no = ?2), 0), ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            str(uuid),
            sensor_no,
            told_start_utc_s,
            start_boot_no,
            start_boot_ns,
            start_utc_s,
            start_error_ms,
            run_time_h,
            ended,
        )
        (session,) = self._where("no = last_insert_rowid()")
        return session

    def current(self, sensor_no: int) -> Session | None:
        """The sensor's newest session, unless it has ended."""
        found = self._where("sensor_no = ? ORDER BY number DESC LIMIT 1", sensor_no)
        return found[0] if found and found[0].ended is None else None

    def get(self, no: int) -> Session:
        (session,) = self._where("no = ?", no)
        return session

    def of_sensor(self, sensor_no: int) -> list[Session]:
        """A sensor's sessions, oldest first."""
        return self._where("sensor_no = ? ORDER BY number", sensor_no)

    def of_boot(self, boot_no: int) -> list[Session]:
        """The sessions whose start is known by the time since this boot."""
        return self._where("start_boot_no = ? ORDER BY no", boot_no)

    def untrusted(self) -> list[Session]:
        """The sessions whose start has no trusted wall time."""
        return self._where("start_error_ms IS NULL ORDER BY no")

    def update(self, no: int, **fields: int | None) -> None:
        """Change what is known of a session's start and run time, or move its watermark."""
        assert fields
        assert fields.keys() <= _CHANGING
        assignments = ", ".join(f"{name} = ?" for name in fields)
        # The names are fields of the session, not input.
        self._database.write(f"UPDATE sessions SET {assignments} WHERE no = ?", *fields.values(), no)  # noqa: S608

    def end(self, no: int, reason: str) -> None:
        """End a session. If it has already ended, its reason stays."""
        self._database.write("UPDATE sessions SET ended = ? WHERE no = ? AND ended IS NULL", reason, no)

    def end_all(self, sensor_no: int, reason: str) -> None:
        """End all sessions of a sensor."""
        self._database.write(
            "UPDATE sessions SET ended = ? WHERE sensor_no = ? AND ended IS NULL", reason, sensor_no
        )

    def resume(self, sensor_no: int, reasons: Collection[str]) -> None:
        """Resume the sensor's newest session, if it ended for one of these reasons."""
        newest = self._where("sensor_no = ? ORDER BY number DESC LIMIT 1", sensor_no)
        if newest and newest[0].ended in reasons:
            self._database.write("UPDATE sessions SET ended = NULL WHERE no = ?", newest[0].no)

    def delete(self, no: int) -> None:
        """Delete a session without readings, the notes of its records that were given up, and its blobs."""
        self._blobs.delete_of("sessions", no)
        self._database.write("DELETE FROM given_up WHERE session_no = ?", no)
        self._database.write("DELETE FROM sessions WHERE no = ?", no)

    def give_up(
        self, no: int, first: int, last: int, reason: str, tries: int, boot_no: int, boot_ns: int
    ) -> None:
        """Note records that will not be asked for again. It replaces a note with the same first record."""
        self._database.write(
            "INSERT OR REPLACE INTO given_up VALUES (?, ?, ?, ?, ?, ?, ?)",
            no,
            first,
            last,
            reason,
            tries,
            boot_no,
            boot_ns,
        )

    def given_up(self, no: int) -> list[GivenUp]:
        """The records of a session that were given up, in order."""
        rows = self._database.read(
            "SELECT first, last, reason, tries, boot_no, boot_ns FROM given_up WHERE session_no = ? ORDER BY first",
            no,
        )
        return [GivenUp(*row) for row in rows]

    def take_back(self, no: int, sequence: int) -> bool:
        """A record that was given up has come after all: take it out of the notes. False if no note covered it."""
        rows = self._database.read(
            "SELECT first, last, reason, tries, boot_no, boot_ns FROM given_up WHERE session_no = ? AND first <= ?"
            " ORDER BY first DESC LIMIT 1",
            no,
            sequence,
        )
        if not rows or sequence > rows[0][1]:
            return False
        first, last, reason, tries, boot_no, boot_ns = GivenUp(*rows[0])
        self._database.write("DELETE FROM given_up WHERE session_no = ? AND first = ?", no, first)
        for part_first, part_last in ((first, sequence - 1), (sequence + 1, last)):
            if part_first <= part_last:
                self.give_up(no, part_first, part_last, reason, tries, boot_no, boot_ns)
        return True

    def _where(self, condition: str, *values: Value) -> list[Session]:
        return [_session(*row) for row in self._database.read(_SELECT + condition, *values)]


def _session(no: int, uuid: str, *fields: Any) -> Session:
    return Session(no, UUID(uuid), *fields)
