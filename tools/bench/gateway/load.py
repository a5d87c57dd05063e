"""One gateway under load, in a process of its own: many sensors at once, or a slow disk.

    python -P -m tools.bench.gateway.load many STRAPS SECONDS
    python -P -m tools.bench.gateway.load slow-disk STRAPS FSYNC_MS

`many`: in a time that is the processor time used plus the idle time skipped, as if on a core of its own; work that
holds the loop makes notifications pile up. `slow-disk`: in real time, about two minutes, in which a window of every
strap is closed and sent; each commit and each file takes as much longer as its fsyncs would, in its worker's thread.
Prints one JSON object: what was dropped, and how long the longest callback on the loop took.
"""

import argparse
import asyncio
import json
import resource
import selectors
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from timeit import default_timer
from typing import Any, Final, TypeVar

from edge.workers import ThreadWorker, Workers, threads
from tools.bench.gateway import rig
from tools.bench.gateway.feed import LEAD_S, MIDNIGHT_UTC_S, Home, Packets, recorded
from tools.bench.gateway.rig import Spent

T = TypeVar("T")

FSYNCS_OF_A_COMMIT: Final = 1
FSYNCS_OF_A_FILE: Final = 2  # it and its directory
STEP_S: Final = 0.001
LIVE_S: Final = 5.0
"""When the first packet comes, in the loop's time; a window ends at `LEAD_S`."""
CLOSED_S: Final = 110.0
"""When that window has been closed and sent."""


@dataclass
class LoopClock:
    """A boot that began with the loop, at a minute before midnight."""

    boot_id: str = "boot-1"

    def boot_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def utc_ns(self) -> int:
        return round((MIDNIGHT_UTC_S - LEAD_S) * 1e9) + self.boot_ns()

    def utc_error_ms(self) -> int | None:
        return 1


class RealLoop(asyncio.SelectorEventLoop):
    """Real time, from zero."""

    def __init__(self) -> None:
        self._zero_s = 0.0
        super().__init__()
        self._zero_s = super().time()

    def time(self) -> float:
        return super().time() - self._zero_s


class _CoreSelector(selectors.DefaultSelector):
    """Skips idle time, but waits for the threads that are at work."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0
        self.jobs = 0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.jobs:
            return super().select(STEP_S)
        self.skipped_s += timeout or 0.0
        return ready


class CoreLoop(asyncio.SelectorEventLoop):
    """A core of its own: its time is the processor time of this process plus what was skipped."""

    def __init__(self) -> None:
        self._core = _CoreSelector()
        self._used_s = Spent.now().cpu_s
        super().__init__(self._core)

    def time(self) -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return self._core.skipped_s + usage.ru_utime + usage.ru_stime - self._used_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._core.jobs += 1
        future.add_done_callback(self._on_done)
        return future

    def _on_done(self, _: "asyncio.Future[Any]") -> None:
        self._core.jobs -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._core.jobs += 1
        await super().shutdown_default_executor(*args)


class SlowWorker(ThreadWorker):
    """A thread whose disk takes its time."""

    def __init__(self, name: str, delay_s: float) -> None:
        super().__init__(name)
        self._delay_s = delay_s

    async def __call__(self, work: Callable[[], T]) -> T:
        def slowly() -> T:
            time.sleep(self._delay_s)
            return work()

        return await super().__call__(slowly)


class Longest:
    """The longest callback of the loop since the last `reset`: by the wall, and in processor time of its thread."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.what = ""
        run = asyncio.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            wall_s, cpu_s = default_timer(), thread_cpu_s()
            run(handle)
            wall_s, cpu_s = default_timer() - wall_s, thread_cpu_s() - cpu_s
            self.cpu_s = max(self.cpu_s, cpu_s)
            if wall_s > self.wall_s:
                self.wall_s, self.what = wall_s, repr(handle)[:200]

        asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]

    def reset(self) -> None:
        self.wall_s = self.cpu_s = 0.0


def thread_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_utime + usage.ru_stime


def slow_disk(delay_s: float) -> Workers:
    """Workers whose every fsync takes so long."""
    return Workers(
        SlowWorker("writer", FSYNCS_OF_A_COMMIT * delay_s),
        ThreadWorker("reader"),
        SlowWorker("files", FSYNCS_OF_A_FILE * delay_s),
    )


async def load(
    directory: Path, packets: Packets, straps: int, workers: Callable[[], Workers], longest: Longest
) -> dict[str, Any]:
    home = Home.of(straps, 0)
    machine = rig.machine(rig.config(directory, home), home, LoopClock(), workers)
    made = machine.start()
    await rig.until_connected(made)
    loop = asyncio.get_running_loop()
    home.midnight_s = max(home.midnight_s, loop.time() + LIVE_S)
    longest.reset()
    before, began_s = Spent.now(), loop.time()
    await home.send(packets)
    await asyncio.sleep(max(LIVE_S, CLOSED_S - loop.time()))
    spent_s = Spent.now().since(before).cpu_s
    result = {
        "straps": straps,
        "sent": sum(strap.sent for strap in home.straps),
        "dropped": made.inbox.dropped.total(),
        "links_lost": sum(session.state.losses for session in made.contacts.values()),
        "latest_ms": 1000 * home.latest_s,
        "longest_callback_ms": 1000 * longest.wall_s,
        "longest_callback_cpu_ms": 1000 * longest.cpu_s,
        "longest_callback": longest.what,
        "busy_pct": 100 * spent_s / (loop.time() - began_s),
        "rss_mb": rig.rss_mb(),
    }
    await machine.stop()
    return {**result, "bundles": len(list((directory / "bundles").glob("*.json")))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["many", "slow-disk"])
    parser.add_argument("straps", type=int)
    parser.add_argument("amount", type=float, metavar="SECONDS|FSYNC_MS")
    options = parser.parse_args()
    longest = Longest()
    loop: Callable[[], asyncio.AbstractEventLoop]
    workers: Callable[[], Workers]
    if options.what == "many":
        packets, workers, loop = recorded(options.amount / 3600), threads, CoreLoop
    else:
        # From before the end of a window until after it.
        early = [(t_s - LEAD_S + LIVE_S, payload) for t_s, payload in recorded(CLOSED_S / 3600).heart]
        packets, loop = Packets(early, []), RealLoop
        workers = partial(slow_disk, options.amount / 1000)
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=loop) as runner:
        print(json.dumps(runner.run(load(Path(directory), packets, options.straps, workers, longest))))


if __name__ == "__main__":
    main()
