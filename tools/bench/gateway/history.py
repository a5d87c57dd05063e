"""A store as years of sensors leave it, and what the gateway's work costs with it; in a process of its own.

    python -P -m tools.bench.gateway.history DAYS RAW_DAYS STRAPS CGMS [--purge]

DAYS of summaries and readings, the newest RAW_DAYS of raw data, one boot throughout, written in bulk through the
gateway's own tables. What was delivered is noted of the last `delivered_retention_days`, as `retention` leaves it. With
`--purge` the default limits are then applied until nothing is left to delete.
Prints one JSON object: milliseconds, the median, the 99th of 100 and the longest of several; the start in CPU seconds.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from timeit import default_timer
from typing import Any, Final, NamedTuple
from uuid import uuid4

import msgspec

from edge.app import PURGE_ROWS_MAX, Gateway
from edge.clock import NS_PER_S
from edge.config import Config, Limits
from edge.history import heart_window
from edge.history.bounds import Bounds
from edge.store import retention
from edge.store.deliveries import reading_ref, summary_ref
from edge.store.raw_chunks import Packet, pack
from edge.store.tables import Tables
from edge.upstream.routes import FILES
from hw_sim.clock import run
from tools.bench.gateway import rig
from tools.bench.gateway.feed import MIDNIGHT_UTC_S, Home, recorded
from tools.bench.gateway.rig import Spent

DAY_S: Final = 86_400
NOW_UTC_S: Final = MIDNIGHT_UTC_S + DAY_S // 2
CHUNK_S: Final = 30
WINDOW_S: Final = 300
SESSION_S: Final = 10 * DAY_S
BULK_ROWS: Final = 20_000
HEART_BODY: Final = heart_window.EMPTY | {
    "hr_mean_bpm": 72.123456789,
    "hr_min_bpm": 60.3,
    "hr_max_bpm": 81.2,
    **dict.fromkeys(("sdrr_ms", "rmssd_rr_ms", "sdnn_ms", "rmssd_ms", "lf_ms2", "hf_ms2"), 44.123456789),
    **dict.fromkeys(("normal_pct", "pnn50_pct", "af_pct", "mean_nn_ms", "dfa_a1"), 31.123456789),
    "beats": 360,
    "coverage_pct": 99.7,
}
GLUCOSE_BODY: Final = {
    "date": "2026-03-02",
    **dict.fromkeys(("mean_mg_dl", "sd_mg_dl", "cv_pct", "gmi_pct", "in_range_pct"), 70.123456789),
    **dict.fromkeys(("very_low_pct", "low_pct", "high_pct", "very_high_pct"), 5.0),
    "readings": 288,
    "coverage_pct": 100.0,
}

CHUNK_COLUMNS: Final = "sensor_no, boot_no, first_boot_ns, last_boot_ns, packets, body"


class Clock(NamedTuple):
    """The machine's clocks, standing still; its boot was before the history."""

    utc_s: int
    booted_utc_s: int
    boot_id: str = "boot-1"

    def boot_ns(self) -> int:
        return (self.utc_s - self.booted_utc_s) * NS_PER_S

    def utc_ns(self) -> int:
        return self.utc_s * NS_PER_S

    def utc_error_ms(self) -> int | None:
        return 500


class Builder:
    """Fills one store."""

    def __init__(self, gateway: Gateway, clock: Clock, days: int, raw_days: int) -> None:
        self.tables: Tables = gateway.store.tables
        self.boot_no = gateway.boot_no
        self.person = gateway.rows[0].person
        self.clock = clock
        self.begin_s = clock.utc_s - days * DAY_S
        self.raw_begin_s = clock.utc_s - min(days, raw_days) * DAY_S
        self.delivered_s = clock.utc_s - gateway.config.limits.delivered_retention_days * DAY_S

    def build(self, straps: list[int], cgms: list[int]) -> None:
        """`straps` and `cgms` by their numbers in the store."""
        self._fill("anchors", 5, self._anchors())
        for sensor_no in straps:
            self._fill(f"raw_chunks ({CHUNK_COLUMNS})", 6, self._chunks(sensor_no))
            self._fill("summaries", 8, self._summaries("heart_5min", sensor_no, WINDOW_S, HEART_BODY))
        for sensor_no in cgms:
            self._fill("sessions", 12, self._sessions(sensor_no))
            self._fill("readings", 12, self._readings(sensor_no))
            self._fill("summaries", 8, self._summaries("glucose_day", sensor_no, DAY_S, GLUCOSE_BODY))
        columns = "route, kind, ref, item, person, rev, state, boot_no, boot_ns, acked_utc_s"
        self._fill(f"deliveries ({columns})", 10, self._deliveries(straps, cgms))

    def _fill(self, table: str, columns: int, rows: Iterator[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * columns)
        while bulk := [row for _, row in zip(range(BULK_ROWS), rows, strict=False)]:
            with self.tables.database.transaction():
                self.tables.database.write_many(f"INSERT INTO {table} VALUES ({marks})", bulk)  # noqa: S608

    def _boot_ns(self, utc_s: int) -> int:
        return (utc_s - self.clock.booted_utc_s) * NS_PER_S

    def _anchors(self) -> Iterator[tuple[Any, ...]]:
        for utc_s in range(self.begin_s, self.clock.utc_s, 3600):
            yield self.boot_no, self._boot_ns(utc_s), utc_s * NS_PER_S, 500, "system"

    def _chunks(self, sensor_no: int) -> Iterator[tuple[Any, ...]]:
        payloads = [payload for _, payload in recorded(1.0).heart]
        parts = [payloads[n : n + CHUNK_S] for n in range(0, len(payloads), CHUNK_S)]
        # Each packet tells of a beat 300 ms before it.
        moments = [(n * NS_PER_S, n * NS_PER_S - 300_000_000) for n in range(CHUNK_S)]
        bodies = [pack([Packet(p, *at) for p, at in zip(part, moments, strict=False)]) for part in parts]
        for number, utc_s in enumerate(range(self.raw_begin_s, self.clock.utc_s, CHUNK_S)):
            first_ns = self._boot_ns(utc_s)
            last_ns = first_ns + (CHUNK_S - 1) * NS_PER_S
            yield sensor_no, self.boot_no, first_ns, last_ns, CHUNK_S, bodies[number % len(bodies)]

    def _summaries(
        self, kind: str, sensor_no: int, length_s: int, body: dict[str, Any]
    ) -> Iterator[tuple[Any, ...]]:
        text = msgspec.json.encode(body).decode()
        for start_s in range(self.begin_s // length_s * length_s, self.clock.utc_s - length_s, length_s):
            yield kind, sensor_no, start_s, start_s + length_s, str(uuid4()), 1, "final", text

    def _sessions(self, sensor_no: int) -> Iterator[tuple[Any, ...]]:
        starts = range(self.begin_s, self.clock.utc_s, SESSION_S)
        for number, start_s in enumerate(starts, 1):
            ended = "superseded" if number < len(starts) else None
            began = self.boot_no, self._boot_ns(start_s), start_s, 500
            yield (
                sensor_no * 10_000 + number,
                str(uuid4()),
                sensor_no,
                number,
                start_s,
                *began,
                240,
                14_395,
                ended,
            )

    def _readings(self, sensor_no: int) -> Iterator[tuple[Any, ...]]:
        for utc_s in range(self.begin_s, self.clock.utc_s, WINDOW_S):
            number, at_s = divmod(utc_s - self.begin_s, SESSION_S)
            session_no, value = sensor_no * 10_000 + number + 1, 80.0 + utc_s // 300 % 100
            moment = self.boot_no, self._boot_ns(utc_s), 0
            yield session_no, "glucose", at_s // 60, at_s, value, None, None, 0, None, *moment

    def _deliveries(self, straps: list[int], cgms: list[int]) -> Iterator[tuple[Any, ...]]:
        begin_s = max(self.delivered_s, self.begin_s) // WINDOW_S * WINDOW_S
        for utc_s in range(begin_s, self.clock.utc_s - WINDOW_S, WINDOW_S):
            refs = [("heart_5min", summary_ref("heart_5min", no, utc_s)) for no in straps]
            number, at_s = divmod(utc_s - self.begin_s, SESSION_S)
            refs += [
                ("cgm_reading", reading_ref(no * 10_000 + number + 1, "glucose", at_s // 60)) for no in cgms
            ]
            moment = self.boot_no, self._boot_ns(utc_s), utc_s
            yield from (
                (FILES, kind, ref, str(uuid4()), self.person, 1, "acked", *moment) for kind, ref in refs
            )


class Costs:
    """What was measured, by name."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {}

    def time(self, name: str, call: Callable[[], Any]) -> Any:
        began_s = default_timer()
        result = call()
        self.ms.setdefault(name, []).append(1000 * (default_timer() - began_s))
        return result

    def result(self) -> dict[str, Any]:
        return {
            f"{name}_ms": [median(ms), sorted(ms)[int(0.99 * (len(ms) - 1))], max(ms)]
            for name, ms in self.ms.items()
        }


def size_mb(checked: Config) -> float:
    return sum(file.stat().st_size for file in checked.gateway.state_dir.glob("store.db*")) / 1e6


def purge(costs: Costs, gateway: Gateway, limits: Limits, now_s: int, name: str) -> int:
    """Slices, each as a commit of its own; how many there were."""
    tables, timeline = gateway.store.tables, gateway.store.tables.boots.timeline()
    now = retention.Present(now_s, gateway.boot_no, gateway.clock.boot_ns() + 400 * DAY_S * NS_PER_S)

    def one_slice() -> bool:
        with tables.database.transaction():
            return retention.purge_slice(tables, timeline, now, limits, PURGE_ROWS_MAX)

    slices = 1
    while costs.time(name, one_slice):
        slices += 1
    return slices


async def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    home = Home.of(options.straps, options.cgms)
    checked = rig.config(directory, home)
    kept = msgspec.structs.replace(checked.limits, raw_retention_days=options.raw_days, retention_days=4000)
    checked = msgspec.structs.replace(checked, limits=kept)
    clock = Clock(NOW_UTC_S, NOW_UTC_S - (options.days + 1) * DAY_S)
    machine = rig.machine(checked, home, clock)
    gateway = machine.open()
    straps, cgms = ([row.no for row in gateway.rows if row.kind == kind] for kind in ("heart_rate", "cgm"))
    Builder(gateway, clock, options.days, options.raw_days).build(straps, cgms)
    gateway.close()
    costs, result = Costs(), {"size_mb": size_mb(checked)}
    before = Spent.now()
    gateway = machine.open()
    result["start_cpu_s"] = Spent.now().since(before).cpu_s
    tables = gateway.store.tables
    for _ in range(9):
        began_s = default_timer()
        await gateway.status()
        costs.ms.setdefault("status", []).append(1000 * (default_timer() - began_s))
    if straps:
        middle_s = (NOW_UTC_S - min(options.days, options.raw_days) * DAY_S // 2) // WINDOW_S * WINDOW_S
        timeline = tables.boots.timeline()
        for start_s in range(middle_s, middle_s + 9 * WINDOW_S, WINDOW_S):
            bounds = Bounds(start_s, start_s + WINDOW_S)
            window = costs.time(
                "old_window", partial(heart_window.compute, tables, timeline, straps[0], bounds)
            )
            assert window.body["hr_mean_bpm"] is not None
    purge(costs, gateway, kept, NOW_UTC_S + DAY_S, "purge_slice_of_a_day")
    if options.purge:
        result["slices"] = purge(costs, gateway, Limits(), NOW_UTC_S, "purge_slice")
        tables.database.read("PRAGMA wal_checkpoint(TRUNCATE)")
        result["size_after_mb"] = size_mb(checked)
    gateway.close()
    return {**result, **costs.result(), "rss_mb": rig.rss_mb()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("days", "raw_days", "straps", "cgms"):
        parser.add_argument(name, type=int)
    parser.add_argument("--purge", action="store_true")
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(run(measure(Path(directory), parser.parse_args()))))


if __name__ == "__main__":
    main()
