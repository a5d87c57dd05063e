"""The inbox is bounded, keeps order, numbers links, and wakes its reader."""

from collections import Counter

import pytest

from edge.clock import NS_PER_S
from edge.radio.inbox import PER_S_MAX, Inbox, Notification


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


def test_the_reader_is_told_once_until_it_has_read_everything() -> None:
    inbox, told = Inbox(16), []
    inbox.on_filled = lambda: told.append(len(inbox))
    for n in (1, 2):
        inbox.put(notification(n))
    assert told == [0]
    inbox.queue.clear()
    inbox.put(notification(3))
    assert told == [0, 0]
    assert list(inbox.queue) == [notification(3)]


def test_what_a_sensor_sends_beyond_all_measure_is_dropped_and_takes_no_place() -> None:
    inbox = Inbox(3 * PER_S_MAX)
    for second in (5, 6):
        for n in range(2 * PER_S_MAX):
            inbox.put(Notification("flood", 1, "characteristic", second * NS_PER_S + n, b""))
        inbox.put(Notification("strap", 2, "characteristic", second * NS_PER_S, b""))
        assert inbox.dropped == Counter(flood=(second - 4) * PER_S_MAX)
    came = Counter(each.sensor_id for each in inbox.queue)
    assert came == Counter(flood=2 * PER_S_MAX, strap=2)
