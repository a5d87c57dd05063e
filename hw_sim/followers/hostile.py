"""Servers that mean harm, or are broken: each is one way of answering."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

from hw_sim.followers.answering import Asked, Said

CHUNK = b'{"date":1,"sgv":100},' * 3000


@dataclass
class Hostile:
    """A server that answers in one way, `WAYS[way]`; `asked_s` counts how often."""

    way: str
    now_utc_s: Callable[[], float]
    asked: int = 0

    async def answer(self, _: Asked) -> Said:
        self.asked += 1
        return await WAYS[self.way](self)


def _row(utc_s: float, **more: Any) -> dict[str, Any]:
    return {"date": round(utc_s * 1000), "sgv": 120, "type": "sgv", **more}


async def _endless() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0)
        yield CHUNK


async def _dripping() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(5.0)
        yield b" "


async def _never(_: Hostile) -> Said:
    await asyncio.sleep(1e9)
    return Said()


async def _ends_never(_: Hostile) -> Said:
    return Said(200, b"[", endless=_endless())


async def _drips(_: Hostile) -> Said:
    return Said(200, b"[", endless=_dripping())


async def _huge(_: Hostile) -> Said:
    return Said(200, b"[" + b"0," * 1_000_000 + b"0]")


async def _deep(_: Hostile) -> Said:
    return Said(200, b"[" * 500_000)


async def _elsewhere(_: Hostile) -> Said:
    return Said(302, b"", {"location": "http://198.51.100.7/sgv.json"})


async def _in_circles(_: Hostile) -> Said:
    return Said(302, b"", {"location": "/api/v1/entries/sgv.json?again=1"})


async def _wrong_types(hostile: Hostile) -> Said:
    now_utc_s = hostile.now_utc_s()
    rows: list[Any] = [
        None,
        [],
        7,
        "row",
        {},
        _row(now_utc_s, sgv="NaN"),
        _row(now_utc_s, sgv={"$gt": 1}),
        _row(now_utc_s, sgv=True),
        _row(now_utc_s, sgv=5.5),
        _row(now_utc_s, sgv=-80),
        _row(now_utc_s, date="yesterday"),
        _row(now_utc_s, date=-1),
        _row(now_utc_s, date=10**400),
        _row(now_utc_s, type="mbg"),
        _row(now_utc_s, device="x" * 10_000, noise="loud", direction=3, utcOffset=1e9),
        _row(now_utc_s - 300.0, device="half a character: \ud83d"),
    ]
    return Said(200, json.dumps(rows).encode())


async def _million(hostile: Hostile) -> Said:
    async def rows() -> AsyncIterator[bytes]:
        some = [_row(hostile.now_utc_s() - back_s) for back_s in range(1000)]
        chunk = json.dumps(some)[1:-1].encode() + b","
        for _ in range(1000):
            await asyncio.sleep(0)
            yield chunk

    return Said(200, b"[", endless=rows())


async def _future(hostile: Hostile) -> Said:
    rows = [_row(hostile.now_utc_s() + ahead_s, sgv=45) for ahead_s in (600.0, 86_400.0, 1e9)]
    return Said(200, json.dumps(rows).encode())


async def _flapping(hostile: Hostile) -> Said:
    if hostile.asked % 2:
        return Said(401, b"")
    return Said(200, json.dumps([_row(hostile.now_utc_s() - 30.0)]).encode())


async def _html(_: Hostile) -> Said:
    return Said(200, b"<html>Sign in to the network of this hotel</html>")


async def _teapot(_: Hostile) -> Said:
    return Said(418, b"x" * 10_000)


WAYS: Final = {
    "never answers": _never,
    "never ends": _ends_never,
    "drips": _drips,
    "huge": _huge,
    "deep": _deep,
    "leads elsewhere": _elsewhere,
    "leads in circles": _in_circles,
    "wrong types": _wrong_types,
    "a million entries": _million,
    "dated into the future": _future,
    "lets in now and then": _flapping,
    "a page for people": _html,
    "a teapot": _teapot,
}
