"""Things to put into a store, for its tests."""

import shutil
from pathlib import Path
from random import Random
from uuid import UUID

from edge_parts import IDENTITY, MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store

from edge.store.alerts import AlertEvent
from edge.store.database import PAGE_BYTES
from edge.store.door import Store, Tables
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.workers import inline

SECOND_NS = 1_000_000_000
DAY_S = 86_400
# Of the log of a database.
FRAME_BYTES = 24 + PAGE_BYTES


def chunk(
    first_boot_ns: int, last_boot_ns: int, boot_no: int = 1, payload: bytes = b"\x00\x3c"
) -> HeartChunk:
    """A chunk of the strap: one packet, or two with a pause in between."""
    arrivals = sorted({first_boot_ns, last_boot_ns})
    return HeartChunk(1, boot_no, tuple(Packet(payload, arrival, NO_BEAT) for arrival in arrivals))


def beats(first_s: int, count: int, rng: Random, boot_no: int = 1, sensor_no: int = 1) -> HeartChunk:
    """Some seconds of a strap as it is worn: a packet a second, intervals in most."""
    packets = []
    for n in range(count):
        arrival_ns = (first_s + n) * SECOND_NS + rng.randrange(50_000_000) // 1000 * 1000
        with_rr = rng.random() < 0.95
        rr = rng.randrange(780, 880).to_bytes(2, "little") if with_rr else b""
        beat_ns = arrival_ns - rng.randrange(1_000_000) * 1000 if with_rr else NO_BEAT
        packets.append(
            Packet(bytes([0x10 if with_rr else 0x00, rng.randrange(68, 78)]) + rr, arrival_ns, beat_ns)
        )
    return HeartChunk(sensor_no, boot_no, tuple(packets))


def reading(sequence: int, value: float | None = 100.0, *, fetched: bool = False) -> Reading:
    return Reading(sequence, 60 * sequence, value, None, 2.5, 0x010203, None, 1, 42, fetched)


def alert_event(
    rule: str,
    what: str = "raised",
    *,
    sensor_no: int | None = 2,
    ordinal: int = 1,
    boot_no: int = 1,
    boot_ns: int = 0,
    value: float | None = None,
) -> AlertEvent:
    """An event of an alert; its id is made of what it is, as in the gateway."""
    return AlertEvent(
        id=IDENTITY.id("alert", rule, str(sensor_no), ordinal, what),
        rule=rule,
        sensor_no=sensor_no,
        person=None if sensor_no is None else "p-7f3a",
        what=what,
        tier=0,
        ordinal=ordinal,
        step=0 if what == "raised" else 1,
        at_s=boot_ns / SECOND_NS,
        value=value,
        unit=None,
        urgent=False,
        reason=None,
        boot_no=boot_no,
        boot_ns=boot_ns,
    )


def begin(
    tables: Tables, sensor_no: int = 2, start_utc_s: int = MIDNIGHT_UTC_S, trusted: bool = True
) -> Session:
    number = len(tables.sessions.of_sensor(sensor_no)) + 1
    return tables.sessions.begin(
        sensor_no,
        UUID(int=1000 * sensor_no + number),
        told_start_utc_s=start_utc_s,
        start_boot_no=1,
        start_boot_ns=0,
        start_utc_s=start_utc_s,
        start_error_ms=500 if trusted else None,
        run_time_h=240,
    )


def session_of(store: Store) -> Session:
    return in_transaction(store, begin)


def filled(directory: Path, chunks: int = 160, readings: int = 300) -> Path:
    """A closed database with some pages of every kind; the path of it."""
    store = open_store(minimal_config(directory))
    rng = Random(1)

    def fill(tables: Tables) -> None:
        session = begin(tables)
        tables.readings.insert(session.no, "glucose", [reading(n) for n in range(readings)])
        for n in range(chunks):
            tables.raw_chunks.append(chunk(n, n + 1, payload=rng.randbytes(9000 if n % 20 == 0 else 300)))

    in_transaction(store, fill)
    store.close()
    return store.path


def reopened(path: Path) -> Store:
    return Store(path, IDENTITY, simulated=True, workers=inline())


def crashed(directory: Path, commits: int = 6) -> Path:
    """What a killed process left: some commits, of which all but the first page are in the log; the path of it."""
    store = open_store(minimal_config(directory))
    for n in range(2, 2 + commits):
        in_transaction(store, lambda tables, n=n: tables.boots.note(f"boot-{n}"))  # type: ignore[misc]
    copy = directory / "crashed"
    shutil.copytree(store.path.parent, copy, ignore=shutil.ignore_patterns("*-shm"))
    store.close()
    return copy / store.path.name


def frame_at(number: int, byte: int = 28) -> int:
    """Where a byte of a frame of the log is; without a number a byte of its page."""
    return 32 + number * FRAME_BYTES + byte
