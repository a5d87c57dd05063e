"""Which sensor plays a capture, by the kind that it is to be.

Contract: the table has every kind of `hw_sim.scenario.MAKERS`. What is heard in a capture of a kind is found by the
service that the kind has or advertises.
"""

import hashlib
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from hw_sim.capture.heard import Device
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import Peripheral
from hw_sim.sensors.replayed.advertised import ReplayedAdvertiser
from hw_sim.sensors.replayed.cgm import ReplayedCgm
from hw_sim.sensors.replayed.connected import ReplayedSensor
from hw_sim.sensors.replayed.visiting import ReplayedVisitor
from protocols import uuids


class Place(NamedTuple):
    """Where a sensor is played: its address, or what stands for it, since when, and the passkey on it."""

    air: SensorAir
    address: str
    begin_s: float
    passkey: int | None


class Form(NamedTuple):
    """The service by which a kind is found, and what plays it."""

    service: str
    make: Callable[[Place, Device, str], Peripheral]


def _staying(place: Place, device: Device, service: str) -> Peripheral:
    return ReplayedSensor(
        place.air, place.address, device, service, begin_s=place.begin_s, passkey=place.passkey
    )


def _cgm(place: Place, device: Device, _: str) -> Peripheral:
    return ReplayedCgm(place.air, place.address, device, begin_s=place.begin_s, passkey=place.passkey)


def _visiting(place: Place, device: Device, service: str, *, is_encrypted: bool = False) -> Peripheral:
    return ReplayedVisitor(
        place.air,
        place.address,
        device,
        service,
        begin_s=place.begin_s,
        is_encrypted=is_encrypted,
        passkey=place.passkey,
    )


def _advertised(place: Place, device: Device, service: str, *, by_name: bool = False) -> Peripheral:
    """One that is known by its name has any address."""
    radio_address, name = place.address, device.name or "Replayed"
    if by_name:
        digits = "C5" + hashlib.sha256(place.address.encode()).hexdigest()[:10]
        radio_address, name = ":".join(textwrap.wrap(digits.upper(), 2)), place.address
    return ReplayedAdvertiser(
        place.air, place.address, radio_address, device, service, name=name, begin_s=place.begin_s
    )


FORMS: Final = {
    "heart_rate": Form(uuids.HEART_RATE_SERVICE, _staying),
    "polar": Form(uuids.HEART_RATE_SERVICE, _staying),
    "cgm": Form(uuids.CGM_SERVICE, _cgm),
    "glucose_meter": Form(uuids.GLUCOSE_SERVICE, partial(_visiting, is_encrypted=True)),
    "pulse_oximeter": Form(uuids.PULSE_OXIMETER_SERVICE, _visiting),
    "thermometer": Form(uuids.HEALTH_THERMOMETER_SERVICE, _visiting),
    "blood_pressure": Form(uuids.BLOOD_PRESSURE_SERVICE, _visiting),
    "weight_scale": Form(uuids.WEIGHT_SCALE_SERVICE, _visiting),
    "body_composition": Form(uuids.BODY_COMPOSITION_SERVICE, partial(_visiting, is_encrypted=True)),
    "aidex": Form(uuids.CGM_SERVICE, partial(_advertised, by_name=True)),
    "xiaomi_scale": Form(uuids.WEIGHT_SCALE_SERVICE, _advertised),
}


def replayed(place: Place, kind: str, device: Device) -> Peripheral:
    """The sensor that plays a device of a capture."""
    form = FORMS[kind]
    return form.make(place, device, form.service)
