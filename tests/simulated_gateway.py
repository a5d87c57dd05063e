"""A whole gateway and its simulated home in virtual time, for the system tests."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.app import Gateway
from edge.config import Config, parse
from hw_sim.air import Air
from hw_sim.central import open_central
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
    sensors = "".join(
        f'[[sensors]]\nid = "{KINDS[kind][0]}"\nkind = "{kind}"\naddress = "{KINDS[kind][1]}"\n'
        for kind in kinds
    )
    text = f"""
[gateway]
id = "{GATEWAY}"
state_dir = "state"
[patient]
pseudonym = "{PATIENT}"
[consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
[upstream]
directory = "bundles"
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
    gateway: Gateway
    running: asyncio.Task[None]
    drops: Counter[str]

    async def until_utc_s(self, utc_s: float) -> None:
        """Let time pass; fails at once if the gateway ends."""
        wait_s = utc_s - self.gateway.clock.utc_ns() / 1e9
        await asyncio.wait({self.running}, timeout=wait_s)
        if self.running.done():
            self.running.result()
            raise AssertionError("the gateway ended by itself")

    async def until_sent(self, limit_s: float = 7200.0) -> None:
        """Let time pass until the outbox is empty and every sensor streams."""
        async with asyncio.timeout(limit_s):
            while not self.is_idle():
                await asyncio.sleep(60.0)

    def is_idle(self) -> bool:
        counts = self.gateway.outbox.counts()
        streaming = all(s.state.phase == "streaming" for s in self.gateway.sessions.values())
        fetching = any(sensor.is_fetching for sensor in self.gateway.sensors.values())
        return streaming and not fetching and counts.pending + counts.inflight == 0


@asynccontextmanager
async def world(
    config: Config, *, hours: float, seed: int = 0, faults: LinkFaults | None = None, history_s: float = 0.0
) -> AsyncIterator[World]:
    """A home whose day begins at `MIDNIGHT_UTC_S`, `LEAD_S` after the gateway was switched on."""
    loop = asyncio.get_running_loop()
    air = Air()
    worn = Worn.chosen(None, None)
    home = Home(
        air,
        [SensorSpec(sensor.kind, sensor.address) for sensor in config.sensors],
        begin_s=loop.time() + LEAD_S,
        duration_s=hours * 3600,
        seed=seed,
        rr_ms=worn.rr_ms,
        glucose=worn.glucose,
        cgm_history_s=history_s,
    )
    await home.start()
    central = await open_central(air, bonds=None)
    clock = VirtualClock(epoch_utc_ns=round((MIDNIGHT_UTC_S - LEAD_S) * 1e9), boot_id=f"boot-{seed}")
    gateway = Gateway(config, clock, radio(central), random.Random(seed), simulated=True)
    running = asyncio.ensure_future(gateway.run())
    tasks: list[asyncio.Task[None]] = [running]
    drops: Counter[str] = Counter()
    if faults is not None:
        addresses = [sensor.address for sensor in config.sensors]
        tasks.append(asyncio.ensure_future(drop_links(air, addresses, faults, drops)))
    try:
        yield World(config, air, home, gateway, running, drops)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await central.close()
        await home.stop()
        gateway.close()
