"""The content (body) of a summary, and what else its computation found.

Contract: the store keeps a body and the upstream sends it, so it holds plain Python floats, and None where a statistic
is undefined.
"""

import math
from typing import NamedTuple

Body = dict[str, float | int | str | dict[str, int] | None]


class Computed(NamedTuple):
    """The result for one period.

    Attributes:
        body: the statistics; what is unknown is None.
        has_data: whether there were data that count. A period without them gets no summary, unless it already has one.
        undecodable: how many packets were skipped because they cannot be decoded.
    """

    body: Body
    has_data: bool
    undecodable: int = 0


def number(value: float) -> float | None:
    """A statistic as a body has it: None where it is undefined."""
    return float(value) if math.isfinite(value) else None
