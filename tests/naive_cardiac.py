"""Slow, obvious twins of the kernels in dsp/cardiac, written from the definitions."""

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def time_domain(nn_ms: Array, follows: Array) -> dict[str, float]:
    pairs = [(a, b) for a, b, f in zip(nn_ms[:-1], nn_ms[1:], follows[1:], strict=True) if f == 1.0]
    differences = np.array([b - a for a, b in pairs])
    sums = np.array([a + b for a, b in pairs])
    bins: dict[int, int] = {}
    for nn in nn_ms:
        k = math.floor(nn / 7.8125 + 0.5)
        bins[k] = bins.get(k, 0) + 1
    return {
        "beats": len(nn_ms),
        "mean_nn_ms": np.mean(nn_ms),
        "hr_mean_bpm": 60000 / np.mean(nn_ms),
        "sdnn_ms": np.std(nn_ms, ddof=1),
        "rmssd_ms": np.sqrt(np.mean(differences**2)),
        "sdsd_ms": np.std(differences, ddof=1),
        "pnn50_pct": 100 * np.mean(np.abs(differences) > 50),
        "pnn20_pct": 100 * np.mean(np.abs(differences) > 20),
        "sd1_ms": np.std(differences, ddof=1) / np.sqrt(2),
        "sd2_ms": np.std(sums, ddof=1) / np.sqrt(2),
        "triangular_index": len(nn_ms) / max(bins.values()),
    }


def lomb_psd(t_s: Array, nn_ms: Array, top_hz: float) -> Array:
    n = len(nn_ms)
    step_hz = (n - 1) / (n * (t_s[-1] - t_s[0]))
    y = nn_ms - nn_ms.mean()
    psd = []
    for k in range(1, int(top_hz / step_hz) + 1):
        w = 2 * np.pi * k * step_hz
        tau = np.arctan2(np.sin(2 * w * t_s).sum(), np.cos(2 * w * t_s).sum()) / (2 * w)
        c, s = np.cos(w * (t_s - tau)), np.sin(w * (t_s - tau))
        power = 0.5 * ((y @ c) ** 2 / (c @ c) + (y @ s) ** 2 / (s @ s))
        psd.append(2 * power / (n * step_hz))
    return np.array(psd)


def band_power(psd: Array, step_hz: float, low_hz: float, high_hz: float) -> float:
    f = step_hz * np.arange(1, len(psd) + 1)
    return float(psd[(f >= low_hz) & (f < high_hz)].sum() * step_hz)


def sample_entropy(x: Array, follows: Array, m: int, r: float) -> float:
    starts = [i for i in range(len(x) - m) if all(follows[i + 1 : i + m + 1] == 1.0)]
    matches = longer = 0
    for at, i in enumerate(starts):
        for j in starts[at + 1 :]:
            if max(abs(x[i + k] - x[j + k]) for k in range(m)) < r:
                matches += 1
                longer += abs(x[i + m] - x[j + m]) < r
    return -math.log(longer / matches) if longer else math.nan


def dfa_fluctuation(x: Array, box: int) -> float:
    profile = np.cumsum(x - np.mean(x))
    residuals = []
    for k in range(len(x) // box):
        part = profile[k * box : (k + 1) * box]
        i = np.arange(box)
        residuals.append(part - np.polyval(np.polyfit(i, part, 1), i))
    return float(np.sqrt(np.mean(np.concatenate(residuals) ** 2)))


def dfa_alpha(x: Array, first: int, last: int) -> float:
    sizes = range(first, last + 1)
    return float(np.polyfit(np.log(sizes), np.log([dfa_fluctuation(x, n) for n in sizes]), 1)[0])


def prsa(nn_ms: Array, follows: Array, reach: int, sign: float) -> tuple[Array, int]:
    courses = []
    for k in range(max(reach, 1), len(nn_ms) - reach):
        whole = all(follows[k - reach + 1 : k + reach + 1] == 1.0)
        change = sign * (nn_ms[k] / nn_ms[k - 1] - 1)
        if whole and 0 < change <= 0.05:
            courses.append(nn_ms[k - reach : k + reach + 1])
    return np.mean(courses, axis=0), len(courses)


def spline(t_s: Array, y: Array, at_s: Array) -> Array:
    """Second derivatives by solving the whole system at once."""
    n = len(y)
    h = np.diff(t_s)
    a, b = np.eye(n), np.zeros(n)
    for k in range(1, n - 1):
        a[k, k - 1 : k + 2] = h[k - 1], 2 * (h[k - 1] + h[k]), h[k]
        b[k] = 6 * ((y[k + 1] - y[k]) / h[k] - (y[k] - y[k - 1]) / h[k - 1])
    bend = np.linalg.solve(a, b)
    k = np.clip(np.searchsorted(t_s, at_s) - 1, 0, n - 2)
    u, v = t_s[k + 1] - at_s, at_s - t_s[k]
    cubic = (bend[k] * u**3 + bend[k + 1] * v**3) / (6 * h[k])
    return np.asarray(
        cubic + (y[k] / h[k] - bend[k] * h[k] / 6) * u + (y[k + 1] / h[k] - bend[k + 1] * h[k] / 6) * v
    )


def turbulence(rr_ms: Array, follows: Array, is_premature: Array) -> tuple[float, float, int]:
    onsets, courses = [], []
    for k in range(5, len(rr_ms) - 16):
        mean = rr_ms[k - 5 : k].mean()
        around = [i for i in range(k - 2, k + 17) if i not in (k, k + 1)]
        ok = is_premature[k] == 1.0 and rr_ms[k] <= 0.8 * mean and rr_ms[k + 1] >= 1.2 * mean
        ok = ok and bool(follows[k - 4 : k + 17].all()) and not any(is_premature[i] for i in around)
        ok = ok and all(300 <= rr_ms[i] <= 2000 and abs(rr_ms[i] - mean) <= 0.2 * mean for i in around)
        neighbours = [(i - 1, i) for i in around if i - 1 in around]
        ok = ok and all(abs(rr_ms[b] - rr_ms[a]) <= 200 for a, b in neighbours)
        if ok:
            before, after = rr_ms[k - 2 : k].sum(), rr_ms[k + 2 : k + 4].sum()
            onsets.append(100 * (after - before) / before)
            courses.append(rr_ms[k + 2 : k + 17])
    if len(onsets) < 5:
        return math.nan, math.nan, len(onsets)
    course = np.mean(courses, axis=0)
    slope = max(np.polyfit(np.arange(5), course[i : i + 5], 1)[0] for i in range(11))
    return float(np.mean(onsets)), float(slope), len(onsets)


def rhythm_statistics(rr_ms: Array) -> Array:
    """The statistics of `dsp.cardiac.rhythm`, from whole lists; before the first beat stand copies of it."""
    rr = [rr_ms[0]] * 70 + list(np.clip(rr_ms, 200.0, 2500.0))
    level, rate = np.log(rr), 60000.0 / np.array(rr)
    median = [np.median(level[max(k - 2, 0) : k + 1]) for k in range(len(rr))]
    usual = _usual(level)
    return np.array([_irregularity(level, rate, median, usual, k) for k in range(70, len(rr))])


def _usual(level: Array) -> list[list[float]]:
    """At each interval, the last nine that were neither premature nor pauses after premature ones."""
    left, found = [level[0]] * 9, [[level[0]] * 9] * 70
    for k in range(70, len(level)):
        early = np.median(level[k - 8 : k + 1]) - 0.16
        is_pause = level[k - 1] < early and level[k] - level[k - 1] > 0.16
        if level[k] >= early and not is_pause:
            left.append(level[k])
        found.append(left[-9:])
    return found


def _irregularity(
    level: Array, rate: Array, median: list[float], usual: list[list[float]], k: int
) -> list[float]:
    def distance(x: Array, length: int, back: int) -> float:
        return float(max(abs(x[k - i] - x[k - i - back]) for i in range(length)))

    def share(x: Array, length: int, tolerance: float) -> float:
        same = sum(distance(x, length, back) < tolerance for back in range(1, 65))
        return math.log((1 + same) / 65)

    steps = [min(abs(level[k] - level[k - 1]) / w, 1) for w in (0.02, 0.04, 0.08, 0.16, 0.32)]
    *others, last = usual[k]
    left = [min(abs(last - others[-1]) / 0.2, 1), min(np.mean([abs(last - x) for x in others]) / 0.15, 1)]
    medians = [min(abs(median[k] - median[k - 1]) / w, 1) for w in (0.02, 0.04, 0.08, 0.16)]
    spread = [np.mean([min(abs(median[k] - median[k - i]) / w, 1) for i in range(2, 8)]) for w in (0.04, 0.1)]
    near = [
        min(min(distance(level, length, back) for back in range(1, lately + 1)) / w, 1)
        for length, lately, widths in (
            (1, 16, (0.01, 0.03)),
            (2, 16, (0.02, 0.05, 0.1)),
            (3, 64, (0.05, 0.1)),
        )
        for w in widths
    ]
    pair = abs(level[k] + level[k - 1] - level[k - 2] - level[k - 3])
    pairs = [min(pair / w, 1) for w in (0.04, 0.1)]
    shares = [
        share(x, length, within)
        for x, within in ((level, 0.04), (level, 0.08), (rate, 4))
        for length in (1, 2, 3)
    ]
    return [*steps, *left, *medians, *spread, *near, *pairs, *shares]


def af_probability(w: Array, statistics: Array, windows: tuple[tuple[int, int], ...], margin: float) -> Array:
    """Logistic regression of the means of the statistics over each beat's windows."""
    found = []
    for k in range(len(statistics)):
        means = [statistics[max(k - a, 0) : k + b + 1].mean(axis=0) for a, b in windows]
        found.append(1 / (1 + np.exp(margin - w[-1] - np.concatenate(means) @ w[:-1])))
    return np.array(found)
