"""What a receiver makes of the upstream's directory: readings of glucose, and windows with their beats.

Contract: reads every bundle there is, in the order sent. A resource that comes again under its id takes the place of
the one before. Of each person only the pseudonym is known.
"""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

GLUCOSE, HEART_RATE = "99504-3", "8867-4"


class Reading(NamedTuple):
    """A reading of glucose; without a value if nothing was measured."""

    utc_s: float
    value_mg_dl: float | None
    id: str


class Window(NamedTuple):
    """A period of a strap, and how many beats were counted in it."""

    start_utc_s: float
    end_utc_s: float
    beats: int


class Received(NamedTuple):
    """By pseudonym; `times_sent` counts by id."""

    readings: dict[str, list[Reading]]
    windows: dict[str, list[Window]]
    times_sent: Counter[str]


def receive(directory: Path) -> Received:
    newest: dict[str, dict[str, Any]] = {}
    received = Received({}, {}, Counter())
    for path in sorted(directory.glob("*.json")):
        for entry in json.loads(path.read_bytes())["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "Observation":
                newest[resource["id"]] = resource
                received.times_sent[resource["id"]] += 1
    for resource in newest.values():
        person = resource["subject"]["reference"].removeprefix("Patient/")
        codes = {coding["code"] for coding in resource["code"]["coding"]}
        if GLUCOSE in codes:
            received.readings.setdefault(person, []).append(_reading(resource))
        elif HEART_RATE in codes:
            received.windows.setdefault(person, []).append(_window(resource))
    return received


def _reading(resource: dict[str, Any]) -> Reading:
    value = resource.get("valueQuantity", {}).get("value")
    # LO and HI have a comparator: what is told is the sensor's limit.
    is_measured = "comparator" not in resource.get("valueQuantity", {})
    return Reading(_utc_s(resource["effectiveDateTime"]), value if is_measured else None, resource["id"])


def _window(resource: dict[str, Any]) -> Window:
    period = resource["effectivePeriod"]
    counts = [
        int(component["valueQuantity"]["value"])
        for component in resource.get("component", ())
        if component["code"]["coding"][0]["code"] == "beats" and "valueQuantity" in component
    ]
    return Window(_utc_s(period["start"]), _utc_s(period["end"]), sum(counts))


def _utc_s(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
