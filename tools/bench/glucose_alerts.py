"""How well lows and highs are announced, person by person: in time, how early, how often falsely, how often again.

    python -m tools.bench.glucose_alerts azt1d.csv.gz bris_t1d_half.csv.gz [--people]

Each file has the columns subject, time, glucose_mg_dl, as harmonised by Glucose-ML. Forecasts for the people of the
first file, with whom the population was trained, come from a population without the person; for the others from the
one that is shipped. The rules were tuned on these people: for figures of strangers take a file of your own.

An event is a reading below (above) the limit for at least 15 min, after at least 15 min on the other side. An alert is
false if no reading within 60 min is beyond the limit; this counts alerts that the wearer acted upon as false, too. A
repeat is an alert for an event that has been announced already, from 60 min before its beginning to its end.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64
from dsp.glucose import alerts, forecast, realtime
from dsp.glucose.population import POPULATION
from dsp.glucose.readings import Trace
from tools.train import glucose as train_glucose

HORIZON_MIN, SUSTAINED_MIN, GAP_MIN = 60.0, 15.0, 20.0
IN_TIME_MIN = -30.0, 5.0
LEADS_MIN = 0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0
# Readings do not come to the second: half a minute less still counts.
SLACK_MIN = 0.5
SIDES = (("low", 3, -1.0), ("high", 4, 1.0))


class Tally(NamedTuple):
    """Of one person, or the sum of several: `leads` says how many events were announced so many minutes ahead."""

    events: int
    in_time: int
    leads: tuple[int, ...]
    alerts: int
    false: int
    repeats: int
    days: float


def onsets(t: F64, beyond: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where events begin and end."""
    found = []
    for k in np.flatnonzero(beyond[1:] & ~beyond[:-1] & (np.diff(t) <= GAP_MIN)) + 1:
        before = np.searchsorted(t, t[k] - SUSTAINED_MIN)
        end = k
        while end < t.size - 1 and beyond[end] and t[end + 1] - t[end] <= GAP_MIN:
            end += 1
        if not beyond[before:k].any() and t[end] - t[k] >= SUSTAINED_MIN:
            found.append((int(k), int(end)))
    return found


def tally(readings: Trace, fired: F64, limit_mg_dl: float, sign: float) -> Tally:
    """What the alerts at these readings are worth."""
    t = readings.t_min
    beyond = sign * (readings.glucose_mg_dl - limit_mg_dl) > 0.0
    at = t[fired > 0.0]
    events = onsets(t, beyond)
    ahead = [t[k] - at[(at >= t[k] - HORIZON_MIN) & (at < t[k])] for k, _ in events]
    first, last = IN_TIME_MIN
    steps = np.diff(t)
    return Tally(
        events=len(events),
        in_time=sum(bool(((at >= t[k] + first) & (at <= t[k] + last)).any()) for k, _ in events),
        leads=tuple(sum(bool((lead >= m - SLACK_MIN).any()) for lead in ahead) for m in LEADS_MIN),
        alerts=at.size,
        false=sum(not beyond[(t > a) & (t <= a + HORIZON_MIN)].any() for a in at),
        repeats=sum(
            max(0, int(((at >= t[k] - HORIZON_MIN) & (at <= t[end])).sum()) - 1) for k, end in events
        ),
        days=float(steps[steps < GAP_MIN].sum()) / 1440.0,
    )


def total(parts: list[Tally]) -> Tally:
    """All people together."""
    return Tally(
        events=sum(part.events for part in parts),
        in_time=sum(part.in_time for part in parts),
        leads=tuple(sum(of) for of in zip(*(part.leads for part in parts), strict=True)),
        alerts=sum(part.alerts for part in parts),
        false=sum(part.false for part in parts),
        repeats=sum(part.repeats for part in parts),
        days=sum(part.days for part in parts),
    )


def said(readings: Trace, rows: F64) -> F64:
    """The alerts that forecasts make."""
    in_15, steady = rows[:, 0].copy(), rows[:, 13].copy()
    found = alerts.advance(
        alerts.initial_state(), readings.t_min, readings.glucose_mg_dl, in_15, steady, realtime.RULES
    )
    missed = np.sum((readings.glucose_mg_dl < realtime.RULES[0]) & (found[:, 0] == 0.0))
    assert missed == 0, "a low without an alarm"
    return found


def shipped(subjects: dict[str, Trace]) -> dict[str, F64]:
    """Forecasts for people who had no part in the population."""
    return {
        subject: forecast.advance(
            forecast.initial_state(POPULATION),
            readings.t_min,
            readings.glucose_mg_dl,
            POPULATION,
            realtime.PACE,
        )
        for subject, readings in subjects.items()
    }


def line(name: str, found: Tally, worst: float) -> str:
    """One line about a person or all of them."""
    share = 100.0 / max(1, found.events)
    leads = " ".join(f"{share * n:3.0f}" for n in found.leads)
    in_time = f"{share * found.in_time:5.1f} % within -30..+5 min"
    return (
        f"{name:12} {found.events:5d} events in {found.days:5.0f} days: {in_time}; "
        f"by minutes ahead {leads} %; false a day {found.false / found.days:.2f} (worst {worst:.2f}); "
        f"repeats {found.repeats / max(1, found.events):.3f} per event"
    )


def show(subjects: dict[str, Trace], rows: dict[str, F64], *, people: bool) -> None:
    """The figures of one file."""
    found = {subject: said(readings, rows[subject]) for subject, readings in subjects.items()}
    for name, column, sign in SIDES:
        limit = realtime.RULES[0 if sign < 0.0 else 2]
        parts = {
            subject: tally(readings, found[subject][:, column], limit, sign)
            for subject, readings in subjects.items()
        }
        worst = {subject: part.false / part.days for subject, part in parts.items()}
        print(line(name, total(list(parts.values())), max(worst.values())))
        if people:
            for subject, part in parts.items():
                print(line(f"  {subject}", part, worst[subject]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "trained", type=Path, metavar="DATA.csv.gz", help="with whom the population was trained"
    )
    parser.add_argument("others", type=Path, metavar="MORE.csv.gz", nargs="*", help="other people")
    parser.add_argument("--people", action="store_true", help="a line for each person, too")
    given = parser.parse_args()
    print(f"minutes ahead: {' '.join(f'{m:.0f}' for m in LEADS_MIN)}")
    subjects = train_glucose.load(given.trained)
    print(given.trained.name)
    show(subjects, train_glucose.left_out(subjects), people=given.people)
    for path in given.others:
        subjects = train_glucose.load(path)
        print(path.name)
        show(subjects, shipped(subjects), people=given.people)


if __name__ == "__main__":
    main()
