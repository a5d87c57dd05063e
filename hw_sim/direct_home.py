"""A home whose radio is ordinary calls: its sensors as bodies wear them, and whether they are in reach.

Contract: `DirectHome` and `DirectAir` are to a `DirectStack` what `scenario.Home` and `radio.air.Air` are to a radio
that is simulated bit by bit, for one tenth of the time. There are CGMs and straps here, and nobody pairs.

Not here: pairing and its faults; other kinds of sensors (`scenario`).
"""

from collections.abc import Iterable
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from hw_sim import recordings
from hw_sim.physiology.glucose import GlucoseBody
from hw_sim.physiology.heart import Heart
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.recordings import GlucoseRecording
from hw_sim.sensors.direct_worn import WornCgm, WornStrap


class DirectAir:
    """What lies between the sensors and the machine."""

    def __init__(self, stack: DirectStack) -> None:
        self._stack = stack

    def set_reachable(self, address: str, reachable: bool) -> None:
        if reachable:
            self._stack.regain(address)
        else:
            self._stack.lose(address)

    def lose_link(self, address: str) -> None:
        self._stack.cut(address)


class DirectHome:
    """The sensors of a home, by address; they know what they measured and told."""

    def __init__(
        self,
        stack: DirectStack,
        sensors: Iterable[tuple[str, str]],
        *,
        begin_s: float,
        duration_s: float,
        seed: int,
        rr_ms: NDArray[np.float64] | None = None,
        glucose: GlucoseRecording | None = None,
    ) -> None:
        """`sensors` are kind and address of each; where no recording is given, bodies wear them, all different."""
        self.sensors: dict[str, WornCgm | WornStrap] = {}
        for number, (kind, address) in enumerate(sensors):
            if kind == "cgm":
                body = GlucoseBody(seed + number) if glucose is None else recordings.repeat_days(glucose)
                readings = takewhile(lambda one: one[0] < duration_s, body)
                self.sensors[address] = WornCgm(stack, address, readings, begin_s=begin_s)
            elif kind == "heart_rate":
                beats = Heart(seed + number) if rr_ms is None else recordings.repeat(rr_ms)
                end_s = begin_s + duration_s
                self.sensors[address] = WornStrap(stack, address, beats, begin_s=begin_s, end_s=end_s)
            else:
                raise ValueError(f"there is no {kind} behind the direct radio")
        stack.add(*self.sensors.values())

    @property
    def straps(self) -> list[WornStrap]:
        return [sensor for sensor in self.sensors.values() if isinstance(sensor, WornStrap)]

    @property
    def cgms(self) -> list[WornCgm]:
        return [sensor for sensor in self.sensors.values() if isinstance(sensor, WornCgm)]

    @property
    def replayed(self) -> list[WornCgm]:
        """Nothing is replayed here."""
        return []

    def forget(self) -> None:
        """What was true until now is not asked for: so weeks cost no more memory than a day."""
        for sensor in self.sensors.values():
            sensor.forget()

    async def start(self) -> None:
        for sensor in self.sensors.values():
            sensor.start()

    async def stop(self) -> None:
        for sensor in self.sensors.values():
            sensor.stop()
