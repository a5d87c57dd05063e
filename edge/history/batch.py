"""Hours of a strap's packets judged at once, column by column, for whoever computes a long history anew.

Contract: says what `heart_window.judge` says packet by packet, to the last bit; a test checks that. It is for packets
as the specification has them: where one cannot be decoded, it says nothing of all of them, and they have to be read one
by one. numba decodes them, so nothing of this is for a gateway that runs.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from edge.history.beats import GAP_NS, TOLD_WITHIN_NS
from edge.history.heart_window import Judged, of_beats
from edge.store.raw_chunks import NO_BEAT, Columns
from protocols import heart_rate
from protocols.heart_rate import RrUnit

I64: TypeAlias = npt.NDArray[np.int64]


def is_possible() -> bool:
    """Whether this machine can decode batches."""
    return find_spec("numba") is not None


def judge(parts: Sequence[Columns], unit: RrUnit, first_ns: int, last_ns: int) -> Judged | None:
    """As `heart_window.judge`; None if the packets have to be read one by one."""
    if not parts:
        return None
    arrival_ns, last_beat_ns, lengths = (
        np.concatenate([part[column] for part in parts]) for column in range(3)
    )
    if np.any(np.diff(arrival_ns) <= 0):
        return None
    wanted = slice(*np.searchsorted(arrival_ns, (first_ns, last_ns)))
    ends = np.concatenate([[0], np.cumsum(lengths)])
    octets = np.frombuffer(bytearray(b"".join(part.octets for part in parts)), np.uint8)
    read = heart_rate.MEASUREMENT.columns(octets, ends[wanted.start : wanted.stop + 1])
    if read.status.any():
        return None
    arrival_ns, last_beat_ns = arrival_ns[wanted], last_beat_ns[wanted]
    bpm = read.values["heart_rate_bpm"].astype(np.int64)
    is_off = read.present["contact"] & ~read.values["contact"].astype(bool)
    counts = (bpm > 0) & ~is_off
    intervals = read.ragged["rr_ticks"]
    beats = _beats(arrival_ns, last_beat_ns, intervals.values.astype(np.int64), intervals.offsets, unit)
    return of_beats(*beats, arrival_ns[counts], bpm[counts], np.zeros(0, np.int64))


def _beats(
    arrival_ns: I64, last_beat_ns: I64, counts: I64, offsets: npt.NDArray[np.int32], unit: RrUnit
) -> tuple[F64, F64, F64]:
    """Times, intervals and what follows, as `edge.history.beats.Beats` adds them; `counts` of packet k begin at
    `offsets[k]`."""
    sizes = np.diff(offsets)
    telling = np.flatnonzero((last_beat_ns != NO_BEAT) & (sizes > 0))
    starts, sizes = offsets[:-1][telling], sizes[telling]
    ms_per_count = heart_rate.MS_PER_COUNT[unit]
    ns_per_count = 1e6 * ms_per_count
    sums = np.concatenate([[0], np.cumsum(counts)])
    chained_ns = last_beat_ns[telling].astype(float)
    beat_ns = chained_ns - (sums[starts + sizes] - sums[starts]) * ns_per_count
    follows = np.zeros(telling.size)
    follows[1:] = beat_ns[1:] - chained_ns[:-1] <= GAP_NS
    t_ns, of_packet = np.zeros(counts.size), np.full(counts.size, -1)
    for place in range(int(sizes.max(initial=0))):
        # One after the other, as they are added, for the sums are rounded.
        here = np.flatnonzero(sizes > place)
        beat_ns[here] += counts[starts[here] + place] * ns_per_count
        t_ns[starts[here] + place] = beat_ns[here]
        of_packet[starts[here] + place] = here
    real = (of_packet >= 0) & (counts > 0)
    t_ns, counts, of_packet = t_ns[real], counts[real], of_packet[real]
    earliest_ns = (arrival_ns[telling] - TOLD_WITHIN_NS).astype(float)
    t_ns = np.maximum.accumulate(np.maximum(t_ns, earliest_ns[of_packet]))
    is_first = np.diff(of_packet, prepend=-1) != 0
    return as_f64(t_ns), as_f64(counts * ms_per_count), as_f64(np.where(is_first, follows[of_packet], 1.0))
