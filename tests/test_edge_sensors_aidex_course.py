"""Which advertisement is of the session: time goes on with the clock and never back."""

from uuid import UUID

import pytest

from edge.sensors.advertised.aidex_course import CONFIRMED_BY, SILENT_NS, Course, CourseJudge
from edge.sensors.cgm_identity import Beginning, Known, Seen

MIN = 60 * 10**9
NEWEST = 1000
START = -NEWEST * MIN


def known(newest_min: int | None = NEWEST, *, boot_no: int = 1, utc_s: int | None = None) -> Known:
    error_ms = None if utc_s is None else 60_000
    return Known(Beginning(UUID(int=1), None, boot_no, START, utc_s, error_ms, 360), newest_min, {})


def seen(minute: int, at_min: float, *, boot_no: int = 1, utc_s: int | None = None) -> Seen:
    error_ms = None if utc_s is None else 500
    return Seen(minute, None, boot_no, round(at_min * MIN) - minute * MIN, utc_s, error_ms)


def judge(minute: int, at_min: float, told_min: float = 0.0) -> Course:
    judge = CourseJudge()
    return judge.judge(known(), seen(minute, at_min), round(told_min * MIN), round(at_min * MIN))


def test_the_first_one_begins() -> None:
    assert CourseJudge().judge(None, seen(5, 0), None, 0) is Course.BEGINS


@pytest.mark.parametrize(
    ("minute", "at_min"), [(1000, 0.5), (1001, 1), (1001, 9.9), (1200, 200), (1205, 200), (1200, 209)]
)
def test_what_goes_on_with_the_clock_follows(minute: int, at_min: float) -> None:
    assert judge(minute, at_min) is Course.FOLLOWS


@pytest.mark.parametrize(
    ("minute", "at_min"), [(999, 0.5), (0, 1), (900, 10), (1012, 1), (1100, 200), (5000, 1)]
)
def test_what_goes_back_or_jumps_is_strange(minute: int, at_min: float) -> None:
    assert judge(minute, at_min) is Course.STRANGE


def run(*steps: tuple[int, float], told_min: float) -> list[Course]:
    judge = CourseJudge()
    return [judge.judge(known(), seen(m, t), round(told_min * MIN), round(t * MIN)) for m, t in steps]


def test_another_session_begins_when_the_known_one_is_silent_and_the_new_one_confirmed() -> None:
    anew = [(m, 100.0 + m) for m in range(1, CONFIRMED_BY + 1)]
    silent_min = SILENT_NS / MIN
    assert run(*anew, told_min=100 - silent_min) == [*[Course.STRANGE] * (CONFIRMED_BY - 1), Course.BEGINS]
    assert set(run(*anew, told_min=100 - silent_min + 5)) == {Course.STRANGE}


def test_the_same_one_over_and_over_confirms_nothing() -> None:
    assert set(run(*[(5, 100.0 + n / 100) for n in range(50)], told_min=0.0)) == {Course.STRANGE}


def test_strange_ones_that_do_not_fit_each_other_confirm_nothing() -> None:
    jumps = [(minute, 100.0 + n) for n, minute in enumerate([5, 400, 7, 402, 9, 404, 11, 406])]
    assert set(run(*jumps, told_min=0.0)) == {Course.STRANGE}


def test_over_a_reboot_a_later_minute_is_the_same_session_unless_a_clock_says_otherwise() -> None:
    judge = CourseJudge()
    assert judge.judge(known(), seen(1100, 1, boot_no=2), None, MIN) is Course.FOLLOWS
    assert judge.judge(known(), seen(900, 1, boot_no=2), 0, MIN) is Course.STRANGE
    utc_s = 1_795_219_200
    right, wrong = utc_s + 1100 * 60, utc_s + 3000 * 60
    assert judge.judge(known(utc_s=utc_s), seen(1100, 1, boot_no=2, utc_s=right), 0, MIN) is Course.FOLLOWS
    assert judge.judge(known(utc_s=utc_s), seen(1100, 1, boot_no=2, utc_s=wrong), 0, MIN) is Course.STRANGE
