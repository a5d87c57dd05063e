"""What is wrong with a FHIR resource we send: the official R4 JSON schema, and the rules it cannot express.

The rules are those of the CGM and PHD implementation guides that apply to us, written from the guides and knowing
nothing of `edge`. `faults` is empty for a good resource.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft6Validator

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"

# LOINC code -> UCUM unit of its value; None: the code of a panel, which has no value of its own.
UNITS = {
    "8867-4": "/min",
    "80404-7": "ms",
    "99504-3": "mg/dL",
    "97507-8": "mg/dL",
    "97506-0": "%",
    "104638-2": "%",
    "104636-6": "d",
    "104637-4": "%",
    "106793-3": None,
    "107931-8": None,
}
RANGES = {"104642-4", "104641-6", "97510-2", "104640-8", "104639-0"}
PANEL = {"97507-8", "106793-3", "97506-0", "104638-2", "104636-6", "104637-4"}


@cache
def validator() -> Draft6Validator:
    schema = json.loads((Path(__file__).parent / "fhir" / "fhir.schema.json").read_text())
    return Draft6Validator(schema)


def faults(resource: dict[str, Any]) -> list[str]:
    """All faults of a resource, or of a bundle and everything in it."""
    found = [] if validator().is_valid(resource) else ["schema"]
    rules = {"Bundle": bundle_faults, "Observation": observation_faults, "Device": device_faults}
    if not found:
        found += rules[resource["resourceType"]](resource)
    return found


def codes(concept: dict[str, Any], system: str) -> list[str]:
    return [coding["code"] for coding in concept["coding"] if coding["system"] == system]


def device_faults(device: dict[str, Any]) -> Iterator[str]:
    if not device.get("deviceName"):
        yield "device without a name"
    if not device.get("identifier"):
        yield "device without an identifier"


def quantity_faults(holder: dict[str, Any], unit: str | None) -> Iterator[str]:
    quantity = holder.get("valueQuantity")
    if quantity is not None and "dataAbsentReason" in holder:
        yield "a value and a reason for its absence"
    if quantity is not None and (quantity.get("system") != UCUM or quantity.get("code") != unit):
        yield f"unit {quantity.get('code')} instead of {unit}"


def observation_faults(observation: dict[str, Any]) -> Iterator[str]:
    for field in ("id", "subject", "device", "category", "identifier"):
        if field not in observation:
            yield f"no {field}"
    said = {"valueQuantity", "dataAbsentReason", "component", "hasMember"} & observation.keys()
    if not said:
        yield "says nothing"
    for code in codes(observation["code"], LOINC):
        if code not in UNITS:
            yield f"unknown LOINC code {code}"
        else:
            yield from quantity_faults(observation, UNITS[code])
    yield from time_faults(observation)
    yield from {"99504-3": lambda _: (), "8867-4": heart_rate_faults, "106793-3": range_faults}.get(
        next(iter(codes(observation["code"], LOINC)), ""), lambda _: ()
    )(observation)
    if "107931-8" in codes(observation["code"], LOINC) and len(observation.get("hasMember", ())) < 6:
        yield "a panel of fewer than six"
    if observation["category"][0]["coding"][0]["code"] == "vital-signs":
        yield from phd_faults(observation)


def time_faults(observation: dict[str, Any]) -> Iterator[str]:
    if "99504-3" in codes(observation["code"], LOINC):
        if "effectiveDateTime" not in observation:
            yield "a reading without its time"
        return
    period = observation.get("effectivePeriod", {})
    if not {"start", "end"} <= period.keys():
        yield "no period"
    elif period["start"] > period["end"]:
        yield "a period that ends before it starts"


def phd_faults(observation: dict[str, Any]) -> Iterator[str]:
    extensions = {extension["url"] for extension in observation.get("extension", ())}
    if "http://hl7.org/fhir/StructureDefinition/observation-gatewayDevice" not in extensions:
        yield "no gateway"
    if "147842" in codes(observation["code"], MDC) and "8867-4" not in codes(observation["code"], LOINC):
        yield "a heart rate without its LOINC code"


def heart_rate_faults(observation: dict[str, Any]) -> Iterator[str]:
    categories = {coding["code"] for category in observation["category"] for coding in category["coding"]}
    if not {"vital-signs", "phd"} <= categories:
        yield "a heart rate without its categories"
    if "147842" not in codes(observation["code"], MDC):
        yield "a heart rate without its MDC code"


def range_faults(observation: dict[str, Any]) -> Iterator[str]:
    found = [code for part in observation.get("component", ()) for code in codes(part["code"], LOINC)]
    if sorted(found) != sorted(RANGES):
        yield "not the five ranges"
    values = [part["valueQuantity"]["value"] for part in observation["component"] if "valueQuantity" in part]
    for part in observation["component"]:
        yield from quantity_faults(part, "%")
    if values and abs(sum(values) - 100.0) > 0.05:
        yield "ranges that are not a whole"


def bundle_faults(bundle: dict[str, Any]) -> Iterator[str]:
    if bundle.get("type") != "transaction":
        yield "not a transaction"
    if "timestamp" not in bundle:
        yield "no timestamp"
    urls = [entry["request"]["url"] for entry in bundle["entry"]]
    if len(set(urls)) < len(urls):
        yield "the same resource twice"
    if len({patient for patient in references(bundle) if patient.startswith("Patient/")}) > 1:
        yield "two people in one bundle"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        url = f"{resource['resourceType']}/{resource['id']}"
        if entry["request"] != {"method": "PUT", "url": url} or not entry["fullUrl"].endswith(f"/{url}"):
            yield f"an entry that is not put at {url}"
        for fault in faults(resource):
            yield f"{url}: {fault}"
        for reference in references(resource):
            if not reference.startswith("Patient/") and reference not in urls:
                yield f"{url}: refers to {reference}, which is not here"


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def unmarked(bundle: dict[str, Any]) -> list[str]:
    """What is not marked as test data: the bundle or its resources."""
    whole = [bundle, *(entry["resource"] for entry in bundle["entry"])]
    return [
        resource.get("id", resource["resourceType"])
        for resource in whole
        if "HTEST" not in [label["code"] for label in resource.get("meta", {}).get("security", ())]
    ]
