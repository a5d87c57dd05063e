"""A session stays with its sensor through everything a radio can do, and ends when it is told to."""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from bleak.exc import BleakError
from edge_parts import MIDNIGHT_UTC_S

from edge.config import Limits, SensorConfig
from edge.errors import SensorLost
from edge.inbox import Inbox
from edge.radio import Radio
from edge.session import Link, Session
from hw_sim.air import Air
from hw_sim.central import Central, open_central
from hw_sim.clock import VirtualClock, run
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import heart_rate, uuids
from protocols.errors import DecodeError

ADDRESS = "F0:00:00:00:00:01"
LIMITS = Limits()


async def hear_heart_rate(link: Link) -> None:
    await link.subscribe(uuids.HEART_RATE_MEASUREMENT)


async def for_ever(_: Link) -> None:
    await asyncio.get_running_loop().create_future()


@dataclass
class Talker:
    """A kind of sensor that says what the test wants said."""

    converse: Callable[[Link], Awaitable[None]] = hear_heart_rate
    pair: bool = False
    stale_s: float = 15.0
    config: SensorConfig = field(default_factory=lambda: SensorConfig("strap", "heart_rate", ADDRESS))


def beats(rr_ms: float = 800.0) -> Any:
    while True:
        yield rr_ms


class World:
    """A strap, a gateway's radio, and one session that is not yet running."""

    def __init__(self, talker: Talker, air: Air, sensor: Any, central: Central, radio: Radio) -> None:
        self.air, self.sensor, self.central = air, sensor, central
        self.inbox = Inbox(4096)
        clock = VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1")
        self.session = Session(talker, radio, self.inbox, clock, LIMITS, random.Random(1))  # type: ignore[arg-type]

    @property
    def state(self) -> Any:
        return self.session.state

    @property
    def is_connected(self) -> bool:
        """Whether the sensor has a link."""
        return bool(self.sensor.device.connections)

    def start(self) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.session.run())

    async def until(self, phase: str, limit_s: float = 300.0) -> None:
        async with asyncio.timeout(limit_s):
            while self.state.phase != phase:
                await asyncio.sleep(0.1)


async def world(talker: Talker, *, cgm: bool = False) -> World:
    air = Air()
    sensor: CgmSensor | HeartRateStrap
    if cgm:
        readings = iter([(n * 300.0, 100.0) for n in range(20)])
        sensor = CgmSensor(air, ADDRESS, readings, begin_s=-3600.0, session_age_s=0.0)
    else:
        sensor = HeartRateStrap(air, ADDRESS, beats(), begin_s=0.0)
    await sensor.start()
    central = await open_central(air, bonds=None)
    return World(talker, air, sensor, central, Radio(central.scanner_backend, central.client_backend))


async def end(running: "asyncio.Task[None]", limit_s: float = 30.0) -> None:
    running.cancel()
    async with asyncio.timeout(limit_s):
        await asyncio.wait({running})
    assert running.cancelled()


def test_what_the_sensor_sends_is_stamped_and_comes_through_untouched() -> None:
    async def main() -> None:
        w = await world(Talker())
        running = w.start()
        await asyncio.sleep(20)
        heard = [await w.inbox.get() for _ in range(len(w.inbox))]
        assert {(n.sensor_id, n.characteristic) for n in heard} == {("strap", uuids.HEART_RATE_MEASUREMENT)}
        rr = [t for n in heard for t in heart_rate.decode(n.payload).rr_ticks or ()]
        assert len(rr) == w.sensor.rr_sent > 20
        gaps_ns = [b.boot_ns - a.boot_ns for a, b in itertools.pairwise(heard)]
        assert set(gaps_ns) == {10**9}
        assert (w.state.phase, w.state.connects, w.state.losses, w.state.last_error) == (
            "streaming",
            1,
            0,
            None,
        )
        await end(running)
        assert not w.is_connected

    run(main())


def test_a_lost_link_is_found_again_and_told_with_its_time() -> None:
    async def main() -> None:
        w = await world(Talker())
        running = w.start()
        await asyncio.sleep(60)
        w.air.set_reachable(ADDRESS, False)
        await w.until("searching")
        assert (w.state.connects, w.state.losses, w.state.last_error) == (1, 1, "the link dropped")
        # The supervision timeout is below a second; the strap was the last to be heard.
        assert 60e9 <= w.state.last_error_boot_ns <= 80e9
        await asyncio.sleep(1000)
        w.air.set_reachable(ADDRESS, True)
        await w.until("streaming", 5)
        await asyncio.sleep(5)
        assert (w.state.connects, w.state.losses) == (2, 1)
        await end(running)

    run(main())


@pytest.mark.parametrize("cgm", [False, True])
@pytest.mark.parametrize("turns", range(0, 240, 24))
def test_a_link_lost_at_any_moment_of_its_making_is_made_again(turns: int, cgm: bool) -> None:
    async def main() -> None:
        w = await world(Talker(for_ever if cgm else hear_heart_rate, pair=cgm, stale_s=1e6), cgm=cgm)
        running = w.start()
        await turns_after_contact(w, turns)
        w.air.lose_link(ADDRESS)
        await asyncio.sleep(120)
        assert not running.done()
        assert w.state.phase == "streaming"
        assert w.is_connected
        await end(running)

    run(main())


@pytest.mark.parametrize("cgm", [False, True])
@pytest.mark.parametrize("turns", range(0, 240, 24))
def test_a_session_ended_at_any_moment_ends_and_leaves_the_air_quiet(turns: int, cgm: bool) -> None:
    async def main() -> None:
        w = await world(Talker(for_ever if cgm else hear_heart_rate, pair=cgm), cgm=cgm)
        running = w.start()
        await turns_after_contact(w, turns)
        await end(running)
        await asyncio.sleep(1)
        assert not w.is_connected
        assert not w.central.device.is_scanning

    run(main())


async def turns_after_contact(w: World, turns: int) -> None:
    contact = asyncio.Event()
    w.sensor.device.once("connection", lambda _: contact.set())
    await contact.wait()
    for _ in range(turns):
        await asyncio.sleep(0)


def test_a_session_ended_together_with_its_link_ends() -> None:
    async def made_an_error_of_it(link: Link) -> None:
        try:
            await for_ever(link)
        except asyncio.CancelledError:
            raise BleakError("the device disconnected") from None

    async def main() -> None:
        w = await world(Talker(made_an_error_of_it))
        running = w.start()
        await w.until("streaming")
        await end(running)

    run(main())


def test_a_link_that_says_connected_while_nothing_flows_is_given_up_and_tried_ever_more_rarely() -> None:
    async def main() -> None:
        w = await world(Talker(for_ever, stale_s=15.0))
        running = w.start()
        opened_s = await times_of_connecting(w, 9)
        pauses_s = [b - a - 15.0 for a, b in itertools.pairwise(opened_s)]
        assert_backed_off(pauses_s, slack_s=1.0)
        assert w.state.last_error == "nothing heard for 15 s while connected"
        await end(running)

    run(main())


def test_a_sensor_that_cannot_be_talked_to_is_tried_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nonsense(_: Link) -> None:
        raise DecodeError("CGM Feature", b"\xde\xad", "5 octets too few")

    async def main() -> None:
        w = await world(Talker(nonsense))
        running = w.start()
        opened_s = await times_of_connecting(w, 9)
        assert_backed_off([b - a for a, b in itertools.pairwise(opened_s)], slack_s=1.0)
        await end(running)

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [record.message for record in caplog.records] == ["strap: CGM Feature: 5 octets too few"]


async def times_of_connecting(w: World, count: int) -> list[float]:
    times: list[float] = []
    while len(times) < count:
        await asyncio.sleep(0.05)
        if w.state.connects > len(times):
            times.append(asyncio.get_running_loop().time())
    return times


def assert_backed_off(pauses_s: list[float], slack_s: float) -> None:
    """The n-th pause is within half and the whole of min * 2 ** n, at most max; then a while to connect."""
    for n, pause_s in enumerate(pauses_s):
        longest_s = min(LIMITS.backoff_s_min * 2**n, LIMITS.backoff_s_max)
        assert longest_s / 2 <= pause_s <= longest_s + slack_s


def test_a_link_that_held_earns_a_short_pause_and_its_loss_is_news(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        w = await world(Talker())
        running = w.start()
        for _ in range(5):
            await w.until("streaming", 10)  # one second at most, and the time to find it
            await asyncio.sleep(600)
            w.air.lose_link(ADDRESS)
            await w.until("waiting to retry", 60)
        await end(running)

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [record.message for record in caplog.records] == ["strap: the link dropped"] * 5


def test_a_quiet_link_that_drops_now_and_then_is_made_again_quickly() -> None:
    async def main() -> None:
        w = await world(Talker(for_ever, stale_s=660.0))
        running = w.start()
        for _ in range(8):
            await w.until("streaming", 5)
            await asyncio.sleep(200)
            w.air.lose_link(ADDRESS)
            await w.until("waiting to retry", 60)
        await end(running)

    run(main())


class DeadRadio:
    """No adapter, no bus."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked_s: list[float] = []

    async def find(self, _: str) -> Any:
        self.asked_s.append(asyncio.get_running_loop().time())
        raise self.error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            FileNotFoundError(2, "No such file or directory"),
            "the system's Bluetooth service cannot be reached ([Errno 2] No such file or directory)",
        ),
        (EOFError(), "the system's Bluetooth service cannot be reached (EOFError)"),
        (TimeoutError(), "no answer in time while searching"),
        (BleakError("No Bluetooth adapters found."), "No Bluetooth adapters found."),
        (BleakError(f"{ADDRESS} is\nodd"), "its address is\\nodd"),
        (BleakError(), "BleakError"),
        (SensorLost("gone"), "gone"),
    ],
)
def test_no_bluetooth_is_one_line_and_patience(
    error: Exception, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        w = await world(Talker())
        radio = DeadRadio(error)
        w.session.radio = radio  # type: ignore[assignment]
        running = w.start()
        await asyncio.sleep(3600)
        pauses_s = [b - a for a, b in zip(radio.asked_s, radio.asked_s[1:], strict=False)]
        assert len(pauses_s) > 25
        assert_backed_off(pauses_s, slack_s=1e-6)
        assert (w.state.connects, w.state.losses, w.state.last_error) == (0, 0, line)
        await end(running)

    with caplog.at_level(logging.WARNING):
        run(main())
    assert [record.message for record in caplog.records] == [f"strap: {line}"]


def test_what_nobody_foresaw_ends_the_session() -> None:
    async def wrong(_: Link) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        w = await world(Talker(wrong))
        await w.session.run()

    with pytest.raises(ZeroDivisionError):
        run(main())


# The link


class DumbClient:
    """Never answers, or says what it is told to."""

    def __init__(self, answer: bytes | Exception | None = None) -> None:
        self.answer = answer

    async def read_gatt_char(self, _: str) -> bytes:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.get_running_loop().create_future()
        assert isinstance(self.answer, bytes)
        return self.answer

    async def write_gatt_char(self, *_: Any, **__: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def start_notify(self, *_: Any) -> None:
        await asyncio.get_running_loop().create_future()


def link_to(client: DumbClient) -> Link:
    clock = VirtualClock(0, "boot-1")
    return Link(client, "strap", Inbox(16), clock, timeout_s=10.0)  # type: ignore[arg-type]


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
