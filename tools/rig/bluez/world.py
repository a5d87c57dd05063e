"""A scenario's sensors in real time, beside a gateway on a real Bluetooth stack in a guest.

Contract: `open_world` boots the guest, starts D-Bus, bluetoothd and the adapters in it, and the sensors here; `start`
starts the gateway, at the scenario's midnight, as `vitalgate run --config`, with bleak's own backend, on the
installation that runs this process. Everything is taken down in the other order, whatever happens. What the gateway
says is kept in `lines`, what everything says in the file `log` of the run's directory.

Not here: what goes wrong (`faults`), and what must be true (`play`, `tools.rig.verdict.expectations`).
"""

import asyncio
import json
import logging
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from edge import config as configuration
from edge.clock import NS_PER_S, SystemClock
from edge.local.status import StatusDocument
from hw_sim.radio.air import Air
from hw_sim.scenario import Home
from tools.rig.bluez import provided
from tools.rig.bluez.adapter import Adapter
from tools.rig.bluez.guest import Answer, Guest, GuestError, command
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.scene import Count, Lives, Scene, sensors_there
from tools.rig.home.simulation import build_home
from tools.rig.language.gateway_file import merged, to_toml
from tools.rig.language.scenario import Scenario
from tools.rig.verdict.expectations import Line

# A CGM that takes a reading each minute: a scenario lasts minutes at most.
GLUCOSE_PACE: Final = 5.0
# Whatever is installed, the gateway is of this checkout.
ROOT: Final = Path(__file__).parents[3]
STATE: Final = "/var/lib/vitalgate"
BUNDLES: Final = "/run/host/bundles"
# That its kernels are run by Python is our doing.
OURS: Final = "VITALGATE_KERNELS is plain"
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LOGGED: Final = re.compile(rf"({'|'.join(LEVELS)}) ([\w.]+): (.*)")
_CONSOLE: Final = re.compile(r"\[(\w+)\] (.*)")


@dataclass
class Lived:
    """The gateway's lives."""

    starts_s: list[float] = field(default_factory=list)
    stops_s: list[float] = field(default_factory=list)
    kills_s: list[float] = field(default_factory=list)


def gateway_document(scenario: Scenario) -> dict[str, Any]:
    """The gateway's file, for the guest: where it keeps and sends things there; the guest's clock is this machine's."""
    ours = {
        "gateway": {"state_dir": STATE, "trust_clock": True},
        "upstream": {"directory": BUNDLES},
    }
    return merged(configuration.read_toml(scenario.gateway_text().encode(), Path("gateway.toml")), ours)


def parsed_line(text: str, at_s: float) -> Line:
    """What the gateway wrote: a line of its log, or something else, which is an error."""
    found = _LOGGED.fullmatch(text)
    level, name, words = found.groups() if found else ("ERROR", "stderr", text)
    return Line(at_s, getattr(logging, level), name, words, "Traceback" in text)


def told_status(said: Answer) -> StatusDocument | None:
    """The document in an answer; None if no gateway runs. Raises GuestError."""
    if said.status != 0:
        return None
    for line in said.text.splitlines():
        if line.startswith("{"):
            return msgspec.json.decode(line, type=StatusDocument)
    raise GuestError(f"asked for the status, the guest has said {said.text!r}")


@dataclass
class RealWorld(Scene):
    """Sensors here, the gateway in a guest.

    Attributes:
        lines: what the gateway has written.
        counted: what the gateway has counted of each sensor; None while it does not answer.
        turn: held while one life of the gateway gives way to another.
    """

    run: Path
    guest: Guest
    adapters: Sequence[Adapter]
    lived: Lived = field(default_factory=Lived)
    lines: list[Line] = field(default_factory=list)
    counted: dict[str, Any] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _zero_utc_s: float = 0.0

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
        return self.run / "bundles"

    # What the gateway says

    async def status(self) -> StatusDocument | None:
        asked = command(sys.executable, "-P", str(provided.HERE / "counts.py"), STATE, "--status")
        return told_status(await self.guest.say(asked))

    async def count(self, sensor_id: str) -> Count | None:
        if self.counted is None:
            return None
        return Count(self.counted["life"], self.counted["sensors"][sensor_id]["packets"] or 0)

    def on_line(self, text: str) -> None:
        """A line of the console."""
        found = _CONSOLE.fullmatch(text)
        name, words = found.groups() if found else ("guest", text)
        if name == "counts":
            self.counted = json.loads(words)
        if name == "gateway" and not words.endswith(OURS):
            self.lines.append(parsed_line(words, self.now_s))
        with (self.run / "log").open("a") as log:
            log.write(f"{self.now_s:8.2f} [{name}] {words}\n")

    # The gateway's lives

    async def do(self, line: str) -> str:
        """Have a command run that has to succeed. Raises GuestError."""
        said: Answer = await self.guest.say(line)
        self.on_line(f"[rig] {line}: {said.status} {said.text}")
        if said.status != 0:
            raise GuestError(f"in the guest, {line!r} has failed: {said.text or said.status}")
        return said.text

    async def start(self) -> None:
        self.lived.starts_s.append(asyncio.get_running_loop().time())
        await self.do(command("start_gateway", str(ROOT), sys.prefix, str(self.run / "gateway.toml")))

    async def end(self, signal_name: str) -> None:
        """Of one life: by KILL at once, by TERM when it has ended."""
        ended = self.lived.kills_s if signal_name == "KILL" else self.lived.stops_s
        ended.append(asyncio.get_running_loop().time())
        await self.do(f"send {signal_name} gateway; while is_running gateway; do sleep 0.02; done")
        self.counted = None

    async def is_running(self) -> bool:
        return (await self.guest.say("is_running gateway")).status == 0


@cache
def recordings(*, bodies: bool) -> DemoRecordings:
    """What is worn. To be read before anything is started: while this process reads, no adapter answers."""
    return DemoRecordings.chosen(None, None, bodies=bodies, pace=GLUCOSE_PACE)


@asynccontextmanager
async def open_world(scenario: Scenario, version: str, run: Path) -> AsyncIterator[RealWorld]:
    """Everything but the gateway, with a version of bluetoothd; `run` is an empty directory. Raises GuestError."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "bundles").mkdir()
    (run / "gateway.toml").write_text(to_toml(gateway_document(scenario)))
    config = scenario.configure(run / "checked")
    air = Air()
    adapters = [Adapter(air, f"hci{n}") for n in range(scenario.adapters)]
    now_s = asyncio.get_running_loop().time()
    guest = Guest(run, provided.require(version), lambda line: world.on_line(line))
    nobody = Home(air, (), begin_s=now_s, duration_s=0.0)
    world = RealWorld(scenario, config, air, nobody, now_s, run, guest, adapters)
    async with AsyncExitStack() as undone:
        for adapter in adapters:
            undone.callback(adapter.close)
        undone.push_async_callback(guest.close)
        await guest.open([await adapter.connect() for adapter in adapters])
        await world.do("start_bus")
        if scenario.experimental:
            await world.do("bluetoothd_options=--experimental")
        await world.do("start_bluetoothd")
        for n in range(len(adapters)):
            await world.do(f"plug {n}")
        await world.do(command("start_counting", sys.executable, STATE))
        world.begin_s = asyncio.get_running_loop().time()
        world.home = build_home(
            air,
            config,
            recordings(bodies=scenario.bodies).heart_from(scenario.heart_from_s),
            begin_s=world.begin_s,
            duration_s=scenario.lasts_s,
            seed=scenario.seed,
            history_s=scenario.history_s,
            glucose_pace=GLUCOSE_PACE,
            specs=sensors_there(scenario, config),
        )
        world.note_consents()
        await world.home.start()
        undone.push_async_callback(world.home.stop)
        undone.push_async_callback(world.leave_links_alone)
        yield world
