"""A Nightscout: entries by its API v1 and v3, secrets, tokens and JWTs, ETags.

Quirks (cgm-remote-monitor, lib/api/entries and lib/api3): v1 gives the newest first, ten unless `count` says more, and
without a span of dates nothing older than four days; a wrong secret is 401. v3 wraps its list, wants a JWT that a token
is exchanged for, and gives a thousand at most. Unknown parameters are passed over.
"""

import asyncio
import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from hw_sim.followers.answering import Asked, Said, date_header
from hw_sim.followers.diary import Diary

ROWS, ROWS_MAX_V3 = 10, 1000
WITHOUT_DATES_MS = 4 * 86_400_000


@dataclass
class Nightscout:
    """A server.

    Attributes:
        secret: as the operator chose it; `token`: an access token that may read. None: everybody may.
        jwt_s: how long a JWT is good.
        asked: what was wanted, and the status that was said.
    """

    diary: Diary
    now_utc_s: Callable[[], float]
    secret: str | None = None
    token: str | None = None
    has_v1: bool = True
    has_v3: bool = True
    jwt_s: float = 3600.0
    is_away: bool = False
    busy_s: float = 0.0  # it asks for patience
    answers_in_s: float = 0.05
    asked: list[tuple[str, int]] = field(default_factory=list)
    _jwts: dict[str, float] = field(default_factory=dict)

    async def answer(self, asked: Asked) -> Said:
        await asyncio.sleep(self.answers_in_s)
        if self.is_away:
            raise ConnectionError("connection refused")
        said = self._answer(asked)
        self.asked.append((asked.path, said.status))
        return said

    def _answer(self, asked: Asked) -> Said:
        headers = {"content-type": "application/json", **date_header(self.now_utc_s())}
        if self.busy_s:
            return Said(503, b"", {**headers, "retry-after": str(round(self.busy_s))})
        if self.has_v1 and asked.path == "api/v1/entries/sgv.json":
            return self._v1(asked, headers)
        if self.has_v3 and asked.path == "api/v3/entries":
            return self._v3(asked, headers)
        if self.has_v3 and asked.path.startswith("api/v2/authorization/request/"):
            return self._jwt(asked.path.rpartition("/")[2], headers)
        return Said(404, b"<html>Cannot GET</html>", headers)

    def _v1(self, asked: Asked, headers: dict[str, str]) -> Said:
        if not self._may(asked):
            return Said(401, b'{"status": 401, "message": "Unauthorized"}', headers)
        query, now_utc_s = asked.query, self.now_utc_s()
        count = query.get("count", "")
        after_ms = int(query.get("find[date][$gt]", now_utc_s * 1000 - WITHOUT_DATES_MS))
        until_ms = int(query.get("find[date][$lte]", 1 << 50))
        rows = self.diary.newest(now_utc_s, int(count) if count.isdecimal() else ROWS, after_ms, until_ms)
        return self._tagged(asked, json.dumps(rows).encode(), headers)

    def _v3(self, asked: Asked, headers: dict[str, str]) -> Said:
        if self.token is not None:
            jwt = asked.headers.get("authorization", "").removeprefix("Bearer ")
            if self._jwts.get(jwt, 0.0) < self.now_utc_s():
                return Said(401, b'{"status": 401, "message": "Bad access token or JWT"}', headers)
        query, now_utc_s = asked.query, self.now_utc_s()
        limit = min(ROWS_MAX_V3, int(query.get("limit", "1000")))
        after_ms, until_ms = int(query.get("date$gt", "0")), int(query.get("date$lte", 1 << 50))
        rows = self.diary.newest(now_utc_s, limit, after_ms, until_ms)
        return self._tagged(asked, json.dumps({"status": 200, "result": rows}).encode(), headers)

    def _jwt(self, token: str, headers: dict[str, str]) -> Said:
        if token != self.token:
            return Said(401, b'{"status": 401}', headers)
        now_utc_s = self.now_utc_s()
        jwt = f"head.{zlib.crc32(str(now_utc_s).encode()):x}.sign"
        self._jwts[jwt] = now_utc_s + self.jwt_s
        told = {"token": jwt, "sub": "reader", "iat": int(now_utc_s), "exp": int(now_utc_s + self.jwt_s)}
        return Said(200, json.dumps(told).encode(), headers)

    def revoke(self) -> None:
        """Every JWT is void."""
        self._jwts.clear()

    def _may(self, asked: Asked) -> bool:
        if self.secret is None and self.token is None:
            return True
        told = asked.headers.get("api-secret") or asked.query.get("token")
        digest = hashlib.sha1((self.secret or "").encode(), usedforsecurity=False).hexdigest()
        return told is not None and told in (self.token, digest if self.secret else None)

    def _tagged(self, asked: Asked, body: bytes, headers: dict[str, str]) -> Said:
        etag = f'W/"{zlib.crc32(body):x}"'
        if asked.headers.get("if-none-match") == etag:
            return Said(304, b"", {**headers, "etag": etag})
        return Said(200, body, {**headers, "etag": etag})
