"""Which sensors a person can have calibrated, and how the socket's answer tells what became of it.

Contract: whoever asks is the user that runs the gateway, and says why: that is the permit.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from edge.kinds import Procedure
from edge.local.verbs import Calibration, Error, Refusal
from edge.sensors import cgm_calibration
from edge.sensors.cgm_calibration import Calibrated, CalibrationError
from edge.sensors.sensor import Sensor
from protocols.permit import Permit

CALIBRATE: Final[Mapping[Procedure, Callable[[Any, float, Permit], Awaitable[Calibrated]]]] = {
    Procedure.CGM: cgm_calibration.calibrate
}
"""What has a sensor calibrate itself, by what is said to it; the other sensors cannot."""


async def calibrated(
    sensors: Mapping[str, Sensor], name: str, glucose_mg_dl: float, reason: str
) -> Calibration | Refusal:
    """Have one of the sensors calibrate itself."""
    sensor = sensors.get(name)
    if sensor is None:
        return Refusal(Error(f"there is no sensor {name!r}", f"use one of: {', '.join(sensors)}"))
    calibrate = CALIBRATE.get(sensor.kind.procedure)
    if calibrate is None:
        cause = f"{name} cannot be calibrated"
        return Refusal(Error(cause, f"nothing is calibrated with a {sensor.kind.title.lower()}"))
    try:
        made = await calibrate(sensor, glucose_mg_dl, Permit(reason))
    except CalibrationError as why:
        return Refusal(Error(f"{name} was not calibrated: {why.cause}", why.remedy))
    return Calibration(name, glucose_mg_dl, made.became.value, made.record_number, made.next_in_min)
