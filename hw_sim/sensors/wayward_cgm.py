"""A CGM behind the direct radio that does, when told to, whatever sensors have been seen to do wrong.

Contract: by default it is a sensor as the specification wants it (`cgm_session` keeps its records). `manners` and
`miscounts` say how the next requests for stored records are answered; `unreadable` and `future` are records that it
holds and nobody can use; its clock can be set, its session changed, its storage is overwritten beyond its capacity. A
link may be cut at any packet by the stack. Times are seconds of the loop's clock.

Truth: `held` is what can still be asked for; `withheld` counts how often a record was asked for and a report was over
without it; `connected_s` is when it was connected, `news_s` when a report told something that no client had been told,
`requests` and `times_set` are what clients wrote and when; `on_live` is called with each live reading that was heard.

Not here: the link (`direct_stack`), where glucose comes from, and what a client should make of all this.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from bleak.exc import BleakGATTProtocolError, BleakGATTProtocolErrorCode

from hw_sim.radio.direct_stack import DirectLink
from hw_sim.sensors.cgm_session import CgmSession
from protocols import battery, cgm, racp, uuids
from protocols.cgm import CgmMeasurement, SensorStatus, SessionStartTime
from protocols.crc import Crc
from protocols.errors import DecodeError
from protocols.racp import Code, NumberResponse, OpCode, Operator, Request, Response, ResponseCode

_ABORT: Final = Request(OpCode.ABORT, Operator.NULL)
_RUN_TIME_H: Final = 240
_BATTERY_PCT: Final = 90


@dataclass(frozen=True, slots=True)
class Manner:
    """How one report is given; by default as it should be.

    Attributes:
        newest_only: of the records asked for, only so many of the newest are reported.
        omit_every, repeat_every: every so many-th record is left out, or sent twice; 0 is none of them.
        shuffle_seed: the records come in some other order.
        stray: an answer that comes before the first record.
        response: what ends the report, where it is not the right answer.
        is_silent: nothing ends it.
    """

    newest_only: int | None = None
    omit_every: int = 0
    repeat_every: int = 0
    shuffle_seed: int | None = None
    stray: Response | None = None
    response: Response | None = None
    is_silent: bool = False

    def arrange(self, records: list[CgmMeasurement]) -> list[CgmMeasurement]:
        """The records in the form in which they are sent."""
        sent = records if self.newest_only is None else records[max(0, len(records) - self.newest_only) :]
        if self.omit_every:
            sent = [record for n, record in enumerate(sent, 1) if n % self.omit_every]
        if self.repeat_every:
            sent = [
                record for n, record in enumerate(sent, 1) for _ in range(1 + (n % self.repeat_every == 0))
            ]
        if self.shuffle_seed is not None:
            sent = Random(self.shuffle_seed).sample(sent, len(sent))
        return sent


PLAIN: Final = Manner()


class WaywardCgm:
    """Its first session began at `began_s`; nothing is stored until `take` is called."""

    services: Final = {
        uuids.CGM_SERVICE: (
            uuids.CGM_MEASUREMENT,
            uuids.CGM_FEATURE,
            uuids.CGM_STATUS,
            uuids.CGM_SESSION_START_TIME,
            uuids.CGM_SESSION_RUN_TIME,
            uuids.RACP,
        ),
        uuids.BATTERY_SERVICE: (uuids.BATTERY_LEVEL,),
    }

    def __init__(
        self,
        address: str,
        *,
        began_s: float,
        capacity: int = 4096,
        event_s: float = 0.03,
        packets_in_event: int = 1,
        records_in_packet: int = 1,
        crc: Crc = Crc.MCRF4XX,
        operators: frozenset[Operator] = frozenset(Operator),
        counts: bool = True,
        interleaves: bool = False,
    ) -> None:
        """A report goes on with each connection event, `event_s` after the last, by some notifications of some records.

        What some sensors do: they know only some `operators`, do not count their records, or send a live reading amid
        a report (`interleaves`) instead of after it.
        """
        self.address = address
        self.session = CgmSession(began_s, capacity)
        self.sessions = 1
        self.run_time: bytes = cgm.encode_session_run_time(_RUN_TIME_H, crc=crc)
        self.manners: deque[Manner] = deque()
        self.miscounts: deque[int | Response] = deque()
        self.unreadable: set[int] = set()
        self.future: list[CgmMeasurement] = []
        self.annunciation = cgm.NO_ANNUNCIATION
        self.withheld: Counter[int] = Counter()
        self.connected_s: list[float] = []
        self.news_s: list[float] = []
        self.requests: list[tuple[float, Request]] = []
        self.times_set: list[tuple[float, SessionStartTime]] = []
        self.on_live: Callable[[CgmMeasurement], None] = lambda _: None
        self._event_s = event_s
        self._packets_in_event = packets_in_event
        self._records_in_packet = records_in_packet
        self._crc = crc
        self._operators = operators
        self._counts = counts
        self._interleaves = interleaves
        self._payloads: dict[CgmMeasurement, bytes] = {}
        self._told: set[int] = set()
        self._link: DirectLink | None = None
        self._report: _Report | None = None
        self._unsent: list[CgmMeasurement] = []

    # Readings

    @property
    def held(self) -> list[CgmMeasurement]:
        """Every record that can be asked for, those of the future last."""
        return self.session.stored + self.future

    def take(
        self, glucose_mg_dl: float, *, status: SensorStatus = cgm.NO_ANNUNCIATION, times_told: int = 1
    ) -> CgmMeasurement | None:
        """Measure, store, and tell whoever listens, `times_told` times over; None if its minute has a record already.

        `status` is of this record alone. A reading whose value is NaN or infinite is stored as the sensor means it.
        """
        record = self.session.take(asyncio.get_running_loop().time(), glucose_mg_dl)
        if record is None:
            return None
        if status:
            record = CgmMeasurement(record.glucose_mg_dl, record.time_offset_min, record.status | status)
            self.session.stored[-1] = record
        for _ in range(times_told):
            if self._report is None or self._interleaves:
                self._send_live(record)
            else:
                self._unsent.append(record)
        return record

    def _send_live(self, record: CgmMeasurement) -> None:
        if self._send([record]):
            self.on_live(record)

    def begin_session(self) -> None:
        """Somebody has put on a new sensor: what was stored is gone."""
        self.session.begin(asyncio.get_running_loop().time())
        self.sessions += 1
        self.future.clear()
        self.unreadable.clear()
        self.withheld.clear()
        self._payloads.clear()
        self._told.clear()
        self._unsent.clear()
        self._break_off()

    def set_clock(self, by_s: float) -> None:
        """Its own clock jumps, not to before the session; the session goes on, and no minute is used twice."""
        self.session.began_s = min(self.session.began_s - by_s, asyncio.get_running_loop().time())

    def payload(self, record: CgmMeasurement) -> bytes:
        """What it sends of a record."""
        payload = self._payloads.get(record)
        if payload is None:
            payload = self._payloads[record] = cgm.encode_measurement(record, crc=self._crc)
        # One octet too few: neither its size nor its checksum fits.
        return payload[:-1] if record.time_offset_min in self.unreadable else payload

    def _send(self, records: Sequence[CgmMeasurement]) -> bool:
        """One notification."""
        octets = b"".join(map(self.payload, records))
        passed = self._link is not None and self._link.notify(uuids.CGM_MEASUREMENT, octets)
        offsets = {record.time_offset_min for record in records}
        if passed and (news := offsets - self._told - self.unreadable):
            self._told |= news
            if self._report is not None:
                self._report.has_news = True
        return passed

    # Its link

    def on_connected(self, link: DirectLink) -> None:
        self._link = link
        self.connected_s.append(asyncio.get_running_loop().time())

    def on_disconnected(self) -> None:
        self._link = None
        self._unsent.clear()
        self._break_off()

    def _break_off(self) -> None:
        if self._report is not None:
            self._report.stop()
            self._note_news(self._report)
            self._report = None

    def _note_news(self, report: "_Report") -> None:
        if report.has_news:
            self.news_s.append(asyncio.get_running_loop().time())

    def read(self, characteristic: str) -> bytes:
        now_s = asyncio.get_running_loop().time()
        match characteristic:
            case uuids.CGM_FEATURE:
                features = cgm.Feature.E2E_CRC if self._crc else cgm.Feature(0)
                return cgm.encode_feature(cgm.CgmFeature(features), crc=self._crc)
            case uuids.CGM_STATUS:
                status = self.session.status(now_s)
                told = cgm.CgmStatus(status.time_offset_min, status.status | self.annunciation)
                return cgm.encode_status(told, crc=self._crc)
            case uuids.CGM_SESSION_START_TIME:
                return cgm.encode_session_start(self.session.read_start_time(), crc=self._crc)
            case uuids.CGM_SESSION_RUN_TIME:
                return self.run_time
            case uuids.BATTERY_LEVEL:
                return battery.encode_level(_BATTERY_PCT)
        raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.READ_NOT_PERMITTED)

    def write(self, characteristic: str, payload: bytes) -> None:
        match characteristic:
            case uuids.RACP:
                self._on_request(payload)
            case uuids.CGM_SESSION_START_TIME:
                self._on_time(payload)
            case _:
                raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED)

    def _on_time(self, payload: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        try:
            told = cgm.decode_session_start(payload, crc=self._crc)
            self.session.synchronise(told, now_s)
        except (DecodeError, ValueError, OverflowError) as error:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.OUT_OF_RANGE) from error
        self.times_set.append((now_s, told))

    # Stored records

    def _on_request(self, payload: bytes) -> None:
        try:
            request = racp.decode_request(payload)
        except DecodeError as error:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.INVALID_ATTRIBUTE_VALUE_LENGTH) from error
        if self._link is None or not self._link.listens(uuids.RACP):
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.CCCD_IMPROPERLY_CONFIGURED)
        self.requests.append((asyncio.get_running_loop().time(), request))
        if request == _ABORT:
            self._break_off()
            self._answer(ResponseCode(OpCode.ABORT, Code.SUCCESS))
        elif self._report is not None:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.PROCEDURE_ALREADY_IN_PROGRESS)
        elif request.op == OpCode.REPORT:
            self._begin_report(request)
        elif request.op == OpCode.REPORT_NUMBER and self._counts:
            self._count(request)
        else:
            self._answer(ResponseCode(request.op, Code.OP_CODE_UNSUPPORTED))

    def _chosen(self, request: Request) -> list[CgmMeasurement] | Code:
        if request.operator not in self._operators:
            return Code.OPERATOR_UNSUPPORTED
        chosen = self.session.select(request)
        if isinstance(chosen, Code) or not self.future:
            return chosen
        offsets = racp.requested_offsets(request)
        if isinstance(offsets, Code):  # first or last
            return chosen
        return chosen + [record for record in self.future if record.time_offset_min in offsets]

    def _count(self, request: Request) -> None:
        chosen = self._chosen(request)
        off = self.miscounts.popleft() if self.miscounts else 0
        if not isinstance(off, int):
            self._answer(off)
        elif isinstance(chosen, Code):
            self._answer(ResponseCode(request.op, chosen))
        else:
            self._answer(NumberResponse(max(0, len(chosen) + off)))

    def _begin_report(self, request: Request) -> None:
        manner = self.manners.popleft() if self.manners else PLAIN
        chosen = self._chosen(request)
        if manner.stray is not None:
            self._answer(manner.stray)
        if isinstance(chosen, Code):
            self._answer(ResponseCode(request.op, chosen))
            return
        right = ResponseCode(request.op, Code.SUCCESS if chosen else Code.NO_RECORDS)
        response = None if manner.is_silent else manner.response or right
        arranged = manner.arrange(chosen)
        packets = [
            arranged[n : n + self._records_in_packet]
            for n in range(0, len(arranged), self._records_in_packet)
        ]
        self._report = _Report(chosen, packets, response, self._event_s, self._packets_in_event)
        self._report.go_on(self._send, self._end_report)

    def _end_report(self, report: "_Report") -> None:
        """The report is over, whatever it contained."""
        self._report = None
        self._note_news(report)
        if not report.is_orphaned:
            readable = report.passed - self.unreadable
            self.withheld.update({record.time_offset_min for record in report.asked} - readable)
        if report.response is not None:
            self._answer(report.response)
        asyncio.get_running_loop().call_soon(self._send_unsent)

    def _send_unsent(self) -> None:
        unsent, self._unsent = self._unsent, []
        for record in unsent:
            self._send_live(record)

    def _answer(self, response: Response) -> None:
        """Indicate, after the answer to the write."""
        asyncio.get_running_loop().call_soon(self._indicate, self._link, racp.encode_response(response))

    def _indicate(self, link: DirectLink | None, payload: bytes) -> None:
        if link is not None:
            link.notify(uuids.RACP, payload)


class _Report:
    """Stored records on their way, in one connection event after the other."""

    def __init__(
        self,
        asked: list[CgmMeasurement],
        packets: list[list[CgmMeasurement]],
        response: Response | None,
        event_s: float,
        packets_in_event: int,
    ) -> None:
        self.asked = asked
        self.response = response
        self.passed: set[int] = set()
        self.is_orphaned = self.has_news = False
        self._packets = deque(packets)
        self._event_s = event_s
        self._packets_in_event = packets_in_event
        self._timer: asyncio.Handle | None = None
        self._is_stopped = False

    def go_on(
        self, send: Callable[[Sequence[CgmMeasurement]], bool], end: Callable[["_Report"], None]
    ) -> None:
        if self._is_stopped:  # the link was cut at this packet
            return
        loop = asyncio.get_running_loop()
        if self._packets:
            self._timer = loop.call_later(self._event_s, self._send_next, send, end)
        else:
            self._timer = loop.call_soon(end, self)

    def _send_next(
        self, send: Callable[[Sequence[CgmMeasurement]], bool], end: Callable[["_Report"], None]
    ) -> None:
        for _ in range(min(self._packets_in_event, len(self._packets))):
            records = self._packets.popleft()
            if send(records):
                self.passed.update(record.time_offset_min for record in records)
            else:
                self.is_orphaned = True  # whoever asked for it was killed
            if self._is_stopped:
                return
        self.go_on(send, end)

    def stop(self) -> None:
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
