"""Where a scenario is played: in virtual time in this process, on real BlueZ in a guest, or on the air.

Contract: a setting says what it cannot play (`require` raises ConfigError) before anything is started, and plays one
scenario into a directory of its own. In one that `is_deterministic` two plays of one seed are the same.
"""

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from edge.errors import ConfigError
from tools.rig.language.scenario import Scenario
from tools.rig.verdict.outcome import Outcome

AIR_LOG: Final = "air.btsnoop"


class Setting(NamedTuple):
    """One of them; what it needs is imported when it is asked."""

    name: str
    is_deterministic: bool
    require: Callable[[str, Scenario], None]
    play: Callable[[Scenario, Path], Outcome]


class Options(NamedTuple):
    """What is said of the settings beside their names: a version of bluetoothd, and the file of a bench."""

    bluetoothd: str = "5.82"
    bench: Path | None = None
    gateway: str | None = None
    records_air: bool = False


def setting(name: str, options: Options) -> Setting:
    """The setting of this name. Raises ConfigError if there is none, or it lacks what it needs."""
    if name not in SETTINGS:
        raise ConfigError("--setting", f"{name!r} is no setting", f"use one of: {', '.join(SETTINGS)}")
    of_a_bench = {"--bench": options.bench, "--gateway": options.gateway}
    for option, said in of_a_bench.items():
        if said is not None and name != "air":
            raise ConfigError(
                option, f"it means nothing with --setting {name}", "add --setting air, or leave it out"
            )
    return SETTINGS[name](options)


def _virtual(options: Options) -> Setting:
    from tools.rig.run import play

    def played(scenario: Scenario, directory: Path) -> Outcome:
        directory.mkdir(parents=True, exist_ok=True)
        return play.play(scenario, directory, directory / AIR_LOG if options.records_air else None)

    return Setting("virtual", True, play.require_simulated, played)


def _bluez(options: Options) -> Setting:
    from tools.rig.bluez import play, provided, world

    if options.bluetoothd not in provided.VERSIONS:
        known = ", ".join(provided.VERSIONS)
        raise ConfigError("--bluetoothd", f"{options.bluetoothd!r} is not provided", f"use one of: {known}")
    for name in ("linux", options.bluetoothd):
        provided.require(name)

    def required(name: str, scenario: Scenario) -> None:
        play.require_playable(name, scenario)
        world.recordings(bodies=scenario.bodies)

    def played(scenario: Scenario, directory: Path) -> Outcome:
        provided.require_one_word(directory.absolute())
        return asyncio.run(play.play(scenario, options.bluetoothd, directory.absolute()))

    return Setting("bluez", False, required, played)


def _air(options: Options) -> Setting:
    if options.bench is None:
        raise ConfigError(
            "--bench", "a bench is needed for --setting air", "name its file of dongles and gateways"
        )
    # The bench has packages of its own: it is loaded when it is asked for.
    bench = import_module("tools.rig.bench.setting")
    return Setting("air", False, *bench.on_the_air(options.bench, options.gateway))


SETTINGS: Final[dict[str, Callable[[Options], Setting]]] = {
    "virtual": _virtual,
    "bluez": _bluez,
    "air": _air,
}


def document(outcome: Outcome) -> Any:
    """An outcome for programs, but for the evidence."""
    told = msgspec.to_builtins(outcome)
    findings = [{"blame": one.blame.value, "text": one.text} for one in outcome.findings]
    return {"verdict": outcome.verdict, **told, "findings": findings, "evidence": None}
