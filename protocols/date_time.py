"""Date Time (2A08), which also stands inside other values: seven octets.

Contract: year, month and day 0 mean "not known", so this is six integers and never a calendar date; nothing
says in which zone it is.

Source: GATT Specification Supplement, Date Time.
"""

from dataclasses import dataclass
from typing import Final

from protocols.codec import Codec
from protocols.schema import DATE_TIME, Record


@dataclass(frozen=True, slots=True)
class DateTime:
    """A date and time of day by the clock of a device; year, month and day are 0 where it does not know."""

    year: int
    month: int
    day: int
    hours: int
    minutes: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}-{self.day:02}T{self.hours:02}:{self.minutes:02}:{self.seconds:02}"


RECORD: Final = Record(DateTime, *DATE_TIME)
DATE_TIME_VALUE: Final = Codec[DateTime]("Date Time", RECORD)
