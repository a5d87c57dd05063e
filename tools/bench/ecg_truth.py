"""How right QRS complexes, signal quality and respiration are: a part of `tools.bench.cardiac_truth`.

The recordings are as in DATA there. Respiration has no recording with a known truth: it is measured on made-up
hearts, which says that the gate works, not how often a real heart passes it.
"""

import csv
import gzip
from pathlib import Path

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs, signal_quality
from dsp.cardiac.respiration import respiration
from dsp.cardiac.signal_quality import nearest_s
from tools.analyse.wfdb_record import beat_samples, read

DELAYS_S = np.arange(-5.0, 5.0, 0.01)  # of the strap's beats against its ECG


def measure(data: Path) -> None:
    headers = sorted((data / "mitdb_ecg").glob("*.hea"))
    for rate_hz in (360.0, 130.0):
        complexes(headers, rate_hz)
    strap(data / "polar_h10.csv.gz")
    trust(headers)
    breathing()


def complexes(headers: list[Path], rate_hz: float) -> None:
    """QRS complexes against annotated beats, within 150 ms."""
    matched = found = truth = 0
    for header in headers:
        signal = read(header, None)
        beats_s = as_f64(beat_samples(header.with_suffix(".atr")) / signal.rate_hz)
        ecg = resampled(signal.values, rate_hz / signal.rate_hz)
        apex_s = as_f64(qrs.detect_all(ecg, rate_hz).apex / rate_hz)
        matched += int((nearest_s(beats_s, apex_s) <= 0.15).sum())
        found, truth = found + apex_s.size, truth + beats_s.size
    print(f"QRS at {rate_hz:.0f} Hz: F1 {200 * matched / (found + truth):.3f} % of {truth} beats")


def strap(file: Path) -> None:
    """A strap's own intervals against its ECG: n intervals are n + 1 beats, some perhaps before the ECG begins."""
    with gzip.open(file, "rt") as lines:
        rows = list(csv.DictReader(lines))
    rate_hz = 1e9 * (len(rows) - 1) / (float(rows[-1]["time"]) - float(rows[0]["time"]))
    apex_s = as_f64(qrs.detect_all(as_f64([float(row["ecg"]) for row in rows]), rate_hz).apex / rate_hz)
    rr_ms = np.array([float(row["rr"]) for row in rows if row["rr"]])
    beats_s = np.concatenate([[0.0], np.cumsum(rr_ms)]) / 1000.0
    found = [(nearest_s(as_f64(beats_s + delay), apex_s) <= 0.15).sum() for delay in DELAYS_S]
    later_s = DELAYS_S[int(np.argmax(found))] + beats_s
    matched = nearest_s(as_f64(later_s), apex_s) <= 0.15
    at = np.abs(np.subtract.outer(later_s, apex_s)).argmin(axis=1)
    pairs = matched[1:] & matched[:-1] & (np.diff(at) == 1)
    difference_ms = np.abs(1000.0 * np.diff(apex_s)[at[:-1][pairs]] - rr_ms[pairs])
    print(
        f"strap: {matched.sum()} of {beats_s.size} beats, {(later_s < 0.0).sum()} of the rest before the ECG; "
        f"median RR difference {np.median(difference_ms):.2f} ms"
    )


def trust(headers: list[Path]) -> None:
    """Signal quality against what it is to tell: whether the detector fails in these ten seconds.

    Every other half minute has muscle noise, electrode steps or a wandering base line of 0.1 to 1 of the QRS.
    """
    rng = np.random.default_rng(0)
    rate_hz, scores, fails = 130.0, [], []
    for header in headers:
        signal = read(header, None)
        ecg = resampled(signal.values, rate_hz / signal.rate_hz)
        beats_s = as_f64(beat_samples(header.with_suffix(".atr")) / signal.rate_hz)
        height = float(np.quantile(np.abs(ecg - np.median(ecg)), 0.99))
        size = round(30.0 * rate_hz)
        for part, start in enumerate(range(size, ecg.size - size, 2 * size)):
            level = height * rng.uniform(0.1, 1.0)
            ecg[start : start + size] += level * disturbance(size, rate_hz, part % 3, rng)
        second = signal_quality.second_detector(rate_hz)
        parts = [qrs.detect(second, ecg).apex, qrs.finish(second).apex]
        first_s = as_f64(qrs.detect_all(ecg, rate_hz).apex / rate_hz)
        starts_s = as_f64(np.arange(0.0, ecg.size / rate_hz - 10.0, 10.0))
        scores.append(signal_quality.quality(first_s, as_f64(np.concatenate(parts) / rate_hz), starts_s))
        right = beats_s[nearest_s(beats_s, first_s) <= 0.15]
        inside = [
            np.histogram(x, np.append(starts_s, starts_s[-1] + 10.0))[0] for x in (right, beats_s, first_s)
        ]
        fails.append(2.0 * inside[0] < 0.9 * (inside[1] + inside[2]))
    bad, score = np.concatenate(fails), np.concatenate(scores)
    above = np.subtract.outer(score[~bad], score[bad])
    auc = (above > 0.0).mean() + 0.5 * (above == 0.0).mean()
    print(f"signal quality: AUC {auc:.3f} for F1 below 90 % in 10 s ({bad.sum()} of {bad.size} windows)")


def disturbance(size: int, rate_hz: float, kind: int, rng: np.random.Generator) -> F64:
    noise = rng.standard_normal(size)
    if kind == 0:
        return as_f64(np.diff(noise, prepend=0.0))
    if kind == 1:
        steps = np.repeat(rng.standard_normal(60), size // 60 + 1)[:size]
        return as_f64(2.0 * np.convolve(steps, np.full(4, 0.25), "same"))
    walk = np.cumsum(noise)
    width = round(0.6 * rate_hz)
    walk -= np.convolve(walk, np.full(width, 1.0 / width), "same")
    return as_f64(walk / walk.std())


def breathing() -> None:
    """Respiration from made-up intervals of known breathing: 8-30 a minute, 2-60 ms deep, amid slow waves and noise."""
    errors, tries = [], 1000
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        mean_ms, depth_ms = rng.uniform(550.0, 1200.0), np.exp(rng.uniform(np.log(2.0), np.log(60.0)))
        slow_ms, slow_hz, noise_ms = rng.uniform(0.0, 30.0), rng.uniform(0.05, 0.12), rng.uniform(2.0, 15.0)
        breaths, now_s, phase, times, values = rng.uniform(8.0, 30.0), 0.0, 0.0, [], []
        while now_s < 60.0:
            rr_ms = mean_ms + depth_ms * np.sin(2 * np.pi * phase) + noise_ms * rng.standard_normal()
            rr_ms += slow_ms * np.sin(2 * np.pi * slow_hz * now_s)
            now_s += rr_ms / 1000.0
            phase += breaths / 60.0 * rr_ms / 1000.0 * (1.0 + 0.1 * rng.standard_normal())
            times.append(now_s)
            values.append(rr_ms)
        found = respiration(as_f64(times), as_f64(values)).rate_bpm
        if not np.isnan(found):
            errors.append(abs(found - breaths))
    print(
        f"respiration from made-up intervals: kept {100 * len(errors) / tries:.0f} %, "
        f"mean error {np.mean(errors):.2f}, median {np.median(errors):.2f} a minute"
    )


def resampled(values: F64, factor: float) -> F64:
    if factor == 1.0:
        return values
    size = round(values.size * factor)
    spectrum = np.fft.rfft(values)[: size // 2 + 1]
    return as_f64(np.fft.irfft(spectrum, size) * factor)
