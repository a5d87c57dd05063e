"""How right the cardiac processing is on labelled recordings: rhythm, cleaning, QRS, with the shipped weights.

    python -P -m tools.bench.cardiac_truth DATA

DATA holds afdb_rr.csv.gz, mitdb_rr.csv.gz, nsr2db_rr.csv.gz and mitdb_ecg/*.hea. Of records in the weights' training
(the card in dsp/cardiac/rhythm_weights.py) the rhythm figures are in-sample; `tools.train_rhythm --folds` says what
to expect of others.
"""

import csv
import gzip
import sys
from itertools import groupby
from pathlib import Path

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import qrs, rhythm
from dsp.cardiac.intervals import Beat, judge_all, normal
from dsp.cardiac.rhythm_weights import FAST_THRESHOLD, ONSET_THRESHOLD, SURE_THRESHOLD
from dsp.cardiac.signal_quality import nearest_s
from dsp.cardiac.time_domain import time_domain
from tools.rhythm_truth import Record, Thresholds, figures, merged_split_lost
from tools.rhythm_truth import read as read_rhythms
from tools.wfdb_record import beat_samples
from tools.wfdb_record import read as read_signal

SINUS, PREMATURE, SINUS_BEATS = ("N", "B", "T"), ("A", "a", "J", "S", "V"), ("N", "L", "R")


def main() -> None:
    data = Path(sys.argv[1])
    records = read_rhythms(data)
    rhythms(records)
    premature(data / "mitdb_rr.csv.gz")
    cleaning([r for r in records if r.database == "nsr2db"])
    for rate_hz in (360.0, 130.0):
        complexes(sorted((data / "mitdb_ecg").glob("*.hea")), rate_hz)


def rhythms(records: list[Record]) -> None:
    at = Thresholds(FAST_THRESHOLD, ONSET_THRESHOLD, SURE_THRESHOLD)
    rng = np.random.default_rng(0)
    for what, of in (
        ("as recorded", records),
        ("with 3 % merged, 1 % split, 5 % lost", [merged_split_lost(r, rng) for r in records]),
    ):
        print(f"rhythm {what}, pooled per beat, %")
        for line in figures([(r, rhythm.screen_all(as_f64(r.rr_ms))) for r in of], at):
            print(f"  {line}")


def premature(file: Path) -> None:
    """Premature beats among beats in sinus rhythm: labelled so, and early against the median of 11."""
    hit = late = total = others = 0
    with gzip.open(file, "rt") as lines:
        rows = list(csv.reader(lines))[1:]
    for _, group in groupby(rows, key=lambda row: row[0]):
        columns = list(zip(*group, strict=True))
        rr_ms, name, symbol = (
            as_f64([float(x) for x in columns[1]]),
            np.array(columns[2]),
            np.array(columns[3]),
        )
        local = np.array([np.median(rr_ms[max(k - 5, 0) : k + 6]) for k in range(rr_ms.size)])
        flagged = judge_all(rr_ms, np.ones(rr_ms.size)).beat == Beat.PREMATURE
        in_sinus = np.isin(name, SINUS)
        early = in_sinus & np.isin(symbol, PREMATURE) & (rr_ms < 0.85 * local)
        other = in_sinus & np.isin(symbol, SINUS_BEATS)
        hit, total = hit + int((flagged & early).sum()), total + int(early.sum())
        late, others = late + int((flagged & other).sum()), others + int(other.sum())
    print(
        f"premature beats: Se {100 * hit / total:.2f} of {total}, Sp {100 - 100 * late / others:.2f} of {others}"
    )


def cleaning(records: list[Record]) -> None:
    """Error of RMSSD after cleaning, over clean five-minute windows with beats disturbed."""
    rng = np.random.default_rng(3)
    clean = [w for r in records for w in clean_windows(r.rr_ms)]
    clean = [clean[k] for k in rng.permutation(len(clean))[:78]]
    for kind in ("missed", "extra", "misplaced"):
        errors = []
        for window in clean:
            rr_ms = broken(window, kind, 0.05, rng)
            found = judge_all(rr_ms, np.ones(rr_ms.size))
            _, nn_ms, follows = normal(found, as_f64(np.cumsum(rr_ms) / 1000.0))
            truth = np.sqrt(np.mean(np.diff(window) ** 2))
            errors.append(abs(time_domain(nn_ms, follows).rmssd_ms / truth - 1.0))
        print(
            f"5 % {kind}: RMSSD error median {100 * np.median(errors):.2f} %, mean {100 * np.mean(errors):.2f} %"
        )


def clean_windows(rr_ms: F64) -> list[F64]:
    t_s = np.cumsum(rr_ms) / 1000.0
    found = []
    for begin in np.arange(2000.0, t_s[-1] - 400.0, 3000.0):
        window = rr_ms[(t_s >= begin) & (t_s < begin + 300.0)]
        local = np.array([np.median(window[max(k - 5, 0) : k + 6]) for k in range(window.size)])
        if window.size > 200 and (np.abs(window - local) < 0.2 * local).all():
            found.append(window)
    return found


def broken(clean: F64, kind: str, share: float, rng: np.random.Generator) -> F64:
    """Beats missed, added at 20-80 % of an interval, or moved by 10-40 % of the shorter neighbour."""
    rr = clean.copy()
    at = np.sort(rng.choice(np.arange(2, rr.size - 2), round(share * rr.size), replace=False))
    if kind == "missed":
        for k in at:
            rr[k + 1] += rr[k]
        return as_f64(np.delete(rr, at))
    if kind == "extra":
        part = rng.uniform(0.2, 0.8, at.size) * rr[at]
        rr[at] -= part
        return as_f64(np.insert(rr, at, part))
    for k in at:
        shift = rng.uniform(0.1, 0.4) * min(rr[k], rr[k + 1]) * rng.choice([-1, 1])
        rr[k] += shift
        rr[k + 1] -= shift
    return rr


def complexes(headers: list[Path], rate_hz: float) -> None:
    """QRS complexes against annotated beats, within 150 ms."""
    matched = found = truth = 0
    for header in headers:
        signal = read_signal(header, None)
        beats_s = as_f64(beat_samples(header.with_suffix(".atr")) / signal.rate_hz)
        ecg = resampled(signal.values, rate_hz / signal.rate_hz)
        apex_s = as_f64(qrs.detect_all(ecg, rate_hz).apex / rate_hz)
        matched += int((nearest_s(beats_s, apex_s) <= 0.15).sum())
        found, truth = found + apex_s.size, truth + beats_s.size
    print(f"QRS at {rate_hz:.0f} Hz: F1 {200 * matched / (found + truth):.3f} % of {truth} beats")


def resampled(values: F64, factor: float) -> F64:
    if factor == 1.0:
        return values
    size = round(values.size * factor)
    spectrum = np.fft.rfft(values)[: size // 2 + 1]
    return as_f64(np.fft.irfft(spectrum, size) * factor)


if __name__ == "__main__":
    main()
