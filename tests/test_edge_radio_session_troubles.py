"""A session says what is wrong, pauses as the trouble demands, and costs little: in the log and in timers."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakError,
    BleakGATTProtocolError,
)
from radio_parts import (
    ADDRESS,
    LIMITS,
    DirectWorld,
    Talker,
    World,
    end,
    hear_heart_rate,
    now_s,
    own_lines,
    radio,
    say_nothing,
    start,
    until,
    world,
)

from edge.radio.adapter import Radio
from edge.radio.deadline import CLEANUP_S
from edge.radio.link import Link
from edge.radio.session import HELD_S, SEARCH_S_MAX, STEADY_S, Session
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import uuids
from protocols.errors import DecodeError

OTHER = "F0:00:00:00:00:02"


# Pauses


def broken(w: World, times: int, error: Exception) -> Radio:
    """A radio whose first attempts to connect fail."""
    left = iter(range(times))

    async def connect(self: Any, pair: bool, **how: Any) -> None:
        if next(left, None) is not None:
            raise error
        await kept(self, pair, **how)

    kept = w.central.client_backend.connect
    client = type("Broken", (w.central.client_backend,), {"connect": connect})
    return Radio(w.central.scanner_backend, client, w.central.adapter_backend, w.central.pairing)


def assert_backed_off(pauses_s: list[float], slack_s: float) -> None:
    """The n-th pause is within half and the whole of min * 2 ** n, at most max; then a while to connect."""
    for n, pause_s in enumerate(pauses_s):
        longest_s = min(LIMITS.backoff_s_min * 2**n, LIMITS.backoff_s_max)
        assert longest_s / 2 <= pause_s <= longest_s + slack_s


async def times_of_connecting(session: Session, count: int) -> list[float]:
    times: list[float] = []
    while len(times) < count:
        await asyncio.sleep(0.05)
        if session.state.connects > len(times):
            times.append(now_s())
    return times


def test_a_link_that_says_connected_while_nothing_flows_is_given_up_and_tried_ever_more_rarely() -> None:
    async def main() -> None:
        w = await world()
        session = w.session(Talker(say_nothing, stale_s=15.0))
        running = start(session)
        opened_s = await times_of_connecting(session, 9)
        pauses_s = [b - a - 15.0 for a, b in itertools.pairwise(opened_s)]
        assert_backed_off(pauses_s, slack_s=1.0)
        assert session.state.trouble is Trouble.SILENT
        assert session.state.detail == "nothing was heard for 15 s"
        await end(running)

    run(main())


def test_a_sensor_that_cannot_be_talked_to_is_tried_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nonsense(_: Link) -> None:
        raise DecodeError("CGM Feature", b"\xde\xad", "5 octets too few")

    async def main() -> None:
        w = await world()
        session = w.session(Talker(nonsense))
        running = start(session)
        opened_s = await times_of_connecting(session, 9)
        assert_backed_off([b - a for a, b in itertools.pairwise(opened_s)], slack_s=1.0)
        await end(running)

    with caplog.at_level(logging.WARNING):
        run(main())
    (line,) = own_lines(caplog)
    assert "CGM Feature: 5 octets too few" in line
    assert "dead" not in line


@pytest.mark.parametrize("link_s", [5.0, 20.0, 100.0])
def test_after_an_outage_the_first_packet_of_a_link_earns_the_shortest_pause(link_s: float) -> None:
    async def main() -> None:
        w = await world()
        session = w.session(Talker(), broken(w, 9, BleakError("failed")))
        running = start(session)
        await until(session.state, "streaming", 600)
        for _ in range(20):
            await asyncio.sleep(link_s)
            w.air.lose_link(ADDRESS)
            await until(session.state, "waiting", 5)
            lost_s = now_s()
            await until(session.state, "streaming", 5)
            assert now_s() - lost_s <= LIMITS.backoff_s_min + 2.5
        await end(running)

    run(main())


def test_a_quiet_link_that_held_earns_it_too() -> None:
    async def main() -> None:
        w = await world()
        session = w.session(Talker(say_nothing, stale_s=660.0), broken(w, 9, BleakError("failed")))
        running = start(session)
        await until(session.state, "settling", 600)
        for _ in range(8):
            await asyncio.sleep(HELD_S)
            w.air.lose_link(ADDRESS)
            await until(session.state, "waiting", 5)
            await until(session.state, "settling", 5)
        await end(running)

    run(main())


def no_adapter() -> BleakError:
    return BleakBluetoothNotAvailableError(
        "No Bluetooth adapters found.", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
    )


def adapter_off() -> BleakError:
    return BleakBluetoothNotAvailableError(
        "No powered Bluetooth adapters found. Turn on Bluetooth and try again.",
        BleakBluetoothNotAvailableReason.POWERED_OFF,
    )


def failing(w: DirectWorld, part: str, error: Exception, until_s: float, asked_s: list[float]) -> Radio:
    """A radio one part of which cannot be used until so late."""

    async def fails(*args: Any, **how: Any) -> Any:
        asked_s.append(now_s())
        if now_s() < until_s:
            raise error
        return await kept(*args, **how)

    scanner, client, adapter, _ = w.backends
    if part == "scanner":
        kept: Any = scanner.start
        return Radio(type("Failing", (scanner,), {"start": fails}), client, adapter)
    kept = adapter.get
    return Radio(scanner, client, type("Failing", (adapter,), {"get": staticmethod(fails)}))


@pytest.mark.parametrize("part", ["scanner", "adapter"])
@pytest.mark.parametrize(
    ("error", "trouble", "detail"),
    [
        (no_adapter, Trouble.NO_ADAPTER, "No Bluetooth adapters found."),
        (
            adapter_off,
            Trouble.ADAPTER_OFF,
            "No powered Bluetooth adapters found. Turn on Bluetooth and try again.",
        ),
        (lambda: FileNotFoundError(2, "No such file"), Trouble.NO_SERVICE, "No such file"),
        (EOFError, Trouble.NO_SERVICE, "EOFError"),
        (
            lambda: BleakError(f"dev_{ADDRESS.replace(':', '_')} is\nodd"),
            Trouble.SCAN_REFUSED,
            "dev_(address) is\\nodd",
        ),
    ],
)
def test_without_bluetooth_there_is_patience_and_the_moment_it_is_back_there_are_data(
    part: str,
    error: Callable[[], Exception],
    trouble: Trouble,
    detail: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        w = DirectWorld()
        asked_s: list[float] = []
        session = w.session(Talker(), failing(w, part, error(), 3600.0, asked_s))
        running = start(session)
        await asyncio.sleep(3595)
        state = session.state
        assert (state.connects, state.losses, state.trouble, state.detail) == (0, 0, trouble, detail)
        pauses_s = [b - a for a, b in itertools.pairwise(asked_s)]
        assert min(pauses_s) >= STEADY_S / 2
        assert max(pauses_s) <= STEADY_S + 0.1
        await until(state, "settling", 5 + STEADY_S + 1)
        await end(running)

    with caplog.at_level(logging.WARNING):
        run(main())
    lines = own_lines(caplog)
    assert len(lines) == 3  # the 1st, 10th and 100th time
    assert ADDRESS not in caplog.text
    assert all(trouble.cause in line and trouble.remedy in line for line in lines)


# Why it is not found


async def strap_at(w: World, address: str) -> HeartRateStrap:
    strap = HeartRateStrap(w.air, address, iter(()), begin_s=0.0)
    await strap.start()
    return strap


def test_a_search_in_silence_says_so_and_goes_on() -> None:
    async def main() -> None:
        w = await world()
        w.air.set_reachable(ADDRESS, False)
        session = w.session(Talker())
        running = start(session)
        await asyncio.sleep(SEARCH_S_MAX - 1)
        assert session.state.trouble is None
        await asyncio.sleep(2)
        assert (session.state.phase, session.state.trouble) == ("searching", Trouble.NOTHING_HEARD)
        assert session.state.detail == "searched for 20 s"
        await asyncio.sleep(2 * SEARCH_S_MAX)
        assert session.state.detail == "searched for 60 s"
        w.air.set_reachable(ADDRESS, True)
        await until(session.state, "streaming", 3)
        await end(running)

    run(main())


def test_a_sensor_that_alone_is_not_heard_is_told_from_a_deaf_adapter() -> None:
    async def main() -> None:
        w = await world()
        for n in range(2, 5):
            await strap_at(w, f"F0:00:00:00:00:{n:02}")
        session = w.session(Talker())
        running = start(session)
        await until(session.state, "streaming")
        await asyncio.sleep(600)  # a packet is heard as well as an advertisement
        w.air.set_reachable(ADDRESS, False)
        await asyncio.sleep(SEARCH_S_MAX + 20)
        assert (session.state.phase, session.state.trouble) == ("searching", Trouble.NOT_HEARD)
        assert session.state.detail == "searched for 20 s, last heard 21 s ago; 3 other devices were heard"
        await end(running)

    run(main())


def test_an_adapter_that_streams_from_another_sensor_is_not_deaf() -> None:
    async def main() -> None:
        w = await world()
        await strap_at(w, OTHER)
        w.air.set_reachable(ADDRESS, False)
        ours = radio(w.central)
        near, far = w.session(Talker(stale_s=1e6, address=OTHER), ours), w.session(Talker(), ours)
        running = [start(near)]
        await until(near.state, "settling")
        await asyncio.sleep(60)  # it was last heard before the search for the other begins
        running.append(start(far))
        await asyncio.sleep(3 * SEARCH_S_MAX)
        assert far.state.trouble is Trouble.NOT_HEARD
        for each in running:
            await end(each)

    run(main())


def test_a_sensor_that_another_takes_is_said_to_be_held() -> None:
    async def main() -> None:
        w = await world()
        session = w.session(Talker())
        running = start(session)
        await until(session.state, "connecting")
        w.air.set_reachable(ADDRESS, False)  # it was heard; now it is another's
        await until(session.state, "waiting", LIMITS.connect_timeout_s + CLEANUP_S + 1)
        assert session.state.trouble is Trouble.HELD_ELSEWHERE
        await asyncio.sleep(SEARCH_S_MAX + 5)
        assert (session.state.phase, session.state.trouble) == ("searching", Trouble.HELD_ELSEWHERE)
        assert session.state.detail == "searched for 20 s, last heard 41 s ago; then it took no connection"
        w.air.set_reachable(ADDRESS, True)
        await until(session.state, "streaming", 3)
        w.air.set_reachable(ADDRESS, False)
        await asyncio.sleep(SEARCH_S_MAX + 20)
        assert session.state.trouble is Trouble.NOTHING_HEARD  # it has taken one since
        await end(running)

    run(main())


@pytest.mark.parametrize(
    ("error", "trouble"),
    [(BleakGATTProtocolError(0x05), Trouble.PAIRING_FAILED), (BleakGATTProtocolError(0x80), Trouble.REFUSED)],
)
def test_what_the_sensor_refuses_is_told(error: Exception, trouble: Trouble) -> None:
    async def refused(_: Link) -> None:
        raise error

    async def main() -> None:
        w = await world()
        session = w.session(Talker(refused))
        running = start(session)
        await asyncio.sleep(3)
        assert session.state.trouble is trouble
        await end(running)

    run(main())


def test_a_lost_link_is_told_and_not_what_the_conversation_made_of_it() -> None:
    async def reading(link: Link) -> None:
        await hear_heart_rate(link)
        while True:
            await link.read(uuids.BATTERY_LEVEL)
            await asyncio.sleep(0.1)

    async def main() -> None:
        w = await world()
        session = w.session(Talker(reading))
        running = start(session)
        await asyncio.sleep(30)
        w.air.lose_link(ADDRESS)
        await until(session.state, "waiting", 3)
        assert session.state.trouble is Trouble.LINK_DROPPED
        await end(running)

    run(main())


# The log, and the price


def test_a_link_that_drops_all_day_is_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        w = DirectWorld()
        session = w.session(Talker(stale_s=1e6))
        running = start(session)
        for _ in range(150):
            await until(session.state, "settling", 10)
            assert w.strap.send(b"\x00\x3c")
            await asyncio.sleep(20)
            w.stack.cut(ADDRESS)
            await until(session.state, "waiting", 60)
        await asyncio.sleep(7200)  # a loss after two good hours is news
        w.stack.cut(ADDRESS)
        await until(session.state, "waiting", 60)
        assert session.state.losses == 151
        await end(running)

    with caplog.at_level(logging.INFO, "edge"):
        run(main())
    lines = own_lines(caplog)
    lost = [line.split(": ", 2)[2] for line in lines if "dropped" in line]
    what = "the sensor hung up or is out of reach"
    assert [line.split(";")[0] for line in lost] == [
        what,
        f"{what} (10 times)",
        f"{what} (100 times)",
        what,
    ]
    assert [line for line in lines if "dropped" not in line] == ["strap: connected"] * 4


@pytest.mark.parametrize(("stale_s", "packet_s", "most"), [(15.0, 1.0, 400), (660.0, 300.0, 12)])
def test_a_connected_session_sets_few_timers_and_none_for_a_packet(
    stale_s: float, packet_s: float, most: int
) -> None:
    async def main() -> None:
        w = DirectWorld()
        session = w.session(Talker(stale_s=stale_s))
        running = start(session)
        await asyncio.sleep(1)
        loop = asyncio.get_running_loop()
        call_at, timers = loop.call_at, 0

        def counted(*args: Any, **how: Any) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_at(*args, **how)

        loop.call_at = counted  # type: ignore[method-assign]
        packets = round(3600 / packet_s)
        for _ in range(packets):
            assert w.strap.send(b"\x00\x3c")
            await asyncio.sleep(packet_s)
        assert session.state.phase == "streaming"
        assert timers - packets <= most
        await end(running)

    run(main())


# Services of which the system does not tell


async def troubles_of(session: Session, until_s: float) -> list[Trouble]:
    """Which troubles there were, in order."""
    seen: list[Trouble] = []
    while now_s() < until_s:
        await asyncio.sleep(0.05)
        trouble = session.state.trouble
        if trouble is not None and trouble not in seen[-1:]:
            seen.append(trouble)
    return seen


def test_a_sensor_of_the_wrong_kind_is_told_from_one_whose_services_are_late() -> None:
    async def main(untold: int, wanted: list[Trouble]) -> None:
        w = DirectWorld()
        w.stack.untold[ADDRESS] = untold
        session = w.session(Talker())
        running = start(session)
        assert await troubles_of(session, 6.0) == wanted
        assert (session.state.phase == "settling") is (untold < 9)
        await end(running)

    for untold, wanted in (
        (2, [Trouble.SERVICES_MISSING]),
        (9, [Trouble.SERVICES_MISSING, Trouble.WRONG_KIND]),
    ):
        run(main(untold, wanted))


def test_a_sensor_that_once_was_whole_is_never_of_the_wrong_kind() -> None:
    async def main() -> None:
        w = DirectWorld()
        session = w.session(Talker())
        running = start(session)
        await until(session.state, "settling")
        assert w.strap.send(b"\0\x48")
        w.stack.untold[ADDRESS] = 4
        w.stack.cut(ADDRESS)
        assert await troubles_of(session, 30.0) == [Trouble.LINK_DROPPED, Trouble.SERVICES_MISSING]
        assert session.state.phase == "settling"
        await end(running)

    run(main())
