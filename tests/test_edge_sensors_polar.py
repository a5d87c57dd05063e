"""What is made of a Polar sensor's streams, part by part, with inputs that no device should send, too."""

import math
import time

import numpy as np
import pytest
from edge_parts import StillClock

from dsp.arrays import as_f64
from edge.now.known import EpisodeKnown, Rest, RhythmKnown
from edge.sensors.polar.agreement import Agreement
from edge.sensors.polar.ecg import KEEP_S, Ecg
from edge.sensors.polar.insight import Insight
from edge.sensors.polar.intervals import RUNS_MAX, Intervals
from edge.sensors.polar.motion import Motion
from edge.sensors.polar.streams import Streams
from hw_sim.sensors.polar_signals import BeatTimes, acceleration_mg, ecg_uv, moving, still
from protocols.errors import DecodeError
from protocols.polar_time import Chain, Timed

S = 10**9


# Motion


def deviations(moves, seconds=60, rate_hz=25.0, scale=1.0):
    motion, chain, found = Motion(), Chain(rate_hz), []
    for n in range(int(seconds * rate_hz / 25)):
        at_s = np.arange(25 * n, 25 * n + 25) / rate_hz
        timed = chain.take(round(float(at_s[-1]) * S), 25)
        found += motion.take(scale * acceleration_mg(moves, at_s, 1).astype(float), timed)
    return found


def test_movement_is_told_from_none_by_the_published_limit():
    assert max(deviations(still)) < 5.0
    assert min(deviations(moving((0.0, 60.0), by_mg=80.0))) > 30.0
    assert len(deviations(still)) == len(deviations(still, rate_hz=50.0)) == 12


@pytest.mark.parametrize("scale", [0.0, 1 / 4096, 0.2, 4.1, 4096.0, math.nan, math.inf])
def test_what_is_no_acceleration_on_the_earth_says_nothing(scale):
    with np.errstate(invalid="ignore"):
        assert set(deviations(still, scale=scale)) == {None}


def test_an_epoch_does_not_reach_over_a_gap():
    motion = Motion()
    half = np.tile([0.0, 0.0, 1000.0], (65, 1))
    assert motion.take(half[:60], Timed(0, 1e9 / 25, begins=True)) == []
    assert motion.take(half[:60] + 300.0, Timed(S, 1e9 / 25, begins=True)) == []
    assert motion.take(half + 300.0, Timed(2 * S, 1e9 / 25, begins=False)) == [pytest.approx(0.0)]


@pytest.mark.parametrize("step_ns", [1e-9, 1e30])
def test_steps_that_cannot_be_fill_no_memory(step_ns):
    motion, rows = Motion(), np.tile([0.0, 0.0, 1000.0], (100, 1))
    for _ in range(200):
        motion.take(rows, Timed(0, step_ns, begins=False))
    assert motion._lengths_mg.size <= 4096


# Pulse intervals


def runs(intervals):
    found = []
    while (run := intervals.next_run()) is not None:
        found.append((run.follows, run.ticks))
    return found


def samples(*rows):
    return np.array([(60, *row) for row in rows], np.int32)


def test_doubtful_intervals_are_left_out_and_break_the_chain():
    intervals = Intervals()
    intervals.take(samples((1000, 5, 6), (1000, 5, 7), (1000, 5, 6), (500, 31, 6), (2000, 30, 6), (0, 5, 6)))
    intervals.take(samples((1000, 5, 6), (1000, 5, 6), (2501, 5, 6), (269, 5, 6), (270, 5, 6)))
    assert runs(intervals) == [
        (False, [1024]),
        (False, [1024]),
        (False, [2048]),
        (False, [1024, 1024]),
        (False, [276]),
    ]
    intervals.take(samples((1000, 5, 6)))
    assert runs(intervals) == [(True, [1024])]
    assert intervals.doubtful == 5


@pytest.mark.parametrize(
    ("flags", "contact"),
    [
        ((0,), None),
        ((2,), None),
        ((4,), None),
        ((6,), True),
        ((6, 4), False),
        ((6, 4, 6), True),
        ((6, 0), True),
    ],
)
def test_contact_is_believed_once_the_sensor_has_told_of_some(flags, contact):
    intervals = Intervals()
    intervals.take(samples(*((1000, 5, flag) for flag in flags)))
    assert intervals.contact is contact


def test_what_nobody_fetches_is_bounded():
    intervals = Intervals()
    for _ in range(1000):
        intervals.take(samples((1000, 5, 7), *[(1000, 5, 6)] * 70))
    assert len(runs(intervals)) == RUNS_MAX


# ECG

RATE_HZ = 130.0


def fed(ecg, seconds, *, beats=None, begin_s=0.0, chain=None, lose=lambda _: False, rate_hz=RATE_HZ):
    """Feeds frames; those that `lose` names by their number are lost."""
    beats = beats or BeatTimes(iter([800.0] * 10_000))
    chain = chain or Chain(rate_hz)
    for n in range(int(seconds * rate_hz / 73)):
        at_s = begin_s + np.arange(73 * n, 73 * n + 73) / rate_hz
        last_ns = round(float(at_s[-1]) * S)
        if not lose(n):
            timed = chain.take(last_ns + 77 * S, 73)
            ecg.take(as_f64(ecg_uv(beats, at_s, 5)), timed, last_ns)
    return beats


def errors_ms(ecg, beats):
    found_s = ecg.beats_s + ecg.ahead_ns / S
    truth_s = np.array(beats.at_s)
    return 1000 * np.array([np.abs(truth_s - t).min() for t in found_s])


def test_beats_are_where_they_were_whatever_the_clock_of_the_device_shows():
    ecg = Ecg(RATE_HZ)
    beats = fed(ecg, 120.0)
    assert len(ecg.beats_s) >= 145
    assert errors_ms(ecg, beats).max() < 5.0
    assert ecg.quality_pct() == 100.0
    assert ecg.rate_bpm() == pytest.approx(75.0, abs=0.1)


def test_frames_that_were_lost_cost_their_beats_and_no_others():
    ecg = Ecg(RATE_HZ)
    beats = fed(ecg, 180.0, lose=lambda n: n in (60, 61, 62, 150))
    assert errors_ms(ecg, beats).max() < 5.0
    assert len(ecg.beats_s) >= 215
    # No interval reaches over the gap without being seen as what it is.
    assert (np.diff(ecg.beats_s) > 0.79).all()


def test_noise_is_not_trusted():
    ecg, rng, chain = Ecg(RATE_HZ), np.random.default_rng(1), Chain(RATE_HZ)
    for n in range(1, 300):
        last_ns = round(n * 73 / RATE_HZ * S)
        ecg.take(as_f64(100.0 * rng.standard_normal(73)), chain.take(last_ns, 73), last_ns)
    assert ecg.quality_pct() < 20.0


@pytest.mark.parametrize(
    "stamps_ns",
    [
        [0, 2**63, 2**64 - 1, 1, 2, 3],
        [n * 2**58 for n in range(64)],
        list(range(200)),
        [5] * 100,
        list(range(10**6, 0, -5000)),
        [S, 2 * S, 2 * S + 1, 11 * S, 20 * S, 20 * S + 1, 29 * S],
    ],
    ids=["jumps", "strides", "crawls", "stands", "goes back", "stammers"],
)
def test_no_clock_of_a_device_costs_more_than_its_samples(stamps_ns):
    ecg, chain = Ecg(RATE_HZ), Chain(RATE_HZ)
    beats = BeatTimes(iter([800.0] * 1000))
    begin = time.process_time()
    for n, stamp_ns in enumerate(stamps_ns):
        at_s = np.arange(73 * n, 73 * n + 73) / RATE_HZ
        ecg.take(as_f64(ecg_uv(beats, at_s, 5)), chain.take(stamp_ns, 73), n * S)
        assert ecg._count <= 73 * (n + 1) + 1400 * n
    assert time.process_time() - begin < 5.0
    assert (np.diff(ecg.beats_s) >= 0).all()


def test_of_a_long_stream_minutes_are_kept():
    ecg = Ecg(RATE_HZ)
    fed(ecg, 1200.0)
    assert len(ecg.beats_s) <= KEEP_S / 0.8 + 50
    assert len(ecg.windows) <= 24


# Agreement


def agreed(sent_ms, delay_s=1.3):
    """Intervals of a heart, sent as `sent_ms` says of the number and the length of each."""
    ecg, agreement, rng = Ecg(RATE_HZ), Agreement(), np.random.default_rng(2)
    rr_ms = rng.uniform(700.0, 900.0, 1000).tolist()
    beats = fed(ecg, 150.0, beats=BeatTimes(iter(rr_ms)))
    truth = [(n, t, rr_ms[n]) for n, t in enumerate(beats.at_s) if t < 150.0]
    # Before the first beat there is none: with it no interval ends.
    agreement.take((t + delay_s, sent_ms(n, rr)) for n, t, rr in truth[1:])
    return agreement.judge(ecg), agreement


def test_intervals_of_the_heart_are_confirmed_and_their_delay_is_found():
    (intervals, confirmed), agreement = agreed(lambda _, rr_ms: rr_ms)
    assert intervals == confirmed > 100
    assert agreement.delay_s == pytest.approx(1.3, abs=0.01)
    assert agreement.confirmed_pct == 100.0


def test_each_interval_that_is_another_is_not_confirmed():
    (intervals, confirmed), _ = agreed(lambda n, rr_ms: rr_ms + 100.0 * (n % 10 == 0))
    assert intervals * 0.87 <= confirmed <= intervals * 0.93


def test_an_interval_of_two_beats_is_none_of_one():
    (intervals, confirmed), _ = agreed(lambda _, rr_ms: 2 * rr_ms)
    assert (intervals > 100, confirmed) == (True, 0)


def test_what_the_ecg_has_not_judged_waits():
    ecg, agreement = Ecg(RATE_HZ), Agreement()
    agreement.take((0.8 * n, 800.0) for n in range(5000))
    assert agreement.judge(ecg) == (0, 0)
    assert agreement.confirmed_pct is None


# What is known


class RhythmSaid:
    """The rhythm of a strap, as the test says."""

    def __init__(self, rest=Rest.ACTIVE, af_begin_age_s=1200.0, is_over=False):
        af = EpisodeKnown("af", af_begin_age_s, 10.0, 90.0, is_over)
        self.said = RhythmKnown(1.0, None, None, af, 0.0, None, 0.0, None, None)
        self._rest = rest

    def rest(self, _):
        return self._rest

    def rhythm(self, _):
        return self.said


def moved(insight, minutes, deviation_mg, begin=0):
    for n in range(12 * begin, 12 * (begin + minutes)):
        insight.take_motion(deviation_mg, 5 * n * S)


def test_rest_is_by_the_acceleration_as_long_as_there_is_one():
    insight = Insight(RhythmSaid())
    moved(insight, 11, 3.0)
    assert insight.rest(661 * S) is Rest.RESTING
    assert insight.rest(661 * S + 240 * S) is Rest.ACTIVE, "by the heart"
    moved(insight, 11, 300.0, begin=11)
    assert insight.rest(1321 * S) is Rest.ACTIVE
    moved(insight, 2, None, begin=22)
    assert Insight(RhythmSaid(Rest.RESTING)).rest(0) is Rest.RESTING


def test_fibrillation_at_rest_lasts_as_long_as_nobody_moves():
    insight = Insight(RhythmSaid())
    moved(insight, 21, 3.0)  # still since minute 5
    assert insight.rhythm(1261 * S).af_resting_s == 1261.0 - 300.0 - 10.0
    moved(insight, 11, 300.0, begin=21)
    assert insight.rhythm(1921 * S).af_resting_s == 0.0
    over = Insight(RhythmSaid(is_over=True))
    moved(over, 21, 3.0)
    assert over.rhythm(1261 * S).af_resting_s == 0.0
    short = Insight(RhythmSaid(af_begin_age_s=100.0))
    moved(short, 21, 3.0)
    assert short.rhythm(1261 * S).af_resting_s == 90.0


# The control point


def test_a_value_that_was_read_and_is_told_again_is_no_answer():
    streams = Streams("polar", ("ecg",), StillClock(), lambda *_: None)
    streams.on_indication(bytes.fromhex("0f05"))
    streams.on_indication(bytes.fromhex("0102"))
    for nonsense in ("", "f0", "ff01"):
        with pytest.raises(DecodeError):
            streams.on_indication(bytes.fromhex(nonsense))
    assert streams.live() == {"ecg": "starting"}
