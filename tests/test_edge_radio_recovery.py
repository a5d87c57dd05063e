"""The ladder, as a machine without a radio: which rung comes when, and which never."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.radio import recovery
from edge.radio.recovery import (
    CALM_S,
    DAY_S,
    FAILURES_MIN,
    FRUITLESS_MAX,
    Ailment,
    Evidence,
    Ladder,
    Rung,
    Seen,
    is_stale,
)
from edge.radio.trouble import Pause, Trouble

MACHINE = (Rung.POWER_CYCLE, Rung.RESET_ADAPTER, Rung.RESTART_SERVICE, Rung.REBOOT)
LOOK_S = 10.0
# A machine that has been up for long enough to be restarted.
UP_S = 10 * DAY_S


def climb(
    ailment: Ailment, for_s: float, top: Rung = Rung.REBOOT, began_s: float = UP_S
) -> list[tuple[float, Rung]]:
    """What is done against an ailment that nothing helps against, and when after it began."""
    ladder, taken, now_s = Ladder(top), [], began_s
    while now_s <= began_s + for_s:
        ladder, rung = ladder.step(Seen(ailment, began_s, 0.0, False), now_s)
        if rung is not None:
            taken.append((now_s - began_s, rung))
        now_s += LOOK_S
    return taken


def test_every_row_of_the_table_is_there() -> None:
    rows = re.findall(r"^    (?!now  |-)(.+?) +\|", recovery.__doc__ or "", re.MULTILINE)
    assert [row.strip() for row in rows] == [
        "any",
        "on a rung",
        "ground",
        "ground",
        "ground",
        "on a rung",
        "on a rung",
        "on a rung",
        "to a rung",
    ]


@pytest.mark.parametrize("ailment", Ailment)
def test_from_the_first_rung_of_an_ailment_to_its_last_one_after_the_other(ailment: Ailment) -> None:
    taken = climb(ailment, 1200)
    first, last = MACHINE.index(ailment.first), MACHINE.index(ailment.last)
    assert [rung for _, rung in taken[: last - first + 1]] == list(MACHINE[first : last + 1])
    assert taken[0][0] == pytest.approx(ailment.patience_s, abs=LOOK_S)
    for (before_s, before), (after_s, _) in itertools.pairwise(taken[: last - first + 1]):
        assert after_s - before_s == pytest.approx(before.settle_s, abs=LOOK_S)


@pytest.mark.parametrize("top", MACHINE)
def test_what_the_operator_has_not_allowed_is_not_done(top: Rung) -> None:
    for ailment in Ailment:
        assert all(
            MACHINE.index(rung) <= MACHINE.index(top) for _, rung in climb(ailment, 3 * DAY_S / 24, top)
        )


def test_a_machine_that_has_just_started_is_not_restarted() -> None:
    assert Rung.REBOOT in {rung for _, rung in climb(Ailment.DEAF, 3600)}
    assert Rung.REBOOT not in {rung for _, rung in climb(Ailment.DEAF, 6 * 3600, began_s=0.0)}


def test_in_vain_each_rung_is_taken_half_as_often_each_time() -> None:
    times_s = [at_s for at_s, rung in climb(Ailment.QUIET, 2 * DAY_S) if rung is Rung.POWER_CYCLE]
    pauses_s = [b - a for a, b in itertools.pairwise(times_s)]
    assert pauses_s[:4] == [600.0, 1200.0, 2400.0, 4800.0]
    assert len(times_s) < 10


def test_data_bring_it_back_to_the_ground() -> None:
    ladder, now_s = Ladder(Rung.REBOOT), UP_S
    ladder, rung = ladder.step(Seen(Ailment.DEAF, UP_S - 400, 0.0, False), now_s)
    assert rung is Rung.POWER_CYCLE
    ladder, rung = ladder.step(Seen(None, 0.0, now_s + 5, True), now_s + 10)
    assert (rung, ladder.rung) == (None, None)
    # The next time it begins with the first rung, if that is long enough ago.
    ladder, rung = ladder.step(Seen(Ailment.DEAF, now_s + 20, now_s + 5, False), now_s + 500)
    assert rung is None
    ladder, rung = ladder.step(Seen(Ailment.DEAF, now_s + 20, now_s + 5, False), now_s + 700)
    assert rung is Rung.POWER_CYCLE


def test_calm_without_data_brings_it_back_to_the_ground_later() -> None:
    ladder, rung = Ladder(Rung.REBOOT).step(Seen(Ailment.DEAF, UP_S - 400, 0.0, False), UP_S)
    assert rung is Rung.POWER_CYCLE
    ladder, _ = ladder.step(Seen(None, 0.0, 0.0, False), UP_S + CALM_S - 1)
    assert ladder.rung is Rung.POWER_CYCLE
    ladder, _ = ladder.step(Seen(None, 0.0, 0.0, False), UP_S + CALM_S)
    assert ladder.rung is None


# Evidence


def test_one_sensor_out_of_reach_is_no_ailment_while_others_are_heard() -> None:
    evidence = Evidence()
    for now in range(0, 7200, 10):
        evidence.on_scan(now, is_on=True)
        evidence.on_heard(is_stranger=True)
        assert evidence.ailment() is None


def test_silence_counts_for_more_where_other_devices_were_heard() -> None:
    evidence = Evidence()
    evidence.on_scan(100.0, is_on=True)
    assert evidence.ailment() == (Ailment.QUIET, 100.0)
    evidence.on_heard(is_stranger=True)
    assert evidence.ailment() is None
    evidence.on_scan(200.0, is_on=True)
    evidence.on_scan(300.0, is_on=True)
    assert evidence.ailment() == (Ailment.DEAF, 200.0)
    evidence.on_scan(310.0, is_on=False)
    assert evidence.ailment() is None


def test_only_attempts_in_a_row_that_fail_here_are_an_ailment() -> None:
    evidence = Evidence()
    for now in range(FAILURES_MIN - 1):
        evidence.on_connect(now, is_made=False)
    assert evidence.ailment() is None
    evidence.on_connect(50.0, is_made=True)
    for now in range(100, 100 + FAILURES_MIN):
        evidence.on_connect(now, is_made=False)
    assert evidence.ailment() == (Ailment.NO_CONNECTS, 100)
    evidence.on_data(200.0)
    assert evidence.ailment() is None


def test_what_the_watch_says_is_an_ailment_unless_somebody_wants_it_so() -> None:
    evidence = Evidence()
    evidence.on_health(Trouble.NO_ADAPTER, 5.0)  # there never was one
    assert evidence.ailment() is None
    evidence.on_health(None, 10.0)
    evidence.on_health(Trouble.ADAPTER_OFF, 15.0)
    assert evidence.ailment() is None
    evidence.on_health(Trouble.NO_ADAPTER, 20.0)
    evidence.on_health(Trouble.NO_ADAPTER, 30.0)
    assert evidence.ailment() == (Ailment.ADAPTER_GONE, 20.0)
    evidence.on_health(Trouble.SERVICE_SILENT, 40.0)
    assert evidence.ailment() == (Ailment.SERVICE_SILENT, 40.0)


def test_a_device_is_stale_at_once_if_it_blocks_and_else_after_some_links_without_a_packet() -> None:
    assert is_stale(Trouble.BLOCKED, 1)
    wanted = {n for n in range(10) if is_stale(Trouble.CONNECT_FAILED, n)}
    assert wanted == {FRUITLESS_MAX, 2 * FRUITLESS_MAX, 3 * FRUITLESS_MAX}
    for trouble in Trouble:
        if trouble.pause is Pause.STEADY and trouble is not Trouble.BLOCKED:
            assert not is_stale(trouble, FRUITLESS_MAX)


# Whatever is seen

SEEN = st.tuples(
    st.sampled_from([None, *Ailment]),
    st.booleans(),  # data have just come
    st.booleans(),  # a sensor is connected
    st.floats(1.0, 4000.0),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MACHINE), st.lists(SEEN, max_size=200))
def test_no_rung_comes_out_of_turn_too_often_or_while_a_sensor_is_connected(
    top: Rung, events: list[tuple[Ailment | None, bool, bool, float]]
) -> None:
    ladder, now_s, since_s, data_s = Ladder(top), 0.0, 0.0, 0.0
    before: Ailment | None = None
    taken: dict[Rung, float] = {Rung.REBOOT: 0.0}
    for ailment, has_data, is_connected, step_s in events:
        now_s += step_s
        since_s = since_s if ailment is before else now_s
        before = ailment
        data_s = now_s if has_data else data_s
        was = ladder.rung
        ladder, rung = ladder.step(Seen(ailment, since_s, data_s, is_connected), now_s)
        if rung is None:
            continue
        assert ailment is not None
        assert not is_connected
        assert MACHINE.index(rung) <= MACHINE.index(top)
        assert MACHINE.index(ailment.first) <= MACHINE.index(rung) <= MACHINE.index(ailment.last)
        assert now_s - taken.get(rung, -DAY_S) >= rung.every_s
        if was is None:
            assert rung is ailment.first
        elif rung is not ailment.first:
            assert MACHINE.index(rung) == MACHINE.index(was) + 1
        taken[rung] = now_s
