"""The inbox is bounded, keeps order, and loses nothing to a reader that gives up."""

import asyncio
from collections import Counter

import pytest

from edge.inbox import Inbox, Notification
from hw_sim.clock import run


def notification(n: int, sensor_id: str = "strap") -> Notification:
    return Notification(sensor_id, "characteristic", n, bytes([n]))


def drain(inbox: Inbox) -> list[Notification]:
    async def main() -> list[Notification]:
        return [await inbox.get() for _ in range(len(inbox))]

    return run(main())


def test_what_comes_first_goes_first() -> None:
    inbox = Inbox(16)
    sent = [notification(n) for n in range(16)]
    for each in sent:
        inbox.put(each)
    assert drain(inbox) == sent
    assert inbox.dropped == Counter()


@pytest.mark.parametrize("surplus", [1, 5, 40])
def test_the_oldest_is_dropped_and_counted_for_its_sensor(surplus: int) -> None:
    inbox = Inbox(16)
    sent = [notification(n, "strap" if n % 2 else "cgm") for n in range(16 + surplus)]
    for each in sent:
        inbox.put(each)
    assert len(inbox) == 16
    assert inbox.dropped == Counter(each.sensor_id for each in sent[:surplus])
    assert drain(inbox) == sent[surplus:]


def test_the_reader_sleeps_until_something_comes() -> None:
    async def main() -> tuple[float, Notification]:
        inbox = Inbox(16)
        loop = asyncio.get_running_loop()
        loop.call_later(7, inbox.put, notification(1))
        got = await inbox.get()
        return loop.time(), got

    assert run(main()) == (7.0, notification(1))


@pytest.mark.parametrize("filled_first", [False, True])
def test_a_reader_cancelled_at_any_moment_takes_nothing_with_it(filled_first: bool) -> None:
    async def main() -> list[Notification]:
        inbox = Inbox(16)
        reader = asyncio.ensure_future(inbox.get())
        await asyncio.sleep(1)
        if filled_first:  # it is about to wake up when the cancellation comes
            inbox.put(notification(1))
        reader.cancel()
        await asyncio.wait({reader})
        assert reader.cancelled()
        if not filled_first:
            inbox.put(notification(1))
        inbox.put(notification(2))
        return [await inbox.get(), await inbox.get()]

    assert run(main()) == [notification(1), notification(2)]
