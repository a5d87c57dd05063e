"""The machine that a gateway runs on: its clock, its disk and its Bluetooth, and the gateway's lives on it.

    what ends a life | the gateway                              | the machine
    -----------------|------------------------------------------|-----------------------------------
    stop             | as by SIGTERM: stores what is in memory  | as it was
    kill             | nothing more is done, written or sent    | holds its links, as bluetoothd does
    reboot           | as kill; another begins                  | another boot; every link is lost

Contract: one gateway at a time; what a process is (backends, workers, randomness) each life has anew, what outlives a
process is here. The true time at the loop's zero is `zero_utc_s`, whatever the machine's clock shows. Everything random
comes from what it is given.

Not here: sensors, and what is true of them (`world`); Bumble, so that a benchmark need not load it (`simulation`).
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, Protocol, runtime_checkable

from edge.alerts.delivery import Channel
from edge.app import Gateway
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.feeds.client import Web
from edge.feeds.web import open_web
from edge.radio.adapter import Radio
from edge.workers import Worker, Workers
from hw_sim.clock import VirtualClock
from hw_sim.disk import InstantDisk
from hw_sim.radio.direct_radio import backends
from hw_sim.radio.direct_stack import DirectStack

ERROR_MS = 500


class Bluetooth(NamedTuple):
    """The machine's Bluetooth, which outlives the processes that use it.

    Attributes:
        radio: that of a process that starts now.
        abandon_clients: what the end of a process without a word does.
        lose_links: what the end of its power does.
    """

    radio: Callable[[], Radio]
    abandon_clients: Callable[[], None]
    lose_links: Callable[[], None]


def direct(stack: DirectStack) -> Bluetooth:
    """The Bluetooth of a machine without a radio."""

    def lose_links() -> None:
        for address in list(stack.links):
            stack.cut(address)

    return Bluetooth(lambda: Radio(*backends(stack)), stack.abandon_clients, lose_links)


@runtime_checkable
class Disk(Worker, Protocol):
    """A worker that can be full, and cut off: those of `hw_sim.disk`."""

    refuses: bool

    def cut(self) -> None: ...


class GatewayEnded(ExceptionGroup):
    """The gateway has ended by itself, and of what."""


class NotSettled(TimeoutError):  # noqa: N818 - what the product has done
    """The gateway has had all the time it was given, and is not done."""


def instant() -> Workers:
    """Workers whose disks take no time."""
    return Workers(InstantDisk(), InstantDisk(), InstantDisk())


class Machine:
    """One computer; make it in the loop that it runs in.

    Attributes:
        clock: the clocks of this boot.
        boots: the clocks of all boots, the newest last.
        starts_s, stops_s, kills_s: when lives began, and when they were ended, in the loop's time.
        running: the newest life.
        died: done once a life has ended that nobody ended.
        on_start: called with the gateway of each life, before it runs.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        bluetooth: Bluetooth,
        *,
        zero_utc_s: float,
        new_rng: Callable[[int], Random],
        new_workers: Callable[[], Workers] = instant,
        new_channels: Callable[[], Sequence[Channel]] = tuple,
        boot_id: str = "boot",
        wrong_s: float = 0.0,
        is_trusted: bool = True,
        other_clock: Clock | None = None,
        web: Callable[[SensorConfig], Web] = open_web,
    ) -> None:
        """What makes something new is asked at the beginning of each life; lives count from 0. Alerts are also told by
        the new channels, beside the gateway's own. `web` is how feeds are reached.

        With `other_clock` gateways read that, which nobody sets, and the loop need not be one of virtual time.
        """
        self.bluetooth = bluetooth
        self.boots: list[VirtualClock] = []
        self.starts_s: list[float] = []
        self.stops_s: list[float] = []
        self.kills_s: list[float] = []
        self.running: asyncio.Task[None] | None = None
        self.died: asyncio.Future[asyncio.Task[None]] = asyncio.get_running_loop().create_future()
        self.on_start: Callable[[Gateway], None] = lambda _: None
        self._config = config
        self._zero_utc_s = zero_utc_s
        self._new_rng = new_rng
        self._new_workers = new_workers
        self._new_channels = new_channels
        self._boot_id = boot_id
        self._other_clock = other_clock
        self._web = web
        self._workers: Workers | None = None
        self._cut_off: list[Disk] = []  # who waits for them is not forgotten before the loop ends
        self._gateway: Gateway | None = None
        self._is_full = False
        self._boot(wrong_s, is_trusted=is_trusted)

    # Time

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def utc_s(self) -> float:
        """The true time."""
        return self._zero_utc_s + self.now_s

    def _boot(self, wrong_s: float, *, is_trusted: bool) -> None:
        booted_ns = round(self.now_s * NS_PER_S)
        self.clock = VirtualClock(0, f"{self._boot_id}-{len(self.boots)}", booted_ns=booted_ns)
        self.boots.append(self.clock)
        self.set_clock(wrong_s, is_trusted=is_trusted)

    def set_clock(self, wrong_s: float = 0.0, *, is_trusted: bool = True) -> None:
        """Let it be wrong by so much; whether something vouches for it is another thing."""
        right_ns = round(self._zero_utc_s * NS_PER_S) + self.clock.booted_ns
        self.clock.epoch_utc_ns = right_ns + round(wrong_s * NS_PER_S)
        self.clock.error_ms = ERROR_MS if is_trusted else None

    # The disk

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be written."""
        return self._is_full

    @is_full.setter
    def is_full(self, is_full: bool) -> None:
        self._is_full = is_full
        self._fill()

    def _fill(self) -> None:
        if self._workers is not None:
            for worker in (self._workers.writer, self._workers.files):
                if isinstance(worker, Disk):
                    worker.refuses = self._is_full

    @property
    def writer(self) -> Worker:
        """What writes to the store in this life."""
        assert self._workers is not None
        return self._workers.writer

    # Lives

    @property
    def is_running(self) -> bool:
        return self._gateway is not None

    @property
    def gateway(self) -> Gateway:
        """That of this life."""
        assert self._gateway is not None, "no gateway runs"
        return self._gateway

    def open(self) -> Gateway:
        """A new process's gateway, not running yet: only its store is open.

        Raises:
            ConfigError, StoreUnavailable: as `Gateway`.
        """
        life = len(self.starts_s)
        self.starts_s.append(self.now_s)
        self._workers = self._new_workers()
        self._fill()
        return Gateway(
            self._config(),
            self._other_clock or self.clock,
            self.bluetooth.radio(),
            self._new_rng(life),
            simulated=True,
            workers=self._workers,
            channels=self._new_channels(),
            web=self._web,
        )

    def start(self) -> Gateway:
        """A new process. Raises as `open`."""
        assert not self.is_running, "a gateway runs already"
        self._gateway = self.open()
        self.on_start(self._gateway)
        self.running = asyncio.ensure_future(self._gateway.run())
        self.running.add_done_callback(self._on_end)
        return self._gateway

    def _on_end(self, running: "asyncio.Task[None]") -> None:
        if running is self.running and self._gateway is not None and not self.died.done():
            self.died.set_result(running)

    async def stop(self) -> None:
        """As a service manager does; nothing happens if no gateway runs."""
        if self.is_running:
            self.stops_s.append(self.now_s)
            gateway, running = self._ended()
            running.cancel()
            await asyncio.wait({running})
            gateway.close()

    async def kill(self) -> None:
        """As `kill -9` does."""
        self.kills_s.append(self.now_s)
        self.bluetooth.abandon_clients()
        for worker in self._workers or ():
            assert isinstance(worker, Disk), "work in a thread cannot be cut off"
            worker.cut()
            self._cut_off.append(worker)
        gateway, running = self._ended()
        while not running.done():
            # It may wait for what will never be answered, and its tasks for something that they do on the way out.
            running.cancel()
            for task in asyncio.all_tasks():
                if task.cancelling():
                    task.cancel()
            await asyncio.sleep(0)
        gateway.close()

    def _ended(self) -> tuple[Gateway, "asyncio.Task[None]"]:
        gateway, running = self.gateway, self.running
        assert running is not None
        self._gateway = None
        return gateway, running

    async def reboot(self, off_s: float, *, wrong_s: float = 0.0, is_trusted: bool = True) -> None:
        """The power fails for so long; then another boot, and a gateway on it."""
        await self.kill()
        self.bluetooth.lose_links()
        await asyncio.sleep(off_s)
        self._boot(wrong_s, is_trusted=is_trusted)
        self.start()

    async def for_s(self, seconds: float) -> None:
        """Let time pass. Raises GatewayEnded as soon as the gateway has ended by itself."""
        await asyncio.wait({self.died}, timeout=max(0.0, seconds))
        if self.died.done():
            error = self.died.result().exception()
            assert isinstance(error, Exception), "nothing was left to do"
            raise GatewayEnded(f"the gateway has ended by itself: {_leaves(error)}", [error])


def _leaves(error: BaseException) -> str:
    """What an error says; of a group, what each of it says."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_leaves, error.exceptions))
    return f"{type(error).__name__}: {error}"
