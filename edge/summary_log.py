"""Summaries with their revisions, and how far each stream has been worked off.

A summary keeps its id for good; recomputing it with another result is a new revision of the same thing. What
a summary's body means is the business of who writes it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from edge.database import Database


class Summary(NamedTuple):
    """Results for a period [start, end) of one sensor."""

    id: UUID
    kind: str
    sensor_id: str
    start_utc_s: int
    end_utc_s: int
    rev: int
    status: str  # preliminary, final, amended
    body: dict[str, Any]


class Cursors(Database):
    """The part of the store that remembers how far each stream has been worked off."""

    def cursor(self, stream: str) -> int | None:
        rows = self.read("SELECT watermark FROM cursors WHERE stream = ?", stream)
        return int(rows[0][0]) if rows else None

    def set_cursor(self, stream: str, watermark: int) -> None:
        self.write("INSERT OR REPLACE INTO cursors VALUES (?, ?)", stream, watermark)


class SummaryLog(Database):
    """The part of the store that holds summaries."""

    def put_summary(
        self,
        summary_id: UUID,
        kind: str,
        sensor_id: str,
        period_utc_s: tuple[int, int],
        body: Mapping[str, Any],
        *,
        final: bool,
    ) -> int | None:
        """Store a result; its new revision, or None if it says nothing new.

        A result stays preliminary until given as final; whatever changes a final one amends it.
        """
        text = msgspec.json.encode(dict(body), order="deterministic").decode()
        known = self.read("SELECT rev, status, body FROM summaries WHERE id = ?", str(summary_id))
        rev, status, old_text = known[0] if known else (0, "preliminary", None)
        if status == "preliminary":
            new_status = "final" if final else "preliminary"
        else:
            new_status = status if text == old_text else "amended"
        if (new_status, text) == (status, old_text):
            return None
        self.write(
            "INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            str(summary_id),
            kind,
            sensor_id,
            *period_utc_s,
            rev + 1,
            new_status,
            text,
        )
        return int(rev) + 1

    def summary(self, summary_id: UUID) -> Summary | None:
        rows = self.read("SELECT * FROM summaries WHERE id = ?", str(summary_id))
        return _summary(rows[0]) if rows else None

    def summaries(self, kind: str, start_utc_s: int = 0, end_utc_s: int = 1 << 62) -> list[Summary]:
        """Summaries of a kind whose period begins in [start, end), oldest first."""
        rows = self.read(
            "SELECT * FROM summaries WHERE kind = ? AND start_utc_s >= ? AND start_utc_s < ?"
            " ORDER BY start_utc_s, sensor_id",
            kind,
            start_utc_s,
            end_utc_s,
        )
        return [_summary(row) for row in rows]

    def newest_summary(self, kind: str) -> Summary | None:
        rows = self.read("SELECT * FROM summaries WHERE kind = ? ORDER BY start_utc_s DESC LIMIT 1", kind)
        return _summary(rows[0]) if rows else None

    def summary_count(self, kind: str) -> int:
        ((count,),) = self.read("SELECT count(*) FROM summaries WHERE kind = ?", kind)
        return int(count)


def _summary(row: tuple[Any, ...]) -> Summary:
    summary_id, *fields, body = row
    return Summary._make([UUID(summary_id), *fields, msgspec.json.decode(body)])
