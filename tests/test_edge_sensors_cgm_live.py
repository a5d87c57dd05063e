"""What is new is told by the age of a record, whatever else is going on."""

import pytest

from edge.sensors.cgm_ledger import Range
from edge.sensors.cgm_live import NS_PER_MIN, TAIL_NS, Live, Sort, warm_up_left_s

NOW_NS = 10_000 * NS_PER_MIN
CLOCK_MIN = 1000


def live() -> Live:
    """A sensor whose clock was at minute 1000 just now."""
    made = Live()
    assert made.on_clock(CLOCK_MIN, NOW_NS) == 0
    return made


@pytest.mark.parametrize(
    ("offset_min", "while_reported", "else_"),
    [
        (1003, Sort.AHEAD, Sort.AHEAD),
        (1002, Sort.LIVE, Sort.LIVE),
        (1000, Sort.LIVE, Sort.LIVE),
        (990, Sort.LIVE, Sort.LIVE),
        (989, Sort.STORED, Sort.STRAY),
        (500, Sort.STORED, Sort.STRAY),
        (499, Sort.STRAY, Sort.STRAY),
        (0, Sort.STRAY, Sort.STRAY),
        (0xFFFF, Sort.AHEAD, Sort.AHEAD),
    ],
)
def test_the_table(offset_min: int, while_reported: Sort, else_: Sort) -> None:
    sensor = live()
    assert sensor.sort(offset_min, NOW_NS) is else_
    sensor.expect(Range(500, None))
    assert sensor.sort(offset_min, NOW_NS) is while_reported
    sensor.expect(None)
    assert sensor.sort(offset_min, NOW_NS) is else_


def test_after_a_report_that_was_broken_off_its_tail_is_expected_and_no_more() -> None:
    sensor = live()
    sensor.expect(Range(0, 900))
    sensor.expect_tail(NOW_NS)
    assert sensor.sort(800, NOW_NS + TAIL_NS) is Sort.STORED
    assert sensor.sort(950, NOW_NS + TAIL_NS) is Sort.STRAY
    assert sensor.sort(800, NOW_NS + TAIL_NS + 1) is Sort.STRAY
    assert not sensor.is_expecting(NOW_NS + TAIL_NS + 1)


def test_when_a_record_was_taken_never_later_than_it_came() -> None:
    sensor = live()
    assert sensor.taken_boot_ns(995, NOW_NS) == NOW_NS - 5 * NS_PER_MIN
    assert sensor.taken_boot_ns(1001, NOW_NS) == NOW_NS
    assert sensor.clock_s(NOW_NS + 30 * 10**9) == 60_030.0


def test_a_clock_that_was_set_is_noticed_and_a_link_begins_anew() -> None:
    sensor = live()
    assert sensor.on_clock(CLOCK_MIN + 8, NOW_NS + 5 * NS_PER_MIN) == 3 * NS_PER_MIN
    sensor.forget()
    assert sensor.start_boot_ns is None
    assert sensor.on_clock(0, NOW_NS) == 0


@pytest.mark.parametrize(("age_min", "left_s"), [(0, 7200.0), (119, 60.0), (120, None), (5000, None)])
def test_a_session_without_values_warms_up_for_two_hours(age_min: int, left_s: float | None) -> None:
    assert warm_up_left_s(age_min * NS_PER_MIN) == left_s
