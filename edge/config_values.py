"""Values of the operator's file that have a form of their own: names, glucose in either unit, the hours of the night.

Contract: each type reads its own text, and raises ValueError with cause and remedy. `edge.config` says where they may
stand.
"""

import re
from typing import Annotated, Any, Final

from msgspec import Meta

FhirId = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z0-9.\-]{1,64}\Z", description="1 to 64 letters, digits, '-' and '.' in quotes"),
]
Slug = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9][a-z0-9_\-]{0,31}\Z",
        description="1 to 32 small letters, digits, '-' and '_' in quotes",
    ),
]
Seconds = Annotated[float, Meta(ge=0.1, le=86400.0)]

MG_DL_PER_MMOL_L: Final = 18.0  # as sensors convert
MMOL_L_MAX: Final = 35.0  # a number above was meant as mg/dL
DAY_MIN: Final = 24 * 60


def _in_mg_dl(value: Any, per: str) -> float:
    """The number of a text such as "3.9 mmol/L", converted; `per` follows the unit."""
    found = re.fullmatch(
        rf"([0-9]{{1,4}}(?:\.[0-9]{{1,4}})?) ?(mg/dL|mmol/L){per}", str(value), re.IGNORECASE
    )
    if isinstance(value, str) and found:
        return float(found[1]) * (MG_DL_PER_MMOL_L if found[2].lower() == "mmol/l" else 1.0)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1000:
        unit = "mmol/L" if value <= MMOL_L_MAX and not per else "mg/dL"
        raise ValueError(f'{value:g} has no unit; write it like "{value:g} {unit}{per}"')
    examples = f'"2 mg/dL{per}" or "0.11 mmol/L{per}"' if per else '"70 mg/dL" or "3.9 mmol/L"'
    raise ValueError(f"it is not in the right form; write it like {examples}")


class Glucose(int):
    """A concentration in mg/dL. One in mmol/L is rounded: 3.0, 3.9, 10.0 and 13.9 are 54, 70, 180 and 250."""

    @classmethod
    def read(cls, value: Any) -> "Glucose":
        mg_dl = round(_in_mg_dl(value, ""))
        if not 20 <= mg_dl <= 600:
            raise ValueError(f'"{value}" is not allowed; give 20 to 600 mg/dL, or 1.1 to 33.3 mmol/L')
        return cls(mg_dl)


class GlucoseRate(float):
    """A rate of change in mg/dL/min."""

    @classmethod
    def read(cls, value: Any) -> "GlucoseRate":
        mg_dl_min = _in_mg_dl(value, "/min")
        if not 0.5 <= mg_dl_min <= 10:
            raise ValueError(
                f'"{value}" is not allowed; give 0.5 to 10 mg/dL/min, or 0.03 to 0.55 mmol/L/min'
            )
        return cls(mg_dl_min)


class QuietHours(str):
    """From one local wall time to another, which may be on the next day: "22:00-07:00"."""

    start_min: int
    end_min: int

    @classmethod
    def read(cls, value: Any) -> "QuietHours":
        hour = "([01][0-9]|2[0-3]):([0-5][0-9])"
        found = re.fullmatch(f"{hour}-{hour}", value) if isinstance(value, str) else None
        if found is None:
            raise ValueError('it is not in the right form; write it like "22:00-07:00"')
        hours = cls(value)
        start_h, start, end_h, end = map(int, found.groups())
        hours.start_min, hours.end_min = 60 * start_h + start, 60 * end_h + end
        if hours.start_min == hours.end_min:
            raise ValueError("it begins when it ends; change one of the two times")
        return hours

    def left_min(self, minute_of_day: int) -> int:
        """How many minutes of them are left; 0 outside."""
        length_min = (self.end_min - self.start_min) % DAY_MIN
        return max(0, length_min - (minute_of_day - self.start_min) % DAY_MIN)
