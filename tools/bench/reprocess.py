"""How long `vitalgate reprocess` takes for DAYS of one strap and one CGM, a recording played over and over.

    python -P -m tools.bench.reprocess [RR.csv.gz] [--days 30]

RR.csv.gz has the column rr_ms; without it the recording that comes along is played. The strap sends once a second, as
the gateway keeps it; the CGM every five minutes. The store is filled through the gateway's own tables. Runs twice: the
second must change nothing.
"""

import argparse
import csv
import gzip
import math
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from timeit import default_timer
from uuid import uuid4

import msgspec

from edge.anchors import Anchor
from edge.app import Gateway
from edge.clock import NS_PER_S
from edge.config import Config
from edge.history.closing import Now
from edge.history.reprocessing import Reprocessing
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.readings import Reading
from edge.store.tables import Tables
from hw_sim.clock import run
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement
from tools.bench.gateway import rig
from tools.bench.gateway.feed import RECORDINGS, Home
from tools.bench.gateway.history import DAY_S, NOW_UTC_S, Clock
from tools.bench.gateway.rig import Spent

RECORDING = RECORDINGS / "afdb_08219_rr.csv.gz"
CHUNK_S = 60
TICKS_PER_S = 1024


def packets(rr_ms: list[float], begin_ns: int, seconds: int) -> Iterator[Packet]:
    """What a strap sends each second: the intervals that ended within it, and when the last beat was."""
    # A packet cannot tell of more than 64 s.
    beats = cycle(min(round(interval * TICKS_PER_S / 1000.0), 0xFFFF) for interval in rr_ms)
    beat_ticks = next(beats)
    for second in range(1, seconds + 1):
        ticks: list[int] = []
        last_ticks = 0
        while beat_ticks <= second * TICKS_PER_S:
            last_ticks = beat_ticks
            interval = next(beats)
            ticks.append(interval)
            beat_ticks += interval
        reading = HeartRateMeasurement(70, rr_ticks=tuple(ticks) or None)
        beat_ns = begin_ns + last_ticks * NS_PER_S // TICKS_PER_S if ticks else NO_BEAT
        yield Packet(heart_rate.encode(reading), begin_ns + second * NS_PER_S, beat_ns)


def fill(
    tables: Tables, clock: Clock, boot_no: int, strap: int, cgm: int, days: int, rr_ms: list[float]
) -> None:
    """The history, in one boot."""
    begin_utc_s = clock.utc_s - days * DAY_S
    begin_ns = (begin_utc_s - clock.booted_utc_s) * NS_PER_S
    with tables.database.transaction():
        for hour in range(days * 24 + 1):
            at_ns = begin_ns + 3600 * hour * NS_PER_S
            tables.boots.add_anchor(
                Anchor(boot_no, at_ns, (begin_utc_s + 3600 * hour) * NS_PER_S, 500, "system")
            )
        part: list[Packet] = []
        for packet in packets(rr_ms, begin_ns, days * DAY_S):
            part.append(packet)
            if len(part) == CHUNK_S:
                tables.raw_chunks.append(HeartChunk(strap, boot_no, tuple(part)))
                part = []
        for first in range(0, days, 10):
            start_s = begin_utc_s + first * DAY_S
            session = tables.sessions.begin(
                cgm,
                uuid4(),
                told_start_utc_s=start_s,
                start_boot_no=boot_no,
                start_boot_ns=begin_ns + first * DAY_S * NS_PER_S,
                start_utc_s=start_s,
                start_error_ms=500,
                run_time_h=240,
            )
            readings = [
                Reading(
                    m,
                    60 * m,
                    120 + 60 * math.sin(m / 90),
                    None,
                    None,
                    0,
                    None,
                    boot_no,
                    begin_ns + (first * DAY_S + 60 * m) * NS_PER_S,
                    fetched=False,
                )
                for m in range(0, min(10, days - first) * 1440, 5)
            ]
            tables.readings.insert(session.no, "glucose", readings)


def filled(directory: Path, rr_ms: list[float], days: int) -> tuple[Config, Clock, Gateway]:
    """A gateway that does not run, and has so long a history; made in the loop that it would run in."""
    home = Home.of(1, 1)
    checked = rig.config(directory, home)
    limits = msgspec.structs.replace(checked.limits, raw_retention_days=days + 1, retention_days=4000)
    checked = msgspec.structs.replace(checked, limits=limits)
    clock = Clock(NOW_UTC_S, NOW_UTC_S - (days + 1) * DAY_S)
    gateway = rig.machine(checked, home, clock).open()
    strap, cgm = (next(row.no for row in gateway.rows if row.kind == kind) for kind in ("heart_rate", "cgm"))
    fill(gateway.store.tables, clock, gateway.boot_no, strap, cgm, days, rr_ms)
    return checked, clock, gateway


def read_rr(path: Path) -> list[float]:
    with gzip.open(path, "rt", newline="") as file:
        return [float(row["rr_ms"]) for row in csv.DictReader(file)]


async def measure(directory: Path, rr_ms: list[float], days: int) -> None:
    checked, clock, gateway = filled(directory, rr_ms, days)
    tables = gateway.store.tables
    now = Now(clock.utc_s, gateway.boot_no, clock.boot_ns())
    for _ in range(2):
        began_s, before = default_timer(), Spent.now()
        work = Reprocessing(checked, gateway.identity, tables, tables.boots.timeline(), now)
        *_, done = work.run("bench")
        passed_s, spent_s = default_timer() - began_s, Spent.now().since(before).cpu_s
        print(
            f"{done.periods} periods of {days} days, {done.revisions} new: {passed_s:.1f} s, CPU {spent_s:.1f} s"
        )
    gateway.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rr", type=Path, metavar="RR.csv.gz", nargs="?", default=RECORDING)
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        run(measure(Path(directory), read_rr(given.rr), given.days))


if __name__ == "__main__":
    main()
