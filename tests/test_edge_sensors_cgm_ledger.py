"""Which records follow each other, what is a gap, and where the watermark may stand."""

import random
from typing import Any

import pytest

from edge.sensors.cgm_ledger import Ledger, Loss, Range, advance
from edge.store.sessions import GivenUp


def given_up(first: int, last: int, reason: Loss = Loss.NO_RECORDS) -> GivenUp:
    return GivenUp(first, last, reason.value, 3, 1, 0)


DAY = range(0, 1000, 5)


@pytest.mark.parametrize(
    ("watermark_min", "held", "noted", "reached"),
    [
        (-1, DAY, [], 995),
        (-1, [], [], -1),
        (-1, [4, 9, 14], [], 14),
        (-1, [5, 10, 15], [], -1),  # the first record may be missing
        (-1, [0, 7, 14], [], 14),
        (-1, [0, 8, 13], [], 0),
        (-1, [0, 1000], [], 0),
        (100, [105, 110, 120, 125], [], 110),
        (100, [0, 5, 105], [], 105),
        (-1, [5, 10], [(0, 4)], 10),
        (-1, [5000, 5005], [(0, 4999)], 5005),
        (95, [105, 110], [(100, 100, Loss.UNDECODABLE)], 110),
        (95, [115], [(96, 100, Loss.NOT_REPORTED)], 100),
        (95, [105], [(96, 100, Loss.NOT_REPORTED)], 105),
        (95, [], [(96, 100)], 100),
        (95, [100], [(0, 50)], 100),
        # A record beside a gap that was given up is gone: it is missing, however near the next one is.
        (90, [104], [(96, 103)], 90),
        (90, [], [(96, 100, Loss.NOT_REPORTED)], 90),
        (95, [105], [(96, 100)], 100),
        (100, [105], [(96, 100)], 100),
        (100, [101, 106], [(96, 100)], 106),
        (-1, [5005], [(0, 4999)], 4999),
    ],
)
def test_the_watermark_moves_over_what_follows(
    watermark_min: int, held: list[int], noted: list[tuple[Any, ...]], reached: int
) -> None:
    notes = [given_up(*note) for note in noted]
    assert advance(watermark_min, held, notes, 5.0) == reached


@pytest.mark.parametrize(
    ("held", "usual_min"),
    [
        ([], 5),
        ([0], 5),
        ([0, 1], 1),
        ([0, 15], 5),  # not believed before the sensor has said that there is nothing between
        (DAY, 5),
        (range(100), 1),
        ([0, 4, 10, 14, 20, 24, 30], 4),
        ([0, 5, 6, 10, 15, 20, 25, 30, 35, 40], 5),  # one out of turn
        (range(0, 1000, 10), 5),
        ([0, 5, 10, 200, 205, 400, 405], 5),
    ],
)
def test_the_usual_interval(held: list[int], usual_min: int) -> None:
    assert Ledger(held=held).usual_min == usual_min


def test_a_long_interval_is_believed_once_the_sensor_has_said_thrice_that_there_is_nothing_between() -> None:
    ledger = Ledger(held=range(0, 300, 15))
    notes = [given_up(1, 14), given_up(16, 29), given_up(31, 44)]
    ledger.note_given_up(notes[:2])
    assert ledger.usual_min == 5
    assert len(ledger.gaps()) == 17
    ledger.note_given_up(notes)
    assert ledger.usual_min == 15
    assert (ledger.gaps(), ledger.reach_min) == ([], 285)


def test_gaps_lie_above_the_watermark_and_between_what_is_here_or_given_up() -> None:
    ledger = Ledger(100, [*DAY[:40], *range(300, 400, 5), 410, 420], [given_up(250, 260)])
    assert ledger.gaps() == [Range(196, 249), Range(261, 299), Range(396, 409), Range(411, 419)]
    assert (ledger.newest_min, ledger.end_min, ledger.reach_min) == (420, 420, 195)
    for offset in (*range(200, 250, 5), 249, 261, *range(265, 300, 5), 400, 405, 415):
        assert ledger.hold(offset)
        assert not ledger.hold(offset)
    assert (ledger.gaps(), ledger.reach_min) == ([], 420)
    ledger.drop([300, 405])
    assert ledger.gaps() == [Range(296, 304), Range(401, 409)]
    assert ledger.reach_min == 295
    assert 300 not in ledger
    assert 305 in ledger


def test_the_watermark_stands_until_the_interval_is_known() -> None:
    ledger = Ledger(held=[0, 5, 10, 15])
    assert ledger.reach_min == -1
    ledger.hold(20)
    assert ledger.reach_min == 20


def test_the_end_is_after_everything_that_is_settled() -> None:
    assert Ledger().end_min == -1
    assert Ledger(50).end_min == 50
    assert Ledger(50, [40, 60]).end_min == 60
    assert Ledger(50, [60], [given_up(61, 70)]).end_min == 70


def test_what_the_sensor_may_count() -> None:
    notes = [given_up(0, 49), given_up(100, 100, Loss.UNDECODABLE), given_up(106, 114, Loss.NOT_REPORTED)]
    ledger = Ledger(-1, [*range(50, 100, 5), 105, *range(115, 200, 5)], notes)
    assert ledger.refuse(4000)
    assert not ledger.refuse(4000)
    assert ledger.count(Range(0, None), 200) == 10 + 1 + 17 + 2 + 1
    assert ledger.count(Range(96, 104), 200) == 1
    assert ledger.count(Range(0, 49), 200) == 0
    assert ledger.count(Range(200, None), 200) == 1
    # What is no longer of the future is a record like any other.
    assert ledger.count(Range(200, None), 4000) == 0


@pytest.mark.parametrize(
    ("gap", "first"),
    [
        (Range(96, 104), Range(96, 104)),
        (Range(96, 114), Range(96, 100)),
        (Range(96, 106), Range(96, 106)),  # there is room for one
        (Range(96, None), Range(96, 100)),
        (Range(0, 9), Range(0, 9)),
    ],
)
def test_where_the_first_record_of_a_gap_would_be(gap: Range, first: Range) -> None:
    assert Ledger(held=DAY).first_of(gap) == first


@pytest.mark.parametrize("seed", range(50))
def test_in_whatever_order_records_come_and_go_the_same_is_missing(seed: int) -> None:
    rng = random.Random(seed)
    offsets = sorted({offset + rng.choice([0, 0, 0, 1]) for offset in rng.sample(DAY, 150)})
    noted = [given_up(o, o + rng.randint(0, 9)) for o in rng.sample(range(1, 1000), 5)]
    whole = Ledger(-1, offsets, noted)
    grown = Ledger()
    grown.note_given_up(noted)
    extra = rng.sample(range(1, 999), 20)
    for offset in rng.sample(offsets + extra, len(offsets) + len(extra)):
        grown.hold(offset)
    grown.drop(set(extra) - set(offsets))
    assert (grown.gaps(), grown.reach_min, grown.usual_min) == (
        whole.gaps(),
        whole.reach_min,
        whole.usual_min,
    )
    # Nothing is settled and missing at once, and up to the watermark nothing is missing.
    for gap in whole.gaps():
        assert gap.last is not None
        assert not any(gap.covers(offset) for offset in offsets)
        assert gap.first > whole.reach_min
