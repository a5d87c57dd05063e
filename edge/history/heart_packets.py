"""What the packets of a strap say over a stretch of time, read and judged all at once, column by column.

Contract: beats are what `edge.history.beats` makes of the packets one by one, to the last bit; a test checks that. So
a window of five minutes says the same alone and within the hours around it. A packet that breaks the layout is read
alone, as far as it can be; one that cannot is said so.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from dsp.cardiac import intervals, rhythm
from edge.history.beats import GAP_NS, TOLD_WITHIN_NS, Reader
from edge.store.raw_chunks import NO_BEAT, Columns
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement, RrUnit
from protocols.program import Status

I64: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_NOTHING: Final = HeartRateMeasurement(0)


class Judged(NamedTuple):
    """The packets of a stretch of time, and what is known of their beats.

    Attributes:
        t_ns, rr_ms, follows: of each beat, as `edge.history.beats.Beats` has them.
        normal: of each normal beat: when it was, its interval, and what follows (`dsp.cardiac.intervals.normal`).
        sure: of each beat the probability of atrial fibrillation, by the sure tier.
        rate_ns, rate_bpm: when a packet with a rate that counts arrived, and the rate.
        undecodable_ns: when a packet arrived that cannot be decoded.
    """

    t_ns: F64
    rr_ms: F64
    follows: F64
    normal: tuple[F64, F64, F64]
    sure: F64
    rate_ns: I64
    rate_bpm: I64
    undecodable_ns: I64


class _Readings(NamedTuple):
    """What was decoded, a row for each packet, 0 where it says nothing; and all intervals, end to end."""

    rate_bpm: I64
    is_off: Mask
    is_undecodable: Mask
    intervals: I64
    sizes: I64  # how many of them each packet has


def judge(packets: Columns, unit: RrUnit, first_ns: int, last_ns: int) -> Judged:
    """What the packets that arrive in [first, last) say, if they are read without those before and behind.

    `packets`: of one boot, in the order they came, at least those that arrive in that time.
    """
    arrival_ns, last_beat_ns, lengths, octets = packets
    read = _read(lengths, octets)
    is_wanted = (first_ns <= arrival_ns) & (arrival_ns < last_ns)
    is_telling = is_wanted & (last_beat_ns != NO_BEAT) & (read.sizes > 0)
    t_ns, rr_ms, follows = _beats(arrival_ns, last_beat_ns, read, np.flatnonzero(is_telling), unit)
    counts = is_wanted & (read.rate_bpm > 0) & ~read.is_off
    return Judged(
        t_ns,
        rr_ms,
        follows,
        intervals.normal(intervals.judge_all(rr_ms, follows), t_ns),
        rhythm.screen_all(rr_ms).sure,
        arrival_ns[counts],
        read.rate_bpm[counts],
        arrival_ns[is_wanted & read.is_undecodable],
    )


def _read(lengths: I64, octets: bytes) -> _Readings:
    ends = np.concatenate([[0], np.cumsum(lengths)])
    regular = heart_rate.MEASUREMENT.grouped(np.frombuffer(octets, np.uint8), ends)
    is_odd = regular.status != Status.OK
    read, odd = Reader().read, np.flatnonzero(is_odd)
    alone = [read(octets[ends[packet] : ends[packet + 1]]) for packet in odd.tolist()]
    others = [reading or _NOTHING for reading in alone]
    is_undecodable = np.zeros(lengths.size, np.bool_)
    is_undecodable[odd] = [reading is None for reading in alone]
    rate_bpm = _both(is_odd, regular.values["heart_rate_bpm"], [reading.heart_rate_bpm for reading in others])
    is_off = _both(
        is_odd,
        regular.present["contact"] & ~regular.values["contact"],
        [reading.contact is False for reading in others],
    )
    told = [reading.rr_ticks or () for reading in others]
    ticks = regular.ragged["rr_ticks"]
    sizes = _both(is_odd, np.diff(ticks.offsets), list(map(len, told)))
    all_ticks = _both(np.repeat(is_odd, sizes), ticks.values, [count for counts in told for count in counts])
    return _Readings(rate_bpm, is_off.astype(np.bool_), is_undecodable, all_ticks, sizes)


def _both(is_odd: Mask, regular: npt.NDArray[np.generic], odd: Sequence[int]) -> I64:
    """In the order of the packets what the regular ones have, and what the odd ones have."""
    both = np.empty(is_odd.size, np.int64)
    both[~is_odd], both[is_odd] = regular, odd
    return both


def _beats(
    arrival_ns: I64, last_beat_ns: I64, read: _Readings, telling: I64, unit: RrUnit
) -> tuple[F64, F64, F64]:
    """Times, intervals and what follows, as `edge.history.beats.Beats` adds those of the `telling` packets."""
    counts, sizes = read.intervals, read.sizes[telling]
    sums, ends = np.concatenate([[0], np.cumsum(counts)]), np.cumsum(read.sizes)[telling]
    ms_per_count = heart_rate.MS_PER_COUNT[unit]
    ns_per_count = 1e6 * ms_per_count
    chained_ns = last_beat_ns[telling].astype(float)
    beat_ns = chained_ns - (sums[ends] - sums[ends - sizes]) * ns_per_count
    follows = np.zeros(telling.size)
    follows[1:] = beat_ns[1:] - chained_ns[:-1] <= GAP_NS
    t_ns, of_packet = np.zeros(counts.size), np.full(counts.size, -1)
    for place in range(int(sizes.max(initial=0))):
        # One after the other, as they are added, for the sums are rounded.
        here = np.flatnonzero(sizes > place)
        at = ends[here] - sizes[here] + place
        beat_ns[here] += counts[at] * ns_per_count
        t_ns[at], of_packet[at] = beat_ns[here], here
    real = (of_packet >= 0) & (counts > 0)
    t_ns, counts, of_packet = t_ns[real], counts[real], of_packet[real]
    earliest_ns = np.maximum.accumulate((arrival_ns[telling] - TOLD_WITHIN_NS).astype(float))
    t_ns = np.maximum.accumulate(np.maximum(t_ns, earliest_ns[of_packet]))
    is_first = np.diff(of_packet, prepend=-1) != 0
    return as_f64(t_ns), as_f64(counts * ms_per_count), as_f64(np.where(is_first, follows[of_packet], 1.0))
