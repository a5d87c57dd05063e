"""Every public kernel of `dsp` on ordinary and on degenerate input, so that what each mode gives can be compared.

    python -P tests/kernel_cases.py write FILE.json [EVERY]     what they give in the mode that VITALGATE_KERNELS forces
    python -P tests/kernel_cases.py compare A.json B.json       the largest difference; exit code 1 if not `CLOSE`

Input is made by exact arithmetic, hence the same on every machine. Nothing but the standard library and numpy is
imported besides `dsp`.
"""

import importlib
import itertools
import json
import math
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dsp
from dsp.cardiac import af_stream, qrs, rhythm
from dsp.compiled import KERNELS
from dsp.glucose import alerts, compression, forecast, realtime, smoothing
from dsp.mode import MODE

Arguments = tuple[Any, ...]
Outcomes = dict[str, list[list[float]]]
# Of the largest number of the same result: how far from numba's, by sums taken in another order or with other vectors,
# which differ by processor: 1.3e-13 was seen of `plain`.
CLOSE = {"jit": 0.0, "library": 1e-14, "plain": 1e-12}
NAN, INF = np.nan, np.inf
N = 120

for _module in pkgutil.walk_packages(dsp.__path__, "dsp."):
    importlib.import_module(_module.name)


def noise(n: int, seed: int) -> np.ndarray:
    """Whole numbers from -512 to 511."""
    numbers = []
    for _ in range(n):
        seed = (1103515245 * seed + 12345) % 2**31
        numbers.append(float((seed >> 12) % 1024 - 512))
    return np.array(numbers)


def triangle(n: int, period: int) -> np.ndarray:
    """From 0 to 1 and back."""
    return np.abs(np.arange(n) % period - period / 2) / (period / 2)


USUAL = 100.0 + 200.0 * triangle(N, 37) + noise(N, 1) / 16.0
ARRAYS = {
    "usual": USUAL,
    "nothing": np.zeros(0),
    "one": np.array([100.0]),
    "two": np.array([100.0, 120.0]),
    "three": np.array([100.0, 120.0, 110.0]),
    "zeros": np.zeros(60),
    "minus zero": np.full(60, -0.0),
    "constant": np.full(N, 813.89),
    "missing": np.full(60, NAN),
    "some missing": np.where(np.arange(N) % 7 == 3, NAN, USUAL),
    "first missing": np.where(np.arange(N) < 40, NAN, USUAL),
    "negative": -USUAL,
    "about zero": noise(N, 2),
    "infinite": np.where(np.arange(N) % 50 == 20, INF, USUAL),
    "minus infinite": np.where(np.arange(N) % 50 == 20, -INF, USUAL),
    "all infinite": np.full(60, INF),
    "huge": np.full(60, 1.7e308),
    "tiny": np.full(60, 5e-324),
    "rising": np.arange(1.0, N + 1.0),
    "falling": np.arange(N + 1.0, 1.0, -1.0),
}
SCALARS = (NAN, INF, -INF, 0.0, -0.0, -1.0, 0.3, 1.0, 2.0, 3.0, 1e-300, 1e300)


def ones(x: np.ndarray) -> np.ndarray:
    return np.ones(x.size)


def gaps(x: np.ndarray) -> np.ndarray:
    return np.where(np.arange(x.size) % 11 == 5, 0.0, 1.0)


def minutes(x: np.ndarray) -> np.ndarray:
    return 5.0 * np.arange(x.size)


def seconds(x: np.ndarray) -> np.ndarray:
    return np.arange(1.0, x.size + 1.0)


def premature(x: np.ndarray) -> np.ndarray:
    return np.where(np.arange(x.size) % 20 == 6, 1.0, 0.0)


def intervals_state() -> np.ndarray:
    from dsp.cardiac.intervals import new_state

    return new_state()


def ecg(rate_hz: int, beats: int) -> np.ndarray:
    """Spikes on a slow wave, about one a second."""
    n = rate_hz * beats
    at = np.arange(n) % rate_hz
    spike = np.where(at < rate_hz // 12, 1.0 - at / (rate_hz // 12), 0.0)
    return 0.2 * triangle(n, 3 * rate_hz) + spike + noise(n, 3) / 2.0**16


def beat_statistics(x: np.ndarray) -> np.ndarray:
    return rhythm.statistics(np.zeros(rhythm.MEMORY), 600.0 + x)


def rest() -> np.ndarray:
    return rhythm.new_state()[rhythm.MEMORY :].copy()


def like(settings: np.ndarray, x: np.ndarray) -> np.ndarray:
    """As many settings, but these."""
    return np.resize(x, settings.size) if x.size else settings


def ecg_state(x: np.ndarray) -> np.ndarray:
    """With the first number as its rate."""
    state = qrs.new_state(60.0)
    state[qrs.RATE] = x[0] if x.size else 0.0
    return state


def runs(x: np.ndarray) -> np.ndarray:
    """Steady readings: more and more."""
    return np.arange(1.0, x.size + 1.0)


def forecasts() -> np.ndarray:
    return forecast.initial_state(realtime.POPULATION)


W = rhythm.weights()
POP, PACE, RULES, SIGNS = realtime.POPULATION, realtime.PACE, realtime.RULES, realtime.SIGNS
DYNAMICS = realtime.DYNAMICS
# Kernel -> its arguments, of an array: the array goes to each of the places where data go.
TEMPLATES: dict[str, list[Callable[[np.ndarray], Arguments]]] = {
    "cardiac.af_stream.follow_af": [
        lambda x: (af_stream.new_state(), seconds(x), x, gaps(x), ones(x), 0.5),
        lambda x: (af_stream.new_state(), x, np.full(x.size, 800.0), ones(x), premature(x), 0.5),
        lambda x: (like(af_stream.new_state(), x), seconds(USUAL), USUAL, ones(USUAL), ones(USUAL), 0.5),
    ],
    "cardiac.complexity.sample_entropy": [
        lambda x: (x, ones(x), 2.0, 20.0),
        lambda x: (x, gaps(x), 1.0, 0.5),
        lambda x: (USUAL, np.resize(x, N) if x.size else gaps(USUAL), 2.0, 20.0),
    ],
    "cardiac.complexity.dfa_fluctuation": [lambda x: (x, 7.0)],
    "cardiac.complexity.dfa_alpha": [lambda x: (x, 4.0, 16.0)],
    "cardiac.hrv.extreme_rates": [lambda x: (x, ones(x)), lambda x: (x, gaps(x))],
    "cardiac.intervals.judge_beats": [
        lambda x: (intervals_state(), x, gaps(x)),
        lambda x: (intervals_state(), 700.0 + x, ones(x)),
    ],
    "cardiac.phase_rectified.prsa": [lambda x: (x, ones(x), 2.0, 1.0), lambda x: (x, gaps(x), 1.0, -1.0)],
    "cardiac.phase_rectified.capacity": [lambda x: (x, ones(x)), lambda x: (x, gaps(x))],
    "cardiac.qrs.detect_qrs": [
        lambda x: (qrs.new_state(60.0), x),
        lambda x: (qrs.new_state(60.0), np.concatenate([ecg(60, 12), x, ecg(60, 5)])),
        lambda x: (ecg_state(x), ecg(60, 12)),
    ],
    "cardiac.rhythm.statistics": [
        lambda x: (np.zeros(rhythm.MEMORY), x),
        lambda x: (np.zeros(rhythm.MEMORY), 600.0 + x),
    ],
    "cardiac.rhythm.judge": [
        lambda x: (*W, rest(), beat_statistics(x), 1.0),
        lambda x: (like(W[0], x), W[1], like(W[2], x), rest(), beat_statistics(USUAL), 0.0),
    ],
    "cardiac.spectrum.lomb_psd": [
        lambda x: (seconds(x), x, 0.4),
        lambda x: (x, np.resize(USUAL, x.size), 0.4),
        lambda x: (np.cumsum(x) / 1000.0, x, 0.6),
    ],
    "cardiac.spectrum.band_powers": [lambda x: (x, 0.01, 300.0, 1.0), lambda x: (x, 0.004, 60.0, 0.0)],
    "cardiac.spectrum.spline": [
        lambda x: (seconds(x), x, seconds(x)),
        lambda x: (x, np.resize(USUAL, x.size), seconds(x)),
        lambda x: (seconds(USUAL), USUAL, x),
    ],
    "cardiac.time_domain.time_domain": [lambda x: (x, ones(x)), lambda x: (x, gaps(x))],
    "cardiac.turbulence.turbulence": [
        lambda x: (x, ones(x), premature(x)),
        lambda x: (
            800.0 + x / 8.0 - 300.0 * premature(x) + 300.0 * np.roll(premature(x), 1),
            ones(x),
            premature(x),
        ),
    ],
    "glucose.agp.clock_percentiles": [lambda x: (x, 24.0), lambda x: (x, 7.0)],
    "glucose.alerts.step": [lambda _: (alerts.initial_state(), 5.0, 100.0, 90.0, 3.0, RULES)],
    "glucose.alerts.advance": [
        lambda x: (alerts.initial_state(), minutes(x), x, x - 10.0, runs(x), RULES),
        lambda x: (alerts.initial_state(), x, np.resize(USUAL, x.size), x, x, RULES),
        lambda x: (alerts.initial_state(), minutes(USUAL), USUAL, USUAL, runs(USUAL), like(RULES, x)),
    ],
    "glucose.compression.step": [lambda _: (compression.initial_state(), 5.0, 100.0, SIGNS)],
    "glucose.compression.advance": [
        lambda x: (compression.initial_state(), minutes(x), x, SIGNS),
        lambda x: (compression.initial_state(), x, np.resize(USUAL, x.size), SIGNS),
        lambda x: (compression.initial_state(), minutes(USUAL), USUAL, like(SIGNS, x)),
    ],
    "glucose.distribution.distribution": [lambda x: (np.sort(x),), lambda x: (x,)],
    "glucose.episodes.find_episodes": [
        lambda x: (x, 1.0, 180.0, 3.0, 3.0),
        lambda x: (x, -1.0, 110.0, 1.0, 2.0),
    ],
    "glucose.forecast.feature_rows": [lambda x: (minutes(x), x, 10.0)],
    "glucose.forecast.step": [lambda _: (forecasts(), 5.0, 100.0, POP, PACE)],
    "glucose.forecast.advance": [
        lambda x: (forecasts(), minutes(x), x, POP, PACE),
        lambda x: (forecasts(), x, np.resize(USUAL, x.size), POP, PACE),
        lambda x: (forecasts(), minutes(USUAL), USUAL, like(POP, x), PACE),
        lambda x: (forecasts(), minutes(USUAL), USUAL, POP, like(PACE, x)),
    ],
    "glucose.grid.interpolate": [
        lambda x: (minutes(x), x, 5.0, 40.0, 45.0),
        lambda x: (x, np.resize(USUAL, x.size), 5.0, 40.0, 45.0),
    ],
    "glucose.mage.mage_zigzag": [lambda x: (x,)],
    "glucose.mage.mage_iglu": [lambda x: (x,), lambda x: (np.concatenate([x, np.full(40, NAN), USUAL]),)],
    "glucose.risk.risk": [lambda x: (x, minutes(x)), lambda x: (np.resize(USUAL, x.size), x)],
    "glucose.smoothing.step": [lambda _: (smoothing.initial_state(), 5.0, 100.0, DYNAMICS)],
    "glucose.smoothing.advance": [
        lambda x: (smoothing.initial_state(), minutes(x), x, DYNAMICS),
        lambda x: (smoothing.initial_state(), x, np.resize(USUAL, x.size), DYNAMICS),
        lambda x: (smoothing.initial_state(), minutes(USUAL), USUAL, like(DYNAMICS, x)),
    ],
    "glucose.variability.changes": [lambda x: (x, 5.0), lambda x: (x, 60.0)],
    "glucose.variability.day_spread": [lambda x: (x, 60.0), lambda x: (x, 1440.0)],
}


class Case(NamedTuple):
    """One call."""

    id: str
    kernel: str
    arguments: Arguments


@np.errstate(all="ignore")
def cases() -> list[Case]:
    """Each template with each array, and with the usual array and each scalar in place of each float."""
    return list(_cases())


def _cases() -> Iterator[Case]:
    for kernel, templates in TEMPLATES.items():
        for k, template in enumerate(templates):
            for name, array in ARRAYS.items():
                yield Case(f"{kernel}-{k}-{name}", f"dsp.{kernel}", template(array.copy()))
        usual = templates[0](USUAL)
        places = [k for k, x in enumerate(usual) if isinstance(x, float)]
        for place, scalar in itertools.product(places, SCALARS):
            arguments = list(templates[0](USUAL.copy()))
            arguments[place] = scalar
            yield Case(f"{kernel}-argument {place} is {scalar}", f"dsp.{kernel}", tuple(arguments))


def outcome(case: Case) -> list[list[float]]:
    """What a kernel gives, and what it made of the arrays it was given, as plain numbers."""
    arguments = tuple(np.array(x) if isinstance(x, np.ndarray) else x for x in case.arguments)
    found = KERNELS[case.kernel].run(*arguments)
    parts = list(found) if isinstance(found, tuple) else [found]
    changed = [x for x in arguments if isinstance(x, np.ndarray)]
    for part in parts:
        assert type(part) in (float, np.ndarray), f"{case.id} gives {type(part)}"
    return [np.ravel(part).tolist() for part in [*parts, *changed]]


def outcomes(every: int = 1) -> Outcomes:
    """Of every so many cases."""
    return {case.id: outcome(case) for case in cases()[::every]}


def differences(one: Outcomes, other: Outcomes) -> Iterator[tuple[float, str]]:
    """Of each part of each result, relative to its largest number; infinite where only one is a number."""
    assert one.keys() == other.keys()
    for name, parts in one.items():
        for part, twin in zip(parts, other[name], strict=True):
            largest = max((abs(x) for x in part if math.isfinite(x)), default=0.0)
            for x, y in zip(part, twin, strict=True):
                if x != y and not (math.isnan(x) and math.isnan(y)):
                    yield abs(x - y) / largest if math.isfinite(x - y) else INF, name


def main(what: str, *files: str) -> None:
    if what == "write":
        found = outcomes(*map(int, files[1:]))
        Path(files[0]).write_text(json.dumps({"mode": MODE, "outcomes": found}))
        return
    one, other = (json.loads(Path(file).read_text()) for file in files)
    numbers = sum(len(part) for parts in one["outcomes"].values() for part in parts)
    found = sorted(differences(one["outcomes"], other["outcomes"]), reverse=True)
    worst, where = found[0] if found else (0.0, "none")
    print(
        f"{one['mode']} and {other['mode']}: {len(one['outcomes'])} calls, {numbers} numbers, {len(found)} differ"
    )
    print(f"largest difference {worst:.1e} of the largest number of the same result: {where}")
    sys.exit(worst > max(CLOSE[one["mode"]], CLOSE[other["mode"]]))


if __name__ == "__main__":
    main(*sys.argv[1:])
