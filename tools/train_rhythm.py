"""Trains the rhythm network on recordings, or says how it does on recordings it has not seen.

    python -P -m tools.train_rhythm DATA --folds 5          figures on records left out, fold by fold
    python -P -m tools.train_rhythm DATA --out WEIGHTS.py   weights from all records

DATA holds afdb_rr.csv.gz, mitdb_rr.csv.gz (record, rr_ms, rhythm) and nsr2db_rr.csv.gz (subject, rr_ms). AFIB is
the positive class; flutter and junctional rhythm are not. Folds are of whole records: no person is on both sides.
Training disturbs what it sees so that the network cannot lean on it: the resolution of the recorder, merged, split
and lost intervals, and premature beats put into sinus rhythm.
"""

import argparse
import base64
import csv
import gzip
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.cardiac.rhythm import SHAPES, SURE_LAG
from tools.rhythm_net import F32, Pass, Weights, initial_weights, probabilities, sigmoid

BEATS = 1024  # of a training segment, besides what its windows reach
BEFORE, AFTER = 208, 64
BATCH = 8
STEPS = 2200
SHARES = {"afdb": 0.45, "mitdb": 0.3, "nsr2db": 0.25}
SPLICED = 0.12  # of the segments: two rhythms of different people, joined


class Record(NamedTuple):
    """One person's beats."""

    database: str
    name: str
    rr_ms: npt.NDArray[np.float64]
    is_af: npt.NDArray[np.bool_]


def read(data: Path) -> list[Record]:
    records = []
    for database in SHARES:
        with gzip.open(data / f"{database}_rr.csv.gz", "rt") as lines:
            rows = csv.reader(lines)
            header = next(rows)
            rhythm = header.index("rhythm") if "rhythm" in header else 0
            for name, beats in groupby(rows, key=lambda row: row[0]):
                columns = list(zip(*beats, strict=True))
                af = np.array([value == "AFIB" for value in columns[rhythm]])
                records.append(Record(database, name, np.array(columns[1], float), af))
    return records


def disturbed(record: Record, start: int, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    """A training segment: intervals, labels, and where there are beats."""
    size = BEATS + BEFORE + AFTER
    lo, hi = max(start - BEFORE, 0), min(start + BEATS + AFTER + 200, len(record.rr_ms))
    rr, af = record.rr_ms[lo:hi].copy(), record.is_af[lo:hi].astype(np.float64)
    if rng.random() < 0.35 and not af.any():
        ectopy(rr, rng)
    if rng.random() < 0.35:
        rr, af = artefacts(rr, af, rng)
    if rng.random() < 0.5:
        rr = warped(rr, rng.uniform(0.6, 1.2) if af.any() else rng.uniform(0.75, 1.35))
    rr = rr * np.exp(rng.uniform(-0.2, 0.2)) + rng.uniform(-4.0, 4.0, len(rr))
    before = BEFORE if lo == start - BEFORE else start - lo
    out = np.zeros((3, size), np.float32)
    offset = BEFORE - before
    n = min(len(rr), size - offset)
    out[0] = rr[0]
    out[0, offset : offset + n], out[1, offset : offset + n], out[2, offset : offset + n] = (
        rr[:n],
        af[:n],
        1.0,
    )
    return out[0], out[1], out[2]


def spliced(records: list[Record], rng: np.random.Generator) -> Record:
    """An episode of AF of one person amid other rhythm of another: onsets are too rare to learn from otherwise."""
    size = BEATS + BEFORE + AFTER + 200
    with_af = [r for r in records if r.is_af.sum() > size]
    without = [r for r in records if r.database != "afdb" and not r.is_af.any()]
    af, other = with_af[rng.integers(len(with_af))], without[rng.integers(len(without))]
    episode = longest_stretch(af.is_af)
    start = int(rng.integers(episode[0], max(episode[1] - size, episode[0] + 1)))
    inside = af.rr_ms[start : min(start + size, episode[1])]
    start = int(rng.integers(max(len(other.rr_ms) - size, 1)))
    rr = other.rr_ms[start : start + size].copy()
    is_af = np.zeros(len(rr), bool)
    at = int(rng.integers(BEFORE, BEFORE + BEATS - 100))
    length = min(int(np.exp(rng.uniform(np.log(30), np.log(1200)))), len(inside), len(rr) - at)
    rr[at : at + length], is_af[at : at + length] = inside[:length], True
    return Record("spliced", other.name, rr, is_af)


def longest_stretch(flag: npt.NDArray[np.bool_]) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flag.astype(np.int8), [0]])))
    longest = int(np.argmax(edges[1::2] - edges[::2]))
    return int(edges[2 * longest]), int(edges[2 * longest + 1])


def warped(rr: npt.NDArray[np.float64], power: float) -> npt.NDArray[np.float64]:
    """The same course, less or more irregular about its moving mean."""
    span = np.convolve(np.ones(len(rr)), np.ones(31), "same")
    level = np.convolve(rr, np.ones(31), "same") / span
    return np.asarray(level * (rr / level) ** power)


def ectopy(rr: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """Premature beats in sinus rhythm: isolated, in runs, bigeminal, with whole or partial pauses."""
    burden = rng.choice([0.02, 0.05, 0.1, 0.2, 0.35])
    early = rng.uniform(0.5, 0.85)
    spread, pause = rng.uniform(0.0, 0.06), rng.uniform(0.95, 1.25)
    whole = rng.random() < 0.5
    at = 1
    while at < len(rr) - 1:
        if rng.random() < burden:
            base = rr[at]
            rr[at] = base * np.clip(early + spread * rng.standard_normal(), 0.4, 0.92)
            rr[at + 1] = 2.0 * base - rr[at] if whole else rr[at + 1] * pause
            at += 2 if rng.random() < 0.5 else 1
        at += 1


def artefacts(
    rr: npt.NDArray[np.float64], af: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Merged, split and lost intervals, at rates up to 5, 2 and 7 %."""
    return merged_split_lost(rr, af, rng, rng.uniform(0, 0.05), rng.uniform(0, 0.02), rng.uniform(0, 0.07))


def merged_split_lost(
    rr: npt.NDArray[np.float64],
    af: npt.NDArray[np.float64],
    rng: np.random.Generator,
    merge: float,
    split: float,
    lose: float,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Two intervals as one, one as two, one missing: each at its rate."""
    chance = rng.random(len(rr))
    keep = np.ones(len(rr), bool)
    rr = rr.copy()
    for k in np.flatnonzero(chance[:-1] < merge):
        rr[k + 1] += rr[k]
        keep[k] = False
    keep &= rng.random(len(rr)) >= lose
    rr, af, chance = rr[keep], af[keep], chance[keep]
    is_split = (chance >= merge) & (chance < merge + split)
    parts = np.where(is_split, rng.uniform(0.2, 0.8, len(rr)), 1.0)
    at = np.flatnonzero(is_split)
    rest = (rr * (1.0 - parts))[at]
    return np.insert(rr * parts, at + 1, rest), np.insert(af, at + 1, af[at])


def batches(records: list[Record], steps: int, rng: np.random.Generator) -> Iterator[tuple[F32, F32, F32]]:
    pools = {d: [r for r in records if r.database == d] for d in SHARES}
    names, shares = list(SHARES), list(SHARES.values())
    for _ in range(steps):
        segments = []
        for _ in range(BATCH):
            if rng.random() < SPLICED:
                segments.append(disturbed(spliced(records, rng), BEFORE, rng))
                continue
            pool = pools[names[rng.choice(len(names), p=shares)]]
            record = pool[rng.integers(len(pool))]
            segments.append(disturbed(record, int(rng.integers(max(len(record.rr_ms) - BEATS, 1))), rng))
        rr, af, mask = map(np.stack, zip(*segments, strict=True))
        yield rr, af, mask


def after_onset(af: F32) -> F32:
    """1 from 6 to 48 beats after the onset of AF: the fast tier is judged there."""
    near = np.zeros_like(af)
    for row, start in zip(*np.nonzero(np.diff(af, axis=1, prepend=af[:, :1]) > 0), strict=True):
        near[row, start + 6 : start + 48] = 1.0
    return near * af


def train(records: list[Record], steps: int, seed: int, log: bool = False) -> Weights:
    """Adam on the cross-entropy of both tiers, cosine rate; the mean of the last weights is returned."""
    rng = np.random.default_rng(seed)
    w = initial_weights(rng)
    first = {k: np.zeros_like(v) for k, v in w.items()}
    second = {k: np.zeros_like(v) for k, v in w.items()}
    mean = {k: v.copy() for k, v in w.items()}
    loss = 0.0
    for step, (rr, af, mask) in enumerate(batches(records, steps, rng)):
        run = Pass(w, rr, mask)
        counted = mask.copy()
        counted[:, :BEFORE] = counted[:, BEFORE + BEATS :] = 0.0
        weight = {"sure": counted, "fast": counted * (1.0 + 1.5 * after_onset(af))}
        g_logit = {
            tier: (weight[tier] * (sigmoid(logit) - af) / counted.sum()).astype(np.float32)
            for tier, logit in run.logit.items()
        }
        p = np.clip(sigmoid(run.logit["sure"]), 1e-6, 1 - 1e-6)
        bce = -(counted * (af * np.log(p) + (1 - af) * np.log(1 - p))).sum() / counted.sum()
        loss += 0.02 * (bce - loss)
        if log and step % 200 == 0:
            print(f"  step {step} loss {loss:.4f}", flush=True)
        rate = 4e-3 * 0.5 * (1.0 + np.cos(np.pi * step / steps)) * min(1.0, (step + 1) / 50)
        for k, g in run.back(g_logit).items():
            g = g + 1e-4 * w[k]
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.99 * second[k] + 0.01 * g * g
            m, v = first[k] / (1 - 0.9 ** (step + 1)), second[k] / (1 - 0.99 ** (step + 1))
            w[k] = (w[k] - rate * m / (np.sqrt(v) + 1e-7)).astype(np.float32)
            mean[k] = (0.99 * mean[k] + 0.01 * w[k]).astype(np.float32)
    return mean


def folds(
    records: list[Record], count: int, steps: int, seed: int
) -> dict[str, list[tuple[Record, F32, F32]]]:
    """Fast and sure probabilities of each record, by a network that has not seen it."""
    found: dict[str, list[tuple[Record, F32, F32]]] = {database: [] for database in SHARES}
    place = {d: [r.name for r in records if r.database == d] for d in SHARES}
    for fold in range(count):
        unseen = [r for r in records if place[r.database].index(r.name) % count == fold]
        w = train([r for r in records if r not in unseen], steps, seed + fold)
        for record in unseen:
            found[record.database].append((record, *probabilities(w, record.rr_ms)))
    return found


def figures(
    found: dict[str, list[tuple[Record, F32, F32]]], fast_at: float, sure_at: float
) -> dict[str, str]:
    """Pooled sensitivity and specificity per beat, %."""
    lines = {}
    for database, parts in found.items():
        is_af = np.concatenate([record.is_af for record, _, _ in parts])
        text = []
        for tier, at, index in (("fast", fast_at, 1), ("sure", sure_at, 2)):
            flagged = np.concatenate([part[index] for part in parts]) >= at
            se = f"Se {100 * flagged[is_af].mean():.2f} " if is_af.any() else ""
            text.append(f"{tier} {se}Sp {100 * (~flagged[~is_af]).mean():.2f}")
        lines[database] = ", ".join(text)
    return lines


CARD = '''"""Weights of the rhythm network, and what they were made of. Written by `tools.train_rhythm`: do not edit.

Purpose: screening for atrial fibrillation from RR intervals; not a diagnosis.
Data: {records}
(MIT-BIH AF Database, MIT-BIH Arrhythmia Database, Normal Sinus Rhythm RR Interval Database; PhysioNet, ODC-By 1.0).
Positive: AFIB. Negative: everything else, flutter and junctional rhythm included.
Training: {steps} steps, seed {seed}; disturbed intervals and spliced rhythms as `tools.train_rhythm` describes.
{figures}
Weak where it has seen little: slow regularised AF (paced, or under strong rate control), flutter with changing
conduction, chaotic atrial rhythm; wandering pacemakers and strong sinus arrhythmia can look like AF.
"""

# At and above, a beat counts as AF: at once, for a first alarm at an onset, and {lag} beats later.
FAST_THRESHOLD = {fast_at}
ONSET_THRESHOLD = {onset_at}
SURE_THRESHOLD = {sure_at}
# Half-precision numbers, little endian, in the order of `dsp.cardiac.rhythm.SHAPES`, base 85.
FLOAT16 = (
{lines}
)
'''


def write(w: Weights, out: Path, card: dict[str, object]) -> None:
    flat = np.concatenate([w[name].ravel() for name in SHAPES]).astype("<f2")
    text = base64.b85encode(flat.tobytes()).decode()
    lines = "\n".join(f'    "{text[k : k + 100]}"' for k in range(0, len(text), 100))
    out.write_text(CARD.format(lines=lines, **card))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figures", default="", help="what the card says about recordings left out")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fast-at", type=float, default=0.5)
    parser.add_argument("--onset-at", type=float, default=0.4)
    parser.add_argument("--sure-at", type=float, default=0.5)
    options = parser.parse_args()
    records = read(options.data)
    if options.folds:
        found = folds(records, options.folds, options.steps, options.seed)
        for database, line in figures(found, options.fast_at, options.sure_at).items():
            print(database, line)
    if options.out:
        counts = ", ".join(f"{sum(r.database == d for r in records)} of {d}" for d in SHARES)
        card = {"records": counts, "steps": options.steps, "seed": options.seed, "figures": options.figures}
        card |= {"fast_at": options.fast_at, "onset_at": options.onset_at, "sure_at": options.sure_at}
        card["lag"] = SURE_LAG
        write(train(records, options.steps, options.seed, log=True), options.out, card)


if __name__ == "__main__":
    main()
