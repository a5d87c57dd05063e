"""Observations of a Generic Health Sensor: what IEEE 11073-10206 (ACOM) models, as the service sends it.

Contract: an observation is given whole (`health_sensor.Reassembler`). Types and units are codes of IEEE
11073-10101, which are not explained here. Lists within lists fit no column, so this is read by hand and not
generated from a layout; every loop is bounded by the octets there are.

Held against two public programs (below) and no capture, for nobody has published one. Not to be verified so,
and therefore open: what the length counts (the simulator counts the whole observation; what follows the length
is taken too), whether samples have a sign (they stay octets), and the bits of `MeasurementStatus` beyond those
the programs name. There is no encoder.

Source: public Philips GHS client and server simulator.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

from protocols.errors import DecodeError
from protocols.health_sensor import CHARACTERISTIC, ELAPSED_TIME, ELAPSED_TIME_OCTETS, ElapsedTime
from protocols.medfloat import MedFloat, decode_float
from protocols.schema import member_or_code

BUNDLE_DEPTH_MAX: Final = 4


class ObservationClass(IntEnum):
    """What kind of value an observation, or a component of one, has."""

    NUMERIC = 1
    DISCRETE = 2
    STRING = 3
    SAMPLE_ARRAY = 4
    COMPOUND_DISCRETE = 5
    COMPOUND_STATE = 6
    COMPOUND = 7
    TLV = 8
    BUNDLE = 0xFF


class Flag(IntFlag):
    """Which fields an observation has."""

    TYPE = 1 << 0
    TIMESTAMP = 1 << 1
    DURATION = 1 << 2
    STATUS = 1 << 3
    OBJECT_ID = 1 << 4
    PERSON_ID = 1 << 5
    SUPPLEMENTAL_INFORMATION = 1 << 6
    DERIVED_FROM = 1 << 7
    HAS_MEMBER = 1 << 8
    TLVS = 1 << 9


class MeasurementStatus(IntFlag):
    """How good the measurement is."""

    INVALID = 1 << 0
    QUESTIONABLE = 1 << 1
    NOT_AVAILABLE = 1 << 2
    CALIBRATING = 1 << 4
    TEST_DATA = 1 << 5
    EARLY_ESTIMATE = 1 << 6
    THRESHOLD_ERROR = 1 << 14
    THRESHOLDING_DISABLED = 1 << 15


@dataclass(frozen=True, slots=True)
class Numeric:
    """A number and its unit."""

    unit_code: int
    value: MedFloat


@dataclass(frozen=True, slots=True)
class SampleArray:
    """A waveform: a sample is its count times `scale_factor` plus `offset`, in the unit.

    Attributes:
        data: the counts as sent, `octets_per_sample` each.
    """

    unit_code: int
    scale_factor: MedFloat
    offset: MedFloat
    sample_period_s: MedFloat
    samples_per_period: int
    octets_per_sample: int
    data: bytes


@dataclass(frozen=True, slots=True)
class State:
    """Bits: which of them exist, which are states rather than events, and what they are."""

    supported: bytes
    is_state: bytes
    bits: bytes


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something for which the model has no field of its own; `format_type` as in the Assigned Numbers."""

    type_code: int
    format_type: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Component:
    """One of the values of a compound observation."""

    type_code: int
    value: "Value"


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation; what was not sent is None.

    Attributes:
        value: a code for DISCRETE, codes for COMPOUND_DISCRETE, observations for BUNDLE.
    """

    observation_class: int
    value: "Value"
    type_code: int | None = None
    timestamp: ElapsedTime | None = None
    duration_s: MedFloat | None = None
    status: MeasurementStatus | None = None
    object_id: int | None = None
    person_id: int | None = None
    supplemental_information: tuple[int, ...] | None = None
    derived_from: tuple[int, ...] | None = None
    has_member: tuple[int, ...] | None = None
    attributes: tuple[Attribute, ...] | None = None


@dataclass(frozen=True, slots=True)
class StoredObservation:
    """An observation out of the sensor's storage."""

    record_number: int
    observation: Observation


Value: TypeAlias = (
    Numeric
    | int
    | str
    | SampleArray
    | tuple[int, ...]
    | State
    | tuple[Component, ...]
    | tuple[Attribute, ...]
    | tuple[Observation, ...]
)


def decode(octets: bytes) -> Observation:
    """A live observation.

    Raises:
        DecodeError: a class not known here, too few octets, octets left over, or a length that counts neither
            the observation nor what follows the length.
    """
    reader = _Reader(octets)
    observation = reader.observation(BUNDLE_DEPTH_MAX)
    reader.end()
    return observation


def decode_stored(octets: bytes) -> StoredObservation:
    """A stored observation, which begins with its record number.

    Raises:
        DecodeError: as `decode`.
    """
    reader = _Reader(octets)
    stored = StoredObservation(reader.number(4), reader.observation(BUNDLE_DEPTH_MAX))
    reader.end()
    return stored


class _Reader:
    """Takes octets from the front; whoever asks for more than there are has a malformed observation."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.place = 0

    def wrong(self, reason: str) -> DecodeError:
        return DecodeError(CHARACTERISTIC, self.octets, reason)

    def end(self) -> None:
        left = len(self.octets) - self.place
        if left:
            raise self.wrong(f"{left} of {len(self.octets)} octets are left over")

    def take(self, count: int) -> bytes:
        taken = self.octets[self.place : self.place + count]
        if len(taken) < count:
            raise self.wrong("too few octets")
        self.place += count
        return taken

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "little")

    def float(self) -> MedFloat:
        return decode_float(self.number(4))

    def codes(self) -> tuple[int, ...]:
        return tuple(self.number(4) for _ in range(self.number(1)))

    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(self.attribute() for _ in range(self.number(1)))

    def attribute(self) -> Attribute:
        type_code, octets, format_type = self.number(4), self.number(2), self.number(1)
        return Attribute(type_code, format_type, self.take(octets))

    def observation(self, depth: int) -> Observation:
        start = self.place
        kind, length, flags = self.number(1), self.number(2), self.number(2)
        fields = (
            self.number(4) if flags & Flag.TYPE else None,
            ELAPSED_TIME.decode(self.take(ELAPSED_TIME_OCTETS)) if flags & Flag.TIMESTAMP else None,
            self.float() if flags & Flag.DURATION else None,
            MeasurementStatus(self.number(2)) if flags & Flag.STATUS else None,
            self.number(4) if flags & Flag.OBJECT_ID else None,
            self.number(1) if flags & Flag.PERSON_ID else None,
            self.codes() if flags & Flag.SUPPLEMENTAL_INFORMATION else None,
            self.codes() if flags & Flag.DERIVED_FROM else None,
            self.codes() if flags & Flag.HAS_MEMBER else None,
            self.attributes() if flags & Flag.TLVS else None,
        )
        value = self.bundle(depth) if kind == ObservationClass.BUNDLE else self.value(kind)
        size = self.place - start
        if length not in (size, size - 3):
            raise self.wrong(f"length {length} of an observation of {size} octets")
        return Observation(member_or_code(ObservationClass, kind), value, *fields)

    def bundle(self, depth: int) -> tuple[Observation, ...]:
        if not depth:
            raise self.wrong(f"bundles {BUNDLE_DEPTH_MAX} deep")
        return tuple(self.observation(depth - 1) for _ in range(self.number(1)))

    def value(self, kind: int) -> Value:
        match kind:
            case ObservationClass.COMPOUND:
                return tuple(self.component() for _ in range(self.number(1)))
            case ObservationClass.TLV:
                return self.attributes()
        return self.simple_value(kind)

    def component(self) -> Component:
        type_code, kind = self.number(4), self.number(1)
        return Component(type_code, self.simple_value(kind))

    def simple_value(self, kind: int) -> Value:
        match kind:
            case ObservationClass.NUMERIC:
                return Numeric(self.number(4), self.float())
            case ObservationClass.DISCRETE:
                return self.number(4)
            case ObservationClass.STRING:
                return self.text()
            case ObservationClass.SAMPLE_ARRAY:
                return self.sample_array()
            case ObservationClass.COMPOUND_DISCRETE:
                return self.codes()
            case ObservationClass.COMPOUND_STATE:
                octets = self.number(1)
                return State(self.take(octets), self.take(octets), self.take(octets))
        raise self.wrong(f"class {kind:#04x} is not known")

    def text(self) -> str:
        try:
            return self.take(self.number(2)).decode()
        except UnicodeDecodeError as error:
            raise self.wrong(f"not UTF-8 from octet {error.start} of the text") from error

    def sample_array(self) -> SampleArray:
        unit_code, factor, offset, period_s = self.number(4), self.float(), self.float(), self.float()
        per_period, octets, count = self.number(1), self.number(1), self.number(4)
        return SampleArray(unit_code, factor, offset, period_s, per_period, octets, self.take(octets * count))
