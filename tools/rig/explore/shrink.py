"""Makes a home that fails smaller while it fails in the same way: fewer faults, shorter ones, a shorter time.

Contract: `shrink` gives a document that fails as the one given does, by what `fails` says; it is played at most
`PLAYS_MAX` times. Two failures are the same if they differ in numbers only.

Not here: how a document is played (`play`).
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from edge.errors import ConfigError
from tools.rig.explore.draw import Document, Rows, duration

PLAYS_MAX: Final = 80
HOUR_S: Final = 3600.0
MARGIN_S: Final = HOUR_S

Play = Callable[[Document], list[str]]
"""What is wrong in a home; raises ConfigError for what is none."""


def kinds(wrong: Iterable[str]) -> set[str]:
    """What is wrong, without the numbers of it."""
    return {re.sub(r"[-+]?\d[\d:.]*", "N", one) for one in wrong}


class _Shrinking:
    """The smallest so far, and how often something smaller was tried."""

    def __init__(self, document: Document, wrong: list[str], play: Play) -> None:
        self.smallest = document
        self._kinds = kinds(wrong)
        self._play = play
        self._plays = 0

    def takes(self, smaller: Document) -> bool:
        """Whether it fails in the same way, too, and is the smallest from now on."""
        if self._plays >= PLAYS_MAX:
            return False
        self._plays += 1
        try:
            is_same = bool(kinds(self._play(smaller)) & self._kinds)
        except ConfigError:
            return False
        if is_same:
            self.smallest = smaller
        return is_same


def shrink(document: Document, wrong: list[str], play: Play) -> Document:
    """The smallest document found that is wrong in one of the same ways."""
    shrinking = _Shrinking(document, wrong, play)
    _fewer(shrinking)
    _shorter(shrinking)
    _milder(shrinking)
    return shrinking.smallest


def _with(document: Document, rows: Rows) -> Document:
    return document | {"faults": rows}


def _fewer(shrinking: _Shrinking) -> None:
    """Leave out halves of the faults, then quarters, down to single ones."""
    size = max(1, len(shrinking.smallest["faults"]) // 2)
    while size:
        k = 0
        while k < len(rows := shrinking.smallest["faults"]):
            if not shrinking.takes(_with(shrinking.smallest, rows[:k] + rows[k + size :])):
                k += size
        size //= 2


def _shorter(shrinking: _Shrinking) -> None:
    """End soon after the last fault."""
    ends = [_seconds(row["at"]) + _seconds(row.get("for", "0s")) for row in shrinking.smallest["faults"]]
    last_s = max(ends, default=0.0) + MARGIN_S
    for lasts_s in (last_s, last_s + 12 * HOUR_S):
        is_shorter = lasts_s < _seconds(shrinking.smallest["lasts"])
        if is_shorter and shrinking.takes(shrinking.smallest | {"lasts": duration(lasts_s)}):
            return


def _milder(shrinking: _Shrinking) -> None:
    """Halve how long each fault goes on."""
    for k in range(len(shrinking.smallest["faults"])):
        rows: Rows = shrinking.smallest["faults"]
        while "for" in rows[k] and (half_s := _seconds(rows[k]["for"]) / 2) >= 1.0:
            milder = [*rows[:k], rows[k] | {"for": duration(half_s)}, *rows[k + 1 :]]
            if not shrinking.takes(_with(shrinking.smallest, milder)):
                break
            rows = shrinking.smallest["faults"]


def _seconds(text: str) -> float:
    """As `duration` writes it, or in days."""
    return float(text[:-1]) * (24 * HOUR_S if text.endswith("d") else 1.0)
