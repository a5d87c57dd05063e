"""Summaries with their revisions, and the dirty periods: those with data that are not in their summary yet.

A summary never changes its id; a different result is a new revision of the same summary. The store does not know what a
body means.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from edge.store.database import Database, Row

_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
_SELECT = """
SELECT kind, sensor_no, start_utc_s, end_utc_s, id, rev, status, body FROM summaries
WHERE kind = ? """
_BETWEEN = """
AND sensor_no IN (SELECT no FROM sensors) AND start_utc_s >= ? AND start_utc_s < ? ORDER BY start_utc_s, sensor_no
"""
_PUT = """
INSERT INTO summaries (kind, sensor_no, start_utc_s, end_utc_s, id, rev, status, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, sensor_no, start_utc_s) DO UPDATE SET
    end_utc_s = excluded.end_utc_s, rev = excluded.rev, status = excluded.status, body = excluded.body
"""


class SummaryKey(NamedTuple):
    """A period of one sensor that is summarised."""

    kind: str
    sensor_no: int
    start_utc_s: int


class Summary(NamedTuple):
    """Results for a period [start, end) of one sensor; `status` is preliminary, final or amended."""

    key: SummaryKey
    end_utc_s: int
    id: UUID
    rev: int
    status: str
    body: dict[str, Any]


class Summaries:
    """The summaries of all sensors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, key: SummaryKey, end_utc_s: int, summary_id: UUID, body: Mapping[str, Any], *, final: bool
    ) -> int | None:
        """Store a result; its new revision, or None if nothing has changed.

        A summary is preliminary until its first final result; a later change makes it amended. A summary that is
        already stored keeps its id.
        """
        text = _ENCODE(dict(body)).decode()
        known = self._database.read(
            "SELECT id, rev, status, body, end_utc_s FROM summaries WHERE kind = ? AND sensor_no = ?"
            " AND start_utc_s = ?",
            *key,
        )
        id_text, rev, status, *old = known[0] if known else (str(summary_id), 0, "preliminary", None, None)
        is_same = [text, end_utc_s] == old
        if status == "preliminary":
            new_status = "final" if final else "preliminary"
        else:
            new_status = status if is_same else "amended"
        if is_same and new_status == status:
            return None
        self._database.write(
            _PUT,
            *key,
            end_utc_s,
            id_text,
            rev + 1,
            new_status,
            text,
        )
        return int(rev) + 1

    def get(self, key: SummaryKey) -> Summary | None:
        rows = self._database.read(_SELECT + "AND sensor_no = ? AND start_utc_s = ?", *key)
        return _summary(rows[0]) if rows else None

    def between(self, kind: str, start_utc_s: int = 0, end_utc_s: int = 1 << 62) -> list[Summary]:
        """Summaries of a kind, of all sensors, whose period begins in [start, end), oldest first."""
        # `_BETWEEN` goes sensor by sensor, so that SQLite finds the time by the key.
        rows = self._database.read(_SELECT + _BETWEEN, kind, start_utc_s, end_utc_s)
        return [_summary(row) for row in rows]

    def newest(self, kind: str, sensor_no: int) -> Summary | None:
        rows = self._database.read(
            _SELECT + "AND sensor_no = ? ORDER BY start_utc_s DESC LIMIT 1", kind, sensor_no
        )
        return _summary(rows[0]) if rows else None

    def delete_before(self, kind: str, sensor_no: int, utc_s: int, rows_max: int) -> list[int]:
        """Delete the oldest summaries that begin before a moment; when they began."""
        rows = self._database.read(
            "SELECT start_utc_s FROM summaries WHERE kind = ? AND sensor_no = ? AND start_utc_s < ?"
            " ORDER BY start_utc_s LIMIT ?",
            kind,
            sensor_no,
            utc_s,
            rows_max,
        )
        starts = [start_utc_s for (start_utc_s,) in rows]
        if starts:
            self._database.write(
                "DELETE FROM summaries WHERE kind = ? AND sensor_no = ? AND start_utc_s <= ?",
                kind,
                sensor_no,
                starts[-1],
            )
        return starts


class Dirty:
    """The dirty periods: they have to be summarised, or summarised again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, kind: str, sensor_no: int, starts_utc_s: Iterable[int]) -> None:
        for start_utc_s in starts_utc_s:
            self._database.write(
                "INSERT INTO dirty VALUES (?, ?, ?) ON CONFLICT DO NOTHING", kind, sensor_no, start_utc_s
            )

    def clear(self, kind: str, sensor_no: int, start_utc_s: int) -> None:
        self._database.write(
            "DELETE FROM dirty WHERE kind = ? AND sensor_no = ? AND start_utc_s = ?",
            kind,
            sensor_no,
            start_utc_s,
        )

    def delete_before(self, kind: str, sensor_no: int, utc_s: int) -> None:
        """Remove the marks of periods that begin before this: they are not summarised any more."""
        self._database.write(
            "DELETE FROM dirty WHERE kind = ? AND sensor_no = ? AND start_utc_s < ?", kind, sensor_no, utc_s
        )

    def all(self) -> list[SummaryKey]:
        """Every dirty period, by kind and sensor, oldest first."""
        return [SummaryKey(*row) for row in self._database.read("SELECT * FROM dirty ORDER BY 1, 2, 3")]


def _summary(row: Row) -> Summary:
    kind, sensor_no, start_utc_s, end_utc_s, id_text, rev, status, body = row
    return Summary(
        SummaryKey(kind, sensor_no, start_utc_s), end_utc_s, UUID(id_text), rev, status, _DECODE(body)
    )
