"""Plays scenarios on a real Bluetooth stack in a guest.

    python -P -m tools.rig.bluez FILES... [--bluetoothd 5.66|5.82|both] [--repeat N] [--at-once N] [--json]

Contract: a line for each play, with the times after which data came; the exit code is 1 if anything was wrong, 2 if
something cannot be played. What each play wrote lies in build/bluez, or in --runs.
"""

import argparse
import asyncio
import json
import logging
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import ConfigError
from tools.rig.bluez import provided
from tools.rig.bluez.play import play, require_playable
from tools.rig.bluez.world import recordings
from tools.rig.language.scenario import Scenario, load
from tools.rig.verdict.outcome import Outcome

# Of a verdict's failures.
SHOWN: Final = 8
# A scenario with more sensors has the machine to itself.
SENSORS_MAX: Final = 4


@dataclass(frozen=True)
class Round:
    """One scenario, played once."""

    file: str
    scenario: Scenario
    version: str
    number: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"{Path(self.file).stem}-{self.version}-{self.number}"


def rounds(files: list[str], versions: tuple[str, ...], repeat: int) -> list[Round]:
    """What is played, in order. Raises ConfigError if something cannot be."""
    scenarios = [(file, load(Path(file))) for file in files]
    for file, scenario in scenarios:
        require_playable(file, scenario)
    for name in ("linux", *versions):
        provided.require(name)
    provided.require_one_word(provided.HERE, provided.cache())
    for bodies in {scenario.bodies for _, scenario in scenarios}:
        recordings(bodies=bodies)
    return [
        Round(file, scenario, version, number)
        for number in range(1, repeat + 1)
        for version in versions
        for file, scenario in scenarios
    ]


def shown(one: Round, outcome: Outcome) -> str:
    """An outcome as lines."""
    times = "; ".join(
        f"{moment}: "
        + ", ".join(f"{sensor} {'-' if s is None else f'{s:g} s'}" for sensor, s in found.items())
        for moment, found in outcome.times.items()
    )
    said = f"failed ({outcome.verdict})" if outcome.failures else "passed"
    head = f"{one.file}: bluetoothd {one.version}: {said} in {outcome.took_s:.0f} s" + (
        f": {times}" if times else ""
    )
    more = len(outcome.failures) - SHOWN
    rest = [f"  and {more} more"] if more > 0 else []
    return "\n".join([head, *(f"  {failure}" for failure in outcome.failures[:SHOWN]), *rest])


def document(one: Round, outcome: Outcome) -> dict[str, Any]:
    """An outcome for programs."""
    return {
        "file": one.file,
        "bluetoothd": one.version,
        "number": one.number,
        "passed": not outcome.failures,
        "verdict": outcome.verdict,
        "failures": outcome.failures,
        "times": outcome.times,
        "took_s": outcome.took_s,
    }


async def play_all(to_play: list[Round], runs: Path, at_once: int, *, as_json: bool) -> bool:
    """Whether all passed. Several run at the same time, but for those that need the machine for themselves."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    turn = asyncio.Semaphore(at_once)

    async def in_turn(one: Round) -> bool:
        async with turn:
            return await play_one(one, runs, as_json=as_json)

    # The longest first, so that none of them is left at the end.
    to_play = sorted(to_play, key=lambda one: -one.scenario.lasts_s)
    many = [one for one in to_play if len(one.scenario.sensors) > SENSORS_MAX]
    async with asyncio.TaskGroup() as tasks:
        playing = [tasks.create_task(in_turn(one)) for one in to_play if one not in many]
    passed = [one.result() for one in playing]
    passed += [await play_one(one, runs, as_json=as_json) for one in many]
    return all(passed)


async def play_one(one: Round, runs: Path, *, as_json: bool) -> bool:
    """Whether it passed; its verdict is printed."""
    run = (runs / one.name).absolute()
    shutil.rmtree(run, ignore_errors=True)
    outcome = await play(one.scenario, one.version, run)
    print(json.dumps(document(one, outcome)) if as_json else shown(one, outcome), flush=True)
    return not outcome.failures


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="tools.rig.bluez", description="Play scenarios on a real Bluetooth stack."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="as in tests/scenarios/bluez")
    parser.add_argument("--bluetoothd", choices=(*provided.VERSIONS, "both"), default=provided.VERSIONS[-1])
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="times that each is played")
    parser.add_argument(
        "--at-once", type=int, default=1, metavar="N", help="guests that run at the same time"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("build/bluez"), help="where what is written is kept"
    )
    parser.add_argument("--json", action="store_true", help="a line of JSON for each play")
    called = parser.parse_args()
    versions = provided.VERSIONS if called.bluetoothd == "both" else (called.bluetoothd,)
    # To Bumble every lost link is an error.
    logging.basicConfig(handlers=[logging.NullHandler()])
    try:
        to_play = rounds(called.files, versions, called.repeat)
        provided.require_one_word(called.runs.absolute())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return int(not asyncio.run(play_all(to_play, called.runs, called.at_once, as_json=called.json)))
    except asyncio.CancelledError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
