"""A glucose sensor of MicroTech (AiDEX X, LinX): it measures every minute, and advertises the newest three records.

Contract: it advertises the CGM Service without having its characteristics: whoever connects finds vendor ones. A
payload stands until the next, `period_min` later.

Not here: where glucose comes from.
"""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from bumble.core import UUID
from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.advertiser import Advertiser, company_data, local_name
from hw_sim.sensors.peripheral import Permissions, Properties, uuid16
from protocols import aidex, uuids
from protocols.aidex import Advertisement, GlucoseRecord, State
from protocols.cgm import SensorStatus

_VENDOR: Final = (0x2AFF, 0xF001, 0xF002, 0xF003)
_NOTHING: Final = GlucoseRecord(1023, State.ERROR | State.INVALID, 7, quality_pct=255)
_WEAR_MIN: Final = 15 * 1440
MINUTE_S: Final = 60.0


class Measured(NamedTuple):
    """A record: when it was taken in the loop's time, its minute in the session, and its value in mg/dL."""

    at_s: float
    minute: int
    glucose_mg_dl: int | None


class AidexSensor(Advertiser):
    """Worn since `session_age_s` before `begin_s` of the loop's time. While `is_silent`, it advertises no records.

    Truth: `measured` are all records, oldest first; `told` the minutes of those that it has advertised.
    """

    interval_ms = 5000.0

    def __init__(
        self,
        air: SensorAir,
        name: str,
        glucose: Iterator[tuple[float, float]],
        *,
        begin_s: float,
        session_age_s: float,
        radio_address: str = "C4:00:00:00:00:01",
        period_min: int = 1,
        hides_behind_response: bool = False,
        is_old: bool = False,
        spoils: bool = False,
    ) -> None:
        """What some do: answer scans with data of the same company; use the layout of the older AiDEX; send wrong
        checksums."""
        service = Service(
            uuid16(uuids.CGM_SERVICE),
            [
                Characteristic[bytes](
                    UUID.from_16_bits(number),
                    Properties.READ | Properties.NOTIFY,
                    Permissions.READABLE,
                    b"\0",
                )
                for number in _VENDOR
            ],
        )
        super().__init__(air, name, radio_address, name, service)
        self._measurement = service.characteristics[0]
        self._glucose = glucose
        self._begin_s = begin_s
        self._start_s = begin_s - session_age_s
        self._period_min = period_min
        self._is_old, self._spoils = is_old, spoils
        self._next = next(glucose, None)
        self._value = math.nan
        self.measured: list[Measured] = []
        self.told: set[int] = set()
        self.payload: bytes | None = None
        if hides_behind_response:
            answer = company_data(aidex.COMPANY, bytes.fromhex("03f9054b36"))
            self.respond([answer, local_name(name)])

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            minute = math.floor((max(loop.time(), self._begin_s) - self._start_s) / MINUTE_S) + 1
            await asyncio.sleep(self._start_s + minute * MINUTE_S - loop.time())
            self._measure(loop.time(), round((loop.time() - self._start_s) / MINUTE_S))

    def start_anew(self) -> None:
        """A new session begins under the same serial number, as after a reset."""
        now_s = asyncio.get_running_loop().time()
        self._start_s = now_s
        self.measured.clear()
        self.told.clear()

    def _measure(self, at_s: float, minute: int) -> None:
        while self._next is not None and self._next[0] <= at_s - self._begin_s:
            self._value = self._next[1]
            self._next = next(self._glucose, None)
        value = round(self._value) if math.isfinite(self._value) else None
        self.measured.append(Measured(at_s, minute, value))
        if minute % self._period_min == 0:
            self._tell(minute)

    def _tell(self, minute: int) -> None:
        if self.is_silent:
            self.payload = None
            self.advertise(None)
            return
        newest = self.measured[:-4:-1]
        newest_record, *before = [_record(one) for one in newest] + [_NOTHING] * (3 - len(newest))
        status = SensorStatus.SESSION_STOPPED if minute >= _WEAR_MIN else SensorStatus(0)
        payload = aidex.encode(
            Advertisement(minute, int(status), 0, None, newest_record, before[0], before[1])
        )
        self.payload = self._quirk(payload, minute)
        if self.payload == payload:
            self.told.update(one.minute for one in newest)
        self.advertise(company_data(aidex.COMPANY, self.payload))

    def _quirk(self, payload: bytes, minute: int) -> bytes:
        if self._is_old:
            since_2000_s = 820_000_000 + 60 * minute
            return (
                bytes([0, 6])
                + since_2000_s.to_bytes(4, "little")
                + (minute // 5).to_bytes(2, "little")
                + bytes([1, 2, 56, 0])
            )
        return payload[:-1] + bytes([payload[-1] ^ 1]) if self._spoils else payload


def _record(measured: Measured) -> GlucoseRecord:
    if measured.glucose_mg_dl is None:
        return _NOTHING
    return replace(_NOTHING, glucose_mg_dl=measured.glucose_mg_dl, state=State.OK, reserved=0, quality_pct=99)
