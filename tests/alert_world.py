"""Somebody who wears a strap and a CGM, the machine with the gateway that hears them, and who is told its alerts.

What is true is known here: what was measured, what a living gateway was told, and when. `told` is what arrived, in
order, with the life of the gateway that told it. Nothing random happens but by `rng`, so a seed replays.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from edge.alerts.message import Message
from edge.alerts.state import Tier
from edge.config import Config, parse
from edge.errors import Undelivered
from edge.workers import Workers
from hw_sim.disk import InstantDisk, SimulatedDisk
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import heart_rate
from protocols.cgm import CgmMeasurement, SensorStatus
from tools.rig.home.machine import Machine, direct

ZERO_UTC_S: Final = 1_772_406_000
BEAT_S: Final = 5.0
READING_S: Final = 300.0
USUAL_BPM, USUAL_MG_DL = 70, 120.0
SENSORS: Final = ("strap", "cgm")
SILENCE: Final = {"strap": "heart_rate_silence", "cgm": "cgm_silence"}
MALFUNCTION: Final = SensorStatus.SENSOR_MALFUNCTION
FILE: Final = """
[gateway]
id = "gw"
state_dir = "state"
[[people]]
id = "anna"
pseudonym = "p-anna"
[upstream]
directory = "bundles"
[limits]
racp_reconcile_s = 900.0
[[sensors]]
id = "strap"
kind = "heart_rate"
address = "F0:00:00:00:00:01"
person = "anna"
stale_s = 60.0
[[sensors]]
id = "cgm"
kind = "cgm"
address = "F0:00:00:00:00:02"
person = "anna"
"""


@dataclass(frozen=True)
class Reading:
    """Something that was measured, and when."""

    at_s: float
    value: float
    counts: bool


@dataclass(frozen=True)
class Told:
    """A message that arrived, and in which life of the gateway."""

    at_s: float
    life: int
    message: Message


@dataclass
class Receiver:
    """A channel that takes a while, and sometimes does not work."""

    world: "World"
    name: str = "receiver"
    least_tier: Tier = Tier.REMINDER
    must_work: bool = True

    async def deliver(self, message: Message) -> None:
        life = len(self.world.machine.starts_s)
        await asyncio.sleep(self.world.rng.choice([0.0, 0.01, 0.5]))
        if self.world.is_deaf:
            raise Undelivered("nobody hears")
        self.world.told.append(Told(self.world.now_s, life, message))


@dataclass
class Truth:
    """What is true of one sensor.

    Attributes:
        readings: all that it measured.
        heard_s: when a living gateway was told something as it was measured, by a sensor that did not say it is faulty.
        newest_s: when the newest such was measured that a gateway may have been told, also of what the sensor had kept.
    """

    readings: list[Reading] = field(default_factory=list)
    heard_s: list[float] = field(default_factory=list)
    newest_s: float = -math.inf


class HeardCgm(WaywardCgm):
    """Says of each record whether it passed."""

    def __init__(self, address: str, began_s: float) -> None:
        super().__init__(address, began_s=began_s)
        self.on_passed: Callable[[float], None] = lambda _: None

    def _send(self, records: Sequence[CgmMeasurement]) -> bool:
        passed = super()._send(records)
        for record in records if passed else ():
            self.on_passed(self.session.began_s + 60.0 * record.time_offset_min)
        return passed


class World:
    """Everything outside the gateway."""

    def __init__(self, directory: Path, rng: Random) -> None:
        self.directory = directory
        self.rng = rng
        self.stack = DirectStack(connect_s=0.2, request_s=rng.choice([0.0, 0.02]))
        self.strap = DirectStrap("F0:00:00:00:00:01")
        self.cgm = HeardCgm("F0:00:00:00:00:02", began_s=-3 * 86_400.0)
        for at_s in range(-7200, 0, 300):
            self.cgm.session.take(float(at_s), USUAL_MG_DL)
        self.stack.add(self.strap, self.cgm)
        self.cgm.on_live = self._on_live
        self.cgm.on_passed = self._on_passed
        self.truth = {name: Truth() for name in SENSORS}
        self.told: list[Told] = []
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        self.bpm, self.mg_dl = USUAL_BPM, USUAL_MG_DL
        self.is_faulty = False
        self.is_deaf = False
        self.deaf_until_s = -math.inf
        self.full_until_s = -math.inf
        self.losses_s: list[float] = []  # when the store was lost
        self.reboots: list[tuple[float, float]] = []  # when, and for how long it was off
        self.forgot_s: list[float] = []  # when a life ended that could not store what it knew
        self._is_over = False
        self.machine = Machine(
            lambda: config(directory),
            direct(self.stack),
            zero_utc_s=ZERO_UTC_S,
            new_rng=lambda _: Random(rng.getrandbits(32)),
            new_workers=self._new_workers,
            new_channels=lambda: (Receiver(self),),
        )
        self.machine.died.add_done_callback(
            lambda died: self.broken.append(f"the gateway ended by itself: {died.result()}")
        )

    async def end_life(self, *, orderly: bool) -> None:
        """The gateway's process ends; what could not be stored is forgotten."""
        if not orderly:
            await self.machine.kill()
            self.forgot_s.append(self.now_s)
            return
        if self.machine.is_full:
            self.forgot_s.append(self.now_s)
        await self.machine.stop()
        if self.machine.is_full:
            self.forgot_s.append(self.now_s)

    @property
    def now_s(self) -> float:
        return self.machine.now_s

    def _new_workers(self) -> Workers:
        delay_s = self.rng.choice([(0.005, 0.05), (0.0, 0.5), (0.5, 4.0)])
        return Workers(SimulatedDisk(self.rng.getrandbits(32), delay_s=delay_s), InstantDisk(), InstantDisk())

    def address(self, sensor: str) -> str:
        return {"strap": self.strap, "cgm": self.cgm}[sensor].address

    # What the body does

    def live(self) -> None:
        """From now on both sensors measure."""
        self._beat()
        asyncio.get_running_loop().call_later(self.rng.uniform(0.0, READING_S), self._measure)

    def end(self) -> None:
        self._is_over = True

    def _beat(self) -> None:
        if self._is_over:
            return
        reading = heart_rate.HeartRateMeasurement(self.bpm, contact=True, rr_ticks=(61_440 // self.bpm,) * 5)
        self.truth["strap"].readings.append(Reading(self.now_s, float(self.bpm), counts=True))
        if self.strap.send(heart_rate.encode(reading)) and self.machine.is_running:
            self.truth["strap"].heard_s.append(self.now_s)
            self.truth["strap"].newest_s = self.now_s
        asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _measure(self) -> None:
        if self._is_over:
            return
        status = MALFUNCTION if self.is_faulty else SensorStatus(0)
        value = self.mg_dl + self.rng.choice([-2.0, 0.0, 2.0])
        self.truth["cgm"].readings.append(Reading(self.now_s, value, counts=not self.is_faulty))
        self.cgm.take(value, status=status)
        asyncio.get_running_loop().call_later(READING_S, self._measure)

    def _on_live(self, _: CgmMeasurement) -> None:
        if self.machine.is_running and not self.is_faulty:
            self.truth["cgm"].heard_s.append(self.now_s)

    def _on_passed(self, taken_s: float) -> None:
        truth = self.truth["cgm"]
        # Its minutes are rounded down.
        end_s = taken_s + 60.0
        if not any(taken_s <= one.at_s < end_s and not one.counts for one in truth.readings):
            truth.newest_s = max(truth.newest_s, min(self.now_s, end_s))

    @property
    def lost_s(self) -> float:
        """When the store was lost last."""
        return max(self.losses_s, default=-math.inf)

    def told_of(self, rule: str) -> list[Told]:
        return [one for one in self.told if one.message.rule == rule]

    def stands(self, rule: str) -> bool:
        """Whether people were told that it began, and not that it ended."""
        about = self.told_of(rule)
        return bool(about) and about[-1].message.what not in ("over", "retracted")


def config(directory: Path) -> Config:
    return parse(FILE.encode(), directory / "gateway.toml")
