"""What must be true of a gateway's store and of what it sent, held against what the world knows.

Each function yields what is wrong, a line each; nothing is what it should be. Records that a sensor no longer holds
may be missing; whatever is stored must be true.
"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from schedule_world import RR_TICKS, Wearer, World, person_of

from edge.app import Gateway
from edge.local.status import StatusDocument
from edge.store.sessions import GivenUp
from protocols import heart_rate
from protocols.cgm import CgmMeasurement

LOINC = "http://loinc.org"
# A report that was over without a record so often may cost it: the gateway asks three times.
WITHHELD_MIN = 2
# Where a session began is known to the minute, or as another clock told it.
PLACED_S = 300.0
TIME_SET_S = 120.0
# A chunk of heart packets, and the commit after it.
OPEN_CHUNK_S = 60.0
REQUESTS_S = 600.0
REQUESTS_MAX, REQUESTS_AN_OCCASION = 12, 4


class StoredSession(NamedTuple):
    """A session as the gateway has it."""

    no: int
    is_current: bool
    is_trusted: bool
    values: dict[int, float | None]
    given_up: list[GivenUp]


def stored_sessions(gateway: Gateway, wearer: Wearer) -> list[StoredSession]:
    tables = gateway.store.tables
    row = next(row for row in gateway.rows if row.id == wearer.cgm_id)
    found = []
    for session in tables.sessions.of_sensor(row.no):
        rows = tables.database.read("SELECT sequence, value FROM readings WHERE session_no = ?", session.no)
        given_up = tables.sessions.given_up(session.no)
        is_trusted = session.start_error_ms is not None
        found.append(StoredSession(session.no, session.ended is None, is_trusted, dict(rows), given_up))
    return found


def value_of(record: CgmMeasurement) -> float | None:
    return record.glucose_mg_dl if isinstance(record.glucose_mg_dl, float) else None


def true_session(wearer: Wearer, stored: StoredSession) -> int | None:
    """Which of the wearer's sessions these readings are of; None if they are of none."""
    numbered = enumerate(wearer.taken)
    fitting = [number for number, taken in numbered if _is_of(stored.values, taken)]
    return fitting[-1] if fitting else None


def _is_of(values: dict[int, float | None], taken: dict[int, CgmMeasurement]) -> bool:
    return all(offset in taken and value_of(taken[offset]) == value for offset, value in values.items())


def wrong_sessions(world: World, gateway: Gateway) -> Iterator[str]:
    """Readings in the wrong session, of another person, or in two sessions."""
    for wearer in world.wearers:
        seen: Counter[int] = Counter()
        for stored in stored_sessions(gateway, wearer):
            alien = [v for v in stored.values.values() if v is not None and person_of(v) != wearer.number]
            if alien:
                yield f"{wearer.cgm_id}: session {stored.no} holds {len(alien)} readings of somebody else"
            number = true_session(wearer, stored)
            ahead = [r.time_offset_min for r in wearer.cgm.future if r.time_offset_min in stored.values]
            if ahead:
                yield f"{wearer.cgm_id}: session {stored.no} holds records of the future: {ahead}"
            if number is None:
                yield f"{wearer.cgm_id}: session {stored.no} holds readings of no one session: {stored.values}"
            elif stored.values:
                seen[number] += 1
        yield from (
            f"{wearer.cgm_id}: session {number} is stored as {count}"
            for number, count in seen.items()
            if count > 1
        )


def missing_records(world: World, gateway: Gateway) -> Iterator[str]:
    """What the sensor holds and is neither stored nor listed with its reason; and what was given up too soon."""
    for wearer in world.wearers:
        now = len(wearer.taken) - 1
        own = [s for s in stored_sessions(gateway, wearer) if s.is_current and true_session(wearer, s) == now]
        values = own[0].values if own else {}
        notes = own[0].given_up if own else []
        for record in wearer.cgm.session.stored:
            offset = record.time_offset_min
            if offset in values:
                continue
            note = next((note for note in notes if note.first <= offset <= note.last), None)
            withheld = wearer.cgm.withheld[offset]
            if note is None:
                yield f"{wearer.cgm_id}: minute {offset} is missing, withheld {withheld} times"
            elif not note.reason or withheld < WITHHELD_MIN:
                yield f"{wearer.cgm_id}: minute {offset} was given up ({note}), withheld {withheld} times"


def unshown(world: World, gateway: Gateway, shown: StatusDocument) -> Iterator[str]:
    """What the newest session lacks for good has to be listed with its reason."""
    for wearer in world.wearers:
        sensor = next(sensor for sensor in shown.sensors if sensor.id == wearer.cgm_id)
        given_up = [note[:4] for s in stored_sessions(gateway, wearer) if s.is_current for note in s.given_up]
        listed = [] if sensor.session is None else sensor.session.given_up_newest
        listing = {(note.first, note.last, note.reason, note.tries) for note in listed}
        yield from (
            f"{wearer.cgm_id}: {note} is given up and not shown" for note in given_up if note not in listing
        )


def unsent(gateway: Gateway) -> Iterator[str]:
    waiting = gateway.store.tables.database.read(
        "SELECT state, kind, ref FROM deliveries WHERE state <> 'acked'"
    )
    yield from (f"{kind} {ref} is {state}" for state, kind, ref in waiting)


def wrong_days(world: World, gateway: Gateway, known: set[tuple[int, int]]) -> Iterator[str]:
    """Days that were closed as final before they were over or complete. `known`: those looked at already."""
    tables = gateway.store.tables
    rows = tables.database.read(
        "SELECT sensor_no, start_utc_s, end_utc_s, status FROM summaries WHERE kind = 'glucose_day'"
        " AND status <> 'preliminary'"
    )
    for sensor_no, start_s, end_s, status in rows:
        wearer = next(w for w in world.wearers if tables.sensors.get(sensor_no).id == w.cgm_id)
        if status == "amended" and not may_come_after_all(wearer):
            yield f"the day of {start_s} of sensor {sensor_no} was amended: it had been closed too early"
        if (sensor_no, start_s) in known:
            continue
        known.add((sensor_no, start_s))
        if world.utc_s < end_s - 1.0:
            yield f"the day of {start_s} of sensor {sensor_no} was closed {end_s - world.utc_s:.0f} s before its end"
        yield from _incomplete(world, gateway, wearer, start_s, end_s)


def may_come_after_all(wearer: Wearer) -> bool:
    """Whether a record may have come that had been given up, or was between two that seemed to follow each other."""
    return max(wearer.cgm.withheld.values(), default=0) >= WITHHELD_MIN or bool(wearer.clock_was_set)


def _incomplete(world: World, gateway: Gateway, wearer: Wearer, start_s: int, end_s: int) -> Iterator[str]:
    now = len(wearer.taken) - 1
    if now in wearer.clock_was_set:
        return
    missing = {
        int(line.split("minute ")[1].split()[0])
        for line in missing_records(world, gateway)
        if wearer.cgm_id in line
    }
    begun_s = world.utc_s - world.now_s
    for record in wearer.cgm.session.stored:
        offset = record.time_offset_min
        taken_s = begun_s + wearer.taken_s[now, offset]
        if offset in missing and start_s + PLACED_S < taken_s < end_s - PLACED_S:
            yield f"{wearer.cgm_id}: the day of {start_s} was closed without minute {offset}"


# Hearts


def wrong_beats(world: World, gateway: Gateway) -> Iterator[str]:
    """Packets of somebody else, stored twice, or lost although there was time to store them."""
    tables = gateway.store.tables
    for wearer in world.wearers:
        row = next((row for row in gateway.rows if row.id == wearer.strap_id), None)
        if row is None:
            continue
        packets: Counter[int | None] = Counter()
        for boot_no in tables.raw_chunks.boots(row.no):
            for chunk in tables.raw_chunks.between(row.no, boot_no, -(1 << 60), 1 << 60):
                for packet in chunk.packets:
                    reading = heart_rate.decode(packet.payload)
                    packets[reading.energy_kj] += 1
                    if reading.rr_ticks is None or reading.rr_ticks[0] != RR_TICKS + wearer.number:
                        yield f"{wearer.strap_id}: a packet of somebody else"
        yield from (f"{wearer.strap_id}: packet {n} is stored {k} times" for n, k in packets.items() if k > 1)
        if not world.disk_failed:
            for at_s, number in wearer.beats:
                is_lost = number not in packets and at_s + OPEN_CHUNK_S < world.now_s
                if is_lost and not any(
                    at_s <= kill_s <= at_s + OPEN_CHUNK_S for kill_s in world.machine.kills_s
                ):
                    yield f"{wearer.strap_id}: packet {number} of {at_s:.0f} s is lost, and nobody was killed"


# What went up


def wrong_deliveries(gateway: Gateway) -> Iterator[str]:
    """Rows of one person's that name a thing of another's; readings that count and are not announced."""
    tables = gateway.store.tables
    for kind, ref, person in tables.database.read("SELECT kind, ref, person FROM deliveries"):
        if kind == "cgm_reading":
            sensor_no = tables.sessions.get(int(ref.split("/")[0])).sensor_no
        else:
            sensor_no = int(ref.split("/")[1])
        if tables.sensors.get(sensor_no).person != person:
            yield f"{kind} {ref} is delivered for {person}, but is of sensor {sensor_no}"
    unannounced = tables.database.read(
        "SELECT session_no, sequence FROM readings JOIN sessions ON no = session_no WHERE not_counted IS NULL"
        " AND start_error_ms IS NOT NULL AND NOT EXISTS (SELECT 1 FROM deliveries WHERE kind = 'cgm_reading'"
        " AND ref = session_no || '/' || measurement || '/' || sequence)"
    )
    yield from (
        f"reading {sequence} of session {no} counts and is not announced" for no, sequence in unannounced
    )


def wrong_bundles(world: World, gateway: Gateway) -> Iterator[str]:
    """Bundles of two people, values of another, one reading under two ids, or at another time than it was taken."""
    by_patient = {f"Patient/p-{wearer.name}": wearer for wearer in world.wearers}
    ids: dict[tuple[str, str, float], set[str]] = {}
    sent: set[str] = set()
    for file in sorted((world.directory / "bundles").glob("*.json")):
        resources = [entry["resource"] for entry in json.loads(file.read_bytes())["entry"]]
        observations = [resource for resource in resources if resource["resourceType"] == "Observation"]
        patients = {observation["subject"]["reference"] for observation in observations}
        if len(patients) != 1:
            yield f"{file.name} is of {sorted(patients)}"
        for observation in observations:
            if {"system": LOINC, "code": "99504-3"} in observation["code"]["coding"]:
                wearer = by_patient[observation["subject"]["reference"]]
                value = observation["valueQuantity"]["value"]
                sent.add(observation["id"])
                key = (wearer.name, observation["effectiveDateTime"], value)
                ids.setdefault(key, set()).add(observation["id"])
                yield from _wrong_reading(world, wearer, observation)
    yield from (f"{key} went up under {len(names)} ids" for key, names in ids.items() if len(names) > 1)
    ((announced,),) = gateway.store.tables.database.read(
        "SELECT count(*) FROM deliveries WHERE kind = 'cgm_reading'"
    )
    if len(sent) != announced:
        yield f"{len(sent)} readings went up, {announced} are in the store"


def _wrong_reading(world: World, wearer: Wearer, observation: dict[str, Any]) -> Iterator[str]:
    value = observation["valueQuantity"]["value"]
    if person_of(value) != wearer.number:
        yield f"{wearer.name} was sent {value}, which is somebody else's"
    said_s = datetime.fromisoformat(observation["effectiveDateTime"]).timestamp()
    begun_s = world.utc_s - world.now_s
    times = [
        begun_s + at_s
        for (session, offset), at_s in wearer.taken_s.items()
        if session in wearer.clock_was_set
        or (wearer.taken[session][offset].glucose_mg_dl == value and abs(begun_s + at_s - said_s) <= PLACED_S)
    ]
    if not times and not any(record.glucose_mg_dl == value for record in wearer.cgm.future):
        yield f"{wearer.name} was sent {value} at {said_s}, which was not measured then"


# What was asked and written


def wrong_writes(world: World) -> Iterator[str]:
    """Times written into a sensor that were not the time."""
    for wearer in world.wearers:
        for at_s, told in wearer.cgm.times_set:
            told_s, true_s = told.utc_seconds(), world.utc_s - world.now_s + at_s
            if told_s is None or abs(told_s - true_s) > TIME_SET_S:
                yield f"{wearer.cgm_id} was told at {at_s:.0f} s that it is {told_s}, and it was {true_s:.0f}"


def wrong_requests(world: World) -> Iterator[str]:
    """Sensors that were asked for records more often than any back-off allows."""
    for wearer in world.wearers:
        times_s = [at_s for at_s, _ in wearer.cgm.requests]
        occasions_s = [
            *world.machine.starts_s,
            *wearer.cgm.connected_s,
            *wearer.cgm.news_s,
            *(at_s for at_s in wearer.taken_s.values() if at_s >= 0),
        ]
        for at_s in times_s:
            asked = sum(at_s <= other_s < at_s + REQUESTS_S for other_s in times_s)
            occasions = sum(at_s - REQUESTS_S <= other_s < at_s + REQUESTS_S for other_s in occasions_s)
            if asked > REQUESTS_MAX + REQUESTS_AN_OCCASION * occasions:
                when = f"in ten minutes from {at_s:.0f} s, on {occasions} occasions"
                yield f"{wearer.cgm_id} was asked {asked} times {when}"
                break
