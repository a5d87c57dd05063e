"""Mean amplitude of glycaemic excursions, two ways: as iglu computes it, and by one pass of reversals.

`mage_zigzag` follows the definition of Service et al. 1970 most directly and is the one to use; `mage_iglu` is
there for comparison with published figures.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

GRID_STEP_MIN = 5.0  # what `mage_iglu` works on


class Mage(NamedTuple):
    """MAGE in mg/dL; NaN where no excursion counts.

    `plus` is from nadirs to peaks, `minus` from peaks to nadirs, `avg` the mean of the two, `service` in the
    direction of the first excursion that counts.
    """

    plus: float
    minus: float
    avg: float
    service: float


@njit
def _sd(values: F64) -> float:
    count = 0
    total = 0.0
    for v in values:
        if v == v:
            count += 1
            total += v
    if count < 2:
        return np.nan
    mean = total / count
    squares = 0.0
    for v in values:
        if v == v:
            squares += (v - mean) ** 2
    return float(np.sqrt(squares / (count - 1)))


@njit
def mage_zigzag(glucose_mg_dl: F64) -> Mage:
    """MAGE by a reversal filter with the SD as threshold.

    The running extreme becomes a turning point as soon as glucose has moved 1 SD the other way; excursions
    are the moves between successive turning points, the running extreme at the end included if it is 1 SD away.

    Args:
        glucose_mg_dl: float64[n], mg/dL, the readings themselves; NaN left out.

    Returns:
        NaN without a move of 1 SD, as for a constant series.
    """
    sd = _sd(glucose_mg_dl)
    if not sd > 0.0:
        return Mage(np.nan, np.nan, np.nan, np.nan)
    sums = np.zeros(2)  # rises, falls
    counts = np.zeros(2)
    first = -1
    rising = -1  # 1 rising, 0 falling, -1 not known yet
    low = np.inf
    high = -np.inf
    turn = np.nan
    for g in glucose_mg_dl:
        if g != g:
            continue
        low = min(low, g)
        high = max(high, g)
        if rising != 1 and g - low >= sd:
            if rising == 0:
                sums[1] += turn - low
                counts[1] += 1.0
            first = 0 if first < 0 else first
            turn = low
            rising = 1
            high = g
        elif rising != 0 and high - g >= sd:
            if rising == 1:
                sums[0] += high - turn
                counts[0] += 1.0
            first = 1 if first < 0 else first
            turn = high
            rising = 0
            low = g
    if rising == 1:
        sums[0] += high - turn
        counts[0] += 1.0
    elif rising == 0:
        sums[1] += turn - low
        counts[1] += 1.0
    if first < 0:
        return Mage(np.nan, np.nan, np.nan, np.nan)
    plus = sums[0] / counts[0] if counts[0] > 0.0 else np.nan
    minus = sums[1] / counts[1] if counts[1] > 0.0 else np.nan
    avg = plus if minus != minus else (minus if plus != plus else 0.5 * (plus + minus))
    return Mage(plus, minus, avg, plus if first == 0 else minus)


@njit
def _moving_average(values: F64, width: int) -> F64:
    """Mean of the last `width` points, missing ones left out; the head has the first full window's."""
    n = values.size
    averages = np.full(n, np.nan)
    for k in range(width - 1, n):
        count = 0
        total = 0.0
        for i in range(k - width + 1, k + 1):
            if values[i] == values[i]:
                count += 1
                total += values[i]
        averages[k] = total / count if count > 0 else np.nan
    for k in range(width - 1):
        averages[k] = averages[width - 1]
    return averages


@njit
def _extremes(values: F64) -> F64:
    """Alternating highs and lows between the crossings of the 5- and 32-point averages."""
    n = values.size
    delta, slow = _moving_average(values, 5), _moving_average(values, 32)
    for k in range(n):
        delta[k] -= slow[k]
    crossing = np.empty(n + 1, dtype=np.int64)
    is_high = np.empty(n + 1, dtype=np.bool_)
    crossing[0] = 0
    is_high[0] = delta[0] > 0.0
    count = 1
    for k in range(1, n):
        if values[k] != values[k] or values[k - 1] != values[k - 1]:
            continue
        if delta[k] != delta[k] or delta[k - 1] != delta[k - 1]:
            continue
        # The second comparison bridges gaps, in which the averages do not exist.
        reference = delta[k - 1] if delta[k] * delta[k - 1] < 0.0 else delta[crossing[count - 1]]
        if delta[k] * reference < 0.0:
            crossing[count] = k
            is_high[count] = not delta[k] < reference
            count += 1
    crossing[count] = n - 1
    extremes = np.empty(count)
    left = 0
    for c in range(count):
        best = -1
        for k in range(left, crossing[c + 1] + 1):
            if values[k] != values[k]:
                continue
            if best < 0 or (values[k] > values[best] if is_high[c] else values[k] < values[best]):
                best = k
        extremes[c] = values[best]
        left = best
    return extremes


@njit
def _excursions(extremes: F64, sd: float, falls: bool) -> tuple[float, int, int]:
    """Mean height of the rises (or of the falls, of `-extremes`), and where the first begins and ends."""
    n = extremes.size
    total = 0.0
    count = 0
    first_from = first_to = -1
    j = previous = 0
    while j < n:
        i = previous
        for k in range(previous, j + 1):
            if extremes[k] < extremes[i]:
                i = k
        if not extremes[j] - extremes[i] >= sd:
            j += 1
            continue
        turn = j
        for k in range(j, n):
            if extremes[k] > extremes[turn]:
                turn = k
            j = k
            if extremes[turn] - extremes[k] > sd:
                break
        total += extremes[turn] - extremes[i]
        count += 1
        if count == 1:
            first_from, first_to = i, turn
        # As iglu has it: a fall may begin before the nadir's rise is over, a rise only after the turn.
        previous = turn if falls else j
    return (total / count if count > 0 else np.nan), first_from, first_to


@njit
def mage_iglu(glucose_mg_dl: F64) -> Mage:
    """MAGE as iglu 4.3 computes it: turning points from the crossings of two moving averages.

    Segments apart by more than 180 min are treated by themselves and weighted by their duration.

    Args:
        glucose_mg_dl: float64[n], mg/dL on the 5-minute grid, NaN where missing.

    Returns:
        NaN where no segment reaches 32 points or no excursion reaches 1 SD of its segment; `plus` and `minus`
        also where one of the segments has excursions in the other direction only, as in iglu.

    Source: Fernandes et al., doi 10.1177/19322968221124446; iglu 4.3.0.
    """
    sums = np.zeros(4)
    weights = np.zeros(4)
    n = glucose_mg_dl.size
    start = -1
    last = -1
    for k in range(n + 1):
        present = k < n and glucose_mg_dl[k] == glucose_mg_dl[k]
        if start >= 0 and (k == n or (present and (k - last - 1) * 5.0 > 180.0)):
            segment = glucose_mg_dl[start : last + 1]
            start = -1
            sd = _sd(segment)
            if segment.size >= 32 and sd > 0.0:
                extremes = _extremes(segment)
                plus, _, plus_to = _excursions(extremes, sd, False)
                for i in range(extremes.size):
                    extremes[i] = -extremes[i]
                minus, minus_from, _ = _excursions(extremes, sd, True)
                hours = (segment.size - 1) / 12.0
                if plus_to >= 0 or minus_from >= 0:
                    plus_first = plus_to >= 0 and (minus_from < 0 or plus_to <= minus_from)
                    sums[0] += plus * hours
                    sums[1] += minus * hours
                    weights[0] += hours
                    weights[1] += hours
                    for value in (plus, minus):
                        if value == value:
                            sums[2] += value * hours
                            weights[2] += hours
                    sums[3] += (plus if plus_first else minus) * hours
                    weights[3] += hours
        if present:
            start = k if start < 0 else start
            last = k
    for i in range(4):
        sums[i] = sums[i] / weights[i] if weights[i] > 0.0 else np.nan
    return Mage(sums[0], sums[1], sums[2], sums[3])
