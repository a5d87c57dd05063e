"""Where periods begin and end: windows of five minutes in UTC, and days in local time.

Contract: pure arithmetic on whole seconds of wall time. Periods follow each other without a gap; a period contains its
start and not its end. A local day has 23 or 25 hours when the clocks change. No data here.
"""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from edge.measurements import PERIODS, Span

FIVE_MINUTES_S: Final = 300


class Bounds(NamedTuple):
    """A period: [start, end)."""

    start_utc_s: int
    end_utc_s: int


def local_date(utc_s: int, zone: ZoneInfo) -> date:
    """The local date at a moment."""
    return datetime.fromtimestamp(utc_s, zone).date()


def around(kind: str, utc_s: int, zone: ZoneInfo) -> Bounds:
    """The period of this kind that contains a moment."""
    return _SPANS[PERIODS[kind].span](utc_s, zone)


def touched(kind: str, from_utc_s: int, to_utc_s: int, zone: ZoneInfo) -> list[int]:
    """The starts of the periods of this kind that contain the moments from `from` to `to`, both included."""
    starts = []
    while from_utc_s <= to_utc_s:
        bounds = around(kind, from_utc_s, zone)
        starts.append(bounds.start_utc_s)
        from_utc_s = bounds.end_utc_s
    return starts


def _five_minutes(utc_s: int, _: ZoneInfo) -> Bounds:
    start_utc_s = utc_s // FIVE_MINUTES_S * FIVE_MINUTES_S
    return Bounds(start_utc_s, start_utc_s + FIVE_MINUTES_S)


def _local_day(utc_s: int, zone: ZoneInfo) -> Bounds:
    day = local_date(utc_s, zone)
    # If the clocks change at midnight, there may be two midnights, or none. Then the day begins at the first one, or at
    # the change.
    start, end = (datetime.combine(d, time(), zone) for d in (day, day + timedelta(days=1)))
    return Bounds(int(start.timestamp()), int(end.timestamp()))


_SPANS: Final[Mapping[Span, Callable[[int, ZoneInfo], Bounds]]] = {
    Span.FIVE_MINUTES: _five_minutes,
    Span.LOCAL_DAY: _local_day,
}
