"""Glucose of the UVA/Padova virtual patients: smooth interstitial truth for `glucose_live`.

The equations are those of Dalla Man et al. 2007 (doi 10.1109/TBME.2007.893506, doi 10.1177/193229680700100303), solved
by Runge-Kutta steps of a minute. The thirty patients' parameters come out of simglucose (MIT licence), which is
installed into an environment of its own: they are not ours to ship.
"""

import csv
import subprocess
import venv
from pathlib import Path

import numpy as np
from numba import njit

from dsp.arrays import F64

PACKAGE = "simglucose==0.2.11"
# fmt: off
NAMES = (
    "kmax", "kmin", "b", "d", "kabs", "f", "kp1", "kp2", "kp3", "Fsnc", "ke1", "ke2", "k1", "k2", "Vm0", "Vmx", "Km0",
    "m1", "m2", "m4", "m30", "ka1", "ka2", "kd", "Vi", "p2u", "Ib", "ki", "ksc", "Vg", "BW", "u2ss",
)
# fmt: on
MEALS = ((7.0, 45.0), (12.0, 70.0), (16.0, 15.0), (18.5, 80.0))  # hour of the day, grams for 70 kg


@njit(cache=True)
def _slope(x: F64, p: F64, eaten_mg: float, insulin: float, meal_mg: float) -> F64:
    kmax, kmin, b, d, kabs, f, kp1, kp2, kp3, fsnc, ke1, ke2, k1, k2, vm0, vmx, km0, m1, m2, m4 = p[:20]
    m30, ka1, ka2, kd, vi, p2u, ib, ki, ksc, _, weight, _ = p[20:]
    empties = kmax
    if meal_mg > 0.0:
        stomach = x[0] + x[1]
        rise = np.tanh(2.5 * (stomach - b * meal_mg) / (meal_mg * (1.0 - b)))
        fall = np.tanh(2.5 * (stomach - d * meal_mg) / (meal_mg * d))
        empties = kmin + 0.5 * (kmax - kmin) * (rise - fall + 2.0)
    made = max(0.0, kp1 - kp2 * x[3] - kp3 * x[8])
    appears = f * kabs * x[2] / weight
    excreted = max(0.0, ke1 * (x[3] - ke2))
    return np.array(
        (
            eaten_mg - kmax * x[0],
            kmax * x[0] - empties * x[1],
            empties * x[1] - kabs * x[2],
            made + appears - fsnc - excreted - k1 * x[3] + k2 * x[4],
            k1 * x[3] - k2 * x[4] - (vm0 + vmx * x[6]) * x[4] / (km0 + x[4]),
            m1 * x[9] + ka1 * x[10] + ka2 * x[11] - (m2 + m4) * x[5],
            p2u * (x[5] / vi - ib - x[6]),
            ki * (x[5] / vi - x[7]),
            ki * (x[7] - x[8]),
            m2 * x[5] - (m1 + m30) * x[9],
            insulin * 6000.0 / weight - (ka1 + kd) * x[10],
            kd * x[10] - ka2 * x[11],
            ksc * (x[3] - x[12]),
        )
    )


@njit(cache=True)
def _live(x: F64, p: F64, meals_g: F64, insulin: F64) -> F64:
    """Interstitial glucose in mg/dL, minute by minute."""
    glucose = np.empty(meals_g.size)
    waiting = meal_mg = before = 0.0
    for minute in range(meals_g.size):
        glucose[minute] = x[12] / p[29]
        waiting += meals_g[minute]
        eaten = min(5.0, waiting)
        waiting -= eaten
        if eaten > 0.0 and before == 0.0:
            meal_mg = x[0] + x[1]
        meal_mg += 1000.0 * eaten
        before = eaten
        s1 = _slope(x, p, 1000.0 * eaten, insulin[minute], meal_mg)
        s2 = _slope(x + s1 / 2.0, p, 1000.0 * eaten, insulin[minute], meal_mg)
        s3 = _slope(x + s2 / 2.0, p, 1000.0 * eaten, insulin[minute], meal_mg)
        s4 = _slope(x + s3, p, 1000.0 * eaten, insulin[minute], meal_mg)
        x = x + (s1 + 2.0 * s2 + 2.0 * s3 + s4) / 6.0
    return glucose


def _tables(directory: Path) -> tuple[list[dict[str, str]], dict[str, float]]:
    """The patients' parameters, and how many grams a unit of insulin covers."""
    if not list(directory.glob("lib/*/site-packages/simglucose")):
        venv.create(directory, with_pip=True)
        command = [str(directory / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps", PACKAGE]
        subprocess.run(command, check=True)  # noqa: S603
    parameters = next(directory.glob("lib/*/site-packages/simglucose")) / "params"
    patients, quest = (
        list(csv.DictReader((parameters / name).read_text().splitlines()))
        for name in ("vpatient_params.csv", "Quest.csv")
    )
    return patients, {row["Name"]: float(row["CR"]) for row in quest}


def bodies(directory: Path, days: int, seed: int) -> dict[str, F64]:
    """Interstitial glucose in mg/dL of each patient, a value a minute; meals, times and boluses at random."""
    random = np.random.default_rng(seed)
    patients, grams_per_unit = _tables(directory)
    found = {}
    for patient in patients:
        p = np.array([float(patient[name]) for name in NAMES])
        start = np.array([float(patient[f"x0_{k:2d}"]) for k in range(1, 14)])
        weight = float(patient["BW"])
        meals = np.zeros(days * 1440)
        insulin = np.full(days * 1440, float(patient["u2ss"]) * weight / 6000.0)
        for day in range(days):
            for hour, usual in MEALS:
                minute = day * 1440 + round(60 * hour + random.normal(0.0, 30.0))
                grams = usual * weight / 70.0 * random.uniform(0.6, 1.4)
                meals[minute] += grams
                insulin[minute] += grams * random.uniform(0.7, 1.2) / grams_per_unit[patient["Name"]]
        found[patient["Name"]] = _live(start, p, meals, insulin)
    return found
