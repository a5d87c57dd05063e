"""Every metric of a trace, by name: what `vitalgate analyse glucose` prints and the benchmark times."""

import math

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64
from dsp.glucose import episodes
from dsp.glucose.distribution import distribution
from dsp.glucose.grid import divisor_of_a_day, grid, usual_min
from dsp.glucose.mage import GRID_STEP_MIN, mage_iglu, mage_zigzag
from dsp.glucose.readings import DAY_MIN, Trace, trace
from dsp.glucose.risk import risk
from dsp.glucose.variability import changes, day_spread

SUFFICIENT_DAYS, SUFFICIENT_PCT = 14.0, 70.0
GRI_ZONES = "ABCDE"

Metrics = dict[str, float]


def active_pct(t_min: F64, usual: float) -> float:
    """Share of the readings that are there between the first and the last; NaN for fewer than two, or no distance.

    Time in distances longer than the usual one counts as missing (iglu's automatic form).
    """
    if t_min.size < 2 or not usual > 0.0:
        return math.nan
    steps = np.diff(t_min)
    expected = float(np.round(np.round(t_min[-1] - t_min[0]) / usual)) + 1.0
    long = steps[np.round(steps) > usual]
    if not expected > 0.0:
        return math.nan
    missing = float(np.round((long.sum() - long.size * usual) / usual))
    return 100.0 * (expected - missing) / expected


def pgs(gvp_pct: float, mean_mg_dl: float, tir_pct: float, n54_week: float, n70_week: float) -> float:
    """Personal glycaemic state: Hirsch et al. 2017, doi 10.1089/dia.2017.0080; constants as in iglu's code.

    iglu's documentation has -0.91093 where its code and its values have -0.81093.
    """
    if math.isnan(gvp_pct + n54_week):
        return math.nan

    def falling(exponent: float) -> float:
        return 1.0 / (1.0 + math.exp(min(exponent, 700.0)))

    variability = 1.0 + 9.0 * falling(-0.049 * (gvp_pct - 65.47))
    low = falling(0.1139 * (mean_mg_dl - 72.08))
    high = falling(-0.09195 * (mean_mg_dl - 157.57))
    in_range = 1.0 + 9.0 * falling(0.0833 * (tir_pct - 55.04))
    n54 = 0.5 + 4.5 * (1.0 - math.exp(-0.81093 * n54_week))
    n70 = 0.5714 * n70_week + 0.625 if n70_week <= 7.65 else 5.0
    return variability + 1.0 + 9.0 * (low + high) + in_range + n54 + n70


def gri_zone(gri: float) -> str | None:
    """Zone A (GRI up to 20) to E (over 80): Klonoff et al. 2023; None for NaN."""
    return None if math.isnan(gri) else GRI_ZONES[min(4, max(0, math.ceil(gri / 20.0) - 1))]


def is_sufficient(metrics: Metrics) -> bool:
    """Whether the trace meets the consensus for a report: 14 days with 70 % of the readings.

    A reading stands for the time until the next: 14 days of them end one step before the fourteenth midnight.
    """
    covered_days = metrics["days"] + metrics["step_min"] / DAY_MIN
    return covered_days > SUFFICIENT_DAYS - 1e-9 and metrics["active_pct"] >= SUFFICIENT_PCT


def metrics_of(readings: Trace) -> tuple[Metrics, dict[str, episodes.EpisodeSummary]]:
    """All scalar metrics and all kinds of episodes of a trace.

    Whatever the trace is too short for is NaN; nothing raises.
    """
    usual = usual_min(readings.t_min)
    step = divisor_of_a_day(usual)
    on_grid = grid(readings, step)
    found: Metrics = {
        "readings": float(readings.t_min.size),
        "days": float(readings.t_min[-1] - readings.t_min[0]) / DAY_MIN if readings.t_min.size else 0.0,
        "step_min": step,
        "active_pct": active_pct(readings.t_min, usual),
    }
    found |= distribution(np.sort(readings.glucose_mg_dl))._asdict()
    found |= risk(readings.glucose_mg_dl, readings.clock_min)._asdict()
    # A grid without points has the usual 5 minutes, so that every metric is there, as NaN.
    width = step if on_grid.slots else GRID_STEP_MIN
    found |= changes(on_grid.glucose_mg_dl, width)._asdict()
    found |= day_spread(on_grid.by_clock_mg_dl, width)._asdict()
    fine = on_grid.glucose_mg_dl if step == GRID_STEP_MIN else grid(readings, GRID_STEP_MIN).glucose_mg_dl
    zigzag = mage_zigzag(readings.glucose_mg_dl)
    found |= {f"mage_zigzag_{name}_mg_dl": value for name, value in zigzag._asdict().items()}
    found |= {f"mage_iglu_{name}_mg_dl": value for name, value in mage_iglu(fine)._asdict().items()}
    n54, n70 = episodes.hypos_per_week(on_grid.glucose_mg_dl, width)
    found["pgs"] = pgs(found["gvp_pct"], found["mean_mg_dl"], found["in_70_180_pct"], n54, n70)
    rows = episodes.all_episodes(on_grid.glucose_mg_dl, width)
    days = episodes.days_of_data(on_grid.glucose_mg_dl, width)
    summaries = {kind: episodes.summarise(some, days, width) for kind, some in rows.items()}
    return {name: float(value) for name, value in found.items()}, summaries


def metrics(utc_min: npt.ArrayLike, glucose_mg_dl: npt.ArrayLike) -> Metrics:
    """All scalar metrics of readings as they come; see `dsp.glucose.readings.trace`."""
    return metrics_of(trace(utc_min, glucose_mg_dl))[0]
