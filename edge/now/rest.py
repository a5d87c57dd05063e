"""Whether the wearer of a strap is at rest: by its acceleration, or from the heart rate where there is none.

Contract: at rest is who has moved, in the mean of ten minutes, no more than `STILL_MG`; or has had a mean rate of ten
minutes of no more than `ABOVE_NIGHT_BPM` above the night's. Which of both counts is not decided here. What is
not known is not taken for rest. Times are seconds on any axis that never goes back. No clock and no store is read here,
but for `night_bpm`, which is a store job.

    a minute has ended, and of the last ten minutes               | then
    ---------------------------------------------------------------|----------------------------------------------
    fewer than `MINUTES_MIN` have a value, or this one has none    | unknown
    the mean is at most the limit                                  | resting, since the first such minute in a row
    it is higher                                                   | active

The night's rate is the median of the person's nights, as far as three are known; of a night it is the median of the
mean rates of its summaries, 2 to 5 in local time, when people sleep.
"""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from edge.history.bounds import local_date
from edge.now.known import Rest
from edge.store.tables import Tables

# Of people of whom no nights are known. Median heart rate asleep of ten adults, 61 +- 12 years old, by an ECG at the
# chest (Digital Health 2025, doi 10.1177/20552076251367506: 62 +- 7); and of the quietest three hours of 31 people of
# the Normal Sinus Rhythm RR Interval Database (62.3; 10th to 90th percentile 55 to 69).
PRIOR_NIGHT_BPM: Final = 62.0
ABOVE_NIGHT_BPM: Final = 20.0
# Of the mean amplitude deviation of acceleration, below which people sit or lie: 1.5 MET, by those whose measure it is
# (Vaha-Ypya et al., PLoS ONE 2015;10:e0134813 measure it against oxygen uptake; 3 MET are 91 mg).
STILL_MG: Final = 22.5
MINUTE_S: Final = 60
MINUTES: Final = 10
MINUTES_MIN: Final = 5
# What a minute said holds until the next ones are known: packets are looked at once a minute.
HOLDS_S: Final = 180.0

NIGHT: Final = (time(2), time(5))
NIGHTS_MAX, NIGHTS_MIN = 14, 3
# Of the 36 windows of a night; of a window.
WINDOWS_MIN, COVERAGE_PCT_MIN = 12, 50.0


class Minute(Struct, array_like=True):
    """What was measured in one minute, which is the number of minutes since the axis began."""

    number: int
    total: float
    count: int


class Quiet(Struct, array_like=True):
    """Whether the mean of ten minutes is no more than a limit; kept from one process to the next.

    Attributes:
        minutes: the last ones, the newest last.
        state: what the minute `judged` said.
        since_s: the end of the first of the minutes in a row that said "resting"; None while they do not.
    """

    minutes: list[Minute] = []
    judged: int | None = None
    state: Rest = Rest.UNKNOWN
    since_s: float | None = None

    @property
    def limit(self) -> float:
        """The highest mean of who is at rest."""
        raise NotImplementedError

    def take(self, at_s: float, value: float | None) -> None:
        """Something was measured; in order of time. None: nothing that counts."""
        number = int(at_s // MINUTE_S)
        newest = self.minutes[-1] if self.minutes else None
        if newest is not None and number > newest.number and newest.number != self.judged:
            self._judge(newest.number)
        if newest is None or number > newest.number:
            if newest is not None and number > newest.number + 1:
                self._judge(number - 1)  # a minute without anything
            newest = Minute(number, 0.0, 0)
            self.minutes = [m for m in self.minutes if m.number > number - MINUTES] + [newest]
        if value is not None:
            newest.total += value
            newest.count += 1

    def at(self, now_s: float) -> Rest:
        """Whether the wearer is at rest at a moment, as far as is known."""
        if self.judged is None or now_s - MINUTE_S * (self.judged + 1) > HOLDS_S:
            return Rest.UNKNOWN
        return self.state

    def _judge(self, number: int) -> None:
        """A minute has ended."""
        last = [m for m in self.minutes if number - MINUTES < m.number <= number and m.count]
        self.judged = number
        if len(last) < MINUTES_MIN or last[-1].number != number:
            self.state, self.since_s = Rest.UNKNOWN, None
            return
        if sum(m.total / m.count for m in last) / len(last) > self.limit:
            self.state, self.since_s = Rest.ACTIVE, None
        else:
            self.state = Rest.RESTING
            self.since_s = float(MINUTE_S * (number + 1)) if self.since_s is None else self.since_s


class Resting(Quiet, array_like=True):
    """Rest by the heart rate; `night_bpm` is the night's."""

    night_bpm: float = PRIOR_NIGHT_BPM

    @property
    def limit(self) -> float:
        return self.night_bpm + ABOVE_NIGHT_BPM


class Still(Quiet, array_like=True):
    """Rest by the acceleration: its mean amplitude deviation, in mg."""

    @property
    def limit(self) -> float:
        return STILL_MG


def night_bpm(tables: Tables, sensor_nos: Collection[int], now_utc_s: int, zone: ZoneInfo) -> float:
    """A person's heart rate at night, by the summaries of the last nights; a store job.

    Args:
        sensor_nos: all straps of the person.
        now_utc_s: by a clock that is trusted.
        zone: where the nights are.
    """
    today = local_date(now_utc_s, zone)
    nights = (_of_night(tables, sensor_nos, today - timedelta(days=n), zone) for n in range(NIGHTS_MAX))
    known = [night for night in nights if night is not None]
    return median(known) if len(known) >= NIGHTS_MIN else PRIOR_NIGHT_BPM


def _of_night(tables: Tables, sensor_nos: Collection[int], day: date, zone: ZoneInfo) -> float | None:
    begin_s, end_s = (int(datetime.combine(day, hour, zone).timestamp()) for hour in NIGHT)
    rates_bpm = [
        float(summary.body["hr_mean_bpm"])
        for summary in tables.summaries.between("heart_5min", begin_s, end_s)
        if summary.key.sensor_no in sensor_nos
        and summary.body["hr_mean_bpm"] is not None
        and summary.body["coverage_pct"] >= COVERAGE_PCT_MIN
    ]
    return median(rates_bpm) if len(rates_bpm) >= WINDOWS_MIN else None
