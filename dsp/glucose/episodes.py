"""Episodes of low and high glucose by the consensus: when they begin, how long they last, how deep they go."""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

KINDS = ("hypo_level_1", "hypo_level_2", "hypo_extended", "hyper_level_1", "hyper_level_2")
LIMITS_MG_DL = (70.0, 54.0, 70.0, 180.0, 250.0)
DURATION_MIN = 15.0
EXTENDED_MIN = 120.0


class EpisodeSummary(NamedTuple):
    """Episodes of one kind; the means are NaN without an episode."""

    episodes: float
    per_day: float
    duration_min_mean: float
    glucose_mg_dl_mean: float


class Episode(NamedTuple):
    """One episode: its first and last grid time since the trace's first midnight, and its mean."""

    kind: str
    start_min: float
    end_min: float
    glucose_mg_dl_mean: float


@njit
def find_episodes(glucose_mg_dl: F64, sign: float, limit_mg_dl: float, enter: float, leave: float) -> F64:
    """Episodes beyond one limit.

    An episode begins with the first of at least `enter` successive points beyond the limit and ends before the
    first of at least `leave` points that are not; missing data end it, too.

    Args:
        glucose_mg_dl: float64[n], mg/dL on the grid, NaN where missing.
        sign: 1.0 for above the limit, -1.0 for below.
        limit_mg_dl: the limit itself is not beyond it.
        enter: points.
        leave: points.

    Returns:
        float64[4 * episodes]: first point, point after the last, mean glucose, extreme glucose of each. A number
        of points that is none (NaN) is never reached.

    Source: Danne et al. 2017, doi 10.2337/dc17-1600; Battelino et al. 2023; ends as in iglu.
    """
    n = glucose_mg_dl.size
    fewest = int(enter) if 1.0 <= enter <= n else (1 if enter < 1.0 else n + 1)
    found = np.empty(4 * (n // fewest + 1))
    count = 0
    start = -1
    run = 0
    beyond_before = False
    for k in range(n + 1):
        missing = k == n or glucose_mg_dl[k] != glucose_mg_dl[k]
        beyond = not missing and sign * (glucose_mg_dl[k] - limit_mg_dl) > 0.0
        run = 1 if k == 0 or beyond != beyond_before else run + 1
        beyond_before = beyond
        if missing:
            run = 0
        end = -1
        if start >= 0 and missing:
            end = k
        elif start >= 0 and not beyond and run >= leave:
            end = k - run + 1
        if end >= 0:
            total = 0.0
            extreme = glucose_mg_dl[start]
            for i in range(start, end):
                total += glucose_mg_dl[i]
                extreme = max(extreme, glucose_mg_dl[i]) if sign > 0.0 else min(extreme, glucose_mg_dl[i])
            found[4 * count] = start
            found[4 * count + 1] = end
            found[4 * count + 2] = total / (end - start)
            found[4 * count + 3] = extreme
            count += 1
            start = -1
        elif start < 0 and beyond and run >= enter:
            start = k - run + 1
    return found[: 4 * count].copy()


def all_episodes(glucose_mg_dl: F64, step_min: float) -> dict[str, F64]:
    """Every kind of episode on the grid, each as rows of `find_episodes`.

    Besides `KINDS` there are `hypo_level_1_only` and `hyper_level_1_only`: those of level 1 in which no episode
    of level 2 lies.
    """
    found = {kind: _of_kind(glucose_mg_dl, step_min, kind, DURATION_MIN, DURATION_MIN) for kind in KINDS}
    for name in ("hypo", "hyper"):
        found[f"{name}_level_1_only"] = _without(found[f"{name}_level_1"], found[f"{name}_level_2"])
    return found


def _of_kind(glucose_mg_dl: F64, step_min: float, kind: str, enter_min: float, leave_min: float) -> F64:
    if not step_min > 0.0:
        return np.zeros((0, 4))
    sign = 1.0 if kind.startswith("hyper") else -1.0
    enter = float(np.ceil(enter_min / step_min))
    if kind == "hypo_extended":
        enter = EXTENDED_MIN / step_min + 1.0
    leave = float(np.ceil(leave_min / step_min))
    return find_episodes(glucose_mg_dl, sign, LIMITS_MG_DL[KINDS.index(kind)], enter, leave).reshape(-1, 4)


def _without(outer: F64, inner: F64) -> F64:
    """Rows of `outer` that no row of `inner` overlaps."""
    first = np.searchsorted(inner[:, 1], outer[:, 0], side="right")
    starts = np.append(inner[:, 0], np.inf)
    return outer[starts[first] >= outer[:, 1]]


def days_of_data(glucose_mg_dl: F64, step_min: float) -> float:
    """Time with data on the grid, in days."""
    return float(np.count_nonzero(glucose_mg_dl == glucose_mg_dl)) * step_min / 1440.0


def summarise(rows: F64, days: float, step_min: float) -> EpisodeSummary:
    """Number, number per day of data, mean duration and mean of the mean glucose."""
    nan = float("nan")
    count = len(rows)
    if count == 0:
        return EpisodeSummary(0.0, 0.0 if days > 0.0 else nan, nan, nan)
    first, end, glucose, _ = rows.sum(axis=0).tolist()
    per_day = count / days if days > 0.0 else nan
    return EpisodeSummary(float(count), per_day, (end - first) / count * step_min, glucose / count)


def hypos_per_week(glucose_mg_dl: F64, step_min: float) -> tuple[float, float]:
    """Episodes below 54 and those below 70 only, of 20 min and ended by 30 min above, per week of data.

    The episodes of the personal glycaemic state: Hirsch et al. 2017, doi 10.1089/dia.2017.0080.
    """
    days = days_of_data(glucose_mg_dl, step_min)
    if days == 0.0:
        return float("nan"), float("nan")
    below_70 = _of_kind(glucose_mg_dl, step_min, "hypo_level_1", 20.0, 30.0)
    below_54 = _of_kind(glucose_mg_dl, step_min, "hypo_level_2", 20.0, 30.0)
    return 7.0 * len(below_54) / days, 7.0 * len(_without(below_70, below_54)) / days
