"""A window of heart data, cut out of the stored chunks: RR intervals by the time of their beat, heart rates by
the second of their arrival.
"""

import math
from collections.abc import Iterable

from dsp.arrays import F64, as_f64
from edge.clock import NS_PER_S
from edge.heart_sensor import NO_BEAT
from edge.store import HeartChunk
from protocols import heart_rate
from protocols.heart_rate import RrUnit

# An interval that begins this much after the last beat did not follow it: beats in between were lost. Where none
# were, the chain of beats moves forward by 2 % of a packet's intervals at most.
GAP_NS = 150_000_000


def rr_window(
    chunks: Iterable[HeartChunk], from_boot_ns: int, to_boot_ns: int, unit: RrUnit
) -> tuple[F64, F64]:
    """RR intervals of the beats in [from, to), and whether each follows the one before it without a gap.

    Args:
        chunks: one strap's chunks of one boot, oldest first.
        from_boot_ns: start of the window, ns since boot.
        to_boot_ns: its end, exclusive.
        unit: what the strap counts its intervals in.

    Returns:
        rr_ms float64[n] and follows float64[n], as `dsp.cardiac.hrv.heart_stats` takes them.
    """
    rr_ms: list[float] = []
    follows: list[float] = []
    previous_ns: float = -math.inf
    for chunk in chunks:
        for payload, _, last_beat_ns in packets(chunk):
            if last_beat_ns == NO_BEAT:
                continue
            intervals = heart_rate.intervals_ms(heart_rate.decode(payload), unit)
            starts_ns = last_beat_ns - sum(intervals) * 1e6
            follows_previous = starts_ns - previous_ns <= GAP_NS
            beat_ns = starts_ns
            for interval in intervals:
                beat_ns += interval * 1e6
                if from_boot_ns <= beat_ns < to_boot_ns:
                    rr_ms.append(interval)
                    follows.append(float(follows_previous))
                follows_previous = True
            previous_ns = last_beat_ns
    return as_f64(rr_ms), as_f64(follows)


def rate_window(chunks: Iterable[HeartChunk], from_boot_ns: int, to_boot_ns: int) -> dict[int, int]:
    """What the strap itself took for the heart rate, for the seconds of the window in which it had one.

    Args:
        chunks, from_boot_ns, to_boot_ns: as above; a packet counts where it arrived.

    Returns:
        Whole seconds since the window's start -> beats/min; nothing while the strap knew it was not worn.
    """
    rates: dict[int, int] = {}
    for chunk in chunks:
        for payload, arrival_ns, _ in packets(chunk):
            if from_boot_ns <= arrival_ns < to_boot_ns:
                reading = heart_rate.decode(payload)
                if reading.heart_rate_bpm > 0 and reading.contact is not False:
                    rates[(arrival_ns - from_boot_ns) // NS_PER_S] = reading.heart_rate_bpm
    return rates


def packets(chunk: HeartChunk) -> Iterable[tuple[bytes, int, int]]:
    """Each packet of a chunk: its bytes, its arrival, and its last beat's time in ns since boot or `NO_BEAT`."""
    end = 0
    arrivals, beats = (memoryview(c).cast("q") for c in (chunk.arrival_boot_ns, chunk.last_beat_boot_ns))
    lengths = memoryview(chunk.lengths).cast("H")
    for length, arrival_ns, beat_ns in zip(lengths, arrivals, beats, strict=True):
        start, end = end, end + length
        yield chunk.payloads[start:end], arrival_ns, beat_ns
