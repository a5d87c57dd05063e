"""Is it the session that is known? Evidence, a row each; and comparisons."""

import random
from typing import Any

import pytest
from cgm_parts import session_names

from edge.sensors.cgm_identity import (
    ASKS,
    Beginning,
    Comparison,
    Seen,
    Verdict,
    begin,
    changes,
    is_alike,
    judge,
    judge_alone,
    time_told,
    told_utc_s,
)
from protocols.cgm import SessionStartTime

S = 10**9
NOW_S = 1_800_000_000
TOLD = NOW_S - 60_000
UUID = begin(Seen(0, None, 1, 0, None, None), 0, None, session_names(random.Random(1))).uuid


def known(**fields: Any) -> Beginning:
    """A session that began 1000 minutes ago, seen last in boot 1, whose start is vouched for."""
    usual = Beginning(UUID, TOLD, 1, -60_000 * S, TOLD, 60_500, 240)
    return usual._replace(**fields)


def seen(**fields: Any) -> Seen:
    """The same session a moment later."""
    return Seen(1000, TOLD, 1, -60_000 * S, NOW_S, 500)._replace(**fields)


UNTOLD = known(told_start_utc_s=None)
UNTRUSTED = {"trusted_utc_s": None, "trusted_error_ms": None}
OTHER_BOOT = {"boot_no": 2, "start_boot_ns": -77 * S}


@pytest.mark.parametrize(
    ("session", "newest_min", "sight", "verdict"),
    [
        (None, None, seen(), Verdict.NEW),
        (known(), 995, seen(), Verdict.SAME),
        (known(), 1001, seen(), Verdict.SAME),  # a record's minute is rounded up
        (known(), 1002, seen(), Verdict.DOUBT),  # its clock is before what it has stored
        (known(), None, seen(clock_min=0, **OTHER_BOOT), Verdict.SAME),
        # The start it tells.
        (known(), 995, seen(**OTHER_BOOT, **UNTRUSTED), Verdict.SAME),
        (known(), 995, seen(told_start_utc_s=TOLD + 1, **OTHER_BOOT, **UNTRUSTED), Verdict.DOUBT),
        (
            known(told_start_utc_s=None),
            995,
            seen(told_start_utc_s=None, **OTHER_BOOT, **UNTRUSTED),
            Verdict.DOUBT,
        ),
        # It tells another one, or none any more.
        (known(), 995, seen(told_start_utc_s=TOLD + 1), Verdict.DOUBT),
        (known(), 995, seen(told_start_utc_s=None), Verdict.DOUBT),
        # It told none. The start that is reckoned by the time since boot.
        (UNTOLD, 995, seen(told_start_utc_s=None, start_boot_ns=-60_180 * S), Verdict.SAME),
        (UNTOLD, 995, seen(told_start_utc_s=None, start_boot_ns=-60_181 * S), Verdict.DOUBT),
        (UNTOLD, 995, seen(told_start_utc_s=TOLD + 500), Verdict.SAME),
        # By a trusted wall clock.
        (UNTOLD, 995, seen(told_start_utc_s=None, **OTHER_BOOT), Verdict.SAME),
        (UNTOLD, 995, seen(told_start_utc_s=None, trusted_utc_s=NOW_S + 181, **OTHER_BOOT), Verdict.DOUBT),
        # A start that nobody vouches for, and a clock that nobody does, are no evidence.
        (UNTOLD._replace(start_error_ms=None), 995, seen(told_start_utc_s=None, **OTHER_BOOT), Verdict.DOUBT),
        # In the same boot, the time since boot tells more than two settings of the wall clock.
        (UNTOLD, 995, seen(told_start_utc_s=None, trusted_utc_s=NOW_S + 86_400), Verdict.SAME),
    ],
)
def test_the_table(session: Beginning | None, newest_min: int | None, sight: Seen, verdict: Verdict) -> None:
    assert judge(session, newest_min, sight) is verdict


@pytest.mark.parametrize(("off_s", "verdict"), [(600, Verdict.SAME), (601, Verdict.NEW)])
def test_alone_the_likelier_thing_is_taken_for_true(off_s: int, verdict: Verdict) -> None:
    assert judge_alone(known(), seen(start_boot_ns=(-60_000 + off_s) * S)) is verdict
    assert judge_alone(known(), seen(**OTHER_BOOT, **UNTRUSTED)) is Verdict.NEW


@pytest.mark.parametrize(
    ("again", "is_so"),
    [
        (seen(), True),
        (seen(clock_min=1001, start_boot_ns=-59_820 * S), True),
        (seen(start_boot_ns=-59_819 * S), False),
        (seen(told_start_utc_s=TOLD + 1), False),
        (seen(told_start_utc_s=None), False),
    ],
)
def test_two_looks_that_show_the_same(again: Seen, is_so: bool) -> None:
    assert is_alike(seen(), again) is is_so


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (SessionStartTime(2026, 11, 27, 12, 0, 0), 1_795_780_800),
        (SessionStartTime(2000, 1, 1, 0, 0, 0), None),
        (SessionStartTime(1970, 1, 1, 0, 0, 0), None),
        (SessionStartTime(9999, 12, 31, 0, 0, 0), None),
        (SessionStartTime(2026, 2, 31, 0, 0, 0), None),
        (SessionStartTime(0, 0, 0, 0, 0, 0), None),
        (None, None),
    ],
)
def test_a_start_that_cannot_be_one_is_none(start: SessionStartTime | None, told: int | None) -> None:
    assert told_utc_s(start) == told


@pytest.mark.parametrize(
    ("sight", "start"),
    [
        (seen(), (TOLD, 60_500)),
        (seen(told_start_utc_s=TOLD - 180), (TOLD - 180, 60_500)),
        (seen(told_start_utc_s=TOLD - 181), (TOLD, 60_500)),
        (seen(told_start_utc_s=None), (TOLD, 60_500)),
        (seen(**UNTRUSTED), (TOLD, None)),
        (seen(told_start_utc_s=None, **UNTRUSTED), (123 - 60_000, None)),
    ],
)
def test_when_a_new_session_began(sight: Seen, start: tuple[int, int | None]) -> None:
    session = begin(sight, 123, None, session_names(random.Random(1)))
    assert (session.start_utc_s, session.start_error_ms) == start


def test_what_is_known_better_when_a_session_is_seen_again() -> None:
    assert changes(known(), seen()) == {"told_start_utc_s": TOLD}
    assert changes(known(), seen(told_start_utc_s=None)) == {"told_start_utc_s": None}
    again = changes(known(), seen(**OTHER_BOOT))
    assert again == {"told_start_utc_s": TOLD, "start_boot_no": 2, "start_boot_ns": -77 * S}
    # Its first trusted start is kept; a clock that was set makes what comes now uncertain.
    trusted = changes(UNTOLD._replace(start_error_ms=None), seen(told_start_utc_s=None))
    assert trusted == {"told_start_utc_s": None, "start_utc_s": TOLD, "start_error_ms": 60_500}
    was_set = changes(UNTOLD, seen(told_start_utc_s=None, start_boot_ns=-59_500 * S))
    moved = {"start_boot_no": 1, "start_boot_ns": -59_500 * S, "start_error_ms": 500_000}
    assert was_set == {"told_start_utc_s": None, **moved}


def test_only_a_verified_start_that_is_told_still_tells_the_time() -> None:
    assert time_told(known(), seen(**OTHER_BOOT, **UNTRUSTED)) == (TOLD, 120_500)
    assert time_told(known(start_error_ms=None), seen(**UNTRUSTED)) is None
    assert time_told(known(), seen(told_start_utc_s=None)) is None
    assert time_told(known(), seen(told_start_utc_s=TOLD + 60)) is None
    # Its clock was set, and it tells the same start all the same.
    assert time_told(known(start_error_ms=300_000), seen(**OTHER_BOOT, **UNTRUSTED)) is None


VALUES = {offset: float(offset) for offset in range(950, 1000, 5)}


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [
        ([(VALUES, True)], Verdict.SAME),
        ([({990: 990.0, 995: 995.0}, True)], Verdict.SAME),
        ([({990: 990.0, 995: 995.0, 985: 1.0}, True)], Verdict.SAME),
        ([({995: 995.0}, True)], Verdict.DOUBT),
        ([({995: 995.0}, True)] * ASKS, Verdict.NEW),
        ([({990: 1.0, 995: 1.0}, True)], Verdict.NEW),
        ([({990: None, 995: 1.0}, True)], Verdict.NEW),
        # One alone may have been spoilt on its way, or in the store.
        ([({995: 1.0}, True)], Verdict.DOUBT),
        ([({995: 1.0}, True)] * ASKS, Verdict.NEW),
        ([({985: 1.0, 990: 990.0, 995: 1.0}, True)], Verdict.DOUBT),
        ([({985: 1.0, 990: 990.0, 995: 1.0}, True)] * ASKS, Verdict.NEW),
        ([({985: 1.0, 990: 990.0, 995: 1.0}, True), ({995: 995.0}, True)], Verdict.SAME),
        ([({}, True)], Verdict.DOUBT),
        ([({}, True)] * ASKS, Verdict.NEW),
        ([({}, False)] * ASKS, Verdict.DOUBT),
        ([({}, False)] * 2 * ASKS, Verdict.SAME),
        ([({}, False)] * (2 * ASKS - 2) + [({}, True)], Verdict.NEW),
        ([({}, True), ({990: 990.0, 995: 995.0}, True)], Verdict.SAME),
        ([({990: 990.0}, False), ({995: 995.0}, False)], Verdict.SAME),
    ],
)
def test_records_that_are_compared(
    reported: list[tuple[dict[int, float | None], bool]], verdict: Verdict
) -> None:
    comparison = Comparison(VALUES, alone=Verdict.SAME)
    assert (comparison.first_min, comparison.last_min) == (970, 995)
    for records, was_answered in reported:
        assert comparison.verdict is Verdict.DOUBT
        for offset, value in records.items():
            comparison.on_record(offset, value)
        comparison.on_end(is_answered=was_answered)
    assert comparison.verdict is verdict


@pytest.mark.parametrize("alone", [Verdict.SAME, Verdict.NEW])
def test_without_records_there_is_nothing_to_compare(alone: Verdict) -> None:
    assert Comparison({}, alone).verdict is alone
    alone_by_silence = Comparison(VALUES, alone, unanswered=2 * ASKS - 1)
    alone_by_silence.on_end(is_answered=False)
    assert alone_by_silence.verdict is alone


def test_a_single_known_record_is_enough_if_it_is_all_there_is() -> None:
    comparison = Comparison({0: 99.0}, Verdict.NEW)
    comparison.on_record(0, 99.0)
    comparison.on_end(is_answered=True)
    assert comparison.verdict is Verdict.SAME


def test_a_session_met_again_after_its_store_was_lost_has_the_name_it_had() -> None:
    first, again = (begin(seen(), 123, None, session_names(random.Random(n))) for n in (1, 2))
    assert first.uuid == again.uuid
    later = begin(seen(told_start_utc_s=TOLD + 60), 123, None, session_names(random.Random(1)))
    assert later.uuid != first.uuid


@pytest.mark.parametrize("what", [{"told_start_utc_s": None}, {"told_start_utc_s": TOLD - 181}, UNTRUSTED])
def test_a_start_that_no_trusted_clock_bears_out_names_no_session(what: dict[str, Any]) -> None:
    first, again = (begin(seen(**what), 123, None, session_names(random.Random(n))) for n in (1, 2))
    assert first.uuid != again.uuid


def test_no_two_sessions_have_one_name() -> None:
    names = session_names(random.Random(1))
    first, second = (begin(seen(), 123, None, names) for _ in range(2))
    assert first.uuid != second.uuid
