"""Where periods begin and end, at their edges and where the clocks change; the moments are those of published rules."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from edge.history.bounds import Bounds, around, local_date, touched

BERLIN = ZoneInfo("Europe/Berlin")
WINDOW, DAY = "heart_5min", "glucose_day"
HOUR_S = 3600


def utc_s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2026-03-01 10:05:00", "2026-03-01 10:05", "2026-03-01 10:10"),
        ("2026-03-01 10:09:59", "2026-03-01 10:05", "2026-03-01 10:10"),
        ("2026-03-01 10:10:00", "2026-03-01 10:10", "2026-03-01 10:15"),
        ("1969-12-31 23:59:59", "1969-12-31 23:55", "1970-01-01 00:00"),
    ],
)
def test_a_window_has_its_start_and_not_its_end(moment: str, start: str, end: str) -> None:
    assert around(WINDOW, utc_s(moment), BERLIN) == Bounds(utc_s(start), utc_s(end))


@pytest.mark.parametrize(
    ("zone", "moment", "start", "hours"),
    [
        ("Europe/Berlin", "2026-03-01 22:59:59", "2026-02-28 23:00", 24),
        ("Europe/Berlin", "2026-03-01 23:00:00", "2026-03-01 23:00", 24),
        ("Europe/Berlin", "2026-03-29 10:00:00", "2026-03-28 23:00", 23),  # 2:00 becomes 3:00
        ("Europe/Berlin", "2026-10-25 10:00:00", "2026-10-24 22:00", 25),  # 3:00 becomes 2:00
        ("Africa/Cairo", "2024-04-26 10:00:00", "2024-04-25 22:00", 23),  # 0:00 becomes 1:00: no midnight
        ("America/Havana", "2024-11-03 12:00:00", "2024-11-03 04:00", 25),  # 1:00 becomes 0:00: two midnights
    ],
)
def test_a_local_day_is_as_long_as_the_clocks_make_it(zone: str, moment: str, start: str, hours: int) -> None:
    start_utc_s = utc_s(start)
    bounds = around(DAY, utc_s(moment), ZoneInfo(zone))
    assert bounds == Bounds(start_utc_s, start_utc_s + hours * HOUR_S)


def test_the_local_date_is_that_of_the_zone() -> None:
    assert local_date(utc_s("2026-03-01 23:30"), BERLIN) == date(2026, 3, 2)
    assert local_date(utc_s("2026-03-01 23:30"), ZoneInfo("UTC")) == date(2026, 3, 1)


def test_the_periods_of_a_stretch_are_those_of_its_first_and_its_last_moment_and_between() -> None:
    start_utc_s = utc_s("2026-03-01 10:00")
    starts = [start_utc_s, start_utc_s + 300, start_utc_s + 600]
    assert touched(WINDOW, start_utc_s + 299, start_utc_s + 600, BERLIN) == starts
    assert touched(WINDOW, start_utc_s + 299, start_utc_s + 599, BERLIN) == starts[:2]
    assert touched(WINDOW, start_utc_s, start_utc_s, BERLIN) == starts[:1]
    assert touched(WINDOW, start_utc_s + 1, start_utc_s, BERLIN) == []
