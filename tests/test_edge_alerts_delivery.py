"""Each event is told on each channel until that is proved; how far each has come is known, also to the next process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from board_parts import Ear
from edge_parts import minimal_config, open_store
from store_parts import alert_event

from edge.agenda import Agenda
from edge.alerts import delivery
from edge.alerts.delivery import Channel, Delivery
from edge.alerts.ledger import Ledger
from edge.alerts.message import Message, message
from edge.alerts.state import Tier
from edge.store.alerts import AlertEvent
from edge.store.door import Store
from hw_sim.clock import VirtualClock, run


class Post:
    """The delivery, with the store that remembers how far it has come."""

    def __init__(self, store: Store, channels: Sequence[Channel]) -> None:
        self.store = store
        self.clock = VirtualClock(0, "boot-1")
        self.agenda = Agenda(self.clock)
        self.ledger = Ledger(store, self.agenda, self.clock, boot_no=1)
        self.delivery = Delivery(channels, self.ledger, self.clock)

    def tell(
        self,
        rule: str = "glucose_low",
        what: str = "raised",
        *,
        ordinal: int = 1,
        urgent: bool = False,
        tier: Tier = Tier.REMINDER,
        age_s: float = 0.0,
    ) -> AlertEvent:
        event = alert_event(rule, what, ordinal=ordinal)._replace(urgent=urgent, tier=int(tier))
        channels = self.delivery.channels_for(tier)
        self.ledger.note(event, channels)
        self.delivery.hand(message(event, "cgm", "anna", 0.0), channels, age_s)
        self.ledger.save()
        return event

    def states(self, event: AlertEvent) -> dict[str, tuple[str, int]]:
        """How far each channel has come, and how often it has tried."""
        return {one.channel: (one.state, one.tries) for one in self.store.tables.alerts.deliveries(event.id)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


def play(store: Store, channels: Sequence[Channel], scenario: Callable[[Post], Awaitable[None]]) -> None:
    async def main() -> None:
        post = Post(store, channels)
        tasks = [asyncio.ensure_future(job) for job in (post.agenda.run(), store.run(), post.delivery.run())]
        await asyncio.sleep(0)
        await scenario(post)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(main())


def test_it_is_told_on_each_channel_and_delivered_only_when_that_is_proved(store: Store) -> None:
    quick, slow, dead = Ear(name="quick"), Ear(name="slow", takes_s=5.0), Ear(name="dead", trouble="broken")

    async def scenario(post: Post) -> None:
        event = post.tell()
        await asyncio.sleep(3)
        assert {channel: state for channel, (state, _) in post.states(event).items()} == {
            "quick": "delivered",
            "slow": "issued",
            "dead": "issued",
        }
        await asyncio.sleep(10)
        post.ledger.save()
        await asyncio.sleep(1)
        assert post.states(event) == {
            "quick": ("delivered", 1),
            "slow": ("delivered", 1),
            "dead": ("issued", 4),  # after 0, 1, 3 and 7 s
        }

    play(store, [quick, slow, dead], scenario)
    assert len(quick.heard) == len(slow.heard) == 1


def test_a_channel_that_works_again_tells_everything_once_and_in_order(store: Store) -> None:
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        events = [post.tell(ordinal=n) for n in range(1, 5)]
        events.append(post.tell("glucose_urgent_low", urgent=True))
        await asyncio.sleep(1000)
        ear.trouble = None
        await asyncio.sleep(301)
        assert [post.states(event)["ear"][0] for event in events] == ["delivered"] * 5

    play(store, [ear], scenario)
    assert [(one.rule, one.ordinal) for one in ear.heard] == [
        ("glucose_urgent_low", 1),
        *(("glucose_low", n) for n in range(1, 5)),
    ]


def test_something_new_is_tried_at_once_though_the_channel_has_failed_for_long(store: Store) -> None:
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        post.tell()
        await asyncio.sleep(1500)
        ear.trouble = None
        tries = ear.tries
        post.tell(ordinal=2)
        await asyncio.sleep(0.1)
        assert ear.tries > tries
        assert len(ear.heard) == 2

    play(store, [ear], scenario)


def test_it_is_given_up_after_an_hour_counted_from_when_it_happened(store: Store) -> None:
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        young, old = post.tell(), post.tell(ordinal=2, age_s=3000.0)
        post.tell(what="worse", ordinal=2)
        await asyncio.sleep(1000)
        ear.trouble = None
        await asyncio.sleep(301)
        assert post.states(old)["ear"][0] == "failed"
        assert post.states(young)["ear"][0] == "delivered"

    play(store, [ear], scenario)


def test_the_newest_about_an_alert_that_stands_is_never_given_up(store: Store) -> None:
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        post.tell(), post.tell(what="escalated", tier=Tier.HOME)
        ended = post.tell("glucose_high", "over")
        await asyncio.sleep(20_000)
        assert post.states(ended)["ear"][0] == "failed"
        ear.trouble = None
        await asyncio.sleep(301)

    play(store, [ear], scenario)
    assert ear.said == [("glucose_low", "escalated")]


@pytest.mark.parametrize("end", ["over", "retracted"])
def test_an_alert_that_began_and_ended_untold_is_not_told(store: Store, end: str) -> None:
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        events = [post.tell(), post.tell(what=end), post.tell(ordinal=2)]
        await asyncio.sleep(10)
        ear.trouble = None
        await asyncio.sleep(60)
        assert [post.states(event)["ear"][0] for event in events] == ["retracted", "retracted", "delivered"]

    play(store, [ear], scenario)
    assert [one.ordinal for one in ear.heard] == [2]


def test_the_end_of_one_that_is_just_being_told_is_told_too(store: Store) -> None:
    ear = Ear(takes_s=5.0)

    async def scenario(post: Post) -> None:
        post.tell()
        await asyncio.sleep(1)
        post.tell(what="over")
        await asyncio.sleep(20)

    play(store, [ear], scenario)
    assert [one.what for one in ear.heard] == ["raised", "over"]


def test_neither_is_told_if_that_attempt_fails(store: Store) -> None:
    ear = Ear(takes_s=5.0, trouble="broken")

    async def scenario(post: Post) -> None:
        events = [post.tell()]
        await asyncio.sleep(1)
        events.append(post.tell(what="over"))
        await asyncio.sleep(5)
        ear.trouble = None
        await asyncio.sleep(60)
        post.ledger.save()
        await asyncio.sleep(1)
        assert [post.states(event)["ear"][0] for event in events] == ["retracted", "retracted"]

    play(store, [ear], scenario)
    assert ear.heard == []


def test_what_somebody_has_taken_note_of_is_not_told_any_more(store: Store) -> None:
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        event = post.tell()
        await asyncio.sleep(10)
        noted = post.tell(what="acknowledged")
        ear.trouble = None
        await asyncio.sleep(60)
        assert (post.states(event)["ear"][0], post.states(noted)["ear"][0]) == ("acknowledged", "delivered")

    play(store, [ear], scenario)
    assert [one.what for one in ear.heard] == ["acknowledged"]


def test_a_channel_is_given_only_what_is_for_its_tier(store: Store) -> None:
    wearer, home = Ear(name="wearer"), Ear(name="home", least_tier=Tier.HOME)

    async def scenario(post: Post) -> None:
        post.tell()
        post.tell(what="escalated", tier=Tier.HOME)
        await asyncio.sleep(1)

    play(store, [wearer, home], scenario)
    assert [one.what for one in wearer.heard] == ["raised", "escalated"]
    assert [one.what for one in home.heard] == ["escalated"]


def test_a_channel_that_fails_twice_in_a_row_is_dead_until_it_delivers(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    ear, listener = Ear(trouble="no sound"), Ear(name="listener", must_work=False, trouble="nobody")
    caplog.set_level(logging.INFO)

    async def scenario(post: Post) -> None:
        post.tell()
        await asyncio.sleep(0.5)
        assert post.delivery.dead == {}
        await asyncio.sleep(1)
        assert post.delivery.dead == {"ear": "no sound"}
        ear.trouble = None
        await asyncio.sleep(10)
        assert post.delivery.dead == {}

    play(store, [ear, listener], scenario)
    assert [record.getMessage() for record in caplog.records if "told by" in record.getMessage()] == [
        "alerts cannot be told by ear: no sound",
        "alerts are told by ear again",
    ]


def test_too_many_are_bounded_and_urgent_ones_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LETTERS_MAX", 3)
    ear = Ear(trouble="broken")

    async def scenario(post: Post) -> None:
        post.tell("glucose_urgent_low", urgent=True)
        for n in range(1, 6):
            post.tell(ordinal=n)
        await asyncio.sleep(10)
        ear.trouble = None
        await asyncio.sleep(60)

    play(store, [ear], scenario)
    assert [(one.rule, one.ordinal) for one in ear.heard] == [
        ("glucose_urgent_low", 1),
        ("glucose_low", 4),
        ("glucose_low", 5),
    ]


def test_a_channel_that_never_answers_delays_no_other(store: Store) -> None:
    hung, ear = Ear(name="hung", takes_s=1e6), Ear()

    async def scenario(post: Post) -> None:
        post.tell()
        post.tell(ordinal=2)
        await asyncio.sleep(1)
        assert len(ear.heard) == 2

    play(store, [hung, ear], scenario)


def test_on_the_way_out_what_is_being_told_is_let_end(store: Store) -> None:
    ear = Ear(takes_s=2.0)
    events: list[AlertEvent] = []
    posts: list[Post] = []

    async def scenario(post: Post) -> None:
        posts.append(post)
        events.append(post.tell())
        await asyncio.sleep(0.1)

    async def main() -> None:
        post = Post(store, [ear])
        tasks = [asyncio.ensure_future(job) for job in (post.agenda.run(), post.delivery.run())]
        writing = asyncio.ensure_future(store.run())
        await asyncio.sleep(0)
        await scenario(post)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        post.ledger.save()
        await store.drain()
        writing.cancel()
        await asyncio.wait({writing})

    run(main())
    assert posts[0].states(events[0])["ear"] == ("delivered", 1)
    assert len(ear.heard) == 1


def test_a_test_waits_for_its_turn_and_is_no_event(store: Store) -> None:
    ear = Ear(takes_s=1.0)
    said: list[Message] = []

    async def scenario(post: Post) -> None:
        post.tell()
        await asyncio.sleep(0.1)
        test = message(alert_event("test", sensor_no=None), None, None, None)
        (result,) = await post.delivery.test(test)
        assert result.trouble is None
        said.extend(ear.heard)

    play(store, [ear], scenario)
    assert [one.rule for one in said] == ["glucose_low", "test"]
