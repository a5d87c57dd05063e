"""Waiting for a moment ends, although sums of seconds are rounded."""

import asyncio

from edge.clock import rest_s
from hw_sim.clock import run


def test_who_waits_for_less_than_can_be_told_gets_there() -> None:
    async def main() -> int:
        await asyncio.sleep(1e6)
        loop = asyncio.get_running_loop()
        begun_s, looks, until_s = loop.time(), 0, 0.1 + 0.2
        while (now_s := 0.3 + (loop.time() - begun_s)) < until_s and looks < 10:
            looks += 1
            await asyncio.sleep(rest_s(until_s, now_s))
        return looks

    assert run(main()) == 1
