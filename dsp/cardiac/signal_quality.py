"""How far an ECG can be trusted: whether two differently tuned detectors see the same beats."""

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs

# In noise a detector fires three times a second: within 150 ms two of them would agree by chance.
AGREEMENT_S = 0.1
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

    Source: bSQI, Li, Mark and Clifford, Physiol. Meas. 2008;29:15-32 (150 ms there).
    """
    is_shared = nearest_s(first_s, second_s) <= AGREEMENT_S
    shared_before = np.concatenate([[0], np.cumsum(is_shared)])
    (begin, end), (second_begin, second_end) = (
        [np.searchsorted(beats_s, starts_s + after_s) for after_s in (0.0, window_s)]
        for beats_s in (first_s, second_s)
    )
    shared = shared_before[end] - shared_before[begin]
    either = (end - begin) + (second_end - second_begin) - shared
    return as_f64(np.minimum(shared / np.maximum(either, 1), 1.0))


def nearest_s(at_s: F64, others_s: F64) -> F64:
    """Distance of each time to the nearest of others; infinite without any."""
    if others_s.size == 0:
        return np.full(at_s.size, np.inf)
    k = np.searchsorted(others_s, at_s)
    left = np.abs(at_s - others_s[np.maximum(k - 1, 0)])
    right = np.abs(others_s[np.minimum(k, others_s.size - 1)] - at_s)
    return np.minimum(left, right)
