"""Recordings with their rhythm labelled, and how right a judgement of them is.

AFIB is the positive class; flutter, junctional and all other rhythm are not.
"""

import csv
import gzip
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64
from dsp.cardiac.rhythm import Tiers

Flags = npt.NDArray[np.bool_]
DATABASES = ("afdb", "mitdb", "nsr2db")
ONSET_BEATS = 128  # of an episode, and of other rhythm before it, for its onset to count
FALSE_RUN_S = 120.0


class Record(NamedTuple):
    """One person's beats."""

    database: str
    name: str
    rr_ms: F64
    is_af: Flags


class Thresholds(NamedTuple):
    """At and above, a beat counts as AF."""

    fast: float
    onset: float  # of the fast tier: a first alarm, sooner and more often for nothing
    sure: float


Judged = list[tuple[Record, Tiers]]


def read(data: Path) -> list[Record]:
    """All records of DATA: afdb_rr.csv.gz, mitdb_rr.csv.gz (record, rr_ms, rhythm), nsr2db_rr.csv.gz."""
    records = []
    for database in DATABASES:
        with gzip.open(data / f"{database}_rr.csv.gz", "rt") as lines:
            rows = csv.reader(lines)
            header = next(rows)
            rhythm = header.index("rhythm") if "rhythm" in header else 0
            for name, beats in groupby(rows, key=lambda row: row[0]):
                columns = list(zip(*beats, strict=True))
                af = np.array([value == "AFIB" for value in columns[rhythm]])
                records.append(Record(database, name, np.array(columns[1], float), af))
    return records


def merged_split_lost(
    record: Record, rng: np.random.Generator, merge: float = 0.03, split: float = 0.01, lose: float = 0.05
) -> Record:
    """Two intervals as one, one as two, one missing: each at its rate."""
    rr, chance = record.rr_ms.copy(), rng.random(len(record.rr_ms))
    keep = np.ones(len(rr), bool)
    for k in np.flatnonzero(chance[:-1] < merge):
        rr[k + 1] += rr[k]
        keep[k] = False
    keep &= rng.random(len(rr)) >= lose
    rr, af, chance = rr[keep], record.is_af[keep], chance[keep]
    is_split = (chance >= merge) & (chance < merge + split)
    parts = np.where(is_split, rng.uniform(0.2, 0.8, len(rr)), 1.0)
    at = np.flatnonzero(is_split)
    rest = (rr * (1.0 - parts))[at]
    return record._replace(rr_ms=np.insert(rr * parts, at + 1, rest), is_af=np.insert(af, at + 1, af[at]))


def figures(judged: Judged, at: Thresholds) -> list[str]:
    """Everything there is to say, a line each."""
    lines = []
    for database in DATABASES:
        of = [part for part in judged if part[0].database == database]
        is_af = np.concatenate([record.is_af for record, _ in of])
        for name, tier, threshold in (("fast", 0, at.fast), ("onset", 0, at.onset), ("sure", 1, at.sure)):
            values = np.concatenate([tiers[tier] for _, tiers in of])
            lines.append(f"{database} {name}: {per_beat(values, is_af, threshold)}")
    for name, threshold in (("fast", at.fast), ("onset", at.onset)):
        lines.append(f"{name}: {onsets([part for part in judged if part[0].database == 'afdb'], threshold)}")
    lines.append(false_runs([part for part in judged if part[0].database == "nsr2db"], at.sure))
    return lines


def per_beat(values: F64, is_af: Flags, threshold: float) -> str:
    """Pooled sensitivity and specificity, at the threshold and along the curve."""
    flagged = values >= threshold
    text = f"Sp {100 * (~flagged[~is_af]).mean():.2f}"
    if not is_af.any():
        return text
    curve = [
        f"{100 * se:g}: {100 * (values[~is_af] < np.quantile(values[is_af], 1 - se)).mean():.2f}"
        for se in (0.95, 0.96, 0.965, 0.97)
    ]
    return f"Se {100 * flagged[is_af].mean():.2f} {text} (Sp at Se {', '.join(curve)})"


def onsets(judged: Judged, threshold: float) -> str:
    """Beats from onset to the first flag of the fast tier, of long episodes."""
    beats = []
    for record, tiers in judged:
        for start, end in runs(record.is_af):
            alone = start >= ONSET_BEATS and not record.is_af[start - ONSET_BEATS : start].any()
            if alone and end - start >= ONSET_BEATS:
                flagged = np.flatnonzero(tiers.fast[start:end] >= threshold)
                beats.append(flagged[0] if flagged.size else 10**6)
    median, p90 = np.quantile(beats, (0.5, 0.9))
    return f"{len(beats)} onsets seen after {median:.0f} beats (median; p90 {p90:.0f})"


def false_runs(judged: Judged, threshold: float) -> str:
    count, days = 0, 0.0
    for record, tiers in judged:
        t_s = np.cumsum(record.rr_ms) / 1000.0
        found = runs(tiers.sure >= threshold)
        count += sum(t_s[end - 1] - t_s[start] >= FALSE_RUN_S for start, end in found)
        days += t_s[-1] / 86_400.0
    return f"false runs of 2 min or more: {count / days:.3f} a day ({count} in {days:.1f} days)"


def runs(flag: Flags) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(flag.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
