"""Which of a person's sources of glucose stands for the others at this moment, where several tell one sensor.

Contract: alerts are about the standing source only, so that one low is told once, and silence is told when all of them
are silent. Which sources tell the same sensor follows from the values of this process, as `edge.sensors.sources` judges
it; what was found holds until there is other evidence. Nothing is stored here; what the store knows from before is told
by `recall`.

    of the sources of one sensor          | stands
    --------------------------------------|---------------------------------
    some have told a value within LIVE_NS | of these the best
    none has                              | the one that was heard last
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.kinds import KINDS
from edge.now.facts import Fact
from edge.sensors.sources import MEASUREMENT, RANK, Sources, agree, is_source, may_be_same

LIVE_NS: Final = 13 * 60 * NS_PER_S
VALUES_MAX: Final = 24
# Half of the usual interval.
NEAR_NS: Final = 150 * NS_PER_S


class _Value(NamedTuple):
    taken_boot_ns: int
    value: float


class Standing:
    """The sources of all people."""

    def __init__(self, sensors: Sequence[SensorConfig]) -> None:
        sources = [sensor for sensor in sensors if is_source(sensor.kind)]
        self._sources = Sources(sensors)
        # What a sensor may stand for, or be covered by.
        self.others: dict[str, tuple[str, ...]] = {
            one.id: tuple(o.id for o in sources if o.id != one.id and self._can_be_same(one, o))
            for one in sources
        }
        self._rank = {
            sensor.id: (RANK[KINDS[sensor.kind].reach], place) for place, sensor in enumerate(sources)
        }
        self._values: dict[str, deque[_Value]] = {one.id: deque(maxlen=VALUES_MAX) for one in sources}
        self._same: dict[frozenset[str], bool] = {}

    def recall(self, one: str, other: str, *, are_same: bool) -> None:
        """What the store shows of two sources."""
        self._same[frozenset((one, other))] = are_same

    def note(self, sensor_id: str, measurement: str, fact: Fact) -> None:
        """A sensor has told something."""
        others = self.others.get(sensor_id)
        if not others or measurement != MEASUREMENT or fact.not_counted is not None:
            return
        values = self._values[sensor_id]
        if not values or fact.taken_boot_ns > values[-1].taken_boot_ns:
            values.append(_Value(fact.taken_boot_ns, fact.value))
            for other in others:
                pairs = _pairs(values, self._values[other])
                if pairs:
                    self._same[frozenset((sensor_id, other))] = agree(pairs)

    def covered_by(self, sensor_id: str, boot_ns: int) -> str | None:
        """Which other source stands for this one; None if this one stands."""
        others = self.others.get(sensor_id)
        if not others:
            return None
        group = [sensor_id, *(other for other in others if self._are_same(sensor_id, other))]
        live = [one for one in group if boot_ns - self._newest_boot_ns(one) <= LIVE_NS]
        if live:
            standing = min(live, key=self._rank.__getitem__)
        else:
            standing = max(group, key=lambda one: (self._newest_boot_ns(one), one == sensor_id))
        return None if standing == sensor_id else standing

    def _can_be_same(self, one: SensorConfig, other: SensorConfig) -> bool:
        said = self._sources.said(one.id, other.id)
        return one.person == other.person and (may_be_same(one.kind, other.kind) if said is None else said)

    def _are_same(self, one: str, other: str) -> bool:
        said = self._sources.said(one, other)
        return self._same.get(frozenset((one, other)), False) if said is None else said

    def _newest_boot_ns(self, sensor_id: str) -> float:
        values = self._values[sensor_id]
        return values[-1].taken_boot_ns if values else float("-inf")


def _pairs(some: Sequence[_Value], others: Sequence[_Value]) -> list[tuple[float, float]]:
    """The values that two sources told at about the same moment."""
    pairs = []
    for one in some:
        other = min(others, key=lambda o: abs(o.taken_boot_ns - one.taken_boot_ns), default=None)
        if other is not None and abs(other.taken_boot_ns - one.taken_boot_ns) <= NEAR_NS:
            pairs.append((one.value, other.value))
    return pairs
