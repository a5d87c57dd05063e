"""What follows from the records of one CGM session, in whichever order they come; pure, without store and clock.

Contract: the result is that of `dsp.glucose.realtime` over the records in the order of their offsets. A record that is
newer than all others is taken in at once. If an older one comes, `add` says so, and whoever asked has the session
computed anew from its `records`. The running gateway and a replay of what it has kept both use this.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np

from dsp.arrays import as_f64
from dsp.glucose import realtime, smoothing
from dsp.glucose.realtime import Live
from edge.now.known import Forecast, GlucoseKnown
from edge.now.wearers import Records, beginner


class GlycaemiaState:
    """One session as far as its records are known.

    Attributes:
        learnt: what was known at its beginning; None: nothing.
        wearer: the state after its records.
        newest: offset of the newest one that counts, and what was said of it.
    """

    def __init__(self, learnt: bytes | None, records: Records | None = None) -> None:
        """`records`: those that are known already."""
        self.learnt = learnt
        self.wearer = beginner(learnt)
        self.newest: tuple[float, Live] | None = None
        self._offsets_min, self._values = array("d"), array("d")
        self._calibrations_min: list[float] = []
        if records is not None:
            self._follow(records)

    def _follow(self, records: Records) -> None:
        if self.learnt is None:
            self.learnt = realtime.dump(self.wearer)
        rows = realtime.follow(self.wearer, records.t_min, records.glucose_mg_dl)
        self._offsets_min = array("d", records.t_min.tolist())
        self._values = array("d", records.glucose_mg_dl.tolist())
        self._calibrations_min = list(records.calibrations_min)
        counted = np.flatnonzero(~np.isnan(records.glucose_mg_dl))
        if counted.size:
            last = int(counted[-1])
            self.newest = float(records.t_min[last]), Live._make(rows[last].tolist())

    @property
    def records(self) -> Records:
        """A copy of the records, in order."""
        return Records(
            as_f64(self._offsets_min.tolist()), as_f64(self._values.tolist()), list(self._calibrations_min)
        )

    def add(self, offset_min: float, value: float, *, is_calibration: bool, is_followed: bool = True) -> bool:
        """Take a record in. Whether it is new, and older than another or not followed: all is to be computed anew."""
        place = bisect_left(self._offsets_min, offset_min)
        is_newest = place == len(self._offsets_min)
        if not is_newest and self._offsets_min[place] == offset_min:
            return False
        self._offsets_min.insert(place, offset_min)
        self._values.insert(place, value)
        if is_calibration:
            self._calibrations_min.append(offset_min)
        if not (is_newest and is_followed):
            return True
        live = realtime.update(self.wearer, offset_min, value)
        if not math.isnan(value):
            self.newest = offset_min, live
        return False

    def calibrate(self, offset_min: float) -> None:
        """The sensor's scale may have changed in this minute of its session: what comes after it is no trend yet."""
        if offset_min not in self._calibrations_min:
            self._calibrations_min.append(offset_min)

    def add_all(self, records: Records) -> bool:
        """Take in those that are not here yet. Whether all has to be computed anew."""
        calibrations, is_late = frozenset(records.calibrations_min), False
        known: Sequence[float] = self._offsets_min
        for offset_min, value in zip(records.t_min.tolist(), records.glucose_mg_dl.tolist(), strict=True):
            place = bisect_left(known, offset_min)
            if place == len(known) or known[place] != offset_min:
                is_late |= self.add(offset_min, value, is_calibration=offset_min in calibrations)
        for offset_min in records.calibrations_min:
            self.calibrate(offset_min)
        return is_late

    def known(self, session_age_s: float) -> GlucoseKnown | None:
        """What is known when the session is so old; None without a record that counts."""
        if self.newest is None:
            return None
        offset_min, live = self.newest
        return GlucoseKnown(
            age_s=max(0.0, session_age_s - 60.0 * offset_min),
            smoothed_mg_dl=_number(live.glucose_mg_dl),
            rate_mg_dl_min=_number(live.rate_mg_dl_min),
            in_15_min=_forecast(live.in_15_mg_dl, live.in_15_low_mg_dl, live.in_15_high_mg_dl),
            in_30_min=_forecast(live.in_30_mg_dl, live.in_30_low_mg_dl, live.in_30_high_mg_dl),
            in_60_min=_forecast(live.in_60_mg_dl, live.in_60_low_mg_dl, live.in_60_high_mg_dl),
            is_low_ahead=live.low_ahead > 0.0,
            is_high_ahead=live.high_ahead > 0.0,
            is_compressed=live.compression > 0.0,
            grade=None if math.isnan(live.grade) else smoothing.GRADES[int(live.grade)],
            steady_readings=self._steady(live),
        )

    def _steady(self, live: Live) -> int:
        """How many readings in a row are steady, without a calibration among them."""
        steady = 0 if math.isnan(live.steady) else int(live.steady)
        if not self._calibrations_min:
            return steady
        # A record of the same minute may have been taken before.
        place = bisect_right(self._offsets_min, max(self._calibrations_min))
        since = sum(not math.isnan(value) for value in self._values[place:][: steady + 1])
        return min(steady, since)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _forecast(glucose_mg_dl: float, low_mg_dl: float, high_mg_dl: float) -> Forecast | None:
    return None if math.isnan(glucose_mg_dl) else Forecast(glucose_mg_dl, low_mg_dl, high_mg_dl)
