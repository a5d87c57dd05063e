"""What a capable person would script today instead of a gateway; runs under an interpreter of its own (`gateway_peer`).

    python gateway_script.py DIR PACKETS.json STRAPS CGMS [--by-hand]

bluetooth-sig -> sqlite (committed every 10 s, sqlite's own durability) -> every 5 min pandas and NeuroKit2's hrv_time
-> at midnight iglu-python -> fhir.resources R4B -> JSON files. Without encryption, alerts, reconnecting, fetching,
exactly-once and status; no radio and no event loop: the handlers are called directly, and time is the packets'.
With `--by-hand` heart packets are decoded by the usual eight lines instead of bluetooth-sig.

Prints one JSON object with what the work cost, without imports and what else happens once only. Nothing of this
project is imported.
"""

import json
import os
import resource
import sqlite3
import sys
import tempfile
import uuid
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import iglu_python
import neurokit2
import numpy as np
import pandas as pd
from bluetooth_sig import BluetoothSIGTranslator
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.observation import Observation

MIDNIGHT_UTC_S = 1_772_409_600
LOINC, LOCAL = "http://loinc.org", "https://script.example/codes"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
UNITS = "http://unitsofmeasure.org"
NAMESPACE = uuid.UUID(int=7)
COMMIT_S, WINDOW_S, DAY_S, GRACE_S = 10.0, 300.0, 86_400.0, 30.0
SESSION_AGE_S = 3600

TABLES = """
CREATE TABLE hr (sensor TEXT, t REAL, bpm INT, contact INT, rr TEXT);
CREATE INDEX hr_t ON hr (sensor, t);
CREATE TABLE cgm (sensor TEXT, t REAL, off INT, mgdl REAL, PRIMARY KEY (sensor, off));
CREATE TABLE summary (kind TEXT, sensor TEXT, t REAL, body TEXT);
"""


def ident(*parts: object) -> str:
    return str(uuid.uuid5(NAMESPACE, "|".join(map(str, parts))))


def iso(t_s: float) -> datetime:
    return datetime.fromtimestamp(MIDNIGHT_UTC_S + t_s, UTC)


def quantity(value: float, unit: str, code: str) -> dict[str, Any]:
    return {"value": Decimal(f"{value:.4f}"), "unit": unit, "system": UNITS, "code": code}


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def observation(name: str, category: str, **fields: Any) -> Any:
    return Observation(
        id=name,
        status="final",
        category=[concept(CATEGORY, category)],
        identifier=[{"system": "https://script.example/id", "value": name}],
        subject={"reference": "Patient/p1"},
        device={"reference": "Device/d1"},
        **fields,
    )


class Script:
    """Everything between a notification and a bundle."""

    def __init__(self, directory: Path, *, by_hand: bool) -> None:
        self.bundles = directory / "bundles"
        self.bundles.mkdir(parents=True)
        self.database = sqlite3.connect(directory / "store.db")
        self.database.executescript(TABLES)
        self.translator = BluetoothSIGTranslator()
        self.by_hand = by_hand
        self.heart_rows: list[tuple[Any, ...]] = []
        self.glucose_rows: list[tuple[Any, ...]] = []
        self.queue: list[Any] = []

    def on_heart(self, sensor: str, payload: bytes, t_s: float) -> None:
        if self.by_hand:
            bpm, contact, rr_ms = heart_by_hand(payload)
        else:
            reading = self.translator.parse_characteristic("2A37", payload)
            bpm, contact = reading.heart_rate, int(reading.sensor_contact)
            rr_ms = [interval * 1000 for interval in reading.rr_intervals]
        self.heart_rows.append((sensor, t_s, bpm, contact, json.dumps(rr_ms)))

    def on_glucose(self, sensor: str, payload: bytes, t_s: float) -> None:
        for record in self.translator.parse_characteristic("2AA7", payload).records:
            mg_dl = record.glucose_concentration * 1e8  # its unit: 1.56e-06 for 156 mg/dL
            offset_min = record.time_offset
            self.glucose_rows.append((sensor, t_s, offset_min, mg_dl))
            self.queue.append(
                observation(
                    ident("cgm", sensor, offset_min),
                    "laboratory",
                    code=concept(LOINC, "99504-3"),
                    effectiveDateTime=iso(60 * offset_min - SESSION_AGE_S),
                    valueQuantity=quantity(mg_dl, "mg/dl", "mg/dL"),
                )
            )

    def commit(self) -> None:
        if self.heart_rows or self.glucose_rows:
            self.database.executemany("INSERT INTO hr VALUES (?,?,?,?,?)", self.heart_rows)
            self.database.executemany("INSERT OR IGNORE INTO cgm VALUES (?,?,?,?)", self.glucose_rows)
            self.database.commit()
            self.heart_rows.clear()
            self.glucose_rows.clear()

    def keep(self, kind: str, sensor: str, start_s: float, body: dict[str, float]) -> None:
        row = (kind, sensor, start_s, json.dumps(body))
        self.database.execute("INSERT INTO summary VALUES (?,?,?,?)", row)
        self.database.commit()

    def window(self, sensor: str, start_s: float) -> None:
        frame = pd.read_sql_query(
            "SELECT t, bpm, rr FROM hr WHERE sensor = ? AND t >= ? AND t < ?",
            self.database,
            params=(sensor, start_s, start_s + WINDOW_S),
        )
        rr_ms = np.array([interval for row in frame["rr"] for interval in json.loads(row)])
        if rr_ms.size < 4:
            return
        peaks = neurokit2.intervals_to_peaks(rr_ms, sampling_rate=1024)
        measures = neurokit2.hrv_time(peaks, sampling_rate=1024)
        body = {
            "mean": 60000 * rr_ms.size / rr_ms.sum(),
            "min": float(frame["bpm"].min()),
            "max": float(frame["bpm"].max()),
            "sdnn": float(measures["HRV_SDNN"].iloc[0]),
            "rmssd": float(measures["HRV_RMSSD"].iloc[0]),
            "beats": int(rr_ms.size),
            "coverage": min(100, rr_ms.sum() / 3000),
        }
        self.keep("heart_5min", sensor, start_s, body)
        self.queue += heart_observations(sensor, start_s, body)

    def day(self, sensor: str, start_s: float) -> None:
        seconds = f"off * 60 - {SESSION_AGE_S}"
        frame = pd.read_sql_query(
            f"SELECT off, mgdl FROM cgm WHERE sensor = ? AND {seconds} >= ? AND {seconds} < ?",  # noqa: S608
            self.database,
            params=(sensor, start_s, start_s + DAY_S),
        )
        if not len(frame):
            return
        times = pd.to_datetime(MIDNIGHT_UTC_S - SESSION_AGE_S + 60 * frame["off"], unit="s")
        body = glucose_body(pd.DataFrame({"id": sensor, "time": times, "gl": frame["mgdl"]}))
        self.keep("glucose_day", sensor, start_s, body)
        date = iso(start_s).date()
        for name, value in body.items():
            self.queue.append(
                observation(
                    ident("day", sensor, start_s, name),
                    "laboratory",
                    code=concept(LOCAL, name),
                    effectivePeriod={"start": date, "end": date},
                    valueQuantity=quantity(value, "%", "%"),
                )
            )

    def upload(self, t_s: float) -> None:
        if not self.queue:
            return
        device = Device(id="d1", deviceName=[{"name": "gw", "type": "model-name"}])
        entries = [
            {
                "fullUrl": f"https://script.example/fhir/{type(resource).__name__}/{resource.id}",
                "resource": resource,
                "request": {"method": "PUT", "url": f"{type(resource).__name__}/{resource.id}"},
            }
            for resource in [device, *self.queue]
        ]
        bundle = Bundle(type="transaction", timestamp=iso(t_s), entry=entries)
        file = self.bundles / f"{int(t_s)}.json"
        draft = file.with_suffix(".part")
        with draft.open("w") as output:
            output.write(bundle.model_dump_json())
            output.flush()
            os.fsync(output.fileno())
        draft.rename(file)
        self.queue.clear()

    def play(self, packets: list[tuple[float, str, str]], straps: int, cgms: int) -> None:
        """Every packet, and what is due before it."""
        commit_s, window_s, day_s = COMMIT_S, 0.0, 0.0
        for t_s, kind, payload in [*packets, (packets[-1][0] + WINDOW_S + 2 * GRACE_S, "end", "")]:
            while t_s >= commit_s:
                self.commit()
                if commit_s >= window_s + WINDOW_S + GRACE_S:
                    for n in range(straps):
                        self.window(f"s{n}", window_s)
                    window_s += WINDOW_S
                if commit_s >= day_s + DAY_S + GRACE_S:
                    for n in range(cgms):
                        self.day(f"c{n}", day_s)
                    day_s += DAY_S
                self.upload(commit_s)
                commit_s += COMMIT_S
            octets = bytes.fromhex(payload)
            for n in range(straps if kind == "heart" else 0):
                self.on_heart(f"s{n}", octets, t_s)
            for n in range(cgms if kind == "glucose" else 0):
                self.on_glucose(f"c{n}", octets, t_s)


def heart_by_hand(payload: bytes) -> tuple[int, int, list[float]]:
    """2A37 as one writes it without a library."""
    flags, at = payload[0], 1
    if flags & 1:
        bpm, at = int.from_bytes(payload[1:3], "little"), 3
    else:
        bpm, at = payload[1], 2
    if flags & 8:
        at += 2
    words = range(at, len(payload) - 1, 2) if flags & 16 else ()
    rr_ms = [int.from_bytes(payload[n : n + 2], "little") / 1024 * 1000 for n in words]
    return bpm, (flags >> 1) & 3, rr_ms


def heart_observations(sensor: str, start_s: float, body: dict[str, float]) -> list[Any]:
    period = {"start": iso(start_s), "end": iso(start_s + WINDOW_S)}
    rate = ("beats/minute", "/min")

    def component(code: str, value: dict[str, Any], system: str = LOCAL) -> dict[str, Any]:
        return {"code": concept(system, code), "valueQuantity": value}

    return [
        observation(
            ident("hr", sensor, start_s),
            "vital-signs",
            code=concept(LOINC, "8867-4"),
            effectivePeriod=period,
            valueQuantity=quantity(body["mean"], *rate),
            component=[
                component("heart-rate-min", quantity(body["min"], *rate)),
                component("heart-rate-max", quantity(body["max"], *rate)),
                component("beats", quantity(body["beats"], "beats", "{beats}")),
                component("coverage", quantity(body["coverage"], "%", "%")),
            ],
        ),
        observation(
            ident("hrv", sensor, start_s),
            "vital-signs",
            code=concept(LOCAL, "hrv"),
            effectivePeriod=period,
            component=[
                component("80404-7", quantity(body["sdnn"], "ms", "ms"), LOINC),
                component("rmssd", quantity(body["rmssd"], "ms", "ms")),
            ],
        ),
    ]


def glucose_body(frame: Any) -> dict[str, float]:
    def last(result: Any) -> float:
        return float(result.iloc[0, -1])

    return {
        "mean": last(iglu_python.mean_glu(frame)),
        "gmi": last(iglu_python.gmi(frame)),
        "sd": last(iglu_python.sd_glu(frame)),
        "cv": last(iglu_python.cv_glu(frame)),
        "below-54": last(iglu_python.below_percent(frame, [54])),
        "below-70": last(iglu_python.below_percent(frame, [70])),
        "in-range": last(iglu_python.in_range_percent(frame, [[70, 180]])),
        "above-180": last(iglu_python.above_percent(frame, [180])),
        "above-250": last(iglu_python.above_percent(frame, [250])),
    }


def written_octets() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def warm(packets: list[tuple[float, str, str]]) -> None:
    """What happens once only: tables read, models built, functions compiled."""
    with tempfile.TemporaryDirectory() as directory:
        Script(Path(directory), by_hand=False).play(packets[:700], 1, 1)


def main() -> None:
    warnings.filterwarnings("ignore")
    directory, packets = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    warm(packets)
    script = Script(directory, by_hand="--by-hand" in sys.argv)
    before_s, before_octets = cpu_s(), written_octets()
    script.play(packets, int(sys.argv[3]), int(sys.argv[4]))
    spent_s, octets = cpu_s() - before_s, written_octets() - before_octets
    kinds = script.database.execute("SELECT kind, count(*) FROM summary GROUP BY kind").fetchall()
    print(
        json.dumps(
            {
                "cpu_s": spent_s,
                "written_octets": octets,
                "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "summaries": dict(kinds),
                "bundles": len(list(script.bundles.glob("*.json"))),
            }
        )
    )


if __name__ == "__main__":
    main()
