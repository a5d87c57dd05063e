"""What low and high glucose weighs: risk indices computed reading by reading."""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, F64x2
from dsp.compiled import njit


class Risk(NamedTuple):
    """Risk indices of a trace; all NaN without a reading."""

    lbgi: float
    hbgi: float
    bgri: float
    adrr: float
    grade: float
    grade_hypo_pct: float
    grade_eu_pct: float
    grade_hyper_pct: float
    m_value: float
    hyper_index: float
    hypo_index: float
    igc: float


@njit
def _terms(g: float) -> tuple[float, float, float, float]:
    """Of one value: the symmetrised risk scale, GRADE points, M-value, and the power in the hyper index."""
    if not 0.0 < g < np.inf:
        return np.nan, np.nan, np.nan, np.nan
    ln = np.log(g)
    f = ln**1.084 - 5.381 if g > 1.0 else -5.381
    inner = (ln - 2.8903717578961645) / 2.302585092994046  # log10 of the value in mmol/L
    points = min(50.0, 425.0 * (np.log10(inner) + 0.16) ** 2) if inner > 0.0 else 50.0
    m = abs((ln - 4.499809670330265) / 2.302585092994046) ** 3  # against 90 mg/dL
    return f, points, m, (g - 140.0) ** 1.1 if g > 140.0 else 0.0


@njit
def _looked_up(known: F64x2, g: float) -> tuple[float, float, float, float]:
    """`_terms`, taken once for each whole value below 512: most sensors report whole mg/dL."""
    if not 0.0 <= g < 512.0 or g != np.floor(g):
        return _terms(g)
    whole = int(g)
    if known[whole, 0] != known[whole, 0]:
        known[whole, 0], known[whole, 1], known[whole, 2], known[whole, 3] = _terms(g)
    return known[whole, 0], known[whole, 1], known[whole, 2], known[whole, 3]


@njit
def _undefined() -> Risk:
    nan = np.nan
    return Risk(nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan)


@njit
def risk(glucose_mg_dl: F64, clock_min: F64) -> Risk:
    """LBGI, HBGI, BGRI, ADRR, GRADE and its shares, M-value, hypo, hyper index and IGC.

    Args:
        glucose_mg_dl: float64[n], mg/dL, all finite and above 0.
        clock_min: float64[n], min, ascending by day: 1440 * day + minutes since midnight.

    Returns:
        Indices without unit, GRADE's shares in %; a share is NaN where GRADE itself is 0. A value that cannot be
        makes NaN of what it takes part in.

    Sources: f(G) = ln(G)^1.084 - 5.381 with 22.77 f^2: Kovatchev et al. 2006 (ADRR: mean over days of the
    highest plus the lowest risk); GRADE: Hill et al. 2007, capped at 50, with iglu's limits 80 and 140 mg/dL,
    which let the low and the normal share overlap; M-value: Schlichtkrull 1965 with reference 90 mg/dL; hypo
    and hyper index, IGC: Rodbard 2009 with limits 80 and 140 mg/dL.
    """
    n = glucose_mg_dl.size
    if n == 0:
        return _undefined()
    lbgi = hbgi = adrr = m_value = hyper = hypo = 0.0
    grade = grade_hypo = grade_eu = grade_hyper = 0.0
    known = np.full((512, 4), np.nan)
    day = np.floor(clock_min[0] / 1440.0)
    days = 1
    lowest = highest = 0.0
    for k in range(n):
        g = glucose_mg_dl[k]
        f, points, m, power = _looked_up(known, g)
        if g < 112.5:
            lbgi += min(f, 0.0) ** 2
        else:
            hbgi += max(f, 0.0) ** 2
        today = np.floor(clock_min[k] / 1440.0)
        if today != day:
            adrr += lowest + highest
            lowest = highest = 0.0
            day = today
            days += 1
        lowest = max(lowest, min(f, 0.0) ** 2)
        highest = max(highest, max(f, 0.0) ** 2)
        grade += points
        if g < 80.0:
            grade_hypo += points
            hypo += (80.0 - g) ** 2
        if 70.0 <= g <= 140.0:
            grade_eu += points
        if g > 140.0:
            grade_hyper += points
            hyper += power
        m_value += m
    adrr += lowest + highest
    share = 100.0 / grade if grade > 0.0 else np.nan
    hyper /= 30.0 * n
    hypo /= 30.0 * n
    return Risk(
        22.77 * lbgi / n,
        22.77 * hbgi / n,
        22.77 * (lbgi + hbgi) / n,
        22.77 * adrr / days,
        grade / n,
        share * grade_hypo,
        share * grade_eu,
        share * grade_hyper,
        1000.0 * m_value / n,
        hyper,
        hypo,
        hyper + hypo,
    )
