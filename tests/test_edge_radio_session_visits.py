"""A sensor that connects only to deliver: being away and hanging up are no troubles; real ones are said."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from radio_parts import ADDRESS, Forgetful, Talker, World, end, start, world

from edge.errors import SensorLost
from edge.radio.link import Link
from edge.radio.pairing.bond import Bond
from edge.radio.session import AWAY_S, Session
from edge.radio.trouble import Trouble
from edge.sensors.sensor import SensorLive
from hw_sim.clock import run
from protocols import uuids


@dataclass
class Visitor(Talker):
    """What the test wants said to a sensor that does not stay; `brings` is what each contact adds."""

    brings: int = 1
    records: int = 0
    is_reporting: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kind = replace(self.kind, stays=False)

    async def converse(self, link: Link) -> None:
        await super().converse(link)
        self.records += self.brings

    def live(self) -> SensorLive:
        return SensorLive(self.records, is_catching_up=self.is_reporting)


async def hear_one(link: Link) -> None:
    await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
    while not link.has_spoken:
        await asyncio.sleep(0.1)


async def hear_for_ever(link: Link) -> None:
    await hear_one(link)
    await asyncio.get_running_loop().create_future()


def play(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        w = await world()
        await scenario(w)

    run(main())


def test_when_all_is_delivered_the_link_is_closed_and_that_is_no_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(w: World) -> None:
        session = w.session(Visitor(hear_one))
        running = start(session)
        await asyncio.sleep(5)
        state = session.state
        assert state.connects >= 2
        assert (state.losses, state.trouble) == (0, None)
        await end(running)

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert caplog.messages == []


def test_who_hangs_up_after_it_has_spoken_has_delivered(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(w: World) -> None:
        session = w.session(Visitor(hear_for_ever))
        running = start(session)
        await asyncio.sleep(3)
        for link in list(w.sensor.device.connections.values()):
            await link.disconnect()
        await asyncio.sleep(0.2)
        assert (session.state.losses, session.state.trouble) == (0, None)
        await end(running)

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert caplog.messages == []


@pytest.mark.parametrize(("talk", "is_reporting"), [(hear_for_ever, True), (None, False)])
def test_who_is_cut_off_in_its_report_or_before_a_word_is_lost(
    talk: Callable[[Link], Awaitable[None]] | None, is_reporting: bool
) -> None:
    async def nothing(_: Link) -> None:
        await asyncio.get_running_loop().create_future()

    async def scenario(w: World) -> None:
        session = w.session(Visitor(talk or nothing, is_reporting=is_reporting))
        running = start(session)
        await asyncio.sleep(3)
        for link in list(w.sensor.device.connections.values()):
            await link.disconnect()
        await asyncio.sleep(0.2)
        assert (session.state.losses, session.state.trouble) == (1, Trouble.LINK_DROPPED)
        await end(running)

    play(scenario)


def test_a_delivery_ends_the_trouble_that_was_there() -> None:
    async def refused_once(link: Link) -> None:
        if not said:
            said.append(True)
            raise SensorLost("no", Trouble.REFUSED)
        await hear_one(link)

    said: list[bool] = []

    async def scenario(w: World) -> None:
        session = w.session(Visitor(refused_once))
        running = start(session)
        while session.state.trouble is None:
            await asyncio.sleep(0.1)
        assert session.state.trouble is Trouble.REFUSED
        await asyncio.sleep(10)
        assert session.state.trouble is session.state.detail is session.state.trouble_boot_ns is None
        assert session.state.losses == 1
        await end(running)

    play(scenario)


def test_who_is_away_is_searched_for_without_a_word_and_reached_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(w: World) -> None:
        w.air.set_reachable(ADDRESS, False)
        session = w.session(Visitor(hear_one))
        running = start(session)
        await asyncio.sleep(3600)
        assert (session.state.phase, session.state.trouble) == ("searching", None)
        w.air.set_reachable(ADDRESS, True)
        await asyncio.sleep(2)
        assert session.state.connects >= 1
        await end(running)

    with caplog.at_level(logging.WARNING):
        play(scenario)
    assert caplog.messages == []


async def connects_in(w: World, session: Session, seconds: float) -> int:
    before = session.state.connects
    await asyncio.sleep(seconds)
    return session.state.connects - before


@pytest.mark.parametrize(("brings", "least", "most"), [(1, 20, 200), (0, 2, 9)])
def test_one_that_advertises_all_the_time_and_brings_nothing_new_is_visited_less_and_less(
    brings: int, least: int, most: int
) -> None:
    async def scenario(w: World) -> None:
        session = w.session(Visitor(hear_one, brings=brings))
        running = start(session)
        assert least < await connects_in(w, session, 120) < most
        # It was away: what it brings now may be new.
        w.air.set_reachable(ADDRESS, False)
        await asyncio.sleep(200 + AWAY_S)
        w.air.set_reachable(ADDRESS, True)
        assert await connects_in(w, session, 12) >= 2
        await end(running)

    play(scenario)


def test_one_that_is_gone_again_is_not_said_to_be_held_by_another() -> None:
    async def scenario(w: World) -> None:
        session = w.session(Visitor(hear_one))

        async def late(*_: object, **__: object) -> object:
            raise TimeoutError

        session.radio.connect = late  # type: ignore[method-assign, assignment]
        running = start(session)
        await asyncio.sleep(5)
        assert session.state.trouble is Trouble.CONNECT_FAILED
        await end(running)

    play(scenario)


def test_one_that_refuses_without_a_bond_gets_one_at_the_next_contact() -> None:
    async def scenario(w: World) -> None:
        asked: list[bool] = []
        visitor = Visitor(refuse)
        session = w.session(visitor)
        session.bond = Bond(visitor.config, visitor.kind, session.radio.pairing, Forgetful(), w.clock)
        connect = session.radio.connect

        async def noted(*args: object, adapter: str) -> object:
            asked.append(args[3] is not None)
            return await connect(*args, adapter=adapter)  # type: ignore[arg-type]

        session.radio.connect = noted  # type: ignore[method-assign, assignment]
        running = start(session)
        await asyncio.sleep(10)
        assert asked[:2] == [False, True]
        await end(running)

    async def refuse(_: Link) -> None:
        raise SensorLost("insufficient authentication", Trouble.PAIRING_FAILED)

    play(scenario)
