"""What is true beside what was told, person by person: what plots are made of, and what is kept of a play.

Contract: times are seconds since the scenario's midnight. Nothing is judged here.
"""

from collections import Counter
from typing import Any, Final

from msgspec import Struct

from tools.rig.language.scenario import MIDNIGHT_UTC_S
from tools.rig.verdict.expectations import Played, RaisedAlert
from tools.rig.verdict.received import receive
from tools.rig.verdict.truth import truth_of

WINDOW_S: Final = 300.0

Points = list[tuple[float, float]]


class PersonEvidence(Struct, frozen=True):
    """Of one person.

    Attributes:
        glucose_true, glucose_told: mg/dL of what must be upstream, and of what is.
        beats_true, beats_told: how many beats there were in each five minutes, and how many are upstream.
    """

    person: str
    glucose_true: Points
    glucose_told: Points
    beats_true: Points
    beats_told: Points


class Evidence(Struct, frozen=True):
    """Of one play."""

    people: list[PersonEvidence]
    alerts: list[RaisedAlert]
    log: list[str]
    statuses: list[tuple[float | None, Any]]
    faults: list[str]


def gather(played: Played) -> Evidence:
    """All that is known after a play."""
    scenario, received = played.scenario, receive(played.world.bundles)
    people = []
    for person in scenario.people:
        worn = [one.id for one in scenario.sensors if scenario.wearer(one.id) == person.id]
        truth = truth_of(played.world, person.id, worn)
        pseudonym = person.pseudonym or f"patient-{person.id}"
        told = [
            (one.utc_s, one.value_mg_dl)
            for one in received.readings.get(pseudonym, [])
            if one.value_mg_dl is not None
        ]
        windows: Counter[float] = Counter()
        for window in received.windows.get(pseudonym, []):
            windows[window.start_utc_s - MIDNIGHT_UTC_S] += window.beats
        people.append(
            PersonEvidence(
                person.id,
                _since_midnight(truth.readings),
                sorted(_since_midnight(told)),
                _windows(truth.beats),
                sorted((at_s, float(beats)) for at_s, beats in windows.items()),
            )
        )
    return Evidence(
        people,
        played.alerts,
        [str(line) for line in played.lines],
        list(played.samples.items()),
        [str(fault) for fault in scenario.faults],
    )


def _since_midnight(readings: Points) -> Points:
    return [(round(utc_s - MIDNIGHT_UTC_S, 1), value) for utc_s, value in readings]


def _windows(beats: list[float]) -> Points:
    counts = Counter((utc_s - MIDNIGHT_UTC_S) // WINDOW_S * WINDOW_S for utc_s in beats)
    return sorted((at_s, float(count)) for at_s, count in counts.items())
