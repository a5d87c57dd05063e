"""A sensor that plays a capture to whoever connects: its services, its values, its notifications with their spacing.

Contract: it begins at `begin_s` of the loop's time and plays once. Before and after a strap says each second that it is
not worn, and another sensor has nothing to say. What it would notify while nobody has subscribed is lost. What was
asked of a control point in the capture brings the same answers when it is asked again; what was never asked is refused
as a sensor without the function does. Battery and maker are the simulation's own.

Truth: `sent` is what was notified over a link that carried it, in the loop's time. `carried` are the beats in that,
`measured` the records of a CGM.

Not here: a CGM's records, which others are asked for than in the capture (`cgm`).
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, NamedTuple

from bumble.att import ATT_Error, AttributeValue
from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from hw_sim.capture import heard
from hw_sim.capture.heard import Device, What, short
from hw_sim.capture.script import Cue, Exchange, script
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.cgm_sensor import Measured
from hw_sim.sensors.heart_rate_strap import Beat
from hw_sim.sensors.peripheral import ENCRYPTED, Peripheral, Permissions, Properties, uuid16
from protocols import cgm_control, heart_rate, racp, uuids
from protocols.errors import DecodeError

ERROR_REFUSED: Final = 0x06
_NOT_WORN_S: Final = 1.0
_NOT_WORN: Final = heart_rate.encode(heart_rate.HeartRateMeasurement(0, contact=False))
_OPEN: Final = Permissions.READABLE | Permissions.WRITEABLE
_KNOWN: Final = Properties.READ | Properties.WRITE | Properties.NOTIFY | Properties.INDICATE
_KNOWN_TOO: Final = Properties.WRITE_WITHOUT_RESPONSE


class Sent(NamedTuple):
    """A notification that reached somebody."""

    at_s: float
    characteristic: str
    payload: bytes


class ReplayedSensor(Peripheral):
    """Plays a device of a capture as a sensor of one service."""

    def __init__(
        self,
        air: SensorAir,
        address: str,
        device: Device,
        service: str,
        *,
        begin_s: float,
        is_encrypted: bool = False,
        passkey: int | None = None,
    ) -> None:
        """`is_encrypted`: it tells everything over encrypted links only."""
        self.sent: list[Sent] = []
        self.carried: list[Beat] = []
        self._begin_s = begin_s
        self._script = script(device, service)
        self._values = dict(self._script.values)
        self._permissions = ENCRYPTED if is_encrypted else _OPEN
        self._characteristics: dict[str, Characteristic[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[tuple[str, bytes], int] = {}
        services = {one.uuid: self._service(one) for one in self._script.services}
        main = services.pop(service)
        self._measurement = self._main_characteristic()
        super().__init__(
            air, address, f"Replayed {short(service)}", main, battery_pct=self._battery_pct(), passkey=passkey
        )
        for other in services.values():
            self._protect(other)
        self.device.add_services(tuple(services.values()))

    @property
    def measured(self) -> list[Measured]:
        """The records that were taken until now, of a CGM."""
        return []

    def _battery_pct(self) -> int:
        told = self._values.get(uuids.BATTERY_LEVEL, b"")
        return told[0] if told and told[0] <= 100 else 100

    def _service(self, service: heard.Service) -> Service:
        made = [self._characteristic(one) for one in service.characteristics]
        return Service(_uuid(service.uuid), made)

    def _characteristic(self, one: heard.Characteristic) -> Characteristic[bytes]:
        properties = Properties(one.properties & (_KNOWN | _KNOWN_TOO))
        value = AttributeValue[bytes](
            read=lambda _: self.value(one.uuid),
            write=lambda link, payload: self._on_write(link, one.uuid, payload),
        )
        made = Characteristic[bytes](_uuid(one.uuid), properties, self._permissions, value)
        self._characteristics.setdefault(one.uuid, made)
        return made

    def _main_characteristic(self) -> Characteristic[bytes]:
        """What it notifies most."""
        counts = dict.fromkeys(self._characteristics, 0)
        for cue in self._script.cues:
            if cue.what is What.NOTIFIED and cue.characteristic in counts:
                counts[cue.characteristic] += 1
        for exchange in self._script.exchanges:
            for cue in exchange.answers:
                if cue.characteristic in counts and cue.characteristic != exchange.control:
                    counts[cue.characteristic] += 1
        subscribable = {
            name: count
            for name, count in counts.items()
            if self._characteristics[name].properties & (Properties.NOTIFY | Properties.INDICATE)
        }
        return self._characteristics[max(subscribable or counts, key=lambda name: counts[name])]

    # Playing

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < self._begin_s - _NOT_WORN_S:
            await self._say_not_worn()
        for cue in self._script.cues:
            await self._until(cue.after_s)
            if cue.what is What.READ:
                self._values[cue.characteristic] = cue.payload
            elif cue.what is What.NOTIFIED and not self.is_silent:
                self.tell(cue)
        while True:
            await self._say_not_worn()

    async def _say_not_worn(self) -> None:
        await asyncio.sleep(_NOT_WORN_S)
        if uuids.HEART_RATE_MEASUREMENT in self._characteristics and not self.is_silent:
            self.babble(_NOT_WORN)

    async def _until(self, after_s: float) -> None:
        wait_s = self._begin_s + after_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def tell(self, cue: Cue) -> None:
        """Notify or indicate to whoever has subscribed."""
        characteristic = self._characteristics.get(cue.characteristic)
        if characteristic is None:
            return
        for link in self.subscribed(characteristic):
            if characteristic.properties & Properties.NOTIFY:
                self.notify(link, characteristic, cue.payload)
            else:
                self._spawn(self.indicate(link, characteristic, cue.payload))
            if self._air.carries(self.address):
                self._note(cue)

    def _note(self, cue: Cue) -> None:
        now_s = asyncio.get_running_loop().time()
        self.sent.append(Sent(now_s, cue.characteristic, cue.payload))
        if cue.characteristic == uuids.HEART_RATE_MEASUREMENT:
            self.carried += _beats(cue.payload, now_s)

    # What is asked

    def value(self, characteristic: str) -> bytes:
        """What is read."""
        return self._values.get(characteristic, b"")

    def _on_write(self, link: Connection, characteristic: str, payload: bytes) -> None:
        exchange = self._found(characteristic, payload)
        if exchange is not None:
            self._spawn(self._answer(exchange.answers))
        else:
            self.improvise(link, characteristic, payload)

    def _found(self, control: str, request: bytes) -> Exchange | None:
        """How the same was answered before: the first time first, and at last again and again as the last time."""
        same = [one for one in self._script.exchanges if (one.control, one.request) == (control, request)]
        if not same:
            return None
        times = self._asked.get((control, request), 0)
        self._asked[control, request] = times + 1
        return same[min(times, len(same) - 1)]

    async def _answer(self, answers: Sequence[Cue]) -> None:
        begin_s = asyncio.get_running_loop().time()
        for cue in answers:
            await asyncio.sleep(max(0.0, begin_s + cue.after_s - asyncio.get_running_loop().time()))
            self.tell(cue)

    def improvise(self, _: Connection, characteristic: str, payload: bytes) -> None:
        """Answer what was not asked in the capture. Raises ATT_Error if there is no answer."""
        match characteristic, payload[:1]:
            case uuids.RACP, op if op:
                answer = racp.encode_response(racp.ResponseCode(op[0], racp.Code.NO_RECORDS))
            case uuids.CGM_SPECIFIC_OPS, op if op:
                code = cgm_control.Code.OP_CODE_UNSUPPORTED
                answer = cgm_control.encode_response(cgm_control.ResponseCode(op[0], code), crc=False)
            case _:
                raise ATT_Error(ERROR_REFUSED)
        self._spawn(self._answer([Cue(0.0, What.NOTIFIED, characteristic, answer)]))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_disconnection(self, _: Connection) -> None:
        for task in self._tasks:
            task.cancel()


def _uuid(uuid: str) -> UUID:
    return uuid16(uuid) if len(short(uuid)) == 4 else UUID(uuid)


def _beats(payload: bytes, sent_s: float) -> list[Beat]:
    """The beats of a measurement: the last was when it was sent, as far as anybody knows."""
    try:
        reading = heart_rate.decode(payload)
    except DecodeError:
        return []
    ticks = list(reading.rr_ticks or ())
    behind = [sum(ticks[n + 1 :]) / heart_rate.RR_TICKS_PER_S for n in range(len(ticks))]
    return [Beat(sent_s - late_s, sent_s, one) for late_s, one in zip(behind, ticks, strict=True)]
