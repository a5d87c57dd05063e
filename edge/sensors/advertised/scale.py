"""The gateway's side of a Xiaomi scale, which tells everything in its advertisements.

Contract: what a scale has measured is kept as of any device that delivers (`spot`): once, by its time stamp and value.
So a weight that is advertised for a minute, or again after a restart, is one measurement. A weight is measured when the
scale says that it is stable, and before it says that nobody stands on it any more; what it tells afterwards is old. So
its stamp is what its clock shows now, and whoever sets that clock, or changes its batteries, moves no weight in time.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from edge.config import SensorConfig
from edge.radio.inbox import Notification
from edge.sensors.means import Means
from edge.sensors.spot import validity
from edge.sensors.spot.epochs import Seen, seconds_of
from edge.sensors.spot.measured import Measured, Reader, Value
from edge.sensors.spot.sensor import SpotSensor
from edge.store.sensors import SensorRow
from protocols import uuids, xiaomi
from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.xiaomi import Composition, Weight


def _value(measurement: str, value: float) -> Value:
    # Of the few digits that were sent nothing is lost.
    value = round(value, 6)
    return Value(measurement, value, validity.why_not_counted(measurement, value))


def _weight(reading: Weight) -> tuple[Value, ...]:
    return (_value("body_weight", reading.weight_kg),)


def _composition(reading: Composition) -> tuple[Value, ...]:
    weight, impedance_ohm = _value("body_weight", reading.weight_kg), reading.impedance_ohm
    return (weight,) if impedance_ohm is None else (weight, _value("impedance", impedance_ohm))


class _Way(NamedTuple):
    codec: Codec[Any]
    values: Callable[[Any], tuple[Value, ...]]


WAYS: Final[Mapping[str, _Way]] = {
    uuids.WEIGHT_SCALE_SERVICE: _Way(xiaomi.WEIGHT, _weight),
    uuids.BODY_COMPOSITION_SERVICE: _Way(xiaomi.COMPOSITION, _composition),
}
"""How the service data of each service are read."""


class ScaleReader(Reader):
    """Reads the advertisements of one scale."""

    def read(self, characteristic: str, payload: bytes) -> Measured | None:
        """What was measured; None if nothing was."""
        codec, values = WAYS[characteristic]
        try:
            reading = codec.decode(payload)
        except DecodeError:
            reading, _ = codec.decode_lenient(payload)
            self.oddities += 1
        if not reading.is_stable or reading.is_removed:
            return None
        return Measured(values(reading), seconds_of(reading.timestamp))


class ScaleSensor(SpotSensor):
    """A scale, and what it measures of one person.

    Attributes:
        why_not: why the newest advertisement was not taken; None if it was.
    """

    def __init__(self, config: SensorConfig, row: SensorRow, means: Means) -> None:
        super().__init__(config, row, means)
        self._reader = ScaleReader()
        self.why_not: str | None = None

    def _seen(self, stamp_s: int, boot_ns: int) -> Sequence[Seen]:
        return [Seen(stamp_s, boot_ns)]

    def take(self, notification: Notification) -> None:
        try:
            super().take(notification)
        except DecodeError as error:
            self.why_not = error.reason
            raise
        self.why_not = None
