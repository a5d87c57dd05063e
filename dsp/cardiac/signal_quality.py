"""How far an ECG can be trusted: whether two differently tuned detectors see the same beats, and see them clearly."""

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs

# In noise a detector fires three times a second: within 150 ms two of them would agree by chance.
AGREEMENT_S = 0.1
SECOND_BAND_HZ = (8.0, 25.0)
GOOD = 0.85
# Of what passes for a complex in noise, half is less than 1.2 to 1.35 times the threshold; of complexes, 1.6 and more.
CLEAR = 1.4

Flags = npt.NDArray[np.bool_]


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


def good(quality: F64, first_s: F64, prominence: F64, starts_s: F64, window_s: float = 10.0) -> Flags:
    """Windows in which beats and intervals can be believed: `quality` is good, and most complexes are prominent.

    In nothing but noise, one window in ten may still look like that: fewer than three in a row do not count.

    Args:
        quality: float64[w], of the windows.
        first_s: float64[n], apexes that the first detector found, s, rising.
        prominence: float64[n], of its complexes.
        starts_s: float64[w], starts of the windows, which may overlap.
        window_s: their length.
    """
    is_good = quality >= GOOD
    for k, start in enumerate(starts_s):
        inside = prominence[slice(*np.searchsorted(first_s, [start, start + window_s]))]
        is_good[k] = is_good[k] and np.median(inside) >= CLEAR
    beside = np.pad(is_good, 1, constant_values=True)
    middle = np.pad(beside[:-2] & is_good & beside[2:], 1)
    return np.asarray(middle[:-2] | middle[1:-1] | middle[2:])


def nearest_s(at_s: F64, others_s: F64) -> F64:
    """Distance of each time to the nearest of others; infinite without any."""
    if others_s.size == 0:
        return np.full(at_s.size, np.inf)
    k = np.searchsorted(others_s, at_s)
    left = np.abs(at_s - others_s[np.maximum(k - 1, 0)])
    right = np.abs(others_s[np.minimum(k, others_s.size - 1)] - at_s)
    return np.minimum(left, right)
