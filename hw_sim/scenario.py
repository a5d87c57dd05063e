"""A home: its sensors on an air, worn by recorded people or, where no recording is given, by simulated bodies.

Everything begins at `begin_s` of the loop's time, midnight for whoever wears the sensors, and ends
`duration_s` later; a recording that is shorter begins again. With `cgm_history_s` the glucose sensors were put
on that much earlier, so that they come with their storage filled; `glucose_pace` plays glucose that many times
as fast.

Must not be here: link faults, and anything about the gateway.
"""

import asyncio
import hashlib
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_sim import recordings
from hw_sim.capture.heard import Device
from hw_sim.physiology.glucose import GlucoseBody
from hw_sim.physiology.heart import Heart
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.recordings import GlucoseRecording
from hw_sim.sensors.aidex_sensor import AidexSensor
from hw_sim.sensors.bumble_strap import BumbleStrap
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from hw_sim.sensors.peripheral import Peripheral
from hw_sim.sensors.polar_sensor import PolarSensor
from hw_sim.sensors.replayed.connected import ReplayedSensor
from hw_sim.sensors.replayed.making import Place, replayed
from hw_sim.sensors.spot import habits
from hw_sim.sensors.spot.body_scale import BodyScale
from hw_sim.sensors.spot.device import Use
from hw_sim.sensors.spot.glucose_meter import GlucoseMeter
from hw_sim.sensors.spot.notifying import NotifyingDevice
from hw_sim.sensors.xiaomi_scale import Step, XiaomiScale


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """One sensor of a home, under any address, like "F0:00:00:00:00:01".

    With a passkey printed on it, a glucose sensor pairs by that; without, by Just Works. A scale that wants a consent
    has one user, with this number and code. With a device of a capture it plays that.
    """

    kind: str
    address: str
    passkey: int | None = None
    user: int | None = None
    consent_code: int | None = None
    captured: Device | None = None


class Worn(NamedTuple):
    """Who wears the sensors of a home, since when, and for how long; None: a simulated body."""

    begin_s: float
    duration_s: float
    rr_ms: NDArray[np.float64] | None
    glucose: GlucoseRecording | None
    cgm_session_age_s: float
    cgm_history_s: float
    glucose_pace: float


class Home:
    """The sensors of a home, by address; they know what they measured and sent."""

    def __init__(
        self,
        air: SensorAir,
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
        worn = Worn(begin_s, duration_s, rr_ms, glucose, cgm_session_age_s, cgm_history_s, glucose_pace)
        self.sensors: dict[str, Peripheral] = {}
        for n, spec in enumerate(specs):
            if spec.captured is None:
                make = MAKERS.get(spec.kind) or FOREIGN[spec.kind]
                self.wear(make(air, spec, worn, seed + n))
            else:
                place = Place(air, spec.address, begin_s, spec.passkey)
                self.wear(replayed(place, spec.kind, spec.captured))

    def wear(self, sensor: Peripheral) -> None:
        """One more sensor, before the home is started."""
        self.sensors[sensor.address] = sensor

    @property
    def straps(self) -> list[HeartRateStrap | BumbleStrap]:
        return [
            sensor for sensor in self.sensors.values() if isinstance(sensor, HeartRateStrap | BumbleStrap)
        ]

    @property
    def cgms(self) -> list[CgmSensor]:
        return [sensor for sensor in self.sensors.values() if isinstance(sensor, CgmSensor)]

    @property
    def replayed(self) -> list[ReplayedSensor]:
        return [sensor for sensor in self.sensors.values() if isinstance(sensor, ReplayedSensor)]

    async def start(self) -> None:
        await asyncio.gather(*(sensor.start() for sensor in self.sensors.values()))

    async def stop(self) -> None:
        await asyncio.gather(*(sensor.stop() for sensor in self.sensors.values()))


def _strap(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> HeartRateStrap:
    beats = Heart(seed) if worn.rr_ms is None else recordings.repeat(worn.rr_ms)
    return HeartRateStrap(air, spec.address, _beats_within(beats, worn.duration_s), begin_s=worn.begin_s)


def _polar(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> PolarSensor:
    beats = Heart(seed) if worn.rr_ms is None else recordings.repeat(worn.rr_ms)
    within = _beats_within(beats, worn.duration_s)
    return PolarSensor(air, spec.address, within, begin_s=worn.begin_s, seed=seed)


def _cgm(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> CgmSensor:
    readings = GlucoseBody(seed) if worn.glucose is None else recordings.repeat_days(worn.glucose)
    return CgmSensor(
        air,
        spec.address,
        _readings_within(readings, worn.glucose_pace, worn.cgm_history_s + worn.duration_s),
        begin_s=worn.begin_s - worn.cgm_history_s,
        session_age_s=worn.cgm_session_age_s,
        passkey=spec.passkey,
    )


def _aidex(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> AidexSensor:
    readings = GlucoseBody(seed) if worn.glucose is None else recordings.repeat_days(worn.glucose)
    # Sensors are told from each other by their serial number; the address is any.
    radio_address = "C4" + hashlib.sha256(spec.address.encode()).hexdigest()[:10]
    return AidexSensor(
        air,
        spec.address,
        _readings_within(readings, worn.glucose_pace, worn.duration_s),
        begin_s=worn.begin_s,
        session_age_s=worn.cgm_session_age_s,
        radio_address=":".join(textwrap.wrap(radio_address.upper(), 2)),
        hides_behind_response=True,
    )


def _notifying(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> NotifyingDevice:
    return NotifyingDevice(air, spec.address, spec.kind, _uses(spec, worn, seed), begin_s=worn.begin_s)


def _meter(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> GlucoseMeter:
    return GlucoseMeter(
        air, spec.address, _uses(spec, worn, seed), begin_s=worn.begin_s, passkey=spec.passkey
    )


def _body_scale(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> BodyScale:
    user, code = spec.user or 1, spec.consent_code or 1234
    whose = _uses(spec, worn, seed, user)
    return BodyScale(air, spec.address, whose, begin_s=worn.begin_s, codes={user: code})


def _uses(spec: SensorSpec, worn: Worn, seed: int, user: int | None = None) -> Iterator[Use]:
    return habits.uses(spec.kind, begin_s=worn.begin_s, duration_s=worn.duration_s, seed=seed, user=user)


def _xiaomi_scale(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> XiaomiScale:
    begin_s, duration_s = worn.begin_s - worn.cgm_history_s, worn.cgm_history_s + worn.duration_s
    uses = habits.uses("weight_scale", begin_s=0.0, duration_s=duration_s, seed=seed)
    steps = (Step(use.at_s, use.values["body_weight"]) for use in uses)
    return XiaomiScale(air, spec.address, steps, begin_s=begin_s)


def _bumble_strap(air: SensorAir, spec: SensorSpec, worn: Worn, seed: int) -> BumbleStrap:
    beats = Heart(seed) if worn.rr_ms is None else recordings.repeat(worn.rr_ms)
    return BumbleStrap(air, spec.address, _beats_within(beats, worn.duration_s), begin_s=worn.begin_s)


Maker = Callable[[SensorAir, SensorSpec, Worn, int], Peripheral]

MAKERS: Final[dict[str, Maker]] = {
    "heart_rate": _strap,
    "polar": _polar,
    "cgm": _cgm,
    "glucose_meter": _meter,
    "pulse_oximeter": _notifying,
    "thermometer": _notifying,
    "blood_pressure": _notifying,
    "weight_scale": _notifying,
    "body_composition": _body_scale,
    "aidex": _aidex,
    "xiaomi_scale": _xiaomi_scale,
}
"""What makes a sensor, by its kind; the last argument is its seed."""

FOREIGN: Final[dict[str, Maker]] = {"bumble_heart_rate": _bumble_strap}
"""What makes a sensor that others have written, by a name of its own."""


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
