"""A Xiaomi scale: advertises a weight that swings, is stable, and stays on the display for long after.

Not here: who steps onto it, and when.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.advertiser import Advertiser, service_data
from hw_sim.sensors.peripheral import Permissions, Properties, uuid16
from protocols import uuids, xiaomi
from protocols.date_time import DateTime
from protocols.xiaomi import Composition, Weight

_SWINGS: Final = 6
_SWING_S: Final = 0.5
_STABLE_S: Final = 8.0
_IMPEDANCE_S: Final = 4.0
_WITHOUT_IMPEDANCE: Final = 0xFFFD
BATTERIES_IN: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Step(NamedTuple):
    """Somebody steps onto it, so long after the beginning."""

    at_s: float
    weight_kg: float
    impedance_ohm: int | None = None


class XiaomiScale(Advertiser):
    """Its clock was never set: it shows the time since its batteries were put in, at `begin_s` of the loop's time.

    Truth: `measured` are the steps that it has told as stable.
    """

    def __init__(
        self,
        air: SensorAir,
        address: str,
        steps: Iterator[Step],
        *,
        begin_s: float,
        tells_impedance: bool = False,
    ) -> None:
        uuid = uuids.BODY_COMPOSITION_SERVICE if tells_impedance else uuids.WEIGHT_SCALE_SERVICE
        nothing = Characteristic[bytes](
            uuid16(uuids.WEIGHT_MEASUREMENT), Properties.NOTIFY, Permissions.READABLE, b"\0"
        )
        service = Service(uuid16(uuid), [nothing])
        super().__init__(air, address, address, "MIBFS" if tells_impedance else "MI_SCALE", service)
        self._measurement = nothing
        self._uuid = uuid
        self._steps = steps
        self._begin_s = begin_s
        self.measured: list[Step] = []

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        for step in self._steps:
            await asyncio.sleep(max(0.0, self._begin_s + step.at_s - loop.time()))
            for swing in range(_SWINGS):
                self._tell(step.weight_kg * (0.7 + 0.05 * swing), is_stable=False)
                await asyncio.sleep(_SWING_S)
            # The stamp of a measurement stands, whatever is told of it later.
            stamp = self._stamp()
            self._tell(step.weight_kg, stamp)
            if not self.is_silent:
                self.measured.append(step)
            await asyncio.sleep(_IMPEDANCE_S)
            self._tell(step.weight_kg, stamp, impedance_ohm=step.impedance_ohm)
            await asyncio.sleep(_STABLE_S)
            self._tell(step.weight_kg, stamp, is_removed=True, impedance_ohm=step.impedance_ohm)
        await loop.create_future()

    def _stamp(self) -> DateTime:
        shown = BATTERIES_IN + timedelta(seconds=asyncio.get_running_loop().time() - self._begin_s)
        return DateTime(shown.year, shown.month, shown.day, shown.hour, shown.minute, shown.second)

    def _tell(
        self,
        weight_kg: float,
        stamp: DateTime | None = None,
        *,
        is_stable: bool = True,
        is_removed: bool = False,
        impedance_ohm: int | None = None,
    ) -> None:
        counts, stamp = round(200 * weight_kg), stamp or self._stamp()
        if self.is_silent:
            self.advertise(None)
        elif self._uuid == uuids.BODY_COMPOSITION_SERVICE:
            impedance = _WITHOUT_IMPEDANCE if impedance_ohm is None else impedance_ohm
            has = impedance_ohm is not None
            told = Composition(False, False, has, is_stable, is_removed, stamp, impedance, counts)
            self.advertise(service_data(self._uuid, xiaomi.COMPOSITION.encode(told)))
        else:
            weight = Weight(False, False, is_stable, is_removed, counts, stamp)
            self.advertise(service_data(self._uuid, xiaomi.WEIGHT.encode(weight)))
