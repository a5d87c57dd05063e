"""What a notification of such a device says: which values were measured, when by the device's clock, and of whom.

Contract: a characteristic has a function here, whatever kind of device sends it. Values are in the units of
`measurements`, and each says whether it counts. Payloads that are odd as devices are known to be are read, and counted.
Where a measurement comes in pieces, `Reader` puts them together; it lives as long as a link.

Not here: who is asked for what (`sensor`), and which moment a time stamp was (`epochs`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from edge.sensors.spot import validity
from edge.sensors.spot.epochs import seconds_of
from edge.sensors.spot.validity import NotCounted
from edge.sensors.validity import number as number_of
from protocols import (
    blood_pressure,
    body_composition,
    glucose_meter,
    pulse_oximeter,
    thermometer,
    uuids,
    weight_scale,
)
from protocols.blood_pressure import BloodPressureMeasurement
from protocols.body_composition import BodyComposition
from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.glucose_meter import GlucoseContext, GlucoseMeasurement, MedicationUnit
from protocols.medfloat import MedFloat, Special
from protocols.pulse_oximeter import Continuous, Oximetry, SpotCheck
from protocols.samples import FluidType, SampleLocation
from protocols.thermometer import TemperatureMeasurement
from protocols.weight_scale import WeightMeasurement

MMHG_PER_KPA: Final = 7.500617


class Value(NamedTuple):
    """A measured value: infinite beyond the device's scale, None if nothing was measured; why it does not count."""

    measurement: str
    value: float | None
    not_counted: NotCounted | None


class Measured(NamedTuple):
    """What was measured at one moment.

    Attributes:
        values: of different measurements.
        stamp_s: when, in the seconds of the device's clock (`epochs.seconds_of`); None if it does not say.
        number: by which the device knows it.
        user: which of the device's users it is of.
        status: the bits that were sent with it.
        joins: it belongs to what came before, and has its time: to the one with the same number, or to the newest.
    """

    values: tuple[Value, ...]
    stamp_s: int | None = None
    number: int | None = None
    user: int | None = None
    status: int = 0
    joins: bool = False


def _value(
    measurement: str, value: MedFloat | float | None, scale: float = 1.0, why: NotCounted | None = None
) -> Value:
    """A value in its unit, of which so many make one that was sent; `why`: what is known against it already."""
    number = number_of(value)
    # Of the few digits that were sent nothing is lost.
    scaled = None if number is None else round(number * scale, 6)
    return Value(measurement, scaled, why or validity.why_not_counted(measurement, scaled))


def _glucose(reading: GlucoseMeasurement) -> Measured:
    status, sample = reading.status or glucose_meter.SensorStatus(0), reading.sample
    why = validity.of_bits(status, validity.METER_BITS)
    if sample is not None and sample.fluid_type == FluidType.CONTROL_SOLUTION:
        why = NotCounted.CONTROL_SOLUTION
    if sample is not None and sample.location == SampleLocation.CONTROL_SOLUTION:
        why = NotCounted.CONTROL_SOLUTION
    glucose = _value("capillary_glucose", reading.glucose_mg_dl, why=why)
    beyond = status & (
        glucose_meter.SensorStatus.ABOVE_MEASURABLE | glucose_meter.SensorStatus.BELOW_MEASURABLE
    )
    if glucose.value is None and glucose.not_counted is NotCounted.NO_MEASUREMENT and beyond in _BEYOND:
        glucose = Value("capillary_glucose", _BEYOND[beyond], None)
    # The time that the meter showed: its base time, and by how much its user had set it.
    base_s = seconds_of(reading.base_time)
    shown_s = None if base_s is None else base_s + 60 * (reading.time_offset_min or 0)
    return Measured((glucose,), shown_s, number=reading.sequence_number, status=int(status))


_BEYOND: Final[Mapping[int, float]] = {
    glucose_meter.SensorStatus.ABOVE_MEASURABLE: float("inf"),
    glucose_meter.SensorStatus.BELOW_MEASURABLE: float("-inf"),
}


def _context(reading: GlucoseContext) -> Measured | None:
    values = []
    if reading.meal is not None:
        values.append(_value("meal", float(reading.meal)))
    if reading.carbohydrate is not None:
        values.append(_value("carbohydrate", reading.carbohydrate.mass_kg, 1000.0))
    if reading.exercise is not None:
        values.append(_value("exercise", reading.exercise.duration_s / 60))
    if reading.medication is not None:
        is_mass = reading.medication_unit == MedicationUnit.KILOGRAMS
        name, scale = ("medication_mass", 1e6) if is_mass else ("medication_volume", 1e3)
        values.append(_value(name, reading.medication.amount, scale))
    if reading.hba1c_pct is not None:
        values.append(_value("hba1c", reading.hba1c_pct))
    return Measured(tuple(values), number=reading.sequence_number, joins=True) if values else None


def _oximetry(both: Oximetry, status: int | None, device_status: int | None) -> tuple[Value, ...]:
    why = validity.of_bits(status, validity.OXIMETER_BITS)
    why = why or validity.of_bits(device_status, validity.OXIMETER_DEVICE_BITS)
    return (
        _value("oxygen_saturation", both.spo2_pct, why=why),
        _value("pulse_rate", both.pulse_rate_bpm, why=why),
    )


def _spot_check(reading: SpotCheck) -> Measured:
    values = _oximetry(reading.oximetry, reading.measurement_status, reading.device_status)
    # A clock that nobody has set begins anew with each battery.
    stamp_s = None if reading.clock_not_set else seconds_of(reading.timestamp)
    return Measured(values, stamp_s, status=int(reading.measurement_status or 0))


def _continuous(reading: Continuous) -> Measured:
    values = _oximetry(reading.normal, reading.measurement_status, reading.device_status)
    return Measured(values, status=int(reading.measurement_status or 0))


def _temperature(reading: TemperatureMeasurement) -> Measured:
    degrees = number_of(reading.temperature)
    if degrees is not None and reading.unit == thermometer.Unit.FAHRENHEIT:
        degrees = (degrees - 32.0) / 1.8
    return Measured((_value("body_temperature", degrees),), seconds_of(reading.timestamp))


def _pressure(reading: BloodPressureMeasurement) -> Measured:
    status = int(reading.measurement_status or 0)
    why = validity.of_bits(status, validity.CUFF_BITS)
    scale = MMHG_PER_KPA if reading.unit == blood_pressure.Unit.KILOPASCAL else 1.0
    pressures = {"systolic": reading.systolic, "diastolic": reading.diastolic}
    if not isinstance(reading.mean_arterial, Special):
        pressures["mean_arterial"] = reading.mean_arterial  # many cuffs do not tell it
    values = [_value(name, pressure, scale, why) for name, pressure in pressures.items()]
    if reading.pulse_rate_bpm is not None:
        pulse_why = validity.of_bits(status, validity.CUFF_PULSE_BITS)
        values.append(_value("pulse_rate", reading.pulse_rate_bpm, why=pulse_why))
    return Measured(tuple(values), seconds_of(reading.timestamp), user=reading.user_id, status=status)


def _weight(reading: WeightMeasurement) -> Measured:
    values = [_value("body_weight", reading.weight_kg)]
    if reading.height_m:
        values.append(_value("height", reading.height_m))
    return Measured(tuple(values), seconds_of(reading.timestamp), user=reading.user_id)


def _composition(reading: BodyComposition) -> Measured | None:
    if reading.body_fat_tenths == 0:
        return None  # some scales send that until they have measured
    values = [_value("body_fat", reading.body_fat_pct)]
    if reading.body_fat_pct is not None:
        others = {
            "body_weight": reading.weight_kg,
            "height": reading.height_m,
            "muscle": reading.muscle_pct,
            "muscle_mass": reading.muscle_mass_kg,
            "fat_free_mass": reading.fat_free_mass_kg,
            "soft_lean_mass": reading.soft_lean_mass_kg,
            "body_water_mass": reading.body_water_mass_kg,
            "basal_metabolism": reading.basal_metabolism_kj,
            "impedance": reading.impedance_ohm,
        }
        values += [_value(name, value) for name, value in others.items() if value is not None]
    return Measured(
        tuple(values), seconds_of(reading.timestamp), user=reading.user_id, joins=reading.timestamp is None
    )


class _Way(NamedTuple):
    codec: Codec[Any]
    measured: Callable[[Any], Measured | None]


WAYS: Final[Mapping[str, _Way]] = {
    uuids.GLUCOSE_MEASUREMENT: _Way(glucose_meter.MEASUREMENT, _glucose),
    uuids.GLUCOSE_CONTEXT: _Way(glucose_meter.CONTEXT, _context),
    uuids.PLX_SPOT_CHECK: _Way(pulse_oximeter.SPOT_CHECK, _spot_check),
    uuids.PLX_CONTINUOUS: _Way(pulse_oximeter.CONTINUOUS, _continuous),
    uuids.TEMPERATURE_MEASUREMENT: _Way(thermometer.MEASUREMENT, _temperature),
    uuids.BLOOD_PRESSURE_MEASUREMENT: _Way(blood_pressure.MEASUREMENT, _pressure),
    uuids.WEIGHT_MEASUREMENT: _Way(weight_scale.MEASUREMENT, _weight),
    uuids.BODY_COMPOSITION_MEASUREMENT: _Way(body_composition.MEASUREMENT, _composition),
}
"""How each characteristic is read."""


class Reader:
    """Reads the notifications of one link.

    Attributes:
        oddities: how many broke the specification and could be read all the same.
    """

    def __init__(self) -> None:
        self.oddities = 0
        self._first: BodyComposition | None = None

    def read(self, characteristic: str, payload: bytes) -> Measured | None:
        """What was measured; None if this says nothing, or not all of it.

        Raises:
            DecodeError: it makes no sense.
        """
        codec, measured = WAYS[characteristic]
        try:
            reading = codec.decode(payload)
        except DecodeError:
            reading, _ = codec.decode_lenient(payload)
            self.oddities += 1
        if isinstance(reading, BodyComposition) and reading.multiple_packets:
            first, self._first = self._first, reading
            reading = None if first is None else body_composition.joined(first, reading)
            if reading is None:
                return None
            self._first = None
        return measured(reading)
