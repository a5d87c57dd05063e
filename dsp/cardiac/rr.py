"""RR intervals on a time axis of their own.

A strap sends RR intervals without times, several to a notification, some time after the beats. Adding the
intervals up gives the beats' spacing exactly; the arrival of each packet only bounds where the whole chain
lies. No decision about artefacts is made here.
"""

from collections.abc import Sequence
from typing import NamedTuple

# A strap that sends once a second is at most about one second late; a lost packet shows as a lateness that
# stays. The margin covers RR intervals carried over to the next packet.
LATENESS_S_MAX = 2.5
# How fast the chain may drift against the gateway's clock: crystals are within 50 ppm each.
DRIFT_MAX = 1e-4


class Timeline(NamedTuple):
    """Where the chain of beats of one connection stands: the last beat's time in s, None before the first."""

    last_beat_s: float | None = None


def place(timeline: Timeline, arrival_s: float, rr_s: float) -> tuple[Timeline, float]:
    """Time of the last beat of a packet, and the timeline after it.

    A beat cannot come after the packet that reports it, so the chain is pulled back whenever it runs ahead of
    an arrival: it settles on the packets that came soonest after their beat. A packet later than
    `LATENESS_S_MAX` means that packets before it were lost: the chain starts anew at this arrival, and the
    lost time becomes a gap, never a long interval.

    Args:
        timeline: as the packet before left it.
        arrival_s: when the packet came, s, on the gateway's clock.
        rr_s: sum of the packet's RR intervals, s; greater than 0.

    Returns:
        The new timeline, and the time of the packet's last beat in s on the gateway's clock.
    """
    beat_s = arrival_s
    if timeline.last_beat_s is not None:
        chained_s = timeline.last_beat_s + rr_s * (1.0 + DRIFT_MAX)
        if arrival_s - chained_s <= LATENESS_S_MAX:
            beat_s = min(chained_s, arrival_s)
    return Timeline(beat_s), beat_s


class PlacedBeats(NamedTuple):
    """Beats of one packet on the time axis."""

    t_s: list[float]
    follows: list[float]  # 0.0 where a gap or nothing comes before, else 1.0


def unpack(timeline: Timeline, arrival_s: float, rr_ms: Sequence[float]) -> tuple[Timeline, PlacedBeats]:
    """All beats of a packet, and whether they follow the packet before without a gap.

    Args:
        timeline: as the packet before left it.
        arrival_s: when the packet came, s, on the gateway's clock.
        rr_ms: its intervals, oldest first; may be empty.

    Returns:
        The new timeline; the time of each beat in s, and `follows` as the rest of dsp.cardiac takes it. Lost
        packets show as one 0.0, never as a long interval.
    """
    if not rr_ms:
        return timeline, PlacedBeats([], [])
    rr_s = sum(rr_ms) / 1000.0
    after, beat_s = place(timeline, arrival_s, rr_s)
    t_s = [beat_s]
    for interval_ms in reversed(rr_ms[1:]):
        t_s.append(t_s[-1] - interval_ms / 1000.0)
    last_s = timeline.last_beat_s
    joins = last_s is not None and arrival_s - last_s - rr_s * (1.0 + DRIFT_MAX) <= LATENESS_S_MAX
    return after, PlacedBeats(t_s[::-1], [float(joins)] + [1.0] * (len(rr_ms) - 1))
