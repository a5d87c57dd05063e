"""Whatever a sensor, its link, the store and the gateway do: what the sensor still has is stored once, or listed.

A schedule is made of a seed: some hours in which things go wrong, and then some in which nothing does. A seed that
fails is printed; `VITALGATE_CGM_SEED=n` plays it alone. Thousands are played by

    .venv/bin/python -P -m pytest -m soak tests/test_edge_sensors_cgm_property.py
"""

import asyncio
import math
import os
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import pytest
from bleak.exc import BleakError
from cgm_parts import CGM, Gateway, ScriptedLink

from edge.errors import SensorLost
from edge.sensors.cgm_ledger import Loss
from edge.store.readings import Reading
from hw_sim.clock import run
from hw_sim.sensors.wayward_cgm import Manner, WaywardCgm
from protocols.cgm import CgmMeasurement, SensorStatus
from protocols.crc import Crc
from protocols.racp import Code, NumberResponse, OpCode, Operator, ResponseCode

WILD_S: Final = 9000.0
CALM_S: Final = 9000.0
EVENT_S: Final = 500.0
LIVE_WITHIN_S: Final = 2.0
# Two reports that could not be judged leave a third; what is given up was asked for so often at least.
WITHHELD_MIN: Final = 2
# A record that lies farther ahead of the sensor's clock is none, for now.
AHEAD_MIN: Final = 2
# In ten minutes: so much for each link, and for whatever goes wrong.
ASKS_PER_LINK: Final = 6
ASKS_MAX: Final = 70
ANY_OPERATOR: Final = frozenset(Operator)
MANNERS: Final = (
    Manner(newest_only=3),
    Manner(newest_only=0),
    Manner(omit_every=2),
    Manner(omit_every=7),
    Manner(repeat_every=3),
    Manner(shuffle_seed=1),
    Manner(stray=ResponseCode(OpCode.REPORT_NUMBER, Code.SUCCESS)),
    Manner(newest_only=0, stray=ResponseCode(OpCode.DELETE, Code.SUCCESS), is_silent=True),
    Manner(newest_only=0, response=ResponseCode(OpCode.REPORT, Code.NO_RECORDS)),
    Manner(newest_only=5, response=ResponseCode(OpCode.REPORT, Code.NOT_COMPLETED)),
    Manner(newest_only=0, response=ResponseCode(OpCode.REPORT, Code.SERVER_BUSY)),
    Manner(response=NumberResponse(7)),
    Manner(newest_only=9, is_silent=True),
    Manner(is_silent=True),
)
MISCOUNTS: Final = (
    1,
    -1,
    5,
    -100,
    ResponseCode(OpCode.REPORT, Code.SUCCESS),
    ResponseCode(4, Code.OP_CODE_UNSUPPORTED),
)


class World:
    """One schedule."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.gateway = Gateway(rng=random.Random(seed))
        self.interval_min = rng.choice([1, 5, 5, 5])
        age_min = rng.choice([0, 30, 200, 1000, 5000])
        self.sensor = WaywardCgm(
            CGM.address,
            began_s=-60.0 * age_min,
            capacity=rng.choice([40, 100, 4096]),
            crc=rng.choice([Crc.NONE, Crc.MCRF4XX, Crc.MCRF4XX]),
            operators=rng.choice(
                [
                    ANY_OPERATOR,
                    ANY_OPERATOR,
                    ANY_OPERATOR - {Operator.WITHIN_RANGE},
                    frozenset({Operator.ALL}),
                ]
            ),
            counts=rng.random() < 0.7,
            interleaves=rng.random() < 0.3,
        )
        self.taken: list[dict[int, float]] = [{}]  # by session of the sensor
        self.taken_at_s: dict[float, float] = {}  # by value
        self.link: ScriptedLink | None = None
        self.links_at_s: list[float] = []
        self.session_began_s = -math.inf
        self.late: list[str] = []
        self.log: list[str] = []
        self.spoilt: set[int] = set()
        self._process_ends: Callable[[], None] = lambda: None
        self._values = rng.sample(range(400, 2000), 1500)
        self._send, self.sensor._send = self.sensor._send, self._watched_send  # type: ignore[method-assign]
        first = age_min % self.interval_min
        for offset in range(max(first, age_min - 60 * self.interval_min), age_min, self.interval_min):
            if rng.random() < 0.95:
                self._fill(offset)
        if rng.random() < 0.5:
            self.gateway.clocks.error_ms, self.gateway.clocks.wrong_s = None, rng.choice([0.0, -1e8, 1e6])

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _value(self) -> float:
        """Each value comes once, so that a reading is known again."""
        return self._values.pop() / 10

    def _fill(self, offset: int) -> None:
        value = self._value()
        self.taken[-1][offset] = value
        self.sensor.session.stored.append(CgmMeasurement(value, offset))
        del self.sensor.session.stored[: -self.sensor.session._capacity]

    # The sensor measures

    async def live(self) -> None:
        while True:
            await asyncio.sleep(60.0 * self.interval_min + self.rng.uniform(-2.0, 2.0))
            if not self._values:
                return
            value = self._value()
            self.taken_at_s[value] = self.now_s
            record = self.sensor.take(value)
            if record is not None:
                self.taken[-1][record.time_offset_min] = value

    def _watched_send(self, records: Sequence[CgmMeasurement]) -> bool:
        has_passed = self._send(records)
        for record in records:
            self._watch(record, has_passed=has_passed)
        return has_passed

    def _watch(self, record: CgmMeasurement, *, has_passed: bool) -> None:
        value = record.glucose_mg_dl
        assert isinstance(value, float)
        taken_s = self.taken_at_s.get(value)
        age_min = self.sensor.session.offset_min(self.now_s) - record.time_offset_min
        is_news = taken_s is not None and self.now_s - taken_s < 30.0 and -AHEAD_MIN <= age_min < 10
        if has_passed and is_news and record.time_offset_min not in self.sensor.unreadable:
            asyncio.get_running_loop().call_later(LIVE_WITHIN_S, self._is_known, value, self.link)

    def _is_known(self, value: float, link: ScriptedLink | None) -> None:
        is_up = link is self.link and link is not None and link.direct.is_up
        if is_up and not any(fact.value == value for _, fact in self.gateway.facts.noted):
            self.late.append(f"{value} of {self.taken_at_s[value]:.0f} s")

    # What goes wrong

    async def events(self) -> None:
        happenings = [getattr(self, name) for name in dir(self) if name.startswith("happens_")]
        while True:
            await asyncio.sleep(self.rng.expovariate(1 / EVENT_S))
            happening = self.rng.choice(happenings)
            self.log.append(f"{self.now_s:.0f} {happening.__name__}")
            happening()

    def happens_cut(self) -> None:
        if self.link is not None:
            self.link.direct.cut_at = self.link.direct.packets + self.rng.randint(1, 40)

    def happens_gone(self) -> None:
        if self.link is not None:
            self.link.direct.cut()

    def happens_manners(self) -> None:
        self.sensor.manners.extend(self.rng.choices(MANNERS, k=self.rng.randint(1, 2)))
        self.happens_gone()

    def happens_miscount(self) -> None:
        self.sensor.miscounts.extend(self.rng.choices(MISCOUNTS, k=self.rng.randint(1, 2)))

    def happens_unreadable(self) -> None:
        stored = [record.time_offset_min for record in self.sensor.session.stored]
        self._spoil(self.rng.sample(stored, min(len(stored), self.rng.randint(1, 3))))

    def _spoil(self, offsets: Iterable[int]) -> None:
        self.spoilt.update(offsets)
        self.sensor.unreadable.update(self.spoilt)

    def happens_unreadable_next(self) -> None:
        clock_min = self.sensor.session.offset_min(self.now_s)
        self._spoil(range(clock_min, clock_min + 2 * self.interval_min))

    def happens_readable(self) -> None:
        self.sensor.unreadable.clear()

    def happens_future(self) -> None:
        offset = self.sensor.session.offset_min(self.now_s) + self.rng.randint(400, 4000)
        if offset < 0xFFFF and not self.sensor.future:
            self.sensor.future.append(CgmMeasurement(39.0, offset))

    def happens_clock(self) -> None:
        by_min = self.rng.choice([-8, 8, -3, 3, -60, 60, 200])
        # A new session whose clock is set at once may look like the last one.
        is_settled = self.now_s - self.session_began_s > 900.0
        if is_settled and self.sensor.session.offset_min(self.now_s) + by_min >= 0:
            self.sensor.set_clock(by_min * 60.0)

    def happens_clock_lost(self) -> None:
        self.sensor.session.start_time = None

    def happens_session(self) -> None:
        # One that begins when the last has hardly begun is not told from it; nor is one that begins amid a report.
        if self.sensor.session.offset_min(self.now_s) > 4 and self.sensor._report is None:
            self.sensor.begin_session()
            self.session_began_s = self.now_s
            self.taken.append({})

    def happens_slow_disk(self) -> None:
        self.gateway.store.delay_s = self.rng.choice([0.0, 0.05, 4.0, 30.0])

    def happens_full_disk(self) -> None:
        self.gateway.store.is_full = not self.gateway.store.is_full

    def happens_status(self) -> None:
        self.sensor.annunciation = self.rng.choice([SensorStatus(0), SensorStatus.TIME_SYNC_REQUIRED])

    def happens_trust(self) -> None:
        self.gateway.clocks.error_ms, self.gateway.clocks.wrong_s = 500, 0.0

    def happens_kill(self) -> None:
        self._restart(boots=False)

    def happens_reboot(self) -> None:
        self._restart(boots=True)

    def _restart(self, *, boots: bool) -> None:
        self._process_ends()
        self.gateway.store.kill()
        self.check_watermark()
        error_ms = self.rng.choice([None, 500])
        wrong_s = 0.0 if error_ms else self.rng.choice([0.0, -1e8])
        self.gateway.restart(boots=boots, error_ms=error_ms, wrong_s=wrong_s)
        if self.link is not None:
            self.link.direct.end()

    # The gateway

    async def links(self) -> None:
        while True:
            gateway = self.gateway
            link = self.link = gateway.link(self.sensor)
            self.links_at_s.append(self.now_s)
            cgm, intake = gateway.cgm, gateway.intake
            tasks = [asyncio.ensure_future(t) for t in (cgm.converse(link), intake.run(), link.lost.wait())]  # type: ignore[arg-type]
            self._process_ends = lambda tasks=tasks: [task.cancel() for task in tasks]  # type: ignore[misc]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            assert tasks[1].cancelled(), tasks[1].exception()
            if not tasks[0].cancelled():
                with suppress(BleakError, SensorLost):
                    tasks[0].result()
            link.direct.end()
            await asyncio.sleep(self.rng.uniform(1.0, 20.0))

    async def play(self) -> None:
        tasks = [asyncio.ensure_future(task) for task in (self.live(), self.links(), self.events())]
        await asyncio.sleep(WILD_S)
        tasks[-1].cancel()
        self.sensor.manners.clear()
        self.sensor.miscounts.clear()
        self.gateway.store.delay_s, self.gateway.store.is_full = 0.0, False
        await asyncio.sleep(CALM_S)
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks)
        for task in done:
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]
        self.check()

    # What must hold

    def check(self) -> None:
        assert self.late == []
        readings = {
            session: self.gateway.store.readings(session) for session in self.gateway.store.sessions()
        }
        homes = [self.home(of_session) for of_session in readings.values()]
        for n, home in enumerate(homes[1:], 1):
            assert home not in homes[:n] or self.is_beyond_recognition(*[*readings.values()][n - 1 : n + 1])
        assert homes[-1] == len(self.taken) - 1 or not readings[self.gateway.store.sessions()[-1]]
        self.check_nothing_is_missing()
        self.check_asks()

    def home(self, readings: list[Reading]) -> int:
        """Which of the sensor's sessions the readings of a stored one are of; none is of another."""
        found = {
            n
            for reading in readings
            for n, taken in enumerate(self.taken)
            if taken.get(reading.sequence) == reading.value
        }
        assert all(any(t.get(r.sequence) == r.value for t in self.taken) for r in readings if r.value != 39.0)
        assert len(found) <= 1, f"records of several sessions are one: {found}"
        return found.pop() if found else -len(readings) - 1

    def is_beyond_recognition(self, before: list[Reading], after: list[Reading]) -> bool:
        """Whether the sensor could no longer show the records by which its session is known again."""
        known = [reading.sequence for reading in before][-6:]
        shown = {reading.sequence for reading in after} - self.spoilt
        return len(shown.intersection(known)) < min(2, len(known))

    def check_nothing_is_missing(self) -> None:
        store, sensor = self.gateway.store, self.sensor
        session = store.sessions()[-1]
        clock_min = sensor.session.offset_min(self.now_s)
        kept = {reading.sequence for reading in store.readings(session)}
        given_up = {
            offset: reason for first, last, reason in store.given_up for offset in range(first, last + 1)
        }
        held = {
            r.time_offset_min for r in sensor.session.stored if r.time_offset_min <= clock_min + AHEAD_MIN
        }
        missing = held - kept - sensor.unreadable
        assert missing <= given_up.keys(), f"missing: {sorted(missing - given_up.keys())}"
        for offset in missing:
            assert sensor.withheld[offset] >= WITHHELD_MIN, f"{offset}: {given_up[offset]}"
        # Without a checksum too little is left of a record to tell which it was: it is listed only if it is missed.
        nameless = sensor.unreadable if sensor._crc is Crc.NONE else set()
        unread = sorted(held & sensor.unreadable - kept)[:-1]
        for offset in set(unread) - nameless:
            assert offset in given_up, f"unreadable {offset} is not listed"
            assert given_up[offset] in (Loss.UNDECODABLE, Loss.NO_RECORDS, Loss.NOT_REPORTED)
        self.check_watermark()

    def check_watermark(self) -> None:
        """What is stored is true at any moment: up to the watermark nothing is missing."""
        store, sensor = self.gateway.store, self.sensor
        for session in store.sessions()[-1:]:
            readings = store.readings(session)
            if self.home(readings) != len(self.taken) - 1:
                continue  # the sensor is in another session, which nobody knows yet
            kept = {reading.sequence for reading in readings}
            given_up = {o for first, last, _ in store.given_up for o in range(first, last + 1)}
            held = {record.time_offset_min for record in sensor.session.stored}
            passed = {offset for offset in held if offset <= session.watermark}
            nameless = sensor.unreadable if sensor._crc is Crc.NONE else set()
            missing = passed - kept - given_up - nameless
            assert not missing, f"the watermark {session.watermark} has passed {sorted(missing)}"

    def check_asks(self) -> None:
        asks_at_s = [at_s for at_s, _ in self.sensor.requests]
        for start_s in asks_at_s:
            asks = sum(start_s <= at_s < start_s + 600.0 for at_s in asks_at_s)
            links = sum(start_s - 60.0 <= at_s < start_s + 600.0 for at_s in self.links_at_s)
            assert asks <= ASKS_PER_LINK * links + ASKS_MAX, f"{asks} requests from {start_s:.0f} s on"


def play(seed: int) -> World:
    worlds: list[World] = []

    async def main() -> None:
        worlds.append(World(seed))
        await worlds[0].play()

    try:
        run(main())
    except BaseException:
        print(f"seed {seed}", *(worlds[0].log if worlds else []), sep="\n  ")
        raise
    return worlds[0]


SEEDS: Final = [int(os.environ["VITALGATE_CGM_SEED"])] if "VITALGATE_CGM_SEED" in os.environ else range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_sensor_has_is_stored_once_or_listed(seed: int) -> None:
    play(seed)


@pytest.mark.soak
@pytest.mark.parametrize("forty", range(1, 60))
def test_the_same_two_thousand_times(forty: int) -> None:
    for seed in range(40 * forty, 40 * forty + 40):
        play(seed)
