"""Sample entropy and detrended fluctuation analysis of NN intervals.

Where tools differ, this is what is meant here:

| choice | here | elsewhere |
|---|---|---|
| SampEn | m = 2, r = 0.2 SD (n - 1), strictly closer than r, n - m templates for both counts | `<=`; SD with n |
| DFA a1 | boxes of 4 to 16 beats, every size, not overlapping | NeuroKit2: 4 to 11, overlapping; Kubios: 4 to 12 |
| DFA a2 | boxes of 16 to 64 beats | to n / 10, or n / 4 |
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, SUMS_IN_ANY_ORDER
from dsp.compiled import njit

I64: TypeAlias = npt.NDArray[np.int64]

BINS_PER_TOLERANCE = 8  # by which sample entropy sorts its templates


@njit
def sample_entropy(x: F64, follows: F64, m: float, r: float) -> float:
    """Sample entropy: minus the log of the share of alike templates that stay alike one value longer.

    Args:
        x: float64[n], in any unit.
        follows: float64[n], 1.0 where a value follows the one before it directly: no template spans a gap.
        m: length of the templates, a whole number.
        r: tolerance in the unit of x; templates are alike if every difference is strictly smaller.

    Returns:
        Nats; NaN if nothing is alike, or nothing stays so, and where x is not finite or r not above 0.

    Source: Richman and Moorman, Am. J. Physiol. 2000;278:H2039-H2049; agrees with PhysioNet's sampen 1.0.
    """
    if not (0.0 <= m <= x.size and 0.0 < r < np.inf):
        return np.nan
    length = int(m)
    count = x.size - length
    low, high = np.inf, -np.inf
    finite = 0
    for value in x:
        low, high = min(low, value), max(high, value)
        finite += abs(value) < np.inf
    span = high - low
    if count < 2 or finite < x.size or not span < np.inf:
        return np.nan
    # Templates in bins: one that is alike starts in the same bin or in one of the next few (and one more, for
    # rounding).
    width = max(r / BINS_PER_TOLERANCE, span / count)
    if not width > 0.0:
        return np.nan
    bins = int(span / width) + 2
    starts = np.zeros(bins + 1, np.int64)
    bin_of = np.full(count, -1)
    for i in range(count):
        whole = True
        for k in range(1, length + 1):
            whole &= follows[i + k] == 1.0
        if whole:
            bin_of[i] = int((x[i] - low) / width)
            starts[bin_of[i] + 1] += 1
    for b in range(bins):
        starts[b + 1] += starts[b]
    templates = np.empty((length + 1, starts[bins]))
    ends = starts.copy()
    for i in range(count):
        if bin_of[i] >= 0:
            for k in range(length + 1):
                templates[k, ends[bin_of[i]]] = x[i + k]
            ends[bin_of[i]] += 1
    matches, longer = _alike(templates, starts, int(r / width) + 2, r)
    if matches == 0.0 or longer == 0.0:
        return np.nan
    return float(np.log(matches / longer))


@njit(fastmath=SUMS_IN_ANY_ORDER)
def _alike(templates: F64, starts: I64, reach: int, r: float) -> tuple[float, float]:
    """Pairs of alike templates, and of those that stay alike one value longer.

    `templates` holds the first values of all, then the second, and so on, in bins by the first; `starts` says
    where each bin begins, and alike ones lie within `reach` bins. Each is compared with all later ones at once,
    without a branch: so the compiler makes vectors of them.
    """
    length = templates.shape[0] - 1
    matches = longer = 0.0
    same = np.empty(templates.shape[1])
    for b in range(starts.size - 1):
        end = starts[min(b + reach, starts.size - 1)]
        for p in range(starts[b], starts[b + 1]):
            alike = same[: end - p - 1]
            alike[:] = 1.0
            for k in range(length):
                later, own = templates[k, p + 1 : end], templates[k, p]
                for q in range(alike.size):
                    alike[q] = alike[q] if abs(later[q] - own) < r else 0.0
            later, own = templates[length, p + 1 : end], templates[length, p]
            for q in range(alike.size):
                matches += alike[q]
                longer += alike[q] if abs(later[q] - own) < r else 0.0
    return matches, longer


@njit
def dfa_fluctuation(x: F64, box: float) -> float:
    """Root mean square of the summed deviations of x, detrended by a line in each box.

    Args:
        x: float64[n], in any unit.
        box: beats per box, a whole number >= 3; what does not fill a box at the end is left out.

    Returns:
        F(box) in the unit of x; NaN for fewer beats than one box, and for smaller boxes.

    Source: Peng et al., Chaos 1995;5:82-87, eq. 1; boxes do not overlap, as in PhysioNet's dfa.
    """
    if not 3.0 <= box <= x.size:
        return np.nan
    return _fluctuation(_profile(x), int(box))


@njit
def dfa_alpha(x: F64, first: float, last: float) -> float:
    """Scaling exponent: slope of log F(n) against log n, n = first, first + 1, ... last.

    Args:
        x: float64[n], in any unit.
        first: smallest box in beats, a whole number >= 3.
        last: largest; a1 is 4 to 16, a2 16 to 64.

    Returns:
        The slope; NaN for fewer than 4 of the largest box, for fewer than two sizes, and if x does not vary.

    Source: Peng et al., Chaos 1995;5:82-87.
    """
    if not 3.0 <= first <= last <= x.size / 4:
        return np.nan
    low, high = int(first), int(last)
    profile = _profile(x)
    count = high - low + 1
    log_n = np.empty(count)
    log_f = np.empty(count)
    total = 0.0
    for k in range(count):
        f = _fluctuation(profile, low + k)
        if not f > 0.0:
            return np.nan
        log_n[k] = np.log(low + k)
        log_f[k] = np.log(f)
        total += log_n[k]
    rise = squares = 0.0
    for k in range(count):
        d = log_n[k] - total / count
        rise += d * log_f[k]
        squares += d * d
    return float(rise / squares) if count > 1 else np.nan


@njit
def _profile(x: F64) -> F64:
    """Summed deviations from the mean, of at least one value."""
    base = x[0]
    total = 0.0
    for value in x:
        total += value - base
    mean = total / x.size
    profile = np.empty(x.size)
    total = 0.0
    for k in range(x.size):
        total += (x[k] - base) - mean  # zero if all are the same
        profile[k] = total
    return profile


@njit
def _fluctuation(profile: F64, box: int) -> float:
    boxes = profile.size // box
    if boxes == 0:
        return np.nan
    residual = 0.0
    for b in range(boxes):
        residual += _residual(profile[b * box : (b + 1) * box])
    return float(np.sqrt(residual / (boxes * box)))


@njit(fastmath=SUMS_IN_ANY_ORDER)
def _residual(y: F64) -> float:
    """Sum of squares about the line that fits best."""
    box = y.size
    middle = 0.5 * (box - 1)
    base = y[0]
    total = tilt = squares = 0.0
    for i in range(box):
        d = y[i] - base
        total += d
        tilt += (i - middle) * d
        squares += d * d
    return max(squares - total * total / box - 12.0 * tilt * tilt / (box * (box * box - 1.0)), 0.0)
