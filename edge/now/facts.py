"""The newest value of each measurement of each sensor, when it was taken and whether it counts; and whether the sensor
is worn.

Contract: a fact is noted as soon as it is known and does not wait for the store. Times are nanoseconds since this boot;
what was taken before the boot has a negative time. Facts are found by sensor only, so the facts of two people cannot be
mixed up. No thresholds here.
"""

from collections.abc import Callable
from typing import NamedTuple


class Fact(NamedTuple):
    """The newest value of a measurement; `not_counted` says why it does not count, and is None if it does."""

    value: float
    taken_boot_ns: int
    not_counted: str | None = None


class Facts:
    """The newest facts of all sensors."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], Fact] = {}
        self._worn: dict[str, bool | None] = {}
        self._worn_boot_ns: dict[str, int] = {}
        self._heard_boot_ns: dict[str, int] = {}
        self.before_fact: Callable[[str, str, Fact], None] = lambda _sensor_id, _measurement, _fact: None
        self.on_fact: Callable[[str, str, Fact], None] = lambda _sensor_id, _measurement, _fact: None
        self.on_renewed: Callable[[str], None] = lambda _sensor_id: None

    def note(
        self,
        sensor_id: str,
        measurement: str,
        value: float,
        taken_boot_ns: int,
        not_counted: str | None = None,
    ) -> None:
        """Note a measured value, unless a newer one is known.

        This is no sign of life of the sensor: the caller notes that with `note_heard`, before this.
        """
        key = sensor_id, measurement
        known = self._newest.get(key)
        if known is not None and taken_boot_ns < known.taken_boot_ns:
            return
        fact = self._newest[key] = Fact(value, taken_boot_ns, not_counted)
        self.before_fact(sensor_id, measurement, fact)
        self.on_fact(sensor_id, measurement, fact)

    def renew(self, sensor_id: str) -> None:
        """What follows from the values of the sensor together has changed."""
        self.on_renewed(sensor_id)

    def note_worn(self, sensor_id: str, worn: bool | None, boot_ns: int) -> None:
        """Note that from now on the sensor has skin contact, or none; None if it cannot tell."""
        if self._worn.get(sensor_id):
            self._worn_boot_ns[sensor_id] = boot_ns
        self._worn[sensor_id] = worn

    def note_heard(self, sensor_id: str, boot_ns: int) -> None:
        """Note a sign of life: the sensor sent something, with or without a value, that was taken at this moment."""
        known_boot_ns = self._heard_boot_ns.get(sensor_id)
        if known_boot_ns is None or boot_ns > known_boot_ns:
            self._heard_boot_ns[sensor_id] = boot_ns

    def recall_heard(self, sensor_id: str, boot_ns: int) -> None:
        """Note what an earlier process knew, in place of what was noted so far."""
        self._heard_boot_ns[sensor_id] = boot_ns

    def heard_boot_ns(self, sensor_id: str) -> int | None:
        """When the newest sign of life was taken."""
        return self._heard_boot_ns.get(sensor_id)

    def newest(self, sensor_id: str, measurement: str) -> Fact | None:
        return self._newest.get((sensor_id, measurement))

    def worn(self, sensor_id: str) -> bool | None:
        return self._worn.get(sensor_id)

    def worn_boot_ns(self, sensor_id: str) -> int | None:
        """When the sensor was worn last, if it is not worn now."""
        return self._worn_boot_ns.get(sensor_id)
