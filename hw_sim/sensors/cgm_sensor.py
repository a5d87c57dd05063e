"""A continuous glucose monitor: CGM Service with Record Access and Specific Ops Control Points.

Readings are taken and stored whether or not anybody is connected. A live reading is notified at once, or when
the report of stored records that is under way has ended. Everything needs an encrypted link.

Must not be here: where glucose comes from; what is stored and how it is selected (`cgm_session`).
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

from bumble.att import ATT_Error, AttributeValue
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.cgm_calibrations import CALIBRATION_OPS, Calibrations
from hw_sim.sensors.cgm_session import CgmSession
from hw_sim.sensors.peripheral import ENCRYPTED, Peripheral, Properties, uuid16
from protocols import cgm, cgm_control, racp, uuids
from protocols.cgm import CgmMeasurement, Feature, OctetOrder
from protocols.crc import FUNCTIONS, Crc
from protocols.errors import DecodeError

_INTERVAL_OPS: Final = (
    cgm_control.OpCode.SET_COMMUNICATION_INTERVAL,
    cgm_control.OpCode.GET_COMMUNICATION_INTERVAL,
    cgm_control.OpCode.COMMUNICATION_INTERVAL_RESPONSE,
)
ERROR_WRITE_NOT_PERMITTED: Final = 0x03
ERROR_INVALID_LENGTH: Final = 0x0D
ERROR_MISSING_CRC: Final = 0x80
ERROR_INVALID_CRC: Final = 0x81
ERROR_CCCD_IMPROPERLY_CONFIGURED: Final = 0xFD
ERROR_PROCEDURE_IN_PROGRESS: Final = 0xFE
ERROR_OUT_OF_RANGE: Final = 0xFF

_ABORT = racp.Request(racp.OpCode.ABORT, racp.Operator.NULL)
_FEATURES = Feature.MALFUNCTION_DETECTION | Feature.RESULT_RANGE_DETECTION
_RUN_TIME_H = racp.TIME_OFFSET_MAX // 60
_RECORD_PERIOD_S = 0.03  # a record in each connection event
_CRC_OCTETS = 2
_SESSION_START_OCTETS, _SPECIFIC_OPS_OCTETS_MIN = 9, 1


class Measured(NamedTuple):
    """A record, when it was taken in the loop's time, and the number of the sensor that was worn then, from 0."""

    at_s: float
    worn: int
    record: CgmMeasurement


class CgmSensor(Peripheral):
    """Takes its first reading at `begin_s` of the loop's time; the session is `session_age_s` older by then.

    While `is_silent`, it measures and stores, and tells nobody.

    Truth: `session.stored` (also `stored`) are the records that can still be asked for, oldest first; `measured` are
    all, those of sensors that were replaced included, and `taken` counts them; `sessions_started` counts how often a
    client has erased them. `records_sent_s` says when a record was last sent over a link that carried it, in the loop's
    time, by the number of the sensor that was worn and the record's time offset in minutes.

    With `drops_after` the link fades in the next report, after so many records. `moved_by` says at a time of the loop
    by how many mg/dL what it measures differs from what is worn.
    """

    def __init__(
        self,
        air: SensorAir,
        address: str,
        glucose: Iterator[tuple[float, float]],
        *,
        begin_s: float,
        session_age_s: float,
        interval_min: int = 5,
        capacity: int = 1000,
        passkey: int | None = None,
        crc: Crc = Crc.MCRF4XX,
        declares_crc: bool | None = None,
        octet_order: OctetOrder = OctetOrder.SPECIFICATION,
        annunciation: cgm.SensorStatus = cgm.NO_ANNUNCIATION,
        battery_pct: int = 100,
        quality: float | None = None,
        attaches_zero_octets: bool = False,
        takes_time: bool = True,
        calibrations: Calibrations | None = None,
    ) -> None:
        """A negative `begin_s` is a sensor worn before the world began: it starts with its storage filled.

        What some sensors do: a `crc` against the specification; that their Feature does not declare, or one declared
        and not there (`declares_crc`; None: as it is); status octets in another order, or without a bit set in them;
        `annunciation` and `quality` are reported with every reading; they do not take the time; they can be
        calibrated.
        """
        self._glucose = glucose
        self._begin_s = begin_s
        self._interval_min = self._communication_interval_min = interval_min
        self._crc = crc
        self._declares_crc = bool(crc) if declares_crc is None else declares_crc
        self._quality = quality
        self._attaches_zero_octets = attaches_zero_octets
        self._takes_time = takes_time
        self.calibrations = calibrations
        self._octet_order = octet_order
        self._annunciation = annunciation
        self.session = CgmSession(begin_s - session_age_s, capacity)
        self.measured: list[Measured] = []
        self.worn = self.sessions_started = 0
        self.records_sent_s: dict[tuple[int, int], float] = {}
        self.drops_after: int | None = None
        self.moved_by: Callable[[float], float] = lambda _: 0.0
        self._busy: set[Characteristic[bytes]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._abort = False
        self._unsent: list[CgmMeasurement] = []
        self._notified_min = 0
        service = self._service()
        super().__init__(air, address, "Vitalgate CGM", service, battery_pct=battery_pct, passkey=passkey)

    @property
    def stored(self) -> list[CgmMeasurement]:
        return self.session.stored

    @property
    def taken(self) -> int:
        return len(self.measured)

    def replace(self) -> None:
        """A new sensor is put on, at the same transmitter: a new session, and what the old one stored is gone."""
        self.worn += 1
        self._notified_min = 0
        self._unsent.clear()
        self.session.begin(self._now_s())

    def is_held(self, measured: Measured) -> bool:
        """Whether a record can still be asked for."""
        oldest_min = self.stored[0].time_offset_min if self.stored else math.inf
        return measured.worn == self.worn and measured.record.time_offset_min >= oldest_min

    def _service(self) -> Service:
        features = _FEATURES | (Feature.E2E_CRC if self._declares_crc else Feature(0))
        features |= Feature(0) if self.calibrations is None else Feature.CALIBRATION
        control = Properties.WRITE | Properties.INDICATE
        self._measurement = _characteristic(uuids.CGM_MEASUREMENT, Properties.NOTIFY)
        self._racp = _characteristic(uuids.RACP, control, AttributeValue(write=self._on_racp))
        self._socp = _characteristic(uuids.CGM_SPECIFIC_OPS, control, AttributeValue(write=self._on_socp))
        return Service(
            uuid16(uuids.CGM_SERVICE),
            [
                self._measurement,
                _characteristic(
                    uuids.CGM_FEATURE,
                    Properties.READ,
                    cgm.encode_feature(cgm.CgmFeature(features), crc=self._crc or Crc.MCRF4XX),
                ),
                _characteristic(uuids.CGM_STATUS, Properties.READ, AttributeValue(read=self._on_status)),
                _characteristic(
                    uuids.CGM_SESSION_START_TIME,
                    Properties.READ | Properties.WRITE,
                    AttributeValue(read=self._on_start_time, write=self._on_time),
                ),
                _characteristic(
                    uuids.CGM_SESSION_RUN_TIME,
                    Properties.READ,
                    cgm.encode_session_run_time(_RUN_TIME_H, crc=self._crc),
                ),
                self._racp,
                self._socp,
            ],
        )

    # Readings

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        for t_s, glucose_mg_dl in self._glucose:
            due_s = self._begin_s + t_s
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            if self.calibrations is not None:
                glucose_mg_dl = self.calibrations.scaled(glucose_mg_dl, self.session.offset_min(due_s))
            glucose_mg_dl += self.moved_by(due_s)
            record = None if self.is_off else self.session.take(due_s, glucose_mg_dl)
            if record is not None:
                self.measured.append(Measured(due_s, self.worn, record))
                self._offer(record)

    def _offer(self, record: CgmMeasurement) -> None:
        """Notifies a live reading to whoever listens, unless it was asked for less often than that."""
        interval_min = self._communication_interval_min
        since_min = record.time_offset_min - self._notified_min
        fast = interval_min == cgm_control.INTERVAL_FASTEST or interval_min <= self._interval_min
        if interval_min == cgm_control.INTERVAL_DISABLED or not (fast or since_min >= interval_min):
            return
        links = [] if self.is_silent else self.subscribed(self._measurement)
        if links:
            self._notified_min = record.time_offset_min
        if self._racp in self._busy:
            self._unsent += [record] if links else []
            return
        for link in links:
            self._notify_record(link, record)

    def _notify_record(self, link: Connection, record: CgmMeasurement) -> None:
        if self._air.carries(self.address):
            self.records_sent_s[self.worn, record.time_offset_min] = self._now_s()
        record = replace(record, status=record.status | self._annunciation, quality_pct=self._quality)
        payload = cgm.encode_measurement(record, crc=self._crc, octet_order=self._octet_order)
        if self._attaches_zero_octets and not record.status:
            payload = _with_zero_octets(record, self._crc)
        self.notify(link, self._measurement, payload)

    # State

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _on_status(self, _: Connection) -> bytes:
        status = self.session.status(self._now_s())
        if self.calibrations is not None:
            status = replace(status, status=status.status | self.calibrations.status(status.time_offset_min))
        return cgm.encode_status(status, crc=self._crc)

    def _on_start_time(self, _: Connection) -> bytes:
        return cgm.encode_session_start(self.session.read_start_time(), crc=self._crc)

    def _on_time(self, _: Connection, payload: bytes) -> None:
        if not self._takes_time:
            raise ATT_Error(ERROR_WRITE_NOT_PERMITTED)
        self._check_crc(payload, _SESSION_START_OCTETS)
        try:
            client_time = cgm.decode_session_start(payload, crc=self._crc)
        except DecodeError as error:
            raise ATT_Error(ERROR_INVALID_CRC if self._crc else ERROR_INVALID_LENGTH) from error
        try:
            self.session.synchronise(client_time, self._now_s())
        except (ValueError, OverflowError) as error:
            raise ATT_Error(ERROR_OUT_OF_RANGE) from error

    def _check_crc(self, payload: bytes, octets: int) -> None:
        if self._crc and len(payload) < octets + _CRC_OCTETS:
            raise ATT_Error(ERROR_MISSING_CRC if len(payload) >= octets else ERROR_INVALID_LENGTH)

    # Procedures

    def _on_racp(self, link: Connection, payload: bytes) -> None:
        try:
            request = racp.decode_request(payload)
        except DecodeError as error:
            raise ATT_Error(ERROR_INVALID_LENGTH) from error
        reports = request.op == racp.OpCode.REPORT
        self._check_subscribed(link, self._racp, *([self._measurement] if reports else []))
        if request == _ABORT and self._racp in self._busy and not self._abort:
            self._abort = True
            return
        self._begin(self._racp, self._access(link, request))

    def _on_socp(self, link: Connection, payload: bytes) -> None:
        self._check_subscribed(link, self._socp)
        self._check_crc(payload, _SPECIFIC_OPS_OCTETS_MIN)
        try:
            request = cgm_control.decode_request(payload, crc=self._crc)
        except DecodeError as error:
            raise ATT_Error(ERROR_INVALID_CRC if self._crc else ERROR_INVALID_LENGTH) from error
        self._begin(self._socp, self._operate(link, request))

    def _check_subscribed(self, link: Connection, *characteristics: Characteristic[bytes]) -> None:
        if not all(link in self.subscribed(characteristic) for characteristic in characteristics):
            raise ATT_Error(ERROR_CCCD_IMPROPERLY_CONFIGURED)

    def _begin(self, control_point: Characteristic[bytes], procedure: Coroutine[Any, Any, None]) -> None:
        """One procedure of a control point at a time; it ends with its link."""
        if control_point in self._busy:
            procedure.close()
            raise ATT_Error(ERROR_PROCEDURE_IN_PROGRESS)
        self._busy.add(control_point)
        self._abort = False
        task = asyncio.create_task(procedure)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_disconnection(self, _: Connection) -> None:
        for task in self._tasks:
            task.cancel()
        self._busy.clear()
        self._unsent.clear()

    async def _access(self, link: Connection, request: racp.Request) -> None:
        response = await self._answer(link, request)
        # A client may ask again as soon as it has the response.
        self._busy.discard(self._racp)
        await self.indicate(link, self._racp, racp.encode_response(response))
        if self._racp not in self._busy:
            for record in self._unsent:
                self._notify_record(link, record)
            self._unsent.clear()

    async def _answer(self, link: Connection, request: racp.Request) -> racp.Response:
        match request.op:
            case racp.OpCode.ABORT:
                code = racp.Code.SUCCESS if request == _ABORT else racp.Code.INVALID_OPERATOR
                return racp.ResponseCode(request.op, code)
            case racp.OpCode.REPORT | racp.OpCode.REPORT_NUMBER:
                chosen = self.session.select(request)
            case _:
                chosen = racp.Code.OP_CODE_UNSUPPORTED
        if isinstance(chosen, racp.Code):
            return racp.ResponseCode(request.op, chosen)
        if request.op == racp.OpCode.REPORT_NUMBER:
            return racp.NumberResponse(len(chosen))
        return await self._report(link, chosen)

    async def _report(self, link: Connection, records: list[CgmMeasurement]) -> racp.ResponseCode:
        for number, record in enumerate(records):
            if number == self.drops_after:
                self.drops_after = None
                self._air.lose_link(self.address)
            self._notify_record(link, record)
            await asyncio.sleep(_RECORD_PERIOD_S)
            if self._abort:
                return racp.ResponseCode(racp.OpCode.ABORT, racp.Code.SUCCESS)
        code = racp.Code.SUCCESS if records else racp.Code.NO_RECORDS
        return racp.ResponseCode(racp.OpCode.REPORT, code)

    async def _operate(self, link: Connection, request: cgm_control.Request) -> None:
        response: cgm_control.Response | None
        if self.calibrations is not None and request.op in CALIBRATION_OPS:
            response = self.calibrations.answer(request, self.session.offset_min(self._now_s()))
        elif request == cgm_control.Request(cgm_control.OpCode.GET_COMMUNICATION_INTERVAL):
            response = cgm_control.IntervalResponse(self._communication_interval_min)
        else:
            response = cgm_control.ResponseCode(request.op, self._perform(request))
        self._busy.discard(self._socp)
        if response is not None:
            await self.indicate(link, self._socp, cgm_control.encode_response(response, crc=self._crc))

    def _perform(self, request: cgm_control.Request) -> cgm_control.Code:
        match request.op, tuple(request.operand):
            case cgm_control.OpCode.SET_COMMUNICATION_INTERVAL, (interval_min,):
                self._communication_interval_min = interval_min
            case op, _ if op in _INTERVAL_OPS:
                return cgm_control.Code.INVALID_OPERAND
            case cgm_control.OpCode.START_SESSION, ():
                self.sessions_started += 1
                self._notified_min = 0
                self.session.begin(self._now_s())
            case _:
                return cgm_control.Code.OP_CODE_UNSUPPORTED
        return cgm_control.Code.SUCCESS


def _with_zero_octets(record: CgmMeasurement, crc: Crc) -> bytes:
    """A record without status, with all the octets that would hold it."""
    flags = cgm.Flag.STATUS_OCTET | cgm.Flag.CALIBRATION_TEMPERATURE_OCTET | cgm.Flag.WARNING_OCTET
    plain = cgm.encode_measurement(record, crc=Crc.NONE)
    size = len(plain) + 3 + (_CRC_OCTETS if crc else 0)
    body = bytes([size, plain[1] | int(flags)]) + plain[2:6] + bytes(3) + plain[6:]
    return body + (FUNCTIONS[crc](body).to_bytes(_CRC_OCTETS, "little") if crc else b"")


def _characteristic(
    uuid: str, properties: Properties, value: AttributeValue[bytes] | bytes = b""
) -> Characteristic[bytes]:
    return Characteristic(uuid16(uuid), properties, ENCRYPTED, value)
