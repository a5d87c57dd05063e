"""A link's requests end at their deadline, and closed it is closed for good."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bleak.exc import BleakError

from edge.radio.deadline import CLEANUP_S
from edge.radio.inbox import Inbox
from edge.radio.link import Link
from hw_sim.clock import VirtualClock, run
from protocols import uuids


class DumbClient:
    """Never answers, or says what it is told to."""

    def __init__(self, answer: bytes | Exception | None = None) -> None:
        self.answer = answer
        self.callbacks: list[Callable[[object, bytearray], None]] = []

    async def read_gatt_char(self, _: str) -> bytes:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.get_running_loop().create_future()
        assert isinstance(self.answer, bytes)
        return self.answer

    async def write_gatt_char(self, *_: Any, **__: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def start_notify(self, _: str, callback: Callable[[object, bytearray], None]) -> None:
        self.callbacks.append(callback)
        if self.answer is None:
            await asyncio.get_running_loop().create_future()

    async def disconnect(self) -> None:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.get_running_loop().create_future()


def link_to(client: DumbClient, inbox: Inbox | None = None, **how: Any) -> Link:
    clock = VirtualClock(0, "boot-1")
    return Link(client, "strap", Inbox(16) if inbox is None else inbox, clock, timeout_s=10.0, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ask",
    [
        lambda link: link.read(uuids.BATTERY_LEVEL),
        lambda link: link.write(uuids.RACP, b"\x01\x01"),
        lambda link: link.subscribe(uuids.RACP),
    ],
)
def test_a_request_that_is_never_answered_fails_at_its_deadline(
    ask: Callable[[Link], Awaitable[Any]],
) -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(3600, lambda: None)
        with pytest.raises(TimeoutError):
            await ask(link_to(DumbClient()))
        return asyncio.get_running_loop().time()

    assert run(main()) == 10.0


@pytest.mark.parametrize(
    ("answer", "level_pct"),
    [(b"\x57", 87), (b"\xff", None), (b"", None), (BleakError("two of them"), None), (None, None)],
)
def test_a_battery_that_tells_nonsense_is_worth_no_link(
    answer: bytes | Exception | None, level_pct: int | None
) -> None:
    async def main() -> int | None:
        asyncio.get_running_loop().call_later(3600, lambda: None)
        return await link_to(DumbClient(answer)).battery_pct()

    assert run(main()) == level_pct


def test_every_link_has_a_number_of_its_own_and_says_it_with_each_packet() -> None:
    async def main() -> None:
        inbox = Inbox(16)
        firsts: list[int] = []
        links = [link_to(DumbClient(b""), inbox, on_first=lambda n=n: firsts.append(n)) for n in range(3)]
        assert len({link.number for link in links}) == 3
        assert inbox.newest_link == {"strap": links[-1].number}
        for link in links:
            client: Any = link._client
            await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
            assert not link.has_spoken
            await asyncio.sleep(5)
            for payload in (b"a", b"b"):
                client.callbacks[0](None, bytearray(payload))
            assert link.has_spoken
            assert link.heard_boot_ns == round(asyncio.get_running_loop().time() * 1e9)
        assert [(n.link, n.payload) for n in inbox.queue] == [
            (link.number, payload) for link in links for payload in (b"a", b"b")
        ]
        assert firsts == [0, 1, 2]

    run(main())


@pytest.mark.parametrize(
    ("answer", "ends_s"), [(b"", 0.0), (BleakError("gone"), 0.0), (OSError("no bus"), 0.0), (None, 10.0)]
)
def test_of_a_closed_link_nothing_is_heard_whether_it_ends_or_not(
    answer: bytes | Exception | None, ends_s: float
) -> None:
    async def main() -> None:
        inbox = Inbox(16)
        client = DumbClient(b"")
        link = link_to(client, inbox)
        await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
        client.answer = answer
        closing = asyncio.ensure_future(link.close())
        await asyncio.sleep(0)
        client.callbacks[0](None, bytearray(b"\x00\x3c"))
        assert await closing is (answer is not None)
        assert ends_s <= asyncio.get_running_loop().time() <= ends_s + CLEANUP_S
        client.callbacks[0](None, bytearray(b"\x00\x3c"))
        assert len(inbox) == 0

    run(main())
