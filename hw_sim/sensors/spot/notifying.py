"""Thermometers, pulse oximeters, blood-pressure cuffs and weight scales: devices that say all of a measurement at once.

Contract: a row of `FORMS` is a kind: its service and characteristic, and how its values are put into a packet.

Not here: scales that want a consent (`body_scale`), and meters that are asked for their records (`glucose_meter`).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import Properties, uuid16
from hw_sim.sensors.spot.device import Packet, Quirks, SpotDevice, Taken, Use
from protocols import blood_pressure, pulse_oximeter, thermometer, uuids, weight_scale
from protocols.blood_pressure import BloodPressureMeasurement
from protocols.date_time import DateTime
from protocols.pulse_oximeter import Oximetry, SpotCheck
from protocols.thermometer import TemperatureMeasurement, TemperatureType
from protocols.weight_scale import WeightMeasurement

QUIRKS: Final = Quirks()

Encode = Callable[[Mapping[str, float], DateTime | None, int | None], bytes]


class Form(NamedTuple):
    """A kind."""

    model: str
    service: str
    characteristic: str
    encode: Encode


def _temperature(values: Mapping[str, float], stamp: DateTime | None, _: int | None) -> bytes:
    return thermometer.MEASUREMENT.encode(
        TemperatureMeasurement(
            values["body_temperature"], timestamp=stamp, temperature_type=TemperatureType.EAR
        )
    )


def _oximetry(values: Mapping[str, float], stamp: DateTime | None, _: int | None) -> bytes:
    both = Oximetry(values["oxygen_saturation"], values["pulse_rate"])
    status = pulse_oximeter.MeasurementStatus(int(values.get("status", 0)))
    reading = SpotCheck(both, stamp)
    return pulse_oximeter.SPOT_CHECK.encode(
        replace(reading, measurement_status=status) if status else reading
    )


def _pressure(values: Mapping[str, float], stamp: DateTime | None, user: int | None) -> bytes:
    return blood_pressure.MEASUREMENT.encode(
        BloodPressureMeasurement(
            values["systolic"],
            values["diastolic"],
            values["mean_arterial"],
            timestamp=stamp,
            pulse_rate_bpm=values["pulse_rate"],
            user_id=user,
            measurement_status=blood_pressure.MeasurementStatus(int(values.get("status", 0))),
        )
    )


def weight(values: Mapping[str, float], stamp: DateTime | None, user: int | None) -> bytes:
    """A Weight Measurement, in steps of 5 g."""
    return weight_scale.MEASUREMENT.encode(
        WeightMeasurement(round(200 * values["body_weight"]), timestamp=stamp, user_id=user)
    )


FORMS: Final[dict[str, Form]] = {
    "thermometer": Form(
        "Vitalgate Temp", uuids.HEALTH_THERMOMETER_SERVICE, uuids.TEMPERATURE_MEASUREMENT, _temperature
    ),
    "pulse_oximeter": Form("Vitalgate Oxi", uuids.PULSE_OXIMETER_SERVICE, uuids.PLX_SPOT_CHECK, _oximetry),
    "blood_pressure": Form(
        "Vitalgate BP", uuids.BLOOD_PRESSURE_SERVICE, uuids.BLOOD_PRESSURE_MEASUREMENT, _pressure
    ),
    "weight_scale": Form("Vitalgate Scale", uuids.WEIGHT_SCALE_SERVICE, uuids.WEIGHT_MEASUREMENT, weight),
}


class NotifyingDevice(SpotDevice):
    """A device of one of these kinds."""

    def __init__(
        self,
        air: SensorAir,
        address: str,
        kind: str,
        uses: Iterable[Use] = (),
        *,
        begin_s: float,
        quirks: Quirks = QUIRKS,
    ) -> None:
        self._form = form = FORMS[kind]
        self._measurement = Characteristic[bytes](
            uuid16(form.characteristic), Properties.INDICATE, quirks.permissions
        )
        self._data = [self._measurement]
        service = Service(uuid16(form.service), [self._measurement])
        super().__init__(air, address, form.model, service, uses, begin_s=begin_s, quirks=quirks)

    def packets(self, taken: Taken) -> list[Packet]:
        stamp = self.date_time(taken.shown_s) if self.quirks.is_stamped else None
        return [Packet(self._measurement, self._form.encode(taken.values, stamp, taken.user))]
