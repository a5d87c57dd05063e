"""A sensor's side of a session that says what a test wants said, and worlds for it: on the air, and without one."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from edge.config import Limits, SensorConfig
from edge.contact import ContactState
from edge.kinds import KINDS, Kind
from edge.radio.adapter import Radio
from edge.radio.inbox import Inbox, Notification
from edge.radio.link import Link
from edge.radio.pairing.bond import Bond
from edge.radio.pairing.security import Made
from edge.radio.session import Session
from hw_sim.clock import VirtualClock
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.radio.direct_radio import backends
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import uuids

ADDRESS = "F0:00:00:00:00:01"
SERVICE = KINDS["heart_rate"].service
LIMITS = Limits()


async def hear_heart_rate(link: Link) -> None:
    await link.subscribe(uuids.HEART_RATE_MEASUREMENT)


async def say_nothing(_: Link) -> None:
    await asyncio.get_running_loop().create_future()


@dataclass
class Talker:
    """A sensor that says what the test wants said."""

    talk: Callable[[Link], Awaitable[None]] = hear_heart_rate
    pairs: bool = False
    stale_s: float = 15.0
    address: str = ADDRESS
    sensor_id: str = "strap"
    battery_pct: int | None = None
    kind: Kind = field(init=False)
    config: SensorConfig = field(init=False)

    def __post_init__(self) -> None:
        self.kind = replace(KINDS["heart_rate"], pairs=self.pairs)
        self.config = SensorConfig(self.sensor_id, "heart_rate", self.address, "anna")

    async def converse(self, link: Link) -> None:
        await self.talk(link)

    def take(self, notification: Notification) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError


def beats(rr_ms: float = 800.0) -> Iterator[float]:
    while True:
        yield rr_ms


def radio(central: Central) -> Radio:
    return Radio(central.scanner_backend, central.client_backend, central.adapter_backend, central.pairing)


class Forgetful:
    """Remembers a bond as long as the process lives."""

    made: Made | None = None

    def keep(self, made: Made | None) -> None:
        self.made = made


def bond_of(talker: Talker, ours: Radio, clock: VirtualClock) -> Bond | None:
    if not talker.kind.pairs:
        return None
    return Bond(talker.config, talker.kind, ours.pairing, Forgetful(), clock)


class World:
    """A sensor, a machine's Bluetooth, and one session that is not yet running."""

    def __init__(self, air: Air, sensor: CgmSensor | HeartRateStrap, central: Central) -> None:
        self.air, self.sensor, self.central = air, sensor, central
        self.inbox = Inbox(4096)
        self.clock = VirtualClock(0, "boot-1")

    def session(self, talker: Talker, ours: Radio | None = None, limits: Limits = LIMITS) -> Session:
        ours = ours or radio(self.central)
        bond = bond_of(talker, ours, self.clock)
        return Session(talker, ours, self.inbox, self.clock, limits, random.Random(1), bond)

    @property
    def is_connected(self) -> bool:
        """Whether the sensor has a link."""
        return bool(self.sensor.device.connections)

    def heard(self) -> list[Notification]:
        """What has come since this was asked last."""
        notifications = list(self.inbox.queue)
        self.inbox.queue.clear()
        return notifications

    async def turns_after_contact(self, turns: int) -> None:
        """Until so many turns of the loop after the sensor was connected."""
        contact = asyncio.Event()
        self.sensor.device.once("connection", lambda _: contact.set())
        await contact.wait()
        for _ in range(turns):
            await asyncio.sleep(0)


async def world(*, cgm: bool = False) -> World:
    air = Air()
    sensor: CgmSensor | HeartRateStrap
    if cgm:
        readings = iter([(n * 300.0, 100.0) for n in range(20)])
        sensor = CgmSensor(air, ADDRESS, readings, begin_s=-3600.0, session_age_s=0.0)
    else:
        sensor = HeartRateStrap(air, ADDRESS, beats(), begin_s=0.0)
    await sensor.start()
    return World(air, sensor, await open_central(air, bonds=None))


class DirectWorld:
    """A strap without a radio, for hours and days, and one session that is not yet running."""

    def __init__(self, **times_s: float) -> None:
        self.stack, self.strap = DirectStack(**times_s), DirectStrap(ADDRESS)
        self.stack.add(self.strap)
        self.inbox = Inbox(4096)
        self.backends = backends(self.stack)

    def session(self, talker: Talker, ours: Radio | None = None) -> Session:
        clock = VirtualClock(0, "boot-1")
        return Session(talker, ours or Radio(*self.backends), self.inbox, clock, LIMITS, random.Random(1))


def start(session: Session) -> "asyncio.Task[None]":
    return asyncio.ensure_future(session.run())


def now_s() -> float:
    return asyncio.get_running_loop().time()


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the gateway itself has logged; a simulated radio logs, too."""
    return [record.message for record in caplog.records if record.name.startswith("edge")]


async def until(state: ContactState, phase: str, limit_s: float = 300.0) -> None:
    async with asyncio.timeout(limit_s):
        while state.phase != phase:
            await asyncio.sleep(0.1)


async def end(running: "asyncio.Task[None]", limit_s: float = 30.0) -> None:
    """Cancel a session; it has to end, and by nothing else."""
    running.cancel()
    async with asyncio.timeout(limit_s):
        await asyncio.wait({running})
    assert running.cancelled()
