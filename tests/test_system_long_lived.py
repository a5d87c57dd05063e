"""A gateway on the store of a year: what is too old goes, while what comes in is kept, and the rest stays as it is."""

import asyncio
from pathlib import Path
from random import Random

from msgspec import structs

from edge.app import Gateway
from hw_sim.clock import VirtualClock, run
from tools.bench.gateway import rig
from tools.bench.gateway.feed import LEAD_S, MIDNIGHT_UTC_S, Home, recorded
from tools.bench.gateway.history import Builder, Clock
from tools.rig.home.machine import Machine, direct

DAY_S = 86_400
DAYS, KEPT_DAYS, RAW_DAYS, KEPT_RAW_DAYS = 368, 365, 2, 1
HOURS = 1.5
# What is too old is looked for once an hour, and a day is deleted as a whole.
SLACK_S = 3600 + DAY_S
OLDEST = {
    "summaries": "SELECT min(start_utc_s) FROM summaries WHERE kind = 'heart_5min'",
    "readings": "SELECT min(sessions.start_utc_s + at_s) FROM readings JOIN sessions ON no = session_no",
}


def oldest_utc_s(gateway: Gateway, what: str) -> int:
    ((utc_s,),) = gateway.store.tables.database.read(OLDEST[what])
    return int(utc_s)


def count(gateway: Gateway, table: str) -> int:
    ((rows,),) = gateway.store.tables.database.read(f"SELECT count(*) FROM {table}")
    return int(rows)


async def live(directory: Path) -> None:
    home, packets = Home.of(1, 1), recorded(HOURS)
    config = rig.config(directory, home)
    limits = structs.replace(config.limits, retention_days=KEPT_DAYS, raw_retention_days=KEPT_RAW_DAYS)
    config = structs.replace(config, limits=limits)
    up_s = (DAYS + 1) * DAY_S
    booted_utc_s = round(MIDNIGHT_UTC_S - LEAD_S) - up_s
    machine = Machine(
        lambda: config,
        direct(home.stack),
        zero_utc_s=MIDNIGHT_UTC_S - LEAD_S,
        new_rng=Random,
        other_clock=VirtualClock(booted_utc_s * 10**9, "boot-1", booted_ns=-up_s * 10**9),
    )
    gateway = machine.open()
    strap_no, cgm_no = (row.no for row in gateway.rows)
    Builder(gateway, Clock(booted_utc_s + up_s, booted_utc_s), DAYS, RAW_DAYS).build([strap_no], [cgm_no])
    gateway.close()
    gateway = machine.start()
    assert all(oldest_utc_s(gateway, what) < MIDNIGHT_UTC_S - (DAYS - 1) * DAY_S for what in OLDEST)
    chunks = count(gateway, "raw_chunks")
    sending = asyncio.ensure_future(home.send(packets))
    await machine.for_s(LEAD_S + HOURS * 3600 + 120)
    await sending
    kept_utc_s = MIDNIGHT_UTC_S - KEPT_DAYS * DAY_S
    for what in OLDEST:
        assert kept_utc_s - SLACK_S <= oldest_utc_s(gateway, what) <= kept_utc_s + SLACK_S
    assert count(gateway, "raw_chunks") < 0.6 * chunks
    # What came in meanwhile is there, and nobody noticed anything.
    tables = gateway.store.tables
    session = tables.sessions.of_sensor(cgm_no)[-1]
    stored = tables.readings.sequences(session.no, "glucose")
    assert [record.time_offset_min for record in home.cgms[0].session.stored] == stored
    windows = tables.summaries.between("heart_5min", MIDNIGHT_UTC_S, MIDNIGHT_UTC_S + 3600)
    assert [summary.body["coverage_pct"] > 95 for summary in windows] == [True] * 12
    status = await gateway.status()
    assert status.store.trouble is None
    assert [(sensor.losses, sensor.dropped) for sensor in status.sensors] == [(0, 0), (0, 0)]
    await machine.stop()


def test_the_store_of_a_year_is_purged_while_it_goes_on(tmp_path: Path) -> None:
    run(live(tmp_path))
