"""The store, broken on purpose by one line, and who finds it: our own simulations, foreign tools, or both.

Contract: a break is tried in a copy of the gateway's package, which is put in front of this checkout. A tool has found
it if it ends with 1. What each tool does with a whole store is known to pass before any break is tried.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[3]
_RIG: Final = ("-P", "-m", "tools.rig.power")
# Shown in this order; the first two are ours.
TOOLS: Final = {
    "simulated disk": (
        "-P",
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "tests/test_edge_store_property.py",
    ),
    "images": (*_RIG, "images", "--images", "1500"),
    "strace kill": (*_RIG, "strace", "--every", "9", "--faults", "kill"),
    "strace EIO": (*_RIG, "strace", "--every", "9", "--faults", "EIO"),
    "libfiu": (*_RIG, "fiu", "--runs", "100"),
}
OWN: Final = ("simulated disk", "images")
FOUND: Final = 1


class Break(NamedTuple):
    """A line of the gateway, and what it becomes."""

    name: str
    file: str
    line: str
    becomes: str


BREAKS: Final = (
    Break(
        "`synchronous = NORMAL`", "edge/store/database.py", '"synchronous = FULL",', '"synchronous = NORMAL",'
    ),
    Break("`synchronous = OFF`", "edge/store/database.py", '"synchronous = FULL",', '"synchronous = OFF",'),
    Break(
        "the journal in memory", "edge/store/database.py", '"journal_mode = WAL",', '"journal_mode = MEMORY",'
    ),
    Break(
        "acknowledged before the commit",
        "edge/store/writer.py",
        "self._waiting.append(_Job(work, future))",
        "self._waiting.append(_Job(work, future)) or future.set_result(None)",
    ),
    Break(
        "a refused commit acknowledged",
        "edge/store/writer.py",
        "_fail(jobs, StoreUnavailable(reason))",
        "[job.future.set_result(None) for job in jobs]",
    ),
    Break(
        "a job in two transactions",
        "edge/store/deliveries.py",
        "self._database.write(_ENQUEUE, *values)",
        'self._database.write(_ENQUEUE, *values), *map(self._database.execute, ("COMMIT", "BEGIN IMMEDIATE"))',
    ),
    Break(
        "a torn end of the log taken for damage",
        "edge/store/write_ahead.py",
        "left = 2 if is_whole else 1",
        "left = 1",
    ),
    Break(
        "a page that was not read once taken for damage",
        "edge/store/opening.py",
        "if finds[found.reason] == FINDS:",
        "if True:",
    ),
    Break(
        "a migration that is not synced before it replaces the store",
        "edge/durable.py",
        "_sync(file)",
        "pass",
    ),
    Break(
        "the note of the key before the tables",
        "edge/store/opening.py",
        'database.read("PRAGMA auto_vacuum = INCREMENTAL")',
        'database.read("PRAGMA auto_vacuum = INCREMENTAL"), durable.write(_note(database.path), b"?", 0o600)',
    ),
)


def tried(one: Break | None, tools: Iterable[str], directory: Path) -> dict[str, bool]:
    """Which tools find it. Raises AssertionError if the line is not there once, or a tool does not run at all."""
    front = directory / "front"
    shutil.rmtree(front, ignore_errors=True)
    shutil.copytree(ROOT / "edge", front / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    if one is not None:
        source = (front / one.file).read_text()
        assert source.count(one.line) == 1, f"{one.file}: {one.line}"
        (front / one.file).write_text(source.replace(one.line, one.becomes))
    environment = os.environ | {"PYTHONPATH": f"{front}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    found = {}
    for tool in tools:
        done = subprocess.run(  # noqa: S603
            [sys.executable, *TOOLS[tool]],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, FOUND), f"{tool}: {done.stdout[-500:]}{done.stderr[-1000:]}"
        found[tool] = done.returncode == FOUND
        print(
            f"# {one.name if one else 'whole'}: {tool}: {'found' if found[tool] else '-'}",
            file=sys.stderr,
            flush=True,
        )
    return found


def table(tools: Iterable[str] = TOOLS) -> Iterable[str]:
    """A row for each break, in Markdown."""
    chosen = list(tools)
    with tempfile.TemporaryDirectory() as place:
        whole = tried(None, chosen, Path(place))
        assert not any(whole.values()), f"the store itself fails: {whole}"
        yield "| broken on purpose | " + " | ".join(chosen) + " | found by |"
        yield "|---" * (len(chosen) + 2) + "|"
        for one in BREAKS:
            found = tried(one, chosen, Path(place))
            ours = any(found.get(tool) for tool in OWN)
            theirs = any(found[tool] for tool in chosen if tool not in OWN)
            who = "both" if ours and theirs else "own" if ours else "foreign" if theirs else "none"
            yield (
                f"| {one.name} | " + " | ".join("x" if found[tool] else "" for tool in chosen) + f" | {who} |"
            )
