"""Recorded hearts as the packets of a strap, and what `analyse rr` says of the beats in them."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from cardiac_records import Array, column, words

from dsp.arrays import as_f64
from dsp.cardiac import episodes
from dsp.cardiac.live import Found
from dsp.cardiac.rhythm_weights import SURE_THRESHOLD
from dsp.cardiac.rr import Timeline, place
from edge.history.beats import Beats
from edge.now.rhythm_state import Axis, Taken
from edge.store.raw_chunks import NO_BEAT
from protocols.heart_rate import HeartRateMeasurement, RrUnit, rr_ms
from tools.analyse import rr as analyse_rr

S = 10**9


class Sent(NamedTuple):
    """A packet: when it comes, and what it says."""

    boot_s: float
    reading: HeartRateMeasurement


@cache
def _in_af() -> Array:
    rr, rhythm = column("afdb_08219_rr.csv.gz", "rr_ms"), words("afdb_08219_rr.csv.gz", "rhythm")
    return as_f64(rr[np.array(rhythm) == "AFIB"][:3000])


def in_af(beats: int) -> Array:
    """Intervals of one person in atrial fibrillation, over and over."""
    return as_f64(np.resize(_in_af(), beats))


def ticks_of(rr: Array) -> list[int]:
    """Intervals as a strap counts them, in 1/1024 s."""
    return [round(float(x) * 1.024) for x in rr]


def sent(rr: Array, begin_s: float = 1.0, lost: frozenset[int] = frozenset()) -> Iterator[Sent]:
    """One packet a second, with the beats of the second before; those of these seconds are lost on the way."""
    ticks, at_s, n = ticks_of(rr), begin_s, 0
    second = int(begin_s) + 1
    while n < len(ticks):
        inside: list[int] = []
        while n < len(ticks) and at_s + ticks[n] / 1024 <= second:
            at_s += ticks[n] / 1024
            inside.append(ticks[n])
            n += 1
        bpm = round(60_000 / rr_ms(inside[-1])) if inside else 60
        if second not in lost:
            yield Sent(float(second), HeartRateMeasurement(min(bpm, 255), rr_ticks=tuple(inside) or None))
        second += 1


def taken(packets: Sequence[Sent]) -> list[Taken]:
    """The packets with the times of their beats, as the strap's side of the gateway finds them."""
    timeline, found = Timeline(), []
    for boot_s, reading in packets:
        timeline, placed = place(timeline, boot_s, [rr_ms(t) for t in reading.rr_ticks or ()])
        beat_ns = round(placed.t_s[-1] * 1e6) * 1000 if placed.t_s else NO_BEAT
        found.append((round(boot_s * S), beat_ns, reading))
    return found


def beats_of(packets: Sequence[Taken], axis: Axis) -> analyse_rr.Beats:
    """All beats of the packets of one boot at once."""
    beats = Beats(RrUnit.TICKS)
    for arrival_ns, last_beat_ns, reading in packets:
        if reading.rr_ticks:
            beats.add(reading.rr_ticks, arrival_ns, last_beat_ns)
    t_s = axis.at_s + (as_f64(beats.t_ns) - axis.boot_ns) / S
    return analyse_rr.Beats(as_f64(t_s), as_f64(beats.rr_ms), as_f64(beats.follows))


def check(found: Sequence[Found], whole: analyse_rr.Analysis) -> None:
    """What was found beat by beat is what the analysis of the whole record says; the last beats are still to come."""
    beats, judged, tiers = whole.beats, whole.judged, whole.tiers
    for name, expected in (
        ("fast", tiers.fast),
        ("sure", tiers.sure),
        ("sure_s", beats.t_s),
        ("judged_s", beats.t_s),
    ):
        said = np.concatenate([getattr(part, name) for part in found])
        assert beats.t_s.size - 63 <= said.size <= beats.t_s.size
        np.testing.assert_array_equal(said, expected[: said.size])
    for name, expected in judged._asdict().items():
        said = np.concatenate([getattr(part.judged, name) for part in found])
        assert said.size == beats.t_s.size - 10
        np.testing.assert_array_equal(said, expected[: said.size])
    af = episodes.af_episodes(*beats, tiers.sure, SURE_THRESHOLD)
    ended = [span for part in found for span in part.ended]
    told = [episodes.Episode("af", s.start_s, s.end_s, s.hr_mean_bpm, s.probability) for s in ended]
    assert len(af) - 2 <= len(told) <= len(af)
    assert told == af[: len(told)]
    pauses = episodes.pauses(*beats, judged.beat, float(beats.t_s[-1]))
    told_pauses = [pause for part in found for pause in part.pauses]
    assert len(pauses) - 1 <= len(told_pauses)
    assert told_pauses == pauses[: len(told_pauses)]
