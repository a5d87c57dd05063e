"""A session stays with its sensor through everything a radio can do, and ends when it is told to."""

import asyncio
import gc
import itertools
import logging
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import (
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
    say_nothing,
    start,
    until,
    world,
)

from edge.contact import Phase
from edge.radio import session as session_module
from edge.radio.adapter import ADOPT_S, Radio
from edge.radio.deadline import CLEANUP_S
from edge.radio.link import Link
from edge.radio.search import DISTRUST_S
from edge.radio.session import NEXT, STEADY_S, Event
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import heart_rate, uuids
from protocols.errors import DecodeError

OTHER = "F0:00:00:00:00:02"


# The table


def test_the_table_that_is_read_is_the_table_that_runs() -> None:
    lines = [line.split() for line in (session_module.__doc__ or "").splitlines() if line.startswith("    ")]
    told = {(Phase(before), Event[event.upper()]): Phase(after) for before, event, after, *_ in lines[1:]}
    assert told == NEXT


def test_every_phase_can_be_entered_and_left() -> None:
    assert {before for before, _ in NEXT} == set(NEXT.values()) == set(Phase)


# The ordinary course


def test_what_the_sensor_sends_is_stamped_and_comes_through_untouched() -> None:
    async def main() -> None:
        w = await world()
        assert isinstance(w.sensor, HeartRateStrap)
        session = w.session(Talker())
        running = start(session)
        await asyncio.sleep(20)
        heard = w.heard()
        assert {(n.sensor_id, n.link, n.characteristic) for n in heard} == {
            ("strap", 1, uuids.HEART_RATE_MEASUREMENT)
        }
        rr = [t for n in heard for t in heart_rate.decode(n.payload).rr_ticks or ()]
        assert len(rr) == w.sensor.rr_sent > 20
        assert {b.boot_ns - a.boot_ns for a, b in itertools.pairwise(heard)} == {10**9}
        state = session.state
        assert (state.phase, state.connects, state.losses, state.adopted) == ("streaming", 1, 0, 0)
        assert (state.trouble, state.detail, state.trouble_boot_ns) == (None, None, None)
        await end(running)
        assert not w.is_connected

    run(main())


def test_a_link_is_settling_until_something_comes_over_it() -> None:
    async def slowly(link: Link) -> None:
        await asyncio.sleep(7)
        await link.subscribe(uuids.HEART_RATE_MEASUREMENT)

    async def main() -> None:
        w = await world()
        session = w.session(Talker(slowly))
        running = start(session)
        await until(session.state, "settling")
        began_s = now_s()
        await until(session.state, "streaming")
        assert 7 <= now_s() - began_s <= 8.5
        await end(running)

    run(main())


def test_a_lost_link_is_found_again_and_told_with_its_time() -> None:
    async def main() -> None:
        w = await world()
        session = w.session(Talker())
        state = session.state
        running = start(session)
        await asyncio.sleep(60)
        w.air.set_reachable(ADDRESS, False)
        await until(state, "searching")
        assert (state.connects, state.losses, state.trouble) == (1, 1, Trouble.LINK_DROPPED)
        # The supervision timeout is below a second; the strap was the last to be heard.
        assert state.trouble_boot_ns is not None
        assert 60e9 <= state.trouble_boot_ns <= 80e9
        await asyncio.sleep(1000)
        w.air.set_reachable(ADDRESS, True)
        await until(state, "streaming", 5)
        assert (state.connects, state.losses) == (2, 1)
        assert w.heard()[-1].link == 2
        await end(running)

    run(main())


@pytest.mark.parametrize("cgm", [False, True])
@pytest.mark.parametrize("turns", range(0, 240, 24))
def test_a_link_lost_at_any_moment_of_its_making_is_made_again(turns: int, cgm: bool) -> None:
    async def main() -> None:
        w = await world(cgm=cgm)
        session = w.session(Talker(say_nothing if cgm else hear_heart_rate, pairs=cgm, stale_s=1e6))
        running = start(session)
        await w.turns_after_contact(turns)
        w.air.lose_link(ADDRESS)
        await asyncio.sleep(120)
        assert not running.done()
        assert session.state.phase == ("settling" if cgm else "streaming")
        assert w.is_connected
        await end(running)

    run(main())


@pytest.mark.parametrize("cgm", [False, True])
@pytest.mark.parametrize("turns", range(0, 240, 24))
def test_a_session_ended_at_any_moment_ends_and_leaves_the_air_quiet(turns: int, cgm: bool) -> None:
    async def main() -> None:
        w = await world(cgm=cgm)
        running = start(w.session(Talker(say_nothing if cgm else hear_heart_rate, pairs=cgm)))
        await w.turns_after_contact(turns)
        await end(running)
        await asyncio.sleep(1)
        assert not w.is_connected
        assert not w.central.device.is_scanning

    run(main())


def test_a_session_ended_together_with_its_link_ends() -> None:
    async def made_an_error_of_it(link: Link) -> None:
        try:
            await say_nothing(link)
        except asyncio.CancelledError:
            raise BleakError("the device disconnected") from None

    async def main() -> None:
        w = await world()
        session = w.session(Talker(made_an_error_of_it))
        running = start(session)
        await until(session.state, "settling")
        await end(running)

    run(main())


def test_what_nobody_foresaw_ends_the_session() -> None:
    async def wrong(_: Link) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        w = await world()
        try:
            await w.session(Talker(wrong)).run()
        finally:
            await asyncio.sleep(1)
            assert not w.is_connected

    with pytest.raises(ZeroDivisionError):
        run(main())


# What the system still holds


@pytest.mark.parametrize("cgm", [False, True])
@pytest.mark.parametrize("turns", [*range(0, 240, 24), 2000])
def test_a_gateway_killed_at_any_moment_leaves_its_sensor_to_the_next(turns: int, cgm: bool) -> None:
    async def main() -> None:
        w = await world(cgm=cgm)
        running = start(w.session(Talker(say_nothing if cgm else hear_heart_rate, pairs=cgm)))
        await w.turns_after_contact(turns)
        w.central.abandon_clients()
        running.cancel()
        await asyncio.wait({running})
        w.heard()
        await asyncio.sleep(60)
        assert w.heard() == []
        assert not w.central.device.is_scanning
        session = w.session(Talker(say_nothing if cgm else hear_heart_rate, pairs=cgm))
        running = start(session)
        await until(session.state, "settling" if cgm else "streaming", ADOPT_S)
        await asyncio.sleep(10)
        stamps = [n.boot_ns for n in w.heard()]
        assert len(set(stamps)) == len(stamps) == (0 if cgm else len(stamps))
        assert session.state.connects == 1
        await end(running)
        assert not w.is_connected

    run(main())


def test_a_link_that_was_left_behind_is_taken_over_at_once_and_said_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        w = await world()
        running = start(w.session(Talker()))
        await asyncio.sleep(30)
        w.central.abandon_clients()
        running.cancel()
        await asyncio.sleep(3600)
        session = w.session(Talker())
        running = start(session)
        await until(session.state, "streaming", 2)
        assert (session.state.connects, session.state.adopted, session.state.trouble) == (1, 1, None)
        await end(running)

    with caplog.at_level(logging.INFO, "edge"):
        run(main())
    assert own_lines(caplog) == [
        "strap: connected",
        "strap: took over a link that was left behind",
    ]


def test_a_link_that_was_left_behind_while_one_searches_is_taken_over_soon() -> None:
    async def main() -> None:
        w = await world()
        session = w.session(Talker())
        w.air.set_reachable(ADDRESS, False)
        running = start(session)
        await asyncio.sleep(60)
        # Somebody else on this machine is quicker.
        other = w.session(Talker(stale_s=1e6))
        meanwhile = start(other)
        w.air.set_reachable(ADDRESS, True)
        await until(session.state, "streaming", 2 * ADOPT_S)
        await end(running)
        await end(meanwhile)

    run(main())


@pytest.mark.parametrize("error", [BleakGATTProtocolError(5), TimeoutError(), DecodeError("x", b"", "short")])
def test_a_link_that_was_left_behind_and_is_of_no_use_is_dropped_and_made_anew(error: Exception) -> None:
    links = []

    async def at_the_second_link(link: Link) -> None:
        links.append(link)
        if len(links) == 2:
            raise error
        await hear_heart_rate(link)

    async def main() -> None:
        w = await world()
        talker = Talker(at_the_second_link)
        running = start(w.session(talker))
        await asyncio.sleep(30)
        w.central.abandon_clients()
        running.cancel()
        await asyncio.wait({running})
        session = w.session(talker)
        running = start(session)
        await asyncio.sleep(10)
        state = session.state
        assert (state.phase, state.connects, state.adopted, len(links)) == ("streaming", 2, 1, 3)
        await end(running)

    run(main())


def test_what_the_system_only_remembers_to_hold_is_no_obstacle_to_hearing_the_sensor() -> None:
    """As after the end of a service that could not say goodbye: it is remembered until the sensor is heard again."""

    async def main() -> None:
        w = DirectWorld()
        scanner, client, adapter, _ = w.backends
        connect_to = client.connect

        async def connect(self: Any, pair: bool, **how: Any) -> None:
            if not w.stack._scanners and not heard:
                raise BleakError("there is no such object")
            await connect_to(self, pair, **how)

        def hear(self: Any, peripheral: Any) -> None:
            heard.append(peripheral)
            scanner.hear(self, peripheral)

        async def held(_: Any, __: Any) -> list[BLEDevice]:
            return [] if heard else [BLEDevice(ADDRESS, None, None)]

        heard: list[Any] = []
        ours = Radio(
            type("Hearing", (scanner,), {"hear": hear}),
            type("Remembering", (client,), {"connect": connect}),
            type("Mistaken", (adapter,), {"get_connected_devices": held}),
        )
        session = w.session(Talker(stale_s=1e6), ours)
        running = start(session)
        await until(session.state, "settling", 10)
        assert session.state.adopted == 0
        await end(running)

    run(main())


def test_what_the_system_really_holds_is_taken_over_in_the_end_although_it_failed_once() -> None:
    links = []

    async def fails_at_first(link: Link) -> None:
        links.append(link)
        if len(links) == 1:
            raise BleakError("something")
        await hear_heart_rate(link)

    async def main() -> None:
        w = DirectWorld()
        await w.stack.connect(w.stack.start_process(), ADDRESS, 1.0, "hci0")
        w.stack.hangs_on_disconnect.add(ADDRESS)
        session = w.session(Talker(fails_at_first, stale_s=1e6))
        running = start(session)
        await until(session.state, "closing", 1)
        await until(session.state, "waiting", LIMITS.gatt_timeout_s + CLEANUP_S)
        assert session.state.trouble is Trouble.SERVICE_SILENT
        await until(session.state, "settling", STEADY_S + DISTRUST_S + ADOPT_S)
        assert (session.state.adopted, w.stack.connects[ADDRESS]) == (2, 1)
        assert w.strap.send(b"\x00\x3c")
        w.stack.hangs_on_disconnect.clear()
        await end(running)

    run(main())


# A link that is closed is closed for good


def hanging(w: World, patience: str, released: asyncio.Event) -> Radio:
    """A radio whose first client does not end hanging up, and perhaps does not let itself be interrupted."""
    hung: list[Any] = []

    async def disconnect(self: Any) -> None:
        if hung and self not in hung:
            await kept(self)
            return
        hung.append(self)
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                if patience == "interruptible":
                    raise

    kept = w.central.client_backend.disconnect
    client = type("Hanging", (w.central.client_backend,), {"disconnect": disconnect})
    return Radio(w.central.scanner_backend, client, w.central.adapter_backend, w.central.pairing)


@pytest.mark.parametrize("patience", ["interruptible", "stubborn"])
def test_of_a_link_whose_end_hangs_nothing_is_heard_any_more(patience: str) -> None:
    links = []

    async def fails_at_first(link: Link) -> None:
        links.append(link)
        await hear_heart_rate(link)
        await asyncio.sleep(10)
        if len(links) == 1:
            raise BleakError("something")

    async def main() -> None:
        w = await world()
        released = asyncio.Event()
        session = w.session(Talker(fails_at_first), hanging(w, patience, released))
        running = start(session)
        await asyncio.sleep(9)
        assert {n.link for n in w.heard()} == {1}
        await until(session.state, "closing")
        w.heard()
        await asyncio.sleep(LIMITS.gatt_timeout_s - 1)
        assert w.heard() == []  # the sensor goes on sending, and the system hands it on
        await until(session.state, "waiting", CLEANUP_S + 2)
        assert session.state.trouble is Trouble.SERVICE_SILENT
        await until(session.state, "streaming", STEADY_S + 2)
        w.heard()
        await asyncio.sleep(60)
        heard = w.heard()
        assert {n.link for n in heard} == {2}
        assert len(heard) == 60
        assert session.state.adopted == 1  # it never went away
        released.set()
        await end(running)

    run(main())


@pytest.mark.parametrize("patience", ["interruptible", "stubborn"])
def test_a_session_ends_although_hanging_up_does_not(patience: str) -> None:
    async def main() -> None:
        w = await world()
        released = asyncio.Event()
        session = w.session(Talker(), hanging(w, patience, released))
        running = start(session)
        await until(session.state, "streaming")
        await end(running, LIMITS.gatt_timeout_s + CLEANUP_S + 1)
        released.set()

    run(main())


# What failed is not hung up once more


def test_only_what_connected_is_hung_up_and_no_failure_is_left_unseen() -> None:
    complaints: list[Any] = []

    async def main() -> None:
        w = await world()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        calls: list[str] = []

        async def connect(self: Any, pair: bool, **_: Any) -> None:
            calls.append("connect")
            raise BleakError("failed to discover services, device disconnected")

        async def disconnect(self: Any) -> None:
            calls.append("disconnect")

        base = w.central.client_backend
        client = type("Failing", (base,), {"connect": connect, "disconnect": disconnect})
        session = w.session(Talker(), Radio(w.central.scanner_backend, client, w.central.adapter_backend))
        running = start(session)
        await asyncio.sleep(30)
        assert set(calls) == {"connect"}
        assert session.state.trouble is Trouble.CONNECT_FAILED
        await end(running)

    run(main())
    gc.collect()
    assert complaints == []


@pytest.mark.parametrize("turns", range(6))
def test_a_connection_made_in_the_moment_in_which_the_session_is_ended_is_hung_up(turns: int) -> None:
    async def main() -> None:
        w = await world()

        def end_later(turns: int) -> None:
            if turns == 0:
                running.cancel()
            else:
                asyncio.get_running_loop().call_soon(end_later, turns - 1)

        async def connect(self: Any, pair: bool, **how: Any) -> None:
            await kept(self, pair, **how)
            end_later(turns)

        kept = w.central.client_backend.connect
        client = type("Telling", (w.central.client_backend,), {"connect": connect})
        ours = Radio(w.central.scanner_backend, client, w.central.adapter_backend, w.central.pairing)
        running = start(w.session(Talker(), ours))
        await asyncio.wait({running})
        await asyncio.sleep(1)
        assert running.cancelled()
        assert not w.is_connected

    run(main())
