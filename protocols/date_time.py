"""Date Time (2A08), which also stands inside other values: seven octets.

Contract: year, month and day 0 mean "not known", so this is six integers and never a calendar date; nothing
says in which zone it is. A part beyond its range is decoded as sent, and odd; so is a day that its month does not have.

Source: GATT Specification Supplement, Date Time.
"""

from dataclasses import dataclass
from typing import Final

from construct import Int8ul, Int16ul

from protocols.codec import Codec
from protocols.mappings import Expected
from protocols.schema import Dated


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


FIELDS: Final = (
    "year" / Expected(Int16ul, frozenset({0, *range(1582, 10_000)})),
    "month" / Expected(Int8ul, range(13)),
    "day" / Expected(Int8ul, range(32)),
    "hours" / Expected(Int8ul, range(24)),
    "minutes" / Expected(Int8ul, range(60)),
    "seconds" / Expected(Int8ul, range(60)),
)
RECORD: Final = Dated(DateTime, *FIELDS)
DATE_TIME_VALUE: Final = Codec[DateTime]("Date Time", RECORD)
