"""How far a strap's RR stream runs behind its ECG stream."""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64

BIN_S = 0.02
MATCH_S = 0.08


class Alignment(NamedTuple):
    """Where two series of beats coincide; NaN and 0 if they do not."""

    delay_s: float  # of the RR stream behind the ECG
    matched: int  # beats of the RR stream that lie on one of the ECG
    spread_ms: float  # median distance of the matched


def align(ecg_s: F64, rr_s: F64, reach_s: float = 10.0) -> Alignment:
    """Delay at which most beats coincide.

    Args:
        ecg_s: float64[n], apexes, s, rising.
        rr_s: float64[m], beats of the RR stream on its own time axis, s, rising. Both axes may drift by a few
            10 ms over the stretch: align a minute or a few at a time.
        reach_s: largest delay looked for, either way.
    """
    nothing = Alignment(float("nan"), 0, float("nan"))
    first = np.searchsorted(ecg_s, rr_s - reach_s)
    last = np.searchsorted(ecg_s, rr_s + reach_s)
    if not (last > first).any():
        return nothing
    delays = np.concatenate([t - ecg_s[a:b] for t, a, b in zip(rr_s, first, last, strict=True)])
    counts, edges = np.histogram(delays, np.arange(-reach_s, reach_s + BIN_S, BIN_S))
    peak = int(np.argmax(np.convolve(counts, np.ones(3), "same")))
    delay_s = edges[peak] + 0.5 * BIN_S
    for _ in range(2):
        near = delays[np.abs(delays - delay_s) <= MATCH_S]
        if near.size < 3:
            return nothing
        delay_s = float(np.median(near))
    spread_ms = 1000.0 * float(np.median(np.abs(near - delay_s)))
    return Alignment(delay_s, int(near.size), spread_ms)
