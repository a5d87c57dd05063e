"""Recordings as sources: they go on for ever, each round as the one before."""

import itertools

import numpy as np

from hw_sim import recordings
from hw_sim.recordings import GlucoseRecording


def test_beats_repeat_without_end():
    assert list(itertools.islice(recordings.repeat(np.array([800.0, 900.0])), 5)) == [800, 900, 800, 900, 800]


def test_readings_repeat_at_the_same_times_of_day():
    two_days = GlucoseRecording(np.array([300.0, 86_399.0, 86_400.0]), np.array([90.0, 100.0, 110.0]))
    assert list(itertools.islice(recordings.repeat_days(two_days), 5)) == [
        (300.0, 90.0),
        (86_399.0, 100.0),
        (86_400.0, 110.0),
        (2 * 86_400 + 300.0, 90.0),
        (3 * 86_400 - 1.0, 100.0),
    ]
