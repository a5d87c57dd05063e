"""Trend arrows, as the two common systems draw them."""

import math

# Rates in mg/dL/min from which on an arrow is drawn, falling ones mirrored.
DEXCOM = ((3.0, "double_up"), (2.0, "up"), (1.0, "forty_five_up"))
LIBRE = ((2.0, "up"), (1.0, "forty_five_up"))
TREND_MIN = 15.0


def arrow(rate_mg_dl_min: float, system: tuple[tuple[float, str], ...] = DEXCOM) -> str | None:
    """Name of the arrow; None for NaN.

    Dexcom: flat up to 1, then over 1, 2 and 3 mg/dL/min (users' manual). Libre: flat below 1, then from 1 on,
    and over 2 (Abbott).
    """
    if math.isnan(rate_mg_dl_min):
        return None
    size = abs(rate_mg_dl_min)
    for least, name in system:
        reached = size >= least if system is LIBRE and least == 1.0 else size > least
        if reached:
            return name if rate_mg_dl_min > 0.0 else name.replace("up", "down")
    return "flat"
