"""What is kept of a play, so that it can be looked at later and played again by one command.

    scenario.toml  the file that was played          log            what the gateway logged
    gateway.toml   what the gateway was given        status.jsonl   what its status said, when that was looked at
    state/         its store                         truth.json     what the sensors know beside what is upstream
    bundles/       what it sent                      verdict.json   the verdict, and the faults that happened
    air.btsnoop    the radio, where it is simulated  versions.json  of Python, the kernel, and what is installed
    captures/      what its sensors played, if any   replay.sh      plays it again, with its seed

Contract: `keep` writes into the directory in which the gateway's own files lie already, and changes none of those.
"""

import json
import os
import platform
import re
import shlex
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import msgspec

from tools.rig.language.scenario import Scenario
from tools.rig.verdict.blame import ROOT
from tools.rig.verdict.outcome import Outcome

_CAPTURE: Final = re.compile(r"""(?P<key>\bcapture\s*=\s*)(?P<quote>["'])(?P<name>[^"']+)(?P=quote)""")
REPLAY: Final = """#!/bin/sh
# Plays this again: the same scenario with the same seed, by the checkout in $VITALGATE.
set -eu
cd "$(dirname "$0")"
VITALGATE=${{VITALGATE:-{root}}}
export PYTHONPATH=$VITALGATE
exec "${{PYTHON:-{python}}}" -P -m tools rig run scenario.toml --setting {setting} --seed {seed} "$@"
"""


def keep(directory: Path, file: Path, scenario: Scenario, setting: str, outcome: Outcome) -> None:
    """Write what is known of a play beside what the play has written."""
    (directory / "scenario.toml").write_text(with_captures(file.read_text(), file.parent, directory))
    replay = directory / "replay.sh"
    replay.write_text(
        REPLAY.format(
            root=shlex.quote(str(ROOT)),
            python=sys.executable,
            setting=shlex.quote(setting),
            seed=scenario.seed,
        )
    )
    replay.chmod(0o755)
    _write(directory / "versions.json", versions())
    evidence = outcome.evidence
    findings = [{"blame": one.blame.value, "text": one.text} for one in outcome.findings]
    faults = [] if evidence is None else evidence.faults
    verdict = {"verdict": outcome.verdict, "setting": setting, "seed": scenario.seed, "findings": findings}
    _write(directory / "verdict.json", {**verdict, "digest": outcome.digest, "faults": faults})
    if evidence is not None:
        if not (directory / "log").exists():  # a guest has a log of its own, with what everybody said
            (directory / "log").write_text("".join(f"{line}\n" for line in evidence.log))
        _write(directory / "truth.json", {"people": evidence.people, "alerts": evidence.alerts})
        lines = (msgspec.json.encode({"at_s": at_s, "status": said}) for at_s, said in evidence.statuses)
        (directory / "status.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def with_captures(text: str, beside: Path, directory: Path) -> str:
    """A scenario's text that names its captures as they lie in a directory, into which they are copied."""

    def kept(found: re.Match[str]) -> str:
        source = beside / found["name"]
        place = Path("captures") / f"{len(copied)}-{source.name}"
        (directory / place).parent.mkdir(exist_ok=True)
        (directory / place).write_bytes(source.read_bytes())
        copied.append(place)
        return f'{found["key"]}"{place}"'

    copied: list[Path] = []
    return _CAPTURE.sub(kept, text)


def versions() -> dict[str, Any]:
    """What was played with."""
    packages = sorted({f"{one.name} {one.version}" for one in distributions()})
    return {
        "python": sys.version,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "packages": packages,
    }


def _write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(msgspec.to_builtins(document), indent=1, ensure_ascii=False) + "\n")
