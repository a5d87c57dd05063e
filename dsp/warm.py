"""Compiles, or loads from the cache, every kernel, so that none stalls the gateway when data flows."""

import numpy as np

from dsp.cardiac.hrv import heart_stats
from dsp.glucose.ranges import glucose_stats


def warm() -> None:
    """Call each kernel once, with the one signature it will ever have."""
    warm_gateway()
    warm_glucose()


def warm_gateway() -> None:
    """The kernels the gateway itself calls: it starts with these, not with all there are."""
    heart_stats(np.full(2, 800.0), np.ones(2))
    glucose_stats(np.full(2, 100.0))


def warm_glucose() -> None:
    """The kernels of `dsp.glucose` only; training alone needs `forecast.feature_rows`."""
    # Here, because the gateway needs none of them to start.
    from dsp.glucose.agp import agp
    from dsp.glucose.grid import grid
    from dsp.glucose.metrics import metrics_of
    from dsp.glucose.readings import trace
    from dsp.glucose.realtime import follow, new_wearer

    readings = trace((0.0, 5.0), (100.0, 110.0))
    metrics_of(readings)
    agp(grid(readings, 5.0))
    follow(new_wearer(), (1.0, 6.0), (100.0, 110.0))
