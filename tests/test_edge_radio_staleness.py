"""A stream that stops is found out after a few of its own intervals, whatever they are."""

import asyncio

import pytest
from radio_parts import DirectWorld, Talker, end, now_s, start, until

from edge.kinds import KINDS
from edge.radio.staleness import GAPS_MAX, GAPS_MIN, LEAST_S, Staleness
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from protocols import uuids

CGM_S, STRAP_S = KINDS["cgm"].stale_s, KINDS["heart_rate"].stale_s


def learned(limit_s: float, *gaps_s: float) -> Staleness:
    staleness = Staleness(limit_s)
    for gap_s in gaps_s:
        if gap_s >= staleness.gap_s_min:
            staleness.on_gap(gap_s)
    return staleness


@pytest.mark.parametrize(
    ("limit_s", "gaps_s", "stale_s"),
    [
        (CGM_S, [], CGM_S),  # nothing is known yet
        (CGM_S, [60.0] * (GAPS_MIN - 1), CGM_S),
        (CGM_S, [60.0] * GAPS_MIN, 180.0),
        (CGM_S, [120.0] * GAPS_MIN, 360.0),
        (CGM_S, [300.0] * GAPS_MIN, CGM_S),  # 2.2 intervals
        (CGM_S, [60.0] * 3 + [0.02] * 500, 180.0),  # stored records come in a burst
        (CGM_S, [0.02] * 500, CGM_S),
        (CGM_S, [300.0] * 8 + [25.0, 60.0, 60.0] * 2, CGM_S),  # a gap that was cut by what is asked each hour
        (CGM_S, [21.0] * 8, LEAST_S),
        (STRAP_S, [1.0] * 1000, STRAP_S),
        (STRAP_S, [14.0] * 1000, STRAP_S),
    ],
)
def test_a_few_intervals_of_the_stream(limit_s: float, gaps_s: list[float], stale_s: float) -> None:
    assert learned(limit_s, *gaps_s).stale_s == stale_s


def test_what_the_operator_has_set_is_not_learned_better() -> None:
    staleness = Staleness(600.0, is_fixed=True)
    assert staleness.gap_s_min == float("inf")
    for _ in range(10):
        staleness.on_gap(60.0)
    assert staleness.stale_s == 600.0


def test_a_sensor_that_has_slowed_down_is_waited_for_longer_each_time_and_then_learned_anew() -> None:
    staleness = learned(CGM_S, *[60.0] * GAPS_MAX)
    waits_s = []
    for _ in range(4):
        waits_s.append(staleness.stale_s)
        staleness.on_silent()
    assert waits_s == [180.0, 360.0, CGM_S, CGM_S]
    for _ in range(GAPS_MAX):
        staleness.on_gap(100.0)
    assert staleness.stale_s == 300.0


@pytest.mark.parametrize(("every_s", "found_s"), [(60.0, 180.0), (300.0, CGM_S)])
def test_a_silent_cgm_is_found_silent_after_a_few_of_its_intervals(every_s: float, found_s: float) -> None:
    async def main() -> None:
        w = DirectWorld()
        session = w.session(Talker(stale_s=CGM_S))
        running = start(session)
        await until(session.state, "settling", 10)
        for _ in range(6):
            assert w.strap.send(bytes((0, 72)))
            await asyncio.sleep(every_s)
        began_s = now_s() - every_s
        await until(session.state, "waiting", 1000)
        assert now_s() - began_s == pytest.approx(found_s, abs=2)
        assert session.state.trouble is Trouble.SILENT
        await end(running)

    run(main())


def test_before_a_silent_link_is_given_up_its_notifications_are_asked_for_again() -> None:
    async def main() -> None:
        w = DirectWorld()
        session = w.session(Talker())
        running = start(session)
        await until(session.state, "settling", 10)
        w.strap.send(bytes((0, 72)))
        link = w.stack.links[w.strap.address]
        link.forget_listeners()  # the sensor has lost its configuration
        assert not w.strap.send(bytes((0, 72)))
        await asyncio.sleep(11)
        assert link.listens(uuids.HEART_RATE_MEASUREMENT)
        w.strap.send(bytes((0, 72)))
        await asyncio.sleep(10)
        assert (session.state.phase, session.state.losses) == ("streaming", 0)
        await end(running)

    run(main())
