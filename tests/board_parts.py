"""A board with a strap and a CGM that say what they are told to, for the tests of what alerts do."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from edge_parts import IDENTITY

from edge.agenda import Agenda
from edge.alerts.board import SETTLING_S, AlertBoard, Parts
from edge.alerts.delivery import Channel, Delivery
from edge.alerts.ledger import Ledger
from edge.alerts.message import Message
from edge.alerts.shown import Shown
from edge.alerts.state import Tier
from edge.config import Config
from edge.contact import Phase
from edge.errors import Undelivered
from edge.kinds import KINDS
from edge.now.facts import Facts
from edge.now.present import Present
from edge.sensors.sensor import Sensor, SensorLive
from edge.store.door import Store
from edge.timekeeper import Timekeeper
from hw_sim.clock import VirtualClock, run

S = 10**9
# 2026-11-21T00:00:00Z
MIDNIGHT_UTC_NS = 1_795_219_200 * S


@dataclass
class Ear:
    """A channel that hears everything, unless it is out of order."""

    name: str = "ear"
    least_tier: Tier = Tier.REMINDER
    must_work: bool = True
    trouble: str | None = None
    takes_s: float = 0.0
    heard: list[Message] = field(default_factory=list)
    tries: int = 0

    async def deliver(self, message: Message) -> None:
        self.tries += 1
        await asyncio.sleep(self.takes_s)
        if self.trouble is not None:
            raise Undelivered(self.trouble)
        self.heard.append(message)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What was heard, in short."""
        return [(one.rule, one.what) for one in self.heard]


class Bench:
    """One process; time passes when told to. Times are since its boot."""

    def __init__(
        self,
        store: Store,
        config: Config,
        *,
        boot_id: str = "boot-1",
        channels: Sequence[Channel] = (),
        clock: VirtualClock | None = None,
    ) -> None:
        self.store = store
        self.clock = clock or VirtualClock(MIDNIGHT_UTC_NS, boot_id)
        self.facts, self.agenda = Facts(), Agenda(self.clock)
        with store.tables.database.transaction():
            boot_no = store.tables.boots.note(self.clock.boot_id)
        self.timekeeper = Timekeeper(self.clock, store, boot_no, store.tables.boots.timeline())
        self.timekeeper.look()
        self.live = {sensor.id: SensorLive(0) for sensor in config.sensors}
        self.sensors = {
            sensor.id: SimpleNamespace(kind=KINDS[sensor.kind], battery_pct=80) for sensor in config.sensors
        }
        for name, sensor in self.sensors.items():
            sensor.live = lambda name=name: self.live[name]
        state = SimpleNamespace(phase=Phase.STREAMING, trouble=None)
        self.ledger = Ledger(store, self.agenda, self.clock, boot_no)
        self.delivery = Delivery(channels, self.ledger, self.clock)
        self.present = Present(
            config,
            facts=self.facts,
            sensors=cast("dict[str, Sensor]", self.sensors),
            contacts=cast("Any", {name: SimpleNamespace(state=state) for name in self.sensors}),
            timekeeper=self.timekeeper,
            store=store,
            clock=self.clock,
            dead_channels=lambda: self.delivery.dead,
        )
        names = {sensor.id for sensor in config.sensors}
        rows = [row for row in store.tables.sensors.all() if not row.retired and row.id in names]
        parts = Parts(
            config=config,
            identity=IDENTITY,
            facts=self.facts,
            present=self.present,
            timekeeper=self.timekeeper,
            agenda=self.agenda,
            ledger=self.ledger,
            delivery=self.delivery,
        )
        self.board = AlertBoard(rows, store.tables, parts)

    @property
    def open(self) -> set[str]:
        """What stands."""
        return {one.rule for one in self.board.shown()}

    def shown(self, rule: str) -> Shown:
        (found,) = [one for one in self.board.shown() if one.rule == rule]
        return found

    def of(self, *prefixes: str) -> set[str]:
        return {rule for rule in self.open if rule.startswith(prefixes)}

    async def pass_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def settle(self) -> None:
        await asyncio.sleep(SETTLING_S + 1.0)

    async def heart(self, seconds: int, bpm: float, not_counted: str | None = None) -> set[str]:
        for _ in range(seconds):
            await asyncio.sleep(1)
            self.facts.note_heard("strap", self.clock.boot_ns())
            self.facts.note("strap", "heart_rate", bpm, self.clock.boot_ns(), not_counted)
        return self.of("heart_rate")

    async def glucose(self, mg_dl: float, age_s: int = 0, not_counted: str | None = None) -> set[str]:
        """A reading that comes five minutes after the one before."""
        await asyncio.sleep(300)
        taken_boot_ns = self.clock.boot_ns() - age_s * S
        self.facts.note_heard("cgm", taken_boot_ns)
        self.facts.note("cgm", "glucose", mg_dl, taken_boot_ns, not_counted)
        return self.of("glucose", "cgm")


Scenario = Callable[[Bench], Awaitable[None]]


def play(
    store: Store,
    config: Config,
    scenario: Scenario,
    *,
    boot_id: str = "boot-1",
    channels: Sequence[Channel] = (),
    is_killed: bool = False,
    utc_s: float = 0.0,
    error_ms: int | None = 500,
) -> Bench:
    """A process that does what the scenario says; `utc_s` is the wall time at its boot, since midnight."""

    async def main() -> Bench:
        clock = VirtualClock(MIDNIGHT_UTC_NS + round(utc_s * S), boot_id, error_ms)
        bench = Bench(store, config, channels=channels, clock=clock)
        bench.timekeeper.poll()
        bench.board.start()
        jobs = (bench.agenda.run(), store.run(), bench.delivery.run())
        tasks = [asyncio.ensure_future(job) for job in jobs]
        await asyncio.sleep(0)
        await scenario(bench)
        if not is_killed:
            bench.board.save()
            await store.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return bench

    return run(main())
