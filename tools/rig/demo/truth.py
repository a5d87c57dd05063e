"""What is true of the demo's day: what the recordings hold that its sensors play.

Contract: times are seconds since the day's midnight, and recordings are played over and over, as the sensors do.
Recordings are asked, and nothing that a gateway has computed.
"""

from itertools import cycle, takewhile
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from dsp.arrays import F64, as_f64
from hw_sim.recordings import GlucoseRecording, repeat_days
from tools.rig.home.recordings import DemoRecordings

# What is beyond a limit again within this belongs to the same event: Battelino et al. 2019, doi 10.2337/dci19-0028.
EVENT_ENDS_S = 900.0


class Stretch(Struct, frozen=True):
    """From when to when something was so."""

    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s


class Truth(NamedTuple):
    """What the recordings hold until `until_s`, the end of the demo.

    Attributes:
        af: atrial fibrillation as it is labelled; None if nobody labelled the rhythm.
        pauses: between two beats, as long as the gateway is to tell of; None without a recording.
        glucose: the readings; None without a recording.
    """

    until_s: float
    af: list[Stretch] | None
    pauses: list[Stretch] | None
    glucose: GlucoseRecording | None


def truth(worn: DemoRecordings, until_s: float, pause_s: float) -> Truth:
    """What is true of somebody who wears these recordings from midnight until then."""
    rr_ms, is_af = worn.rr_ms, worn.is_af
    return Truth(
        until_s,
        None if rr_ms is None or is_af is None else runs(rr_ms, is_af, until_s),
        None if rr_ms is None else runs(rr_ms, rr_ms >= 1000.0 * pause_s, until_s),
        None if worn.glucose is None else played(worn.glucose, until_s),
    )


def runs(rr_ms: F64, is_so: NDArray[np.bool_], until_s: float) -> list[Stretch]:
    """Intervals in a row of which something is so, from the beginning of the first to the end of the last."""
    found: list[Stretch] = []
    end_s, was_so = 0.0, False
    for one_ms, now_so in cycle(zip(rr_ms.tolist(), is_so.tolist(), strict=True)):
        begin_s, end_s = end_s, end_s + one_ms / 1000.0
        if end_s > until_s:
            return found
        if now_so and was_so:
            found[-1] = replace(found[-1], end_s=end_s)
        elif now_so:
            found.append(Stretch(begin_s, end_s))
        was_so = now_so
    return found


def played(recording: GlucoseRecording, until_s: float) -> GlucoseRecording:
    """The readings before a moment."""
    readings = list(takewhile(lambda reading: reading[0] < until_s, repeat_days(recording)))
    return GlucoseRecording(*(as_f64(column) for column in np.reshape(readings, (-1, 2)).T))


def glucose_near(recording: GlucoseRecording, t_s: float, within_s: float) -> float:
    """The reading nearest to a moment; NaN if none is so near, or if it is beyond the sensor's scale."""
    if not recording.t_s.size:
        return np.nan
    nearest = int(np.argmin(np.abs(recording.t_s - t_s)))
    value = float(recording.glucose_mg_dl[nearest])
    return value if abs(recording.t_s[nearest] - t_s) <= within_s and np.isfinite(value) else np.nan


def excursions(recording: GlucoseRecording, limit_mg_dl: float, *, is_below: bool) -> list[Stretch]:
    """The events in which glucose is beyond a limit, from the first reading that is to the last."""
    glucose_mg_dl = recording.glucose_mg_dl
    is_beyond = glucose_mg_dl < limit_mg_dl if is_below else glucose_mg_dl > limit_mg_dl
    found: list[Stretch] = []
    for t_s in recording.t_s[is_beyond].tolist():
        if found and t_s - found[-1].end_s <= EVENT_ENDS_S:
            found[-1] = replace(found[-1], end_s=t_s)
        else:
            found.append(Stretch(t_s, t_s))
    return found
