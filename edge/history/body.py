"""What a summary says: its body, and what was found on the way.

Contract: a body is what the store keeps and the upstream sends, so it holds Python's own floats, and None where a
statistic is undefined.
"""

import math
from typing import NamedTuple

Body = dict[str, float | int | str | dict[str, int] | None]


class Computed(NamedTuple):
    """The result for one period.

    Attributes:
        body: what is to be said of it; what nothing is known of is None in it.
        has_data: whether anything that counts was found; a period without is no summary, unless it has one already.
        undecodable: packets that were passed over because nobody can read them.
    """

    body: Body
    has_data: bool
    undecodable: int = 0


def number(value: float) -> float | None:
    """A statistic as a body has it: None where it is undefined."""
    return float(value) if math.isfinite(value) else None
