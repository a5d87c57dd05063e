"""One gateway over the direct radio, as every part of the gateway benchmark sets it up, and what its process has spent.

Contract: the real `Gateway` on a real encrypted store with its real threads; only the radio below bleak is none. A null
gateway is bleak's clients alone, which listen and do nothing: what it costs is the feed's cost, not the gateway's.
"""

import asyncio
import gc
import logging
import random
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from bleak import BleakClient

from dsp.warm import warm_gateway
from edge.alerts.delivery import Channel
from edge.app import Gateway
from edge.clock import Clock
from edge.config import Config, SensorConfig, parse
from edge.contact import Phase
from edge.workers import Workers, threads
from hw_sim.radio.direct_radio import backends
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import uuids
from tools.bench.gateway.feed import LEAD_S, MIDNIGHT_UTC_S, Home
from tools.rig.home.machine import Machine, direct

FILE: Final = """
[gateway]
id = "gw"
state_dir = "state"
[[people]]
id = "anna"
pseudonym = "p1"
[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
[upstream]
directory = "bundles"
[[sensors]]
id = "some"
kind = "heart_rate"
address = "F0:00:00:00:00:01"
person = "anna"
"""
NEVER_S: Final = 86_400.0


class Spent(NamedTuple):
    """What this process has used so far."""

    cpu_s: float
    written_octets: int

    @classmethod
    def now(cls) -> "Spent":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(usage.ru_utime + usage.ru_stime, written_octets(Path("/proc/self/io")))

    def since(self, before: "Spent") -> "Spent":
        return Spent(self.cpu_s - before.cpu_s, self.written_octets - before.written_octets)


def written_octets(io: Path) -> int:
    """What a process has handed to write calls."""
    return next(int(line.split()[1]) for line in io.read_text().splitlines() if line.startswith("wchar"))


def rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def config(directory: Path, home: Home, *, silent: bool = False) -> Config:
    """The configuration for a home: no link is taken for lost by silence, and with `silent` no alert raised."""
    checked = parse(FILE.encode(), directory / "gateway.toml")
    straps = [
        SensorConfig(f"s{n}", "heart_rate", strap.address, "anna", stale_s=NEVER_S)
        for n, strap in enumerate(home.straps)
    ]
    cgms = [
        SensorConfig(f"c{n}", "cgm", sensor.address, "anna", accept_just_works=True, stale_s=NEVER_S)
        for n, sensor in enumerate(home.cgms)
    ]
    alerts = checked.alerts
    if silent:
        alerts = msgspec.structs.replace(alerts, heart_silence_s=NEVER_S, cgm_silence_s=NEVER_S)
    # Not checked anew: there are to be more sensors than a configuration may have.
    return msgspec.structs.replace(checked, sensors=(*straps, *cgms), alerts=alerts)


def machine(
    checked: Config,
    home: Home,
    clock: Clock | None = None,
    workers: Callable[[], Workers] = threads,
    channels: Callable[[], Sequence[Channel]] = tuple,
) -> Machine:
    """The machine of a home, at whose midnight it is `MIDNIGHT_UTC_S`; with other clocks, if they are given. Alerts are
    also told by `channels`."""
    logging.basicConfig(level=logging.ERROR)
    warm_gateway()
    gc.freeze()  # as the daemon does
    return Machine(
        lambda: checked,
        direct(home.stack),
        zero_utc_s=MIDNIGHT_UTC_S - LEAD_S,
        new_rng=lambda life: random.Random(1 + life),  # noqa: S311
        new_workers=workers,
        new_channels=channels,
        other_clock=clock,
    )


async def until_connected(made: Gateway, limit_s: float = 600.0) -> None:
    connected = (Phase.SETTLING, Phase.STREAMING)
    async with asyncio.timeout(limit_s):
        while any(session.state.phase not in connected for session in made.contacts.values()):
            await asyncio.sleep(0.5)


async def null_gateway(home: Home) -> list[BleakClient]:
    """Clients that listen to every sensor."""
    client_backend = backends(home.stack).client
    clients = []
    sensors: list[DirectStrap | WaywardCgm] = [*home.straps, *home.cgms]
    for sensor in sensors:
        client = BleakClient(sensor.address, backend=client_backend)
        await client.connect()
        measurement = uuids.HEART_RATE_MEASUREMENT if sensor in home.straps else uuids.CGM_MEASUREMENT
        await client.start_notify(measurement, lambda _sender, _payload: None)
        clients.append(client)
    return clients
