"""Cuts the power of the store, kills it, and makes its disk fail, at every write.

    python -P -m tools.rig.power images [--images N] [--seed N]
    python -P -m tools.rig.power strace [--every N] [--faults kill EIO ENOSPC "EIO for good"]
    python -P -m tools.rig.power fiu [--runs N] [--seed N]
    python -P -m tools.rig.power guest [--scripts new day sending]
    python -P -m tools.rig.power table

Contract: a line for each script, and each fault with what draws it again. The exit code is 1 if anything was wrong, and
2 if a tool is missing.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from timeit import default_timer
from typing import Final

from edge.errors import ConfigError
from tools.rig.bluez.guest import GuestError
from tools.rig.power import breaks, fiu, guest, strace
from tools.rig.power.cuts import cut, cut_again, record
from tools.rig.power.script import SCRIPTS
from tools.rig.power.trials import prepared

# The default of the options: what a stage of continuous integration has time for.
IMAGES: Final = 5000
RUNS: Final = 200
# Of the images, those that are drawn of a second cut, while the first one is recovered from.
AGAIN_SHARE: Final = 5
SHOWN: Final = 5


def scratch() -> str | None:
    """Where files are made that no power cut has to survive: in memory, if that can be."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def images(options: argparse.Namespace) -> int:
    """Open images of every script; how many were wrong."""
    opened = faults = 0
    with tempfile.TemporaryDirectory(dir=scratch()) as place:
        directory = Path(place).resolve()
        for name in options.scripts:
            begun_s = default_timer()
            recorded = record(name, directory)
            share = options.images // len(options.scripts)
            wrong = []
            count = 0
            for again, draw in enumerate((cut, cut_again)):
                part = share // AGAIN_SHARE if again else share - share // AGAIN_SHARE
                for one in draw(recorded, part, options.seed, directory):
                    count += 1
                    if one.wrong is not None:
                        wrong.append(one)
            opened += count
            faults += len(wrong)
            took_s = default_timer() - begun_s
            print(
                f"{name}: {recorded.calls} writes and syncs, {len(recorded.windows)} moments, {count} images opened,"
                f" {len(wrong)} wrong, {took_s:.0f} s",
                flush=True,
            )
            for one in wrong[:SHOWN]:
                print(
                    f"  {one.script}, moment {one.window}, pieces {one.chosen[0]:x}/{one.chosen[1]}: {one.wrong}"
                )
    print(f"{opened} images opened, {faults} wrong (seed {options.seed})")
    return faults


def each_call(options: argparse.Namespace) -> int:
    """A fault at every call of every script, or at every n-th; how many were wrong."""
    strace.require()
    trials = faults = 0
    with tempfile.TemporaryDirectory(dir=scratch()) as place:
        directory = Path(place).resolve()
        for name in options.scripts:
            begun_s = default_timer()
            one = prepared(name, directory)
            calls = strace.calls(one, directory / "run")
            chosen = calls[options.seed % options.every :: options.every]
            wrong = []
            for fault in options.faults:
                for call in chosen:
                    trial = strace.injected(one, directory / "run", fault, call)
                    if trial.wrong is not None:
                        wrong.append(f"  {fault} at {call.name} {call.number}: {trial.wrong}")
            trials += len(chosen) * len(options.faults)
            faults += len(wrong)
            print(
                f"{name}: {len(calls)} calls, {len(chosen) * len(options.faults)} faults injected, {len(wrong)} wrong,"
                f" {default_timer() - begun_s:.0f} s",
                flush=True,
            )
            print(*wrong[:SHOWN], sep="\n", end="\n" if wrong else "")
    print(f"{trials} faults injected by strace, {faults} wrong")
    return faults


def random_calls(options: argparse.Namespace) -> int:
    """Scripts, one after the other, whose calls fail at random; how many were wrong."""
    if not fiu.is_under_it():
        words = fiu.command(
            ["fiu", "--runs", str(options.runs), "--seed", str(options.seed), "--scripts", *options.scripts]
        )
        os.execvp(words[0], words)  # noqa: S606
    codes: Counter[int] = Counter()
    faults = 0
    with tempfile.TemporaryDirectory(dir=scratch()) as place:
        directory = Path(place).resolve()
        scripts = [prepared(name, directory) for name in options.scripts]
        for number in range(options.runs):
            seed = options.seed + number
            one = scripts[seed % len(scripts)]
            trial = fiu.trial(one, directory / "run", seed)
            codes[trial.code] += 1
            if trial.wrong is not None:
                faults += 1
                print(f"  {one.name}, --runs 1 --seed {seed}: {trial.wrong}", flush=True)
    print(f"{options.runs} runs under libfiu ({codes[0]} to the end), {faults} wrong")
    return faults


def logged(options: argparse.Namespace) -> int:
    """Scripts on a file system whose every write the kernel logs and replays; how many were wrong."""
    with tempfile.TemporaryDirectory(dir=scratch()) as place:
        return guest.replay_all(options.scripts, Path(place).resolve())


def table(_: argparse.Namespace) -> int:
    """Who finds a store that is broken on purpose; always 0."""
    for row in breaks.table():
        print(row, flush=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """Of the commands."""
    parser = argparse.ArgumentParser(prog="python -P -m tools.rig.power", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser(
        "images", help="what may be on a disk after a power cut, opened by the store"
    )
    command.add_argument("--images", type=int, default=IMAGES)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--scripts", nargs="+", choices=list(SCRIPTS))
    command.set_defaults(do=images)
    command = commands.add_parser("strace", help="a fault at every write and sync, injected from outside")
    command.add_argument("--every", type=int, default=1, help="only every n-th call; --seed says which")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--faults", nargs="+", choices=list(strace.FAULTS), default=["kill", "EIO"])
    command.add_argument("--scripts", nargs="+", choices=list(SCRIPTS))
    command.set_defaults(do=each_call)
    command = commands.add_parser("fiu", help="calls of the C library that fail at random, or do a part")
    command.add_argument("--runs", type=int, default=RUNS)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--scripts", nargs="+", choices=list(SCRIPTS))
    command.set_defaults(do=random_calls)
    command = commands.add_parser(
        "guest", help="every write to a file system, by dm-log-writes in a guest's kernel"
    )
    command.add_argument("--scripts", nargs="+", choices=list(SCRIPTS), default=["new", "day", "sending"])
    command.set_defaults(do=logged)
    command = commands.add_parser(
        "table", help="who finds a store that is broken on purpose, by one line each"
    )
    command.set_defaults(do=table, scripts=None)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    options.scripts = options.scripts or list(SCRIPTS)
    logging.disable(logging.ERROR)  # that a disk would not write is no news here
    try:
        return 1 if options.do(options) else 0
    except (ConfigError, strace.BenchError, GuestError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
