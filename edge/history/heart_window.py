"""A window of five minutes of heart data, computed from the stored packets: RR intervals by the time of their beat,
heart rates by the second of their arrival.

Contract: a beat belongs to the one window that contains its moment, wherever the chunks begin and end. If the strap
sends intervals, the statistics are made from them; if it sends none, from the heart rates that it sends. A packet that
cannot be decoded is skipped and counted. This module writes nothing, and does not check whether the window is over.

What a beat is shows among its neighbours, so packets around the window are looked at, too: those before it for
`BEFORE_S`, and those that arrive within `AFTER_S` behind it. So a window says of its beats what an analysis of the
whole record says.

    key                    | unit  | is
    -----------------------|-------|-----------------------------------------------------------------------------
    hr_mean_bpm            | /min  | beats per time, of all intervals
    hr_min_bpm, hr_max_bpm | /min  | lowest and highest mean over eight successive beats
    sdrr_ms, rmssd_rr_ms   | ms    | SD and RMSSD of all intervals as they were sent
    beats                  | 1     | intervals
    coverage_pct           | %     | of the window's time, in intervals
    normal_pct             | %     | of the intervals that are normal: neither premature, nor a pause, nor an artefact
    mean_nn_ms, sdnn_ms    | ms    | mean and SD of the normal ones
    rmssd_ms               | ms    | of the normal ones that follow each other
    pnn50_pct              | %     | of their differences that are above 50 ms
    lf_ms2, hf_ms2         | ms2   | power of 0.04-0.15 and 0.15-0.40 Hz, Lomb-Scargle
    dfa_a1                 | 1     | short-term scaling exponent, boxes of 4-16 beats
    af_pct                 | %     | of the beats that lie in atrial fibrillation, by the sure tier
    breathing_bpm          | /min  | breaths, as far as the intervals tell
    breathing_confidence   | 1     | of that, 0 to 1

None where the window holds too little (`dsp.cardiac.variability.MEASURES`). Names as in Shaffer and Ginsberg, An
overview of heart rate variability metrics and norms, Front Public Health 2017;5:258: RR for all intervals, NN for the
normal ones. What the streams of a strap add stands in `stream_window`.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Final

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac.hrv import heart_stats
from dsp.cardiac.respiration import by_minutes
from dsp.cardiac.rhythm_weights import SURE_THRESHOLD
from dsp.cardiac.variability import variability
from edge.anchors import Span, Timeline
from edge.clock import NS_PER_S
from edge.history.beats import TOLD_WITHIN_NS
from edge.history.body import Body, Computed, number
from edge.history.bounds import Bounds
from edge.history.heart_packets import Judged, judge
from edge.history.stream_window import with_streams
from edge.sensors.heart_reading import rr_unit
from edge.store.tables import Tables
from protocols.heart_rate import RrUnit

# The sure tier looks at 383 beats before, and these at 67 before them: 450 beats at 45 a minute.
BEFORE_S: Final = 600
# It looks at 63 beats behind: these at 42 a minute. Summaries wait for them (`limits.summary_grace_s`).
AFTER_S: Final = 90

EMPTY: Final[Body] = {
    "hr_mean_bpm": None,
    "hr_min_bpm": None,
    "hr_max_bpm": None,
    "sdrr_ms": None,
    "rmssd_rr_ms": None,
    "beats": 0,
    "coverage_pct": 0.0,
    "normal_pct": None,
    "mean_nn_ms": None,
    "sdnn_ms": None,
    "rmssd_ms": None,
    "pnn50_pct": None,
    "lf_ms2": None,
    "hf_ms2": None,
    "dfa_a1": None,
    "af_pct": None,
    "breathing_bpm": None,
    "breathing_confidence": None,
}
# Of `dsp.cardiac.variability`, what a summary keeps.
KEPT: Final = ("mean_nn_ms", "sdnn_ms", "rmssd_ms", "pnn50_pct", "lf_ms2", "hf_ms2", "dfa_a1")


def compute(tables: Tables, timeline: Timeline, sensor_no: int, bounds: Bounds) -> Computed:
    """The summary of the window, from all boots that lie in it or overlap it."""
    unit = rr_unit(tables, sensor_no)

    said = computed(timeline, bounds, lambda span: judged_around(tables, sensor_no, unit, span))
    return with_streams(tables, timeline, sensor_no, bounds, said)


def judged_around(tables: Tables, sensor_no: int, unit: RrUnit, span: Span) -> Judged:
    """The packets of a part of a window, and of `context_ns` around it."""
    first_ns, last_ns = context_ns(span)
    return judge(
        tables.raw_chunks.columns_between(sensor_no, span.boot_no, first_ns, last_ns), unit, first_ns, last_ns
    )


def computed(timeline: Timeline, bounds: Bounds, judged: Callable[[Span], Judged]) -> Computed:
    """The summary of the window; `judged` gives the packets of a part of it, and of `context_ns` around that."""
    window = Window()
    start_ns = bounds.start_utc_s * NS_PER_S
    for span in timeline.spans(start_ns, bounds.end_utc_s * NS_PER_S):
        placed = timeline.place(span.boot_no, span.from_boot_ns)
        assert placed is not None, "a span has a wall time"
        window.add(judged(span), span, begin_s=(placed.utc_ns - start_ns) / NS_PER_S)
    length_s = bounds.end_utc_s - bounds.start_utc_s
    if window.rr_ms.size:
        return Computed(window.intervals_body(length_s), True, window.undecodable)
    if window.rates_bpm:
        return Computed(_rates_body(window.rates_bpm, length_s), True, window.undecodable)
    return Computed(EMPTY, False, window.undecodable)


def context_ns(span: Span) -> tuple[int, int]:
    """When the packets arrive that are looked at for a part of a window: [first, last)."""
    return span.from_boot_ns - BEFORE_S * NS_PER_S, span.to_boot_ns + AFTER_S * NS_PER_S


class Window:
    """The data of one window, added part by part.

    Attributes:
        rr_ms, follows: as `dsp.cardiac.hrv.heart_stats` takes them.
        rates_bpm: the heart rates that the strap sent, one for each second in which it was worn and had a rate.
        undecodable: how many packets cannot be decoded.
    """

    def __init__(self) -> None:
        self.rr_ms: F64 = np.zeros(0)
        self.follows: F64 = np.zeros(0)
        self.rates_bpm: list[int] = []
        self.undecodable = 0
        self._normal: tuple[F64, F64, F64] = (np.zeros(0), np.zeros(0), np.zeros(0))
        self._in_af = 0

    def add(self, judged: Judged, span: Span, begin_s: float = 0.0) -> None:
        """Add the data of a part of the window. Its first interval does not follow another one.

        Args:
            judged: packets of the span, and of `context_ns` around it.
            span: the part.
            begin_s: where in the window it begins.
        """
        _, from_ns, to_ns = span
        odd = slice(*np.searchsorted(judged.undecodable_ns, (from_ns, to_ns + TOLD_WITHIN_NS)))
        self.undecodable += odd.stop - odd.start
        timed = slice(*np.searchsorted(judged.rate_ns, (from_ns, to_ns)))
        seconds = (judged.rate_ns[timed] - from_ns) // NS_PER_S
        self.rates_bpm += dict(zip(seconds.tolist(), judged.rate_bpm[timed].tolist(), strict=True)).values()
        inside = slice(*np.searchsorted(judged.t_ns, (from_ns, to_ns)))
        if inside.start == inside.stop:
            return
        normal = judged.normal
        within = slice(*np.searchsorted(normal[0], (from_ns, to_ns)))
        t_s = begin_s + (normal[0][within] - from_ns) / NS_PER_S
        parts = (t_s, normal[1][within], _as_first(normal[2][within]))
        in_time, lasting, following = (
            as_f64(np.concatenate(pair)) for pair in zip(self._normal, parts, strict=True)
        )
        self._normal = in_time, lasting, following
        self._in_af += int((judged.sure[inside] >= SURE_THRESHOLD).sum())
        self.rr_ms = as_f64(np.concatenate([self.rr_ms, judged.rr_ms[inside]]))
        self.follows = as_f64(np.concatenate([self.follows, _as_first(judged.follows[inside])]))

    def intervals_body(self, length_s: int) -> Body:
        """The body of a window in which there are intervals."""
        stats, size = heart_stats(self.rr_ms, self.follows), self.rr_ms.size
        t_s, nn_ms, _ = self._normal
        corrected = variability(*self._normal, float(length_s))._asdict()
        breathing = by_minutes(t_s, nn_ms, 0.0, float(length_s))
        return {
            "hr_mean_bpm": number(stats.hr_mean_bpm),
            "hr_min_bpm": number(stats.hr_min_bpm),
            "hr_max_bpm": number(stats.hr_max_bpm),
            "sdrr_ms": number(stats.sdnn_ms),
            "rmssd_rr_ms": number(stats.rmssd_ms),
            "beats": int(size),
            "coverage_pct": min(100.0, float(stats.covered_ms) / (10.0 * length_s)),
            "normal_pct": 100.0 * nn_ms.size / size,
            **{key: number(corrected[key]) for key in KEPT},
            "af_pct": 100.0 * self._in_af / size,
            "breathing_bpm": number(breathing.rate_bpm),
            "breathing_confidence": number(breathing.confidence),
        }


def _as_first(follows: F64) -> F64:
    """What comes first in a part follows nothing that is in it."""
    if follows.size:
        follows = follows.copy()
        follows[0] = 0.0
    return follows


def _rates_body(rates_bpm: Sequence[int], length_s: int) -> Body:
    """The body of a window in which the strap sent no intervals."""
    return EMPTY | {
        "hr_mean_bpm": fmean(rates_bpm),
        "hr_min_bpm": float(min(rates_bpm)),
        "hr_max_bpm": float(max(rates_bpm)),
        "coverage_pct": min(100.0, 100.0 * len(rates_bpm) / length_s),
    }
