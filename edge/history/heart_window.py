"""A window of heart data, computed from the stored packets: RR intervals by the time of their beat, heart rates by the
second of their arrival.

Contract: a beat belongs to the one window that contains its moment, wherever the chunks begin and end. If the strap
sends intervals, the statistics are made from them; if it sends none, from the heart rates that it sends. A packet that
cannot be decoded is skipped and counted. This module writes nothing, and does not check whether the window is over.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Final

from dsp.arrays import F64, as_f64
from dsp.cardiac.hrv import heart_stats
from edge.anchors import Span, Timeline
from edge.clock import NS_PER_S
from edge.history.body import Body, Computed, number
from edge.history.bounds import Bounds
from edge.sensors.heart_reading import rr_unit
from edge.store.raw_chunks import NO_BEAT, NS_PER_US, HeartChunk, Packet
from edge.store.tables import Tables
from protocols import heart_rate
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement, RrUnit

# An interval that begins this much later than the last beat does not follow it: beats in between were lost. Otherwise
# the chain of beats moves forward by 2 % of a packet's intervals at most.
GAP_NS: Final = 150_000_000
# A packet holds beats of the seconds before its arrival. A beat that would be longer ago is placed so long before it.
TOLD_WITHIN_NS: Final = 10 * NS_PER_S

EMPTY: Final[Body] = {
    "hr_mean_bpm": None,
    "hr_min_bpm": None,
    "hr_max_bpm": None,
    "sdnn_ms": None,
    "rmssd_ms": None,
    "beats": 0,
    "coverage_pct": 0.0,
}


def compute(tables: Tables, timeline: Timeline, sensor_no: int, bounds: Bounds) -> Computed:
    """The summary of the window, from all boots that lie in it or overlap it."""
    window = Window(rr_unit(tables, sensor_no))
    for span in timeline.spans(bounds.start_utc_s * NS_PER_S, bounds.end_utc_s * NS_PER_S):
        until_ns = span.to_boot_ns + TOLD_WITHIN_NS
        window.add(tables.raw_chunks.between(sensor_no, span.boot_no, span.from_boot_ns, until_ns), span)
    length_s = bounds.end_utc_s - bounds.start_utc_s
    if window.rr_ms:
        return Computed(
            _intervals_body(as_f64(window.rr_ms), as_f64(window.follows), length_s), True, window.undecodable
        )
    if window.rates_bpm:
        return Computed(_rates_body(window.rates_bpm, length_s), True, window.undecodable)
    return Computed(EMPTY, False, window.undecodable)


class Window:
    """The data of one window, added part by part.

    Attributes:
        rr_ms, follows: as `dsp.cardiac.hrv.heart_stats` takes them.
        rates_bpm: the heart rates that the strap sent, one for each second in which it was worn and had a rate. They
            are collected only until there is an interval.
        undecodable: how many packets cannot be decoded.
    """

    def __init__(self, unit: RrUnit) -> None:
        self.rr_ms: list[float] = []
        self.follows: list[float] = []
        self.rates_bpm: list[int] = []
        self.undecodable = 0
        self._ms_per_count = heart_rate.MS_PER_COUNT[unit]
        self._read = _Reader().read

    def add(self, chunks: Iterable[HeartChunk], span: Span) -> None:
        """Add the data of a part of the window. Its first interval does not follow another one.

        Args:
            chunks: all chunks of the strap, of this boot, that may hold data of the part; oldest first.
            span: the part.
        """
        # This runs for every packet, so it is written for speed: local names instead of attributes, few calls.
        _, from_ns, to_ns = span
        until_ns = to_ns + TOLD_WITHIN_NS
        rr_ms, follows, read = self.rr_ms, self.follows, self._read
        ms_per_count = self._ms_per_count
        ns_per_count = 1e6 * ms_per_count
        rates: dict[int, int] = {}
        previous_ns: float = -math.inf
        was_inside = False
        for chunk in chunks:
            for payload, arrival_ns, last_beat_ns in chunk.packets:
                if not from_ns <= arrival_ns < until_ns:
                    continue
                reading = read(payload)
                if reading is None:
                    self.undecodable += 1
                    continue
                if (
                    not rr_ms
                    and arrival_ns < to_ns
                    and reading.heart_rate_bpm
                    and reading.contact is not False
                ):
                    rates[(arrival_ns - from_ns) // NS_PER_S] = reading.heart_rate_bpm
                counts = reading.rr_ticks
                if last_beat_ns == NO_BEAT or counts is None:
                    continue
                beat_ns = last_beat_ns - sum(counts) * ns_per_count
                follows_previous = was_inside and beat_ns - previous_ns <= GAP_NS
                earliest_ns = arrival_ns - TOLD_WITHIN_NS
                for count in counts:
                    if not count:
                        continue  # no time between two beats: not an interval
                    beat_ns += count * ns_per_count
                    was_inside = from_ns <= (beat_ns if beat_ns > earliest_ns else earliest_ns) < to_ns
                    if was_inside:
                        rr_ms.append(count * ms_per_count)
                        follows.append(1.0 if follows_previous else 0.0)
                    follows_previous = was_inside
                previous_ns = last_beat_ns
        self.rates_bpm += rates.values()


def first_moment_ns(packets: Sequence[Packet], unit: RrUnit) -> int:
    """The earliest moment that a packet of a chunk tells of, a little early: the store rounds to microseconds."""
    read, ns_per_count = _Reader().read, 1e6 * heart_rate.MS_PER_COUNT[unit]
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


class _Reader:
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


def _intervals_body(rr_ms: F64, follows: F64, length_s: int) -> Body:
    stats = heart_stats(rr_ms, follows)
    return {
        "hr_mean_bpm": number(stats.hr_mean_bpm),
        "hr_min_bpm": number(stats.hr_min_bpm),
        "hr_max_bpm": number(stats.hr_max_bpm),
        "sdnn_ms": number(stats.sdnn_ms),
        "rmssd_ms": number(stats.rmssd_ms),
        "beats": int(rr_ms.size),
        "coverage_pct": min(100.0, float(stats.covered_ms) / (10.0 * length_s)),
    }


def _rates_body(rates_bpm: Sequence[int], length_s: int) -> Body:
    """The body of a window in which the strap sent no intervals."""
    return {
        "hr_mean_bpm": fmean(rates_bpm),
        "hr_min_bpm": float(min(rates_bpm)),
        "hr_max_bpm": float(max(rates_bpm)),
        "sdnn_ms": None,
        "rmssd_ms": None,
        "beats": 0,
        "coverage_pct": min(100.0, 100.0 * len(rates_bpm) / length_s),
    }
