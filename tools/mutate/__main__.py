"""The command: picks mutants, tries them, and says which nobody noticed.

    python -P -m tools.mutate [PATH ...] [--limit N] [--seed S] [--jobs N] [--near] [--named] [--json]

Exit codes: 0 all are dead or judged, 1 one survives that is not, 2 something to mend in the call or the tests.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tools.mutate import lists
from tools.mutate.source import Mutant, can_be_parsed, mutants
from tools.mutate.trial import LEAST_S, Outcome, TestsFail, Trials, Verdict

ROOT: Final = Path(__file__).resolve().parents[2]
PATHS: Final = (
    "edge/sensors",
    "edge/store",
    "edge/radio",
    "edge/history",
    "edge/anchors.py",
    "edge/clock.py",
    "edge/timekeeper.py",
)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools.mutate", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help=f"modules or packages; without any: {' '.join(PATHS)}")
    add("--limit", type=int, metavar="N", help="try only N, drawn by the seed")
    add("--seed", type=int, default=0, help="the same seed draws the same mutants")
    add("--jobs", type=int, default=1, metavar="N", help="how many are tried at a time, each in a copy")
    add("--near", action="store_true", help="only tests that are named after a module or import it")
    add("--named", nargs="?", const=lists.NAMED, type=Path, metavar="FILE", help="those that a list names")
    add("--json", action="store_true", help="one JSON document on standard output")
    return parser


def files_of(root: Path, paths: Sequence[str]) -> list[str]:
    """The modules at these paths, relative to the root."""
    found: list[Path] = []
    for path in paths:
        full = (root / path).resolve()
        if not full.exists() or not full.is_relative_to(root):
            raise ValueError(f"{path}: not there")
        found += sorted(full.rglob("*.py")) if full.is_dir() else [full]
    return [path.relative_to(root).as_posix() for path in dict.fromkeys(found)]


def picked(root: Path, options: argparse.Namespace) -> list[Mutant]:
    if options.named is not None:
        found = lists.named(root, root / options.named)
    else:
        found = [
            mutant
            for file in files_of(root, options.paths or PATHS)
            for mutant in mutants((root / file).read_text(), file)
        ]
    if options.limit is not None and options.limit < len(found):
        drawn = random.Random(options.seed).sample(range(len(found)), options.limit)  # noqa: S311
        found = [found[n] for n in sorted(drawn)]
    return [mutant for mutant in found if can_be_parsed(mutant)]


def diff(mutant: Mutant) -> str:
    return f"{mutant.file}:{mutant.line_no}\n    - {mutant.line}\n    + {mutant.becomes}"


def report(verdicts: Sequence[Verdict], judged: dict[lists.Key, str]) -> dict[str, Any]:
    """The figures of each module, and the survivors with what has been said of them."""
    counts = Counter((v.mutant.file, v.outcome) for v in verdicts)
    return {
        "modules": {
            file: {outcome.value: counts[file, outcome] for outcome in Outcome}
            for file in dict.fromkeys(v.mutant.file for v in verdicts)
        },
        "survivors": [
            {**v.mutant._asdict(), "judgement": judged.get(lists.key_of(v.mutant))}
            for v in verdicts
            if v.outcome is Outcome.SURVIVED
        ],
        "dead": [
            {**v.mutant._asdict(), "outcome": v.outcome.value, "by": v.by}
            for v in verdicts
            if v.outcome is not Outcome.SURVIVED
        ],
    }


def lines_of(result: dict[str, Any]) -> list[str]:
    """The report as a person reads it."""
    lines = [f"{'':40}" + "".join(f"{outcome:>12}" for outcome in Outcome)]
    for file, counts in result["modules"].items():
        lines.append(f"{file:40}" + "".join(f"{counts[outcome]:12}" for outcome in Outcome))
    for survivor in result["survivors"]:
        lines.append("")
        lines.append(diff(Mutant(**{name: survivor[name] for name in Mutant._fields})))
        lines.append(f"    judged: {survivor['judgement']}" if survivor["judgement"] else "    not judged")
    dead, alive = len(result["dead"]), len(result["survivors"])
    unjudged = sum(survivor["judgement"] is None for survivor in result["survivors"])
    score = 100 * dead / max(1, dead + alive)
    lines.append("")
    lines.append(f"{dead} of {dead + alive} died ({score:.1f} %), {unjudged} survivors are not judged")
    return lines


def tried(root: Path, found: Sequence[Mutant], options: argparse.Namespace, least_s: float) -> list[Verdict]:
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    alive = 0
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as directory, progress:
        bar = progress.add_task("0 survive", total=len(found))

        def on_verdict(verdict: Verdict) -> None:
            nonlocal alive
            if verdict.outcome is Outcome.SURVIVED:
                alive += 1
                console.print(diff(verdict.mutant), markup=False, highlight=False, soft_wrap=True)
            progress.update(bar, advance=1, description=f"{alive} survive")

        trials = Trials(root, Path(directory), jobs=options.jobs, is_near=options.near, least_s=least_s)
        return trials.run(found, on_verdict)


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT, least_s: float = LEAST_S) -> int:
    options = parser().parse_args(arguments)
    try:
        found = picked(root, options)
        judged = {} if options.named else {e.key: e.why for e in lists.entries(root / lists.JUDGED)}
        verdicts = tried(root, found, options, least_s)
    except (OSError, SyntaxError, ValueError, TestsFail) as fault:
        print(f"mutate: {fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mutate: interrupted", file=sys.stderr)
        return 130
    result = report(verdicts, judged)
    print(json.dumps(result) if options.json else "\n".join(lines_of(result)))
    return int(any(survivor["judgement"] is None for survivor in result["survivors"]))


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what runs is ended, and the copies are removed
    sys.exit(main())
