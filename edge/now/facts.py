"""What is known at this moment: of each sensor the newest value of each measurement, when it was taken and whether it
counts, and whether the sensor is worn.

Contract: a fact is noted the moment it is known, before the store has it, and never waits for the store. Times are
nanoseconds of this boot; what was taken before it has a time below 0. One person's facts are those of their sensors;
nothing here is looked up by anything but the sensor. No thresholds here.
"""

from collections.abc import Callable
from typing import NamedTuple


class Fact(NamedTuple):
    """The newest value of a measurement; `not_counted` says why it does not count, None where it does."""

    value: float
    taken_boot_ns: int
    not_counted: str | None = None


class Facts:
    """The newest of everything."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], Fact] = {}
        self._worn: dict[str, bool | None] = {}
        self._heard_boot_ns: dict[str, int] = {}
        self.on_fact: Callable[[str, str, Fact], None] = lambda _sensor_id, _measurement, _fact: None

    def note(
        self,
        sensor_id: str,
        measurement: str,
        value: float,
        taken_boot_ns: int,
        not_counted: str | None = None,
    ) -> None:
        """Something was measured; what is older than the newest known changes nothing.

        Whether it is a sign of life, too, says `note_heard`, before.
        """
        key = sensor_id, measurement
        known = self._newest.get(key)
        if known is not None and taken_boot_ns < known.taken_boot_ns:
            return
        fact = self._newest[key] = Fact(value, taken_boot_ns, not_counted)
        self.on_fact(sensor_id, measurement, fact)

    def note_worn(self, sensor_id: str, worn: bool | None) -> None:
        """Whether the sensor feels skin; None: it cannot tell."""
        self._worn[sensor_id] = worn

    def note_heard(self, sensor_id: str, boot_ns: int) -> None:
        """A datum of this moment came from the sensor, which may say nothing but that it is there."""
        known_boot_ns = self._heard_boot_ns.get(sensor_id)
        if known_boot_ns is None or boot_ns > known_boot_ns:
            self._heard_boot_ns[sensor_id] = boot_ns

    def heard_boot_ns(self, sensor_id: str) -> int | None:
        """When the newest datum of the sensor was taken that says it works."""
        return self._heard_boot_ns.get(sensor_id)

    def newest(self, sensor_id: str, measurement: str) -> Fact | None:
        return self._newest.get((sensor_id, measurement))

    def worn(self, sensor_id: str) -> bool | None:
        return self._worn.get(sensor_id)
