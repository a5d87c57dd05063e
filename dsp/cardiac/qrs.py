"""QRS complexes in a stream of ECG samples, each with its apex between the samples.

Band-pass, absolute slope, 80 ms mean; peaks against thresholds that follow the medians of the last eight QRS and
noise peaks; a complex that is missing is looked for among the peaks passed over. First thresholds are learned from
eight seconds of signal, and learned anew when no complex has come for long: what is flat, or noise of the last bit,
never becomes a heart. All state is in one vector, which can be copied, stored and put back; samples may come one by
one or all at once.
"""

from typing import NamedTuple

import numpy as np

from dsp.arrays import F64
from dsp.compiled import njit

LEARN_S = 8.0
STARVED_S = 12.0  # without a complex: what was known of the heart is no longer true
# Peaks of one bit of noise reach 5 bits, with a wider band 9; complexes of 20 uV a bit have 50 and more.
NOISE_BITS = 8.0
ROUNDING = 1e-9  # smaller relative steps are left by somebody's arithmetic
LARGEST = 1e10  # in any unit no sample is larger; sums of smaller ones keep what an ECG needs
RATE_HZ_MIN, RATE_HZ_MAX = 60.0, 2000.0

# Places in the state: settings and filter memory, then what the beats left, then the rings.
RATE, COUNT = 0, 1
LEARN_FROM, LEARN_END = 2, 3
HIGH, LOW = 4, 9  # five coefficients each
HIGH_Z, LOW_Z = 14, 16  # two values each
BAND, SUM, FEATURE, SAMPLE = 18, 19, 20, 21  # of the last sample
BEGIN, STEP = 22, 23  # the first sample that is a number; the smallest step between two
PEAK_AT, PEAK = 24, 25  # the peak that may still grow
QRS_AT, QRS = 26, 27  # the last complex
BEST_AT, BEST = 28, 29  # the highest peak passed over since
SEARCH_AT, DECAY_AT, POLARITY = 30, 31, 32
LEARNED = 33  # peaks stored while learning
INTERVALS, QRS_PEAKS, NOISE_PEAKS = 34, 42, 50  # the last eight of each, newest last
PEAKS, PEAKS_MAX = 58, 64
MEAN, MEAN_MAX = 186, 160  # slopes of the last 80 ms
RING = 346  # raw samples, a power of two: the seconds of learning and what lies around a complex


class Complexes(NamedTuple):
    """QRS complexes in order of time."""

    apex: F64  # float64[m], samples since the start of the stream, with fraction
    amplitude: F64  # float64[m], of the apex over the mean around it, in the unit of the ECG; may be negative
    prominence: F64  # float64[m], height over the detection threshold; below 1 if found by looking back


def new_state(rate_hz: float, low_hz: float = 5.0, high_hz: float = 15.0) -> F64:
    """State before the first sample.

    Args:
        rate_hz: samples per second, 60 to 2000.
        low_hz: lower corner of the band-pass.
        high_hz: upper corner.
    """
    assert RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX
    ring_size = 1 << int(np.ceil(np.log2((LEARN_S + 1.0) * rate_hz)))
    state = np.zeros(RING + ring_size)
    state[RATE] = rate_hz
    state[HIGH : HIGH + 5] = butterworth(low_hz, rate_hz, is_high=True)
    state[LOW : LOW + 5] = butterworth(high_hz, rate_hz, is_high=False)
    state[[BEGIN, PEAK_AT, QRS_AT, BEST_AT]] = -1.0
    state[[LEARN_END, STEP, SEARCH_AT, DECAY_AT]] = np.inf
    return state


def butterworth(
    corner_hz: float, rate_hz: float, *, is_high: bool
) -> tuple[float, float, float, float, float]:
    """Second-order Butterworth section by the bilinear transform: b0, b1, b2, a1, a2."""
    k = np.tan(np.pi * corner_hz / rate_hz)
    norm = 1.0 / (1.0 + np.sqrt(2.0) * k + k * k)
    b0 = norm if is_high else k * k * norm
    b1 = -2.0 * b0 if is_high else 2.0 * b0
    return b0, b1, b0, 2.0 * (k * k - 1.0) * norm, (1.0 - np.sqrt(2.0) * k + k * k) * norm


def detect(state: F64, ecg: F64) -> Complexes:
    """Feed samples, get the complexes that are settled by now.

    Args:
        state: of `new_state`, changed in place; copy it to save it.
        ecg: float64[n], any unit, either polarity; NaN, infinity and what is over `LARGEST` repeat the sample before.
    """
    return Complexes(*detect_qrs(state, ecg))


def finish(state: F64) -> Complexes:
    """Complexes still open at the end of a recording; the state is spent."""
    end = state[COUNT]
    # As long as a peak needs to be confirmed; a short recording is learned from then.
    if end < state[LEARN_END]:
        state[LEARN_END] = end + round(0.3 * state[RATE])
    found = Complexes(*detect_qrs(state, np.full(int(0.4 * state[RATE]), np.nan)))
    inside = found.apex < end
    return Complexes(*[part[inside] for part in found])


def detect_all(ecg: F64, rate_hz: float) -> Complexes:
    """A whole recording at once, same result."""
    state = new_state(rate_hz)
    parts = zip(detect(state, ecg), finish(state), strict=True)
    return Complexes(*[np.concatenate(pair) for pair in parts])


@njit
def detect_qrs(state: F64, ecg: F64) -> tuple[F64, F64, F64]:
    """Kernel of `detect`.

    Source: the stages of Pan and Tompkins, IEEE Trans. Biomed. Eng. 1985;32:230-236, with medians for thresholds
    as in Hamilton and Tompkins, ibid. 1986;33:1157-1165. Constants set on the MIT-BIH Arrhythmia Database.
    """
    rate = state[RATE]
    if not RATE_HZ_MIN <= rate <= RATE_HZ_MAX:
        return np.empty(0), np.empty(0), np.empty(0)
    width = int(0.08 * rate + 0.5)
    blank = 0.2 * rate
    first = _begin(state, ecg)
    onset = state[BEGIN] + 0.15 * rate
    mask = state.size - RING - 1
    found = np.empty((3, PEAKS_MAX + 8 + int(ecg.size / blank)))
    count = 0
    n = int(state[COUNT])
    h0, h1, h2, h3, h4 = state[HIGH], state[HIGH + 1], state[HIGH + 2], state[HIGH + 3], state[HIGH + 4]
    l0, l1, l2, l3, l4 = state[LOW], state[LOW + 1], state[LOW + 2], state[LOW + 3], state[LOW + 4]
    hz1, hz2, lz1, lz2 = state[HIGH_Z], state[HIGH_Z + 1], state[LOW_Z], state[LOW_Z + 1]
    x, band, total, feature = state[SAMPLE], state[BAND], state[SUM], state[FEATURE]
    step = state[STEP]
    peak_at, peak = state[PEAK_AT], state[PEAK]
    at = n % width
    for k in range(first, ecg.size):
        if abs(ecg[k]) < LARGEST:  # which NaN is not
            size = abs(ecg[k] - x)
            if 0.0 < size < step and size > ROUNDING * abs(x):
                step = state[STEP] = size
            x = ecg[k]
        state[RING + (n & mask)] = x
        high = h0 * x + hz1
        hz1 = h1 * x - h3 * high + hz2
        hz2 = h2 * x - h4 * high
        low = l0 * high + lz1
        lz1 = l1 * high - l3 * low + lz2
        lz2 = l2 * high - l4 * low
        slope = abs(low - band)
        band = low
        total += slope - state[MEAN + at]
        state[MEAN + at] = slope
        at = at + 1 if at + 1 < width else 0
        if peak_at < 0.0:
            if total > feature:
                peak_at, peak = n * 1.0, total
        elif total > peak:
            peak_at, peak = n * 1.0, total
        elif n - peak_at >= blank:
            if peak_at < onset:
                pass  # A recording may begin within a complex or on its T wave: what led up to it is unknown.
            elif n < state[LEARN_END]:
                _store_peak(state, peak_at, peak)
            else:
                count = _judge(state, peak_at, peak, found, count)
            peak_at = -1.0
        feature = total
        n += 1
        if n == state[LEARN_END]:
            count = _learn(state, n, found, count)
        elif n > state[SEARCH_AT]:
            count = _look_back(state, found, count)
        elif n > state[DECAY_AT]:
            _decay(state, n)
    state[COUNT] = n
    state[HIGH_Z], state[HIGH_Z + 1], state[LOW_Z], state[LOW_Z + 1] = hz1, hz2, lz1, lz2
    state[SAMPLE], state[BAND], state[SUM], state[FEATURE] = x, band, total, feature
    state[PEAK_AT], state[PEAK] = peak_at, peak
    return found[0, :count].copy(), found[1, :count].copy(), found[2, :count].copy()


@njit
def _begin(state: F64, ecg: F64) -> int:
    """Passes over what is no number before the first sample, which then counts as having always been there."""
    first = 0
    if state[BEGIN] < 0.0:
        while first < ecg.size and not abs(ecg[first]) < LARGEST:
            first += 1
        state[COUNT] += first
        if first < ecg.size:
            x = ecg[first]
            state[BEGIN], state[SAMPLE] = state[COUNT], x
            state[HIGH_Z], state[HIGH_Z + 1] = -state[HIGH] * x, state[HIGH + 2] * x
            _learn_from(state, state[COUNT])
    return first


@njit
def _learn_from(state: F64, n: float) -> None:
    state[LEARN_FROM], state[LEARN_END] = n, n + np.rint(LEARN_S * state[RATE])
    state[LEARNED] = 0.0
    state[BEST_AT] = -1.0
    state[SEARCH_AT], state[DECAY_AT] = np.inf, np.inf


@njit
def _store_peak(state: F64, at: float, height: float) -> None:
    k = int(state[LEARNED])
    if k < PEAKS_MAX:
        state[PEAKS + 2 * k], state[PEAKS + 2 * k + 1] = at, height
        state[LEARNED] = k + 1


@njit
def _learn(state: F64, n: int, found: F64, count: int) -> int:
    """First thresholds from the highest peak of each two seconds; then the stored peaks are judged.

    Two seconds without signal are passed over. Without any, learning begins anew: at first nothing is taken
    that is far below the heart seen before, later less and less of it is asked for.
    """
    floor = max(NOISE_BITS * state[STEP], _median_of_eight(state, QRS_PEAKS))
    stored = int(state[LEARNED])
    tops = np.zeros(4)
    heights = np.zeros(stored)
    for k in range(stored):
        at, height = state[PEAKS + 2 * k], state[PEAKS + 2 * k + 1]
        part = int(4.0 * (at - state[LEARN_FROM]) / (state[LEARN_END] - state[LEARN_FROM]))
        part = min(max(part, 0), 3)
        tops[part] = max(tops[part], height)
        heights[k] = height
    _sort(tops)
    _sort(heights)
    if tops[3] <= floor:
        for i in range(8):
            state[QRS_PEAKS + i] *= 0.2
        _learn_from(state, n)
        return count
    first = 0
    while tops[first] <= floor:
        first += 1
    # Of two parts the lower: what follows a flat line may begin with a jump.
    top = tops[(first + 3) // 2] if first > 0 else 0.5 * (tops[1] + tops[2])
    # Up to three spikes, as of an electrode that is touched, are no measure of a heart that can be seen below them.
    fourth = heights[max(stored - 4, 0)]
    if top > 10.0 * fourth and fourth > 8.0 * heights[stored // 4]:
        top = fourth
    for i in range(8):
        state[QRS_PEAKS + i] = top
        state[NOISE_PEAKS + i] = 0.1 * top
    state[DECAY_AT] = state[LEARN_END] + 4.0 * state[RATE]
    for k in range(stored):
        count = _judge(state, state[PEAKS + 2 * k], state[PEAKS + 2 * k + 1], found, count)
    return count


@njit
def _decay(state: F64, n: int) -> None:
    """The heart has become smaller, or cannot be seen."""
    if n > state[QRS_AT] + STARVED_S * state[RATE]:
        _learn_from(state, n)
        return
    for i in range(8):
        state[QRS_PEAKS + i] *= 0.7
        state[NOISE_PEAKS + i] *= 0.7
    state[DECAY_AT] += state[RATE]


@njit
def _threshold(state: F64) -> float:
    noise = _median_of_eight(state, NOISE_PEAKS)
    threshold = noise + 0.45 * max(_median_of_eight(state, QRS_PEAKS) - noise, 0.0)
    return float(max(threshold, NOISE_BITS * state[STEP]))


@njit
def _judge(state: F64, at: float, height: float, found: F64, count: int) -> int:
    """A confirmed peak is a QRS complex, a T wave or noise."""
    rate = state[RATE]
    threshold = _threshold(state)
    since = at - state[QRS_AT] if state[QRS_AT] >= 0.0 else np.inf
    is_t_wave = since < 0.36 * rate and height < 0.4 * state[QRS]
    if height > threshold and since > 0.2 * rate and not is_t_wave:
        return _accept(state, at, height, height / threshold, found, count)
    _push(state, NOISE_PEAKS, height)
    if since > 0.2 * rate and not is_t_wave and (state[BEST_AT] < 0.0 or height > state[BEST]):
        state[BEST_AT], state[BEST] = at, height
    return count


@njit
def _look_back(state: F64, found: F64, count: int) -> int:
    """A complex is overdue: the highest peak passed over, if it is high enough for one."""
    threshold = _threshold(state)
    if state[BEST_AT] >= 0.0 and state[BEST] > max(0.6 * threshold, NOISE_BITS * state[STEP]):
        return _accept(state, state[BEST_AT], state[BEST], state[BEST] / threshold, found, count)
    state[SEARCH_AT] += 0.25 * state[RATE]
    if state[SEARCH_AT] > state[QRS_AT] + 8.0 * state[RATE]:
        state[SEARCH_AT] = np.inf
    return count


@njit
def _accept(state: F64, at: float, height: float, prominence: float, found: F64, count: int) -> int:
    if state[QRS_AT] >= 0.0:
        _push(state, INTERVALS, at - state[QRS_AT])
    _push(state, QRS_PEAKS, height)
    state[QRS_AT], state[QRS] = at, height
    state[BEST_AT] = -1.0
    usual = _median_of_eight(state, INTERVALS)
    if state[INTERVALS] > 0.0:
        state[SEARCH_AT] = at + 1.5 * usual
    state[DECAY_AT] = at + 4.0 * state[RATE]
    if count < found.shape[1]:
        found[0, count], found[1, count] = _apex(state, at)
        found[2, count] = prominence
        count += 1
    return count


@njit
def _apex(state: F64, at: float) -> tuple[float, float]:
    """Where the raw signal is farthest from the mean around the complex, by a parabola through three samples."""
    rate = state[RATE]
    mask = state.size - RING - 1
    first = max(int(at - 0.25 * rate), int(state[BEGIN]))
    last = int(at + 0.1 * rate)
    mean = 0.0
    for k in range(first, last + 1):
        mean += state[RING + (k & mask)]
    mean /= last + 1 - first
    up_at, down_at = 0, 0
    up, down = -np.inf, np.inf
    for k in range(max(int(at - 0.13 * rate), int(state[BEGIN]) + 1), int(at + 0.03 * rate) + 1):
        v = state[RING + (k & mask)] - mean
        if v > up:
            up_at, up = k, v
        if v < down:
            down_at, down = k, v
    # One side of a biphasic complex, and always the same: a change of side would be jitter in the intervals.
    side = state[POLARITY]
    upward = up > -down if side == 0.0 else (1.5 * up > -down if side > 0.0 else up > -1.5 * down)
    state[POLARITY] = 1.0 if upward else -1.0
    k = up_at if upward else down_at
    before = state[RING + ((k - 1) & mask)] - mean
    top = state[RING + (k & mask)] - mean
    after = state[RING + ((k + 1) & mask)] - mean
    bend = before - 2.0 * top + after
    shift = 0.5 * (before - after) / bend if bend != 0.0 else 0.0
    shift = min(max(shift, -0.5), 0.5)
    return k + shift, top - 0.25 * (before - after) * shift


@njit
def _sort(x: F64) -> None:
    """A few values, in place."""
    for i in range(1, x.size):
        value = x[i]
        k = i
        while k > 0 and x[k - 1] > value:
            x[k] = x[k - 1]
            k -= 1
        x[k] = value


@njit
def _push(state: F64, place: int, value: float) -> None:
    for i in range(7):
        state[place + i] = state[place + i + 1]
    state[place + 7] = value


@njit
def _median_of_eight(state: F64, place: int) -> float:
    order = state[place : place + 8].copy()
    _sort(order)
    return float(0.5 * (order[3] + order[4]))
