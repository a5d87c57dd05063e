"""`python -P -m tools.rig.explore`: whole gateways in homes that are drawn from seeds."""

import argparse
import sys
from pathlib import Path

from edge.errors import ConfigError
from tools.rig.explore.campaign import Call, explore, play_file


def call_of(arguments: list[str]) -> Call | Path:
    """What was asked for: seeds, or the file that is to be played."""
    parser = argparse.ArgumentParser(
        prog="tools.rig.explore", description="Play homes that are drawn from seeds."
    )
    parser.add_argument("--seeds", default="0..19", metavar="A..B", help="which")
    parser.add_argument("--hours", type=float, help="from A on, for so long, whatever B is")
    parser.add_argument("--days", type=int, default=2, help="how long each home is played")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="notes seeds that were played; is gone on from"
    )
    parser.add_argument("--failures", type=Path, default=Path("build/explore"), metavar="DIR")
    parser.add_argument("--stop", action="store_true", help="end at the first that fails")
    parser.add_argument("--file", type=Path, help="play this scenario instead")
    said = parser.parse_args(arguments)
    if said.file is not None:
        return Path(said.file)
    first, _, last = said.seeds.partition("..")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise ConfigError("--seeds", f"{said.seeds!r} is not A..B", "write it like 0..499")
    until = None if said.hours is not None else int(last or first)
    return Call(int(first), until, said.hours, said.days, said.jobs, said.resume, said.failures, said.stop)


def main(arguments: list[str]) -> int:
    """The exit code: 1 if anything failed, 2 if what was asked for makes no sense."""
    try:
        call = call_of(arguments)
        return play_file(call) if isinstance(call, Path) else explore(call)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
