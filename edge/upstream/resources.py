"""The FHIR R4 resources that the gateway sends, as plain dicts.

Contract: pure functions; the same input gives the same bytes. A missing value is not left out but marked as missing
(dataAbsentReason), so that a later revision replaces it. A resource claims a profile only if it has everything that the
profile requires. There are no addresses and no names: devices are pseudonyms. The three maps at the end say which
function makes the resources of each kind. Structure: HL7 Continuous Glucose Monitoring and Personal Health Device
implementation guides. Codes: LOINC, ISO/IEEE 11073-10101.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec

from edge.kinds import KINDS
from edge.store.summaries import Summary

Resource = dict[str, Any]

VITALGATE = "https://vitalgate.example"
BASE_URL = f"{VITALGATE}/fhir"
IDENTIFIERS = f"{VITALGATE}/id"
LOCAL = f"{VITALGATE}/CodeSystem/measures"
LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
UCUM = "http://unitsofmeasure.org"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
STRUCTURES = "http://hl7.org/fhir/StructureDefinition"
CGM_STRUCTURES = "http://hl7.org/fhir/uv/cgm/StructureDefinition"
PHD = "http://hl7.org/fhir/uv/phd"

TEST_DATA = {"system": f"{TERMINOLOGY}/v3-ActReason", "code": "HTEST"}

# Enough decimals for computing with the statistics; the time in ranges needs at least two.
DECIMALS = 4

_JSON = msgspec.json.Encoder(decimal_format="number")

# (display, UCUM code)
_PER_MIN = ("beats/minute", "/min")
_MS = ("ms", "ms")
_MS2 = ("ms2", "ms2")
_BREATHS = ("breaths/minute", "/min")
_ONE = ("1", "1")
_PERCENT = ("%", "%")
_MG_DL = ("mg/dl", "mg/dL")
_DAYS = ("days", "d")
_COUNT = ("beats", "{beats}")
_WHOLE = (_DAYS, _COUNT)

_RANGES = (
    ("104642-4", "very_low_pct"),
    ("104641-6", "low_pct"),
    ("97510-2", "in_range_pct"),
    ("104640-8", "high_pct"),
    ("104639-0", "very_high_pct"),
)


class Origin(NamedTuple):
    """The person and the devices that the data come from, all as pseudonyms."""

    patient: str
    gateway: str
    sensor: UUID


class _Heart(msgspec.Struct):
    hr_mean_bpm: float | None
    hr_min_bpm: float | None
    hr_max_bpm: float | None
    sdrr_ms: float | None
    rmssd_rr_ms: float | None
    beats: int
    coverage_pct: float | None
    normal_pct: float | None
    mean_nn_ms: float | None
    sdnn_ms: float | None
    rmssd_ms: float | None
    pnn50_pct: float | None
    lf_ms2: float | None
    hf_ms2: float | None
    dfa_a1: float | None
    af_pct: float | None
    breathing_bpm: float | None
    breathing_confidence: float | None


# Of normal intervals unless the name says RR; the last ones are shares of all beats, and what the intervals tell of the
# breathing.
_VARIABILITY = (
    (LOINC, "80404-7", "sdnn_ms", _MS),
    (LOCAL, "rmssd", "rmssd_ms", _MS),
    (LOCAL, "pnn50", "pnn50_pct", _PERCENT),
    (LOCAL, "mean-nn", "mean_nn_ms", _MS),
    (LOCAL, "lf-power", "lf_ms2", _MS2),
    (LOCAL, "hf-power", "hf_ms2", _MS2),
    (LOCAL, "dfa-alpha1", "dfa_a1", _ONE),
    (LOCAL, "sdrr", "sdrr_ms", _MS),
    (LOCAL, "rmssd-rr", "rmssd_rr_ms", _MS),
    (LOCAL, "normal-beats", "normal_pct", _PERCENT),
    (LOCAL, "beats-in-af", "af_pct", _PERCENT),
    (LOINC, "9279-1", "breathing_bpm", _BREATHS),
    (LOCAL, "breathing-confidence", "breathing_confidence", _ONE),
)


class _Glucose(msgspec.Struct):
    date: date
    mean_mg_dl: float | None
    sd_mg_dl: float | None
    cv_pct: float | None
    gmi_pct: float | None
    very_low_pct: float | None
    low_pct: float | None
    in_range_pct: float | None
    high_pct: float | None
    very_high_pct: float | None
    readings: int
    coverage_pct: float | None


def heart_observations(summary: Summary, origin: Origin) -> list[Resource]:
    """Mean heart rate, heart-rate variability and rhythm of five minutes.

    Raises:
        msgspec.ValidationError: the body is not of this kind.
    """
    body = msgspec.convert(summary.body, _Heart)
    rate = _observation(summary.id, summary.status, "vital-signs", origin)
    rate["category"].append(_concept(f"{PHD}/CodeSystem/PhdObservationCategories", "phd"))
    rate["code"] = {
        "coding": [{"system": LOINC, "code": "8867-4"}, {"system": MDC, "code": "147842"}],
    }
    rate["effectivePeriod"] = _period(summary)
    rate |= _value(body.hr_mean_bpm, _PER_MIN)
    rate["component"] = [
        _component(LOCAL, "heart-rate-min", body.hr_min_bpm, _PER_MIN),
        _component(LOCAL, "heart-rate-max", body.hr_max_bpm, _PER_MIN),
        _component(LOCAL, "beats", body.beats, _COUNT),
        _component(LOCAL, "coverage", body.coverage_pct, _PERCENT),
    ]
    _claim(rate, f"{PHD}/StructureDefinition/PhdNumericObservation", f"{STRUCTURES}/heartrate")
    variability = _observation(
        uuid5(summary.id, "heart-rate-variability"), summary.status, "vital-signs", origin
    )
    variability["code"] = _concept(LOCAL, "hrv-short-term")
    variability["effectivePeriod"] = _period(summary)
    variability["component"] = [
        _component(system, code, getattr(body, key), unit) for system, code, key, unit in _VARIABILITY
    ]
    return [rate, variability]


def glucose_observations(summary: Summary, origin: Origin) -> list[Resource]:
    """The glucose summary of a day: first its members, then the panel that refers to them.

    Raises:
        msgspec.ValidationError: the body is not of this kind.
    """
    body = msgspec.convert(summary.body, _Glucose)
    wear_days = 1 if body.readings else 0
    singles = (
        (LOINC, "97507-8", "cgm-summary-mean-glucose-mass-per-volume", body.mean_mg_dl, _MG_DL),
        (LOINC, "97506-0", "cgm-summary-gmi", body.gmi_pct, _PERCENT),
        (LOINC, "104638-2", "cgm-summary-coefficient-of-variation", body.cv_pct, _PERCENT),
        (LOINC, "104636-6", "cgm-summary-days-of-wear", wear_days, _DAYS),
        (LOINC, "104637-4", "cgm-summary-sensor-active-percentage", body.coverage_pct, _PERCENT),
        (LOCAL, "glucose-standard-deviation", None, body.sd_mg_dl, _MG_DL),
    )
    members = []
    for system, code, profile, value, unit in singles:
        member = _glucose_part(summary, body.date, origin, system, code)
        member |= _value(value, unit)
        if profile:
            _claim(member, f"{CGM_STRUCTURES}/{profile}")
        members.append(member)
    ranges = _glucose_part(summary, body.date, origin, LOINC, "106793-3")
    ranges["component"] = [_component(LOINC, code, getattr(body, key), _PERCENT) for code, key in _RANGES]
    _claim(ranges, f"{CGM_STRUCTURES}/cgm-summary-times-in-ranges")
    members.insert(1, ranges)
    panel = _glucose_part(summary, body.date, origin, LOINC, "107931-8") | {"id": str(summary.id)}
    panel["identifier"] = _identifier(summary.id)
    panel["hasMember"] = [{"reference": f"Observation/{member['id']}"} for member in members]
    if all("meta" in member for member in members if member["code"]["coding"][0]["system"] == LOINC):
        _claim(panel, f"{CGM_STRUCTURES}/cgm-summary")
    return [*members, panel]


def cgm_reading(reading_id: UUID, utc_s: int, glucose: float | None, origin: Origin) -> Resource:
    """A reading of a glucose sensor. A value beyond the sensor's scale has no number."""
    reading = _observation(reading_id, "final", "laboratory", origin)
    reading["code"] = _concept(LOINC, "99504-3")
    reading["effectiveDateTime"] = _instant(utc_s)
    if glucose is None:
        reading["dataAbsentReason"] = _concept(f"{TERMINOLOGY}/data-absent-reason", "not-a-number")
    elif math.isinf(glucose):
        reason, beyond = ("positive-infinity", ">") if glucose > 0 else ("negative-infinity", "<")
        reading["dataAbsentReason"] = _concept(f"{TERMINOLOGY}/data-absent-reason", reason)
        reading["interpretation"] = [_concept(f"{TERMINOLOGY}/v3-ObservationInterpretation", beyond)]
    else:
        reading |= _value(glucose, _MG_DL)
        _claim(reading, f"{CGM_STRUCTURES}/cgm-sensor-reading-mass-per-volume")
    return reading


def gateway_device(gateway: str, version: str) -> Resource:
    """The gateway, and the version of its software."""
    return {
        "resourceType": "Device",
        "id": gateway,
        "identifier": [{"system": f"{IDENTIFIERS}/gateway", "value": gateway}],
        "deviceName": [{"name": "vitalgate", "type": "model-name"}],
        "type": _concept(MDC, "531981"),
        "version": [{"type": _concept(MDC, "531975"), "value": version}],
    }


def sensor_device(sensor: UUID, kind: str) -> Resource:
    """A sensor, under its pseudonym."""
    name = KINDS[kind].title
    device: Resource = {
        "resourceType": "Device",
        "id": str(sensor),
        "identifier": [{"system": f"{IDENTIFIERS}/sensor", "value": str(sensor)}],
        "deviceName": [{"name": name, "type": "user-friendly-name"}],
        "type": {"text": name},
    }
    if DEVICE_PROFILES[kind]:
        _claim(device, *DEVICE_PROFILES[kind])
    return device


def entry(resource: Resource, *, simulated: bool) -> bytes:
    """A bundle entry that puts a resource under its own id; simulated data are tagged."""
    if simulated:
        resource = {**resource, "meta": {**resource.get("meta", {}), "security": [TEST_DATA]}}
    url = f"{resource['resourceType']}/{resource['id']}"
    whole = {
        "fullUrl": f"{BASE_URL}/{url}",
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }
    return _JSON.encode(whole)


def bundle(entries: Iterable[bytes], utc_s: int, *, simulated: bool) -> bytes:
    """A transaction of these entries, as JSON."""
    whole: Resource = {"resourceType": "Bundle"}
    if simulated:
        whole["meta"] = {"security": [TEST_DATA]}
    whole |= {"type": "transaction", "timestamp": _instant(utc_s), "entry": list(map(msgspec.Raw, entries))}
    return _JSON.encode(whole)


def _observation(observation_id: UUID, status: str, category: str, origin: Origin) -> Resource:
    return {
        "resourceType": "Observation",
        "id": str(observation_id),
        "extension": [
            {
                "url": f"{STRUCTURES}/observation-gatewayDevice",
                "valueReference": {"reference": f"Device/{origin.gateway}"},
            }
        ],
        "identifier": _identifier(observation_id),
        "status": status,
        "category": [_concept(f"{TERMINOLOGY}/observation-category", category)],
        "subject": {"reference": f"Patient/{origin.patient}"},
        "device": {"reference": f"Device/{origin.sensor}"},
    }


def _glucose_part(summary: Summary, day: date, origin: Origin, system: str, code: str) -> Resource:
    part = _observation(uuid5(summary.id, code), summary.status, "laboratory", origin)
    part["code"] = _concept(system, code)
    # The guide requires dates here, both included.
    part["effectivePeriod"] = {"start": day.isoformat(), "end": day.isoformat()}
    return part


def _identifier(observation_id: UUID) -> list[Resource]:
    return [{"system": f"{IDENTIFIERS}/observation", "value": str(observation_id)}]


def _claim(resource: Resource, *profiles: str) -> None:
    """Claim the profiles, unless a value that they require is missing."""
    parts = [resource, *resource.get("component", ())]
    if not any("dataAbsentReason" in part for part in parts):
        resource["meta"] = {"profile": list(profiles)}


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _component(system: str, code: str, value: float | None, unit: tuple[str, str]) -> Resource:
    return {"code": _concept(system, code), **_value(value, unit)}


def _value(value: float | None, unit: tuple[str, str]) -> Mapping[str, Any]:
    if value is None or not math.isfinite(value):
        return {"dataAbsentReason": _concept(f"{TERMINOLOGY}/data-absent-reason", "unknown")}
    exact = round(value) if unit in _WHOLE else Decimal(f"{value:.{DECIMALS}f}")
    return {"valueQuantity": {"value": exact, "unit": unit[0], "system": UCUM, "code": unit[1]}}


def _period(summary: Summary) -> Resource:
    return {"start": _instant(summary.key.start_utc_s), "end": _instant(summary.end_utc_s)}


def _instant(utc_s: int) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat()


# The resources of a summary, by its key in `edge.measurements.PERIODS`.
SUMMARIES: Final[dict[str, Callable[[Summary, Origin], list[Resource]]]] = {
    "heart_5min": heart_observations,
    "glucose_day": glucose_observations,
}

# The resource of a single reading, by its kind of item in `edge.measurements.MEASUREMENTS`.
READINGS: Final[dict[str, Callable[[UUID, int, float | None, Origin], Resource]]] = {
    "cgm_reading": cgm_reading,
}

# The profiles of a sensor's Device resource, by its kind in `edge.kinds.KINDS`.
DEVICE_PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "heart_rate": (),
    "polar": (),
    "cgm": (f"{CGM_STRUCTURES}/cgm-device",),
    "aidex": (f"{CGM_STRUCTURES}/cgm-device",),
    "glucose_meter": (),
    "pulse_oximeter": (),
    "thermometer": (),
    "blood_pressure": (),
    "weight_scale": (),
    "xiaomi_scale": (),
    "body_composition": (),
    "sgv": (),
}
