"""A scenario's sensors on their air, and its time: what the setting in virtual time and that on a real stack share.

Contract: times are seconds since the scenario's midnight, which is at `begin_s` of the loop's time. The home knows what
is true (`home.straps`, `home.cgms`); `sensor` finds one by its id.

Not here: the gateway, and what it runs on (`world`, `bluez.world`).
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from edge.config import Config
from edge.kinds import KINDS, Reach
from edge.local.status import StatusDocument
from hw_sim.faults import LinkFaults, drop_links
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.scenario import Home, SensorSpec
from hw_sim.sensors.peripheral import Peripheral
from tools.rig.language.scenario import Scenario


class Lives(Protocol):
    """When lives of the gateway began, and when they were ended, in the loop's time."""

    starts_s: list[float]
    stops_s: list[float]
    kills_s: list[float]


class Count(NamedTuple):
    """How many packets of a sensor a life of the gateway has counted."""

    life: int
    packets: int


@dataclass
class Scene(ABC):
    """A home, and what happens between it and whoever listens.

    Attributes:
        config: what the gateway's file says to the next life.
        drops: how often a sensor has gone out of reach at random, by address.
        consents: who has consented since when, in the loop's time: each version of the gateway's file.
    """

    scenario: Scenario
    config: Config
    air: SensorAir
    home: Home
    begin_s: float
    consents: list[tuple[float, dict[str, bool]]] = field(default_factory=list, kw_only=True)
    drops: Counter[str] = field(default_factory=Counter, kw_only=True)
    _dropping: list[asyncio.Task[None]] = field(default_factory=list, kw_only=True)

    @property
    @abstractmethod
    def zero_utc_s(self) -> float:
        """The true time at the loop's zero."""

    @property
    @abstractmethod
    def lives(self) -> Lives:
        """Those of the gateway."""

    @property
    @abstractmethod
    def bundles(self) -> Path:
        """Where what is sent arrives."""

    @abstractmethod
    async def status(self) -> StatusDocument | None:
        """What the gateway says; None if none runs."""

    @abstractmethod
    async def count(self, sensor_id: str) -> Count | None:
        """What the gateway has counted; None if none runs."""

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time() - self.begin_s

    async def until_moment(self, at_s: float) -> None:
        """Wait for a moment; whoever looks after the gateway notices if it ends."""
        await asyncio.sleep(max(0.0, at_s - self.now_s))

    def address(self, sensor_id: str) -> str:
        return next(one.address for one in self.config.sensors if one.id == sensor_id)

    def told_by_feed(self, sensor_id: str) -> Mapping[int, float]:  # noqa: ARG002 - the air has no feeds
        """What a feed's server was told until now: mg/dL by second of UTC. Nothing of what is no feed."""
        return {}

    def sensor(self, sensor_id: str) -> Peripheral:
        """What plays the sensor."""
        return self.home.sensors[self.address(sensor_id)]

    @property
    def on_the_air(self) -> list[str]:
        """The sensors of the scenario but for feeds, by their ids."""
        return [one.id for one in self.scenario.sensors if not one.is_feed]

    def addresses(self, sensors: Sequence[str]) -> list[str]:
        """Of these sensors; of all, if none is named."""
        return [self.address(one) for one in sensors or self.on_the_air]

    def drop_links(self, faults: LinkFaults, sensors: Sequence[str] = ()) -> "asyncio.Task[None]":
        """Let sensors (all, if none is named) go out of reach and come back, until the task is cancelled."""
        dropping = asyncio.ensure_future(drop_links(self.air, self.addresses(sensors), faults, self.drops))
        self._dropping.append(dropping)
        return dropping

    def note_consents(self) -> None:
        consents = {person.id: person.consent for person in self.scenario.people}
        self.consents.append((asyncio.get_running_loop().time(), consents))

    async def leave_links_alone(self) -> None:
        for dropping in self._dropping:
            dropping.cancel()
        if self._dropping:
            await asyncio.wait(self._dropping)


def sensors_there(scenario: Scenario, config: Config) -> list[SensorSpec]:
    """What is worn, which need not be what the gateway's file says; others' sensors are there, too."""
    others = [SensorSpec(kind, f"F0:00:00:00:01:{n:02X}") for n, kind in enumerate(scenario.neighbours, 1)]
    return [
        SensorSpec(
            said.really or one.kind,
            one.address,
            one.passkey if said.label is None else int(said.label),
            captured=said.captured(),
        )
        for said, one in zip(scenario.sensors, config.sensors, strict=True)
        if KINDS[one.kind].reach is not Reach.FEED
    ] + others
