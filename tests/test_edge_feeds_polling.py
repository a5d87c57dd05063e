"""What a feed is asked for, and when. A plain server plays the other side: its truth is a list of stamps."""

from dataclasses import dataclass, field
from random import Random

import pytest

from edge.feeds import polling
from edge.feeds.polling import Polling, State
from edge.feeds.servers import Ask, Server
from edge.radio.trouble import Trouble

DAY_MS = 86_400_000
STEP_MS = 300_000
NOW_MS = 1_795_219_200_000


@dataclass
class Played:
    """Entries by their stamps, and what was kept of them."""

    stamps_ms: list[int]
    rows_max: int = 1000
    kept: set[int] = field(default_factory=set)
    asked: list[Ask] = field(default_factory=list)

    def play(self, poll: Polling, from_s: float, until_s: float) -> float:
        """Let it be asked until nothing is due before that; when that was."""
        now_s = from_s
        while (due_s := poll.due_s()) <= until_s:
            now_s = max(now_s, due_s)
            ask = poll.next(now_s)
            assert ask is not None
            self.answer(poll, ask, now_s)
        return now_s

    def answer(self, poll: Polling, ask: Ask, now_s: float) -> None:
        self.asked.append(ask)
        now_ms = NOW_MS + round(now_s * 1000)
        here = [
            s
            for s in self.stamps_ms
            if s <= now_ms and (ask.until_ms is None or (ask.after_ms or 0) < s <= ask.until_ms)
        ]
        page = here[-min(ask.rows_max, self.rows_max) :]
        if poll.on_page(ask, page, len(page), now_s, now_ms):
            assert not self.kept & set(page) or max(self.kept) >= page[0]
            self.kept.update(page)


def every_five_minutes(days: float, until_ms: int = NOW_MS) -> list[int]:
    return list(range(until_ms - round(days * DAY_MS), until_ms, STEP_MS))


@pytest.mark.parametrize("server", list(Server))
def test_everything_is_kept_in_order_and_a_kill_loses_nothing(server: Server) -> None:
    known = Played(every_five_minutes(3.0))
    poll = Polling([server], None, Random(1))
    known.play(poll, 0.0, 5.0)
    cursor = max(known.kept, default=0)
    again = Played(known.stamps_ms, kept=set(known.kept))
    second = Polling([server], cursor or None, Random(2))
    again.play(second, 5.0, 200.0)
    assert again.kept == set(known.stamps_ms)
    assert second.state is State.RESTING


def test_what_a_phone_remembers_no_longer_is_said_to_be_lost() -> None:
    known = Played(every_five_minutes(8.0))
    poll = Polling([Server.XDRIP], known.stamps_ms[0], Random(1))
    known.play(poll, 0.0, 100.0)
    assert known.kept == set(known.stamps_ms[-1000:])
    assert poll.lost_s == pytest.approx((8 * 288 - 1000) * 300.0, abs=400.0)


def test_two_minutes_of_history_are_asked_for_no_more_than_once_a_second() -> None:
    known = Played(every_five_minutes(30.0))
    poll = Polling([Server.NIGHTSCOUT], known.stamps_ms[0], Random(1))
    known.play(poll, 0.0, 60.0)
    pages = [ask for ask in known.asked if ask.is_history]
    assert 10 <= len(pages) <= 60
    assert all(ask.rows_max <= polling.PAGE_ROWS for ask in known.asked)


def test_windows_grow_over_what_is_empty_and_shrink_where_much_is() -> None:
    old = every_five_minutes(1.0, NOW_MS - 80 * DAY_MS)
    dense = list(range(NOW_MS - 2 * DAY_MS, NOW_MS, 30_000))
    known = Played([*old, *dense])
    poll = Polling([Server.NIGHTSCOUT], old[0] - 1, Random(1))
    known.play(poll, 0.0, 300.0)
    assert known.kept == {*old, *dense}
    empty = [ask for ask in known.asked if ask.until_ms is not None and ask.until_ms < dense[0]]
    assert len(empty) < 16


def test_what_comes_late_is_found_within_the_hour() -> None:
    known = Played(every_five_minutes(2.0))
    poll = Polling([Server.NIGHTSCOUT], known.stamps_ms[0] - 1, Random(1))
    end_s = known.play(poll, 0.0, 600.0)
    late = NOW_MS - 10 * 3_600_000 + 7
    known.stamps_ms = sorted([*known.stamps_ms, late])
    known.play(poll, end_s, end_s + 4200.0)
    assert late in known.kept


def test_the_next_value_is_asked_for_when_it_should_be_there() -> None:
    poll = Polling([Server.XDRIP], NOW_MS - DAY_MS, Random(1))
    ask = poll.next(0.0)
    assert ask is not None
    stamps = [NOW_MS - 100_000 - 300_000 * n for n in range(12)][::-1]
    poll.on_page(ask, stamps, 12, 0.0, NOW_MS)
    history = poll.next(2.0)
    assert history is not None
    poll.on_page(history, stamps, 12, 2.0, NOW_MS + 2000)
    assert poll.next(100.0) is None
    assert 200.0 + polling.AFTER_S <= poll.due_s() <= 200.0 + polling.AFTER_S + 2.0


def test_nobody_is_asked_more_often_than_now_and_then_while_nothing_comes() -> None:
    known = Played(every_five_minutes(0.5))
    poll = Polling([Server.XDRIP], known.stamps_ms[0], Random(1))
    known.play(poll, 0.0, 86_400.0)
    assert len(known.asked) < 86_400 / 300 * 1.2 + 30


@pytest.mark.parametrize(
    ("trouble", "most_s"), [(Trouble.FEED_UNREACHABLE, 300.0), (Trouble.FEED_REFUSED, 900.0)]
)
def test_pauses_after_failures_grow_to_a_limit_and_end_with_an_answer(
    trouble: Trouble, most_s: float
) -> None:
    poll = Polling([Server.XDRIP], NOW_MS, Random(1))
    now_s, pauses = 0.0, []
    for _ in range(10):
        assert poll.next(now_s) is not None
        poll.on_failed(trouble, now_s)
        assert poll.trouble is trouble
        pauses.append(poll.due_s() - now_s)
        now_s = poll.due_s()
    assert pauses[0] < pauses[2] < pauses[3]
    assert 0.9 * most_s <= pauses[-1] <= most_s
    ask = poll.next(now_s)
    assert ask is not None
    poll.on_page(ask, [NOW_MS], 1, now_s, 10.0)
    assert poll.trouble is None
    poll.on_failed(trouble, now_s)
    assert poll.due_s() - now_s <= pauses[0] * 1.2


def test_a_server_that_asks_for_patience_gets_it_within_reason() -> None:
    poll = Polling([Server.NIGHTSCOUT], NOW_MS, Random(1))
    poll.on_failed(Trouble.FEED_UNREACHABLE, 0.0, 1200.0)
    assert 1080.0 <= poll.due_s() <= 1200.0
    poll.on_failed(Trouble.FEED_UNREACHABLE, 0.0, 1e9)
    assert poll.due_s() <= polling.RETRY_AFTER_S_MAX


def test_the_ways_to_ask_are_tried_in_turn_and_the_telling_failure_is_told() -> None:
    poll = Polling([Server.XDRIP, Server.JUGGLUCO], NOW_MS, Random(1))
    poll.on_failed(Trouble.FEED_UNREACHABLE, 0.0)
    assert poll.server is Server.XDRIP
    poll.on_failed(Trouble.FEED_REFUSED, 20.0)
    assert (poll.server, poll.due_s()) == (Server.JUGGLUCO, 21.0)
    poll.on_failed(Trouble.FEED_NONSENSE, 21.0)
    assert (poll.server, poll.trouble) == (Server.XDRIP, Trouble.FEED_REFUSED)
    assert poll.due_s() > 21.0 + 30.0


def test_a_server_that_becomes_another_is_found_again() -> None:
    poll = Polling([Server.XDRIP, Server.JUGGLUCO], NOW_MS, Random(1))
    ask = poll.next(0.0)
    assert ask is not None
    poll.on_page(ask, [NOW_MS], 1, 0.0, 10.0)
    for _ in range(polling.LOST_TRIES):
        assert poll.state is not State.SEEKING
        poll.on_failed(Trouble.FEED_NONSENSE, 10.0)
    assert poll.is_seeking


def test_what_could_not_be_stored_is_asked_for_again() -> None:
    known = Played(every_five_minutes(1.0))
    poll = Polling([Server.NIGHTSCOUT], known.stamps_ms[0] - 1, Random(1))
    end_s = known.play(poll, 0.0, 300.0)
    lost = set(known.stamps_ms[100:])
    known.kept -= lost
    poll.on_lost(min(lost))
    known.play(poll, end_s, end_s + 600.0)
    assert known.kept == set(known.stamps_ms)
