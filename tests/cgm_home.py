"""A bonded CGM and the gateway's side of it, from the radio to the tables: on the air, or behind the direct radio."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from cgm_parts import CGM, Gateway
from radio_parts import LIMITS, Forgetful, end, now_s, radio, start

from edge.radio.adapter import Radio
from edge.radio.inbox import Notification
from edge.radio.intake import Intake
from edge.radio.pairing.bond import Bond
from edge.radio.session import Session
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.radio.direct_radio import backends
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import uuids
from protocols.cgm import CgmMeasurement

CAPACITY = 40_000


def glucose(n: int) -> float:
    """The n-th value."""
    return 80.0 + n % 100


class World(Protocol):
    """A CGM and a machine's Bluetooth."""

    async def open(self) -> Radio:
        """Switch the sensor on, in reach."""
        ...

    def move(self, *, is_in_reach: bool) -> None: ...

    def stored(self) -> list[CgmMeasurement]: ...

    def close(self) -> None: ...


@dataclass
class OnAir:
    """Two whole stacks; a request takes no time, a stored record 30 ms."""

    interval_min: int
    age_s: float

    async def open(self) -> Radio:
        interval_s = 60.0 * self.interval_min
        self.air = Air()
        self.sensor = CgmSensor(
            self.air,
            CGM.address,
            ((n * interval_s, glucose(n)) for n in itertools.count()),
            begin_s=-self.age_s,
            session_age_s=0.0,
            interval_min=self.interval_min,
            capacity=CAPACITY,
        )
        await self.sensor.start()
        return radio(await open_central(self.air, bonds=None))

    def move(self, *, is_in_reach: bool) -> None:
        self.air.set_reachable(CGM.address, is_in_reach)

    def stored(self) -> list[CgmMeasurement]:
        return self.sensor.stored

    def close(self) -> None:
        """It ends with the loop."""


@dataclass
class Direct:
    """Ordinary calls, so that days and thousands of records cost little; what takes time on the air takes it here.

    A request and its answer take two connection events. Live readings wait for the end of a report, unless the sensor
    `interleaves`.
    """

    interval_min: int
    age_s: float
    connect_s: float = 2.0
    event_s: float = 0.05
    packets_in_event: int = 1
    records_in_packet: int = 1
    interleaves: bool = False
    next_s: float = 0.0  # when it measures next

    async def open(self) -> Radio:
        self.stack = DirectStack(connect_s=self.connect_s, request_s=2 * self.event_s)
        self.sensor = WaywardCgm(
            CGM.address,
            began_s=-self.age_s,
            capacity=CAPACITY,
            event_s=self.event_s,
            packets_in_event=self.packets_in_event,
            records_in_packet=self.records_in_packet,
            interleaves=self.interleaves,
        )
        interval_s = 60.0 * self.interval_min
        for n in range(round(self.age_s / interval_s)):
            self.sensor.session.take(n * interval_s - self.age_s, glucose(n))
        self.stack.add(self.sensor)
        self._measuring = asyncio.ensure_future(self._measure(interval_s))
        return Radio(*backends(self.stack))

    async def _measure(self, interval_s: float) -> None:
        await asyncio.sleep(self.next_s)
        for n in itertools.count():
            self.sensor.take(glucose(n))
            await asyncio.sleep(interval_s)

    def move(self, *, is_in_reach: bool) -> None:
        (self.stack.regain if is_in_reach else self.stack.lose)(CGM.address)

    def stored(self) -> list[CgmMeasurement]:
        return self.sensor.session.stored

    def close(self) -> None:
        self._measuring.cancel()


@dataclass
class CgmHome:
    """A world, the gateway's side of the sensor in it, and a session. `data_s`: when records were taken in."""

    world: World
    dice: random.Random
    gateway: Gateway = field(default_factory=Gateway)
    data_s: list[float] = field(default_factory=list)

    async def start(self) -> None:
        gateway = self.gateway
        ours = await self.world.open()
        bond = Bond(CGM, gateway.cgm.kind, ours.pairing, Forgetful(), gateway.clocks)
        self.session = Session(gateway.cgm, ours, gateway.inbox, gateway.clocks, LIMITS, self.dice, bond)
        intake = Intake(gateway.inbox, {CGM.id: self._take}, gateway.clocks)
        self._tasks = asyncio.ensure_future(intake.run()), start(self.session)

    def _take(self, notification: Notification) -> None:
        if notification.characteristic == uuids.CGM_MEASUREMENT:
            self.data_s.append(now_s())
        self.gateway.cgm.take(notification)

    async def stop(self) -> None:
        for task in self._tasks:
            await end(task)
        self.world.close()

    def stored(self) -> set[int]:
        """What the sensor has stored."""
        return {record.time_offset_min for record in self.world.stored()}

    def missing(self, wanted: set[int]) -> set[int]:
        """What of it is not in the gateway's store."""
        return wanted.difference(self.gateway.store.kept())

    async def until(self, is_so: Callable[[], bool], look_s: float = 0.1) -> float:
        """How long that took."""
        began_s = now_s()
        while not is_so():
            await asyncio.sleep(look_s)
            assert now_s() - began_s < 1200, (self.session.state, self.gateway.cgm.state())
        return now_s() - began_s
