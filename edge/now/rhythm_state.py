"""What the beats of one strap say up to now: rhythm, AF episodes and their burden, pauses, premature beats.

Contract: pure. The state follows from the packets alone, to the last bit, however they are cut into parts and however
often the state is encoded and decoded in between; of a new boot it also needs to be told how much time went by. Beats
are judged as `analyse rr` judges them, on an axis in seconds that goes on over boots and never goes back.
"""

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct, msgpack

from dsp.arrays import F64, as_f64
from dsp.cardiac import af_stream, live
from dsp.cardiac.af_stream import AfSpan
from dsp.cardiac.episodes import Pause
from dsp.cardiac.intervals import Beat
from edge.clock import NS_PER_S
from edge.history.beats import Beats
from edge.now.known import EpisodeKnown, PauseKnown, RhythmKnown
from edge.now.rest import Resting
from edge.sensors.heart_reading import why_not_counted
from edge.store.raw_chunks import NO_BEAT
from protocols.heart_rate import HeartRateMeasurement, RrUnit

VERSION: Final = 2
"""Of the encoded state: to be raised whenever the same packets give another one."""

DAY_S: Final = 86_400
# To within this the day ends before which nothing counts for the burden.
SLOT_S: Final = 300
PREMATURE_OF: Final = 100
# Of pauses that come within this of each other the longest is told.
PAUSES_APART_S: Final = 60.0

Taken = tuple[int, int, HeartRateMeasurement]
"""Of a packet: its arrival and its last beat (or `NO_BEAT`), ns since boot, and what it says."""


class Axis(Struct, array_like=True):
    """At `boot_ns` of a boot it was `at_s`."""

    boot_no: int
    boot_ns: int
    at_s: float

    def of(self, boot_ns: float) -> float:
        return self.at_s + (boot_ns - self.boot_ns) / NS_PER_S


class _Encoded(Struct, array_like=True):
    unit: str
    axis: Axis
    upto_ns: int
    chained_ns: float | None
    newest_ns: float | None
    vectors: list[bytes]
    resting: Resting
    episodes: list[AfSpan]
    slots: bytes
    premature: bytes
    pause: Pause | None
    newest_s: float | None
    fast: float | None
    sure: float | None


class RhythmState:
    """The state of one strap.

    Attributes:
        unit: what the strap counts its intervals in.
        axis: where the axis stands in the boot of the newest packet; None before there is any.
        upto_ns: when the newest packet came.
        resting: whether the wearer is at rest.
    """

    def __init__(self, unit: RrUnit) -> None:
        self.unit = unit
        self.axis: Axis | None = None
        self.upto_ns = 0
        self.resting = Resting()
        self._beats = Beats(unit)
        self._live = live.new_state()
        self._episodes: list[AfSpan] = []
        # Of each slot with beats: its number, and the time observed before the first of them.
        self._slots: list[tuple[float, float]] = []
        self._premature = b""
        self._pause: Pause | None = None
        self._newest_s: float | None = None
        self._fast: float | None = None
        self._sure: float | None = None
        self._burden: tuple[float | None, float] = None, 0.0

    def begin_boot(self, boot_no: int, boot_ns: int, gone_s: float) -> None:
        """The next packets are of another boot; `boot_ns` of it is `gone_s` after the newest packet."""
        at_s = 0.0 if self.axis is None else self.axis.of(self.upto_ns) + gone_s
        self.axis = Axis(boot_no, boot_ns, at_s)
        self.upto_ns = -1
        self._beats = Beats(self.unit)

    def take(self, packets: Sequence[Taken]) -> live.Found:
        """Packets of the boot that has begun, in the order they came. What came before the newest is passed over."""
        assert self.axis is not None, "begin_boot comes first"
        beats, axis, resting = self._beats, self.axis, self.resting
        for arrival_ns, last_beat_ns, reading in packets:
            if arrival_ns <= self.upto_ns:
                continue
            self.upto_ns = arrival_ns
            counts = why_not_counted(reading) is None
            resting.take(axis.of(arrival_ns), float(reading.heart_rate_bpm) if counts else None)
            if last_beat_ns != NO_BEAT and reading.rr_ticks:
                beats.add(reading.rr_ticks, arrival_ns, last_beat_ns)
        t_s = as_f64(axis.at_s + (as_f64(beats.t_ns) - axis.boot_ns) / NS_PER_S)
        if self._newest_s is not None:
            t_s = as_f64(np.maximum(t_s, self._newest_s))
        found = self._feed(t_s, as_f64(beats.rr_ms), as_f64(beats.follows))
        beats.t_ns, beats.rr_ms, beats.follows = [], [], []
        return found

    def _feed(self, t_s: F64, rr_ms: F64, follows: F64) -> live.Found:
        before_ms = float(self._live.af[af_stream.OBSERVED_MS])
        self._live, found = live.feed(self._live, t_s, rr_ms, follows)
        if t_s.size:
            self._newest_s, self._fast = float(t_s[-1]), float(found.fast[-1])
        if found.sure.size:
            self._sure = float(found.sure[-1])
            self._note_slots(found, before_ms)
        self._episodes += found.ended
        premature = (found.judged.beat == Beat.PREMATURE).astype(np.uint8).tobytes()
        self._premature = (self._premature + premature)[-PREMATURE_OF:]
        for pause in found.pauses:
            self._note_pause(pause)
        self._reckon()
        return found

    def _note_slots(self, found: live.Found, before_ms: float) -> None:
        """Note what was observed before each slot, and forget what a day has passed over."""
        known = self._slots[-1][0] if self._slots else -np.inf
        slots = np.floor(found.sure_s / SLOT_S)
        until_ms = before_ms + np.concatenate([[0.0], np.cumsum(found.sure_ms)])
        for k in np.flatnonzero(np.diff(slots, prepend=known) > 0.0).tolist():
            self._slots.append((float(slots[k]), float(until_ms[k])))
        edge = self._edge(float(found.sure_s[-1]))
        self._slots = [slot for slot in self._slots if slot[0] >= edge]
        self._episodes = [span for span in self._episodes if span.end_s >= edge * SLOT_S]

    def _edge(self, newest_s: float) -> float:
        """The first slot that counts for the burden."""
        return float(np.floor((newest_s - DAY_S) / SLOT_S))

    def _note_pause(self, pause: Pause) -> None:
        known = self._pause
        if known is not None and pause.end_s - known.end_s < PAUSES_APART_S:
            is_told = not pause.may_be_lost_data and (
                known.may_be_lost_data or pause.length_ms >= known.length_ms
            )
            if not is_told:
                return
        self._pause = pause

    def _reckon(self) -> None:
        """The burden of the last day, as far as the sure tier has come."""
        total_ms = float(self._live.af[af_stream.OBSERVED_MS])
        if not self._slots:
            return
        from_ms = self._slots[0][1]
        open_span = af_stream.newest(self._live.af)
        spans = [*self._episodes, *([open_span] if open_span else [])]
        af_ms = sum(span.end_ms - max(span.start_ms, from_ms) for span in spans if span.end_ms > from_ms)
        observed_ms = total_ms - from_ms
        self._burden = (100.0 * af_ms / observed_ms if observed_ms > 0.0 else None), observed_ms / 1000.0

    def known(self, now_s: float) -> RhythmKnown | None:
        """What is known, at a moment of the axis; None before the first beat."""
        if self._newest_s is None:
            return None
        burden_pct, observed_s = self._burden
        span = af_stream.newest(self._live.af)
        is_over = span is None or af_stream.is_over(self._live.af)
        span = span or (self._episodes[-1] if self._episodes else None)
        resting_s = 0.0
        if span is not None and not is_over and self.resting.since_s is not None:
            resting_s = max(0.0, span.end_s - max(span.start_s, self.resting.since_s))
        pause = self._pause
        return RhythmKnown(
            age_s=now_s - self._newest_s,
            af_probability_fast=self._fast,
            af_probability_sure=self._sure,
            af=None
            if span is None
            else EpisodeKnown("af", now_s - span.start_s, now_s - span.end_s, span.hr_mean_bpm, is_over),
            af_resting_s=resting_s,
            af_burden_pct=burden_pct,
            observed_s=observed_s,
            premature_pct=100.0 * sum(self._premature) / len(self._premature) if self._premature else None,
            pause=None
            if pause is None
            else PauseKnown(
                pause.length_ms, now_s - pause.end_s, pause.may_be_missed_beats, pause.may_be_lost_data
            ),
        )

    def encode(self) -> bytes:
        """All of it, to go on from; `deflated` makes it smaller."""
        assert self.axis is not None
        return msgpack.encode(
            _Encoded(
                self.unit.name,
                self.axis,
                self.upto_ns,
                self._beats.chained_ns,
                self._beats.newest_ns,
                [vector.tobytes() for vector in self._live],
                self.resting,
                self._episodes,
                as_f64(np.array(self._slots).ravel()).tobytes(),
                self._premature,
                self._pause,
                self._newest_s,
                self._fast,
                self._sure,
            )
        )


def decode(body: bytes) -> RhythmState:
    """A state that was encoded by this version."""
    kept = msgpack.decode(body, type=_Encoded)
    state = RhythmState(RrUnit[kept.unit])
    state.axis, state.upto_ns, state.resting = kept.axis, kept.upto_ns, kept.resting
    state._beats = Beats(state.unit, kept.chained_ns, kept.newest_ns)
    judged, screened, af, late = (np.frombuffer(vector).copy() for vector in kept.vectors)
    state._live = live.State(judged, screened, af, late.reshape(3, -1))
    state._episodes = kept.episodes
    state._slots = [(slot, ms) for slot, ms in np.frombuffer(kept.slots).reshape(-1, 2).tolist()]
    state._premature = kept.premature
    state._pause = kept.pause
    state._newest_s, state._fast, state._sure = kept.newest_s, kept.fast, kept.sure
    state._reckon()
    return state


def deflated(body: bytes) -> bytes:
    """An encoded state as the store keeps it: first the octets of its numbers that hardly change."""
    octets = np.frombuffer(body, np.uint8)
    whole = octets[: octets.size // 8 * 8].reshape(-1, 8).T.tobytes()
    return zlib.compress(whole + body[len(whole) :], 1)


def inflated(body: bytes) -> bytes:
    """The encoded state that was deflated."""
    octets = zlib.decompress(body)
    size = len(octets) // 8 * 8
    return np.frombuffer(octets[:size], np.uint8).reshape(8, -1).T.tobytes() + octets[size:]
