"""What the demo's gateway found beside what was true: episodes of the rhythm, forecasts, and alerts.

Contract: what was missed is in it, and so is what never came. Nothing is found out here about heart or glucose: one
side is of `demo_found`, the other of `demo_truth`. Times are seconds since the day's midnight.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct

from dsp.arrays import as_f64
from edge.config import Alerts
from hw_sim.recordings import GlucoseRecording
from tools.rig.demo.found import Burden, Episode, Found, Stood
from tools.rig.demo.truth import Stretch, Truth, excursions, glucose_near

# Alerts of what is ahead: which alert tells that it has come.
AHEAD: Final = {
    "glucose_urgent_low_soon": "glucose_urgent_low",
    "glucose_low_ahead": "glucose_low",
    "glucose_high_ahead": "glucose_high",
}
DAY_S: Final = 86_400.0
# A shorter episode is none to the gateway: `dsp.cardiac.af_stream`.
AF_S_MIN: Final = 30.0
# The reading that a forecast is compared with is at most so far from the moment that it was made for.
NEAR_S: Final = 150.0
# An alert that something is ahead is right if it has come by then: `dsp.glucose.alerts`.
AHEAD_S: Final = 3600.0
# An alert is told when the reading has come, which may be this much after it was taken.
LATE_S: Final = 120.0


class Af(Struct, frozen=True):
    """Atrial fibrillation, labelled and found.

    Attributes:
        labelled: stretches of at least `AF_S_MIN`; None if nobody labelled the rhythm.
        short: how many labelled ones are shorter.
        found: the gateway's episodes.
        missed: labelled stretches with no part in an episode.
        unlabelled: episodes with no part in a labelled stretch, short ones included.
        labelled_s, found_s, both_s: how long all of it lasted.
        burden: the share of a day as the gateway said it at the end; None if it said none.
        labelled_pct: the same share by the labels.
    """

    labelled: list[Stretch] | None
    short: int
    found: list[Episode]
    missed: list[Stretch]
    unlabelled: list[Episode]
    labelled_s: float
    found_s: float
    both_s: float
    burden: Burden | None
    labelled_pct: float | None


class Forecasts(Struct, frozen=True):
    """The forecasts for so many minutes ahead, and what came.

    Attributes:
        made: how many there are.
        compared: how many of them can be compared: a reading came at that time, on the sensor's scale.
        error_mg_dl: their mean absolute error.
        unchanged_mg_dl: that of saying that nothing will change.
        inside_pct: how many of the readings lay in the interval that is to hold 90 %.
    """

    minutes: int
    made: int
    compared: int
    error_mg_dl: float | None
    unchanged_mg_dl: float | None
    inside_pct: float | None


class Alarms(Struct, frozen=True):
    """The alerts of one rule, and the events that they are about.

    Attributes:
        raised: when.
        events: in the recording; None if it does not say.
        noticed: events during which the alert stood, or that an alert of what is ahead announced.
        leads_s: for how long before its event each of those was raised; empty for other rules.
        in_vain: alerts without an event; of what is ahead, those that had their time until the recording's end.
    """

    rule: str
    raised: list[float]
    events: list[Stretch] | None = None
    noticed: int = 0
    leads_s: tuple[float, ...] = ()
    in_vain: int = 0


class Comparison(Struct, frozen=True):
    """All of it. Without a recording of glucose there are no forecasts to compare."""

    af: Af
    forecasts: list[Forecasts]
    alarms: list[Alarms]


def compare(found: Found, alerts: Sequence[Stood], true: Truth, limits: Alerts) -> Comparison:
    """Lay what was found beside what was true."""
    forecasts = [] if true.glucose is None else [ahead(found, true.glucose, minutes) for minutes in (30, 60)]
    return Comparison(rhythm(found, true.af), forecasts, list(alarms(alerts, true, limits)))


def rhythm(found: Found, labels: list[Stretch] | None) -> Af:
    """Episodes beside labels."""
    labels_known = labels or []
    long = [stretch for stretch in labels_known if stretch.length_s >= AF_S_MIN]
    share_pct = None
    if found.burden is not None and labels is not None:
        day = Stretch(found.burden.at_s - DAY_S, found.burden.at_s)
        share_pct = 100.0 * common_s(labels_known, [day]) / min(DAY_S, found.burden.at_s)
    return Af(
        labelled=None if labels is None else long,
        short=len(labels_known) - len(long),
        found=found.af,
        missed=[one for one in long if not common_s([one], found.af)],
        unlabelled=[one for one in found.af if not common_s([one], labels_known)],
        labelled_s=sum(stretch.length_s for stretch in labels_known),
        found_s=sum(stretch.length_s for stretch in found.af),
        both_s=common_s(labels_known, found.af),
        burden=found.burden,
        labelled_pct=share_pct,
    )


def common_s(ones: Iterable[Stretch], others: Sequence[Stretch]) -> float:
    """For how long both was so."""
    return sum(
        max(0.0, min(one.end_s, other.end_s) - max(one.begin_s, other.begin_s))
        for one in ones
        for other in others
    )


class Together(NamedTuple):
    """Labelled stretches and episodes that have parts in common, directly or by way of others."""

    labelled: list[Stretch]
    found: list[Episode]

    @property
    def begin_s(self) -> float:
        return min(stretches[0].begin_s for stretches in (self.labelled, self.found) if stretches)

    @property
    def lasted_s(self) -> float:
        """The labelled, or else the found time."""
        return sum(one.length_s for one in self.labelled or self.found)


def together(af: Af) -> list[Together]:
    """What was labelled beside what was found, in order of time."""
    groups: list[Together] = []
    end_s = -np.inf
    stretches: list[Stretch] = [*(af.labelled or []), *af.found]
    for one in sorted(stretches, key=lambda one: one.begin_s):
        if one.begin_s >= end_s:
            groups.append(Together([], []))
        end_s = max(end_s, one.end_s)
        group = groups[-1]
        if isinstance(one, Episode):
            group.found.append(one)
        else:
            group.labelled.append(one)
    return groups


def ahead(found: Found, glucose: GlucoseRecording, minutes: int) -> Forecasts:
    """The forecasts for so many minutes ahead."""
    made = [(one.at_s, one.ahead[minutes]) for one in found.made if minutes in one.ahead]
    rows = as_f64(
        [
            (said.glucose_mg_dl, said.low_mg_dl, said.high_mg_dl, glucose_near(glucose, at_s, NEAR_S), came)
            for at_s, said in made
            if np.isfinite(came := glucose_near(glucose, at_s + 60.0 * minutes, NEAR_S))
        ]
    ).reshape(-1, 5)
    if not rows.size:
        return Forecasts(minutes, len(made), 0, None, None, None)
    said, low, high, before, came_mg_dl = rows.T
    return Forecasts(
        minutes,
        len(made),
        len(rows),
        float(np.abs(said - came_mg_dl).mean()),
        float(np.nanmean(np.abs(before - came_mg_dl))),
        float(100.0 * ((low <= came_mg_dl) & (came_mg_dl <= high)).mean()),
    )


def alarms(alerts: Sequence[Stood], true: Truth, limits: Alerts) -> Iterator[Alarms]:
    """The alerts of each rule that was raised, or whose events are known."""
    events = dict(_events(true, limits))
    rules = [
        *events,
        *(rule for rule, come in AHEAD.items() if come in events),
        *(one.rule for one in alerts),
    ]
    for rule in dict.fromkeys(rules):
        stood = [one for one in alerts if one.rule == rule]
        if rule in events:
            yield noticed(rule, stood, events[rule])
        elif AHEAD.get(rule) in events:
            yield announced(rule, stood, events[AHEAD[rule]], until_s=true.until_s)
        else:
            yield Alarms(rule, [one.begin_s for one in stood])


def _events(true: Truth, limits: Alerts) -> Iterator[tuple[str, list[Stretch]]]:
    """What the recordings hold of the events that alerts are about."""
    if true.af is not None:
        yield "irregular_rhythm", [one for one in true.af if one.length_s >= limits.irregular_rhythm_s]
    if true.pauses is not None:
        yield "pause", true.pauses
    if true.glucose is not None:
        for rule, is_below in (("glucose_urgent_low", True), ("glucose_low", True), ("glucose_high", False)):
            yield rule, excursions(true.glucose, getattr(limits, rule), is_below=is_below)


def noticed(rule: str, alerts: Sequence[Stood], events: list[Stretch]) -> Alarms:
    """Alerts of what is so, each right if it was raised in an event."""

    def stands_in(alert: Stood, event: Stretch) -> bool:
        end_s = np.inf if alert.end_s is None else alert.end_s
        return alert.begin_s <= event.end_s + LATE_S and end_s >= event.begin_s

    return Alarms(
        rule,
        [alert.begin_s for alert in alerts],
        events,
        sum(any(stands_in(alert, event) for alert in alerts) for event in events),
        in_vain=sum(not any(stands_in(alert, event) for event in events) for alert in alerts),
    )


def announced(rule: str, alerts: Sequence[Stood], events: list[Stretch], *, until_s: float) -> Alarms:
    """Alerts of what is ahead, each right if the next event began within `AHEAD_S`."""
    raised = [alert.begin_s for alert in alerts]
    leads_s: dict[float, float] = {}
    in_vain = 0
    for at_s in raised:
        next_s = min((event.begin_s for event in events if event.begin_s >= at_s), default=np.inf)
        if next_s - at_s <= AHEAD_S:
            leads_s.setdefault(next_s, next_s - at_s)
        elif at_s + AHEAD_S <= until_s:
            in_vain += 1
    return Alarms(rule, raised, events, len(leads_s), tuple(leads_s.values()), in_vain)
