"""Reads one signal of a WFDB record. https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm

Formats 16, 24, 32, 61, 80 and 212. Not read: several segments, skew, and what is stored as differences or packed.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from edge.errors import ConfigError

ANY_LEAD = "ecg"  # this name also stands for the first lead of an ECG
LEAD = re.compile(r"E[CK]G.*|M?C?L?(I{1,3}|[1-6])|AV[RLF]|M?V[1-6]?|CM[1-6]|CC5|D[1-4]", re.IGNORECASE)
VOLTS = ("mv", "uv", "v")
BITS = {"16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "212": 12}


class Signal(NamedTuple):
    """Samples in physical units; NaN where none was taken."""

    values: F64
    rate_hz: float
    name: str


class _Line(NamedTuple):
    file: str
    format: str
    per_frame: int
    offset: int  # bytes before the first sample
    gain: float
    baseline: float
    unit: str
    name: str


def read(header: Path, name: str | None) -> Signal:
    """The signal of that name, whatever its case; without a name the first lead of an ECG."""
    try:
        text = header.read_text("ascii", "replace")
        lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
        record = lines[0].split() if lines else []
        if len(record) < 2:
            raise ValueError("this is no header")
        if "/" in record[0]:
            raise ValueError("a record of several segments; name the header of one of them")
        count, rate_hz = int(record[1]), float(re.split(r"[/(]", record[2])[0]) if len(record) > 2 else 250.0
        frames = max(int(record[3]), 0) if len(record) > 3 else 0
        signals = [_signal_line(line) for line in lines[1 : 1 + count]]
        if count < 1 or len(signals) < count:
            raise ValueError(f"{len(signals)} signals described, {count} announced")
        which = _which(signals, name)
        values = _values(header.parent, signals, which, frames)
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError("FILE", f"cannot read {header.name} as WFDB", str(error)) from error
    return Signal(values, rate_hz * signals[which].per_frame, signals[which].name)


def _which(signals: list[_Line], name: str | None) -> int:
    names = [signal.name for signal in signals]
    lower = [other.lower() for other in names]
    if name is not None and name.lower() in lower:
        return lower.index(name.lower())
    if name is None or name == ANY_LEAD:
        leads = [k for k, other in enumerate(names) if LEAD.fullmatch(other)]
        volts = [k for k, signal in enumerate(signals) if signal.unit.lower() in VOLTS]
        if leads or volts:
            return (leads or volts)[0]
    missing = f"no signal {name}" if name else "no lead of an ECG"
    raise ConfigError("--column", f"the record has {missing}", f"it has: {', '.join(names)}")


def _signal_line(line: str) -> _Line:
    """File, format, gain with baseline and units, resolution, zero, first value, checksum, block, name."""
    parts = line.split(maxsplit=8)
    form = re.fullmatch(r"(\d+)(?:x([1-9]\d*))?(?:\+(\d+))?", parts[1])
    if not form or form[1] not in BITS:
        raise ValueError(f"format {parts[1]} is none of {', '.join(BITS)}")
    gain = re.fullmatch(r"([\d.eE+-]+)(?:\((-?\d+)\))?(?:/(\S+))?", parts[2]) if len(parts) > 2 else None
    zero = float(parts[4]) if len(parts) > 4 else 0.0
    baseline = float(gain[2]) if gain and gain[2] else zero
    scale = float(gain[1]) if gain and float(gain[1]) != 0.0 else 200.0
    per_frame, offset = int(form[2] or 1), int(form[3] or 0)
    unit = gain[3] if gain and gain[3] else "mV"
    name = parts[8] if len(parts) > 8 else ""
    return _Line(parts[0], form[1], per_frame, offset, scale, baseline, unit, name)


def _values(folder: Path, signals: list[_Line], which: int, frames: int) -> F64:
    """Samples of one signal, out of the frames of all signals in its file."""
    signal = signals[which]
    together = [k for k, other in enumerate(signals) if other.file == signal.file]
    first = sum(signals[k].per_frame for k in together if k < which)
    width = sum(signals[k].per_frame for k in together)
    raw = _samples((folder / signal.file).read_bytes()[signal.offset :], signal.format)
    held = raw.size // width
    if held < frames:
        raise ValueError(f"{signal.file} ends after {held} of {frames} samples; is the file complete?")
    frame = raw[: (frames or held) * width].reshape(-1, width)
    digital = frame[:, first : first + signal.per_frame].ravel()
    is_sample = digital > -(1 << (BITS[signal.format] - 1))  # the least number stands for none
    return as_f64(np.where(is_sample, (digital - signal.baseline) / signal.gain, np.nan))


def _samples(data: bytes, form: str) -> npt.NDArray[np.int32]:
    size = {"16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "212": 3}[form]
    # Of 12 bits, a last sample without a second fills two bytes.
    whole = data + b"\0" if form == "212" and len(data) % 3 == 2 else data[: len(data) // size * size]
    parts = np.frombuffer(whole, np.uint8).reshape(-1, size).astype(np.int32).T
    if form == "212":
        # Two samples of 12 bits in three bytes: low byte, both high halves, low byte.
        low, high, second = parts
        both = np.stack([low | (high & 0x0F) << 8, second | (high & 0xF0) << 4], axis=1).ravel()
        both[both > 2047] -= 4096
        return both
    if form == "80":
        return np.asarray(parts[0] - 128, np.int32)
    bytes_up = parts[::-1] if form == "61" else parts
    unused = 32 - 8 * size
    raised = sum(byte << (unused + 8 * k) for k, byte in enumerate(bytes_up))
    return np.asarray(raised >> unused, np.int32)  # with its sign


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
