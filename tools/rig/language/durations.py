"""How long something takes, as scenario files write it: "90s", "15min", "1h30min", "3d".

Not here: what takes that long (`vocabulary`).
"""

import re
from typing import Annotated, Final

from msgspec import Meta

UNITS_S: Final = {"d": 86_400.0, "h": 3600.0, "min": 60.0, "s": 1.0}
_PARTS: Final = "".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in UNITS_S)
_TEXT: Final = re.compile(rf"(-?)(?=\d){_PARTS}", re.ASCII)
YEARS_S_MAX: Final = 100 * 365 * 86_400.0


class Span(float):
    """Seconds that are written as "90s", "15min", "1h30min" or "3d"; not negative."""


class Offset(float):
    """As a `Span`, before or after."""


def seconds(kind: type, text: object) -> Span | Offset:
    """What a duration in the file means. Raises ValueError with cause and remedy."""
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None or (found[1] and kind is Span):
        raise ValueError('not a duration; write it like "90s", "15min", "2h", "1h30min" or "3d"')
    size_s = sum(
        float(count or 0) * unit_s for count, unit_s in zip(found.groups()[1:], UNITS_S.values(), strict=True)
    )
    if size_s > YEARS_S_MAX:
        raise ValueError("longer than a hundred years; write a shorter duration")
    return Offset(-size_s if found[1] else size_s) if kind is Offset else Span(size_s)


Duration = Annotated[Span, Meta(description='a duration like "90s", "15min", "1h30min" or "3d"')]
Shift = Annotated[Offset, Meta(description='a duration like "1h30min", or "-400d" for too early')]
