"""Cardiac signal processing against the libraries people use: the same data, one after the other, in one run.

    python -P -m tools.bench.cardiac [--rr CSV] [--ecg RECORD.hea] [--peers DIR]

The other libraries are installed into a virtual environment of their own in DIR. Without files the data are made up.
A window is the first 5 min of the RR series; the day is all of it, windowed every minute (of the others one window
is timed and multiplied). Each library does what it offers of the set that we compute, which is more than any of
them does: time domain, Poincaré, Lomb-Scargle, SampEn, DFA a1 and a2, triangular index, deceleration capacity.
wfdb has no variability.
"""

import argparse
import json
import subprocess
import tempfile
import timeit
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import intervals, qrs, rhythm
from dsp.cardiac.variability import variability, windows
from tools.analyse import rr_csv
from tools.analyse.wfdb_record import read

PEERS = [
    "neurokit2==0.2.13",
    "hrv-analysis==1.0.5",
    "nolds==0.5.2",
    "pyhrv==0.5.0",
    "heartpy==1.2.7",
    "systole==0.3.1",
    "biosppy==2.2.4",
    "wfdb==4.3.1",
    "peakutils",  # biosppy and pyhrv need it and do not say so
    "setuptools<81",
]
NAMES = {
    "window": ["neurokit2", "hrvanalysis", "pyhrv", "heartpy", "systole", "biosppy"],
    "ecg": ["neurokit2", "biosppy", "wfdb", "heartpy"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rr", type=Path, help="CSV with a column rr_ms; a day of it")
    parser.add_argument("--ecg", type=Path, help="WFDB header")
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache" / "vitalgate-bench-cardiac")
    options = parser.parse_args()
    rr_ms = rr_csv.records(options.rr, "rr_ms")[0].rr_ms if options.rr else made_up_rr_ms()
    ecg, rate_hz = read(options.ecg, None)[:2] if options.ecg else (made_up_ecg(rr_ms), 130.0)
    python = installed(options.peers)
    window = rr_ms[: int(np.searchsorted(np.cumsum(rr_ms), 300_000.0))]
    for name, value in measured(rr_ms, ecg, rate_hz).items():
        print(f"{name}: {value:.4g}")
    t_s, ones = as_f64(np.cumsum(window) / 1000.0), np.ones(window.size)
    days = len(windows_of(rr_ms))
    compare(python, "window", window, 0.0, lambda: variability(t_s, window, ones), days)
    compare(python, "ecg", ecg, rate_hz, lambda: qrs.detect_all(ecg, rate_hz), 0)


def measured(rr_ms: F64, ecg: F64, rate_hz: float) -> dict[str, float]:
    return {
        "day s": best_s(lambda: windows_of(rr_ms)),
        "cleaning us a beat": 1e6
        * best_s(lambda: intervals.judge_all(rr_ms, np.ones(rr_ms.size)))
        / rr_ms.size,
        "rhythm, both tiers, us a beat": 1e6 * best_s(lambda: rhythm.screen_all(rr_ms)) / rr_ms.size,
        "ecg ns a sample": 1e9 * best_s(lambda: qrs.detect_all(ecg, rate_hz)) / ecg.size,
    }


def windows_of(rr_ms: F64) -> list[tuple[float, object]]:
    return list(windows(as_f64(np.cumsum(rr_ms) / 1000.0), rr_ms, np.ones(rr_ms.size), 300.0, 60.0))


def best_s(task: Callable[[], object]) -> float:
    """Shortest of the runs of a second, after one that compiles: what the machine can do undisturbed."""
    task()
    once_s = timeit.timeit(task, number=1)
    return min(timeit.repeat(task, number=1, repeat=max(3, round(1.0 / once_s))))


def compare(
    python: Path, task: str, data: F64, rate_hz: float, ours: Callable[[], object], day_windows: int
) -> None:
    """Each library in a process of its own, so that one that fails does not end the run; ours in between."""
    found: dict[str, dict[str, Any]] = {}
    ours_ms = 1e3 * best_s(ours)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "data.npy"
        np.save(file, data)
        script = Path(__file__).with_name("cardiac_peers.py")
        for peer in NAMES[task]:
            run = subprocess.run(  # noqa: S603 - our own script
                [python, script, task, peer, file, str(rate_hz)], capture_output=True, text=True, check=False
            )
            if run.returncode:
                print(f"  {peer}: failed: {run.stderr.strip().splitlines()[-1]}")
            else:
                found[peer] = json.loads(run.stdout.splitlines()[-1])
            ours_ms = min(ours_ms, 1e3 * best_s(ours))
    print(f"{task}: {data.size} {'intervals' if day_windows else 'samples'}, ours {ours_ms:.4g} ms")
    for peer, theirs in found.items():
        line = f"  {peer} ({theirs['what']}): {theirs['ms']:.4g} ms, {theirs['ms'] / ours_ms:.0f} times ours"
        print(line + (f"; a day {theirs['ms'] * day_windows / 1000.0:.3g} s" if day_windows else ""))


def installed(directory: Path) -> Path:
    python = directory / "bin" / "python"
    if not python.exists():
        venv.create(directory, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)  # noqa: S603
    return python


def made_up_rr_ms() -> F64:
    beat = np.arange(100_000)
    noise = np.random.default_rng(0).normal(0.0, 20.0, beat.size)
    return as_f64(850.0 + 40.0 * np.sin(beat / 0.7) + 60.0 * np.sin(beat / 11.0) + noise)


def made_up_ecg(rr_ms: F64) -> F64:
    t_s = np.arange(0.0, 600.0, 1.0 / 130.0)
    beats_s = np.cumsum(rr_ms[:1000]) / 1000.0
    nearest = beats_s[np.minimum(np.searchsorted(beats_s, t_s + 0.4), beats_s.size - 1)]
    return as_f64(np.exp(-(((t_s - nearest) / 0.012) ** 2)) + 0.02 * np.sin(t_s))


if __name__ == "__main__":
    main()
