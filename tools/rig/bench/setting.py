"""The setting "air" of `vitalgate rig run`: a bench, and a gateway on it.

Contract: as every `tools.rig.run.settings.Setting`. What goes wrong on the bench is the bench's finding.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tools.rig.bench import inventory, play
from tools.rig.bench.errors import BenchError
from tools.rig.language.scenario import Scenario
from tools.rig.verdict.blame import finding
from tools.rig.verdict.outcome import Outcome


def on_the_air(
    bench: Path, gateway_id: str | None
) -> tuple[Callable[[str, Scenario], None], Callable[[Scenario, Path], Outcome]]:
    """What says that a scenario cannot be played there, and what plays it. Raises ConfigError."""
    there = inventory.load(bench)
    gateway = there.gateway(gateway_id)

    def required(name: str, scenario: Scenario) -> None:
        play.require_playable(name, scenario, gateway)

    def played(scenario: Scenario, _: Path) -> Outcome:
        try:
            return asyncio.run(play.play(scenario, there, gateway))
        except BenchError as error:
            return Outcome(seed=scenario.seed, findings=(finding(error),))

    return required, played
