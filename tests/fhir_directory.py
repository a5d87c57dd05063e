"""What a receiver sees of an upstream directory: every resource of every bundle, in the order they were sent."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

LOINC = "http://loinc.org"
LOCAL = "https://vitalgate.example/CodeSystem/measures"


class Received(NamedTuple):
    """Observations by id as they stand after all bundles, and how often each was sent."""

    observations: dict[str, dict[str, Any]]
    times_sent: Counter[str]

    def of(self, patient: str) -> "Received":
        """What was received of one person."""
        theirs = {key: one for key, one in self.observations.items() if subject(one) == patient}
        return Received(theirs, Counter({key: self.times_sent[key] for key in theirs}))

    def with_code(self, system: str, code: str) -> list[dict[str, Any]]:
        wanted = {"system": system, "code": code}
        found = [o for o in self.observations.values() if wanted in o["code"]["coding"]]
        return sorted(found, key=lambda o: json.dumps(o.get("effectivePeriod") or o["effectiveDateTime"]))


def bundles(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(directory.glob("*.json"))]


def subject(observation: dict[str, Any]) -> str:
    return str(observation["subject"]["reference"]).removeprefix("Patient/")


def people(bundle: dict[str, Any]) -> set[str]:
    """Whose data a bundle carries."""
    resources = [entry["resource"] for entry in bundle["entry"]]
    return {subject(resource) for resource in resources if "subject" in resource}


def receive(directory: Path) -> Received:
    observations: dict[str, dict[str, Any]] = {}
    times_sent: Counter[str] = Counter()
    for bundle in bundles(directory):
        for entry in bundle["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "Observation":
                observations[resource["id"]] = resource
                times_sent[resource["id"]] += 1
    return Received(observations, times_sent)


def components(observation: dict[str, Any]) -> dict[str, float]:
    """Values of an observation's components by their code."""
    return {
        component["code"]["coding"][0]["code"]: component["valueQuantity"]["value"]
        for component in observation["component"]
        if "valueQuantity" in component
    }
