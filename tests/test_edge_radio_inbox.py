"""The inbox is bounded, keeps order, numbers links, and wakes its reader."""

import asyncio
from collections import Counter

import pytest

from edge.radio.inbox import Inbox, Notification
from hw_sim.clock import run


def notification(n: int, sensor_id: str = "strap", link: int = 1) -> Notification:
    return Notification(sensor_id, link, "characteristic", n, bytes([n]))


def test_what_comes_first_goes_first() -> None:
    inbox = Inbox(16)
    sent = [notification(n) for n in range(16)]
    for each in sent:
        inbox.put(each)
    assert list(inbox.queue) == sent
    assert inbox.dropped == Counter()


@pytest.mark.parametrize("surplus", [1, 5, 40])
def test_the_oldest_is_dropped_and_counted_for_its_sensor(surplus: int) -> None:
    inbox = Inbox(16)
    sent = [notification(n, "strap" if n % 2 else "cgm") for n in range(16 + surplus)]
    for each in sent:
        inbox.put(each)
    assert len(inbox) == 16
    assert inbox.dropped == Counter(each.sensor_id for each in sent[:surplus])
    assert list(inbox.queue) == sent[surplus:]


def test_no_two_links_have_the_same_number_and_the_newest_of_each_sensor_is_known() -> None:
    inbox = Inbox(16)
    numbers = [inbox.open_link(sensor_id) for sensor_id in ("strap", "cgm", "strap")]
    assert len(set(numbers)) == 3
    assert inbox.newest_link == {"strap": numbers[2], "cgm": numbers[1]}


def test_the_reader_sleeps_until_something_comes() -> None:
    async def main() -> float:
        inbox = Inbox(16)
        loop = asyncio.get_running_loop()
        loop.call_later(7, inbox.put, notification(1))
        await inbox.filled()
        assert list(inbox.queue) == [notification(1)]
        await inbox.filled()  # there is still something to read
        return loop.time()

    assert run(main()) == 7.0


@pytest.mark.parametrize("filled_first", [False, True])
def test_a_reader_cancelled_at_any_moment_leaves_everything_to_the_next(filled_first: bool) -> None:
    async def main() -> None:
        inbox = Inbox(16)
        reader = asyncio.ensure_future(inbox.filled())
        await asyncio.sleep(1)
        if filled_first:  # it is about to wake up when the cancellation comes
            inbox.put(notification(1))
        reader.cancel()
        await asyncio.wait({reader})
        assert reader.cancelled()
        if not filled_first:
            inbox.put(notification(1))
        inbox.put(notification(2))
        await inbox.filled()
        assert list(inbox.queue) == [notification(1), notification(2)]

    run(main())
