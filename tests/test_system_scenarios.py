"""Whole gateways through the scenarios of `tests/scenarios`: files that say what goes wrong, and what must be true.

.venv/bin/vitalgate rig run tests/scenarios/killed.toml
.venv/bin/python -P -m pytest -m "soak or not soak" tests/test_system_scenarios.py     # with all seeds
"""

from pathlib import Path

import pytest
from msgspec import structs

from tools.rig.language.scenario import load
from tools.rig.run.play import play

SCENARIOS = Path(__file__).parent / "scenarios"
SEEDS = {"links_drop": 20}
SEEDS_MAX = 2  # those that are played by default
PLAYED = [
    pytest.param(path, seed, id=f"{path.stem}-{seed}", marks=[pytest.mark.soak] * (seed >= SEEDS_MAX))
    for path in sorted(SCENARIOS.glob("*.toml"))
    for seed in range(SEEDS.get(path.stem, 1))
]

# Who is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.mark.parametrize(("path", "seed"), PLAYED)
def test_what_a_scenario_expects_is_true(path: Path, seed: int, tmp_path: Path) -> None:
    scenario = load(path)
    verdict = play(structs.replace(scenario, seed=scenario.seed + seed), tmp_path)
    assert not verdict.failures, "\n".join([scenario.about, *verdict.failures])


def test_every_name_with_several_seeds_is_that_of_a_scenario() -> None:
    assert {path.stem for path in SCENARIOS.glob("*.toml")} >= SEEDS.keys()
