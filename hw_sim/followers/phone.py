"""A phone with xDrip+ or Juggluco, whose web service tells the newest readings.

Quirks of xDrip+ (webservices/XdripWebService, WebServiceSgv): HTTP/1.0; a wrong or missing secret is 403 after a
second; 24 entries unless `count` says more, never above 1000; `brief_mode` leaves out type and device; `units_hint` in
the first entry; `no_empty` says nothing instead of an empty list; without `all_data` entries of earlier sensors are
left out. Only newer Androids say the date. Juggluco has the secret in the path."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hw_sim.followers.answering import Asked, Said, date_header
from hw_sim.followers.diary import Diary

ROWS, ROWS_MAX = 24, 1000
REFUSAL_S = 1.0
_BRIEF = ("date", "sgv", "delta", "direction", "noise")


@dataclass
class Phone:
    """A phone; `is_away` while it is out of the network or asleep, `began_utc_s` when its present sensor began.

    Attributes:
        asked_s: when it was asked, by its own clock.
        heart_rates: what it was told.
    """

    diary: Diary
    now_utc_s: Callable[[], float]
    secret: str | None = None
    is_juggluco: bool = False
    units: str = "mgdl"
    clock_off_s: float = 0.0
    says_date: bool = True
    is_away: bool = False
    has_sensor: bool = True
    began_utc_s: float = 0.0
    answers_in_s: float = 0.05
    asked_s: list[float] = field(default_factory=list)
    heart_rates: list[int] = field(default_factory=list)

    async def answer(self, asked: Asked) -> Said:
        await asyncio.sleep(self.answers_in_s)
        if self.is_away:
            raise ConnectionError("no route to host")
        now_utc_s = self.now_utc_s()
        self.asked_s.append(now_utc_s)
        headers = date_header(now_utc_s + self.clock_off_s) if self.says_date else {}
        path = self._path(asked)
        if path is None:
            await asyncio.sleep(REFUSAL_S)
            return Said(403, b"Authentication failed - check api-secret", headers)
        if path != "sgv.json":
            return Said(404, b"Not found", headers)
        if "heart" in asked.query:
            self.heart_rates.append(int(asked.query["heart"]))
        rows = self._rows(asked, now_utc_s)
        if not rows and "no_empty" in asked.query:
            return Said(200, b"", headers)
        return Said(200, json.dumps(rows).encode(), {"content-type": "application/json", **headers})

    def _path(self, asked: Asked) -> str | None:
        """What is wanted; None if the secret is wrong."""
        if self.secret is None:
            return asked.path
        if self.is_juggluco:
            secret, _, path = asked.path.partition("/")
            return path if secret == self.secret else None
        digest = hashlib.sha1(self.secret.encode(), usedforsecurity=False).hexdigest()
        return asked.path if asked.headers.get("api-secret", "").lower() == digest else None

    def _rows(self, asked: Asked, now_utc_s: float) -> list[dict[str, Any]]:
        is_all = "all_data" in asked.query
        if not self.has_sensor and not is_all:
            return []
        count = asked.query.get("count", "")
        rows_max = max(1, min(ROWS_MAX, int(count))) if count.isdecimal() else ROWS
        rows = self.diary.newest(now_utc_s, rows_max, 0 if is_all else round(self.began_utc_s * 1000))
        off_ms = round(self.clock_off_s * 1000)
        rows = [{**row, "date": row["date"] + off_ms} for row in rows]
        if "brief_mode" in asked.query:
            rows = [{key: row[key] for key in _BRIEF if key in row} for row in rows]
        if rows:
            rows[0]["units_hint"] = self.units
        return rows
