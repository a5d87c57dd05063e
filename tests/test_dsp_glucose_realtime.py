"""What is said of a reading when it comes: against plain twins, simulated truth, and data that are odd."""

import csv
import gzip
import math
from pathlib import Path

import naive_glucose as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_modes import fewer, heavy

from dsp.glucose import alerts, arrows, compression, forecast, realtime, smoothing
from hw_sim.physiology.glucose import GlucoseBody
from tools.train import glucose as train_glucose

AZT1D = Path(__file__).parent / "recordings/azt1d_09_glucose.csv.gz"
LIVE = realtime.Live._fields
FORECASTS = [k for k, name in enumerate(LIVE) if name.startswith("in_")]


def person(most: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Three real days, or the first readings of them."""
    with gzip.open(AZT1D, "rt") as file:
        rows = list(csv.DictReader(file))
    times = np.array([row["time"] for row in rows], dtype="datetime64[s]").astype(float) / 60.0
    return times[:most], np.array([float(row["glucose_mg_dl"]) for row in rows[:most]])


@pytest.fixture(scope="module")
def bodies() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Eight simulated people for four days: minutes, interstitial truth, and the published noise of the G6."""
    found = []
    for seed in range(8):
        body = GlucoseBody(seed)
        for _ in range(4 * 288):
            next(body)
        truth = np.array(body.interstitial_mg_dl)
        random = np.random.default_rng(seed)
        noise = np.zeros(truth.size + 100)
        for k in range(2, noise.size):
            noise[k] = 1.22 * noise[k - 1] - 0.331 * noise[k - 2] + random.normal(0, math.sqrt(3.641))
        found.append((np.array(body.t_s) / 60, truth, np.clip(np.round(truth + noise[100:]), 40, 400)))
    return found


def test_filters_equal_their_plain_twin() -> None:
    t, g = person()
    t, g = t[:120] + np.random.default_rng(1).uniform(-0.5, 0.5, 120), g[:120]
    ours = smoothing.advance(smoothing.initial_state(), t, g, realtime.DYNAMICS)
    np.testing.assert_allclose(ours[:, :2], naive.smooth(t, g, realtime.DYNAMICS), rtol=1e-6, atol=1e-6)


def test_forecaster_equals_its_plain_twin() -> None:
    t, g = person(fewer(10_000, 300))
    t = t + np.random.default_rng(1).uniform(-0.5, 0.5, t.size)
    state = forecast.initial_state(realtime.POPULATION)
    ours = forecast.advance(state, t, g, realtime.POPULATION, realtime.PACE)
    twin = naive.Forecaster(realtime.POPULATION, realtime.PACE)
    np.testing.assert_allclose(
        ours[:, :9], [twin.update(*reading) for reading in zip(t, g, strict=True)], rtol=1e-8
    )


def test_alerts_equal_their_plain_twin() -> None:
    t, g = rough(fewer(8000, 2500), 3)
    g = np.clip(g, 39, 401)
    rows = forecast.advance(
        forecast.initial_state(realtime.POPULATION), t, g, realtime.POPULATION, realtime.PACE
    )
    # Steadier than they are: else there would be hardly an alert.
    ahead, steady = rows[:, 0].copy(), np.maximum(rows[:, 13], np.arange(t.size) % 40 + 1.0)
    ours = alerts.advance(alerts.initial_state(), t, g, ahead, steady, realtime.RULES)
    np.testing.assert_allclose(ours, naive.alerts(t, g, ahead, steady, alerts.Rules()), atol=1e-9)
    assert ours[:, 3].sum() > 3
    assert ours[:, 4].sum() > 5


def test_compression_label_equals_its_plain_twin() -> None:
    random = np.random.default_rng(4)
    t = np.cumsum(
        random.choice([5.0, 5.0, 5.0, 4.0, 6.0, 10.0, 0.0, 40.0, -20.0], 6000, p=[0.3] * 3 + [1 / 60] * 6)
    )
    g = 130 + 40 * np.sin(np.arange(6000) / 80) + np.cumsum(random.normal(0, 0.2, 6000))
    for start in range(100, 5900, 70):
        g[start : start + random.integers(1, 25)] *= random.uniform(0.4, 0.95)
    g[random.random(6000) < 0.01] = math.nan
    ours = compression.advance(compression.initial_state(), t, g, realtime.SIGNS)
    np.testing.assert_array_equal(ours, naive.compression(t, g, compression.Signs()))
    assert 30 < np.sum(np.diff(ours) > 0) < 90


@heavy
def test_rate_is_nearer_the_truth_than_slopes(bodies) -> None:
    ours, slopes = [], []
    for t, truth, reading in bodies:
        rate = (truth[2:] - truth[:-2]) / 10
        rows = smoothing.advance(smoothing.initial_state(), t, reading, realtime.DYNAMICS)
        ours.append((rows[1:-1, 1] - rate)[20:])
        slopes.append(((reading[3:] - reading[:-3]) / 15)[18:-1] - rate[20:])
    rmse, rmse_slope = (float(np.sqrt(np.mean(np.concatenate(e) ** 2))) for e in (ours, slopes))
    assert rmse <= 0.27
    assert rmse <= 0.85 * rmse_slope


@pytest.mark.parametrize(
    ("rate", "dexcom", "libre"),
    [
        (0.0, "flat", "flat"),
        (1.0, "flat", "forty_five_up"),
        (-1.01, "forty_five_down", "forty_five_down"),
        (2.0, "forty_five_up", "forty_five_up"),
        (2.5, "up", "up"),
        (-3.0, "down", "down"),
        (-3.1, "double_down", "down"),
        (math.nan, None, None),
    ],
)
def test_arrows(rate: float, dexcom: str | None, libre: str | None) -> None:
    assert (arrows.arrow(rate), arrows.arrow(rate, arrows.LIBRE)) == (dexcom, libre)


def test_one_at_a_time_is_all_at_once_and_sees_no_future() -> None:
    t, g = person(fewer(10_000, 120))
    whole = realtime.follow(realtime.new_wearer(), t, g)
    wearer = realtime.new_wearer()
    single = [realtime.update(wearer, *reading) for reading in zip(t.tolist(), g.tolist(), strict=True)]
    np.testing.assert_array_equal(np.array(single), whole)
    head = realtime.follow(realtime.new_wearer(), t[:100], g[:100])
    np.testing.assert_array_equal(head, whole[:100])


def test_wearer_survives_a_restart() -> None:
    t, g = person(fewer(10_000, 250))
    wearer = realtime.new_wearer()
    realtime.follow(wearer, t[:200], g[:200])
    restored = realtime.load(realtime.dump(wearer))
    np.testing.assert_array_equal(
        realtime.follow(restored, t[200:], g[200:]), realtime.follow(wearer, t[200:], g[200:])
    )


@pytest.mark.parametrize("spoil", [lambda s: s[:-8], lambda s: b"", lambda s: s[:99] + b"x" + s[100:]])
def test_damaged_wearer_is_refused(spoil) -> None:
    with pytest.raises(ValueError, match="wearer"):
        realtime.load(spoil(realtime.dump(realtime.new_wearer())))


@heavy
def test_forecast_beats_last_value_and_its_interval_holds() -> None:
    """On days no population was trained with: those of the simulated bodies, noise and all."""
    errors, lasts, inside = [], [], []
    for seed in (11, 12, 13):
        body = GlucoseBody(seed)
        pairs = [next(body) for _ in range(10 * 288)]
        t, g = np.array([p[0] / 60 for p in pairs]), np.clip([p[1] for p in pairs], 40, 400)
        rows = realtime.follow(realtime.new_wearer(), t, g)
        truth = g[6:]
        at = rows[:-6, LIVE.index("in_30_mg_dl")]
        errors.append(truth - at)
        lasts.append(truth - g[:-6])
        low, high = rows[:-6, LIVE.index("in_30_low_mg_dl")], rows[:-6, LIVE.index("in_30_high_mg_dl")]
        inside.append((truth >= low) & (truth <= high))
    rmse, rmse_last = (np.sqrt(np.mean(np.concatenate(e) ** 2)) for e in (errors, lasts))
    assert rmse <= 0.9 * rmse_last
    assert 0.86 <= np.mean(np.concatenate(inside)) <= 0.94


def ahead(live: realtime.Live) -> list[float]:
    return [live.in_15_mg_dl, live.in_30_mg_dl, live.in_60_mg_dl]


@pytest.mark.parametrize(("before", "after"), [(100, 300), (300, 100), (200, 120), (120, 200), (150, 60)])
def test_a_step_that_no_body_makes_is_no_trend(before: float, after: float) -> None:
    """A new or recalibrated sensor: what it says from now on is all that is known."""
    wearer = realtime.new_wearer()
    for k in range(60):
        realtime.update(wearer, 5.0 * k, float(before))
    lives = [realtime.update(wearer, 300.0 + 5.0 * k, float(after)) for k in range(4)]
    assert [realtime.trend(live) for live in lives] == [None, None, None, "flat"]
    for live in lives:
        assert abs(live.rate_mg_dl_min) < 0.1
        assert max(abs(value - after) for value in ahead(live)) < 60.0


def test_forecasts_follow_sensors_that_go_beyond_400() -> None:
    wearer = realtime.new_wearer()
    g = [440.0 + 40.0 * math.sin(k / 30.0) for k in range(600)]
    lives = [realtime.update(wearer, 5.0 * k, value) for k, value in enumerate(g)]
    within = [
        live.in_15_low_mg_dl <= value <= live.in_15_high_mg_dl
        for live, value in zip(lives, g[3:], strict=False)
    ]
    assert np.mean(within[20:]) > 0.88


def test_one_stamp_from_the_future_does_not_silence_for_good() -> None:
    """From the sixth reading on that disagrees with it, the clock is believed to have been wrong."""
    t = np.append([0.0, 5.0, 1e7], 10.0 + 5.0 * np.arange(30))
    g = np.append([200.0, 197.0, 195.0], 194.0 - 4.5 * np.arange(30))
    rows = realtime.follow(realtime.new_wearer(), t, g)
    assert np.isnan(rows[3:8, FORECASTS]).all()
    assert np.isfinite(rows[8:, FORECASTS]).all()
    first_low = int(np.argmax(rows[:, LIVE.index("low")]))
    assert rows[8:first_low, LIVE.index("low_ahead")].any()
    one_by_one = realtime.new_wearer()
    np.testing.assert_array_equal(
        rows, [realtime.update(one_by_one, *reading) for reading in zip(t, g, strict=True)]
    )


def rough(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Readings as bad as they get: jumps, saturation, gaps, repeated and backward stamps, missing values."""
    random = np.random.default_rng(seed)
    t = np.cumsum(
        random.choice([0, 1, 5, 5, 5, 5, 5, 15, 90, -20, 3000], n, p=[0.02, 0.1, *[0.16] * 5, *[0.02] * 4])
    )
    g = 150 + 130 * np.sign(np.sin(np.arange(n) / random.uniform(3, 300))) + random.normal(0, 30, n)
    g = np.clip(g, 40, 400)
    g[random.random(n) < 0.02] = np.nan
    g[random.random(n) < 0.01] = np.inf
    g[random.random(n) < 0.01] = -np.inf
    g[n // 2 : n // 2 + n // 10] = 120.0
    return t.astype(float), g


def assert_sane(t: np.ndarray, g: np.ndarray, rows: np.ndarray) -> None:
    newest = np.maximum.accumulate(np.append(-np.inf, t))[:-1]
    counts = (t > newest) & ~np.isnan(g)
    # After an unmeasured reading "newer" means newer than the last that counted: never fewer than these.
    assert np.isfinite(rows[counts, :15]).all()
    forecasts = rows[counts][:, FORECASTS]
    assert forecasts.min() >= 20.0
    assert forecasts.max() <= 600.0
    assert (np.diff(forecasts.reshape(-1, 3)[:, [1, 0, 2]], axis=1) >= 0).all()
    assert np.abs(rows[counts, 1]).max() <= 30.0
    assert np.abs(rows[counts, 0] - g[counts].clip(39, 401)).max() <= 60.0


def test_rough_data_do_no_harm() -> None:
    wearer = realtime.new_wearer()
    t, g = rough(fewer(60_000, 300), 1)
    assert_sane(t, g, realtime.follow(wearer, t, g))
    # Whoever comes out of it still forecasts, although all they have taught it is nonsense.
    later, glucose = person(fewer(10_000, 300))
    after = realtime.follow(wearer, later + 1e9, glucose)[:, LIVE.index("in_30_mg_dl")]
    fresh = realtime.follow(realtime.new_wearer(), later, glucose)[:, LIVE.index("in_30_mg_dl")]
    errors = [np.sqrt(np.mean((glucose[206:] - f[200:-6]) ** 2)) for f in (after, fresh)]
    assert errors[0] < 2.0 * errors[1]


@pytest.mark.soak
def test_ten_million_readings_do_not_diverge() -> None:
    """pytest -m soak -k ten_million (a minute)."""
    wearer = realtime.new_wearer()
    for block in range(20):
        t, g = rough(500_000, block)
        t += wearer.smoothing[0] if block else 0.0
        assert_sane(t, g, realtime.follow(wearer, t, g))


def test_covariance_stays_within_the_population() -> None:
    wearer = realtime.new_wearer()
    n = fewer(50_000, 300)
    realtime.follow(wearer, 5.0 * np.arange(n), np.full(n, 130.0))
    for h in range(3):
        at = forecast.STATE_SIZE - 7 - (3 - h) * 400
        p = wearer.forecast[at : at + 400].reshape(20, 20)
        assert np.trace(p) <= 20.0 + 1e-9
        assert np.linalg.eigvalsh(p).min() > 0.0
        np.testing.assert_array_equal(p, p.T)


GLUCOSE = st.one_of(st.floats(40, 400), st.sampled_from([math.nan, math.inf, -math.inf, 69.9, 70.0, 54.0]))


STEP = st.one_of(st.floats(-30, 40), st.sampled_from([0.0, 5.0, 5.0, 61.0, 20_000.0, math.nan]))


@settings(max_examples=fewer(100, 10), deadline=None)
@given(st.sampled_from([0, 3, 12]), st.lists(st.tuples(STEP, GLUCOSE), min_size=1, max_size=40))
def test_no_reading_beyond_a_limit_goes_without_alarm(calm: int, steps: list[tuple[float, float]]) -> None:
    """In the warm-up as later, after gaps, at repeated or earlier times, LO or HI, labelled as compression or not."""
    t, g = 5.0 * np.arange(calm), np.full(calm, 110.0)
    t = np.append(t, (t[-1] if calm else 0.0) + np.cumsum(np.nan_to_num([step for step, _ in steps])))
    t[calm:][np.isnan([step for step, _ in steps])] = math.nan
    g = np.append(g, [value for _, value in steps])
    wearer = realtime.new_wearer()
    one_by_one = np.array([realtime.update(wearer, *reading) for reading in zip(t, g, strict=True)])
    for rows in (one_by_one, realtime.follow(realtime.new_wearer(), t, g)):
        alarms = rows[:, LIVE.index("low") : LIVE.index("high") + 1]
        np.testing.assert_array_equal(alarms, np.transpose((g < 70, g < 54, g > 250)))


def test_low_is_announced_once_until_the_danger_recedes() -> None:
    g = np.concatenate([np.full(20, 120.0), np.arange(120.0, 60.0, -4.0), np.full(6, 62.0)])
    rows = realtime.follow(realtime.new_wearer(), 5.0 * np.arange(g.size), g)
    ahead, low = rows[:, LIVE.index("low_ahead")], rows[:, LIVE.index("low")]
    [announced] = np.flatnonzero(ahead)
    assert 10 <= 5 * (np.argmax(low) - announced) <= 40


AROUND = np.random.default_rng(7)
MANY = fewer(240, 60)


def ahead_of(t: np.ndarray, g: np.ndarray) -> tuple[float, float]:
    """How often a low and a high were announced."""
    rows = realtime.follow(realtime.new_wearer(), t, g)
    return rows[:, LIVE.index("low_ahead")].sum(), rows[:, LIVE.index("high_ahead")].sum()


@pytest.mark.parametrize("by", [-60.0, -36.0, 36.0, 60.0])
@pytest.mark.parametrize("apart", [4.0, 5.0, 11.0, 15.0, 40.0, 130.0])
def test_a_sensor_that_restarts_higher_or_lower_announces_nothing(by: float, apart: float) -> None:
    """A jump after a gap, a calibration or none at all is no trend: after it glucose is as calm as before."""
    for after in (76.0, 84.0, 96.0, 120.0) if by < 0 else (180.0, 220.0, 236.0, 244.0):
        t = np.append(5.0 * np.arange(60), 295.0 + apart + 5.0 * np.arange(MANY))
        g = np.append(np.full(60, after - by), np.full(MANY, after)) + AROUND.integers(-1, 2, t.size)
        assert ahead_of(t, g) == (0.0, 0.0), after


@pytest.mark.parametrize("every", [1.0, 5.0])
def test_hovering_below_a_limit_is_announced_once(every: float) -> None:
    """An approach, then 20 h (or 5) within 14 mg/dL of the limit: up and down, or flat."""
    t = every * np.arange(int(fewer(25, 10) * 60 / every))
    there = np.clip(t / 300.0, 0.0, 1.0)
    near_high = np.round(150.0 + there * (88.0 + 7.0 * np.sin(t / 35.0)))
    near_low = np.round(160.0 - there * 87.0) + AROUND.integers(-1, 2, t.size)
    assert near_high.max() <= 245.0
    assert ahead_of(t, near_high) == (0.0, 1.0)
    assert ahead_of(t, np.maximum(near_low, 72.0)) == (1.0, 0.0)


def test_the_next_approach_is_announced_again() -> None:
    """Up to the limit and back, time after time; and below it, back up, and below it again."""
    once = np.concatenate([np.arange(120.0, 66.0, -2.5), np.arange(66.0, 120.0, 2.5)])
    low, _ = ahead_of(5.0 * np.arange(4 * once.size), np.tile(once, 4))
    assert low == 4.0
    near = np.concatenate([np.arange(130.0, 74.0, -2.5), np.arange(74.0, 130.0, 2.5)])
    low, _ = ahead_of(5.0 * np.arange(3 * near.size), np.tile(near, 3))
    assert low == 3.0


def test_a_jump_restarts_the_count_of_steady_readings() -> None:
    g = np.concatenate(
        [np.full(10, 120.0), np.full(4, 156.0), [np.nan], np.full(4, 150.0), np.full(3, 151.0)]
    )
    t = 5.0 * np.arange(g.size)
    t[-3:] += 30.0
    rows = realtime.follow(realtime.new_wearer(), t, g)
    steady = rows[~np.isnan(g), LIVE.index("steady")]
    np.testing.assert_array_equal(steady, [*range(1, 11), *range(1, 9), 1, 2, 3])
    assert np.isnan(rows[14, LIVE.index("steady")])


def test_false_alarms_cannot_exceed_their_budget_for_long() -> None:
    """Someone comes near the limit five times a day for sixty days and never falls below it."""
    n = 60 * 288
    g = 91 + 19 * np.sin(np.arange(n) / 9) + np.random.default_rng(1).normal(0, 1, n)
    t = 5.0 * np.arange(n)
    forecasts, steady = g - 8.0, np.arange(1.0, n + 1.0)
    per_day = {}
    for penalty in (0.0, realtime.RULES[8]):
        rules = alerts.Rules(penalty_mg_dl=penalty, strictness_mg_dl_max=30.0).packed()
        rows = alerts.advance(alerts.initial_state(), t, np.maximum(g, 70.1), forecasts, steady, rules)
        per_day[penalty] = rows[288 * 30 :, 3].sum() / 30
    assert per_day[0.0] > 4
    assert per_day[realtime.RULES[8]] <= 1.6


@heavy
def test_compression_is_labelled_and_never_silences(bodies) -> None:
    labelled, events, flags, days = 0, 0, 0, 0.0
    for t, _, reading in bodies:
        wearer = realtime.new_wearer()
        flags += int(np.sum(np.diff(realtime.follow(wearer, t, reading)[:, -1]) > 0))
        days += t[-1] / 1440
        pressed = reading.copy()
        for start in range(200, t.size - 40, 130):
            depth = 0.45 * np.clip(np.minimum(np.arange(12) / 2, (11 - np.arange(12)) / 3), 0, 1)
            pressed[start : start + 12] = np.maximum(40, np.round(reading[start : start + 12] * (1 - depth)))
            events += 1
        rows = realtime.follow(realtime.new_wearer(), t, pressed)
        labelled += sum(rows[start : start + 3, -1].any() for start in range(200, t.size - 40, 130))
        np.testing.assert_array_equal(rows[:, LIVE.index("low")], pressed < 70)
    assert labelled >= 0.85 * events
    assert flags <= 0.6 * days


def test_noise_is_graded() -> None:
    random = np.random.default_rng(3)
    t = 5.0 * np.arange(400)
    smooth = 140 + 30 * np.sin(t / 100)
    grades = []
    for sd in (0.0, 8.0, 25.0):
        rows = realtime.follow(realtime.new_wearer(), t, np.clip(smooth + random.normal(0, sd, 400), 40, 400))
        assert (rows[:6, LIVE.index("grade")] == 4).all()
        grades.append(np.mean(rows[6:, LIVE.index("grade")]))
    assert grades[0] < 0.1 < grades[1] < grades[2]
    assert grades[2] > 2.0


def test_arrow_needs_a_known_quarter_of_an_hour() -> None:
    wearer = realtime.new_wearer()
    drawn = [
        realtime.trend(realtime.update(wearer, t, 100.0 + 2.5 * t)) for t in (0.0, 5.0, 10.0, 15.0, 20.0)
    ]
    assert drawn[:3] == [None] * 3
    assert drawn[4] in ("up", "forty_five_up")
    assert realtime.trend(realtime.update(wearer, 120.0, 100.0)) is None


def test_training_finds_the_weights_again() -> None:
    """The committed population predicts as one trained anew would: on the excerpt, the fit cannot be worse."""
    subjects = {"9": train_glucose.trace(*person())}
    part = train_glucose.lesson(subjects["9"])
    own = train_glucose.fit([part])
    assert own.packed().shape == realtime.POPULATION.shape == (forecast.POPULATION_SIZE,)
    for h in range(3):
        there = ~np.isnan(part.changes[h])
        x = part.features[there]
        whitening = realtime.POPULATION[:400].reshape(20, 20)
        weights = realtime.POPULATION[400 + 20 * h : 420 + 20 * h]
        fitted, committed = (
            np.sqrt(np.mean((part.changes[h][there] - 10 * x @ w) ** 2))
            for w in (own.whitening.T @ own.weights[h], whitening.T @ weights)
        )
        still = np.sqrt(np.mean(part.changes[h][there] ** 2))
        assert fitted <= committed + 0.3
        assert h == 2 or committed < still  # three days are too few for an hour ahead


def test_compression_begins_and_ends() -> None:
    g = np.concatenate([np.full(10, 110.0), [85.0, 60.0, 60.0, 60.0], [80.0, 105.0], np.full(10, 110.0)])
    label = compression.advance(compression.initial_state(), 5.0 * np.arange(g.size), g, realtime.SIGNS)
    assert np.flatnonzero(label).tolist() == [10, 11, 12, 13, 14]
