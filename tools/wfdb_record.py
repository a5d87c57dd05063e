"""Reads one signal of a WFDB record (formats 16 and 212). https://physionet.org/physiotools/wag/header-5.htm"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dsp.arrays import F64, as_f64
from edge.errors import ConfigError


class Signal(NamedTuple):
    """Samples in physical units."""

    values: F64
    rate_hz: float
    name: str


class _Line(NamedTuple):
    file: str
    format: str
    gain: float
    baseline: float
    name: str


def read(header: Path, name: str | None) -> Signal:
    """The signal of that name, or the first."""
    try:
        lines = [x for x in header.read_text("ascii", "replace").splitlines() if x.strip() and x[0] != "#"]
        record = lines[0].split()
        count, rate_hz = int(record[1]), float(re.split(r"[/(]", record[2])[0]) if len(record) > 2 else 250.0
        signals = [_signal_line(line) for line in lines[1 : 1 + count]]
        names = [signal.name for signal in signals]
        which = names.index(name) if name in names else 0
        together = [k for k, signal in enumerate(signals) if signal.file == signals[which].file]
        raw = _samples(header.parent / signals[which].file, signals[which].format)
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError("FILE", f"cannot read {header.name} as WFDB", str(error)) from error
    column = raw[together.index(which) :: len(together)]
    values = (column - signals[which].baseline) / signals[which].gain
    return Signal(as_f64(values), rate_hz, names[which])


def _signal_line(line: str) -> _Line:
    """File, format, gain with baseline and units, resolution, zero, first value, checksum, block, name."""
    parts = line.split(maxsplit=8)
    gain = re.fullmatch(r"([\d.eE+-]+)(?:\((-?\d+)\))?(?:/\S+)?", parts[2]) if len(parts) > 2 else None
    zero = float(parts[4]) if len(parts) > 4 else 0.0
    baseline = float(gain[2]) if gain and gain[2] else zero
    scale = float(gain[1]) if gain and float(gain[1]) != 0.0 else 200.0
    return _Line(parts[0], parts[1], scale, baseline, parts[8] if len(parts) > 8 else "")


def _samples(file: Path, form: str) -> F64:
    data = np.frombuffer(file.read_bytes(), np.uint8)
    if form == "16":
        return data[: data.size // 2 * 2].view("<i2").astype(np.float64)
    if form == "212":
        # Two samples of 12 bits in three bytes: low byte, both high halves, low byte.
        low, high, second = data[: data.size // 3 * 3].reshape(-1, 3).astype(np.int32).T
        both = np.stack([low | (high & 0x0F) << 8, second | (high & 0xF0) << 4], axis=1).ravel()
        return np.where(both > 2047, both - 4096, both).astype(np.float64)
    raise ValueError(f"format {form} is not 16 or 212")


BEAT_CODES = frozenset([*range(1, 14), 25, 30, 34, 35, 38])
SKIP, NUM, SUB, CHAN, AUX = 59, 60, 61, 62, 63


def beat_samples(annotations: Path) -> F64:
    """Sample numbers of the annotated beats. https://physionet.org/physiotools/wag/annot-5.htm"""
    words = np.frombuffer(annotations.read_bytes(), "<u2").astype(int)
    at, sample, beats = 0, 0, []
    while at < words.size and words[at] != 0:
        code, rest = words[at] >> 10, words[at] & 0x3FF
        at += 1
        if code == SKIP:
            long = (words[at] << 16) | words[at + 1]
            sample += long - (1 << 32) if long >= 1 << 31 else long
            at += 2
        elif code == AUX:
            at += (rest + 1) // 2
        elif code not in (NUM, SUB, CHAN):
            sample += rest
            if code in BEAT_CODES:
                beats.append(sample)
    return as_f64(beats)
