"""Whoever waits gets on at the deadline, whatever becomes of the work; and no failure of it is left unseen."""

import asyncio
import gc
from typing import Any

import pytest

from edge.errors import SensorLost
from edge.radio import deadline
from edge.radio.deadline import CLEANUP_S, within
from hw_sim.clock import run


async def takes(seconds: float, outcome: BaseException | str = "done", *, stubborn_s: float = 0.0) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if stubborn_s == 0.0:
            raise
        await asyncio.sleep(stubborn_s)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_a_failure_in_the_moment_in_which_the_caller_is_cancelled_is_seen() -> None:
    complaints: list[Any] = []

    async def main() -> None:
        async def fails() -> None:
            asyncio.get_running_loop().call_soon(waiting.cancel)
            raise ZeroDivisionError

        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        waiting = asyncio.ensure_future(within(10, fails()))
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(main())
    gc.collect()
    assert complaints == []


def test_what_ends_in_time_is_handed_on() -> None:
    async def main() -> None:
        assert await within(10, takes(5)) == "done"
        with pytest.raises(ZeroDivisionError):
            await within(10, takes(5, ZeroDivisionError()))
        with pytest.raises(SensorLost):
            await within(10, takes(5, asyncio.CancelledError()))

    run(main())


@pytest.mark.parametrize(("stubborn_s", "until_s"), [(0.0, 10.0), (3.0, 13.0), (1000.0, 10.0 + CLEANUP_S)])
@pytest.mark.parametrize("outcome", ["done", ZeroDivisionError()])
def test_nobody_waits_longer_than_the_deadline_and_a_little(
    stubborn_s: float, until_s: float, outcome: Exception | str
) -> None:
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        with pytest.raises(TimeoutError):
            await within(10, takes(100, outcome, stubborn_s=stubborn_s))
        assert now_s() == until_s
        await asyncio.sleep(2000)

    run(main())
    gc.collect()
    assert complaints == []
    assert not deadline._left_behind


@pytest.mark.parametrize("stubborn_s", [0.0, 1000.0])
def test_who_is_cancelled_cancels_the_work_and_does_not_wait_for_ever(stubborn_s: float) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(within(1e6, takes(1e6, stubborn_s=stubborn_s)))
        await asyncio.sleep(10)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        assert now_s() <= 10 + CLEANUP_S
        await asyncio.sleep(2000)
        assert not deadline._left_behind

    run(main())
