"""Readies every kernel, so that none stalls the gateway when data flows: compiles it or loads it from numba's cache,
if `dsp.compiled` has it compiled; calls it anyway.
"""

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import live, qrs
from dsp.cardiac.hrv import heart_stats
from dsp.cardiac.variability import variability
from dsp.glucose.ranges import glucose_stats
from dsp.glucose.realtime import follow, new_wearer, update


def warm() -> None:
    """Call each kernel once, with the one signature it will ever have."""
    warm_gateway()
    warm_cardiac()
    warm_glucose()


def warm_gateway() -> None:
    """The kernels the gateway itself calls: it starts with these, and imports no others."""
    rr_ms = _beats_ms()
    t_s, ones = as_f64(np.cumsum(rr_ms) / 1000.0), np.ones(rr_ms.size)
    heart_stats(rr_ms, ones)
    variability(t_s, rr_ms, ones)
    live.feed(live.new_state(), t_s, rr_ms, ones)
    qrs.detect_all(rr_ms, 130.0)
    glucose_stats(np.full(2, 100.0))
    follow(new_wearer(), (1.0, 6.0), (100.0, 110.0))
    update(new_wearer(), 1.0, 100.0)


def warm_cardiac() -> None:
    """The other kernels of `dsp.cardiac`."""
    from dsp.cardiac import phase_rectified, spectrum, turbulence

    rr_ms = _beats_ms()
    t_s, ones = as_f64(np.cumsum(rr_ms) / 1000.0), np.ones(rr_ms.size)
    spectrum.welch_bands(t_s, rr_ms)
    phase_rectified.prsa(rr_ms, ones, 2.0, 1.0)
    turbulence.turbulence(rr_ms, ones, ones)


def _beats_ms() -> F64:
    return as_f64(800.0 + 50.0 * np.sin(np.arange(300.0)))


def warm_glucose() -> None:
    """The kernels of `dsp.glucose` only; training alone needs `forecast.feature_rows`."""
    from dsp.glucose.agp import agp
    from dsp.glucose.grid import grid
    from dsp.glucose.metrics import metrics_of
    from dsp.glucose.readings import trace

    readings = trace((0.0, 5.0), (100.0, 110.0))
    metrics_of(readings)
    agp(grid(readings, 5.0))
