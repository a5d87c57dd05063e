"""A gateway with feeds in virtual time: what people run at home, and the machine that asks it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from edge_parts import MIDNIGHT_UTC_S, DeafScanner

from edge.app import Gateway
from edge.config import Config, parse
from edge.local.status import SensorStatus
from edge.radio.adapter import Radio
from edge.store.readings import Reading
from hw_sim.followers.answering import Follower
from hw_sim.followers.carrying import Network
from hw_sim.followers.diary import Diary, Uploader
from tools.rig.home.machine import Bluetooth, Machine

HOST = "192.168.1.20:17580"
ADDRESS = f"http://{HOST}"
DAY_S = 86_400
STEP_S = 300
PHONE = Uploader("xDrip-DexcomG5")

TOML = """
[gateway]
id = "gateway-1"
state_dir = "state"
timezone = "{zone}"
[[people]]
id = "anna"
pseudonym = "patient-1"
[people.consent]
glucose_summaries = true
glucose_readings = {readings}
{sensors}
[upstream]
directory = "upstream"
"""
SENSOR = """
[[sensors]]
id = "{id}"
kind = "{kind}"
person = "anna"
address = "{address}"
{more}
"""


def sensor(sensor_id: str = "phone", kind: str = "sgv", address: str = ADDRESS, more: str = "") -> str:
    return SENSOR.format(id=sensor_id, kind=kind, address=address, more=more)


def config_of(directory: Path, *sensors: str, zone: str = "UTC", sends: bool = False) -> Config:
    """With `sends` the person has consented to each reading's going up."""
    (directory / "upstream").mkdir(exist_ok=True)
    text = TOML.format(
        zone=zone, sensors="\n".join(sensors or (sensor(),)), readings="true" if sends else "false"
    )
    return parse(text.encode(), directory / "gateway.toml")


def deaf() -> Bluetooth:
    return Bluetooth(lambda: Radio(DeafScanner), lambda: None, lambda: None)


@dataclass
class FeedWorld:
    """Servers and the machine that asks them; times are seconds since the scenario's midnight, which is at boot."""

    machine: Machine
    network: Network

    @property
    def gateway(self) -> Gateway:
        return self.machine.gateway

    @property
    def utc_s(self) -> float:
        return self.machine.utc_s

    async def for_s(self, seconds: float) -> None:
        await self.machine.for_s(seconds)

    def row_no(self, sensor_id: str = "phone") -> int:
        return next(row.no for row in self.gateway.rows if row.id == sensor_id)

    def readings(self, sensor_id: str = "phone") -> dict[int, Reading]:
        """What is stored, by the second of its stamp."""
        tables = self.gateway.store.tables
        return {
            session.start_utc_s + reading.at_s: reading
            for session in tables.sessions.of_sensor(self.row_no(sensor_id))
            if session.start_utc_s is not None
            for reading in tables.readings.between(session.no, "glucose", -(1 << 40), 1 << 40)
        }

    def counted(self, sensor_id: str = "phone") -> dict[int, float | None]:
        """Of these what counts."""
        return {
            utc_s: reading.value
            for utc_s, reading in self.readings(sensor_id).items()
            if reading.not_counted is None
        }

    async def shown(self, sensor_id: str = "phone") -> SensorStatus:
        status = await self.gateway.status()
        return next(one for one in status.sensors if one.id == sensor_id)

    def alerts(self) -> set[tuple[str, str]]:
        return {(one.rule, one.subject) for one in self.gateway.alerts.shown()}


def now_utc_s() -> float:
    return MIDNIGHT_UTC_S + asyncio.get_running_loop().time()


@asynccontextmanager
async def feed_world(
    config: Config,
    followers: Mapping[str, Follower],
    *,
    seed: int = 1,
    bluetooth: Callable[[], Bluetooth] = deaf,
    **machine: Any,
) -> AsyncIterator[FeedWorld]:
    network = Network(followers)
    world = FeedWorld(
        Machine(
            lambda: config,
            bluetooth(),
            zero_utc_s=MIDNIGHT_UTC_S,
            new_rng=lambda life: Random(seed + life),
            web=lambda _: network.open,
            **machine,
        ),
        network,
    )
    world.machine.start()
    try:
        yield world
    finally:
        await world.machine.stop()


def wave(utc_s: float) -> float:
    """A glucose that no two neighbouring readings share."""
    slot = int(utc_s) // STEP_S
    return 100.0 + 60.0 * abs((slot % 48) / 24.0 - 1.0) + slot % 2


def worn(
    from_utc_s: float, to_utc_s: float, *, uploaders: tuple[Uploader, ...] = (PHONE,), offset_s: int = 40
) -> Diary:
    """Every five minutes a measurement."""
    diary = Diary()
    for utc_s in range(int(from_utc_s) // STEP_S * STEP_S + offset_s, int(to_utc_s), STEP_S):
        diary.measure(utc_s, round(wave(utc_s)), uploaders)
    return diary
