"""Current Time Service: Current Time (2A2B).

Contract: local time by the sender's clock; nothing says in which zone.

Source: Current Time Service; GATT Specification Supplement, Current Time.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from construct import Int8ul

from protocols import date_time
from protocols.codec import Codec
from protocols.date_time import DateTime
from protocols.mappings import Bits, Coded, Expected
from protocols.schema import Record


class DayOfWeek(IntEnum):
    """Day of the week."""

    UNKNOWN = 0
    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


class AdjustReason(IntFlag):
    """Why the time was changed."""

    MANUAL = 1 << 0
    EXTERNAL_REFERENCE = 1 << 1
    TIME_ZONE = 1 << 2
    DAYLIGHT_SAVING = 1 << 3


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """Current Time; `fraction` counts 1/256 s."""

    date_time: DateTime
    day_of_week: int
    fraction: int
    adjust_reason: AdjustReason


#   YY YY MM DD hh mm ss DW FR AR
#   e1 07 01 04 0b 26 2d 03 01 02     Wednesday 2017-01-04 11:38:45 and 1/256, external reference
CURRENT_TIME: Final = Codec[CurrentTime](
    "Current Time",
    Record(
        CurrentTime,
        "date_time" / date_time.RECORD,
        "day_of_week" / Coded(Expected(Int8ul, range(8)), DayOfWeek),
        "fraction" / Int8ul,
        "adjust_reason" / Bits(Int8ul, AdjustReason),
    ),
)
