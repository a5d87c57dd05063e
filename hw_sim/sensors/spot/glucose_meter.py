"""A glucose meter: it numbers and keeps its measurements, and reports those that it is asked for.

It is asked by the Record Access Control Point. What meters do: they answer nothing before all three characteristics are
subscribed to in their order; report the newest first; have no clock that others can reach; fall silent in the middle.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from bumble.att import ATT_Error, AttributeValue
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import Properties, uuid16
from hw_sim.sensors.spot.device import Packet, Quirks, SpotDevice, Taken, Use
from protocols import glucose_meter, racp, uuids
from protocols.errors import DecodeError
from protocols.glucose_meter import Carbohydrate, GlucoseContext, GlucoseMeasurement, Sample
from protocols.samples import FluidType, SampleLocation

METER_QUIRKS: Final = Quirks(needs_bond=True, lingers_s=None)
_RECORD_S: Final = 0.03
_ERROR_CCCD, _ERROR_BUSY, _ERROR_LENGTH = 0xFD, 0xFE, 0x0D
_MG_DL_PER_KG_L: Final = 1e5


class GlucoseMeter(SpotDevice):
    """Keeps all that it has measured, until `empty` is called.

    Attributes:
        requests: what it was asked for, in order.
        stalls_after: it falls silent after so many records of a report; None: never.
    """

    def __init__(
        self,
        air: SensorAir,
        address: str,
        uses: Iterable[Use] = (),
        *,
        begin_s: float,
        quirks: Quirks = METER_QUIRKS,
        newest_first: bool = False,
        first_number: int = 1,
        passkey: int | None = None,
    ) -> None:
        """It hangs up `quirks.lingers_s` after a report."""
        self.requests: list[racp.Request] = []
        self.kept: list[Taken] = []
        self.stalls_after: int | None = None
        self._newest_first = newest_first
        self._next_number = first_number
        self._is_busy = False
        permissions = quirks.permissions
        self._measurement = Characteristic[bytes](
            uuid16(uuids.GLUCOSE_MEASUREMENT), Properties.NOTIFY, permissions
        )
        self._context = Characteristic[bytes](uuid16(uuids.GLUCOSE_CONTEXT), Properties.NOTIFY, permissions)
        self._racp = Characteristic[bytes](
            uuid16(uuids.RACP),
            Properties.WRITE | Properties.INDICATE,
            permissions,
            AttributeValue[bytes](write=self._on_racp),
        )
        self._data = [self._measurement, self._context, self._racp]
        service = Service(uuid16(uuids.GLUCOSE_SERVICE), list(self._data))
        super().__init__(
            air,
            address,
            "Vitalgate Meter",
            service,
            uses,
            begin_s=begin_s,
            quirks=quirks,
            passkey=passkey,
        )

    def take(self, values: Mapping[str, float], user: int | None = None, ago_s: float = 0.0) -> Taken:
        taken = super().take(values, user, ago_s)._replace(number=self._next_number)
        self._next_number += 1
        self.taken[-1] = taken
        self.kept.append(taken)
        return taken

    def empty(self, next_number: int = 1) -> None:
        """Its memory is erased, and it counts anew."""
        self.kept.clear()
        self._next_number = next_number

    def packets(self, taken: Taken) -> list[Packet]:
        values = taken.values
        status = glucose_meter.SensorStatus(int(values.get("status", 0)))
        fluid = FluidType.CONTROL_SOLUTION if values.get("control") else FluidType.CAPILLARY_WHOLE_BLOOD
        packets = [
            Packet(
                self._measurement,
                glucose_meter.MEASUREMENT.encode(
                    GlucoseMeasurement(
                        taken.number,
                        self.date_time(taken.shown_s),
                        sample=Sample(
                            values["capillary_glucose"] / _MG_DL_PER_KG_L, fluid, SampleLocation.FINGER
                        ),
                        status=status or None,
                        context_follows="meal" in values,
                    )
                ),
            )
        ]
        if "meal" in values:
            eaten = Carbohydrate(1, values["carbohydrate"] / 1000) if "carbohydrate" in values else None
            context = GlucoseContext(taken.number, meal=int(values["meal"]), carbohydrate=eaten)
            packets.append(Packet(self._context, glucose_meter.CONTEXT.encode(context)))
        return packets

    async def deliver(self, _: Connection) -> None:
        """It is asked."""
        await asyncio.get_running_loop().create_future()

    def _on_racp(self, link: Connection, payload: bytes) -> None:
        if not self.is_ready(link):
            raise ATT_Error(_ERROR_CCCD)
        if self._is_busy:
            raise ATT_Error(_ERROR_BUSY)
        try:
            request = racp.decode_request(payload)
        except DecodeError as error:
            raise ATT_Error(_ERROR_LENGTH) from error
        self.requests.append(request)
        contact = self._contact
        if contact is not None and (contact.has_told_time or not self.quirks.needs_time):
            self._is_busy = True
            self._spawn(contact, self._answer(link, request))

    def _on_disconnection(self, link: Connection) -> None:
        self._is_busy = False
        super()._on_disconnection(link)

    async def _answer(self, link: Connection, request: racp.Request) -> None:
        chosen = self._selected(request)
        response: racp.Response
        if request.op == racp.OpCode.REPORT_NUMBER:
            response = racp.NumberResponse(len(chosen))
        elif request.op == racp.OpCode.REPORT:
            for n, taken in enumerate(reversed(chosen) if self._newest_first else chosen):
                if self.stalls_after is not None and n >= self.stalls_after:
                    self.stalls_after = None
                    return
                for packet in self.packets(taken):
                    self.notify(link, *packet)
                await asyncio.sleep(_RECORD_S)
            code = racp.Code.SUCCESS if chosen else racp.Code.NO_RECORDS
            response = racp.ResponseCode(request.op, code)
        else:
            response = racp.ResponseCode(request.op, racp.Code.OP_CODE_UNSUPPORTED)
        self._is_busy = False
        self._undelivered.clear()
        await self.indicate(link, self._racp, racp.encode_response(response))
        if self.quirks.lingers_s is not None:
            await asyncio.sleep(self.quirks.lingers_s)
            await link.disconnect()

    def _selected(self, request: racp.Request) -> list[Taken]:
        if request.operator == racp.Operator.ALL:
            return list(self.kept)
        (least,) = racp.OPERAND.decode(request.operand).values
        return [taken for taken in self.kept if taken.number >= least]
