"""HTTP by aiohttp, as a feed needs it: no cookies, no proxies, no redirects, certificates checked.

Contract: aiohttp is imported when the first feed asks, so that a home without feeds does not load it. Plain http goes
to private and loopback addresses only, unless that was allowed: whoever listens on the way would get the secret and the
values. The address is checked after its name was looked up, and that address is the one that is used."""

import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from edge.config import SensorConfig
from edge.feeds.client import FeedFailure, Reply, Web
from edge.radio.trouble import Trouble

CONNECT_S: Final = 10.0
CHUNK_BYTES: Final = 1 << 16


class _Reply:
    """An answer of aiohttp."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._content = response.content

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._content.iter_chunked(CHUNK_BYTES):
            yield chunk


def is_private(address: str) -> bool:
    """Whether an IP address is of this machine or of a local network."""
    try:
        told = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    told = getattr(told, "ipv4_mapped", None) or told
    return told.is_private or told.is_loopback or told.is_link_local


def open_web(config: SensorConfig) -> Web:
    """The web as it is, for one feed; each answer has a connection of its own, for a phone must not keep any for us."""

    @asynccontextmanager
    async def ask(url: str, headers: Mapping[str, str]) -> AsyncIterator[Reply]:
        import aiohttp

        must_be_private = urlsplit(url).scheme == "http" and not config.allow_plain_http
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        force_close=True, resolver=_resolver(must_be_private=must_be_private)
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
                ) as session,
                session.get(url, headers=headers, allow_redirects=False) as response,
            ):
                yield _Reply(response)
        except (aiohttp.ClientConnectorCertificateError, ssl.SSLError) as fault:
            raise FeedFailure(Trouble.FEED_UNTRUSTED, "its certificate is not trusted") from fault
        except aiohttp.ClientConnectorDNSError as fault:
            raise FeedFailure(Trouble.FEED_UNREACHABLE, "nobody knows its name") from fault
        except aiohttp.InvalidURL as fault:
            raise FeedFailure(Trouble.FEED_NONSENSE, "it leads to what is no address") from fault
        except aiohttp.ClientError as fault:
            reason = getattr(fault, "os_error", None)
            raise ConnectionError(getattr(reason, "errno", None), "") from fault

    return ask


def _resolver(*, must_be_private: bool) -> Any:
    """Looks names up; with `must_be_private` it refuses what is not of this network.

    A literal address does not come here: the configuration has checked it.
    """
    from aiohttp.resolver import ThreadedResolver

    class Resolver(ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[Any]:
            found = await super().resolve(host, port, family)
            if must_be_private and not all(is_private(one["host"]) for one in found):
                raise FeedFailure(Trouble.FEED_IN_THE_OPEN, "its name stands for a public address")
            return list(found)

    return Resolver()
