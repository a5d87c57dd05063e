"""Sends one request to a feed and reads its answer, within limits: of time, of octets, of where it may be led.

Contract: an answer takes at most `ANSWER_S` and `sgv.BODY_BYTES_MAX` octets, whatever the server does. Redirects are
followed to the same host only, and never from https to http. What goes wrong is a `FeedFailure`, whose words name
neither address nor secret. How octets travel is in `web`; a simulation has another one.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from edge.feeds.servers import Request
from edge.radio.trouble import Trouble
from protocols.sgv import BODY_BYTES_MAX

ANSWER_S: Final = 30.0
REDIRECTS_MAX: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REFUSED: Final = frozenset({401, 403})
NOT_MODIFIED, OK = 304, 200
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class FeedFailure(Exception):  # noqa: N818 - a state of the world, not a defect
    """There is no answer that can be used."""

    def __init__(self, trouble: Trouble, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(trouble, detail)
        self.trouble = trouble
        self.detail = detail
        self.retry_after_s = retry_after_s


class Reply(Protocol):
    """An answer that is coming; the names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]: ...


Web = Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Reply]]
"""Opens an address with these headers. It raises OSError if that fails, and FeedFailure where it can say more."""


class Answer(NamedTuple):
    """What came: nothing if it is the same as before. `date_utc_s`: what the server's clock showed."""

    body: bytes | None
    date_utc_s: float | None


class Client:
    """Asks one feed."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._known: dict[str, dict[str, str]] = {}  # the one address that is asked again and again

    async def get(self, request: Request, *, is_conditional: bool = False) -> Answer:
        """The answer to a request.

        Raises:
            FeedFailure: there is none.
        """
        headers = dict(request.headers)
        if is_conditional:
            headers |= self._known.get(request.url, {})
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._get(request.url, headers, is_conditional=is_conditional)
        except TimeoutError as fault:
            raise FeedFailure(Trouble.FEED_UNREACHABLE, f"no whole answer in {ANSWER_S:.0f} s") from fault
        except OSError as fault:
            raise FeedFailure(Trouble.FEED_UNREACHABLE, words(fault)) from fault

    async def _get(self, url: str, headers: dict[str, str], *, is_conditional: bool) -> Answer:
        target = url
        for _ in range(REDIRECTS_MAX + 1):
            async with self._web(target, headers) as reply:
                if reply.status in _REDIRECTS:
                    target = _led_to(target, reply.headers.get("location", ""))
                    continue
                date_utc_s = _date_utc_s(reply.headers)
                if reply.status == NOT_MODIFIED and is_conditional:
                    return Answer(None, date_utc_s)
                _check(reply)
                body = await _body(reply)
                if is_conditional:
                    self._known = {url: _conditions(reply.headers)}
                return Answer(body, date_utc_s)
        raise FeedFailure(Trouble.FEED_NONSENSE, "it leads from one address to the next without end")

    def forget(self) -> None:
        """What came could not be used: it has to come again."""
        self._known = {}


def words(fault: OSError) -> str:
    """What went wrong. What an error says itself may hold the address."""
    number = fault.errno or 0
    return os.strerror(number) if number in errno.errorcode else type(fault).__name__


def _led_to(url: str, location: str) -> str:
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        is_same = here.hostname == there.hostname and there.scheme in ("http", "https")
    except ValueError:
        is_same = False
    if not location or not is_same or (here.scheme, there.scheme) == ("https", "http"):
        raise FeedFailure(Trouble.FEED_NONSENSE, "it leads elsewhere, where the secret must not go")
    return there.geturl()


def _check(reply: Reply) -> None:
    if reply.status in _REFUSED:
        raise FeedFailure(Trouble.FEED_REFUSED, f"it answers with status {reply.status}")
    if reply.status in _BUSY:
        retry_after_s = _seconds(reply.headers.get("retry-after", ""))
        raise FeedFailure(
            Trouble.FEED_UNREACHABLE, f"it answers with status {reply.status}", retry_after_s=retry_after_s
        )
    if reply.status != OK:
        raise FeedFailure(Trouble.FEED_NONSENSE, f"it answers with status {reply.status}")
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise FeedFailure(Trouble.FEED_NONSENSE, "its answer is compressed, although that was not asked for")


async def _body(reply: Reply) -> bytes:
    parts, size = [], 0
    async for chunk in reply.chunks():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise FeedFailure(Trouble.FEED_NONSENSE, f"its answer is longer than {BODY_BYTES_MAX} octets")
        parts.append(chunk)
    return b"".join(parts)


def _conditions(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by which the server says next time that nothing has changed."""
    found = {"If-None-Match": headers.get("etag"), "If-Modified-Since": headers.get("last-modified")}
    return {name: value for name, value in found.items() if value is not None and value.isprintable()}


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) <= 6 else 0.0


def _date_utc_s(headers: Mapping[str, str]) -> float | None:
    # xDrip+ writes GMT as Java does, with what follows it, which is read as no zone. The header is in GMT always.
    try:
        moment = parsedate_to_datetime(headers["date"])
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return None
