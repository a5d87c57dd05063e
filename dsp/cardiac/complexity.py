"""Sample entropy and detrended fluctuation analysis of NN intervals.

Where tools differ, this is what is meant here:

| choice | here | elsewhere |
|---|---|---|
| SampEn | m = 2, r = 0.2 SD (n - 1), strictly closer than r, n - m templates for both counts | `<=`; SD with n |
| DFA a1 | boxes of 4 to 16 beats, every size, not overlapping | NeuroKit2: 4 to 11, overlapping; Kubios: 4 to 12 |
| DFA a2 | boxes of 16 to 64 beats | to n / 10, or n / 4 |
"""

import numpy as np
from numba import njit

from dsp.arrays import F64


@njit(cache=True)
def sample_entropy(x: F64, follows: F64, m: float, r: float) -> float:
    """Sample entropy: minus the log of the share of alike templates that stay alike one value longer.

    Args:
        x: float64[n], in any unit.
        follows: float64[n], 1.0 where a value follows the one before it directly: no template spans a gap.
        m: length of the templates, a whole number.
        r: tolerance in the unit of x; templates are alike if every difference is strictly smaller.

    Returns:
        Nats; NaN if nothing is alike, or nothing stays so.

    Source: Richman and Moorman, Am. J. Physiol. 2000;278:H2039-H2049; agrees with PhysioNet's sampen 1.0.
    """
    n = x.size
    length = int(m)
    whole = np.zeros(max(n, 1), np.int64)  # 1 where a template and the value after it exist
    holes = 0
    for i in range(n - length):
        ok = 1
        for k in range(1, length + 1):
            if follows[i + k] != 1.0:
                ok = 0
        whole[i] = ok
        holes += 1 - ok
    near = np.empty(max(n, 1), np.int64)
    alike = np.empty(max(n, 1), np.int64)
    matches = 0
    longer = 0
    # By lag: one row of comparisons each, then shifted rows are combined; both are vector code.
    for lag in range(1, n - length):
        for i in range(n - lag):
            near[i] = abs(x[i] - x[i + lag]) < r
        rows = n - length - lag
        for i in range(rows):
            alike[i] = near[i]
        for k in range(1, length):
            for i in range(rows):
                alike[i] &= near[i + k]
        if holes > 0:
            for i in range(rows):
                alike[i] &= whole[i] & whole[i + lag]
        found = 0
        kept = 0
        for i in range(rows):
            found += alike[i]
            kept += alike[i] & near[i + length]
        matches += found
        longer += kept
    if matches == 0 or longer == 0:
        return np.nan
    return float(-np.log(longer / matches))


@njit(cache=True)
def dfa_fluctuation(x: F64, box: float) -> float:
    """Root mean square of the summed deviations of x, detrended by a line in each box.

    Args:
        x: float64[n], in any unit.
        box: beats per box, a whole number >= 3; what does not fill a box at the end is left out.

    Returns:
        F(box) in the unit of x; NaN for fewer beats than one box.

    Source: Peng et al., Chaos 1995;5:82-87, eq. 1; boxes do not overlap, as in PhysioNet's dfa.
    """
    return _fluctuation(_profile(x), int(box))


@njit(cache=True)
def dfa_alpha(x: F64, first: float, last: float) -> float:
    """Scaling exponent: slope of log F(n) against log n, n = first, first + 1, ... last.

    Args:
        x: float64[n], in any unit.
        first: smallest box in beats, a whole number >= 3.
        last: largest; a1 is 4 to 16, a2 16 to 64.

    Returns:
        The slope; NaN for fewer than 4 of the largest box, and if x does not vary.

    Source: Peng et al., Chaos 1995;5:82-87.
    """
    low, high = int(first), int(last)
    if x.size < 4 * high:
        return np.nan
    profile = _profile(x)
    count = high - low + 1
    log_n = np.empty(count)
    log_f = np.empty(count)
    for k in range(count):
        f = _fluctuation(profile, low + k)
        if not f > 0.0:
            return np.nan
        log_n[k] = np.log(low + k)
        log_f[k] = np.log(f)
    log_n -= log_n.mean()
    return float((log_n * log_f).sum() / (log_n * log_n).sum())


@njit(cache=True)
def _profile(x: F64) -> F64:
    mean = x.mean() if x.size > 0 else 0.0
    profile = np.empty(x.size)
    total = 0.0
    for k in range(x.size):
        total += x[k] - mean
        profile[k] = total
    return profile


@njit(cache=True)
def _fluctuation(profile: F64, box: int) -> float:
    boxes = profile.size // box
    if boxes == 0:
        return np.nan
    middle = 0.5 * (box - 1)
    spread = box * (box * box - 1.0) / 12.0
    residual = 0.0
    for b in range(boxes):
        start = b * box
        base = profile[start]
        total = 0.0
        tilt = 0.0
        squares = 0.0
        for i in range(box):
            y = profile[start + i] - base
            total += y
            tilt += (i - middle) * y
            squares += y * y
        residual += max(squares - total * total / box - tilt * tilt / spread, 0.0)
    return float(np.sqrt(residual / (boxes * box)))
