"""What is known of the rhythm as it comes is what `analyse rr` says of the same beats, beat by beat."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from cardiac_records import column, sinus_ms
from rhythm_parts import S, Sent, beats_of, check, in_af, sent, taken

from dsp.arrays import as_f64
from dsp.cardiac import episodes
from dsp.cardiac.live import Found
from dsp.cardiac.rhythm_weights import SURE_THRESHOLD
from edge.now.known import RhythmKnown
from edge.now.rhythm_state import DAY_S, SLOT_S, RhythmState, Taken, decode, deflated, inflated
from protocols.heart_rate import HeartRateMeasurement, RrUnit
from tools.analyse import rr as analyse_rr


def new(boot_ns: int = S) -> RhythmState:
    state = RhythmState(RrUnit.TICKS)
    state.begin_boot(1, boot_ns, 0.0)
    return state


def fed(packets: Sequence[Taken], rng: random.Random | None = None) -> tuple[RhythmState, list[Found]]:
    """All packets, in one part or in parts of any size, the state stored and restored in between."""
    state, found, at = new(packets[0][0]), [], 0
    while at < len(packets):
        size = len(packets) if rng is None else rng.choice([1, 1, 7, 60, 600])
        found.append(state.take(packets[at : at + size]))
        at += size
        if rng is not None and rng.random() < 0.2:
            state = decode(inflated(deflated(state.encode())))
    return state, found


def lost(seed: int, seconds: int) -> frozenset[int]:
    """Notifications that do not arrive: some alone, some in a row."""
    rng = random.Random(seed)
    starts = rng.sample(range(100, seconds), seconds // 400)
    return frozenset(start + n for start in starts for n in range(rng.choice([1, 1, 2, 45])))


RECORDINGS = {
    "atrial fibrillation that comes and goes": "afdb_08219_rr.csv.gz",
    "ventricular ectopy": "mitdb_119_rr.csv.gz",
    "ectopy, bigeminy": "mitdb_106_rr.csv.gz",
    "lively sinus rhythm": "nsr2db_nsr004_rr.csv.gz",
}


@pytest.mark.parametrize("file", RECORDINGS.values(), ids=RECORDINGS)
@pytest.mark.parametrize("is_lossy", [False, True])
def test_live_is_what_an_analysis_of_the_same_beats_says(file: str, is_lossy: bool) -> None:
    rr = column(file, "rr_ms")
    seconds = int(rr.sum() / 1000)
    packets = taken(list(sent(rr, lost=lost(1, seconds) if is_lossy and seconds > 600 else frozenset())))
    state, found = fed(packets, random.Random(2))
    assert state.axis is not None
    whole = analyse_rr.analyse(beats_of(packets, state.axis))
    check(found, whole)
    if is_lossy and seconds > 600:
        assert (whole.beats.follows[1:] == 0.0).sum() > seconds / 2000
    else:
        assert whole.beats.rr_ms.size == rr.size


def test_however_it_is_cut_and_stored_the_state_is_the_same_to_the_last_bit() -> None:
    packets = taken(list(sent(column("afdb_08219_rr.csv.gz", "rr_ms")[:20_000], lost=lost(3, 9000))))
    at_once, _ = fed(packets)
    in_parts, _ = fed(packets, random.Random(4))
    assert in_parts.encode() == at_once.encode()
    assert in_parts.known(1e5) == at_once.known(1e5)


def test_packets_that_come_again_change_nothing() -> None:
    packets = taken(list(sent(sinus_ms(1, 600))))
    state, _ = fed(packets)
    before = state.encode()
    state.take(packets[100:])
    assert state.encode() == before


def known_of(rr: np.ndarray, lost_s: frozenset[int] = frozenset()) -> tuple[RhythmKnown, analyse_rr.Analysis]:
    packets = taken(list(sent(as_f64(rr), lost=lost_s)))
    state, _ = fed(packets)
    assert state.axis is not None
    known = state.known(float(beats_of(packets, state.axis).t_s[-1]) + 7.0)
    assert known is not None
    return known, analyse_rr.analyse(beats_of(packets, state.axis))


def test_episode_burden_and_probabilities_of_a_recording() -> None:
    """The first 24,000 beats of record 08219; they end within an episode of AF."""
    known, whole = known_of(column("afdb_08219_rr.csv.gz", "rr_ms")[:24_000])
    sure = whole.beats.t_s.size - 63
    t_s, rr_ms, follows = (x[:sure] for x in whole.beats)
    af = episodes.af_episodes(t_s, rr_ms, follows, whole.tiers.sure[:sure], SURE_THRESHOLD)
    burden = episodes.burden(af, t_s, rr_ms)
    assert known.age_s == pytest.approx(7.0)
    assert known.af_probability_fast == whole.tiers.fast[-1]
    assert known.af_probability_sure == whole.tiers.sure[sure - 1]
    assert known.af is not None
    now_s = float(whole.beats.t_s[-1]) + 7.0
    assert known.af.begin_age_s == pytest.approx(now_s - af[-1].start_s, abs=1e-6)
    assert known.af.end_age_s == pytest.approx(now_s - af[-1].end_s, abs=1e-6)
    assert known.af.hr_mean_bpm == pytest.approx(af[-1].hr_mean_bpm)
    assert known.af.is_over == (t_s[-1] - af[-1].end_s >= 30.0)
    assert known.af_burden_pct == pytest.approx(burden.af_pct, rel=1e-9)
    assert known.observed_s == pytest.approx(burden.observed_s, rel=1e-12)
    assert burden.af_pct > 5.0
    premature = whole.judged.beat[-110:-10] == 1.0
    assert known.premature_pct == pytest.approx(100.0 * premature.mean())


def test_the_burden_is_that_of_the_last_day() -> None:
    """Two days and a half, of which every third hour was worn: half an hour of sinus rhythm, some AF, sinus rhythm."""
    rng, packets = random.Random(5), []
    for hour in range(0, 60, 3):
        af = in_af(rng.randrange(100, 1500))
        rr = np.concatenate([sinus_ms(hour, 1000), af, sinus_ms(hour + 1, 1000)])
        packets += taken(list(sent(as_f64(rr), begin_s=3600.0 * hour + 1.0)))
    state, found = fed(packets, random.Random(6))
    known = state.known(0.0)
    assert known is not None
    assert state.axis is not None
    sure_s, sure_ms, sure = (
        as_f64(np.concatenate([getattr(part, name) for part in found]))
        for name in ("sure_s", "sure_ms", "sure")
    )
    counts = sure_s >= np.floor((sure_s[-1] - DAY_S) / SLOT_S) * SLOT_S
    follows = beats_of(packets, state.axis).follows[: sure.size]
    inside = np.zeros(sure.size, bool)
    for span in episodes.af_episodes(sure_s, sure_ms, follows, sure, SURE_THRESHOLD):
        inside |= (sure_s > span.start_s) & (sure_s <= span.end_s)
    assert 0.3 < counts.mean() < 0.5
    assert known.observed_s == pytest.approx(sure_ms[counts].sum() / 1000)
    assert known.af_burden_pct == pytest.approx(100 * sure_ms[counts & inside].sum() / sure_ms[counts].sum())
    assert 10.0 < known.af_burden_pct < 60.0


def pauses_at(*at: tuple[int, float], lost_s: Sequence[int] = ()) -> RhythmKnown:
    rr = sinus_ms(7, 400)
    for beat, length_ms in at:
        rr[beat] = length_ms
    return known_of(rr, frozenset(lost_s))[0]


def test_the_newest_pause_is_told_with_what_it_may_be() -> None:
    assert pauses_at().pause is None
    pause = pauses_at((200, 3300.0)).pause
    assert pause is not None
    assert pause.length_ms == pytest.approx(3300.0, abs=1.0)
    assert not pause.may_be_lost_data
    later = pauses_at((100, 3300.0), (350, 2400.0)).pause
    assert later is not None
    assert later.length_ms == pytest.approx(2400.0, abs=1.0)


def test_of_pauses_that_come_together_the_longest_is_told_and_lost_data_hide_none() -> None:
    together = pauses_at((200, 3300.0), (210, 2400.0)).pause
    assert together is not None
    assert together.length_ms == pytest.approx(3300.0, abs=1.0)
    lost_behind = pauses_at((200, 3300.0), lost_s=range(190, 200)).pause
    assert lost_behind is not None
    assert not lost_behind.may_be_lost_data
    lost_alone = pauses_at(lost_s=range(190, 200)).pause
    assert lost_alone is not None
    assert lost_alone.may_be_lost_data
    assert lost_alone.length_ms > 8000


def resting(rr: np.ndarray, night_bpm: float) -> float:
    state = new()
    state.resting.night_bpm = night_bpm
    state.take(taken(list(sent(as_f64(rr)))))
    known = state.known(0.0)
    assert known is not None
    assert known.af is not None
    assert not known.af.is_over
    return known.af_resting_s


def test_an_episode_lasts_at_rest_as_long_as_the_wearer_rested_throughout() -> None:
    """Ten minutes of sinus rhythm at 70/min, then 40 min of AF at about 90/min."""
    af = in_af(3600)
    rr = np.concatenate([sinus_ms(8, 700), af * (60_000 / 90 / af.mean())])
    assert resting(rr, night_bpm=50.0) == 0.0
    at_rest_s = resting(rr, night_bpm=85.0)
    assert at_rest_s == pytest.approx(3600 * 60 / 90, rel=0.05)
    # Of a heart that was fast for the first half hour only the rest counts.
    slowed = np.concatenate([sinus_ms(8, 700), af[:2000] * (60_000 / 130 / af.mean()), af[2000:]])
    slowed[2700:] *= 60_000 / 90 / af.mean()
    assert 0.0 < resting(slowed, night_bpm=85.0) < 700.0


def test_a_boot_goes_on_after_the_time_that_went_by() -> None:
    packets = taken(list(sent(sinus_ms(1, 300))))
    state, _ = fed(packets)
    end = state.known(0.0)
    state.begin_boot(2, 5 * S, 600.0)
    state.take(
        [(arrival - packets[0][0] + 5 * S, beat - packets[0][0] + 5 * S, r) for arrival, beat, r in packets]
    )
    assert state.axis is not None
    assert end is not None
    newest = state.known(state.axis.of(state.upto_ns))
    assert newest is not None
    assert newest.pause is not None
    assert newest.pause.may_be_lost_data
    assert newest.pause.length_ms == pytest.approx(600_000, rel=0.01)


def test_nothing_is_known_before_the_first_beat() -> None:
    assert RhythmState(RrUnit.TICKS).known(0.0) is None
    state = new()
    state.take(taken([Sent(1.0, HeartRateMeasurement(60))]))
    assert state.known(0.0) is None
