"""One call of `vitalgate rig run`: plays, prints, and writes the reports that were asked for.

Contract: a line for each play as it ends, then a line for each scenario that was played several times; with JSON one
document in the end, and nothing else on stdout. The exit code is 0 if all passed, 2 if what did not is the fault of
scenarios, else 1.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.errors import ConfigError
from tools.rig.report import junit as junit_report
from tools.rig.report import page
from tools.rig.run.rounds import Round, Wanted, play_all
from tools.rig.run.settings import Options, document, setting
from tools.rig.verdict.blame import Blame
from tools.rig.verdict.outcome import Outcome, wilson
from tools.terminal import print_json

# Of a play's findings.
SHOWN: Final = 8


class Call(NamedTuple):
    """What was asked for."""

    files: list[str]
    setting: str
    options: Options
    repeat: int
    seed: int | None
    junit: Path | None
    html: Path | None
    artefacts: Path | None


def play(call: Call, *, as_json: bool) -> int:
    """The exit code. Raises ConfigError if nothing can be played."""
    # What is said is looked at, not shown; to Bumble every lost link is an error.
    logging.basicConfig(handlers=[logging.NullHandler()])
    _check(call)
    wanted = Wanted(setting(call.setting, call.options), call.repeat, call.seed, call.artefacts)

    def tell(file: str, outcome: Outcome) -> None:
        if not as_json:
            print("\n".join(_lines(file, outcome)), flush=True)

    rounds = []
    for one in play_all(call.files, wanted, tell):
        rounds.append(one)
        if call.repeat > 1 and not as_json:
            print(_rate(one), flush=True)
    if call.junit is not None:
        call.junit.write_bytes(junit_report.document(rounds))
    if call.html is not None:
        call.html.write_text(page.document(rounds))
    if as_json:
        print_json([_row(one) for one in rounds])
    return exit_code(rounds)


def _check(call: Call) -> None:
    """Whatever can be kept of the plays has its place: that is known before the first begins."""
    for path in (call.junit, call.html):
        if path is not None and not path.parent.is_dir():
            raise ConfigError(str(path), "its directory is not there", "name a file in one that is")
        if path is not None and path.is_dir():
            raise ConfigError(str(path), "it is a directory", "name a file")
    twice = [name for name, n in Counter(Path(file).stem for file in call.files).items() if n > 1]
    if call.artefacts is not None and twice:
        what = f"several files are called {twice[0]}, and would be kept in one place"
        raise ConfigError("--artefacts", what, "play them in calls of their own, with another directory each")


def exit_code(rounds: list[Round]) -> int:
    """0 passed, 1 failed, 2 a scenario to mend."""
    blames = {one.verdict for one in rounds} - {"passed"}
    return 0 if not blames else 2 if blames == {Blame.SCENARIO} else 1


def _lines(file: str, outcome: Outcome) -> Iterator[str]:
    yield f"{file}: seed {outcome.seed}: {outcome.verdict} in {outcome.took_s:g} s"
    told = [f"  {one.blame}: {one.text}" for one in outcome.findings]
    yield from told[:SHOWN]
    if len(told) > SHOWN:
        yield f"  and {len(told) - SHOWN} more"


def _rate(one: Round) -> str:
    low, high = wilson(one.passed, len(one.outcomes))
    said = f"{one.file}: {one.passed} of {len(one.outcomes)} passed ({low:.1%} to {high:.1%} with 95 % confidence)"
    return (
        said
        if one.first_failing_seed is None
        else f"{said}; the first seed that failed is {one.first_failing_seed}"
    )


def _row(one: Round) -> dict[str, Any]:
    low, high = wilson(one.passed, len(one.outcomes))
    return {
        "file": one.file,
        "about": one.about,
        "setting": one.setting,
        "verdict": one.verdict,
        "played": len(one.outcomes),
        "passed": one.passed,
        "pass_rate": {"low": low, "high": high, "confidence": 0.95},
        "first_failing_seed": one.first_failing_seed,
        "plays": [document(outcome) for outcome in one.outcomes],
    }
