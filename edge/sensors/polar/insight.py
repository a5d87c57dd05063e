"""What follows from the streams of a Polar sensor, beside what its intervals say.

Contract: as `edge.now.present.Insight`. Rest is told by the acceleration as long as that is known, else by the heart
rate. Nothing of this outlives the process: after a few minutes it is known again.
"""

from collections.abc import Iterable

from msgspec import structs

from dsp.arrays import F64
from edge.clock import NS_PER_S
from edge.now.known import EcgKnown, GlucoseKnown, Rest, RhythmKnown
from edge.now.rest import STILL_MG, Still
from edge.now.rhythm import Rhythm
from edge.sensors.polar.agreement import Agreement
from edge.sensors.polar.ecg import WINDOW_S, Ecg
from edge.store.stream_figures import Figures
from protocols.polar_time import Timed

# An ECG that has said nothing for so long says nothing of now.
ECG_HOLDS_S = 120.0


class Insight:
    """What is known of one wearer."""

    def __init__(self, rhythm: Rhythm) -> None:
        self._rhythm = rhythm
        self._still = Still()
        self._ecg: Ecg | None = None
        self._agreement = Agreement()

    # What comes

    def begin_ecg(self, rate_hz: float) -> None:
        """A stream of ECG has begun."""
        self._ecg, self._agreement = Ecg(rate_hz), Agreement()

    def take_ecg(self, samples_uv: F64, timed: Timed, boot_ns: int) -> Figures:
        """The samples of a frame; what is counted of it."""
        if self._ecg is None:
            return Figures()
        judged = self._ecg.take(samples_uv, timed, boot_ns)
        clear = sum(window.is_clear for window in self._ecg.windows[-judged:]) if judged else 0
        return Figures(ecg_s=judged * WINDOW_S, clear_s=clear * WINDOW_S)

    def take_beats(self, beats: Iterable[tuple[float, float]]) -> Figures:
        """Beats of the strap, as `Agreement` takes them; what is counted of them."""
        if self._ecg is None:
            return Figures()
        self._agreement.take(beats)
        intervals, confirmed = self._agreement.judge(self._ecg)
        return Figures(intervals=intervals, confirmed=confirmed)

    def take_motion(self, deviation_mg: float | None, boot_ns: int) -> bool | None:
        """An epoch of acceleration; whether it was without movement, if it says anything."""
        self._still.take(boot_ns / NS_PER_S, deviation_mg)
        return None if deviation_mg is None else deviation_mg <= STILL_MG

    # What is known

    def rest(self, boot_ns: int) -> Rest:
        by_motion = self._still.at(boot_ns / NS_PER_S)
        return self._rhythm.rest(boot_ns) if by_motion is Rest.UNKNOWN else by_motion

    def rhythm(self, boot_ns: int) -> RhythmKnown | None:
        known = self._rhythm.rhythm(boot_ns)
        if known is None:
            return None
        return structs.replace(
            known, af_resting_s=self._af_resting_s(known, boot_ns), ecg=self._known(boot_ns)
        )

    def glucose(self, _: int) -> GlucoseKnown | None:
        """A strap says nothing of it."""

    def _af_resting_s(self, known: RhythmKnown, boot_ns: int) -> float:
        """As `RhythmKnown` has it, by the acceleration where that is known."""
        by_motion, af = self._still.at(boot_ns / NS_PER_S), known.af
        if by_motion is Rest.UNKNOWN or af is None or af.is_over:
            return known.af_resting_s
        if by_motion is Rest.ACTIVE or self._still.since_s is None:
            return 0.0
        still_age_s = boot_ns / NS_PER_S - self._still.since_s
        return max(0.0, min(af.begin_age_s, still_age_s) - af.end_age_s)

    def _known(self, boot_ns: int) -> EcgKnown | None:
        ecg = self._ecg
        if ecg is None or not ecg.beats_s.size:
            return None
        ahead_ns, quality_pct = ecg.ahead_ns, ecg.quality_pct()
        if ahead_ns is None or quality_pct is None:
            return None
        age_s = (boot_ns - ahead_ns) / NS_PER_S - float(ecg.beats_s[-1])
        if age_s > ECG_HOLDS_S:
            return None
        return EcgKnown(
            age_s=age_s,
            rate_bpm=ecg.rate_bpm(),
            quality_pct=quality_pct,
            confirmed_pct=self._agreement.confirmed_pct,
            intervals=self._agreement.intervals,
        )
