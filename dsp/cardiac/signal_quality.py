"""How far an ECG can be trusted: whether two differently tuned detectors see the same beats."""

import numpy as np

from dsp.arrays import F64
from dsp.cardiac import qrs

AGREEMENT_S = 0.15
SECOND_BAND_HZ = (8.0, 25.0)


def second_detector(rate_hz: float) -> F64:
    """State of a QRS detector that is fooled by other noise than the first."""
    return qrs.new_state(rate_hz, *SECOND_BAND_HZ)


def quality(first_s: F64, second_s: F64, starts_s: F64, window_s: float = 10.0) -> F64:
    """Agreement of two detectors in each window: 1 = the same beats, 0 = none in common.

    Args:
        first_s: float64[n], apexes that one found, s, rising.
        second_s: float64[m], apexes that the other found.
        starts_s: float64[w], starts of the windows.
        window_s: their length.

    Returns:
        float64[w]: beats seen by both over beats seen by either; 0 where neither saw any.

    Source: bSQI, Li, Mark and Clifford, Physiol. Meas. 2008;29:15-32 (with 150 ms).
    """
    both = nearest_s(first_s, second_s) <= AGREEMENT_S
    found = np.zeros(starts_s.size)
    for k, start in enumerate(starts_s):
        a = (first_s >= start) & (first_s < start + window_s)
        b = (second_s >= start) & (second_s < start + window_s)
        shared = int((a & both).sum())
        either = int(a.sum()) + int(b.sum()) - shared
        found[k] = min(shared / either, 1.0) if either > 0 else 0.0
    return found


def nearest_s(at_s: F64, others_s: F64) -> F64:
    """Distance of each time to the nearest of others; infinite without any."""
    if others_s.size == 0:
        return np.full(at_s.size, np.inf)
    k = np.searchsorted(others_s, at_s)
    left = np.abs(at_s - others_s[np.maximum(k - 1, 0)])
    right = np.abs(others_s[np.minimum(k, others_s.size - 1)] - at_s)
    return np.minimum(left, right)
