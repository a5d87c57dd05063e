"""Plays the homes of many seeds: in several processes, resumed where it was ended, each failing seed made small.

Contract: `resume` is a file with a line of JSON for each seed that was played; those are not played again. A seed that
fails is shrunk to a scenario file, beside which the command is printed that plays it again. The exit code is 1 if
anything failed. Memory that grows with the seeds is a failure, too.

Not here: one home (`play`), and what is drawn (`draw`).
"""

import itertools
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from timeit import default_timer
from typing import Final

import msgspec

from edge.errors import ConfigError
from tools.rig.explore.draw import DRAWERS, document
from tools.rig.explore.play import Result, play, quiet, scenario_of
from tools.rig.explore.shrink import shrink
from tools.rig.language.gateway_file import to_toml
from tools.rig.language.scenario import load

# After the first homes everything is loaded; from then on a process is to stay as it is.
WARM_SEEDS: Final = 10
GROWTH_MB_MAX: Final = 60.0
COMMAND: Final = ".venv/bin/vitalgate rig explore"


@dataclass(frozen=True)
class Call:
    """What was asked for: seeds from `first` to `last`, or without a last for so many hours.

    Attributes:
        stops: whether the first seed that fails is the last that is played, and is not made small.
    """

    first: int
    last: int | None
    hours: float | None
    days: int
    jobs: int
    resume: Path | None
    failures: Path
    stops: bool = False


@dataclass
class Tally:
    """What came of the seeds so far."""

    results: list[Result] = field(default_factory=list)

    @property
    def failed(self) -> list[Result]:
        return sorted((one for one in self.results if one.wrong), key=lambda one: one.seed)

    @property
    def faults(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for one in self.results:
            found.update(one.faults)
        return found

    def growth_mb(self) -> float:
        """The most that a process has grown since it had played its first homes."""
        grown = [0.0]
        for pid in {one.pid for one in self.results}:
            sizes = [one.rss_mb for one in self.results if one.pid == pid][WARM_SEEDS:]
            grown += [sizes[-1] - sizes[0]] if sizes else []
        return max(grown)


def named(text: str) -> tuple[int, int]:
    """The first and the last of "A..B", or of a single seed. Raises ConfigError."""
    first, dots, last = text.partition("..")
    if not first.isdecimal() or not (last.isdecimal() if dots else True):
        raise ConfigError("--seeds", f"{text!r} is not A..B", "write it like 0..499")
    if dots and int(last) < int(first):
        raise ConfigError("--seeds", f"{text!r} names no seed", "write the smaller one first, like 0..499")
    return int(first), int(last if dots else first)


def seeds(call: Call, done: set[int]) -> Iterator[int]:
    """Those that were not played yet, until the time is up."""
    end_s = default_timer() + 3600 * call.hours if call.hours is not None else float("inf")
    numbers = itertools.count(call.first) if call.last is None else range(call.first, call.last + 1)
    for seed in numbers:
        if default_timer() >= end_s:
            return
        if seed not in done:
            yield seed


def read(resume: Path | None) -> list[Result]:
    """What was played before; a line that was cut off by a kill is played again."""
    if resume is None or not resume.exists():
        return []
    found = []
    for line in resume.read_bytes().splitlines():
        try:
            found.append(msgspec.json.decode(line, type=Result))
        except msgspec.DecodeError:
            continue
    return found


def play_seed(seed: int, days: int) -> Result:
    """The home of a seed, in a process of its own."""
    return play(scenario_of(document(seed, days)))


def explore(call: Call, play_one: Callable[[int, int], Result] = play_seed) -> int:
    """Play them all, and print what came of it; the exit code. `play_one` plays a seed for so many days."""
    tally = Tally(read(call.resume))
    began_s = default_timer()
    is_cut = call.resume is not None and _is_cut(call.resume)
    if call.resume is not None:
        call.resume.parent.mkdir(parents=True, exist_ok=True)
    for result in _played(call, {one.seed for one in tally.results}, play_one):
        tally.results.append(result)
        if call.resume is not None:
            with call.resume.open("ab") as file:
                # Behind a line that was cut off by a kill.
                file.write(b"\n" * is_cut + msgspec.json.encode(result) + b"\n")
                is_cut = False
        said = "failed: " + "; ".join(result.wrong) if result.wrong else "passed"
        print(f"seed {result.seed}: {said} ({result.cpu_s:.1f} s of CPU)", flush=True)
        if result.wrong and call.stops:
            break
    for result in () if call.stops else tally.failed:
        _make_small(result, call)
    return _sum_up(tally, default_timer() - began_s)


def _is_cut(resume: Path) -> bool:
    return resume.exists() and resume.stat().st_size > 0 and not resume.read_bytes().endswith(b"\n")


def _played(call: Call, done: set[int], play_one: Callable[[int, int], Result]) -> Iterator[Result]:
    if call.jobs == 1:
        with quiet():
            for seed in seeds(call, done):
                yield play_one(seed, call.days)
        return
    left = seeds(call, done)
    # As `quiet`, for as long as these processes live.
    silent = (logging.CRITICAL,)
    with ProcessPoolExecutor(call.jobs, get_context("spawn"), logging.disable, silent) as pool:
        under_way: set[Future[Result]] = set()
        while True:
            for seed in itertools.islice(left, call.jobs - len(under_way)):
                under_way.add(pool.submit(play_one, seed, call.days))
            if not under_way:
                return
            over, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in over:
                yield one.result()


def _make_small(result: Result, call: Call) -> None:
    """Shrink it to a file, and say how it is played again."""
    with quiet():
        found = shrink(
            document(result.seed, call.days), result.wrong, lambda one: play(scenario_of(one)).wrong
        )
    call.failures.mkdir(parents=True, exist_ok=True)
    file = call.failures / f"seed-{result.seed}.toml"
    file.write_text(to_toml(found))
    print(f"seed {result.seed} is small in {file} ({len(found['faults'])} faults); played again by:")
    print(f"  {COMMAND} --file {file}")


def play_file(file: Path) -> int:
    """Play a scenario file with all that must be true of every home; the exit code."""
    with quiet():
        result = play(load(file))
    print(f"{file}: {'failed' if result.wrong else 'passed'}")
    for what in result.wrong:
        print(f"  {what}")
    return int(bool(result.wrong))


def _sum_up(tally: Tally, wall_s: float) -> int:
    cpu_s = sum(one.cpu_s for one in tally.results)
    seeds_played = "1 seed" if len(tally.results) == 1 else f"{len(tally.results)} seeds"
    print(f"{seeds_played}, {len(tally.failed)} failed, {wall_s:.0f} s, {cpu_s:.0f} s of CPU")
    print("faults: " + ", ".join(f"{what} {n}" for what, n in sorted(tally.faults.items())))
    if never := sorted(DRAWERS.keys() - tally.faults.keys()):
        print("never drawn: " + ", ".join(never))
    growth_mb = tally.growth_mb()
    if growth_mb > GROWTH_MB_MAX:
        print(f"memory grew by {growth_mb:.0f} MB in one process", file=sys.stderr)
    return int(bool(tally.failed) or growth_mb > GROWTH_MB_MAX)
