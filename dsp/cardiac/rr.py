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

    A beat cannot come after the packet that reports it, so the chain is pulled back whenever it runs ahead of
    an arrival: it settles on the packets that came soonest after their beat. Lost intervals leave the chain
    behind for good: its beats are then older on arrival than any were before. That alone may be a late packet,
    and a missing notification alone may have had no beat to tell of; both together are a gap. Lost time
    becomes a gap, never a long interval.

    Args:
        timeline: as the notification before left it.
        arrival_s: when the notification came, s, on the gateway's clock.
        rr_ms: its intervals, greater than 0, oldest first; may be empty, but should be told of nevertheless.

    Returns:
        The new timeline; the time of each beat in s, and `follows` as the rest of dsp.cardiac takes it.
    """
    timeline = _arrived(timeline, arrival_s)
    if not rr_ms:
        return timeline, PlacedBeats([], [])
    rr_s, first_s = sum(rr_ms) / 1000.0, rr_ms[0] / 1000.0
    joins, beat_s, age_s, settled = False, arrival_s, timeline.age_s, True
    if timeline.last_beat_s is not None:
        chained_s = timeline.last_beat_s + rr_s * (1.0 + (DRIFT_MAX if timeline.settled else CREEP))
        excess_s = arrival_s - timeline.last_beat_s - first_s - age_s
        lost = excess_s > 0.0 and timeline.suspect > 0
        if lost:
            # The lost beats were about as long as the one behind them.
            chained_s += first_s * math.ceil(excess_s / first_s) if first_s > 0.0 else excess_s
        if arrival_s - chained_s <= LATENESS_S_MAX:
            beat_s = min(chained_s, arrival_s)
            joins = not lost
            settled = chained_s >= arrival_s or (timeline.settled and not timeline.suspect)
        if joins:
            # Rises to nearly the oldest soon, and falls slowly.
            age_s += excess_s * (0.25 if excess_s > 0.0 else 0.001)
    t_s = [beat_s]
    for interval_ms in reversed(rr_ms[1:]):
        t_s.append(t_s[-1] - interval_ms / 1000.0)
    suspect = max(timeline.suspect - 1, 0) if joins else 0
    timeline = timeline._replace(last_beat_s=beat_s, age_s=age_s, suspect=suspect, settled=settled)
    return timeline, PlacedBeats(t_s[::-1], [float(joins)] + [1.0] * (len(rr_ms) - 1))


def _arrived(timeline: Timeline, arrival_s: float) -> Timeline:
    """The timeline when a notification has come: the usual step, and whether one before it is missing."""
    step_s, suspect = timeline.step_s, timeline.suspect
    if timeline.arrival_s is not None:
        newest_s = arrival_s - timeline.arrival_s
        if step_s is None:
            step_s = newest_s
        elif newest_s > MISSING_STEPS * step_s:
            suspect = SUSPECT_PACKETS
        # A running median: one lost notification moves it no more than a late one.
        step_s *= 1.02 if newest_s > step_s else 1.0 / 1.02
        step_s = min(max(step_s, STEP_S_MIN), STEP_S_MAX)
    return timeline._replace(arrival_s=arrival_s, step_s=step_s, suspect=suspect)
