"""A scenario's sensors on dongles, in real time, beside a gateway under test.

Contract: `open_world` takes a dongle for each sensor and the gateway, by a lease, and starts the sensors, at the
scenario's midnight; `start` starts the gateway, if the bench can. Everything is given back in the other order, whatever
happens. Whatever is the bench's fault is a `BenchError`, at once: what it does not raise itself makes `failure` done.

Not here: what goes wrong and what must be true (`play`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bumble.core import BaseBumbleError
from msgspec import structs

from edge import config as configuration
from edge.clock import NS_PER_S, SystemClock
from edge.config import Config
from edge.errors import ConfigError
from edge.local.status import StatusDocument
from hw_sim.radio.dongle import DongleAir, DongleLost
from hw_sim.scenario import Home
from tools.rig.bench.errors import BenchError, DongleFailed, GatewayUnreachable
from tools.rig.bench.inventory import GatewayUnderTest, Inventory
from tools.rig.bench.leases import Leases, Wanted
from tools.rig.bench.opened import OPENS_S_MAX, opened
from tools.rig.bench.reached import Reached
from tools.rig.bluez.world import GLUCOSE_PACE, Lived, parsed_line, recordings
from tools.rig.home.scene import Count, Lives, Scene, sensors_there
from tools.rig.home.simulation import build_home
from tools.rig.language.gateway_file import merged, to_toml
from tools.rig.language.scenario import Scenario
from tools.rig.verdict.expectations import Line

ASKS_S: Final = 0.25
"""How old what the gateway has said may be, when many ask at the same time."""
LOG_S: Final = 0.5

_T = TypeVar("_T")


@dataclass
class AirWorld(Scene):
    """Sensors on dongles, a gateway on a bench.

    Attributes:
        lines: what the gateway has logged, if the bench can read that.
        turn: held while one life of the gateway gives way to another.
        failure: what keeps the bench from going on; never done without one.
    """

    gateway: GatewayUnderTest
    reached: Reached
    failure: Awaitable[object]
    lived: Lived = field(default_factory=Lived)
    lines: list[Line] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _zero_utc_s: float = 0.0
    _said: tuple[float, StatusDocument | None] = (float("-inf"), None)
    _life: int = 0
    _packets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._zero_utc_s = SystemClock().utc_ns() / NS_PER_S - asyncio.get_running_loop().time()

    @property
    def zero_utc_s(self) -> float:
        return self._zero_utc_s

    @property
    def lives(self) -> Lives:
        return self.lived

    @property
    def bundles(self) -> Path:
        return self.reached.bundles

    # What the gateway says

    async def status(self) -> StatusDocument | None:
        return await self.reached.status()

    async def count(self, sensor_id: str) -> Count | None:
        asked_s, said = self._said
        if asyncio.get_running_loop().time() - asked_s > ASKS_S:
            said = await self.status()
            self._said = asyncio.get_running_loop().time(), said
        if said is None:
            return None
        packets = next((sensor.packets or 0 for sensor in said.sensors if sensor.id == sensor_id), 0)
        # A gateway counts upwards as long as it lives.
        self._life += packets < self._packets.get(sensor_id, 0)
        self._packets[sensor_id] = packets
        return Count(self._life, packets)

    async def read_log(self) -> None:
        """Keep what is logged, until cancelled."""
        while True:
            self.note_log()
            await asyncio.sleep(LOG_S)

    def note_log(self) -> None:
        self.lines += [parsed_line(text, self.now_s) for text in self.reached.logged() if text]

    # The gateway's lives

    async def start(self) -> None:
        """Begin a life, if the bench can; else one must be there. Raises BenchError."""
        started_s = asyncio.get_running_loop().time()
        if self.gateway.start is not None:
            await self.reached.do("start")
        elif await self.status() is None:
            reason = (
                f"no gateway runs on {self.reached.state_dir}, and the bench has no command that starts one"
            )
            raise GatewayUnreachable(self.gateway.resource, reason)
        self.lived.starts_s.append(started_s)

    async def end(self, how: str) -> None:
        """Of one life: by kill at once, by stop when it has ended. Raises BenchError."""
        ended = self.lived.kills_s if how == "kill" else self.lived.stops_s
        ended.append(asyncio.get_running_loop().time())
        await self.reached.do(how)


@asynccontextmanager
async def open_world(
    scenario: Scenario, bench: Inventory, gateway: GatewayUnderTest
) -> AsyncIterator[AirWorld]:
    """Everything but the gateway. Raises BenchError, and ConfigError if the gateway's file is another scenario's."""
    config = file_of(scenario, gateway)
    reached = Reached(gateway, config)
    if reached.bundles.is_dir() and any(reached.bundles.iterdir()):
        raise BenchError(gateway.resource, f"{reached.bundles} holds what was sent before: empty it")
    leases = Leases(bench.leases, SystemClock())
    dongles = {one.resource: one for one in bench.dongles}
    wanted = [Wanted(list(dongles), len(scenario.sensors)), Wanted([gateway.resource])]
    lease = leases.take(wanted, scenario.about or "a scenario")
    try:
        async with opened([one for name, one in dongles.items() if name in lease.fences], lease) as air:
            failure = asyncio.gather(leases.keep(lease), *(_failure(one.failed) for one in air.dongles))
            failure.add_done_callback(lambda done: done.cancelled() or done.exception())
            try:
                async with _sensors_on(air, scenario, config, gateway, reached, failure) as world:
                    yield world
            finally:
                failure.cancel()
                await asyncio.wait({failure})
    finally:
        leases.give_back(lease)


async def _failure(failed: "asyncio.Future[None]") -> None:
    try:
        await asyncio.shield(failed)
    except DongleLost as error:
        raise DongleFailed("a dongle", str(error)) from error


@asynccontextmanager
async def _sensors_on(
    air: DongleAir,
    scenario: Scenario,
    config: Config,
    gateway: GatewayUnderTest,
    reached: Reached,
    failure: Awaitable[object],
) -> AsyncIterator[AirWorld]:
    now_s = asyncio.get_running_loop().time()
    home = build_home(
        air,
        config,
        recordings(bodies=scenario.bodies),
        begin_s=now_s,
        duration_s=scenario.lasts_s,
        seed=scenario.seed,
        history_s=scenario.history_s,
        glucose_pace=GLUCOSE_PACE,
        specs=sensors_there(scenario, config),
    )
    world = AirWorld(scenario, config, air, home, now_s, gateway, reached, failure)
    world.note_consents()
    try:
        await _start(home, air)
        yield world
    finally:
        await world.leave_links_alone()
        await home.stop()


async def _start(home: Home, air: DongleAir) -> None:
    """Raises DongleFailed."""
    try:
        async with asyncio.timeout(OPENS_S_MAX):
            await home.start()
    except (TimeoutError, BaseBumbleError) as error:
        mute = [dongle.name for dongle in air.dongles if dongle.owes_answer]
        reason = "it does not answer as a controller does" if mute else f"it refuses: {error}"
        raise DongleFailed(f"dongle {', '.join(mute) or '?'}", reason) from error


def file_of(scenario: Scenario, gateway: GatewayUnderTest) -> Config:
    """The gateway's file, written for the scenario if the bench starts the gateway, else as it is; its sensors are in
    the scenario's order. Raises ConfigError if it does not fit.
    """
    if gateway.start is not None:
        document = configuration.read_toml(scenario.gateway_text().encode(), gateway.config)
        gateway.config.parent.mkdir(parents=True, exist_ok=True)
        gateway.config.write_text(to_toml(merged(document, gateway.settings)))
    config = configuration.load(gateway.config)
    sensors = [
        _same([one for one in config.sensors if (one.id, one.kind) == (said.id, said.kind)], said.id, gateway)
        for said in scenario.sensors
    ]
    for person in scenario.people:
        pseudonym = person.pseudonym or f"patient-{person.id}"
        _same(
            [one for one in config.people if (one.id, one.pseudonym) == (person.id, pseudonym)],
            person.id,
            gateway,
        )
    return structs.replace(config, sensors=tuple(sensors))


def _same(found: Sequence[_T], name: str, gateway: GatewayUnderTest) -> _T:
    if not found:
        remedy = "let it be what `python -P -m tools.rig.bench gateway-file SCENARIO` writes"
        raise ConfigError(str(gateway.config), f"it has no {name!r} as the scenario has", remedy)
    return found[0]
