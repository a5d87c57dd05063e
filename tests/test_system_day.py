"""A day of real recordings, through simulated Bluetooth and the whole gateway, against plain arithmetic.

The arithmetic here reads the recording files and nothing else; what arrived upstream is read from the bundles.
"""

import csv
import gzip
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
from fhir_check import faults
from fhir_directory import LOCAL, LOINC, Received, bundles, components, receive

RECORDINGS = Path(__file__).parent / "recordings"
HOURS = 24
WINDOW_S = 300
# The gateway places a beat by when its packet came; the strap sends once a second and its ticks are 1/1024 s.
PLACEMENT_S = 0.06


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON document of `vitalgate demo`, run as its user runs it."""
    out = tmp_path_factory.mktemp("demo") / "out"
    command = [
        sys.executable,
        "-P",
        "-m",
        "tools",
        "demo",
        "--hours",
        str(HOURS),
        "--json",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def received(day: dict[str, Any]) -> Received:
    return receive(Path(day["out"]) / "bundles")


def rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(RECORDINGS / name, "rt") as file:
        yield from csv.DictReader(file)


def recorded_beats() -> list[tuple[float, float]]:
    """(time of the beat since midnight in s, RR in ms) of the record, repeated to fill the day."""
    beats = []
    now_ms = 0.0
    for rr_ms in cycle([float(row["rr_ms"]) for row in rows("afdb_08219_rr.csv.gz")]):
        now_ms += rr_ms
        if now_ms > HOURS * 3_600_000:
            return beats
        beats.append((now_ms / 1000, rr_ms))
    raise AssertionError


def recorded_glucose() -> list[tuple[float, float]]:
    """(s since midnight, mg/dL) of the first day."""
    readings = [
        (datetime.fromisoformat(row["time"]), float(row["glucose_mg_dl"]))
        for row in rows("azt1d_09_glucose.csv.gz")
    ]
    midnight = readings[0][0].replace(hour=0, minute=0, second=0)
    return [
        ((time - midnight).total_seconds(), value)
        for time, value in readings
        if (time - midnight).total_seconds() < HOURS * 3600
    ]


def heart_truth(rr_ms: list[float]) -> dict[str, float]:
    n = len(rr_ms)
    mean = sum(rr_ms) / n
    eights = [sum(rr_ms[k : k + 8]) / 8 for k in range(n - 7)]
    return {
        "heart-rate": 60_000 / mean,
        "heart-rate-min": 60_000 / max(eights),
        "heart-rate-max": 60_000 / min(eights),
        "sdrr": math.sqrt(sum((rr - mean) ** 2 for rr in rr_ms) / (n - 1)),
        "rmssd-rr": math.sqrt(sum((b - a) ** 2 for a, b in pairwise(rr_ms)) / (n - 1)),
        "beats": n,
        "coverage": min(100.0, sum(rr_ms) / (10 * WINDOW_S)),
    }


def possible_windows(beats: list[tuple[float, float]], k: int) -> Iterator[dict[str, float]]:
    """The truth of window k; more than one where a beat falls on a boundary as closely as it can be placed."""
    inner = [(t, rr) for t, rr in beats if k * WINDOW_S - PLACEMENT_S <= t < (k + 1) * WINDOW_S + PLACEMENT_S]
    starts = [0] + [n + 1 for n, (t, _) in enumerate(inner) if t < k * WINDOW_S + PLACEMENT_S]
    stops = [len(inner)] + [n for n, (t, _) in enumerate(inner) if t >= (k + 1) * WINDOW_S - PLACEMENT_S]
    for start in starts:
        for stop in stops:
            yield heart_truth([rr for _, rr in inner[start:stop]])


def of_the_day(received: Received, system: str, code: str) -> list[dict[str, Any]]:
    """Periods that begin within the day: a second after its last beat a strap still has a rate to tell."""
    found = received.with_code(system, code)
    return [o for o in found if o["effectivePeriod"]["start"] < "2026-03-03T00:00:00+00:00"]


def test_every_window_of_the_heart_record_arrived_as_it_was(received: Received) -> None:
    rates, variabilities = (
        of_the_day(received, LOINC, "8867-4"),
        of_the_day(received, LOCAL, "hrv-short-term"),
    )
    assert len(rates) == len(variabilities) == HOURS * 3600 // WINDOW_S
    beats = recorded_beats()
    tolerance = {"sdrr": 1.0, "rmssd-rr": 1.0, "beats": 0, "coverage": 0.1}
    ambiguous = 0
    for k, (rate, variability) in enumerate(zip(rates, variabilities, strict=True)):
        arrived = {
            "heart-rate": rate["valueQuantity"]["value"],
            **components(rate),
            **components(variability),
        }
        truths = list(possible_windows(beats, k))
        ambiguous += len(truths) > 1
        assert any(
            all(abs(arrived[name] - truth[name]) <= tolerance.get(name, 0.1) for name in truth)
            for truth in truths
        ), (k, arrived, truths)
    assert ambiguous < len(rates) / 3  # most windows have one truth only


def test_no_beat_of_the_day_is_missing_or_double(received: Received) -> None:
    counted = sum(components(rate)["beats"] for rate in of_the_day(received, LOINC, "8867-4"))
    assert counted == len(recorded_beats())


def test_every_cgm_reading_arrived_exactly_once(received: Received) -> None:
    readings = received.with_code(LOINC, "99504-3")
    arrived = sorted((o["effectiveDateTime"], o["valueQuantity"]["value"]) for o in readings)
    midnight = datetime.fromisoformat("2026-03-02T00:00:00+00:00").timestamp()
    expected = recorded_glucose()
    assert len(arrived) == len(expected)
    for (stamp, value), (t_s, glucose_mg_dl) in zip(arrived, expected, strict=True):
        assert value == glucose_mg_dl
        assert abs(datetime.fromisoformat(stamp).timestamp() - midnight - t_s) <= 60
    assert all(received.times_sent[o["id"]] == 1 for o in readings)


def test_the_glucose_day_arrived_as_it_was(received: Received) -> None:
    values = [value for _, value in recorded_glucose()]
    n = len(values)
    mean = sum(values) / n
    sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))

    def only(system: str, code: str) -> dict[str, Any]:
        (observation,) = received.with_code(system, code)
        return observation

    def value(system: str, code: str) -> float:
        return float(only(system, code)["valueQuantity"]["value"])

    assert value(LOINC, "97507-8") == pytest.approx(mean, abs=0.01)
    assert value(LOINC, "104638-2") == pytest.approx(100 * sd / mean, abs=0.01)
    assert value(LOINC, "97506-0") == pytest.approx(3.31 + 0.02392 * mean, abs=0.01)
    assert value(LOINC, "104637-4") == pytest.approx(100 * n / 288, abs=0.01)
    ranges = {
        "104642-4": sum(v < 54 for v in values),
        "104641-6": sum(54 <= v < 70 for v in values),
        "97510-2": sum(70 <= v <= 180 for v in values),
        "104640-8": sum(180 < v <= 250 for v in values),
        "104639-0": sum(v > 250 for v in values),
    }
    assert all(ranges.values()), "the recording is to touch every range"
    expected = {code: pytest.approx(100 * count / n, abs=0.01) for code, count in ranges.items()}
    assert components(only(LOINC, "106793-3")) == expected
    members = {m["reference"].removeprefix("Observation/") for m in only(LOINC, "107931-8")["hasMember"]}
    assert members <= received.observations.keys()


def test_every_bundle_is_valid_and_marked_as_test_data(day: dict[str, Any]) -> None:
    sent = bundles(Path(day["out"]) / "bundles")
    assert len(sent) == len(day["bundles"]) > HOURS
    for bundle in sent:
        assert faults(bundle) == []
        for resource in (bundle, *(entry["resource"] for entry in bundle["entry"])):
            assert "HTEST" in [label["code"] for label in resource["meta"]["security"]]


def test_the_document_says_what_was_sent(day: dict[str, Any], received: Received) -> None:
    (route,) = day["status"]["deliveries"]
    windows = len(received.with_code(LOINC, "8867-4"))
    assert route["items"] == windows + len(recorded_glucose()) + 1
    assert (route["pending"], route["inflight"], route["parked"]) == (0, 0, 0)
    assert [s["hr_mean_bpm"] for s in day["summaries"]["heart_5min"]] == pytest.approx(
        [o["valueQuantity"]["value"] for o in of_the_day(received, LOINC, "8867-4")], abs=1e-3
    )
