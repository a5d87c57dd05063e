"""What is called wrong upstream: held against a truth of three readings and ten beats."""

from math import inf

import pytest

from tools.rig.language.scenario import MIDNIGHT_UTC_S
from tools.rig.verdict.expectations import clock_time, wrong_beats, wrong_readings
from tools.rig.verdict.received import Reading, Window
from tools.rig.verdict.truth import Truth

T = float(MIDNIGHT_UTC_S)
BEATS = [T + 10.0 + n for n in range(10)]
TRUTH = Truth([(T + 300.0, 100.0), (T + 600.0, 104.0), (T + 900.0, 99.0)], BEATS, BEATS[:8], True, inf)
READINGS = [Reading(T + 300.0, 100.0, "a"), Reading(T + 600.0, 104.0, "b"), Reading(T + 900.0, 99.0, "c")]


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        (READINGS, []),
        ([one._replace(utc_s=one.utc_s - 60.0) for one in READINGS], []),
        ([*READINGS, Reading(T + 1200.0, None, "d")], []),
        (READINGS[1:], ["100 mg/dL of 00:05:00 is not upstream"]),
        ([*READINGS, READINGS[0]._replace(id="d")], ["100 mg/dL of 00:05:00 is upstream more than once"]),
        (
            [*READINGS, Reading(T + 1200.0, 98.0, "d")],
            ["98 mg/dL of 00:20:00 is upstream and was never measured"],
        ),
        (
            [*READINGS[:2], READINGS[2]._replace(value_mg_dl=98.0)],
            [
                "99 mg/dL of 00:15:00 is not upstream",
                "98 mg/dL of 00:15:00 is upstream and was never measured",
            ],
        ),
        (
            [*READINGS[:2], READINGS[2]._replace(utc_s=T + 1100.0)],
            [
                "99 mg/dL of 00:15:00 is not upstream",
                "99 mg/dL of 00:18:20 is upstream and was never measured",
            ],
        ),
    ],
)
def test_readings_are_missing_double_or_nobodys(told: list[Reading], wrong: list[str]) -> None:
    assert list(wrong_readings(TRUTH, told)) == wrong


def test_without_consent_nothing_need_be_upstream_and_later_readings_must_not() -> None:
    withdrawn = TRUTH._replace(is_due=False, allowed_utc_s=T + 700.0)
    assert list(wrong_readings(withdrawn, READINGS[:2])) == list(wrong_readings(withdrawn, [])) == []
    assert list(wrong_readings(withdrawn, READINGS)) == ["99 mg/dL of 00:15:00 is upstream without consent"]
    never = TRUTH._replace(is_due=False, allowed_utc_s=-inf)
    assert len(list(wrong_readings(never, READINGS))) == 3
    assert list(wrong_beats(never, [])) == []
    assert list(wrong_beats(never, [Window(T, T + 300.0, 9)])) == [
        "9 beats of 00:00:00 are upstream without consent"
    ]


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [
        ([10], []),
        ([8], []),  # the others may have been lost with the process
        ([4, 6], []),  # two straps
        (
            [7],
            [
                "7 beats are told of 00:00:00, and 8 to 10 were sent",
                "7 beats are upstream, and 8 to 10 were sent",
            ],
        ),
        (
            [11],
            [
                "11 beats are told of 00:00:00, and 8 to 10 were sent",
                "11 beats are upstream, and 8 to 10 were sent",
            ],
        ),
        ([], ["0 beats are upstream, and 8 to 10 were sent"]),
    ],
)
def test_beats_are_missing_or_too_many(counts: list[int], wrong: list[str]) -> None:
    assert list(wrong_beats(TRUTH, [Window(T, T + 300.0, count) for count in counts])) == wrong


def test_a_beat_at_a_boundary_may_be_in_either_window_but_in_one() -> None:
    truth = Truth([], [T + 299.9], [T + 299.9], True, inf)

    def told(first: int, second: int) -> list[str]:
        return list(wrong_beats(truth, [Window(T, T + 300.0, first), Window(T + 300.0, T + 600.0, second)]))

    assert told(1, 0) == told(0, 1) == []
    assert told(1, 1) == ["2 beats are upstream, and 1 to 1 were sent"]
    assert told(0, 0) == ["0 beats are upstream, and 1 to 1 were sent"]


def test_times_are_told_as_clocks_do() -> None:
    times = {0.0: "00:00:00", 3661.4: "01:01:01", -55.0: "day 0 23:59:05", 90_000.0: "day 2 01:00:00"}
    assert {at_s: clock_time(at_s) for at_s in times} == times
