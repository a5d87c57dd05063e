"""`vitalgate analyse ecg`: one ECG, from its samples to rhythm and variability."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs, signal_quality
from dsp.cardiac.respiration import agreed, respiration
from edge.errors import ConfigError
from tools.analyse import recording_files, wfdb_record
from tools.analyse import rr as analyse_rr
from tools.terminal import ended_by_interrupt

QUALITY_WINDOW_S = 10.0
LOST_S = 0.15  # what is missing for longer may have held a complex


class Ecg(NamedTuple):
    """Samples, and the complexes in them."""

    rate_hz: float
    is_lost: signal_quality.Flags  # of each sample
    complexes: qrs.Complexes
    quality: F64  # by windows of 10 s, the last of which ends with the recording
    is_good: signal_quality.Flags  # of each window


def command(
    file: Path,
    column: str,
    rate: float | None,
    window: str,
    start: str | None,
    per_beat: Path | None,
    plot: Path | None,
    *,
    json: bool,
) -> None:
    window_s, start_h = analyse_rr.duration_s("--window", window), analyse_rr.clock_h("--start", start)
    recording_files.check_outputs(file, {"--per-beat": per_beat, "--plot": plot})
    values, rate_hz = samples(file, column, rate)
    with ended_by_interrupt():
        ecg = detected(values, rate_hz)
    if ecg.complexes.apex.size < 2:
        raise ConfigError("FILE", f"no heartbeats found in {file.name}", "is this the right column and rate?")
    found = beats(ecg)
    if found.rr_ms.size == 0:
        what = (
            f"no usable heartbeats in {file.name}: {100.0 * ecg.is_good.mean():.0f} % of it has good quality"
        )
        raise ConfigError("FILE", what, "is this the right column and rate?")
    with ended_by_interrupt():
        analysis = analyse_rr.analyse(found)
        document = {"ecg": described(ecg, analysis)} | analyse_rr.document(analysis, window_s, start_h)
    analyse_rr.report(document, analysis, per_beat, plot, json=json)


def samples(file: Path, column: str, rate: float | None) -> tuple[F64, float]:
    header = header_of(file)
    if header:
        signal = wfdb_record.read(header, column)
        if not qrs.RATE_HZ_MIN <= signal.rate_hz <= qrs.RATE_HZ_MAX:
            what = f"{header.name} has {signal.rate_hz:g} samples a second"
            raise ConfigError("FILE", what, f"{qrs.RATE_HZ_MIN:.0f} to {qrs.RATE_HZ_MAX:.0f} are needed")
        return signal.values, signal.rate_hz
    if rate is None:
        raise ConfigError("--rate", "a CSV does not say its sampling rate", "give it, like --rate 130")
    return column_of(file, column), rate


def header_of(file: Path) -> Path | None:
    """The WFDB header, whether it is named, or its samples, or the record."""
    if file.suffix in (".hea", ".dat"):
        return file.with_suffix(".hea")
    header = file.parent / f"{file.name}.hea"
    return header if header.is_file() and not file.is_file() else None


def column_of(file: Path, name: str) -> F64:
    """One column of a CSV file, a sample from each row; an empty cell is a sample that is missing."""
    with recording_files.table(file, bare=name) as table:
        k = table.column(name)
        cells = (row[k].strip() if len(row) > k else "" for row in table.rows)
        return as_f64([table.number_or_nan(name, cell) for cell in cells])


def detected(values: F64, rate_hz: float) -> Ecg:
    complexes = qrs.detect_all(values, rate_hz)
    second = signal_quality.second_detector(rate_hz)
    others = np.concatenate([part.apex for part in (qrs.detect(second, values), qrs.finish(second))])
    last_s = max(values.size / rate_hz - QUALITY_WINDOW_S, 0.0)
    starts_s = as_f64(np.append(np.arange(0.0, last_s, QUALITY_WINDOW_S), last_s))
    apex_s = as_f64(complexes.apex / rate_hz)
    quality = signal_quality.quality(apex_s, as_f64(others / rate_hz), starts_s, QUALITY_WINDOW_S)
    is_good = signal_quality.good(quality, apex_s, complexes.prominence, starts_s, QUALITY_WINDOW_S)
    return Ecg(rate_hz, ~(np.abs(values) < qrs.LARGEST), complexes, quality, is_good)


def beats(ecg: Ecg) -> analyse_rr.Beats:
    """Intervals between complexes; a gap where one is over 10 s, touches poor quality, or lost samples."""
    t_s = ecg.complexes.apex / ecg.rate_hz
    rr_ms = 1000.0 * np.diff(t_s)
    is_interval = (rr_ms <= analyse_rr.LONGEST_RR_MS) & ~is_left_out(ecg)
    follows = np.concatenate([[False], is_interval[:-1]])
    return analyse_rr.Beats(
        as_f64(t_s[1:][is_interval]), as_f64(rr_ms[is_interval]), as_f64(follows[is_interval])
    )


def is_left_out(ecg: Ecg) -> signal_quality.Flags:
    """Of each interval between complexes: whether poor quality or a run of lost samples is part of it."""
    windows = window_of(ecg)
    poor_before = np.concatenate([[0], np.cumsum(~ecg.is_good)])
    is_poor = poor_before[windows[1:] + 1] > poor_before[windows[:-1]]
    begin, end = np.flatnonzero(np.diff(np.pad(ecg.is_lost, 1).astype(np.int8))).reshape(-1, 2).T
    is_long = end - begin > LOST_S * ecg.rate_hz
    begin, end = np.append(begin[is_long], ecg.is_lost.size), np.append(end[is_long], ecg.is_lost.size)
    apex = ecg.complexes.apex
    is_torn = begin[np.searchsorted(end[:-1], apex[:-1], "right")] < apex[1:]
    return np.asarray(is_poor | is_torn)


def window_of(ecg: Ecg) -> npt.NDArray[np.int64]:
    """The quality window of each complex."""
    windows = (ecg.complexes.apex / ecg.rate_hz / QUALITY_WINDOW_S).astype(np.int64)
    return np.minimum(windows, ecg.quality.size - 1)


def described(ecg: Ecg, analysis: analyse_rr.Analysis) -> dict[str, Any]:
    """What only an ECG tells: quality, and breathing minute by minute from amplitude and intervals."""
    t_s = ecg.complexes.apex / ecg.rate_hz
    is_good, left_out = ecg.is_good[window_of(ecg)], is_left_out(ecg)
    normal = analysis.normal
    breathing = []
    for begin in np.arange(0.0, t_s[-1] - 60.0, 60.0):
        by_ecg = is_good & (t_s >= begin) & (t_s < begin + 60.0)
        by_rr = (normal.t_s >= begin) & (normal.t_s < begin + 60.0)
        rate = agreed(
            respiration(normal.t_s[by_rr], normal.rr_ms[by_rr]),
            respiration(as_f64(t_s[by_ecg]), as_f64(ecg.complexes.amplitude[by_ecg])),
        )
        breathing.append({"start_s": float(begin), **analyse_rr.plain(rate)})
    return {
        "rate_hz": ecg.rate_hz,
        "complexes": int(t_s.size),
        "quality": [float(q) for q in ecg.quality],
        "good_pct": 100.0 * float(ecg.is_good.mean()),
        "left_out": {
            "intervals": int(left_out.sum()),
            "duration_s": float(np.diff(t_s)[left_out].sum()),
            "lost_samples_s": float(ecg.is_lost.sum()) / ecg.rate_hz,
        },
        "respiration": breathing,
    }
