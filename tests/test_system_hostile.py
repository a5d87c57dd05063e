"""Sensors that mean harm neither stop the gateway nor take anything from the strap beside them, in virtual time."""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from direct_home import direct_home

from edge.app import Gateway
from hw_sim.clock import run
from hw_sim.radio.direct_stack import DirectStack, Peripheral
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.hostile import (
    EndlessCgm,
    Flood,
    FloodingCgm,
    FloodingStrap,
    LyingCgm,
    answers_to_nothing,
    lying_answers,
    lying_records,
)
from protocols import cgm, cgm_profile, heart_rate, uuids
from protocols.cgm import CgmMeasurement
from protocols.cgm_profile import CgmProfile
from protocols.heart_rate import HeartRateMeasurement
from tools.rig.home.machine import Machine
from tools.rig.language.scenario import CGM, Scenario, Sensor, home_of

BESIDE = Sensor(id="other", kind="heart_rate", address="F0:00:00:00:00:09")
BAD = "F0:00:00:00:00:02"
# What a gateway may hold more in the second half of the time: open packets, a few chunks.
BLOCKS_MORE_MAX = 30_000
LATE_S_MAX = 1.0


@dataclass
class Beside:
    """A strap that sends once a second, and how late the gateway knew of it."""

    strap: DirectStrap = field(default_factory=lambda: DirectStrap(str(BESIDE.address)))
    late_s: float = 0.0
    bpm: Iterator[int] = field(default_factory=lambda: itertools.cycle(range(60, 100)))

    async def live(self, machine: Machine) -> None:
        while True:
            bpm = next(self.bpm)
            sent_s = machine.now_s
            is_heard = self.strap.send(heart_rate.encode(HeartRateMeasurement(bpm, contact=True)))
            await asyncio.sleep(0.5)
            fact = machine.gateway.facts.newest("other", "heart_rate")
            if is_heard and (fact is None or fact.value != bpm):
                self.late_s = max(self.late_s, machine.now_s - sent_s + 0.5)
            await asyncio.sleep(sent_s + 1.0 - machine.now_s)


@dataclass
class Seen:
    """What a gateway was like beside a hostile sensor."""

    gateway: Gateway
    beside: Beside
    blocks: list[int]
    tasks: list[int]

    def check(self) -> None:
        """It runs, nothing was taken from the other strap, and it holds no more than before."""
        assert self.beside.strap.sent > 50
        assert self.beside.late_s <= LATE_S_MAX
        assert self.gateway.inbox.dropped["other"] == 0
        sensor: Any = self.gateway.sensors["other"]
        assert sensor.packets == self.beside.strap.sent
        half = len(self.blocks) // 2  # what is loaded or computed for the first time is here by then
        assert max(self.blocks[half:]) - self.blocks[half - 1] < BLOCKS_MORE_MAX, self.blocks
        assert max(self.tasks) <= 25, self.tasks


def beside_hostile(
    directory: Path,
    scenario: Scenario,
    hostile: Callable[[], Peripheral],
    *,
    lasts_s: float,
    meanwhile: Callable[[DirectStack], Awaitable[None]] | None = None,
    judge: Callable[[Machine, Any], None] = lambda *_: None,
) -> None:
    async def main() -> None:
        stack, beside, bad = DirectStack(), Beside(), hostile()
        async with direct_home(directory, scenario, bad, beside.strap, stack=stack) as machine:
            machine.start()
            living = asyncio.ensure_future(beside.live(machine))
            acting = asyncio.ensure_future(meanwhile(stack)) if meanwhile else None
            seen = Seen(machine.gateway, beside, [], [])
            for _ in range(12):
                await asyncio.sleep(lasts_s / 12)
                assert machine.is_running, "the gateway has ended by itself"
                seen.blocks.append(sys.getallocatedblocks())
                seen.tasks.append(len(asyncio.all_tasks()))
            for task in (living, acting):
                if task is not None:
                    task.cancel()
            await asyncio.sleep(1.0)
            seen.check()
            judge(machine, bad)

    run(main())


def records(gateway: Gateway, row_no: int) -> list[int]:
    tables = gateway.store.tables
    session = tables.sessions.current(row_no)
    return [] if session is None else tables.readings.sequences(session.no, "glucose")


def now_s() -> float:
    return asyncio.get_running_loop().time()


PLAIN = heart_rate.encode(HeartRateMeasurement(72, contact=True, rr_ticks=(850,)))
CHUNKS: dict[str, Any] = {"limits": {"chunk_s": 10.0}}
STRAPS = home_of(Sensor(id="bad", kind="heart_rate", address=BAD), BESIDE, gateway=CHUNKS)
WITH_CGM = home_of(CGM, BESIDE, gateway=CHUNKS)


@pytest.mark.parametrize(
    "payloads", [lambda: itertools.repeat(PLAIN), lambda: itertools.repeat(b"\x16")], ids=["right", "wrong"]
)
def test_ten_thousand_notifications_a_second_for_a_minute(
    tmp_path: Path, payloads: Callable[[], Iterator[bytes]]
) -> None:
    def judge(machine: Machine, bad: FloodingStrap) -> None:
        assert bad.flood.sent >= 550_000
        tables, row = machine.gateway.store.tables, machine.gateway.rows[0]
        chunks = tables.raw_chunks.between(row.no, machine.gateway.boot_no, 0, 1 << 62)
        # No heart needs more than some packets a second.
        assert sum(len(chunk.packets) for chunk in chunks) <= 9 * 1024
        dropped = machine.gateway.sensors["bad"].live().dropped + machine.gateway.inbox.dropped["bad"]
        assert dropped + machine.gateway.intake.undecodable["bad"] > 500_000

    def hostile() -> FloodingStrap:
        flood = Flood(uuids.HEART_RATE_MEASUREMENT, payloads(), per_s=10_000.0, lasts_s=60.0)
        return FloodingStrap(BAD, flood)

    beside_hostile(tmp_path, STRAPS, hostile, lasts_s=72.0, judge=judge)


@pytest.mark.parametrize(
    ("characteristic", "payloads"),
    [
        (uuids.CGM_MEASUREMENT, lambda: lying_records(3)),
        (
            uuids.CGM_MEASUREMENT,
            lambda: itertools.repeat(cgm.encode_measurement(CgmMeasurement(99.0, 7), crc=True)),
        ),
        (uuids.RACP, lambda: lying_answers(4)),
        (uuids.RACP, answers_to_nothing),
    ],
    ids=["lying records", "one record", "lying answers", "success"],
)
def test_a_cgm_that_floods_what_makes_no_sense(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    characteristic: str,
    payloads: Callable[[], Iterator[bytes]],
) -> None:
    tried = Counter[str]()
    suited = cgm_profile.suited

    def counted(*args: Any) -> CgmProfile:
        tried["profiles"] += 1
        return suited(*args)

    monkeypatch.setattr(cgm_profile, "suited", counted)

    def judge(machine: Machine, bad: FloodingCgm) -> None:
        assert bad.flood.sent > 15_000
        # To look for another way to read a sensor takes longer than to read it.
        assert tried["profiles"] < 50
        # 5 and 7 are what the flood says; nothing else may have been made of it.
        assert set(records(machine.gateway, machine.gateway.rows[0].no)) <= {5, 7}

    def hostile() -> FloodingCgm:
        return FloodingCgm(
            BAD, Flood(characteristic, payloads(), per_s=1000.0, lasts_s=20.0), began_s=now_s() - 600.0
        )

    beside_hostile(tmp_path, WITH_CGM, hostile, lasts_s=90.0, judge=judge)


def test_a_report_that_never_ends(tmp_path: Path) -> None:
    def judge(machine: Machine, bad: EndlessCgm) -> None:
        assert bad.told > 3_600
        # It is given up after an hour, with its link, and its records are here.
        assert machine.gateway.contacts["cgm"].state.losses >= 1
        held = [record.time_offset_min for record in bad.held]
        assert records(machine.gateway, machine.gateway.rows[0].no) == held

    def hostile() -> EndlessCgm:
        made = EndlessCgm(BAD, began_s=now_s() - 3600.0, per_s=1.0)
        for n in range(12):
            made.session.take(made.session.began_s + 300.0 * n, 100.0 + n)
        return made

    beside_hostile(tmp_path, WITH_CGM, hostile, lasts_s=1.5 * 3600.0, judge=judge)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_values_of_any_length(tmp_path: Path, every: int) -> None:
    def hostile() -> LyingCgm:
        made = LyingCgm(BAD, began_s=now_s() - 3600.0, every=every, seed=every)
        for n in range(12):
            made.session.take(made.session.began_s + 300.0 * n, 100.0 + n)
        return made

    def judge(machine: Machine, bad: LyingCgm) -> None:
        tables, row = machine.gateway.store.tables, machine.gateway.rows[0]
        held = {record.time_offset_min: record.glucose_mg_dl for record in bad.held}
        for session in tables.sessions.of_sensor(row.no):
            for reading in tables.readings.between(session.no, "glucose", 0, 1 << 30):
                assert held[reading.sequence] == reading.value

    beside_hostile(tmp_path, WITH_CGM, hostile, lasts_s=1200.0, judge=judge)


def test_a_reconnect_storm_for_an_hour(tmp_path: Path) -> None:
    async def storm(stack: DirectStack) -> None:
        while True:
            await asyncio.sleep(1.0)
            stack.cut(BAD)

    def judge(machine: Machine, _: object) -> None:
        assert machine.gateway.contacts["bad"].state.losses > 20

    beside_hostile(tmp_path, STRAPS, lambda: DirectStrap(BAD), lasts_s=3600.0, meanwhile=storm, judge=judge)
