"""Who is right: this project or `bluetooth-sig`, packet by packet, by what the packets' authors say they mean.

    python -m tools.bench.differential tests/vectors

Prints a line for each packet on which one of the two is wrong, with the reason, and a count at the end.
Numbers are compared: every number that a packet's author expects has to be among those decoded.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tools.bench import peer
from tools.decode import answers as decode

# What a checksum is, or how many octets are left over, is not a reading; times of day are written as text.
SKIPPED: Final = frozenset({"crc", "trailing", "text", "frame", "ts"})
# None for us, which is no number.
DST_UNKNOWN: Final = ("dst", 255)
# What one side may not send, and the other reads well.
ONE_SIDED: Final = "unit_test_response_only"
# fmt: off
PEER_KNOWS: Final = frozenset({
    "2A18", "2A19", "2A1C", "2A2B", "2A34", "2A35", "2A37", "2A38", "2A51", "2A52", "2A5E", "2A5F",
    "2AA7", "2AA8", "2AA9", "2AAA", "2AAB", "2AAC",
})
# fmt: on


def main() -> None:
    """Compare all vectors in the directory given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, help="where the vectors are, *.jsonl")
    directory = parser.parse_args().directory
    files = sorted(directory.glob("*.jsonl"))
    if not files:
        parser.error(f"no *.jsonl in {directory}")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    rows = [row for row in rows if row["characteristic"] in PEER_KNOWS and row["provenance"] != ONE_SIDED]
    theirs = peer.answers([(row["characteristic"], bytes.fromhex(row["hex"])) for row in rows])
    counts: Counter[tuple[str, str]] = Counter()
    for row, their in zip(rows, theirs, strict=True):
        our = decode.answer(row["characteristic"], row["hex"], row["args"])
        if "error" not in our:
            our = {"numbers": [part for number in numbers(our) for part in (number, *octets(number))]}
        for who, answer in (("vitalgate", our), ("bluetooth-sig", their)):
            verdict, why = judge(row, answer)
            counts[who, verdict] += 1
            if verdict != "right":
                print(
                    f"{row['characteristic']} {row['hex']}: {who} is wrong, it {why} ({row['source'][:60]})"
                )
    for who in ("vitalgate", "bluetooth-sig"):
        print(
            f"{who}: " + ", ".join(f"{n} {verdict}" for (w, verdict), n in sorted(counts.items()) if w == who)
        )


def judge(row: dict[str, Any], answer: dict[str, Any]) -> tuple[str, str]:
    """The verdict on an answer, and what is wrong with it."""
    expected = row["expected"]
    if "reject" in expected:
        if "error" in answer or row["args"].get("strict"):
            return "right", ""
        return "accepts what is malformed", f"accepts what has to be refused: {expected['reject']}"
    if "error" in answer:
        kind = "never ends" if "no end within" in answer["error"] else "refuses what is well-formed"
        return kind, f"says {answer['error']}"
    found = answer["numbers"]
    missing = [value for value in numbers(expected) if not any(is_close(value, other) for other in found)]
    if missing:
        return "wrong values", f"decodes {found} without {missing}"
    return "right", ""


def is_close(value: float, other: float) -> bool:
    """Whether two numbers say the same; RR intervals may be in ticks or in seconds."""
    return any(abs(value - other * scale) <= 1e-9 * max(abs(value), 1e-9) for scale in (1, 1024))


def octets(number: float) -> Iterator[int]:
    """A set of bits octet by octet, as some authors write it."""
    if isinstance(number, int) and number > 0xFF:
        yield from number.to_bytes(4, "little")


def numbers(value: Any) -> Iterator[float]:
    """All numbers in a document, but those that are no reading."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in SKIPPED and (name, item) != DST_UNKNOWN:
                yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)


if __name__ == "__main__":
    main()
