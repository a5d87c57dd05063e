"""Every resource we send is valid, complete, exact and pseudonymous."""

import copy
import json
import math
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S
from fhir_check import PANEL, codes, faults, unmarked
from upstream_parts import GLUCOSE, HEART

from edge.kinds import KINDS
from edge.measurements import MEASUREMENTS, PERIODS
from edge.store.summaries import Summary, SummaryKey
from edge.upstream import resources
from edge.upstream.resources import Origin, Resource, cgm_reading, glucose_observations, heart_observations

LOINC = "http://loinc.org"
ADDRESS = "A4:C1:38:00:00:02"
SENSOR = IDENTITY.id("sensor", "p-7f3a", ADDRESS)
ORIGIN = Origin("p-7f3a", "gw-1", SENSOR)


def summary(kind: str, body: dict[str, Any], status: str = "final") -> Summary:
    end = MIDNIGHT_UTC_S + (300 if kind == "heart_5min" else 86400)
    return Summary(SummaryKey(kind, 1, MIDNIGHT_UTC_S), end, UUID(int=5), 1, status, body)


def bundle(found: list[Resource], utc_s: int = MIDNIGHT_UTC_S + 86460, *, simulated: bool = True) -> bytes:
    entries = [resources.entry(resource, simulated=simulated) for resource in found]
    return resources.bundle(entries, utc_s, simulated=simulated)


def sent(observations: list[Resource], kind: str = "cgm", simulated: bool = True) -> dict[str, Any]:
    devices = [resources.gateway_device("gw-1", "0.1.0"), resources.sensor_device(SENSOR, kind)]
    whole: dict[str, Any] = json.loads(bundle([*devices, *observations], simulated=simulated))
    return whole


def by_code(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The observations of a bundle by their first code."""
    found = [entry["resource"] for entry in whole["entry"]]
    return {one["code"]["coding"][0]["code"]: one for one in found if one["resourceType"] == "Observation"}


def heart_bundle(body: dict[str, Any] = HEART, status: str = "final") -> dict[str, Any]:
    return sent(heart_observations(summary("heart_5min", body, status), ORIGIN), "heart_rate")


def glucose_bundle(body: dict[str, Any] = GLUCOSE, status: str = "final") -> dict[str, Any]:
    return sent(glucose_observations(summary("glucose_day", body, status), ORIGIN))


def reading_bundle(*values: float | None) -> dict[str, Any]:
    readings = [
        cgm_reading(UUID(int=n), MIDNIGHT_UTC_S + 300 * n, value, ORIGIN) for n, value in enumerate(values)
    ]
    return sent(readings)


def without(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    return body | dict.fromkeys(keys)


SHAPES = {
    "heart": heart_bundle(),
    "heart without variability": heart_bundle(
        without(HEART, *HEART.keys() - {"hr_mean_bpm", "beats", "coverage_pct"})
    ),
    "heart without beats": heart_bundle(dict.fromkeys(HEART) | {"beats": 0, "coverage_pct": 0.0}),
    "glucose": glucose_bundle(),
    "glucose without statistics": glucose_bundle(
        dict.fromkeys(GLUCOSE) | {"date": "2026-11-21", "readings": 0}
    ),
    "glucose without spread": glucose_bundle(without(GLUCOSE, "sd_mg_dl", "cv_pct")),
    "readings": reading_bundle(100.0, 39.5, math.inf, -math.inf, None, 0.0),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_shape_is_valid_and_marked(shape: dict[str, Any]) -> None:
    assert faults(shape) == []
    assert unmarked(shape) == []


@pytest.mark.parametrize("key", sorted(GLUCOSE.keys() - {"date", "readings"}))
def test_any_missing_statistic_stays_valid(key: str) -> None:
    whole = glucose_bundle(without(GLUCOSE, key))
    assert [fault for fault in faults(whole) if "whole" not in fault] == []
    assert len(whole["entry"]) == len(SHAPES["glucose"]["entry"])


def test_real_data_carry_no_mark() -> None:
    whole = sent(heart_observations(summary("heart_5min", HEART), ORIGIN), "heart_rate", simulated=False)
    assert faults(whole) == []
    assert "HTEST" not in json.dumps(whole)
    assert len(unmarked(whole)) == 1 + len(whole["entry"])


@pytest.mark.parametrize("status", ["preliminary", "final", "amended"])
def test_status_is_the_summarys(status: str) -> None:
    for whole in (heart_bundle(status=status), glucose_bundle(status=status)):
        assert {one["status"] for one in by_code(whole).values()} == {status}


def test_heart_values_arrive_exactly() -> None:
    found = by_code(SHAPES["heart"])
    rate = found["8867-4"]
    assert rate["valueQuantity"]["value"] == pytest.approx(62.43215, abs=1e-4)
    values = [part["valueQuantity"]["value"] for part in rate["component"]]
    assert values == pytest.approx([55.0, 81.0, 312, 99.5], abs=1e-4)
    variability = {
        part["code"]["coding"][0]["code"]: (part["valueQuantity"]["value"], part["valueQuantity"]["code"])
        for part in found["hrv-short-term"]["component"]
    }
    expected = {
        "80404-7": (48.1235, "ms"),
        "rmssd": (39.6543, "ms"),
        "pnn50": (19.8052, "%"),
        "mean-nn": (961.0434, "ms"),
        "lf-power": (812.3457, "ms2"),
        "hf-power": (433.21, "ms2"),
        "dfa-alpha1": (1.0234, "1"),
        "sdrr": (52.3457, "ms"),
        "rmssd-rr": (61.2346, "ms"),
        "normal-beats": (98.7179, "%"),
        "beats-in-af": (0.641, "%"),
        "9279-1": (14.25, "/min"),
        "breathing-confidence": (0.6123, "1"),
    }
    assert variability == {
        code: (pytest.approx(value, abs=1e-4), unit) for code, (value, unit) in expected.items()
    }
    period = {"start": "2026-11-21T00:00:00+00:00", "end": "2026-11-21T00:05:00+00:00"}
    assert rate["effectivePeriod"] == found["hrv-short-term"]["effectivePeriod"] == period


def test_glucose_values_arrive_exactly() -> None:
    found = by_code(SHAPES["glucose"])
    singles = {
        "97507-8": 154.23456,
        "97506-0": 6.999223,
        "104638-2": 34.103344,
        "104636-6": 1,
        "104637-4": 100.0,
        "glucose-standard-deviation": 52.598765,
    }
    for code, value in singles.items():
        assert found[code]["valueQuantity"]["value"] == pytest.approx(value, abs=1e-4), code
        assert found[code]["effectivePeriod"] == {"start": "2026-11-21", "end": "2026-11-21"}
    ranges = {codes(part["code"], LOINC)[0]: part for part in found["106793-3"]["component"]}
    expected = {
        "104642-4": 0.5102,
        "104641-6": 2.9761,
        "97510-2": 71.2431,
        "104640-8": 19.8696,
        "104639-0": 5.401,
    }
    assert {code: part["valueQuantity"]["value"] for code, part in ranges.items()} == expected
    members = {reference["reference"] for reference in found["107931-8"]["hasMember"]}
    assert members == {f"Observation/{found[code]['id']}" for code in [*PANEL, "glucose-standard-deviation"]}
    assert found["107931-8"]["id"] == str(UUID(int=5))


def test_percentages_show_at_least_two_decimals() -> None:
    observations = glucose_observations(
        summary("glucose_day", GLUCOSE | {"high_pct": 20.0, "low_pct": 3}), ORIGIN
    )
    text = bundle(observations).decode()
    assert '"value":20.0000,"unit":"%"' in text
    assert '"value":3.0000,"unit":"%"' in text


def test_readings_beyond_the_scale_have_no_value() -> None:
    found = [entry["resource"] for entry in SHAPES["readings"]["entry"][2:]]

    def said(reading: dict[str, Any]) -> tuple[Any, ...]:
        absent = reading.get("dataAbsentReason", {"coding": [{"code": None}]})["coding"][0]["code"]
        scale = [concept["coding"][0]["code"] for concept in reading.get("interpretation", ())]
        return reading.get("valueQuantity", {}).get("value"), absent, scale

    assert list(map(said, found)) == [
        (100.0, None, []),
        (39.5, None, []),
        (None, "positive-infinity", [">"]),
        (None, "negative-infinity", ["<"]),
        (None, "not-a-number", []),
        (0.0, None, []),
    ]
    assert [reading["effectiveDateTime"][11:16] for reading in found[:3]] == ["00:00", "00:05", "00:10"]


def test_profiles_are_claimed_only_by_what_is_complete() -> None:
    def claims(whole: dict[str, Any]) -> dict[str, bool]:
        return {code: "profile" in one.get("meta", {}) for code, one in by_code(whole).items()}

    assert [code for code, claimed in claims(SHAPES["glucose"]).items() if not claimed] == [
        "glucose-standard-deviation"
    ]
    partial = claims(SHAPES["glucose without spread"])
    assert not partial["104638-2"]
    assert not partial["107931-8"]
    assert partial["97507-8"]
    assert claims(SHAPES["heart"]) == {"8867-4": True, "hrv-short-term": False}
    assert not claims(SHAPES["heart without beats"])["8867-4"]


def test_the_same_batch_gives_the_same_bytes_and_ids() -> None:
    one, two = (bundle(glucose_observations(summary("glucose_day", GLUCOSE), ORIGIN)) for _ in "ab")
    assert one == two
    changed = glucose_bundle(GLUCOSE | {"mean_mg_dl": None, "readings": 1}, "amended")
    urls = [entry["request"]["url"] for entry in changed["entry"]]
    assert urls == [entry["request"]["url"] for entry in SHAPES["glucose"]["entry"]]


def test_no_address_leaves_the_gateway() -> None:
    for whole in SHAPES.values():
        text = json.dumps(whole).upper()
        assert str(SENSOR).upper() in text
        for form in (ADDRESS, ADDRESS.replace(":", "-"), ADDRESS.replace(":", "")):
            assert form not in text
        assert not re.search(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}", text)


# The maps are complete: a row in a table has what stands for it.


def test_every_kind_has_what_stands_for_it() -> None:
    assert resources.SUMMARIES.keys() == PERIODS.keys()
    assert resources.READINGS.keys() == {m.item for m in MEASUREMENTS.values() if m.item is not None}
    assert resources.DEVICE_PROFILES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sensor_is_a_device_by_its_title(kind: str) -> None:
    device = resources.sensor_device(SENSOR, kind)
    assert faults(device) == []
    assert device["deviceName"] == [{"name": KINDS[kind].title, "type": "user-friendly-name"}]
    profiles = device.get("meta", {}).get("profile", [])
    assert [profile.rsplit("/", 1)[1] for profile in profiles] == {
        "cgm": ["cgm-device"],
        "aidex": ["cgm-device"],
    }.get(kind, [])


@pytest.mark.parametrize("kind", PERIODS)
@pytest.mark.parametrize("change", ["missing", "text", "list"])
def test_a_body_that_is_none_of_its_kind_is_refused(kind: str, change: str) -> None:
    good = {"heart_5min": HEART, "glucose_day": GLUCOSE}[kind]
    assert resources.SUMMARIES[kind](summary(kind, good), ORIGIN)
    for key in good:
        bad = {name: value for name, value in good.items() if name != key}
        if change != "missing":
            bad |= {key: {"text": "a lot", "list": [1]}[change]}
        with pytest.raises(msgspec.ValidationError):
            resources.SUMMARIES[kind](summary(kind, bad), ORIGIN)


# Negative controls: each defect put into a good resource is found.


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *way, last = path.split(".")

    def change(node: Any) -> None:
        for step in way:
            node = node[int(step)] if step.isdigit() else node[step]
        if value is None:
            node.pop(int(last) if last.isdigit() else last)
        else:
            node[int(last) if last.isdigit() else last] = value

    return change


def twice(resource: dict[str, Any]) -> None:
    resource["component"].append(resource["component"][0])


GMI, TIR, HEART_RATE = "97506-0", "106793-3", "8867-4"
DEFECTS = [
    ("glucose", GMI, put("valueQuantity.code", "mg/dL"), "unit mg/dL"),
    ("glucose", GMI, put("code.coding.0.code", "97506-9"), "unknown LOINC"),
    ("glucose", GMI, put("effectivePeriod", None), "no period"),
    ("glucose", GMI, put("subject", None), "no subject"),
    ("glucose", GMI, put("status", "finished"), "schema"),
    ("glucose", GMI, put("extra", "field"), "schema"),
    ("glucose", GMI, put("effectivePeriod.start", "2024-13-01"), "schema"),
    ("glucose", GMI, put("valueQuantity.value", "7.0"), "schema"),
    ("glucose", GMI, put("effectivePeriod.start", "2026-11-22"), "ends before it starts"),
    ("glucose", TIR, put("component.0", None), "not the five ranges"),
    ("glucose", TIR, twice, "not the five ranges"),
    ("glucose", TIR, put("component.0.valueQuantity.code", "1"), "unit 1"),
    ("glucose", TIR, put("component.0.valueQuantity.value", 50.0), "not a whole"),
    ("glucose", "107931-8", lambda panel: panel.update(hasMember=panel["hasMember"][:3]), "fewer than six"),
    ("readings", "99504-3", put("dataAbsentReason", None), "says nothing"),
    ("heart", HEART_RATE, put("extension", None), "no gateway"),
    ("heart", HEART_RATE, put("category.1", None), "without its categories"),
    ("heart", HEART_RATE, put("code.coding.1", None), "MDC"),
    ("heart", HEART_RATE, put("code.coding.0", None), "LOINC"),
    ("heart", HEART_RATE, put("device", None), "no device"),
]


@pytest.mark.parametrize(("shape", "code", "spoil", "expected"), DEFECTS)
def test_seeded_defects_are_found(
    shape: str, code: str, spoil: Callable[[dict[str, Any]], None], expected: str
) -> None:
    resource = copy.deepcopy(by_code(SHAPES[shape])[code])
    if code == "99504-3":
        resource = copy.deepcopy(SHAPES[shape]["entry"][-2]["resource"])
    assert faults(resource) == []
    spoil(resource)
    assert any(expected in fault for fault in faults(resource))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (put("timestamp", None), "no timestamp"),
        (put("type", "batch"), "not a transaction"),
        (put("entry.1.resource.deviceName", None), "without a name"),
        (put("entry.1", None), "not here"),
        (put("entry.0.request.method", "POST"), "not put at"),
        (put("entry.2.resource.status", "finished"), "schema"),
        (lambda whole: whole["entry"].append(whole["entry"][0]), "twice"),
        (put("entry.0.resource.resourceType", "Patient"), "schema"),
        (put("entry.2.resource.subject.reference", "Patient/p-ben"), "two people"),
    ],
)
def test_seeded_defects_of_bundles_are_found(spoil: Callable[[dict[str, Any]], None], expected: str) -> None:
    whole = copy.deepcopy(SHAPES["heart"])
    spoil(whole)
    assert any(expected in fault for fault in faults(whole))
    marked = copy.deepcopy(SHAPES["heart"])
    del marked["entry"][2]["resource"]["meta"]["security"]
    assert unmarked(marked) == [str(UUID(int=5))]
