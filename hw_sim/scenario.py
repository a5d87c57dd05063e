"""A home: its sensors on an air, worn by recorded people or, where no recording is given, by simulated bodies.

Everything begins at `begin_s` of the loop's time, midnight for whoever wears the sensors, and ends
`duration_s` later; a recording that is shorter begins again. With `cgm_history_s` the glucose sensors were put
on that much earlier, so that they come with their storage filled; `glucose_pace` plays glucose that many times
as fast.

Must not be here: link faults, and anything about the gateway.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hw_sim import recordings
from hw_sim.physiology.glucose import GlucoseBody
from hw_sim.physiology.heart import Heart
from hw_sim.radio.air import Air
from hw_sim.recordings import GlucoseRecording
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """One sensor of a home, under any address, like "F0:00:00:00:00:01".

    With a passkey printed on it, a glucose sensor pairs by that; without, by Just Works.
    """

    kind: Literal["heart_rate", "cgm"]
    address: str
    passkey: int | None = None


class Home:
    """The sensors of a home; `straps` and `cgms` know what they measured and sent."""

    def __init__(
        self,
        air: Air,
        specs: Sequence[SensorSpec],
        *,
        begin_s: float,
        duration_s: float,
        seed: int = 0,
        rr_ms: NDArray[np.float64] | None = None,
        glucose: GlucoseRecording | None = None,
        cgm_session_age_s: float = 3600.0,
        cgm_history_s: float = 0.0,
        glucose_pace: float = 1.0,
    ) -> None:
        self.straps: list[HeartRateStrap] = []
        self.cgms: list[CgmSensor] = []
        for n, spec in enumerate(specs):
            if spec.kind == "heart_rate":
                beats = Heart(seed + n) if rr_ms is None else recordings.repeat(rr_ms)
                self.wear(
                    HeartRateStrap(air, spec.address, _beats_within(beats, duration_s), begin_s=begin_s)
                )
            else:
                readings = GlucoseBody(seed + n) if glucose is None else recordings.repeat_days(glucose)
                self.wear(
                    CgmSensor(
                        air,
                        spec.address,
                        _readings_within(readings, glucose_pace, cgm_history_s + duration_s),
                        begin_s=begin_s - cgm_history_s,
                        session_age_s=cgm_session_age_s,
                        passkey=spec.passkey,
                    )
                )

    def wear(self, sensor: HeartRateStrap | CgmSensor) -> None:
        """One more sensor, before the home is started."""
        if isinstance(sensor, HeartRateStrap):
            self.straps.append(sensor)
        else:
            self.cgms.append(sensor)

    @property
    def sensors(self) -> dict[str, HeartRateStrap | CgmSensor]:
        """By address."""
        sensors: list[HeartRateStrap | CgmSensor] = [*self.straps, *self.cgms]
        return {sensor.address: sensor for sensor in sensors}

    async def start(self) -> None:
        await asyncio.gather(*(sensor.start() for sensor in (*self.straps, *self.cgms)))

    async def stop(self) -> None:
        await asyncio.gather(*(sensor.stop() for sensor in (*self.straps, *self.cgms)))


def _beats_within(beats: Iterator[float], duration_s: float) -> Iterator[float]:
    """The intervals that end within the duration."""
    elapsed_ms = 0.0
    for rr_ms in beats:
        elapsed_ms += rr_ms
        if elapsed_ms > duration_s * 1000:
            return
        yield rr_ms


def _readings_within(
    readings: Iterator[tuple[float, float]], pace: float, duration_s: float
) -> Iterator[tuple[float, float]]:
    """The readings before the duration is over: a day has its midnight at the beginning, not at the end."""
    paced = ((t_s / pace, glucose_mg_dl) for t_s, glucose_mg_dl in readings)
    return takewhile(lambda reading: reading[0] < duration_s, paced)
