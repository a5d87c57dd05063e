"""What is learnt about a wearer goes from session to session, whichever sensor each was of, and to nobody else."""

import zlib
from uuid import UUID

import numpy as np
from cgm_parts import CGM, CONFIG, MemoryStore
from msgspec import structs

from dsp.glucose import realtime
from edge.now import wearers
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.tables import Tables

OTHER = structs.replace(CONFIG.people[0], id="ben", pseudonym="p-ben")
PEOPLE = (*CONFIG.people, OTHER)


def wear(tables: Tables, sensor_no: int, number: int, level: float) -> Session:
    """A session with five hours of readings, which ends the sensor's former one."""
    session = tables.sessions.begin(
        sensor_no,
        UUID(int=number),
        told_start_utc_s=None,
        start_boot_no=1,
        start_boot_ns=0,
        start_utc_s=0,
        start_error_ms=0,
        run_time_h=None,
    )
    values = level + 30.0 * np.sin(np.arange(60) / 9.0 + number)
    readings = [
        Reading(5 * k, 300 * k, round(value), None, None, 0, "low quality" if k == 30 else None, 1, 0, False)
        for k, value in enumerate(values.tolist())
    ]
    tables.readings.insert(session.no, "glucose", readings)
    return session


def taught(*sessions: tuple[int, float]) -> bytes:
    """By the readings of these sessions, one after the other."""
    wearer = realtime.new_wearer()
    for number, level in sessions:
        values = np.round(level + 30.0 * np.sin(np.arange(60) / 9.0 + number))
        values[30] = np.nan
        realtime.follow(wearer, 5.0 * np.arange(60), values)
        realtime.begin_session(wearer)
    return realtime.dump(wearer)


def test_a_session_begins_with_what_the_wearers_sensors_have_taught() -> None:
    tables = MemoryStore().tables
    second = structs.replace(CGM, id="cgm-2", address="F0:00:00:00:00:12")
    others = structs.replace(CGM, id="cgm-3", address="F0:00:00:00:00:13", person="ben")
    with tables.database.transaction():
        first_no, others_no = (
            row.no for row in tables.sensors.register([CGM, others], PEOPLE, boot_no=1, boot_ns=0)
        )
        one = wear(tables, first_no, 1, 120.0)
        of_other = wear(tables, others_no, 2, 220.0)
        # The device is replaced: its session is over.
        second_no, _ = (
            row.no for row in tables.sensors.register([second, others], PEOPLE, boot_no=1, boot_ns=0)
        )
        two = wear(tables, second_no, 3, 150.0)
        three = wear(tables, second_no, 4, 160.0)
    assert wearers.learnt_before(tables, one) == realtime.dump(realtime.new_wearer())
    assert wearers.learnt_before(tables, of_other) == realtime.dump(realtime.new_wearer())
    assert wearers.learnt_before(tables, two) == taught((1, 120.0))
    assert wearers.learnt_before(tables, three) == taught((1, 120.0), (3, 150.0))


def test_it_is_kept_and_what_is_kept_is_not_computed_again() -> None:
    tables = MemoryStore().tables
    with tables.database.transaction():
        (row,) = tables.sensors.register([CGM], PEOPLE, boot_no=1, boot_ns=0)
        wear(tables, row.no, 1, 120.0)
        two = wear(tables, row.no, 2, 150.0)
        wearers.keep(tables, two)
        # The former session has been deleted, as it is older than data are kept.
        tables.database.write("DELETE FROM readings WHERE session_no <> ?", two.no)
        tables.sessions.delete(two.no - 1)
        three = wear(tables, row.no, 3, 160.0)
    assert wearers.learnt_before(tables, three) == taught((1, 120.0), (2, 150.0))
    for body in (b"", zlib.compress(b"vgw0"), zlib.compress(taught())[:-3]):
        with tables.database.transaction():
            tables.blobs.put(wearers.KIND, two.no, wearers.VERSION, body)
        assert wearers.kept(tables, two.no) is None
        assert wearers.learnt_before(tables, three) == taught((2, 150.0))
