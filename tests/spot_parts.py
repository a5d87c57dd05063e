"""A home with one device that delivers and hangs up: what it has measured, and what is stored of it."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.sensors.spot.body_scale import BodyScale
from hw_sim.sensors.spot.device import Quirks, SpotDevice, Taken
from hw_sim.sensors.spot.glucose_meter import GlucoseMeter
from hw_sim.sensors.spot.notifying import NotifyingDevice
from tools.rig.home.world import Disks, World, open_world
from tools.rig.language.scenario import LEAD_S, MIDNIGHT_UTC_S, Clock, Sensor, home_of

ADDRESS = "F0:00:00:00:00:01"
DEVICE = "device"
RIGHT = Clock()
VALUES: dict[str, dict[str, float]] = {
    "glucose_meter": {"capillary_glucose": 112.0},
    "pulse_oximeter": {"oxygen_saturation": 97.0, "pulse_rate": 61.0},
    "thermometer": {"body_temperature": 37.1},
    "blood_pressure": {"systolic": 121.0, "diastolic": 79.0, "mean_arterial": 93.0, "pulse_rate": 64.0},
    "weight_scale": {"body_weight": 78.5},
    "body_composition": {
        "body_weight": 78.5,
        "body_fat": 22.4,
        "muscle": 40.1,
        "impedance": 452.0,
        "basal_metabolism": 6879.0,
    },
}


class Stored(NamedTuple):
    """A stored value: when it was measured by trusted clocks, to the second; None while that is not known."""

    utc_s: int | None
    measurement: str
    value: float | None
    not_counted: str | None


def device(air: Air, kind: str, **said: Any) -> SpotDevice:
    if kind == "glucose_meter":
        return GlucoseMeter(air, ADDRESS, begin_s=LEAD_S, **said)
    if kind == "body_composition":
        said.setdefault("codes", {1: 1234})
        return BodyScale(air, ADDRESS, begin_s=LEAD_S, **said)
    return NotifyingDevice(air, ADDRESS, kind, begin_s=LEAD_S, **said)


def stored(world: World) -> list[Stored]:
    """Everything that is stored of the device, in order of time."""
    tables = world.gateway.store.tables
    found = []
    for session in tables.sessions.of_sensor(world.row_no(DEVICE)):
        is_known = session.start_utc_s is not None and session.start_error_ms is not None
        for measurement in tables.readings.measurements(session.no):
            for reading in tables.readings.between(session.no, measurement, -(1 << 40), 1 << 40):
                utc_s = (session.start_utc_s or 0) + reading.at_s if is_known else None
                found.append(Stored(utc_s, measurement, reading.value, reading.not_counted))
    return sorted(found, key=lambda one: (one.utc_s or 0, one.measurement, one.value or 0.0))


def truth(
    taken: list[Taken], *, only: Callable[[Taken], bool] = lambda _: True
) -> list[tuple[int, str, float]]:
    """What was measured, and when."""
    rows = [
        (round(MIDNIGHT_UTC_S + one.at_s - LEAD_S), name, value)
        for one in taken
        if only(one)
        for name, value in one.values.items()
        if name not in ("status", "control")
    ]
    return sorted(rows)


def assert_complete(world: World, body: SpotDevice, within_s: float = 2.0) -> None:
    """Everything that the device has measured is stored once, with its time."""
    kept = [one for one in stored(world) if one.not_counted is None]
    assert_same(kept, truth(body.taken), within_s)


def assert_same(kept: list[Stored], true: list[tuple[int, str, float]], within_s: float = 2.0) -> None:
    in_order = sorted(kept, key=lambda one: (one.measurement, one.utc_s or 0))
    wanted = sorted(true, key=lambda one: (one[1], one[0]))
    assert [(one.measurement, round(one.value or 0.0, 3)) for one in in_order] == [
        (name, round(value, 3)) for _, name, value in wanted
    ]
    off_s = [abs((one.utc_s or 0) - at_s) for one, (at_s, *_) in zip(in_order, wanted, strict=True)]
    assert max(off_s, default=0) <= within_s


Play = Callable[[World, Any], Awaitable[None]]


def play(
    directory: Path,
    kind: str,
    scenario: Play,
    *,
    said: dict[str, Any] | None = None,
    machine: Clock = RIGHT,
    disks: Disks | None = None,
    sensor: dict[str, Any] | None = None,
    **quirks: Any,
) -> None:
    """Play a scenario with one device of a kind.

    `said` goes to the simulated device, `quirks` to its quirks, and `sensor` to its section of the gateway's file.
    """

    async def main() -> None:
        made: list[SpotDevice] = []

        def bodies(air: Air) -> list[SpotDevice]:
            options = dict(said or {})
            if quirks:
                options["quirks"] = Quirks(**quirks)
            made.append(device(air, kind, **options))
            return made

        consent = {"user": 1, "consent_code": 1234} if kind == "body_composition" else {}
        options = consent if sensor is None else sensor
        home = home_of(Sensor(id=DEVICE, kind=kind, address=ADDRESS, **options), clock=machine)
        async with open_world(home, directory, bodies=bodies, disks=disks) as world:
            await world.for_s(LEAD_S)
            await scenario(world, made[0])

    run(main())


async def used(world: World, body: SpotDevice, *, then_s: float = 90.0, **changed: float) -> Taken:
    """Somebody measures, and the gateway has time to fetch it."""
    kind = world.config.sensors[0].kind
    taken = await body.use(VALUES[kind] | changed, user=1)
    await world.for_s(then_s)
    return taken
