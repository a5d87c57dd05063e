"""Whole gateways in homes that are drawn from seeds: two days of everything that goes wrong, and the laws hold.

A seed that fails is played again, and made small, by

    .venv/bin/vitalgate rig explore --seeds 1234
    .venv/bin/python -P -m pytest -q -m soak tests/test_system_explore.py     # hundreds, and four weeks

Short homes show that a broken law is found: each is about one, and dies with the mutant that breaks it.
"""

import asyncio
import gc
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hw_sim.clock import run
from tools.rig.explore.checks import home_of
from tools.rig.explore.draw import DRAWERS, HOUR_S, document, duration, unworn
from tools.rig.explore.home import open_direct
from tools.rig.explore.play import Result, play, quiet, rss_mb, scenario_of
from tools.rig.home.faults import happen
from tools.rig.language.scenario import Scenario

SEEDS, SOAK_SEEDS, BLOCK = 20, 500, 10

# Who is killed closes nothing.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def played(seed: int) -> Result:
    with quiet():
        result = play(scenario_of(document(seed)))
    command = f".venv/bin/vitalgate rig explore --seeds {seed}"
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
        "settles": "2h",
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


# Weeks

DAYS, WARM_DAYS, GROWTH_MB_MAX = 28, 1, 2.0
PEOPLE = ("anna", "ben")


def home_of_six(days: int) -> dict[str, Any]:
    """Two people with two CGMs each, replaced after ten days, and a strap that is worn two hours a day."""
    worn = [(HOUR_S * (24 * day + 7), HOUR_S * (24 * day + 9)) for day in range(days)]
    rows = [row | {"sensor": f"{one}-strap"} for one in PEOPLE for row in unworn(worn, 24 * HOUR_S * days)]
    for day in range(10, days, 10):
        at = duration(24 * HOUR_S * day + 8 * HOUR_S + 100.0)
        rows += [
            {"what": "sensor replaced", "at": at, "sensor": f"{one}-{place}"}
            for one in PEOPLE
            for place in ("arm", "belly")
        ]
    kinds = {"arm": "cgm", "belly": "cgm", "strap": "heart_rate"}
    return {
        "lasts": f"{days}d",
        "settles": "6h",
        "seed": 1,
        "people": [{"id": one} for one in PEOPLE],
        "sensors": [
            {"id": f"{one}-{place}", "kind": kind, "person": one}
            for one in PEOPLE
            for place, kind in kinds.items()
        ],
        "faults": rows,
        "expect": [{"what": "complete"}],
    }


class Size(NamedTuple):
    """Of the process, at a moment."""

    rss_mb: float
    tasks: int
    files: int


async def sizes_of(scenario: Scenario, directory: Path, days: int) -> list[Size]:
    """At each noon; what the simulation knows of the past it forgets then."""
    sizes = []
    async with open_direct(scenario, directory) as world:
        faults = [asyncio.ensure_future(happen(world, fault)) for fault in scenario.faults]
        for day in range(days):
            await world.until_s(24 * HOUR_S * day + 12 * HOUR_S)
            home_of(world).forget()
            gc.collect()
            waiting = sum(not fault.done() for fault in faults)
            files = sum(1 for _ in Path("/proc/self/fd").iterdir())
            sizes.append(Size(rss_mb(), len(asyncio.all_tasks()) - waiting, files))
        for fault in faults:
            fault.cancel()
    return sizes


def grows(sizes: list[Size]) -> tuple[float, int, int]:
    """By how much memory, tasks and files have grown since the process was warm."""
    warm, last = sizes[WARM_DAYS], sizes[-1]
    return last.rss_mb - warm.rss_mb, last.tasks - warm.tasks, last.files - warm.files


def check_weeks(days: int, directory: Path) -> None:
    with quiet():
        sizes = run(sizes_of(scenario_of(home_of_six(days)), directory, days))
    memory_mb, tasks, files = grows(sizes)
    assert memory_mb < GROWTH_MB_MAX, sizes
    assert (tasks, files) == (0, 0), sizes


@pytest.mark.soak
def test_four_weeks_of_six_sensors_cost_no_more_memory_than_a_day(tmp_path: Path) -> None:
    check_weeks(DAYS, tmp_path)
