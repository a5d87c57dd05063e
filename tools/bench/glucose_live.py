"""How well the real-time half does: forecasts, compression label, rate of change. (Alerts: `glucose_alerts`.)

    python -m tools.bench.glucose_live DATA.csv.gz

DATA has the columns subject, time, glucose_mg_dl (AZT1D as harmonised by Glucose-ML). Forecasts are
leave-subjects-out. The rate of change is judged at each reading against that of the
interstitial glucose at that instant, on simulated people behind the noise published for the Dexcom G6 (its own part;
what the sensor shares with others, `cc`, is left out), rounded to whole mg/dL.
"""

import argparse
from pathlib import Path

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.glucose import compression, realtime, smoothing
from dsp.glucose.readings import Trace
from hw_sim.physiology.glucose import LAG_MIN, GlucoseBody
from tools.bench import uva_padova
from tools.train import glucose as train_glucose

GAP_MIN = 20.0
RATE_DAYS = 10
SCRATCH = Path(__file__).parents[2] / "build/bench-uva"


def press(readings: Trace, depth: float, random: np.random.Generator) -> tuple[F64, list[float]]:
    """The readings with compressions of 55 min (10 to build up, 15 to ease), and when they begin."""
    t, g = readings.t_min, readings.glucose_mg_dl.copy()
    starts = []
    start = t[0] + 600.0
    while start < t[-1] - 600.0:
        if np.count_nonzero((t >= start - 40.0) & (t < start + 60.0)) >= 18:
            during = (t >= start) & (t <= start + 55.0)
            since = t[during] - start
            share = np.clip(np.minimum(since / 10.0, (55.0 - since) / 15.0), 0.0, 1.0)
            g[during] = np.maximum(40.0, np.round(g[during] * (1.0 - depth * share)))
            starts.append(float(start))
        start += random.uniform(600.0, 1200.0)
    return g, starts


def show_compression(subjects: dict[str, Trace]) -> None:
    for depth in (0.3, 0.45):
        random = np.random.default_rng(1)
        events = labelled = flags = 0
        days = 0.0
        for readings in subjects.values():
            t = readings.t_min
            untouched = compression.advance(
                compression.initial_state(), t, readings.glucose_mg_dl, realtime.SIGNS
            )
            flags += int(np.sum(np.diff(untouched) > 0.0))
            steps = np.diff(t)
            days += steps[steps < GAP_MIN].sum() / 1440.0
            g, starts = press(readings, depth, random)
            label = compression.advance(compression.initial_state(), t, g, realtime.SIGNS)
            events += len(starts)
            labelled += sum(bool(label[(t >= s) & (t <= s + 10.01)].any()) for s in starts)
        print(
            f"compression by {100 * depth:.0f} %, any time of day: {100 * labelled / events:.1f} % of {events} "
            f"labelled within 10 min; {flags / days:.2f} flags a day on the readings as they are"
        )


def coloured_noise(n: int, random: np.random.Generator) -> F64:
    """The published noise of the G6's own (v): SD 5.1 mg/dL, one value in five minutes (Vettoretti et al. 2019)."""
    noise = np.zeros(n + 200)
    shocks = random.normal(0.0, np.sqrt(3.641), noise.size)
    for k in range(2, noise.size):
        noise[k] = 1.22 * noise[k - 1] - 0.331 * noise[k - 2] + shocks[k]
    return noise[200:]


def virtual_patients(scratch: Path) -> dict[str, tuple[F64, F64]]:
    """Interstitial glucose every five minutes, and its rate at that instant: 30 of UVA/Padova, 8 of Hovorka."""
    found = {}
    for name, minutes in uva_padova.bodies(scratch, RATE_DAYS, seed=1).items():
        found[name] = (minutes[::5], np.gradient(minutes)[::5])
    for seed in range(8):
        body = GlucoseBody(seed)
        for _ in range(RATE_DAYS * 288):
            next(body)
        lag = np.array(body.blood_mg_dl) - np.array(body.interstitial_mg_dl)
        found[f"Hovorka {seed}"] = (as_f64(body.interstitial_mg_dl), lag / LAG_MIN)
    return found


def show_rate(scratch: Path) -> None:
    """Rate of change behind the noise of the G6, and that of the slopes that others show."""
    errors: dict[str, list[F64]] = {}
    for seed, (name, (truth, rate)) in enumerate(virtual_patients(scratch).items()):
        noise = coloured_noise(truth.size, np.random.default_rng(seed))
        reading = as_f64(np.clip(np.round(truth + noise), 40.0, 400.0))
        t = as_f64(5.0 * np.arange(truth.size))
        rows = smoothing.advance(smoothing.initial_state(), t, reading, realtime.DYNAMICS)
        smooth = rows[:, 1] - rate
        slope = np.append(np.zeros(3), (reading[3:] - reading[:-3]) / 15.0) - rate
        one = np.append(0.0, np.diff(reading) / 5.0) - rate
        kind = name.split("#")[0].split()[0]
        errors.setdefault(kind, []).append(np.array((smooth, slope, one))[:, 24:])
    for kind, parts in errors.items():
        rmse, slope_rmse, step_rmse = (float(v) for v in np.sqrt(np.mean(np.hstack(parts) ** 2, axis=1)))
        print(
            f"rate of change, {kind:10} ({len(parts)} x {RATE_DAYS} days): RMSE {rmse:.3f} mg/dL/min; "
            f"slope over 15 min {slope_rmse:.3f}, over 5 min {step_rmse:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, metavar="DATA.csv.gz")
    subjects = train_glucose.load(parser.parse_args().data)
    rows = train_glucose.left_out(subjects)
    table = [train_glucose.scores(readings, rows[subject]) for subject, readings in subjects.items()]
    for name in table[0]:
        print(f"{name:14} {np.mean([row[name] for row in table]):8.3f}")
    show_compression(subjects)
    show_rate(SCRATCH)


if __name__ == "__main__":
    main()
