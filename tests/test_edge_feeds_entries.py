"""Which entries of a feed count: codes, noise, and what two uploaders send of one sensor."""

import math

import pytest

from edge.feeds.entries import WEEK_S, once, reading_of, seen, week_of
from edge.store.readings import Reading
from protocols.sgv import Sgv

WEEK_UTC_S = 1_795_046_400  # a Thursday
A, B = "xDrip-DexcomG5", "openaps://other"


def reading(at_s: int, value: float | None, device: str | None = A, **more: int) -> Reading:
    entry = Sgv((WEEK_UTC_S + at_s) * 1000 + 123, value, device=device, **more)
    return reading_of(entry, boot_no=1, boot_ns=5, fetched=False)


def marks(*readings: Reading, held: tuple[Reading, ...] = ()) -> list[str | None]:
    return [r.not_counted for r in once(WEEK_UTC_S, readings, seen(WEEK_UTC_S, held))]


def test_the_identity_of_an_entry_is_its_stamp() -> None:
    assert week_of(WEEK_UTC_S) == week_of(WEEK_UTC_S + WEEK_S - 1) == WEEK_UTC_S
    assert reading(77, 120.0).sequence == reading(77, 120.0).at_s == 77


@pytest.mark.parametrize(
    ("more", "value", "reason"),
    [
        ({"code": 1}, None, "session stopped"),
        ({"code": 5}, None, "calibration required"),
        ({"code": 12}, None, "no measurement"),
        ({"noise": 3}, 120.0, None),
        ({"noise": 4}, 120.0, "low quality"),
        ({}, math.inf, None),
    ],
)
def test_codes_and_noise(more: dict[str, int], value: float | None, reason: str | None) -> None:
    assert reading(0, value, **more).not_counted == reason


@pytest.mark.parametrize("apart_s", [1, 20, 29, 120, 149])
def test_two_uploaders_of_one_sensor_are_one(apart_s: int) -> None:
    series = [
        reading(300 * n + off_s, 100.0 + n, device)
        for n in range(8)
        for off_s, device in ((0, A), (apart_s, B))
    ]
    assert marks(*series) == [None, "sent twice"] * 8


def test_the_same_uploader_within_half_a_minute_is_once_and_a_minute_is_not() -> None:
    assert marks(reading(0, 100.0), reading(20, 100.0)) == [None, "sent twice"]
    each_minute = [reading(60 * n, 100.0) for n in range(10)]
    assert marks(*each_minute) == [None] * 10


def test_each_minute_by_two_uploaders() -> None:
    series = [
        reading(60 * n + off_s, 100.0 + n, device) for n in range(8) for off_s, device in ((0, A), (20, B))
    ]
    assert marks(*series) == [None, "sent twice"] * 8


def test_another_value_of_another_uploader_is_of_another_sensor() -> None:
    series = [
        reading(300 * n + off_s, value, device)
        for n in range(5)
        for off_s, value, device in ((0, 100.0, A), (100, 179.0, B))
    ]
    assert marks(*series) == [None, "of another sensor in the same feed"] * 5


def test_whoever_was_here_first_stands_and_the_other_takes_over_when_it_is_gone() -> None:
    held = tuple(reading(300 * n + 40, 100.0 + n, B) for n in range(4))
    new = [reading(300 * n, 100.0 + n) for n in range(6)]
    assert marks(*new, held=held) == ["sent twice"] * 4 + [None, None]


def test_lo_and_hi_agree_with_themselves_only() -> None:
    assert marks(reading(0, -math.inf), reading(9, -math.inf, B)) == [None, "sent twice"]
    assert marks(reading(0, -math.inf), reading(9, math.inf, B))[1] == "of another sensor in the same feed"


def test_what_does_not_count_hides_nothing() -> None:
    assert marks(reading(0, 100.0, noise=4), reading(20, 100.0, B)) == ["low quality", None]
