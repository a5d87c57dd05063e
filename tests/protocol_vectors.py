"""Foreign packets for the tests of protocols, and how their authors' field names map to ours."""

import json
from pathlib import Path
from typing import Any

from hypothesis import settings

from protocols.crc import Crc
from protocols.medfloat import MedFloat, Special

VECTORS = Path(__file__).parent / "vectors"

# A decoder that does not end is caught by the deadline, which is generous because test machines are busy. Derandomized,
# so that what fails once fails again.
BOUNDED = settings(deadline=2000, max_examples=200, derandomize=True, database=None)

# The vectors name the specials as the specification prints them.
SPECIALS = {
    "NaN": Special.NAN,
    "NRes": Special.NRES,
    "+INF": Special.POSITIVE_INFINITY,
    "-INF": Special.NEGATIVE_INFINITY,
    "RFU": Special.RESERVED,
}


def row_of(line: str) -> dict[str, Any]:
    """A row; most packets need no `args`."""
    return {"args": {}} | json.loads(line)


def rows(file: str, *characteristics: str) -> list[dict[str, Any]]:
    """The rows of a file, of some characteristics."""
    lines = (VECTORS / f"{file}.jsonl").read_text().splitlines()
    found = [row for row in map(row_of, lines) if row["characteristic"] in characteristics]
    assert found, (file, characteristics)
    return found


def all_rows() -> list[dict[str, Any]]:
    """The rows of all files, each with the name of its file."""
    paths = sorted(VECTORS.glob("*.jsonl"))
    return [row_of(line) | {"file": path.stem} for path in paths for line in path.read_text().splitlines()]


def accepted(file: str, *characteristics: str) -> list[dict[str, Any]]:
    return [row for row in rows(file, *characteristics) if "reject" not in row["expected"]]


def rejected(file: str, *characteristics: str) -> list[dict[str, Any]]:
    found = [row for row in rows(file, *characteristics) if "reject" in row["expected"]]
    return [row for row in found if not row["args"].get("strict")]


def octets(row: dict[str, Any]) -> bytes:
    return bytes.fromhex(row["hex"])


def encoded(row: dict[str, Any]) -> bytes:
    return bytes.fromhex(row.get("encoded", row["hex"]))


def name(row: dict[str, Any]) -> str:
    return f"{row['characteristic']}-{row['hex'][:40]}"


def medfloat(value: float | str) -> MedFloat:
    return SPECIALS[value] if isinstance(value, str) else value


def crc_of(row: dict[str, Any]) -> Crc:
    declared = row["args"].get("crc", False)
    return {"ccitt_false": Crc.CCITT_FALSE, "mcrf4xx": Crc.MCRF4XX}.get(declared) or Crc(declared)
