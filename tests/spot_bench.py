"""The gateway's side of a device that delivers, on a real store and without a radio."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_parts import IDENTITY, minimal_config, open_store, sensor_row

from edge.agenda import Agenda
from edge.history.periods import Periods
from edge.kernels_ready import KernelsReady
from edge.now.facts import Facts
from edge.radio.inbox import Notification
from edge.sensors.means import Means
from edge.sensors.spot.epochs import date_time_of
from edge.sensors.spot.sensor import SpotSensor
from edge.store.readings import Reading
from edge.timekeeper import Timekeeper
from hw_sim.clock import VirtualClock, run
from protocols import glucose_meter, thermometer, uuids
from protocols.glucose_meter import GlucoseMeasurement, Sample
from protocols.thermometer import TemperatureMeasurement

NOON_UTC_S = 1_795_219_200
S = 10**9


class Bench:
    """One process at a time: `restart` begins another, `reboot` in another boot."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.config = minimal_config(
            directory, **{'id = "cgm"\nkind = "cgm"': f'id = "device"\nkind = "{kind}"'}
        )
        self.clock = VirtualClock(NOON_UTC_S * S, "boot-1")
        self.lives = 0
        self.start()

    def start(self) -> None:
        self.lives += 1
        self.store = open_store(self.config, boot_id=self.clock.boot_id)
        tables = self.store.tables
        with tables.database.transaction():
            boot_no = tables.boots.note(self.clock.boot_id)
        self.row = sensor_row(self.store, "device")
        self.agenda, self.facts = Agenda(self.clock), Facts()
        self.timekeeper = Timekeeper(self.clock, self.store, boot_no, tables.boots.timeline())
        self.timekeeper.look()
        periods = Periods(self.config, IDENTITY, self.store, self.timekeeper)
        means = Means(
            store=self.store,
            periods=periods,
            facts=self.facts,
            agenda=self.agenda,
            clock=self.clock,
            timekeeper=self.timekeeper,
            limits=self.config.limits,
            identity=IDENTITY,
            zone=ZoneInfo("UTC"),
            insights={},
            kernels=KernelsReady(),
            rng=random.Random(self.lives),
        )
        self.sensor = SpotSensor(self.config.sensors[1], self.row, means)
        self.tasks = [asyncio.ensure_future(self.store.run()), asyncio.ensure_future(self.agenda.run())]

    async def stop(self) -> None:
        self.sensor.flush()
        await self.store.drain()
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        self.store.close()

    async def restart(self) -> None:
        await self.stop()
        self.start()

    def take(self, characteristic: str, payload: bytes) -> None:
        self.sensor.take(Notification("device", 1, characteristic, self.clock.boot_ns(), payload))

    def temperature(self, celsius: float, shown_s: int | None) -> None:
        stamp = None if shown_s is None else date_time_of(shown_s)
        reading = TemperatureMeasurement(celsius, timestamp=stamp)
        self.take(uuids.TEMPERATURE_MEASUREMENT, thermometer.MEASUREMENT.encode(reading))

    def glucose(self, number: int, mg_dl: float, shown_s: int) -> None:
        reading = GlucoseMeasurement(number, date_time_of(shown_s), sample=Sample(mg_dl / 1e5, 1, 1))
        self.take(uuids.GLUCOSE_MEASUREMENT, glucose_meter.MEASUREMENT.encode(reading))

    def readings(self, measurement: str) -> list[tuple[int, Reading]]:
        """Session and reading of all that is stored."""
        tables = self.store.tables
        return [
            (session.number, reading)
            for session in tables.sessions.of_sensor(self.row.no)
            for reading in tables.readings.between(session.no, measurement, -(1 << 40), 1 << 40)
        ]


def play(directory: Path, kind: str, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        bench = Bench(directory, kind)
        await scenario(bench)
        await bench.stop()

    run(main())
