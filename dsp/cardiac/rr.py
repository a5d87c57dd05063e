"""RR intervals on a time axis of their own.

A strap sends RR intervals without times, several to a notification or none, some time after the beats. Adding
the intervals up gives the beats' spacing exactly; the arrival of each packet only bounds where the whole chain
lies. No decision about artefacts is made here.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

# A packet later than this after its beats: several before it were lost, and nothing says how long ago.
LATENESS_S_MAX = 2.5
# How fast the chain may drift against the gateway's clock: crystals are within 50 ppm each.
DRIFT_MAX = 1e-4
# Behind a missing notification the chain may lie too early, by lost beats that were longer than thought or not
# noticed: it creeps forward until an arrival stops it.
CREEP = 0.02
# A notification is missing where the step from one arrival to the next is this many usual ones. Radio delays
# are far below half a step.
MISSING_STEPS = 1.5
# The usual step is about a second; what the first notifications of a link say may be far from it.
STEP_S_MIN, STEP_S_MAX = 0.25, 4.0
# A loss that the first packet behind it leaves open shows in one of the next.
SUSPECT_PACKETS = 4


class Timeline(NamedTuple):
    """Where the chain of beats of one connection stands; None before there is any."""

    last_beat_s: float | None = None
    arrival_s: float | None = None  # of the last notification, with intervals or not
    step_s: float | None = None  # usual time from one arrival to the next
    age_s: float = 0.0  # how old the first beat of a packet can be when it comes
    suspect: int = 0  # packets that are looked at closely because a notification before them is missing
    settled: bool = True  # whether an arrival has bounded the chain since a notification was missing


class PlacedBeats(NamedTuple):
    """Beats of one packet on the time axis."""

    t_s: list[float]
    follows: list[float]  # 0.0 where a gap or nothing comes before, else 1.0


def place(timeline: Timeline, arrival_s: float, rr_ms: Sequence[float]) -> tuple[Timeline, PlacedBeats]:
    """All beats of a packet, and whether they follow the packet before without a gap.

    Args:
        timeline: as the notification before left it.
        arrival_s: when the notification came, s, on the gateway's clock.
        rr_ms: its intervals, greater than 0, oldest first; may be empty, but should be told of nevertheless.

    Returns:
        The new timeline; the time of each beat in s, and `follows` as the rest of dsp.cardiac takes it.
    """
    spans_ms = [(rr_ms[0], sum(rr_ms))] if rr_ms else [None]
    timeline, (last_s,), (joins,) = follow(timeline, [arrival_s], spans_ms)
    if last_s is None:
        return timeline, PlacedBeats([], [])
    t_s = [last_s]
    for interval_ms in reversed(rr_ms[1:]):
        t_s.append(t_s[-1] - interval_ms / 1000.0)
    return timeline, PlacedBeats(t_s[::-1], [float(joins)] + [1.0] * (len(rr_ms) - 1))


def follow(
    timeline: Timeline, arrivals_s: Sequence[float], spans_ms: Sequence[tuple[float, float] | None]
) -> tuple[Timeline, list[float | None], list[bool]]:
    """The chain of beats through packets of one connection.

    A beat cannot come after the packet that reports it, so the chain is pulled back whenever it runs ahead of
    an arrival: it settles on the packets that came soonest after their beat. Lost intervals leave the chain
    behind for good: its beats are then older on arrival than any were before. That alone may be a late packet,
    and a missing notification alone may have had no beat to tell of; both together are a gap. Lost time
    becomes a gap, never a long interval.

    Args:
        timeline: as the notification before these left it.
        arrivals_s: when they came, s, on the gateway's clock.
        spans_ms: of each the first interval and the sum of all, ms; None where it has none.

    Returns:
        The new timeline; of each packet the time of its last beat in s, None where it has none, and whether its
        first interval follows the packet before without a gap.
    """
    last_beat_s, before_s, step_s, age_s, suspect, settled = timeline
    last_s: list[float | None] = []
    follows: list[bool] = []
    for arrival_s, span_ms in zip(arrivals_s, spans_ms, strict=True):
        if before_s is not None:
            step_s, is_missing = _step(step_s, arrival_s - before_s)
            suspect = SUSPECT_PACKETS if is_missing else suspect
        before_s = arrival_s
        if span_ms is None:
            last_s.append(None)
            follows.append(False)
            continue
        beat_s, joins, was_settled, settled = arrival_s, False, settled, True
        if last_beat_s is not None:
            first_s, total_s = span_ms[0] / 1000.0, span_ms[1] / 1000.0
            chained_s = last_beat_s + total_s * (1.0 + (DRIFT_MAX if was_settled else CREEP))
            excess_s = arrival_s - last_beat_s - first_s - age_s
            lost = excess_s > 0.0 and suspect > 0
            if lost:
                # The lost beats were about as long as the one behind them.
                chained_s += first_s * math.ceil(excess_s / first_s) if first_s > 0.0 else excess_s
            if arrival_s - chained_s <= LATENESS_S_MAX:
                beat_s = min(chained_s, arrival_s)
                joins = not lost
                settled = chained_s >= arrival_s or (was_settled and not suspect)
            if joins:
                # Rises to nearly the oldest soon, and falls slowly.
                age_s += excess_s * (0.25 if excess_s > 0.0 else 0.001)
        suspect = max(suspect - 1, 0) if joins else 0
        last_beat_s = beat_s
        last_s.append(beat_s)
        follows.append(joins)
    return Timeline(last_beat_s, before_s, step_s, age_s, suspect, settled), last_s, follows


def _step(step_s: float | None, newest_s: float) -> tuple[float, bool]:
    """The usual step when one more is known, and whether a notification is missing within that."""
    if step_s is None:
        step_s, is_missing = newest_s, False
    else:
        is_missing = newest_s > MISSING_STEPS * step_s
    # A running median: one lost notification moves it no more than a late one.
    step_s *= 1.02 if newest_s > step_s else 1.0 / 1.02
    return min(max(step_s, STEP_S_MIN), STEP_S_MAX), is_missing
