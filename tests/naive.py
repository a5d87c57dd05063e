"""Plain Python twins of the kernels: slow, obvious, and never imported by the product."""

import math
from collections.abc import Sequence
from statistics import mean, stdev


def heart_stats(rr_ms: Sequence[float], follows: Sequence[float]) -> tuple[float, ...]:
    n = len(rr_ms)
    if sum(rr_ms) <= 0:
        return (*[math.nan] * 5, 0.0)
    pairs = [(rr_ms[k - 1], rr_ms[k]) for k in range(1, n) if follows[k] == 1]
    runs = [rr_ms[k - 7 : k + 1] for k in range(7, n) if all(follows[j] == 1 for j in range(k - 6, k + 1))]
    means = [mean(run) for run in runs]
    return (
        60_000 / mean(rr_ms),
        60_000 / max(means) if means else math.nan,
        60_000 / min(means) if means else math.nan,
        stdev(rr_ms) if n > 1 else math.nan,
        math.sqrt(mean((b - a) ** 2 for a, b in pairs)) if pairs else math.nan,
        sum(rr_ms),
    )


def glucose_stats(glucose_mg_dl: Sequence[float]) -> tuple[float, ...]:
    scale = {-math.inf: 39.0, math.inf: 401.0}
    readings = [scale.get(g, g) for g in glucose_mg_dl if not math.isnan(g)]
    average = mean(readings) if readings else math.nan
    sd = stdev(readings) if len(readings) > 1 else math.nan
    bands = [
        [g for g in readings if g < 54],
        [g for g in readings if 54 <= g < 70],
        [g for g in readings if 70 <= g <= 180],
        [g for g in readings if 180 < g <= 250],
        [g for g in readings if g > 250],
    ]
    shares = [100 * len(band) / len(readings) if readings else math.nan for band in bands]
    return (average, sd, 100 * sd / average, 3.31 + 0.02392 * average, *shares)
