"""How right the cardiac processing is on labelled recordings: rhythm, cleaning, QRS, with the shipped weights.

    python -P -m tools.bench.cardiac_truth DATA

DATA holds afdb_rr.csv.gz, mitdb_rr.csv.gz, nsr2db_rr.csv.gz, polar_h10.csv.gz and mitdb_ecg/*.hea. Of
records in the weights' training (the card in dsp/cardiac/rhythm_weights.py) the rhythm figures are in-sample;
`tools.train.rhythm --folds` says what to expect of others.
"""

import argparse
import csv
import gzip
from itertools import groupby
from pathlib import Path

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import rhythm
from dsp.cardiac.intervals import Beat, judge_all, normal
from dsp.cardiac.rhythm_weights import FAST_THRESHOLD, ONSET_THRESHOLD, SURE_THRESHOLD
from dsp.cardiac.time_domain import time_domain
from tools.bench import ecg_truth
from tools.train.rhythm_truth import Record, Thresholds, figures, merged_split_lost
from tools.train.rhythm_truth import read as read_rhythms

SINUS, PREMATURE, SINUS_BEATS = ("N", "B", "T"), ("A", "a", "J", "S", "V"), ("N", "L", "R")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA")
    data = parser.parse_args().data
    records = read_rhythms(data)
    rhythms(records)
    premature(data / "mitdb_rr.csv.gz")
    cleaning([r for r in records if r.database == "nsr2db"])
    ecg_truth.measure(data)


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
    """Premature beats among beats in sinus rhythm, by how many of the 61 beats around are premature."""
    found = []
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
        in_sinus, labelled = np.isin(name, SINUS), np.isin(symbol, PREMATURE)
        flagged = judge_all(rr_ms, np.ones(rr_ms.size)).beat == Beat.PREMATURE
        burden = np.convolve(labelled, np.full(61, 1.0 / 61.0), "same")
        early, other = in_sinus & labelled & (rr_ms < 0.85 * local), in_sinus & np.isin(symbol, SINUS_BEATS)
        found.append(np.stack([flagged, early, other, burden]))
    flagged, early, other, burden = np.concatenate(found, axis=1)
    for low, high in ((0.0, 0.05), (0.05, 0.15), (0.15, 0.3), (0.3, 1.01), (0.0, 1.01)):
        within = (burden >= low) & (burden < high)
        hits, passed = flagged[within & (early > 0)], 1.0 - flagged[within & (other > 0)]
        print(
            f"premature beats, {100 * low:.0f}-{100 * min(high, 1.0):.0f} % premature around: "
            f"Se {100 * hits.mean():.2f} of {hits.size}, Sp {100 * passed.mean():.2f} of {passed.size}"
        )


def cleaning(records: list[Record]) -> None:
    """Error of RMSSD after cleaning, over clean five-minute windows with beats disturbed."""
    rng = np.random.default_rng(3)
    clean = [w for r in records for w in clean_windows(r.rr_ms)]
    clean = [clean[k] for k in rng.permutation(len(clean))[:78]]
    for kind, low, high in (
        ("missed", 0.0, 0.0),
        ("extra", 0.2, 0.8),
        ("extra", 0.05, 0.95),
        ("misplaced", 0.1, 0.4),
        ("misplaced", 0.05, 0.3),
        ("misplaced", 0.3, 0.6),
    ):
        errors = []
        for window in clean:
            rr_ms = broken(window, kind, 0.05, (low, high), rng)
            found = judge_all(rr_ms, np.ones(rr_ms.size))
            _, nn_ms, follows = normal(found, as_f64(np.cumsum(rr_ms) / 1000.0))
            truth = np.sqrt(np.mean(np.diff(window) ** 2))
            errors.append(abs(time_domain(nn_ms, follows).rmssd_ms / truth - 1.0))
        median, mean = 100 * np.median(errors), 100 * np.mean(errors)
        print(f"5 % {kind} by {low}-{high} RR: RMSSD error median {median:.2f} %, mean {mean:.2f} %")


def clean_windows(rr_ms: F64) -> list[F64]:
    t_s = np.cumsum(rr_ms) / 1000.0
    found = []
    for begin in np.arange(2000.0, t_s[-1] - 400.0, 3000.0):
        window = rr_ms[(t_s >= begin) & (t_s < begin + 300.0)]
        local = np.array([np.median(window[max(k - 5, 0) : k + 6]) for k in range(window.size)])
        if window.size > 200 and (np.abs(window - local) < 0.2 * local).all():
            found.append(window)
    return found


def broken(clean: F64, kind: str, share: float, by: tuple[float, float], rng: np.random.Generator) -> F64:
    """Beats missed, added within an interval, or moved, by parts of an interval (of the shorter neighbour)."""
    rr = clean.copy()
    at = np.sort(rng.choice(np.arange(2, rr.size - 2), round(share * rr.size), replace=False))
    if kind == "missed":
        for k in at:
            rr[k + 1] += rr[k]
        return as_f64(np.delete(rr, at))
    if kind == "extra":
        part = rng.uniform(*by, at.size) * rr[at]
        rr[at] -= part
        return as_f64(np.insert(rr, at, part))
    for k in at:
        shift = rng.uniform(*by) * min(rr[k], rr[k + 1]) * rng.choice([-1, 1])
        rr[k] += shift
        rr[k + 1] -= shift
    return rr


if __name__ == "__main__":
    main()
