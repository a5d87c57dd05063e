"""Plain twins of the kernels in dsp/glucose: slow, obvious, never imported by the product."""

import itertools
import math
from statistics import mean, stdev

import numpy as np


def interpolate(t, g, step, points, gap):
    values = []
    for k in range(1, points + 1):
        at = k * step
        value = math.nan
        for i in range(len(t)):
            if t[i] == at:
                value = g[i]
            elif i + 1 < len(t) and t[i] < at < t[i + 1] and t[i + 1] - t[i] <= gap:
                value = g[i] + (g[i + 1] - g[i]) * (at - t[i]) / (t[i + 1] - t[i])
        values.append(value)
    return values


def distribution(values):
    x = np.array(values)
    m, sd = x.mean(), x.std(ddof=1)
    far = np.abs(x - m)[np.abs(x - m) > sd]

    def share(inside):
        return 100.0 * np.mean(inside)

    below_54, below_70, over_180, over_250 = (share(x < 54), share(x < 70), share(x > 180), share(x > 250))
    tir = share((x >= 70) & (x <= 180))
    q25, q50, q75 = np.percentile(x, (25, 50, 75))
    return {
        "mean_mg_dl": m,
        "median_mg_dl": q50,
        "sd_mg_dl": sd,
        "cv_pct": 100 * sd / m,
        "q25_mg_dl": q25,
        "q75_mg_dl": q75,
        "iqr_mg_dl": q75 - q25,
        "mad_mg_dl": 1.4826 * np.median(np.abs(x - q50)),
        "gmi_pct": 3.31 + 0.02392 * m,
        "ea1c_pct": (46.7 + m) / 28.7,
        "j_index": 0.001 * (m + sd) ** 2,
        "in_63_140_pct": share((x >= 63) & (x <= 140)),
        "in_70_140_pct": share((x >= 70) & (x <= 140)),
        "in_70_180_pct": tir,
        "below_63_pct": share(x < 63),
        "low_54_69_pct": share((x >= 54) & (x < 70)),
        "high_181_250_pct": share((x > 180) & (x <= 250)),
        "gri": min(
            100, 3 * below_54 + 2.4 * (below_70 - below_54) + 1.6 * over_250 + 0.8 * (over_180 - over_250)
        ),
        "cogi": 0.5 * tir + 35 * min(1, max(0, (15 - below_70) / 15)) + 15 * min(1, max(0, (108 - sd) / 90)),
        "mage_naive_mg_dl": far.mean() if far.size else math.nan,
    }


def risk(values, clock_min):
    f = [math.log(g) ** 1.084 - 5.381 for g in values]
    days = {}
    for x, c in zip(f, clock_min, strict=True):
        days.setdefault(c // 1440, []).append(x)
    grade = [min(50, 425 * (math.log10(math.log10(g / 18)) + 0.16) ** 2) for g in values]
    total = sum(grade)
    low = 22.77 * mean([min(x, 0) ** 2 if g < 112.5 else 0 for x, g in zip(f, values, strict=True)])
    high = 22.77 * mean([max(x, 0) ** 2 if g >= 112.5 else 0 for x, g in zip(f, values, strict=True)])
    hyper = sum((g - 140) ** 1.1 for g in values if g > 140) / (30 * len(values))
    hypo = sum((80 - g) ** 2 for g in values if g < 80) / (30 * len(values))

    def part(chosen):
        return 100 * sum(p for p, g in zip(grade, values, strict=True) if chosen(g)) / total

    return {
        "lbgi": low,
        "hbgi": high,
        "bgri": low + high,
        "adrr": mean([22.77 * (max(0, *d) ** 2 + min(0, *d) ** 2) for d in days.values()]),
        "grade": mean(grade),
        "grade_hypo_pct": part(lambda g: g < 80),
        "grade_eu_pct": part(lambda g: 70 <= g <= 140),
        "grade_hyper_pct": part(lambda g: g > 140),
        "m_value": mean([1000 * abs(math.log10(g / 90)) ** 3 for g in values]),
        "hyper_index": hyper,
        "hypo_index": hypo,
        "igc": hyper + hypo,
    }


def _differences(x, lag, stride=1):
    pairs = [x[k] - x[k - lag] for k in range(lag, len(x), stride)]
    return [d for d in pairs if not math.isnan(d)]


def changes(x, step):
    hour = round(60 / step)
    steps = _differences(x, 1)
    areas = [(a + b) / 2 for a, b in itertools.pairwise(x) if not math.isnan(a + b)]
    quarter = int(15 // step)
    return {
        "conga_1h_mg_dl": stdev(_differences(x, hour)),
        "conga_2h_mg_dl": stdev(_differences(x, 2 * hour)),
        "conga_4h_mg_dl": stdev(_differences(x, 4 * hour)),
        "conga_24h_mg_dl": stdev(_differences(x, 24 * hour)),
        "modd_mg_dl": mean(map(abs, _differences(x, round(1440 / step)))),
        "mag_mg_dl_h": mean(map(abs, steps)) * 60 / step,
        "mag_60min_mg_dl_h": mean(map(abs, _differences(x, hour, hour))),
        "gvp_pct": 100 * (sum(math.hypot(step, d) for d in steps) / (len(steps) * step) - 1),
        "roc_sd_mg_dl_min": stdev(_differences(x, quarter)) / (quarter * step),
        "lability_mmol2_l2_h": mean([(d / 18) ** 2 for d in _differences(x, hour)]),
        "auc_mg_dl": mean(areas),
        "excursions_per_day": _large_moves(x, 75) / (sum(not math.isnan(g) for g in x) * step / 1440),
    }


def _large_moves(x, least):
    return max(0, len(turning_points([g for g in x if not math.isnan(g)], least, strict=True)) - 1)


def turning_points(x, least, *, strict=False):
    """Extremes from each of which the next is at least (or more than) `least` away, the open last one included."""
    far = (lambda d: d > least) if strict else (lambda d: d >= least)
    for end in range(len(x)):
        head = x[: end + 1]
        if far(head[-1] - min(head)):
            points, rising = [min(head)], True
            break
        if far(max(head) - head[-1]):
            points, rising = [max(head)], False
            break
    else:
        return []
    extreme = x[end]
    for g in x[end + 1 :]:
        if (g > extreme) == rising and g != extreme:
            extreme = g
        elif far(extreme - g if rising else g - extreme):
            points.append(extreme)
            rising, extreme = not rising, g
    return [*points, extreme]


def zigzag(x):
    x = [g for g in x if not math.isnan(g)]
    points = turning_points(x, stdev(x))
    moves = [b - a for a, b in itertools.pairwise(points)]
    rises, falls = [m for m in moves if m > 0], [-m for m in moves if m < 0]
    plus, minus = (mean(m) if m else math.nan for m in (rises, falls))
    both = [m for m in (plus, minus) if not math.isnan(m)]
    return plus, minus, mean(both), plus if moves[0] > 0 else minus


def day_spread(x, step):
    days = np.array(x).reshape(-1, round(1440 / step))

    def sds(rows):
        kept = [row[~np.isnan(row)] for row in rows]
        return [row.std(ddof=1) for row in kept if row.size > 1]

    def means(rows):
        return np.array([row[~np.isnan(row)].mean() if (~np.isnan(row)).any() else math.nan for row in rows])

    daily = means(days)
    windows = [np.array(x[k : k + round(60 / step)]) for k in range(len(x) - round(60 / step) + 1)]
    cvs = [100 * sds([row])[0] / row[~np.isnan(row)].mean() for row in days if sds([row])]
    return {
        "sd_within_days_mg_dl": mean(sds(days)),
        "sd_between_clock_times_mg_dl": sds([means(days.T)])[0],
        "sd_within_hours_mg_dl": mean(sds(windows)),
        "sd_daily_means_mg_dl": sds([daily])[0],
        "sd_between_days_mg_dl": mean(sds(days.T)),
        "sd_between_days_corrected_mg_dl": mean(sds((days - daily[:, None]).T)),
        "cv_daily_mean_pct": mean(cvs),
        "cv_daily_sd_pct": stdev(cvs),
    }


def episodes(x, sign, limit, enter, leave):
    """By looking at every point: does an episode run here?"""
    found, start = [], None
    runs = []
    for k, g in enumerate([*x, math.nan]):
        kind = "gap" if math.isnan(g) else ("in" if sign * (g - limit) > 0 else "out")
        if runs and runs[-1][0] == kind:
            runs[-1][2] = k + 1
        else:
            runs.append([kind, k, k + 1])
    for kind, first, end in runs:
        if start is None and kind == "in" and end - first >= enter:
            start = first
        elif start is not None and (kind == "gap" or (kind == "out" and end - first >= leave)):
            found.append((start, first))
            start = None
    return [(a, b, mean(x[a:b]), max(x[a:b]) if sign > 0 else min(x[a:b])) for a, b in found]


def _van_loan(a, q, dt):
    """Transition and covariance of a linear system over `dt` by the exponential of one matrix (Van Loan 1978)."""
    n = len(a)
    block = np.block([[-a, q], [np.zeros((n, n)), a.T]]) * dt / 4096
    power, total = np.eye(2 * n), np.eye(2 * n)
    for k in range(1, 8):
        power = power @ block / k
        total = total + power
    for _ in range(12):
        total = total @ total
    transition = total[n:, n:].T
    return transition, transition @ total[:n, n:]


def smooth(t, g, dynamics):
    """The interacting filters of `dsp.glucose.smoothing`, with matrices: glucose and rate at each reading."""
    z, (noise_var, rounding, drive_tau), modes = np.array(dynamics[:2]), dynamics[2:5], dynamics[5:]
    taus, drives, stirs, switch = modes[:4], modes[4:8], modes[8:12], np.array(modes[12:28]).reshape(4, 4)
    h = np.array([1, 0, 0, z[0] / (z[0] - z[1]), -z[1] / (z[0] - z[1])])
    p = np.diag([1e4, 0.5, 1e-3, 0, 0])
    p[3:, 3:] = noise_var / (1 - np.outer(z, z))
    filters = [(np.array([g[0], 0, 0, 0, 0.0]), p) for _ in range(4)]
    weights = np.full(4, 0.25)
    rows, scale = [], 1.0
    for k in range(len(t)):
        dt = t[k] - t[k - 1] if k else 0.0
        odds = np.minimum(0.25, switch * dt / 5)
        np.fill_diagonal(odds, 0)
        np.fill_diagonal(odds, 1 - odds.sum(axis=1))
        joint = odds * weights[:, None]
        mixed = []
        for share in (joint / joint.sum(axis=0)).T:
            x = sum(w * one for w, (one, _) in zip(share, filters, strict=True))
            spread = [
                w * (p + np.outer(one - x, one - x)) for w, (one, p) in zip(share, filters, strict=True)
            ]
            mixed.append((x, sum(spread)))
        filters, fit, innovations = [], [], []
        for (x, p), tau, drive, stir in zip(mixed, taus, drives, stirs, strict=True):
            a, q = np.eye(6), np.zeros((6, 6))
            # The mean of the drive is a fourth state, which stays as it is.
            rates = np.array(
                [[0, 1, 0, 0], [0, -1 / tau, 1, 0], [0, 0, -1 / drive_tau, 1 / drive_tau], [0] * 4]
            )
            a[:4, :4], q[:4, :4] = _van_loan(rates, np.diag([0, 0, stir, 0]), dt)
            a[4:, 4:] = np.diag(z ** (dt / 5))
            q[4:, 4:] = scale * noise_var * (1 - np.outer(z, z) ** (dt / 5)) / (1 - np.outer(z, z))
            q[4, 5] = q[5, 4] = min(q[4, 5], math.sqrt(q[4, 4] * q[5, 5]))
            with_drive = np.insert(x, 3, drive)
            wide = np.insert(np.insert(p, 3, 0, axis=0), 3, 0, axis=1)
            x = np.delete(a @ with_drive, 3)
            p = np.delete(np.delete(a @ wide @ a.T + q, 3, axis=0), 3, axis=1)
            s, e = h @ p @ h + rounding, g[k] - h @ x
            gain = p @ h / s
            filters.append((x + gain * e, p - np.outer(gain, h @ p)))
            fit.append(math.exp(-e * e / s / 2) / math.sqrt(s))
            innovations.append((e, s))
        odds, (e, s) = joint.sum(axis=0), np.transpose(innovations)
        surprise = min(9, (odds @ e) ** 2 / (odds @ (s + e * e) - (odds @ e) ** 2))
        scale = min(16, max(1, scale * (0.99 + 0.01 * surprise)))
        weights = odds * fit
        weights = np.maximum(weights / weights.sum(), 1e-9)
        rows.append(sum(w * x[:2] for w, (x, _) in zip(weights, filters, strict=True)))
    return np.array(rows)


class Forecaster:
    """`dsp.glucose.forecast` for readings at least 2.5 min apart, with matrices and lists."""

    def __init__(self, population, pace):
        self.whitening = np.array(population[:400]).reshape(20, 20)
        self.weights = np.array(population[400:460]).reshape(3, 20)
        self.spread = np.array(population[460:478]).reshape(3, 6)
        self.quantiles = np.array(population[478:]).reshape(3, 2)
        self.covariance = [np.eye(20) for _ in range(3)]
        self.forgetting, self.step, self.trust, self.fastest = pace
        self.past, self.issued = [], []

    def lags(self):
        now, value = self.past[-1]
        lags = [value]
        for k in range(1, 12):
            at = now - 5 * k
            older = [p for p in self.past if p[0] <= at]
            newer = [p for p in self.past if p[0] > at]
            if not older or newer[0][0] - older[-1][0] > 20:
                break
            (t0, g0), (t1, g1) = older[-1], newer[0]
            lags.append(g0 + (g1 - g0) * (at - t0) / (t1 - t0))
        return lags + [lags[-1]] * (12 - len(lags)), len(lags)

    def is_jump(self, t, g):
        if not self.past:
            return False
        steps = [b[0] - a[0] for a, b in itertools.pairwise(self.past[-8:])]
        trend = 0
        if steps and steps[-1] <= 20:
            trend = np.clip((self.past[-1][1] - self.past[-2][1]) / max(5, steps[-1]), -3, 3)
        apart = t - self.past[-1][0]
        is_missing = apart > 2.1 * max(5, min([apart, *steps]))
        off = abs(g - self.past[-1][1] - trend * apart)
        return off > self.fastest * (5 if is_missing else max(5, apart))

    def features(self, lags):
        g, slope = lags[0], (lags[0] - lags[3]) / 30
        level = (g - 140) / 50
        steps = [(a - b) / 10 for a, b in zip(lags, lags[1:], strict=False)]  # noqa: RUF007
        hinges = [max(0, (90 - g) / 20), max(0, (g - 250) / 50)]
        return np.array(
            [
                *steps,
                1,
                level,
                level**2,
                *hinges,
                slope * level,
                abs(slope),
                slope * abs(slope),
                np.std(lags) / 20,
            ]
        )

    def learn(self, t, g):
        for h, minutes in enumerate((15, 30, 60)):
            due = [i for i in self.issued if not i["judged"][h] and abs(t - i["t"] - minutes) < 2.5]
            if not due:
                continue
            issue = min(due, key=lambda i: abs(t - i["t"] - minutes))
            issue["judged"][h] = True
            error = (g - issue["forecast"][h]) / issue["expected"][h]
            for side, beyond in enumerate((-error, error)):
                q = self.quantiles[h, side]
                self.quantiles[h, side] = np.clip(q + self.step * q * ((beyond > q) - 0.047), 0.3, 12)
            z, p = issue["z"], self.covariance[h]
            rate = self.forgetting if np.trace(p) < self.forgetting * 20 else 1.0
            s = rate * self.trust + z @ p @ z
            surprise = np.clip((g - issue["g"]) / 10 - self.weights[h] @ z, -6, 6)
            self.weights[h] += p @ z / s * surprise
            self.covariance[h] = (p - np.outer(p @ z, p @ z) / s) / rate

    def update(self, t, g):
        self.learn(t, g)
        if self.is_jump(t, g):
            self.past = []
        self.past = [*self.past[-31:], (t, g)]
        lags, known = self.lags()
        x = self.features(lags)
        z = self.whitening @ x
        about = np.array([1, x[17], abs(x[0]), x[19], max(0, min(x[12], 3)), (12 - known) / 12])
        expected = np.maximum(self.spread @ about, 2)
        forecast = np.clip(g + 10 * self.weights @ z, 20, 600)
        if known >= 7:
            issue = {
                "t": t,
                "g": g,
                "z": z,
                "forecast": forecast,
                "expected": expected,
                "judged": [False] * 3,
            }
            self.issued = [*self.issued[-31:], issue]
        low = np.maximum(20, forecast - self.quantiles[:, 0] * expected)
        high = np.minimum(600, forecast + self.quantiles[:, 1] * expected)
        return np.array([forecast, low, high]).T.ravel()


class _Side:
    """The alerts ahead of one limit; `sign` is -1 for the low one."""

    def __init__(self, rules, sign):
        self.rules, self.sign = rules, sign
        self.limit = rules.low_mg_dl if sign < 0 else rules.high_mg_dl
        name = "low" if sign < 0 else "high"
        self.margins = [getattr(rules, f"{name}_{of}_margin_mg_dl") for of in ("forecast", "step")]
        self.last = -math.inf
        self.to_recede = 0.0
        self.first = None
        self.strictness = 0.0
        self.unproven = False

    def judge(self, t, dt, g, coming, steady):
        rules = self.rules
        beyond = self.sign * (g - self.limit) > 0
        self.strictness -= rules.penalty_mg_dl * rules.budget_per_day * min(dt, 15) / 1440
        self.strictness = max(self.strictness, 0)
        if self.unproven and beyond:
            self.unproven = False
        elif self.unproven and t - self.last > rules.horizon_min:
            self.unproven = False
            self.strictness = min(self.strictness + rules.penalty_mg_dl, rules.strictness_mg_dl_max)
        dangers = [
            self.sign * (value - self.limit) + margin
            for value, margin in zip(coming, self.margins, strict=True)
            if not math.isnan(value)
        ]
        danger = max(dangers, default=-math.inf)
        if steady == rules.steady_readings:
            self.first = danger
        if beyond or danger < self.strictness - rules.recede_mg_dl:
            self.first = None
        if beyond:
            self.to_recede = rules.recede_after_mg_dl
        elif danger < self.strictness - self.to_recede:
            self.to_recede = 0.0
        is_first = self.first is not None and danger < self.first + rules.recede_mg_dl
        is_new = self.to_recede == 0 and t - self.last >= rules.refractory_min and not is_first
        if beyond or not is_new or danger < self.strictness or steady < rules.steady_readings:
            return 0.0
        if self.unproven:
            self.strictness = min(self.strictness + rules.penalty_mg_dl, rules.strictness_mg_dl_max)
        self.last, self.to_recede, self.unproven = t, rules.recede_mg_dl, True
        return 1.0


def alerts(t, g, forecast, steady, rules):
    """`dsp.glucose.alerts` with all readings remembered."""
    sides = _Side(rules, -1), _Side(rules, 1)
    taken, rows = [], []
    for now, value, ahead, run in zip(t, g, forecast, steady, strict=True):
        row = [
            float(value < rules.low_mg_dl),
            float(value < rules.very_low_mg_dl),
            float(value > rules.high_mg_dl),
        ]
        fired = [0.0, 0.0]
        if math.isfinite(value) and (not taken or now > taken[-1][0]):
            since = taken[-8:][-int(run - 1) :] if run > 1 else []
            recent = [(then, was) for then, was in since if 4 <= now - then <= 11]
            on = value + (value - recent[-1][1]) * 5 / (now - recent[-1][0]) if recent else math.nan
            dt = now - taken[-1][0] if taken else 0.0
            fired = [side.judge(now, dt, value, (ahead, on), run) for side in sides]
            taken.append((now, value))
        rows.append([*row, *fired, *(side.strictness for side in sides)])
    return rows


def _fallen_from(past, signs):
    """The level before a fall out of calm; None if the newest of `past` is none. Readings 2.5 min or more apart."""
    now, g = past[-1]
    for back in range(len(past) - 2, max(-1, len(past) - 6), -1):
        then, level = past[back]
        if now - then > 11.5:
            return None
        in_5 = now - then < 7.5
        least = max(
            signs.fall_5min_mg_dl if in_5 else signs.fall_10min_mg_dl,
            (signs.fall_5min_share if in_5 else signs.fall_10min_share) * level,
        )
        before = [one for one in past[-16:] if one[0] <= then and then - one[0] <= signs.calm_min + 2.5]
        span = then - before[0][0]
        if level - g < least or span < signs.calm_min - 2.5:
            continue
        rate = (level - before[0][1]) / span
        off = [
            abs(b - a - rate * (t1 - t0)) / max(1, (t1 - t0) / 5)
            for (t0, a), (t1, b) in itertools.pairwise(before)
        ]
        calm = max(off) <= signs.calm_step_mg_dl and abs(rate) < signs.calm_rate_mg_dl_min
        if calm and level + rate * (now - then) - g >= least:
            return level
    return None


def compression(t, g, signs):
    """`dsp.glucose.compression` for readings at least 2.5 min apart."""
    past, labels, event = [], [], None
    for now, value in zip(t, g, strict=True):
        if not math.isfinite(value) or (past and now <= past[-1][0]):
            labels.append(0.0)
            continue
        past.append((now, value))
        if event:
            event["lowest"] = min(event["lowest"], value)
            depth = event["level"] - event["lowest"]
            if value >= event["lowest"] + signs.rebound * depth or now - event["start"] > signs.longest_min:
                event = None
        else:
            level = _fallen_from(past, signs)
            if level is not None:
                event = {"start": now, "level": level, "lowest": value}
        labels.append(float(event is not None))
    return labels


def _averages(x, width):
    """Trailing means of `width` points, NaN left out; the first full one stands for those before it."""
    means = []
    for k in range(width - 1, len(x)):
        there = [v for v in x[k - width + 1 : k + 1] if not math.isnan(v)]
        means.append(mean(there) if there else math.nan)
    return [means[0]] * (width - 1) + means


def _turning_points(x):
    """Highs and lows between the crossings of a short and a long average, alternately."""
    delta = [a - b for a, b in zip(_averages(x, 5), _averages(x, 32), strict=True)]
    crossings, highs = [0], [delta[0] > 0]
    for k in range(1, len(x)):
        if any(math.isnan(v) for v in (x[k], x[k - 1], delta[k], delta[k - 1])):
            continue
        since = delta[k - 1] if delta[k] * delta[k - 1] < 0 else delta[crossings[-1]]
        if delta[k] * since < 0:
            crossings.append(k)
            highs.append(delta[k] >= since)
    points, left = [], 0
    for end, high in zip([*crossings[1:], len(x) - 1], highs, strict=True):
        there = [k for k in range(left, end + 1) if not math.isnan(x[k])]
        left = (max if high else min)(there, key=lambda k: x[k])
        points.append(x[left])
    return points


def _rises(points, sd, falls):
    """Height, beginning and end of each rise of at least 1 SD."""
    found, start, j = [], 0, 0
    while j < len(points):
        low = min(range(start, j + 1), key=lambda k: points[k])
        if points[j] - points[low] < sd:
            j += 1
            continue
        top = j
        while j < len(points):
            top = j if points[j] > points[top] else top
            if points[top] - points[j] > sd or j == len(points) - 1:
                break
            j += 1
        found.append((points[top] - points[low], low, top))
        start = top if falls else j
    return found


def mage_iglu(x):
    """plus, minus, avg, service as iglu has them, for values 5 min apart."""
    there = [k for k, v in enumerate(x) if not math.isnan(v)]
    cuts = [b for a, b in itertools.pairwise(there) if (b - a - 1) * 5 > 180]
    sums = {name: [] for name in ("plus", "minus", "avg", "service")}
    for first, after in itertools.pairwise([there[0], *cuts, len(x)] if there else []):
        last = max(k for k in there if k < after)
        segment = x[first : last + 1]
        known = [v for v in segment if not math.isnan(v)]
        sd = stdev(known) if len(known) > 1 else 0.0
        if len(segment) < 32 or sd == 0:
            continue
        points = _turning_points(segment)
        rises = _rises(points, sd, False)
        falls = _rises([-p for p in points], sd, True)
        hours = (len(segment) - 1) / 12
        plus, minus = (mean(h for h, *_ in some) if some else math.nan for some in (rises, falls))
        if not rises and not falls:
            continue
        rise_first = bool(rises) and (not falls or rises[0][2] <= falls[0][1])
        sums["plus"].append((plus, hours))
        sums["minus"].append((minus, hours))
        sums["avg"] += [(v, hours) for v in (plus, minus) if not math.isnan(v)]
        sums["service"].append((plus if rise_first else minus, hours))
    return [
        sum(v * w for v, w in some) / sum(w for _, w in some) if some else math.nan for some in sums.values()
    ]
