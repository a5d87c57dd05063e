"""One home and the gateway in it, in virtual time: for the demo, the system tests, and scenarios.

Contract: `open_world` sets everything up in one order and takes it down in the other: links that fail, the gateway, the
machine's Bluetooth, the sensors. The home knows what is true (`home.straps`, `home.cgms`); `sensor` finds one by its
id. Times are seconds since the scenario's midnight; the gateway was switched on `LEAD_S` before. Waiting ends at once,
with GatewayEnded, when the gateway ends by itself.

Not here: what goes wrong (`faults`), what must be true (`expectations`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge.app import Gateway
from edge.config import Config
from edge.kinds import KINDS, Reach
from edge.local.status import StatusDocument
from edge.workers import Workers
from hw_sim.disk import InstantDisk, SimulatedDisk
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.scenario import Home
from hw_sim.sensors.peripheral import Peripheral
from tools.rig.home.machine import Bluetooth, Machine, NotSettled, instant
from tools.rig.home.receiver import Manners, Receiver
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.scene import Count, Lives, Scene, sensors_there
from tools.rig.home.simulated_feeds import SimulatedFeeds
from tools.rig.home.simulation import build_home, passkeys, radio
from tools.rig.language.scenario import LEAD_S, MIDNIGHT_UTC_S, Scenario

STEP_S = 60.0

Bodies = Callable[[Air], Sequence[Peripheral]]


def bumble(air: Air, central: Central) -> Bluetooth:
    """The Bluetooth of a machine that is on the air."""

    def lose_links() -> None:
        for link in list(central.links.values()):
            air.lose_link(link.address)

    return Bluetooth(lambda: radio(central), central.abandon_clients, lose_links)


@dataclass
class Disks:
    """Makes the disks of each life, in virtual time."""

    seed: int
    delay_s: tuple[float, float] = (0.005, 0.05)
    failures: float = 0.0
    receives: Manners = field(default_factory=Manners)
    _lives: int = 0

    def __call__(self) -> Workers:
        self._lives += 1
        seed = self.seed + self._lives
        writer = SimulatedDisk(seed, delay_s=self.delay_s, failures=self.failures)
        return Workers(writer, InstantDisk(), Receiver(self.receives))


@dataclass
class World(Scene):
    """A home, its machine, and what happens to the links between them."""

    central: Central
    machine: Machine
    disks: Disks | None
    feeds: SimulatedFeeds

    @property
    def gateway(self) -> Gateway:
        return self.machine.gateway

    @property
    def lives(self) -> Lives:
        return self.machine

    @property
    def zero_utc_s(self) -> float:
        return MIDNIGHT_UTC_S - self.begin_s

    @property
    def bundles(self) -> Path:
        return self.config.upstream.directory

    async def status(self) -> StatusDocument | None:
        return await self.gateway.status() if self.machine.is_running else None

    async def count(self, sensor_id: str) -> Count | None:
        told = await self.status()
        if told is None:
            return None
        packets = next(sensor.packets for sensor in told.sensors if sensor.id == sensor_id)
        return Count(len(self.machine.starts_s), packets or 0)

    def told_by_feed(self, sensor_id: str) -> Mapping[int, float]:
        is_feed = any(one.id == sensor_id and one.is_feed for one in self.scenario.sensors)
        return self.feeds.measured if is_feed else {}

    def row_no(self, sensor_id: str) -> int:
        """The sensor's number in the gateway's store."""
        return next(row.no for row in self.gateway.rows if row.id == sensor_id)

    # Letting time pass

    async def for_s(self, seconds: float) -> None:
        await self.machine.for_s(seconds)

    async def until_s(self, at_s: float) -> None:
        await self.for_s(at_s - self.now_s)

    async def until_settled(self, limit_s: float = 7200.0) -> None:
        """Until what was until now is fetched, summarised and sent, and every sensor streams. Raises NotSettled."""
        end_s = self.now_s + limit_s
        await self.for_s(min(limit_s, self.config.limits.summary_grace_s))
        while not await self.is_settled():
            if self.now_s >= end_s:
                raise NotSettled(f"not settled after {limit_s:g} s")
            await self.for_s(STEP_S)

    async def is_settled(self) -> bool:
        """Whether nothing is left to do but to wait for the next packet."""
        gateway = self.gateway
        said = await gateway.status()
        due_boot_ns = gateway.periods.next_due_boot_ns()
        is_closed = due_boot_ns is None or due_boot_ns > gateway.clock.boot_ns()
        is_connected = all(
            sensor.phase == "streaming" or not KINDS[sensor.kind].stays for sensor in said.sensors
        )
        waiting = sum(
            (route.pending or 0) + (route.inflight or 0) - sum(held.items for held in route.held)
            for route in said.deliveries
        )
        return is_closed and is_connected and waiting == 0 and not gateway.is_catching_up

    # What happens to the disk and the gateway's file

    def slow_down(self, delay_s: tuple[float, float]) -> None:
        """Let each commit take so long, at least and at most."""
        assert self.disks is not None, "the disk takes no time in this world"
        self.disks.delay_s = delay_s
        writer = self.machine.writer
        assert isinstance(writer, SimulatedDisk)
        writer.delay_s = delay_s

    def let_fail(self, share: float) -> None:
        """Let the disk refuse a share of what is to be written to the store."""
        assert self.disks is not None, "the disk fails at nothing in this world"
        self.disks.failures = share
        writer = self.machine.writer
        assert isinstance(writer, SimulatedDisk)
        writer.failures = share

    @property
    def receives(self) -> Manners:
        """How the upstream takes batches."""
        assert self.disks is not None, "nothing but a disk is upstream in this world"
        return self.disks.receives

    def configure(self, scenario: Scenario) -> None:
        """Write the gateway's file anew, for its next life."""
        self.scenario = scenario
        self.config = scenario.configure(self.config.gateway.state_dir.parent)
        self.note_consents()

    async def close(self) -> None:
        await self.leave_links_alone()
        await self.machine.stop()
        await self.central.close()
        await self.home.stop()


@asynccontextmanager
async def open_world(
    scenario: Scenario,
    directory: Path,
    *,
    config: Config | None = None,
    worn: DemoRecordings | None = None,
    bodies: Bodies | None = None,
    disks: Disks | None = None,
) -> AsyncIterator[World]:
    """A home in which a gateway has just been switched on; its files lie in `directory`.

    `config` is the gateway's file, if it was written before; `worn` are other recordings than those that come along;
    `bodies` makes the sensors, where they are not the usual ones; without `disks`, disks take no time. Links fail only
    if somebody lets them.
    """
    loop = asyncio.get_running_loop()
    begin_s = loop.time() + LEAD_S
    config = config or scenario.configure(directory)
    air = Air()
    home = Home(air, (), begin_s=begin_s, duration_s=0.0)
    if worn is None:
        is_needed = bodies is None or any(KINDS[one.kind].reach is Reach.FEED for one in config.sensors)
        worn = DemoRecordings.chosen(None, None, bodies=scenario.bodies or not is_needed)
    worn = worn.heart_from(scenario.heart_from_s)
    if bodies is None:
        home = build_home(
            air,
            config,
            worn,
            begin_s=begin_s,
            duration_s=scenario.lasts_s,
            seed=scenario.seed,
            history_s=scenario.history_s,
            specs=sensors_there(scenario, config),
        )
    else:
        for body in bodies(air):
            home.wear(body)
    await home.start()
    central = await open_central(air, bonds=None, passkey=passkeys(config))
    machine = Machine(
        lambda: world.config,
        bumble(air, central),
        zero_utc_s=MIDNIGHT_UTC_S - begin_s,
        new_rng=lambda life: Random(scenario.seed + life),  # noqa: S311 - the same seed gives the same run
        new_workers=disks or instant,
        boot_id=f"boot-{scenario.seed}",
        wrong_s=scenario.clock.wrong_by_s,
        is_trusted=scenario.clock.trusted,
        web=lambda sensor: world.feeds.web(sensor),
    )
    feeds = SimulatedFeeds(worn, lambda: machine.utc_s, scenario.seed)
    world = World(scenario, config, air, home, begin_s, central, machine, disks, feeds)
    world.note_consents()
    try:
        machine.start()
        yield world
    finally:
        await world.close()
