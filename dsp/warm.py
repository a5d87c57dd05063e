"""Compiles, or loads from the cache, every kernel, so that none stalls the gateway when data flows."""

import numpy as np

from dsp.cardiac.hrv import heart_stats
from dsp.glucose.ranges import glucose_stats


def warm() -> None:
    """Call each kernel once, with the one signature it will ever have."""
    heart_stats(np.full(2, 800.0), np.ones(2))
    glucose_stats(np.full(2, 100.0))
