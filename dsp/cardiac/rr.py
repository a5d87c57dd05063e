"""RR intervals on a time axis of their own.

A strap sends RR intervals without times, several to a notification, some time after the beats. Adding the
intervals up gives the beats' spacing exactly; the arrival of each packet only bounds where the whole chain
lies. No decision about artefacts is made here.
"""

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
