"""Cuts the power of the store, kills it, and makes its disk fail, at every write.

    python -P -m tools.rig.power images [--images N] [--seed N] [SCRIPTS...]
    python -P -m tools.rig.power strace [--every N] [SCRIPTS...]
    python -P -m tools.rig.power fiu [--runs N] [SCRIPTS...]
    python -P -m tools.rig.power kills [--kills N]

Contract: a line for each script, and each fault with what draws it again. The exit code is 1 if anything was wrong, and
2 if a tool is missing.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.errors import ConfigError
from tools.rig.power.cuts import cut, cut_again, record
from tools.rig.power.script import SCRIPTS

# The default of the options: what a stage of continuous integration has time for.
IMAGES: Final = 5000
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
            begun_s = time.monotonic()
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
            took_s = time.monotonic() - begun_s
            print(
                f"{name}: {recorded.calls} writes and syncs, {len(recorded.windows)} moments, {count} images opened,"
                f" {len(wrong)} wrong, {took_s:.0f} s",
                flush=True,
            )
            for one in wrong[:SHOWN]:
                print(f"  {one.script}, moment {one.window}, pieces {one.chosen[0]:x}/{one.chosen[1]}: {one.wrong}")
    print(f"{opened} images opened, {faults} wrong (seed {options.seed})")
    return faults


def parser() -> argparse.ArgumentParser:
    """Of the commands."""
    parser = argparse.ArgumentParser(prog="python -P -m tools.rig.power", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("images", help="what may be on a disk after a power cut, opened by the store")
    command.add_argument("--images", type=int, default=IMAGES)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("scripts", nargs="*", metavar="SCRIPT", help=", ".join(SCRIPTS))
    command.set_defaults(do=images)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    options.scripts = options.scripts or list(SCRIPTS)
    try:
        return 1 if options.do(options) else 0
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
