import asyncio
import contextvars
import os
import signal
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hw_sim import clock

DAY_S = 86_400


def test_a_day_takes_no_time_and_ends_on_time() -> None:
    async def a_day() -> float:
        await asyncio.sleep(DAY_S)
        return asyncio.get_running_loop().time()

    assert clock.run(a_day()) == pytest.approx(DAY_S, abs=1e-9)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), max_size=30))
def test_timers_of_one_instant_run_in_the_order_they_were_set(delays_s: list[float]) -> None:
    ran: list[tuple[float, int]] = []

    async def set_timers() -> None:
        loop = asyncio.get_running_loop()
        for n, delay_s in enumerate(delays_s):
            loop.call_at(delay_s, ran.append, (delay_s, n))
        await asyncio.sleep(2)

    clock.run(set_timers())
    assert ran == sorted((delay_s, n) for n, delay_s in enumerate(delays_s))


def test_cancelled_timers_do_not_run_and_others_keep_their_order() -> None:
    ran: list[int] = []

    async def set_timers() -> None:
        loop = asyncio.get_running_loop()
        handles = [loop.call_later(1, ran.append, n) for n in range(500)]
        for n, handle in enumerate(handles):
            if n % 5:
                handle.cancel()
        await asyncio.sleep(2)

    clock.run(set_timers())
    assert ran == list(range(0, 500, 5))


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        clock.run(wait_for_nothing())


def test_timeouts_are_virtual() -> None:
    async def wait_in_vain() -> None:
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        clock.run(wait_in_vain())


def test_sockets_still_work() -> None:
    async def talk() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            reply = await reader.read()
            writer.close()
            await writer.wait_closed()
            return reply

    assert clock.run(talk()) == b"HELLO\n"


def test_signals_still_arrive() -> None:
    async def wait_for_signal() -> None:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, arrived.set)
        loop.call_later(5, os.kill, os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(10):
            await arrived.wait()
        loop.remove_signal_handler(signal.SIGUSR1)

    clock.run(wait_for_signal())


@pytest.mark.parametrize("speed", [0.0, 1000.0])
def test_work_in_a_thread_ends_before_the_loop_does(speed: float) -> None:
    async def work() -> bool:
        done = await asyncio.to_thread(threading.Event().wait, 0.001)
        return done or asyncio.get_running_loop().time() >= 0

    assert clock.run(work(), speed=speed)


def test_virtual_time_stands_still_while_a_thread_works() -> None:
    async def work() -> list[str]:
        order: list[str] = []
        release = threading.Event()
        asyncio.get_running_loop().call_later(1, order.append, "timer")
        asyncio.get_running_loop().call_soon(release.set)
        await asyncio.to_thread(release.wait)
        order.append("thread")
        await asyncio.sleep(2)
        return order

    assert clock.run(work()) == ["thread", "timer"]


def test_time_keeps_to_its_pace_and_never_runs_ahead_of_it() -> None:
    async def laps() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, clock.VirtualTimeLoop)
        start_s, since_start_s = loop.time(), loop._virtual.wall_s
        for lap in range(1, 21):
            await asyncio.sleep(10)
            assert loop.time() - start_s == pytest.approx(10 * lap, abs=1e-6)
            assert since_start_s() * 10_000 >= loop.time() - 1

    clock.run(laps(), speed=10_000)


def test_work_that_is_too_slow_for_the_pace_delays_time_and_loses_none() -> None:
    async def ticks(seconds: int) -> list[float]:
        loop = asyncio.get_running_loop()
        seen: list[float] = []
        for second in range(1, seconds + 1):
            loop.call_at(second, lambda: seen.append(loop.time()))
        await asyncio.sleep(seconds + 0.5)
        return seen

    assert (
        clock.run(ticks(500), speed=1e9)
        == clock.run(ticks(500), speed=0.0)
        == [float(n) for n in range(1, 501)]
    )


def test_the_clock_reads_the_loop() -> None:
    virtual_clock = clock.VirtualClock(epoch_utc_ns=1_700_000_000_000_000_000, boot_id="boot")

    async def read() -> tuple[int, int, int]:
        at_boot = virtual_clock.boot_ns()
        await asyncio.sleep(1.5)
        return at_boot, virtual_clock.boot_ns(), virtual_clock.utc_ns()

    assert clock.run(read()) == (0, 1_500_000_000, 1_700_000_001_500_000_000)


def test_a_later_boot_counts_from_its_own_beginning() -> None:
    async def read() -> tuple[int, int]:
        await asyncio.sleep(2.0)
        later = clock.VirtualClock(epoch_utc_ns=7, boot_id="later", booted_ns=1_500_000_000)
        return later.boot_ns(), later.utc_ns()

    assert clock.run(read()) == (500_000_000, 500_000_007)


BOOT = clock.VirtualClock(epoch_utc_ns=0, boot_id="boot")
UP_S_MAX = 2**23


@given(
    st.floats(min_value=0, max_value=UP_S_MAX),
    st.lists(st.floats(min_value=0, max_value=1e-8) | st.floats(min_value=0, max_value=DAY_S), max_size=10),
)
@example(0.0, [0.1 + 0.2, 0.1 + 0.2 + 3e-10])
@example(4432984.676771033, [0.0])
def test_the_clock_has_reached_the_moment_of_every_timer(start_s: float, delays_s: list[float]) -> None:
    early: list[tuple[float, int]] = []

    def look(moment_s: float) -> None:
        if asyncio.get_running_loop().time() < moment_s or BOOT.boot_ns() / 1e9 < moment_s:
            early.append((moment_s, BOOT.boot_ns()))

    async def set_timers() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(start_s)
        for delay_s in delays_s:
            moment_s = loop.time() + delay_s
            loop.call_at(moment_s, look, moment_s)
        await asyncio.sleep(2 * DAY_S)

    clock.run(set_timers())
    assert early == []


@given(st.floats(min_value=0, max_value=UP_S_MAX), st.floats(min_value=0, max_value=100))
@example(1000.0, 0.1 + 0.2)
def test_whoever_waits_for_the_rest_of_a_deadline_gets_there_at_once(start_s: float, ahead_s: float) -> None:
    async def wait() -> tuple[int, int]:
        await asyncio.sleep(start_s)
        seconds = nanoseconds = 0
        deadline_s = BOOT.boot_ns() / 1e9 + ahead_s
        while (rest_s := deadline_s - BOOT.boot_ns() / 1e9) > 0:
            await asyncio.sleep(rest_s)
            seconds += 1
        due_ns = BOOT.boot_ns() + round(ahead_s * 1e9)
        while (rest_ns := due_ns - BOOT.boot_ns()) > 0:
            await asyncio.sleep(rest_ns / 1e9)
            nanoseconds += 1
        return seconds, nanoseconds

    seconds, nanoseconds = clock.run(wait())
    assert seconds <= 2
    assert nanoseconds <= 2


def test_a_run_may_last_for_years() -> None:
    async def years() -> list[int]:
        seen = []
        for _ in range(3):
            await asyncio.sleep(365 * DAY_S)
            seen.append(round(BOOT.boot_ns() / 1e9 / DAY_S))
        return seen

    assert clock.run(years()) == [365, 730, 1095]


def test_the_wall_clock_can_be_set_and_says_how_far_it_may_be_wrong() -> None:
    virtual_clock = clock.VirtualClock(epoch_utc_ns=0, boot_id="boot")
    unsure = clock.VirtualClock(epoch_utc_ns=0, boot_id="boot", error_ms=None)

    async def read() -> list[tuple[int, int]]:
        readings = []
        for by_s in (0.0, 86_400.0, -90_000.5):
            virtual_clock.step(by_s)
            readings.append((virtual_clock.boot_ns(), virtual_clock.utc_ns()))
            await asyncio.sleep(10)
        return readings

    assert clock.run(read()) == [
        (0, 0),
        (10_000_000_000, 86_410_000_000_000),
        (20_000_000_000, -3_580_500_000_000),
    ]
    assert (virtual_clock.utc_error_ms(), unsure.utc_error_ms()) == (500, None)


def test_a_timer_is_the_loops_own_in_everything_else() -> None:
    async def set_timers() -> list[object]:
        loop = asyncio.get_running_loop()
        seen: list[object] = []
        context = contextvars.copy_context()
        marked: contextvars.ContextVar[str] = contextvars.ContextVar("marked", default="here")
        context.run(marked.set, "there")
        loop.call_at(1, lambda: seen.append(marked.get()), context=context)
        dropped = loop.call_at(2, seen.append, "cancelled")
        dropped.cancel()
        seen.append((dropped.cancelled(), dropped.when()))
        with pytest.raises(RuntimeError, match="closed"):
            _closed_loop().call_at(1, print)
        await asyncio.sleep(3)
        return seen

    assert clock.run(set_timers()) == [(True, 2), "there"]


def _closed_loop() -> clock.VirtualTimeLoop:
    loop = clock.VirtualTimeLoop()
    loop.close()
    return loop


def test_an_interrupt_while_the_loop_is_made_does_not_leave_half_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = asyncio.SelectorEventLoop._make_self_pipe  # type: ignore[attr-defined]

    def make_self_pipe(loop: asyncio.SelectorEventLoop) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        made(loop)

    async def nothing() -> None: ...

    monkeypatch.setattr(asyncio.SelectorEventLoop, "_make_self_pipe", make_self_pipe)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started us may have had it ignored
    coroutine = nothing()
    with pytest.raises(KeyboardInterrupt):
        clock.run(coroutine)
    coroutine.close()
