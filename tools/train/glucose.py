"""Train the population that a new wearer's forecaster starts from, and show how well it does.

    python -m tools.train.glucose DATA.csv.gz [--write]

DATA has the columns subject, time, glucose_mg_dl, as AZT1D has when harmonised by Glucose-ML. All figures
are leave-subjects-out: whoever is scored had no part in the weights. `--write` puts the population of all
subjects into dsp/glucose/population.py.
"""

import argparse
import csv
import gzip
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.glucose import forecast
from dsp.glucose.forecast import FEATURES, HORIZONS_MIN, Population
from dsp.glucose.readings import JUMP_MG_DL_MIN, Trace, trace

TARGET = Path(__file__).parents[2] / "dsp/glucose/population.py"
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 the times are local, without a zone
WITHIN_MIN = (
    2.5  # a reading this close to the horizon is what the forecast was about; nothing is interpolated
)
RIDGE = 1e-3


class Lesson(NamedTuple):
    """What one subject contributes: features, spreads, targets, and the sums of the normal equations."""

    features: F64
    spreads: F64
    changes: F64  # [3, n], mg/dL to each horizon, NaN where no reading is there
    gram: F64
    readings: int
    normal: F64  # [3, 20, 20]
    right: F64  # [3, 20]


def load(path: Path) -> dict[str, Trace]:
    """Each subject's readings."""
    times: dict[str, list[float]] = {}
    values: dict[str, list[float]] = {}
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            minutes = (datetime.fromisoformat(row["time"]) - EPOCH).total_seconds() / 60.0
            times.setdefault(row["subject"], []).append(minutes)
            values.setdefault(row["subject"], []).append(float(row["glucose_mg_dl"] or "nan"))
    return {subject: trace(times[subject], values[subject]) for subject in times}


def ahead(readings: Trace, minutes: float) -> F64:
    """The reading nearest to `minutes` after each, if there is one within 2.5 min."""
    t, g = readings.t_min, readings.glucose_mg_dl
    first = np.searchsorted(t, t + minutes - WITHIN_MIN, side="right")
    best, distance = np.full(t.size, np.nan), np.full(t.size, WITHIN_MIN)
    for step in range(6):
        at = np.minimum(first + step, t.size - 1)
        off = np.abs(t[at] - t - minutes)
        closer = off < distance
        best[closer], distance[closer] = g[at][closer], off[closer]
    return best


def lesson(readings: Trace) -> Lesson:
    rows = forecast.feature_rows(readings.t_min, readings.glucose_mg_dl, JUMP_MG_DL_MIN)
    x, known = rows[:, :FEATURES], rows[:, -1]
    changes = np.array([ahead(readings, h) - readings.glucose_mg_dl for h in HORIZONS_MIN])
    full = x[known == 12]
    usable = [(known >= 7) & ~np.isnan(change) for change in changes]
    return Lesson(
        x,
        rows[:, FEATURES:-1],
        changes,
        full.T @ full,
        len(full),
        np.array([x[u].T @ x[u] for u in usable]),
        np.array([x[u].T @ change[u] / 10.0 for u, change in zip(usable, changes, strict=True)]),
    )


def fit(lessons: list[Lesson]) -> Population:
    """Ridge regression for the weights, weighted least squares on the absolute errors for the spread."""
    gram = sum(part.gram for part in lessons) / sum(part.readings for part in lessons)
    whitening = np.linalg.inv(np.linalg.cholesky(gram + RIDGE * np.diag(np.diag(gram))))
    weights, spreads, quantiles = [], [], []
    for h in range(len(HORIZONS_MIN)):
        normal = np.sum([part.normal[h] for part in lessons], axis=0)
        normal += np.eye(FEATURES) * 1e-6 * np.trace(normal) / FEATURES
        raw = np.linalg.solve(normal, np.sum([part.right[h] for part in lessons], axis=0))
        weights.append(np.linalg.solve(whitening.T, raw))
        errors = np.concatenate([part.changes[h] - 10.0 * part.features @ raw for part in lessons])
        spread = np.concatenate([part.spreads for part in lessons])[~np.isnan(errors)]
        errors = errors[~np.isnan(errors)]
        weight = np.ones(errors.size)
        for _ in range(3):
            fitted = np.linalg.lstsq(spread * weight[:, None], np.abs(errors) * weight, rcond=None)[0]
            weight = 1.0 / np.maximum(spread @ fitted, 2.0)
        spreads.append(fitted)
        low, high = np.quantile(errors * weight, (0.05, 0.95))
        quantiles.append([-low, high])
    return Population(whitening, np.array(weights), np.array(spreads), np.array(quantiles))


def last_and_ar2(readings: Trace) -> tuple[F64, F64]:
    """Two forecasts for 30 min to compare with: the last value, and Nightscout's AR2 (constants of its code)."""
    t, g = readings.t_min, readings.glucose_mg_dl
    now = np.log(g / 140.0)
    follows = np.diff(t, prepend=-np.inf) < 7.5
    before = np.where(follows, np.roll(now, 1), now)
    for _ in range(6):
        step = np.clip(-0.723 * before + 1.716 * now, np.log(36.0 / 140.0), np.log(400.0 / 140.0))
        before, now = now, step
    return g, 140.0 * np.exp(now)


def left_out(subjects: dict[str, Trace]) -> dict[str, F64]:
    """Forecasts for each subject, causal and from a population without that subject: rows of `advance`."""
    lessons = {subject: lesson(readings) for subject, readings in subjects.items()}
    rows = {}
    for subject, readings in subjects.items():
        others = fit([part for other, part in lessons.items() if other != subject]).packed()
        state = forecast.initial_state(others)
        pace = np.array(forecast.PACE)
        rows[subject] = forecast.advance(state, readings.t_min, readings.glucose_mg_dl, others, pace)
    return rows


def scores(readings: Trace, rows: F64) -> dict[str, float]:
    """RMSE and coverage of each horizon, in mg/dL and %, and the two comparisons."""
    found = {}
    for h, minutes in enumerate(HORIZONS_MIN):
        truth = ahead(readings, minutes)
        there = ~np.isnan(truth)
        error = (truth - rows[:, 3 * h])[there]
        inside = (truth >= rows[:, 3 * h + 1]) & (truth <= rows[:, 3 * h + 2])
        found[f"rmse_{minutes:.0f}"] = float(np.sqrt(np.mean(error**2)))
        found[f"mae_{minutes:.0f}"] = float(np.mean(np.abs(error)))
        found[f"coverage_{minutes:.0f}"] = 100.0 * float(np.mean(inside[there]))
        found[f"finite_{minutes:.0f}"] = float(np.isfinite(rows[:, 3 * h]).all())
        if minutes == 30.0:
            for name, other in zip(("last", "ar2"), last_and_ar2(readings), strict=True):
                found[f"rmse_30_{name}"] = float(np.sqrt(np.mean((truth - other)[there] ** 2)))
    return found


def write(population: Population) -> None:
    """The population as a module."""
    packed = population.packed()
    lines = [
        '"""What a new wearer\'s forecaster starts from: written by tools/train/glucose.py, not by hand.',
        "",
        "Trained on AZT1D: Khamesian S et al. 2025, doi 10.17632/gk9m674wcx.1, CC BY 4.0, as harmonised by",
        "Glucose-ML (Prioleau T et al., arXiv 2507.14077).",
        '"""',
        "",
        "import numpy as np",
        "",
        "# `dsp.glucose.forecast.Population.packed`, row after row.",
        "# fmt: off",
        "POPULATION = np.array([",
    ]
    numbers = [f"{value:.9g}," for value in packed]
    lines += ["    " + " ".join(numbers[i : i + 6]) for i in range(0, len(numbers), 6)]
    lines += ["])", "# fmt: on", ""]
    TARGET.write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA.csv.gz")
    parser.add_argument("--write", action="store_true", help="replace the population that is shipped")
    args = parser.parse_args()
    subjects = load(args.data)
    rows = left_out(subjects)
    table = {subject: scores(readings, rows[subject]) for subject, readings in subjects.items()}
    for name in next(iter(table.values())):
        values = [row[name] for row in table.values()]
        print(f"{name:14} mean {np.mean(values):8.3f}   worst {max(values):8.3f}   least {min(values):8.3f}")
    if args.write:
        write(fit([lesson(readings) for readings in subjects.values()]))


if __name__ == "__main__":
    main()
