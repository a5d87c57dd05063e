"""Plays scenarios, each as often as is wanted, and keeps what came of it.

Contract: play N of a scenario has the seed of the file, or of the call, plus N. In a deterministic setting a play that
has not passed is played once more with its seed, and so is the first of several that has: if anything differs, the
bench is at fault, for it is not deterministic. A play that is repeated never becomes one that has passed. Each play has
a directory of its own, which is empty before.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import structs

from edge.clock import NS_PER_S, SystemClock
from edge.errors import ConfigError
from tools.rig.language.scenario import Scenario, load
from tools.rig.report import artefacts
from tools.rig.run.infrastructure import PROBES, Probes, wrong_with
from tools.rig.run.settings import Setting
from tools.rig.verdict.blame import Blame, Finding, finding
from tools.rig.verdict.outcome import Outcome, verdict_of

AGAIN: Final = "again"


class Wanted(NamedTuple):
    """How scenarios are played.

    Attributes:
        seed: of the first play, if it is not that of the file.
        artefacts: where what was played is kept; nothing is kept without it.
    """

    setting: Setting
    repeat: int = 1
    seed: int | None = None
    artefacts: Path | None = None
    probes: Probes = PROBES


class Round(NamedTuple):
    """A scenario, and how its plays went."""

    file: str
    about: str
    outcomes: list[Outcome]
    setting: str

    @property
    def name(self) -> str:
        return Path(self.file).stem

    @property
    def verdict(self) -> str:
        return verdict_of(self.outcomes)

    @property
    def passed(self) -> int:
        """How many plays have."""
        return sum(not one.findings for one in self.outcomes)

    @property
    def first_failing_seed(self) -> int | None:
        return next((one.seed for one in self.outcomes if one.findings), None)


def play_all(files: list[str], wanted: Wanted, on_play: Callable[[str, Outcome], None]) -> Iterator[Round]:
    """A round for each file; `on_play` is told of each play as it ends."""
    for file in files:
        try:
            scenario = load(Path(file))
            wanted.setting.require(file, scenario)
        except ConfigError as error:
            outcome = Outcome(seed=wanted.seed or 0, findings=(finding(error),))
            on_play(file, outcome)
            yield Round(file, "", [outcome], wanted.setting.name)
            continue
        first = scenario.seed if wanted.seed is None else wanted.seed
        outcomes = []
        for seed in range(first, first + wanted.repeat):
            is_first_of_many = seed == first and wanted.repeat > 1
            outcome = _play_one(file, structs.replace(scenario, seed=seed), wanted, is_twice=is_first_of_many)
            on_play(file, outcome)
            outcomes.append(outcome)
        yield Round(file, scenario.about, outcomes, wanted.setting.name)


def _play_one(file: str, scenario: Scenario, wanted: Wanted, *, is_twice: bool) -> Outcome:
    clock = SystemClock()
    begun_ns = clock.boot_ns()
    with _directory(file, scenario, wanted) as directory:
        found = wrong_with(directory, wanted.probes)
        if found:
            return Outcome(seed=scenario.seed, findings=tuple(found))
        outcome = _played(wanted.setting, scenario, directory)
        more: list[Finding] = []
        if outcome.findings:
            more += wrong_with(directory, wanted.probes)
        if wanted.setting.is_deterministic and (outcome.findings or is_twice) and not more:
            with tempfile.TemporaryDirectory() as again:
                more += difference(outcome, _played(wanted.setting, scenario, Path(again) / AGAIN))
        outcome = structs.replace(
            outcome,
            findings=(*more, *outcome.findings),
            took_s=round((clock.boot_ns() - begun_ns) / NS_PER_S, 1),
        )
        if wanted.artefacts is not None:
            artefacts.keep(directory, Path(file), scenario, wanted.setting.name, outcome)
    return outcome


def _played(setting: Setting, scenario: Scenario, directory: Path) -> Outcome:
    """A play; what the machine or the bench does to the rig itself is an outcome, too."""
    try:
        return setting.play(scenario, directory)
    except (OSError, MemoryError, ImportError, RuntimeError, ConfigError) as error:
        return Outcome(seed=scenario.seed, findings=(finding(error),))


def difference(one: Outcome, again: Outcome) -> list[Finding]:
    """What is wrong with a bench on which two plays of one seed are not the same."""
    if (one.digest, one.failures) == (again.digest, again.failures):
        return []
    said = "another result" if one.failures != again.failures else "the same result by another way"
    return [
        Finding(Blame.BENCH, f"seed {one.seed} was played again, with {said}: the bench is not deterministic")
    ]


@contextmanager
def _directory(file: str, scenario: Scenario, wanted: Wanted) -> Iterator[Path]:
    if wanted.artefacts is None:
        with tempfile.TemporaryDirectory() as directory:
            yield Path(directory)
        return
    kept = wanted.artefacts / f"{Path(file).stem}-{wanted.setting.name}-{scenario.seed}"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    yield kept
