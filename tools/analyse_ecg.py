"""`vitalgate analyse ecg`: one ECG, from its samples to rhythm and variability."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs, signal_quality
from dsp.cardiac.respiration import agreed, respiration
from edge.errors import ConfigError
from tools import analyse_rr, recording_files, wfdb_record

QUALITY_WINDOW_S = 10.0
GOOD = 0.8
RATE_HZ_MIN, RATE_HZ_MAX = 60.0, 1000.0


class Ecg(NamedTuple):
    """Samples, and the complexes in them."""

    rate_hz: float
    samples: int
    complexes: qrs.Complexes
    quality: F64  # by windows of 10 s


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
    ecg = detected(values, rate_hz)
    if ecg.complexes.apex.size < 2:
        raise ConfigError("FILE", f"no heartbeats found in {file.name}", "is this the right column and rate?")
    analysis = analyse_rr.analyse(beats(ecg))
    found = {"ecg": described(ecg, analysis)} | analyse_rr.document(analysis, window_s, start_h)
    analyse_rr.report(found, analysis, per_beat, plot, json=json)


def samples(file: Path, column: str, rate: float | None) -> tuple[F64, float]:
    if file.suffix == ".hea":
        signal = wfdb_record.read(file, column)
        if not RATE_HZ_MIN <= signal.rate_hz <= RATE_HZ_MAX:
            what = f"{file.name} has {signal.rate_hz:g} samples a second"
            raise ConfigError("FILE", what, f"{RATE_HZ_MIN:.0f} to {RATE_HZ_MAX:.0f} are needed")
        return signal.values, signal.rate_hz
    if rate is None:
        raise ConfigError("--rate", "a CSV does not say its sampling rate", "give it, like --rate 130")
    return analyse_rr.column_of(file, column), rate


def detected(values: F64, rate_hz: float) -> Ecg:
    complexes = qrs.detect_all(values, rate_hz)
    second = signal_quality.second_detector(rate_hz)
    others = np.concatenate([part.apex for part in (qrs.detect(second, values), qrs.finish(second))])
    starts_s = as_f64(
        np.arange(0.0, max(values.size / rate_hz - QUALITY_WINDOW_S, 0.0) + 1e-9, QUALITY_WINDOW_S)
    )
    quality = signal_quality.quality(complexes.apex / rate_hz, others / rate_hz, starts_s, QUALITY_WINDOW_S)
    return Ecg(rate_hz, values.size, complexes, quality)


def beats(ecg: Ecg) -> analyse_rr.Beats:
    """Intervals between complexes; longer than 10 s is a gap."""
    t_s = ecg.complexes.apex / ecg.rate_hz
    rr_ms = 1000.0 * np.diff(t_s)
    is_interval = rr_ms <= analyse_rr.LONGEST_RR_MS
    follows = np.concatenate([[False], is_interval[:-1]])
    return analyse_rr.Beats(
        as_f64(t_s[1:][is_interval]), as_f64(rr_ms[is_interval]), as_f64(follows[is_interval])
    )


def described(ecg: Ecg, analysis: analyse_rr.Analysis) -> dict[str, Any]:
    """What only an ECG tells: quality, and breathing minute by minute from amplitude and intervals."""
    t_s = ecg.complexes.apex / ecg.rate_hz
    normal = analysis.normal
    breathing = []
    for begin in np.arange(0.0, t_s[-1] - 60.0, 60.0):
        by_ecg = (t_s >= begin) & (t_s < begin + 60.0)
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
        "good_pct": 100.0 * float((ecg.quality >= GOOD).mean()) if ecg.quality.size else None,
        "respiration": breathing,
    }
