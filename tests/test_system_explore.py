"""Whole gateways in homes that are drawn from seeds: two days of everything that goes wrong, and the laws hold.

A seed that fails is played again, and made small, by

    .venv/bin/python -P -m tools.rig.explore --seeds 1234
    .venv/bin/python -P -m pytest -q -m soak tests/test_system_explore.py     # hundreds, and four weeks

Short homes show that a broken law is found: each is about one, and dies with the mutant that breaks it.
"""

from collections import Counter
from typing import Any

import pytest

from tools.rig.explore.draw import DRAWERS, document
from tools.rig.explore.play import Result, play, quiet, scenario_of

SEEDS, SOAK_SEEDS, BLOCK = 20, 500, 10

# Who is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def played(seed: int) -> Result:
    with quiet():
        result = play(scenario_of(document(seed)))
    command = f".venv/bin/python -P -m tools.rig.explore --seeds {seed}"
    assert not result.wrong, f"seed {seed}: {result.wrong}\nplayed again by: {command}"
    return result


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_befalls_a_home_the_laws_hold(seed: int) -> None:
    played(seed)


@pytest.mark.soak
@pytest.mark.parametrize("block", range(SEEDS // BLOCK, SOAK_SEEDS // BLOCK))
def test_and_so_they_do_in_hundreds_of_homes(block: int) -> None:
    faults: Counter[str] = Counter()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        faults.update(played(seed).faults)
    assert len(faults) > len(DRAWERS) // 2


# Laws


def short(*faults: dict[str, Any], lasts: str = "3h") -> dict[str, Any]:
    return {
        "lasts": lasts,
        "settles": "6h",
        "seed": 7,
        "bodies": True,
        "sensors": [{"id": "cgm", "kind": "cgm"}],
        "faults": list(faults),
        "expect": [{"what": "complete"}],
    }


HOMES: dict[str, dict[str, Any]] = {
    "an item is sent before it is acknowledged": short(
        {"what": "upstream away", "at": "22min", "for": "40min"},
    ),
    "what the disk refused is asked for again": short(
        {"what": "disk full", "at": "22min", "for": "70min"},
    ),
    "stamps are of the boot, whatever the clock says": short(
        {"what": "clock", "at": "32min", "wrong_by": "-400d", "trusted": False},
        {"what": "gateway killed", "at": "48min", "for": "1s"},
        {"what": "rebooted", "at": "1h10min", "for": "60s", "wrong_by": "700d", "trusted": False},
        {"what": "clock", "at": "1h40min"},
    ),
    "the watermark stops at a gap": short(
        {"what": "out of reach", "at": "22min", "sensor": "cgm", "for": "50min"},
        {"what": "gateway killed", "at": "1h12min2.2s", "for": "1s"},
        {"what": "gateway killed", "at": "1h15min2s", "for": "1s"},
    ),
    "what people were told outlives the process": short(
        {"what": "out of reach", "at": "22min", "sensor": "cgm", "for": "100min"},
        {"what": "gateway killed", "at": "1h10min", "for": "1s"},
        {"what": "gateway killed", "at": "1h20min", "for": "1s"},
    ),
}


@pytest.mark.parametrize("law", HOMES)
def test_a_short_home_keeps_a_law(law: str) -> None:
    with quiet():
        result = play(scenario_of(HOMES[law]))
    assert result.wrong == []
