"""Time-domain and Poincaré measures of NN intervals.

Where tools differ, this is what is meant here:

| measure | here | elsewhere |
|---|---|---|
| SDNN | n - 1 in the denominator | HeartPy: n |
| SDSD | of signed differences, n - 1 | HeartPy, pyHRV: of absolute differences; hrv-analysis: n |
| pNN50, pNN20 | %, of the differences, more than 50 (20) ms | NeuroKit2: of the intervals; HeartPy: fraction |
| SD1, SD2 | SDSD / sqrt 2; SD of sums of pairs / sqrt 2 (n - 1) | SD2 from SDNN and SDSD, n in the denominator |
| triangular index | bins of 1/128 s, centred on multiples of it | bins from the shortest interval |

Differences and pairs are taken only within runs of intervals that follow each other: never across a gap or a
corrected beat.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit


class TimeDomain(NamedTuple):
    """Measures of one window; NaN where it holds too little."""

    beats: float
    mean_nn_ms: float
    hr_mean_bpm: float
    sdnn_ms: float
    rmssd_ms: float
    sdsd_ms: float
    pnn50_pct: float
    pnn20_pct: float
    sd1_ms: float
    sd2_ms: float
    triangular_index: float


@njit
def time_domain(nn_ms: F64, follows: F64) -> TimeDomain:
    """Mean, SDNN, RMSSD, SDSD, pNN50, pNN20, SD1, SD2 and triangular index.

    Args:
        nn_ms: float64[n], ms, normal beats only, oldest first.
        follows: float64[n], 1.0 where an interval follows the one before it directly; the first is not looked at.

    Returns:
        As named, in the units named; the conventions stand in the module's table. NaN: all but `beats` without
        intervals that take time (n = 0, or a mean not above 0), SDNN for n < 2, RMSSD and pNN without a pair, SDSD,
        SD1 and SD2 without two pairs.

    Source: Task Force of ESC and NASPE, Circulation 1996;93:1043-1065, table 1.
    """
    n = nn_ms.size
    base_ms = nn_ms[0] if n > 0 else np.nan
    total = 0.0
    for nn in nn_ms:
        total += nn - base_ms
    mean_ms = base_ms + total / max(n, 1)  # exact if all are the same: no spread from rounding
    if not 0.0 < mean_ms < np.inf:
        nan = np.nan
        return TimeDomain(n * 1.0, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan)
    deviations = 0.0
    squares = 0.0
    difference = 0.0
    pair_sum = 0.0
    pairs = 0
    over_50 = 0
    over_20 = 0
    for k in range(n):
        deviations += (nn_ms[k] - mean_ms) ** 2
        if k > 0 and follows[k] == 1.0:
            step = nn_ms[k] - nn_ms[k - 1]
            squares += step * step
            difference += step
            pair_sum += (nn_ms[k] - base_ms) + (nn_ms[k - 1] - base_ms)
            pairs += 1
            over_50 += abs(step) > 50.0
            over_20 += abs(step) > 20.0
    sdnn_ms = np.sqrt(deviations / (n - 1)) if n > 1 else np.nan
    rmssd_ms = np.nan
    pnn50_pct = np.nan
    pnn20_pct = np.nan
    if pairs > 0:
        rmssd_ms = np.sqrt(squares / pairs)
        pnn50_pct = 100.0 * over_50 / pairs
        pnn20_pct = 100.0 * over_20 / pairs
    sdsd_ms = np.nan
    sd2_ms = np.nan
    if pairs > 1:
        sdsd_ms, sd2_ms = _pair_spread(
            nn_ms, follows, difference / pairs, 2.0 * base_ms + pair_sum / pairs, pairs
        )
    return TimeDomain(
        n * 1.0,
        mean_ms,
        60000.0 / mean_ms,
        sdnn_ms,
        rmssd_ms,
        sdsd_ms,
        pnn50_pct,
        pnn20_pct,
        sdsd_ms / np.sqrt(2.0),
        sd2_ms,
        _triangular_index(nn_ms),
    )


@njit
def _pair_spread(
    nn_ms: F64, follows: F64, mean_difference: float, mean_sum: float, pairs: int
) -> tuple[float, float]:
    """SD of the differences, and of the sums over sqrt 2, of neighbours."""
    differences = 0.0
    sums = 0.0
    for k in range(1, nn_ms.size):
        if follows[k] == 1.0:
            differences += (nn_ms[k] - nn_ms[k - 1] - mean_difference) ** 2
            sums += (nn_ms[k] + nn_ms[k - 1] - mean_sum) ** 2
    return np.sqrt(differences / (pairs - 1)), np.sqrt(sums / (pairs - 1) / 2.0)


@njit
def _triangular_index(nn_ms: F64) -> float:
    """Number of intervals over the height of their histogram; intervals above 8 s share the last bin."""
    counts = np.zeros(1025, np.int64)
    highest = 0
    for nn in nn_ms:
        at = int(min(max(np.floor(nn * 0.128 + 0.5), 0.0), 1024.0))
        counts[at] += 1
        highest = max(highest, counts[at])
    return nn_ms.size / highest
