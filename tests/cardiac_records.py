"""Recordings the cardiac tests read, and a made-up heart whose truth is known."""

import csv
import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dsp.arrays import as_f64

RECORDINGS = Path(__file__).parent / "recordings"
Array = npt.NDArray[np.float64]


def column(file: str, name: str) -> Array:
    return as_f64([float(value) for value in words(file, name) if value])


def words(file: str, name: str) -> list[str]:
    with gzip.open(RECORDINGS / file, "rt") as lines:
        return [row[name] for row in csv.DictReader(lines)]


def sinus_ms(seed: int, beats: int) -> Array:
    """Breathing, slow waves and noise about 850 ms: RMSSD about 20 ms."""
    rng = np.random.default_rng(seed)
    beat = np.arange(beats)
    course = 850 + 12 * np.sin(2 * np.pi * beat / 4.3) + 40 * np.sin(2 * np.pi * beat / 70)
    return as_f64(course + 8 * rng.standard_normal(beats))
