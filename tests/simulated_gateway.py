"""A whole gateway and its simulated home in virtual time, for the system tests."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.app import Gateway
from edge.config import Config, parse
from edge.radio.adapter import Radio
from edge.workers import Workers, inline
from hw_sim.air import Air
from hw_sim.central import Central, open_central
from hw_sim.clock import VirtualClock
from hw_sim.faults import LinkFaults, drop_links
from hw_sim.scenario import Home, SensorSpec
from tools.simulation import radio
from tools.worn import Worn

STRAP, CGM = "F0:00:00:00:00:01", "F0:00:00:00:00:02"
PATIENT, GATEWAY = "patient-x1y2z3", "gateway-x1y2z3"
MIDNIGHT_UTC_S = 1_772_409_600  # 2026-03-02
LEAD_S = 60.0
RECORDINGS = Path(__file__).parent / "recordings"
KINDS = {"heart_rate": ("strap", STRAP), "cgm": ("cgm", CGM)}


def configured(directory: Path, *kinds: str, more: str = "") -> Config:
    """A configuration of one person with one sensor of each kind; bundles go out at once."""
    sensors = "".join(
        f'[[sensors]]\nid = "{KINDS[kind][0]}"\nkind = "{kind}"\naddress = "{KINDS[kind][1]}"\nperson = "jo"\n'
        for kind in kinds
    )
    text = f"""
[gateway]
id = "{GATEWAY}"
state_dir = "state"
[[people]]
id = "jo"
pseudonym = "{PATIENT}"
[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
[upstream]
directory = "bundles"
interval_s = 1.0
{sensors}{more}"""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "gateway.toml").write_text(text)
    return parse(text.encode(), directory / "gateway.toml")


@dataclass
class World:
    """A running home and its gateway; the home knows what is true."""

    config: Config
    air: Air
    home: Home
    central: Central
    clock: VirtualClock
    gateway: Gateway
    running: asyncio.Task[None]
    drops: Counter[str]
    workers: Workers = field(default_factory=inline)

    async def until_utc_s(self, utc_s: float) -> None:
        """Let time pass until it is so late in the home; fails at once if the gateway ends."""
        await self.for_s(utc_s - (MIDNIGHT_UTC_S - LEAD_S) - asyncio.get_running_loop().time())

    async def for_s(self, seconds: float) -> None:
        await asyncio.wait({self.running}, timeout=seconds)
        if self.running.done():
            self.running.result()
            raise AssertionError("the gateway ended by itself")

    async def until_sent(self, limit_s: float = 7200.0) -> None:
        """Let time pass until everything is stored and sent and every sensor streams."""
        async with asyncio.timeout(limit_s):
            while not self.is_idle():
                await self.for_s(60.0)

    def is_idle(self) -> bool:
        counts = self.gateway.store.tables.deliveries.counts("files")
        streaming = all(s.state.phase == "streaming" for s in self.gateway.sessions.values())
        return streaming and not self.gateway.is_catching_up and counts.pending + counts.inflight == 0

    def start(self) -> None:
        """A new gateway on the same state directory, as after a restart of the process."""
        seed = self._starts = getattr(self, "_starts", 0) + 1
        self.gateway = new_gateway(self.config, self.clock, radio(self.central), seed, self.workers)
        self.running = asyncio.ensure_future(self.gateway.run())

    async def stop(self) -> None:
        """As by SIGTERM."""
        self.running.cancel()
        await asyncio.wait({self.running})
        self.gateway.close()


def new_gateway(config: Config, clock: VirtualClock, ours: Radio, seed: int, workers: Workers) -> Gateway:
    return Gateway(config, clock, ours, random.Random(seed), simulated=True, workers=workers)


@asynccontextmanager
async def world(
    config: Config,
    *,
    hours: float,
    seed: int = 0,
    faults: LinkFaults | None = None,
    history_s: float = 0.0,
    clock: VirtualClock | None = None,
    specs: Sequence[SensorSpec] | None = None,
    workers: Workers | None = None,
) -> AsyncIterator[World]:
    """A home whose day begins at `MIDNIGHT_UTC_S`, `LEAD_S` after the gateway was switched on."""
    loop = asyncio.get_running_loop()
    air = Air()
    worn = Worn.chosen(None, None)
    home = Home(
        air,
        specs or [SensorSpec(sensor.kind, sensor.address) for sensor in config.sensors],
        begin_s=loop.time() + LEAD_S,
        duration_s=hours * 3600,
        seed=seed,
        rr_ms=worn.rr_ms,
        glucose=worn.glucose,
        cgm_history_s=history_s,
    )
    await home.start()
    central = await open_central(air, bonds=None)
    clock = clock or VirtualClock(
        epoch_utc_ns=round((MIDNIGHT_UTC_S - LEAD_S - loop.time()) * 1e9), boot_id=f"boot-{seed}"
    )
    workers = workers or inline()
    gateway = new_gateway(config, clock, radio(central), seed, workers)
    running = asyncio.ensure_future(gateway.run())
    drops: Counter[str] = Counter()
    dropping: list[asyncio.Task[None]] = []
    if faults is not None:
        addresses = [sensor.address for sensor in config.sensors]
        dropping.append(asyncio.ensure_future(drop_links(air, addresses, faults, drops)))
    ours = World(config, air, home, central, clock, gateway, running, drops, workers)
    try:
        yield ours
    finally:
        for task in dropping:
            task.cancel()
        await asyncio.gather(*dropping, return_exceptions=True)
        await ours.stop()
        await central.close()
        await home.stop()
