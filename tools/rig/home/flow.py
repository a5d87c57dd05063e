"""Whether data of a sensor flow: the times that an expectation "data" asks for.

Contract: what the gateway counts is held against what the sensor knows that it has sent. A sensor that has nothing to
send in the time that it is given, because it measures once in minutes, brings data as soon as it is linked and somebody
listens, if the first thing that it then sends arrives: that is waited for.

Not here: what is expected (`vocabulary`), and what is said of it (`expectations`).
"""

import asyncio
from typing import Final

from hw_sim.sensors.peripheral import Peripheral
from tools.rig.home.scene import Count, Scene
from tools.rig.language import vocabulary as v

LOOK_S: Final = 0.1
# What was sent before the moment has been counted, and told, by then.
ARRIVED_S: Final = 0.6
# From a sensor that sends to a gateway that has counted it, and has told.
ARRIVES_S: Final = 2.0
# No sensor here is silent for longer while it is well.
SILENT_S_MAX: Final = 330.0

Times = dict[str, float | None]


async def times(scene: Scene, expected: v.Data) -> Times:
    """How long after the moment each sensor brought data; None if it did not in its time."""
    await scene.until_moment(expected.after_s)
    names = expected.sensors or [sensor.id for sensor in scene.scenario.sensors]
    found = await asyncio.gather(*(_time(scene, name, expected) for name in names))
    return dict(zip(names, found, strict=True))


async def _time(scene: Scene, name: str, expected: v.Data) -> float | None:
    await asyncio.sleep(ARRIVED_S)
    heard = _Heard(scene.sensor(name), scene, expected.after_s + expected.within_s)
    before = Count(0, 0)
    while True:
        now = await scene.count(name)
        heard.look()
        if heard.has_sent and _is_more(now, before):
            break
        if not heard.has_sent:
            # What is counted yet was sent before the moment, and told late.
            before = now or before
        if heard.is_too_late:
            return None
        await asyncio.sleep(LOOK_S)
    return heard.since_s - expected.after_s


def _is_more(now: Count | None, before: Count) -> bool:
    if now is None:
        return False
    return now.packets > (before.packets if now.life == before.life else 0)


class _Heard:
    """What the sensor knows of who listens to it."""

    def __init__(self, sensor: Peripheral, scene: Scene, deadline_s: float) -> None:
        self._sensor = sensor
        self._scene = scene
        self._deadline_s = deadline_s
        self._began_s = asyncio.get_running_loop().time()
        self._ready_s: float | None = None
        self._sent_s: float | None = None

    def look(self) -> None:
        """To be called again and again."""
        now_s = self._scene.now_s
        if not self._sensor.is_subscribed:
            self._ready_s = None
        elif self._ready_s is None:
            self._ready_s = now_s
        if self._sent_s is None and self._sensor.sent_s > self._began_s:
            self._sent_s = now_s

    @property
    def has_sent(self) -> bool:
        """Whether it has sent anything since the moment."""
        return self._sent_s is not None

    @property
    def is_too_late(self) -> bool:
        """Whether data should have come."""
        now_s = self._scene.now_s
        if self._sent_s is not None:
            return now_s > max(self._deadline_s, self._sent_s + ARRIVES_S)
        waits = self._ready_s is not None and now_s < self._deadline_s + SILENT_S_MAX
        return now_s > self._deadline_s and not waits

    @property
    def since_s(self) -> float:
        """Since when data flow, now that some have come: where none were to be had before the deadline, since then."""
        now_s = self._scene.now_s
        return now_s if self._ready_s is None or now_s <= self._deadline_s else self._ready_s
