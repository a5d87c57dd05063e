"""What a CGM sensor remembers of its session: its beginning, its records and the time it was told.

All times are seconds of the loop's clock; a record's identity is its time offset, whole minutes since the
session began. At most `capacity` records are kept, the oldest are overwritten.

Must not be here: Bluetooth.
"""

import math
from datetime import datetime, timedelta

from protocols import racp
from protocols.cgm import CgmMeasurement, CgmStatus, SensorStatus, SessionStartTime
from protocols.medfloat import MedFloat, Special

_UNKNOWN_START = SessionStartTime(0, 0, 0, 0, 0, 0, time_zone_quarters=None, dst=None)


class CgmSession:
    """One session; a client's Start Session begins the next."""

    def __init__(self, began_s: float, capacity: int) -> None:
        self._capacity = capacity
        self.begin(began_s)

    def begin(self, now_s: float) -> None:
        """Starts anew: what was stored and the start time are erased."""
        self.began_s = now_s
        self.stored: list[CgmMeasurement] = []
        self.start_time: SessionStartTime | None = None

    def offset_min(self, now_s: float) -> int:
        # Times of a real loop are no round numbers: to the millisecond, or a full minute may come out one less.
        return math.floor(round(now_s - self.began_s, 3) / 60)

    def take(self, now_s: float, glucose_mg_dl: float) -> CgmMeasurement | None:
        """Stores a reading, unless its minute has one already or is more than a time offset can count."""
        offset_min = self.offset_min(now_s)
        last_min = self.stored[-1].time_offset_min if self.stored else -1
        if not last_min < offset_min <= racp.TIME_OFFSET_MAX:
            return None
        value, status = _measured(glucose_mg_dl)
        record = CgmMeasurement(value, offset_min, status)
        self.stored.append(record)
        del self.stored[: -self._capacity]
        return record

    def keep_newest(self, count: int) -> list[CgmMeasurement]:
        """All but the newest records are overwritten; those are given."""
        kept_from = max(0, len(self.stored) - count)
        overwritten, self.stored = self.stored[:kept_from], self.stored[kept_from:]
        return overwritten

    def select(self, request: racp.Request) -> list[CgmMeasurement] | racp.Code:
        """The records a request asks for, oldest first, or why it cannot be answered."""
        if request.operator in (racp.Operator.FIRST, racp.Operator.LAST):
            first = request.operator == racp.Operator.FIRST
            chosen = self.stored[:1] if first else self.stored[-1:]
            return racp.Code.INVALID_OPERAND if request.operand else chosen
        offsets = racp.requested_offsets(request)
        if isinstance(offsets, racp.Code):
            return offsets
        return [record for record in self.stored if record.time_offset_min in offsets]

    def status(self, now_s: float) -> CgmStatus:
        status = SensorStatus.TIME_SYNC_REQUIRED if self.start_time is None else SensorStatus(0)
        offset_min = self.offset_min(now_s)
        if offset_min > racp.TIME_OFFSET_MAX:
            status |= SensorStatus.SESSION_STOPPED
        return CgmStatus(min(offset_min, racp.TIME_OFFSET_MAX), status)

    def read_start_time(self) -> SessionStartTime:
        return self.start_time or _UNKNOWN_START

    def synchronise(self, client_time: SessionStartTime, now_s: float) -> None:
        """Derives the start from what a client says it is now.

        Raises:
            ValueError: no such time exists.
            OverflowError: the start would lie before all years.
        """
        t = client_time
        local = datetime(t.year, t.month, t.day, t.hours, t.minutes, t.seconds)  # noqa: DTZ001 - its zone is kept beside it
        start = local - timedelta(seconds=math.floor(now_s - self.began_s))
        self.start_time = SessionStartTime(
            start.year,
            start.month,
            start.day,
            start.hour,
            start.minute,
            start.second,
            time_zone_quarters=t.time_zone_quarters,
            dst=t.dst,
        )


def _measured(glucose_mg_dl: float) -> tuple[MedFloat, SensorStatus]:
    if math.isnan(glucose_mg_dl):
        return Special.NAN, SensorStatus.SENSOR_MALFUNCTION
    if glucose_mg_dl == -math.inf:
        return Special.NEGATIVE_INFINITY, SensorStatus.BELOW_MEASURABLE
    if glucose_mg_dl == math.inf:
        return Special.POSITIVE_INFINITY, SensorStatus.ABOVE_MEASURABLE
    return glucose_mg_dl, SensorStatus(0)
