"""How a server of this package is reached: by real HTTP on this machine, or in virtual time without any socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, unquote, urlsplit

from hw_sim.followers.answering import Asked, Follower, Said


class Coming:
    """An answer that is coming, as a client sees it."""

    def __init__(self, said: Said) -> None:
        self.status = said.status
        self.headers: Mapping[str, str] = said.headers
        self._said = said

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._said.body
        if self._said.endless is not None:
            async for chunk in self._said.endless:
                yield chunk


class Network:
    """Servers by host and port; whoever is not in it is not reached.

    Attributes:
        requests: the addresses that were asked, for tests that look for secrets.
    """

    def __init__(self, followers: Mapping[str, Follower]) -> None:
        self.followers = dict(followers)
        self.requests: list[str] = []

    @asynccontextmanager
    async def open(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[Coming]:
        parts = urlsplit(url)
        self.requests.append(url)
        follower = self.followers.get(parts.netloc)
        if follower is None:
            raise ConnectionError("no route to host")
        asked = Asked(
            unquote(parts.path.lstrip("/")),
            dict(parse_qsl(parts.query)),
            {name.lower(): value for name, value in headers.items()},
        )
        yield Coming(await follower.answer(asked))


@asynccontextmanager
async def serving(follower: Follower, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve by real HTTP on a free port; the address."""
    from aiohttp import web

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.path.lstrip("/"),
            dict(request.query),
            {name.lower(): value for name, value in request.headers.items()},
        )
        try:
            said = await follower.answer(asked)
        except ConnectionError:
            if request.transport is not None:
                request.transport.abort()
            raise
        if said.endless is None:
            return web.Response(status=said.status, body=said.body, headers=said.headers)
        response = web.StreamResponse(status=said.status, headers=said.headers)
        await response.prepare(request)
        await response.write(said.body)
        async for chunk in said.endless:
            await response.write(chunk)
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    try:
        assert isinstance(site._server, asyncio.Server)
        yield "http://{}:{}".format(*site._server.sockets[0].getsockname()[:2])
    finally:
        await runner.cleanup()
