"""Virtual time: an event loop that jumps from timer to timer, or runs N times as fast as the wall.

Contract: with `speed` 0 nothing ever waits; the loop polls its file descriptors, so signals and sockets still
work, and moves its clock to the next timer. Work in a thread takes no virtual time: the clock stands still
until the thread is done. With `speed` N one second of the wall is N seconds here, or fewer when the work takes
longer: time waits for the work, so that no timeout expires for want of a faster machine. Timers due at the same
instant run in the order they were scheduled, so a run replays exactly.

Time moves in whole nanoseconds, though the loop tells it in seconds. For a timer it moves to the first nanosecond that
is not before the timer's moment. So no timer sees a clock that has not reached its moment, and whoever waits for the
rest of a deadline gets there, however short the rest is. This holds for 97 days: later, a float cannot tell one
nanosecond from the next.

Not here: the time of day in any other sense. Whoever needs it takes a clock as a parameter.
"""

import asyncio
import heapq
import itertools
import math
import selectors
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class _Timer(asyncio.TimerHandle):
    """A timer that is due after those of the same instant that were set before it: its key is (time, number)."""

    __slots__ = ("_key",)

    def __init__(
        self,
        key: tuple[float, int],
        callback: Callable[[*_Ts], object],
        args: tuple[*_Ts],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        super().__init__(key[0], callback, args, loop, context)
        self._key = key

    def __lt__(self, other: "_Timer") -> bool:  # type: ignore[override]
        return self._key < other._key


class _VirtualSelector(selectors.DefaultSelector):
    """Waits in virtual time. The loop hands it the time until its next timer, which is all it needs."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.speed = speed
        self.now_s, self.now_ns = 0.0, 0
        self.thread_jobs = 0
        self.wall_s: Callable[[], float] = lambda: 0.0  # since the start; the loop sets it

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return super().select(0)
        return self._paced(timeout) if self.speed > 0 else self._jumping(timeout)

    def _paced(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as long as the pace asks, but never let time overtake the work: a late timer is still due now."""
        due_s = math.inf if timeout is None else self.now_s + timeout
        wait_s = None if timeout is None else max(0.0, due_s / self.speed - self.wall_s())
        ready = super().select(wait_s)
        if ready:
            self._move_to(max(self.now_s, min(due_s, self.wall_s() * self.speed)))
        elif timeout is not None:
            self._move_to(due_s)
        return ready

    def _jumping(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if self.thread_jobs else 0)
        if ready or self.thread_jobs:
            return ready
        if timeout is not None:
            self._move_to(self.now_s + timeout)
            return ready
        # More than the loop's own wake-up pipe: somebody out there may still speak.
        if len(self.get_map()) > 1:
            return super().select(None)
        raise RuntimeError("deadlock: no task can run, no timer is set and no file descriptor is watched")

    def _move_to(self, moment_s: float) -> None:
        """Let it be the first nanosecond that, told in seconds, is not before the moment."""
        ns = math.floor(moment_s * 1e9) - 1  # the product is off by one at most
        while ns / 1e9 < moment_s:
            ns += 1
        self.now_ns, self.now_s = ns, ns / 1e9


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time() starts at zero and runs at `speed` times the wall (0 = it jumps)."""

    def __init__(self, *, speed: float = 0.0) -> None:
        self._virtual = _VirtualSelector(speed)
        self._timer_count = itertools.count()
        super().__init__(self._virtual)
        wall_start_s = super().time()
        self._virtual.wall_s = lambda: super(VirtualTimeLoop, self).time() - wall_start_s

    # asyncio calls timers that are due within the clock's resolution. Here only those are due whose moment has come.
    @property
    def _clock_resolution(self) -> float:
        return math.ulp(self._virtual.now_s)

    @_clock_resolution.setter
    def _clock_resolution(self, _: float) -> None:
        """The loop sets what it knows of the machine's clock."""

    @property
    def speed(self) -> float:
        return self._virtual.speed

    def time(self) -> float:
        return self._virtual.now_s

    def time_ns(self) -> int:
        """As `time`, in whole nanoseconds."""
        return self._virtual.now_ns

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        # As `BaseEventLoop` does it, but in a heap of our own kind of timers: among equals its own is not FIFO.
        self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer((when, next(self._timer_count)), callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = super().run_in_executor(executor, func, *args)
        self._virtual.thread_jobs += 1
        future.add_done_callback(self._on_thread_done)
        return future

    def _on_thread_done(self, _: asyncio.Future[Any]) -> None:
        self._virtual.thread_jobs -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._virtual.thread_jobs += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._virtual.thread_jobs -= 1


def run(main: Coroutine[Any, Any, _T], *, speed: float = 0.0) -> _T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=lambda: _loop(speed)) as runner:
        return runner.run(main)


def _loop(speed: float) -> VirtualTimeLoop:
    """A whole loop: an interrupt waits until it is, because half of one cannot be closed."""
    if threading.current_thread() is not threading.main_thread():
        return VirtualTimeLoop(speed=speed)
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        loop = VirtualTimeLoop(speed=speed)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        if interrupts:
            signal.raise_signal(signal.SIGINT)
    except BaseException:
        loop.close()
        raise
    return loop


def _running() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


@dataclass
class VirtualClock:
    """The simulated machine's clocks, of one boot.

    Attributes:
        epoch_utc_ns: what the wall clock showed at boot, were it always set as it is now.
        boot_id: names the boot.
        error_ms: how far the wall clock may be wrong, as the machine knows; None while nothing vouches for it. What it
            says and how right the clock is are two things: `step` makes any clock wrong.
        booted_ns: when the boot was, in the running loop's time.
    """

    epoch_utc_ns: int
    boot_id: str
    error_ms: int | None = 500
    booted_ns: int = 0
    # Every packet asks for the time, and to ask which loop runs takes longer than to ask it for the time.
    _loop: VirtualTimeLoop | None = field(default=None, init=False, repr=False, compare=False)

    def boot_ns(self) -> int:
        loop = self._loop
        if loop is None or loop.is_closed():
            self._loop = loop = _running()
        return loop.time_ns() - self.booted_ns

    def utc_ns(self) -> int:
        return self.epoch_utc_ns + self.boot_ns()

    def utc_error_ms(self) -> int | None:
        return self.error_ms

    def step(self, by_s: float) -> None:
        """Set the wall clock forward, or back."""
        self.epoch_utc_ns += round(by_s * 1e9)
