"""The notice of an irregular rhythm, as a gateway gives it: AF for half an hour at rest, or for an hour at any rate.

    python -P -m tools.bench.af_notice DATA

DATA holds afdb, mitdb, mitdb_more, nsr2db, nsr2db_more and chf2db, each as <name>_rr.csv.gz with the columns record or
subject, rr_ms and, where there are labels, rhythm. Every record is worn from its beginning to its end as the packets of
a strap, a minute at a time. Records of the training data are judged by weights that have not seen them (five folds of
whole records), the others by those that are shipped. A person without labels counts as one without AF.

An episode is AF of at least half an hour by the labels, less than 30 s between two runs not counted. It is caught by a
notice between its start and five minutes after its end, which is late by what it comes after the half hour. A notice is
false if less than half of what it calls AF is labelled so. A person is at rest by the gateway's own rule, with two
answers to what the night's rate is: that of people in general, as in the first nights; or the person's own (the
quietest three hours without AF, or in general where there are none).

PPV is by person: the share of those noticed within a day who have such AF, if so many of all have it. Where nobody
without AF was noticed it is a lower bound, with the upper end of the 95 % interval of none (3 / people).
"""

import argparse
import csv
import gzip
import math
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from dsp.cardiac import af_stream, rhythm
from edge.clock import NS_PER_S
from edge.config import Alerts
from edge.now.rest import PRIOR_NIGHT_BPM
from edge.now.rhythm_state import RhythmState, Taken
from edge.store.raw_chunks import NO_BEAT
from protocols.heart_rate import HeartRateMeasurement, RrUnit
from tools.train import rhythm as train
from tools.train.rhythm_truth import DATABASES, Record

SUSTAINED_S, AT_ALL_S = Alerts().irregular_rhythm_s, Alerts().irregular_rhythm_unsure_s
LATE_S, NIGHT_S, MINUTE_S = 300.0, 3 * 3600.0, 60.0
UNSEEN = ("mitdb_more", "nsr2db_more", "chf2db")
PREVALENCES = (0.005, 0.02, 0.05)
Span = tuple[float, float]


class Rule(NamedTuple):
    """How long AF must have lasted, at rest and whatever the rate; and whose night's rate says what rest is."""

    name: str
    own_night: bool
    at_rest_s: float
    at_all_s: float


RULES = (
    Rule("the gateway's rule, with the night's rate of people in general", False, SUSTAINED_S, AT_ALL_S),
    Rule("the gateway's rule, with the person's own night's rate", True, SUSTAINED_S, AT_ALL_S),
    Rule("at rest alone, with the night's rate of people in general", False, SUSTAINED_S, math.inf),
    Rule("at rest alone, with the person's own night's rate", True, SUSTAINED_S, math.inf),
    Rule("rest is not asked for", False, math.inf, SUSTAINED_S),
)


class Outcome(NamedTuple):
    """What came of one record: its episodes, of which so many were caught, when, and what else was said."""

    database: str
    hours: float
    hours_without: float
    episodes: int
    delays_min: list[float]
    false: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    records = [(record, w) for record, w in judges(options.data) if record.rr_ms.size]
    for rule in RULES:
        outcomes = [worn(record, w, rule) for record, w in records]
        print(f"\n{rule.name}")
        for database in (*DATABASES, *UNSEEN):
            show(database, [one for one in outcomes if one.database == database])
        show_people(outcomes)


def judges(data: Path) -> Iterator[tuple[Record, rhythm.Weights]]:
    """Each record, with weights that have not seen it."""
    known = [record for name in DATABASES for record in read(data, name)]
    learned = list(train.everything(known, np.random.default_rng(1)))
    yield from train.folds(known, learned, 5)
    shipped = rhythm.weights()
    for name in UNSEEN:
        yield from ((record, shipped) for record in read(data, name))


def read(data: Path, database: str) -> Iterator[Record]:
    with gzip.open(data / f"{database}_rr.csv.gz", "rt") as lines:
        rows = csv.reader(lines)
        header = next(rows)
        at = header.index("rhythm") if "rhythm" in header else 0
        for name, beats in groupby(rows, key=lambda row: row[0]):
            columns = list(zip(*beats, strict=True))
            is_af = np.array([value == "AFIB" for value in columns[at]])
            yield Record(database, name, np.array(columns[1], float), is_af)


def packets(rr_ms: F64) -> Iterator[list[Taken]]:
    """What a strap sends of these beats, a minute at a time: a packet a second, its rate that of the last beats."""
    ticks = np.maximum(np.rint(rr_ms * 1.024), 1.0).astype(int)
    ends_s = 1.0 + np.cumsum(ticks) / 1024
    mean_ms = np.convolve(rr_ms, np.ones(8) / 8, "full")[: rr_ms.size]
    at, part = 0, []
    for second in range(2, int(ends_s[-1]) + 2):
        end = int(np.searchsorted(ends_s, second, side="right"))
        bpm = int(min(60_000 / max(mean_ms[max(end - 1, 0)], 200.0), 250))
        beat_ns = round(float(ends_s[end - 1]) * 1e6) * 1000 if end > at else NO_BEAT
        part.append(
            (
                second * NS_PER_S,
                beat_ns,
                HeartRateMeasurement(bpm, rr_ticks=tuple(ticks[at:end].tolist()) or None),
            )
        )
        at = end
        if len(part) == MINUTE_S:
            yield part
            part = []
    yield part


def worn(record: Record, w: rhythm.Weights, rule: Rule) -> Outcome:
    """A record from its beginning to its end."""
    rr_ms = as_f64(record.rr_ms)
    t_s = 1.0 + np.cumsum(rr_ms) / 1000.0
    labels = record.is_af
    true = [span for span in spans(t_s, rr_ms, labels) if span[1] - span[0] >= SUSTAINED_S]
    state = RhythmState(RrUnit.TICKS)
    state.begin_boot(1, 0, 0.0)
    state.resting.night_bpm = night_bpm(rr_ms, labels) if rule.own_night else PRIOR_NIGHT_BPM
    told: dict[float, Span] = {}
    rhythm_weights, rhythm.weights = rhythm.weights, lambda: w  # type: ignore[assignment]
    try:
        for part in packets(rr_ms):
            now_s = part[-1][0] / NS_PER_S if part else 0.0
            state.take(part)
            known = state.known(now_s)
            if known is None or known.af is None or known.af.is_over:
                continue
            start_s, end_s = now_s - known.af.begin_age_s, now_s - known.af.end_age_s
            if known.af_resting_s >= rule.at_rest_s or end_s - start_s >= rule.at_all_s:
                told.setdefault(round(start_s, 3), (now_s, end_s))
    finally:
        rhythm.weights = rhythm_weights
    return judged(record, t_s, told, true)


def judged(record: Record, t_s: F64, told: dict[float, Span], true: list[Span]) -> Outcome:
    labels, delays_min, false = record.is_af, [], 0
    for begin_s, end_s in true:
        times = [now_s for now_s, _ in told.values() if begin_s <= now_s <= end_s + LATE_S]
        delays_min += [(min(times) - begin_s - SUSTAINED_S) / 60.0] if times else []
    for begin_s, (_, end_s) in told.items():
        false += not labels[slice(*np.searchsorted(t_s, (begin_s, end_s)))].mean() >= 0.5
    hours = float(record.rr_ms.sum()) / 3.6e6
    af_hours = float(record.rr_ms[labels].sum()) / 3.6e6
    return Outcome(record.database, hours, hours - af_hours, len(true), delays_min, false)


def spans(t_s: F64, rr_ms: F64, labels: npt.NDArray[np.bool_]) -> list[Span]:
    """Labelled AF, runs bridged as the product bridges them."""
    state, ones = af_stream.new_state(), np.ones(t_s.size)
    found = af_stream.follow(state, as_f64(t_s), rr_ms, ones, as_f64(labels), 0.5)
    last = af_stream.newest(state)
    return [(span.start_s, span.end_s) for span in [*found, *([last] if last else [])]]


def night_bpm(rr_ms: F64, labels: npt.NDArray[np.bool_]) -> float:
    """Of the quietest three hours without AF."""
    usable = ~labels & (rr_ms > 300.0) & (rr_ms < 2000.0)
    total_s = np.cumsum(np.where(usable, rr_ms, 0.0)) / 1000.0
    beats = np.cumsum(usable)
    if total_s.size == 0 or total_s[-1] < NIGHT_S:
        return PRIOR_NIGHT_BPM
    starts_s = np.arange(0.0, total_s[-1] - NIGHT_S + 1.0, 300.0)
    first, last = np.searchsorted(total_s, starts_s), np.searchsorted(total_s, starts_s + NIGHT_S)
    last = np.minimum(last, total_s.size - 1)
    return float((60.0 * (beats[last] - beats[first]) / (total_s[last] - total_s[first])).min())


def show(database: str, outcomes: list[Outcome]) -> None:
    episodes = sum(one.episodes for one in outcomes)
    delays = [delay for one in outcomes for delay in one.delays_min]
    false, without = sum(one.false for one in outcomes), sum(one.hours_without for one in outcomes)
    late = f", {np.median(delays):.1f} min late (median; longest {max(delays):.0f})" if delays else ""
    print(
        f"{database}: {len(outcomes)} people, {sum(one.hours for one in outcomes):.0f} h;"
        f" caught {len(delays)} of {episodes} episodes{late};"
        f" false: {false} in {without:.0f} h without AF, {1000 * false / without:.1f} per 1,000 h"
    )


def show_people(outcomes: list[Outcome]) -> None:
    ill = [one for one in outcomes if one.episodes]
    well = [one for one in outcomes if not one.episodes and one.hours > 1.0]
    caught = sum(bool(one.delays_min) for one in ill) / len(ill)
    noticed = sum(one.false > 0 for one in well)
    share = noticed / len(well) if noticed else 3.0 / len(well)
    values = ", ".join(
        f"{100 * p * caught / (p * caught + (1 - p) * share):.0f} % at {100 * p:g} %" for p in PREVALENCES
    )
    bound = "" if noticed else " at least"
    ppv = f"PPV{bound} {values}" if caught else "no PPV, as nobody is noticed"
    those = sum(bool(one.delays_min) for one in ill)
    print(f"people: noticed {those} of {len(ill)} with such AF, {noticed} of {len(well)} without; {ppv}")


if __name__ == "__main__":
    main()
