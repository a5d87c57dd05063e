"""The beats that a strap's packets tell of: when each was, the interval before it, and whether that follows the one
before.

Contract: the same packets give the same beats, whoever asks: the window of five minutes, the rhythm as it comes, and
who analyses a store. An interval of no length is none. Times never fall; a beat that would be longer before its packet
than packets tell is placed that long before it. Nothing is judged here.
"""

import math
from collections.abc import Sequence
from typing import Final

from edge.clock import NS_PER_S
from edge.store.raw_chunks import NO_BEAT, NS_PER_US, Packet
from protocols import heart_rate
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement, RrUnit

# An interval that begins this much later than the last beat does not follow it: beats in between were lost. Otherwise
# the chain of beats moves forward by 2 % of a packet's intervals at most.
GAP_NS: Final = 150_000_000
# A packet holds beats of the seconds before its arrival. A beat that would be longer ago is placed so long before it.
TOLD_WITHIN_NS: Final = 10 * NS_PER_S


class Beats:
    """The beats of packets of one boot, added one packet after the other.

    Attributes:
        t_ns, rr_ms, follows: of each beat when it was, in ns since boot; the interval that ends there; and 1.0 where
            that follows the one before it directly, else 0.0. Who has used them may clear the lists.
        chained_ns: when the last beat was as its packet says; None before there is any, and after a boot.
        newest_ns: of the last beat in `t_ns`.
    """

    def __init__(self, unit: RrUnit, chained_ns: float | None = None, newest_ns: float | None = None) -> None:
        self.t_ns: list[float] = []
        self.rr_ms: list[float] = []
        self.follows: list[float] = []
        self.chained_ns = chained_ns
        self.newest_ns = newest_ns
        self.ms_per_count = heart_rate.MS_PER_COUNT[unit]

    def add(self, counts: Sequence[int], arrival_ns: int, last_beat_ns: int) -> None:
        """Add the beats of a packet that tells of at least one.

        Args:
            counts: its intervals as they were sent, oldest first.
            arrival_ns: when it came, in ns since boot.
            last_beat_ns: when its last beat was.
        """
        # This runs for every packet, so it is written for speed: local names instead of attributes, few calls.
        ms_per_count, t_ns = self.ms_per_count, self.t_ns
        ns_per_count = 1e6 * ms_per_count
        beat_ns = last_beat_ns - sum(counts) * ns_per_count
        follows = 0.0 if self.chained_ns is None or beat_ns - self.chained_ns > GAP_NS else 1.0
        earliest_ns: float = arrival_ns - TOLD_WITHIN_NS
        if self.newest_ns is not None and self.newest_ns > earliest_ns:
            earliest_ns = self.newest_ns
        for count in counts:
            if not count:
                continue  # no time between two beats: not an interval
            beat_ns += count * ns_per_count
            if beat_ns > earliest_ns:
                earliest_ns = beat_ns
            t_ns.append(earliest_ns)
            self.rr_ms.append(count * ms_per_count)
            self.follows.append(follows)
            follows = 1.0
        self.chained_ns = float(last_beat_ns)
        self.newest_ns = float(earliest_ns)


class Reader:
    """Decodes one strap's packets."""

    def __init__(self) -> None:
        self._is_odd = False

    def read(self, payload: bytes) -> HeartRateMeasurement | None:
        """As much of the packet as can be decoded; None if nothing can."""
        try:
            # A strap that sends odd packets sends only such, and the strict decoder takes longer to refuse one than the
            # lenient one to read it.
            if not self._is_odd:
                return heart_rate.decode(payload)
        except DecodeError:
            self._is_odd = True
        try:
            reading, oddities = heart_rate.decode_lenient(payload)
        except DecodeError:
            return None
        self._is_odd = bool(oddities)
        return reading


def first_moment_ns(packets: Sequence[Packet], unit: RrUnit) -> int:
    """The earliest moment that a packet of a chunk tells of, a little early: the store rounds to microseconds."""
    read, ns_per_count = Reader().read, 1e6 * heart_rate.MS_PER_COUNT[unit]
    moment_ns: float = packets[0].arrival_boot_ns
    for payload, arrival_ns, last_beat_ns in packets:
        earliest_ns = arrival_ns - TOLD_WITHIN_NS
        if earliest_ns >= moment_ns:
            break
        reading = None if last_beat_ns == NO_BEAT else read(payload)
        if reading is not None and reading.rr_ticks is not None:
            first_beat_ns = last_beat_ns - sum(reading.rr_ticks[1:]) * ns_per_count
            moment_ns = min(moment_ns, max(first_beat_ns, earliest_ns))
    return math.floor(moment_ns) - NS_PER_US
