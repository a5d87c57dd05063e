"""Glucose metrics against iglu-python, py-agata and cgmquantify: one run, the same input.

    python -m tools.bench.glucose [--days 14] [--venv DIR] [--only PACKAGE ...]

The packages go into a virtual environment of their own (DIR, kept for the next time). Input are readings of a simulated
body every five minutes. Ours is the whole set: every metric, every kind of episode, the profile.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import timeit
import venv
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.glucose import realtime
from dsp.glucose.agp import agp
from dsp.glucose.grid import grid
from dsp.glucose.metrics import metrics_of
from dsp.glucose.readings import trace
from hw_sim.physiology.glucose import GlucoseBody

ROOT = Path(__file__).parents[2]
RIVALS = {
    "iglu-python": ["iglu-python==0.4.3"],
    "py-agata": ["py-agata==0.0.8"],
    # The only release whose archive still builds; it names none of what it needs.
    "cgmquantify": ["cgmquantify==0.1", "statsmodels", "pandas", "matplotlib"],
}
START = datetime(2026, 1, 1)  # noqa: DTZ001 local times without a zone are what the packages take
DISTINCT_DAYS = 30  # a year repeats a month, so that the body need not live it through


def readings(days: int) -> tuple[F64, F64]:
    body = GlucoseBody(1)
    month = np.array([next(body)[1] for _ in range(288 * min(days, DISTINCT_DAYS))])
    g = np.clip(np.resize(month, 288 * days), 40.0, 400.0)
    return as_f64(5.0 * np.arange(1, g.size + 1)), as_f64(g)


def write(path: Path, t: F64, g: F64) -> None:
    lines = [f"{START + timedelta(minutes=float(m))},{v:g}" for m, v in zip(t, g, strict=True)]
    path.write_text("\n".join(["time,glucose_mg_dl", *lines, ""]))


def ours(t: F64, g: F64) -> float:
    """Seconds for everything, from unsorted readings to the last metric; the best of runs over half a second."""

    def whole() -> None:
        one = trace(t, g)
        metrics_of(one)
        agp(grid(one, 5.0))

    whole()
    once = timeit.timeit(whole, number=3) / 3
    return min(timeit.repeat(whole, number=1, repeat=max(5, round(0.5 / once))))


def streaming(t: F64, g: F64) -> float:
    """Seconds for one reading: filter, forecasts, alerts, compression label; the best of runs of 200 readings."""
    pairs = iter(list(zip(t.tolist(), g.tolist(), strict=True)))
    wearer = realtime.new_wearer()
    realtime.update(wearer, 0.0, 100.0)

    def some() -> None:
        for minute, glucose in islice(pairs, 200):
            realtime.update(wearer, minute, glucose)

    return min(timeit.repeat(some, number=1, repeat=t.size // 200)) / 200


def cold_start() -> float:
    """Seconds from a fresh interpreter to every glucose kernel ready, the cache being warm."""
    command = [sys.executable, "-P", "-c", "from dsp.warm import warm_glucose; warm_glucose()"]

    def once() -> None:
        subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603

    once()
    return min(timeit.repeat(once, number=1, repeat=3))


def rival(name: str, python: Path, file: Path) -> dict[str, float]:
    script = Path(__file__).with_name("glucose_rivals.py")
    done = subprocess.run([python, script, name, file], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


def install(directory: Path, names: list[str]) -> Path:
    python = directory / "bin/python"
    if not python.exists():
        venv.create(directory, with_pip=True)
    for name in names:
        if not list(directory.glob(f"lib/*/site-packages/{name.replace('-', '_')}-*")):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *RIVALS[name]], check=True)  # noqa: S603
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--venv", type=Path, default=ROOT / "build/bench-glucose")
    parser.add_argument("--only", nargs="*", choices=[*RIVALS], default=[*RIVALS])
    args = parser.parse_args()
    t, g = readings(args.days)
    mine = ours(t, g)
    print(f"vitalgate     {mine * 1000:10.3f} ms for {args.days} days of {t.size} readings")
    print(f"  streaming   {streaming(t[:4000], g[:4000]) * 1e6:10.2f} us a reading")
    print(f"  cold start  {cold_start():10.2f} s with a warm cache")
    python = install(args.venv, args.only)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "readings.csv"
        write(file, t, g)
        for name in args.only:
            found = rival(name, python, file)
            times = found["seconds"] / mine
            print(
                f"{name:13} {found['seconds'] * 1000:10.0f} ms ({found['functions']:.0f} calls): {times:,.0f} x"
            )


if __name__ == "__main__":
    main()
