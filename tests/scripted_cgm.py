"""A CGM at the far end of a link that does exactly what a test says."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from bleak.exc import BleakGATTProtocolError, BleakGATTProtocolErrorCode
from cgm_parts import Gateway
from edge_parts import MIDNIGHT_UTC_S

from hw_sim.clock import run
from hw_sim.direct_stack import DirectLink
from protocols import cgm, racp, uuids
from protocols.cgm import CgmMeasurement, OctetOrder, SensorStatus
from protocols.medfloat import MedFloat
from protocols.racp import Code, NumberResponse, OpCode, Request, ResponseCode

UNKNOWN = cgm.SessionStartTime(0, 0, 0, 0, 0, 0, time_zone_quarters=None, dst=None)
UNSUPPORTED = BleakGATTProtocolError(BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED)


class Sensor:
    """The far end of a link, doing exactly what a test says; its session began `age_min` ago."""

    def __init__(
        self, *, age_min: int, crc: bool = True, stored: Iterable[int] = (), counts: bool = True
    ) -> None:
        self.crc = crc
        self.counts = counts
        self.status = SensorStatus(0)
        self.order = OctetOrder.SPECIFICATION
        self.begin(age_min)
        self.start = cgm.SessionStartTime.from_utc_seconds(round(MIDNIGHT_UTC_S + self.began_s))
        self.run_time = cgm.encode_session_run_time(240, crc=crc)
        self.stored: dict[int, MedFloat] = {}
        self.store(stored)
        self.spoilt: set[int] = set()
        self.refused: set[racp.Operator] = set()
        self.refuses_time = False
        self.times_written = 0
        self.reads: Counter[str] = Counter()
        self.asked: list[tuple[float, Request]] = []
        self.reported: list[list[int]] = []  # what was asked for, of what is stored
        self.answer: Callable[[], None] = self.report
        self.link: DirectLink | None = None

    # Its session

    def begin(self, age_min: int) -> None:
        self.began_s = asyncio.get_running_loop().time() - 60 * age_min

    def begin_anew(self, age_min: int = 0, stored: Iterable[int] = ()) -> None:
        """Another session, of which it knows no start yet."""
        self.begin(age_min)
        self.start, self.stored = UNKNOWN, {}
        self.store(stored)

    @property
    def offset_min(self) -> int:
        return math.floor((asyncio.get_running_loop().time() - self.began_s) / 60)

    def store(self, offsets: Iterable[int], glucose: MedFloat | None = None) -> None:
        """Values are those of the offsets, unless a value is given."""
        self.stored |= {offset: 80.0 + offset % 50 if glucose is None else glucose for offset in offsets}

    def take(self, offset: int, glucose: MedFloat | None = None) -> None:
        """A live reading: stored, and notified."""
        self.store([offset], glucose)
        self.notify(offset)

    async def live(self, *offsets: int, glucose: MedFloat | None = None) -> None:
        """Live readings, each at its minute."""
        for offset in offsets:
            await asyncio.sleep(60 * offset + self.began_s - asyncio.get_running_loop().time())
            self.take(offset, glucose)

    # Its link

    def on_connected(self, link: DirectLink) -> None:
        self.link = link

    def on_disconnected(self) -> None:
        self.link = None

    def read(self, uuid: str) -> bytes:
        self.reads[uuid] += 1
        match uuid:
            case uuids.CGM_FEATURE:
                feature = cgm.Feature.E2E_CRC if self.crc else cgm.Feature(0)
                return cgm.encode_feature(cgm.CgmFeature(feature))
            case uuids.CGM_STATUS:
                return cgm.encode_status(cgm.CgmStatus(self.offset_min, self.status), crc=self.crc)
            case uuids.CGM_SESSION_START_TIME:
                return cgm.encode_session_start(self.start, crc=self.crc)
            case uuids.CGM_SESSION_RUN_TIME:
                return self.run_time
        raise AssertionError(uuid)

    def write(self, uuid: str, payload: bytes) -> None:
        if uuid == uuids.CGM_SESSION_START_TIME:
            self.set_time(payload)
            return
        assert uuid == uuids.RACP
        request = racp.decode_request(payload)
        assert request.op in (OpCode.REPORT, OpCode.REPORT_NUMBER)
        self.asked.append((asyncio.get_running_loop().time(), request))
        if request.operator in self.refused:
            self.respond(Code.OPERATOR_UNSUPPORTED, request.op)
            return
        offsets = racp.requested_offsets(request)
        assert isinstance(offsets, range)
        chosen = [offset for offset in self.stored if offset in offsets]
        if request.op == OpCode.REPORT:
            self.reported.append(chosen)
            self.answer()
        elif self.counts:
            self.put(uuids.RACP, racp.encode_response(NumberResponse(len(chosen))))
        else:
            self.respond(Code.OP_CODE_UNSUPPORTED, request.op)

    def set_time(self, payload: bytes) -> None:
        self.times_written += 1
        if self.refuses_time:
            raise UNSUPPORTED
        now = cgm.decode_session_start(payload, crc=self.crc).utc_seconds()
        assert now is not None
        self.start = cgm.SessionStartTime.from_utc_seconds(now - 60 * self.offset_min)
        self.status &= ~SensorStatus.TIME_SYNC_REQUIRED

    def report(self, offsets: Iterable[int] | None = None, code: int | None = None) -> None:
        offsets = self.reported[-1] if offsets is None else offsets
        for offset in offsets:
            self.notify(offset)
        self.respond((Code.SUCCESS if self.reported[-1] else Code.NO_RECORDS) if code is None else code)

    def report_slowly(self, record_s: float) -> None:
        """So that each record takes so long on the air."""
        offsets, link, loop = iter(self.reported[-1]), self.link, asyncio.get_running_loop()

        def go_on() -> None:
            offset = next(offsets, None)
            if link is self.link and offset is not None:
                self.notify(offset)
                loop.call_later(record_s, go_on)
            elif link is self.link:
                self.respond(Code.SUCCESS)

        go_on()

    def respond(self, code: int, op: int = OpCode.REPORT) -> None:
        self.put(uuids.RACP, racp.encode_response(ResponseCode(op, code)))

    def notify(self, offset: int) -> None:
        record = CgmMeasurement(self.stored[offset], offset, self.status)
        payload = cgm.encode_measurement(record, crc=self.crc, octet_order=self.order)
        if offset in self.spoilt:
            payload = payload[:-1] + bytes([payload[-1] ^ 0xFF])
        self.put(uuids.CGM_MEASUREMENT, payload)

    def put(self, uuid: str, payload: bytes) -> None:
        if self.link is not None:
            self.link.notify(uuid, payload)


def play(scenario: Callable[[Gateway], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await scenario(Gateway())

    run(main())


def operators(sensor: Sensor, op: int = OpCode.REPORT) -> list[str]:
    return [racp.Operator(request.operator).name for _, request in sensor.asked if request.op == op]


async def beside(*tasks: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*tasks)
