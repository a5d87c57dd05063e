"""What Xiaomi's scales advertise: service data of Weight Scale (181D) and of Body Composition (181B).

Contract: the service data of 181D is a Weight Measurement (2A9D) octet for octet, in whose reserved flags the scale
says how far it is; that of 181B is a layout of the maker's own. There is no public specification; the layouts are facts
found in packets that other people have published (`tests/vectors/xiaomi.jsonl`), and agree with them. A scale tells a
weight many times a second: while it swings, when it is stable, and, as removed, for long after nobody stands on it.
Its clock shows whatever it was set to, or the time since its batteries were put in.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from construct import Int8ul, Int16ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.schema import Flagged, Optional, Record, Word
from protocols.weight_scale import KG_PER_LB

IMPEDANCE_OHM_MAX: Final = 3000
"""More is no impedance: FFFD and FFFE say that measuring it failed, or has not begun."""


class Flag(IntFlag):
    """The first octet; that of 181B has no more than the first three."""

    POUNDS = 1 << 0
    TIMESTAMP = 1 << 1
    JIN = 1 << 4
    STABLE = 1 << 5
    REMOVED = 1 << 7


class State(IntFlag):
    """The second octet of 181B."""

    IMPEDANCE = 1 << 1
    STABLE = 1 << 5
    REMOVED = 1 << 7


def _kg(counts: int, *, in_pounds: bool) -> float:
    """A count is 0.01 lb, or 0.005 kg: 0.01 jin are 5 g, too."""
    return counts / 100 * KG_PER_LB if in_pounds else counts / 200


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight, and how far the scale is."""

    in_pounds: bool
    in_jin: bool
    is_stable: bool
    is_removed: bool
    weight_counts: int
    timestamp: DateTime | None = None

    @property
    def weight_kg(self) -> float:
        """The weight, whatever unit the scale shows."""
        return _kg(self.weight_counts, in_pounds=self.in_pounds)


@dataclass(frozen=True, slots=True)
class Composition:
    """A weight, and the impedance of the body if `has_impedance`."""

    in_pounds: bool
    in_jin: bool
    has_impedance: bool
    is_stable: bool
    is_removed: bool
    timestamp: DateTime | None
    impedance_counts: int
    weight_counts: int

    @property
    def weight_kg(self) -> float:
        """The weight, whatever unit the scale shows."""
        return _kg(self.weight_counts, in_pounds=self.in_pounds)

    @property
    def impedance_ohm(self) -> float | None:
        """The impedance; None if it was not measured."""
        is_one = self.has_impedance and 0 < self.impedance_counts <= IMPEDANCE_OHM_MAX
        return float(self.impedance_counts) if is_one else None


#   FL WW WW [YY YY MM DD hh mm ss]
WEIGHT: Final = Codec[Weight](
    "Xiaomi Weight",
    Record(
        Weight,
        "flags" / Word(Int8ul),
        "in_pounds" / Flagged(Flag.POUNDS),
        "in_jin" / Flagged(Flag.JIN),
        "is_stable" / Flagged(Flag.STABLE),
        "is_removed" / Flagged(Flag.REMOVED),
        "weight_counts" / Int16ul,
        "timestamp" / Optional(Flag.TIMESTAMP, date_time.RECORD),
    ),
)

#   FL SS [YY YY MM DD hh mm ss] II II WW WW
COMPOSITION: Final = Codec[Composition](
    "Xiaomi Body Composition",
    Record(
        Composition,
        "flags" / Word(Int8ul),
        "in_pounds" / Flagged(Flag.POUNDS),
        "in_jin" / Flagged(Flag.JIN),
        "state" / Word(Int8ul),
        "has_impedance" / Flagged(State.IMPEDANCE, "state"),
        "is_stable" / Flagged(State.STABLE, "state"),
        "is_removed" / Flagged(State.REMOVED, "state"),
        "timestamp" / Optional(Flag.TIMESTAMP, date_time.RECORD),
        "impedance_counts" / Int16ul,
        "weight_counts" / Int16ul,
    ),
)
