"""The table of the kinds of sensors that this gateway handles. It holds data only, no functions.

A row says how sensors of the kind are reached, which procedure is used with them, how long they may be silent and what
they measure. Each package maps the keys that it handles to functions of its own, and a test checks that no such map
lacks a key. So a new kind is a new row here, and no `if` elsewhere.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocols import aidex, uuids


class Reach(Enum):
    """How the data of a sensor reach the gateway."""

    CONNECTION = "connection"
    ADVERTISEMENT = "advertisement"
    FEED = "feed"


class FoundBy(Enum):
    """What tells a sensor from others of its kind: the form of its `address` in the configuration."""

    ADDRESS = 'an address like "A4:C1:38:00:00:01"'
    URL = 'the address of a web server like "http://192.168.1.20:17580" or "https://night.example.org"'
    SERIAL = 'the name that it advertises, which ends in its serial number, like "LinX-22222DXJ9C"'


class Procedure(Enum):
    """Which procedure is used with a sensor."""

    HEART_STRAP = "heart strap"
    POLAR = "heart strap with streams"
    CGM = "cgm"
    AIDEX = "aidex"
    SCALE = "scale that advertises"
    SPOT = "delivers, and hangs up"
    SGV = "sgv entries"


class Security(Enum):
    """The least security that a link must have before its data are accepted."""

    NONE = "none"
    ENCRYPTED = "encrypted"
    AUTHENTICATED = "encrypted, with a key that a passkey made"


class SessionIdentity(Enum):
    """How one session of a sensor is told from the next: the time that it is worn without a break, or that its clock
    runs without being set."""

    NONE = "none"
    SENSOR = "the sensor's own session"
    CLOCK = "for as long as nobody sets the sensor's clock"
    WEEK = "a week of UTC: the source does not say when a sensor began"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of sensor.

    Attributes:
        title: its name for people.
        service: UUID of the service that its advertisement names; empty if it names none.
        stays: whether it stays connected as long as it is used. Otherwise it connects only to deliver: it is away most
            of the time, and hangs up when it has delivered.
        pairs: whether the gateway pairs with it when it connects.
        stale_s: a link that is silent for longer is considered lost.
        keeps_records: whether it stores records, so that the gateway asks for those that it missed.
        measurements: keys of `edge.measurements.MEASUREMENTS`.
        streams: what it can stream beside, as `streams` in the configuration names it.
        advertised: which parts of its advertisements carry its data, named as in `edge.radio.advertisements`.
        answer_hides: whether BlueZ takes its answer to an active search for its data, so that it has to be heard
            without being asked.
    """

    title: str
    reach: Reach
    found_by: FoundBy
    service: str
    stays: bool
    procedure: Procedure
    pairs: bool
    least_security: Security
    stale_s: float
    keeps_records: bool
    session: SessionIdentity
    measurements: tuple[str, ...]
    streams: tuple[str, ...] = ()
    advertised: tuple[str, ...] = ()
    answer_hides: bool = False


KINDS: Final[dict[str, Kind]] = {
    "heart_rate": Kind(
        title="Heart-rate sensor",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.HEART_RATE_SERVICE,
        stays=True,
        procedure=Procedure.HEART_STRAP,
        pairs=False,
        least_security=Security.NONE,
        stale_s=15.0,
        keeps_records=False,
        session=SessionIdentity.NONE,
        measurements=("heart_rate", "rr_interval"),
    ),
    "polar": Kind(
        title="Polar heart-rate sensor",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.HEART_RATE_SERVICE,
        stays=True,
        procedure=Procedure.POLAR,
        pairs=False,
        least_security=Security.NONE,
        stale_s=15.0,
        keeps_records=False,
        session=SessionIdentity.NONE,
        measurements=("heart_rate", "rr_interval"),
        streams=("ecg", "acc", "ppi"),
    ),
    "cgm": Kind(
        title="Continuous glucose monitor",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.CGM_SERVICE,
        stays=True,
        procedure=Procedure.CGM,
        pairs=True,
        least_security=Security.AUTHENTICATED,
        stale_s=660.0,
        keeps_records=True,
        session=SessionIdentity.SENSOR,
        measurements=("glucose",),
    ),
    "glucose_meter": Kind(
        title="Glucose meter",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.GLUCOSE_SERVICE,
        stays=False,
        procedure=Procedure.SPOT,
        pairs=True,
        least_security=Security.ENCRYPTED,
        stale_s=90.0,
        keeps_records=True,
        session=SessionIdentity.CLOCK,
        measurements=(
            "capillary_glucose",
            "meal",
            "carbohydrate",
            "exercise",
            "medication_mass",
            "medication_volume",
            "hba1c",
        ),
    ),
    "pulse_oximeter": Kind(
        title="Pulse oximeter",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.PULSE_OXIMETER_SERVICE,
        stays=False,
        procedure=Procedure.SPOT,
        pairs=False,
        least_security=Security.NONE,
        stale_s=90.0,
        keeps_records=False,
        session=SessionIdentity.CLOCK,
        measurements=("oxygen_saturation", "pulse_rate"),
    ),
    "thermometer": Kind(
        title="Thermometer",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.HEALTH_THERMOMETER_SERVICE,
        stays=False,
        procedure=Procedure.SPOT,
        pairs=False,
        least_security=Security.NONE,
        stale_s=90.0,
        keeps_records=False,
        session=SessionIdentity.CLOCK,
        measurements=("body_temperature",),
    ),
    "blood_pressure": Kind(
        title="Blood-pressure cuff",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.BLOOD_PRESSURE_SERVICE,
        stays=False,
        procedure=Procedure.SPOT,
        pairs=False,
        least_security=Security.NONE,
        stale_s=90.0,
        keeps_records=False,
        session=SessionIdentity.CLOCK,
        measurements=("systolic", "diastolic", "mean_arterial", "pulse_rate"),
    ),
    "weight_scale": Kind(
        title="Weight scale",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.WEIGHT_SCALE_SERVICE,
        stays=False,
        procedure=Procedure.SPOT,
        pairs=False,
        least_security=Security.NONE,
        stale_s=90.0,
        keeps_records=False,
        session=SessionIdentity.CLOCK,
        measurements=("body_weight", "height"),
    ),
    "body_composition": Kind(
        title="Body-composition scale",
        reach=Reach.CONNECTION,
        found_by=FoundBy.ADDRESS,
        service=uuids.BODY_COMPOSITION_SERVICE,
        stays=False,
        procedure=Procedure.SPOT,
        pairs=True,
        least_security=Security.ENCRYPTED,
        stale_s=90.0,
        keeps_records=False,
        session=SessionIdentity.CLOCK,
        measurements=(
            "body_weight",
            "height",
            "body_fat",
            "muscle",
            "muscle_mass",
            "fat_free_mass",
            "soft_lean_mass",
            "body_water_mass",
            "basal_metabolism",
            "impedance",
        ),
    ),
    "sgv": Kind(
        title="Glucose from a phone or Nightscout",
        reach=Reach.FEED,
        found_by=FoundBy.URL,
        service="",
        stays=True,
        procedure=Procedure.SGV,
        pairs=False,
        least_security=Security.NONE,
        stale_s=660.0,
        keeps_records=True,
        session=SessionIdentity.WEEK,
        measurements=("glucose",),
    ),
    "aidex": Kind(
        title="Continuous glucose monitor of MicroTech (AiDEX X, LinX), by its advertisements",
        reach=Reach.ADVERTISEMENT,
        found_by=FoundBy.SERIAL,
        service=uuids.CGM_SERVICE,
        stays=True,
        procedure=Procedure.AIDEX,
        pairs=False,
        least_security=Security.NONE,
        stale_s=660.0,
        keeps_records=False,
        session=SessionIdentity.SENSOR,
        measurements=("glucose",),
        advertised=(aidex.PART,),
        answer_hides=True,
    ),
    "xiaomi_scale": Kind(
        title="Xiaomi scale, by its advertisements",
        reach=Reach.ADVERTISEMENT,
        found_by=FoundBy.ADDRESS,
        service=uuids.WEIGHT_SCALE_SERVICE,
        stays=False,
        procedure=Procedure.SCALE,
        pairs=False,
        least_security=Security.NONE,
        stale_s=90.0,
        keeps_records=False,
        session=SessionIdentity.CLOCK,
        measurements=("body_weight", "impedance"),
        advertised=(uuids.WEIGHT_SCALE_SERVICE, uuids.BODY_COMPOSITION_SERVICE),
    ),
}

# A sensor that delivers and hangs up may ask for a bond although its kind wants none.
PAIRABLE: Final = tuple(
    kind for kind in KINDS.values() if kind.pairs or (kind.reach is Reach.CONNECTION and not kind.stays)
)
