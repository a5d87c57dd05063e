"""A device that is used, delivers and hangs up, as a capture has it.

Contract: each link of the capture is a use. The device is off until that link was made in the capture; then it
advertises, waits until somebody listens to what it is going to tell, tells it with its spacing, and hangs up. A use
that nobody meets is over after `ON_S`, and what it would have told is lost.

Not here: what all replayed sensors do (`connected`).
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from bumble.core import BaseBumbleError

from hw_sim.capture.heard import What
from hw_sim.capture.script import Cue
from hw_sim.sensors.replayed.connected import ReplayedSensor

ON_S: Final = 60.0
LINGERS_S: Final = 1.0
_LOOK_S: Final = 0.1


class Visit(NamedTuple):
    """A use: when it began, and what was told."""

    after_s: float
    cues: list[Cue]


class ReplayedVisitor(ReplayedSensor):
    """Plays a device of a capture that does not stay connected."""

    async def start(self) -> None:
        self._life = asyncio.create_task(self._live())
        await self.device.power_on()

    async def _live(self) -> None:
        for visit in _visits(self._script.cues):
            await self._until(visit.after_s)
            await self._visit(visit)
        await asyncio.get_running_loop().create_future()

    async def _visit(self, visit: Visit) -> None:
        loop = asyncio.get_running_loop()
        told = {cue.characteristic for cue in visit.cues if cue.what is What.NOTIFIED}
        for cue in visit.cues:
            if cue.what is What.READ:
                self._values[cue.characteristic] = cue.payload
        with suppress(BaseBumbleError):
            await self.device.start_advertising(auto_restart=False)
        until_s = loop.time() + ON_S
        while not self._hear(told) and loop.time() < until_s:
            await asyncio.sleep(_LOOK_S)
        if self._hear(told) and not self.is_silent:
            await self._tell(visit.cues)
            await asyncio.sleep(LINGERS_S)
        await self._hang_up()

    def _hear(self, told: set[str]) -> bool:
        """Whether somebody listens to all that is to be told."""
        found = [self._characteristics[name] for name in told if name in self._characteristics]
        return bool(self.device.connections) and all(self.subscribed(one) for one in found)

    async def _tell(self, cues: list[Cue]) -> None:
        notified = [cue for cue in cues if cue.what is What.NOTIFIED]
        await self._answer([cue._replace(after_s=cue.after_s - notified[0].after_s) for cue in notified])

    async def _hang_up(self) -> None:
        with suppress(BaseBumbleError):
            await self.device.stop_advertising()
        for link in list(self.device.connections.values()):
            with suppress(BaseBumbleError):
                await link.disconnect()


def _visits(cues: list[Cue]) -> Iterator[Visit]:
    """The links of a capture. One whose begin is not in it began with the first that was heard over it."""
    visit: Visit | None = None
    for cue in cues:
        match cue.what:
            case What.ADVERTISED:
                continue
            case What.CONNECTED:
                if visit is not None and visit.cues:
                    yield visit
                visit = Visit(cue.after_s, [])
            case What.DISCONNECTED:
                if visit is not None:
                    yield visit
                visit = None
            case _:
                visit = visit or Visit(cue.after_s, [])
                visit.cues.append(cue)
    if visit is not None:
        yield visit
