"""What is said to a CGM over one link, and how its answers are read.

Contract: there is one conversation for each link. What it learns of the sensor, such as what the sensor refuses, holds
for this link only; the order of octets is kept beyond it. A value that a sensor may lack is None. An error with which
the sensor answers is treated as its answer; every other error is the link's, and is passed on.

What to say, and what an answer means, is not decided here.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from bleak.exc import BleakCharacteristicNotFoundError, BleakError, BleakGATTProtocolError
from bleak.exc import BleakGATTProtocolErrorCode as AttCode

from edge.clock import NS_PER_S, Clock, rest_s
from edge.errors import SensorLost
from edge.radio.link import Link
from edge.radio.trouble import Trouble
from edge.sensors.cgm_asking import PROCEDURES, Ask, End, Refusals
from protocols import cgm, cgm_profile, uuids
from protocols.cgm import CgmMeasurement, CgmStatus, Feature, SensorStatus, SessionStartTime
from protocols.cgm_control import Request, Response
from protocols.cgm_procedure import BusyError, ControlPoint
from protocols.cgm_profile import CgmProfile
from protocols.errors import DecodeError
from protocols.permit import Permit
from protocols.racp import Code
from protocols.racp_procedure import CountRecords, Outcome, Procedure

log = logging.getLogger(__name__)

# These errors concern the link, not the request.
_SECURITY: Final = frozenset({AttCode.INSUFFICIENT_AUTHENTICATION, AttCode.INSUFFICIENT_ENCRYPTION})
# After it was tried in vain how else the sensor may want to be read: that takes long, and a sensor may send rubbish.
_SUITED_PAUSE_S: Final = 1.0
# Sensors that advertise the CGM Service without having it, or keep it for their maker's app; the way to their data.
_OTHERS: Final = {
    uuids.MICROTECH_DATA: (
        "it is a sensor of MicroTech (AiDEX, LinX, GlucoRx Vista), which only advertises: "
        'set kind = "aidex", and its name as the address'
    ),
    uuids.AUTHORIZATION_CONTROL_SERVICE: (
        "it is an Accu-Chek SmartGuide with advanced security, which only its maker's app can read: "
        "use a feed from the phone"
    ),
}
# Where the offset of a record stands: it is mostly right when the checksum or the end of the record is wrong.
_OFFSET_OCTETS: Final = slice(4, 6)


class ClockRead(NamedTuple):
    """The sensor's state and clock, which it read at `boot_ns` or a little later."""

    status: CgmStatus
    boot_ns: int


class Conversation:
    """A link to a CGM.

    Attributes:
        profile: how this sensor is read.
        features: what it says that it can do.
        refusals: what it does not answer.
    """

    def __init__(self, link: Link, name: str, clock: Clock, profile: CgmProfile) -> None:
        """`profile`: what is known of the sensor from before."""
        self.link_no = link.number
        self.profile = profile
        self.features = Feature(0)
        self.refusals = Refusals()
        self._link = link
        self._name = name
        self._clock = clock
        self._recent: deque[bytes] = deque(maxlen=cgm_profile.RECORDS_TO_TELL)
        self._suited_s = 0.0
        self._procedure: Procedure | None = None
        self._roused = asyncio.Event()
        self._has_set_time = False
        self._control: ControlPoint | None = None
        self._answered = asyncio.Event()
        self._hears_operations = False

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    async def open(self) -> None:
        """Learn how the sensor is read, and begin to listen."""
        try:
            feature, status = (
                await self._link.read(uuids.CGM_FEATURE),
                await self._link.read(uuids.CGM_STATUS),
            )
        except BleakError as error:
            what = next((words for uuid, words in _OTHERS.items() if self._link.has(uuid)), None)
            if what is None:
                raise
            raise SensorLost(what, Trouble.OTHER_ROUTE) from error
        self.profile = cgm_profile.pinned(feature, status, self.profile)
        self.features = cgm.decode_feature(feature).features
        await self._link.subscribe(uuids.RACP)
        await self._link.subscribe(uuids.CGM_MEASUREMENT)

    # Values

    async def read_clock(self) -> ClockRead:
        # The sensor reads its clock between request and answer. The moment of the request is used: with it no record
        # seems to have come before it was taken.
        boot_ns = self._clock.boot_ns()
        payload = await self._link.read(uuids.CGM_STATUS)
        return ClockRead(cgm.decode_status(payload, crc=self.profile.crc), boot_ns)

    async def read_start(self) -> SessionStartTime | None:
        """The start of the session as the sensor tells it."""
        payload = await self._optional(uuids.CGM_SESSION_START_TIME)
        with suppress(DecodeError):
            return None if payload is None else cgm.decode_session_start(payload, crc=self.profile.crc)
        return None

    async def read_run_time_h(self) -> int | None:
        payload = await self._optional(uuids.CGM_SESSION_RUN_TIME)
        with suppress(DecodeError):
            return None if payload is None else cgm.decode_session_run_time(payload, crc=self.profile.crc)
        return None

    async def _optional(self, uuid: str) -> bytes | None:
        try:
            return await self._link.read(uuid)
        except BleakError as error:
            if not _is_answer(error):
                raise
            return None

    async def set_time(
        self, told: SessionStartTime | None, status: SensorStatus, clock_min: int, utc_s: int
    ) -> SessionStartTime | None:
        """Tell the sensor the time if it needs that, once on each link; returns the session start it tells then."""
        now = cgm_profile.start_time_to_write(
            told,
            offset_min=clock_min,
            utc_s=utc_s,
            time_sync_required=SensorStatus.TIME_SYNC_REQUIRED in status,
        )
        if now is None or self._has_set_time:
            return told
        self._has_set_time = True
        try:
            payload = cgm.encode_session_start(now, crc=self.profile.crc)
            await self._link.write(uuids.CGM_SESSION_START_TIME, payload)
        except BleakError as error:
            if not _is_answer(error):
                raise
            log.info("%s: does not take the time", self._name)
            return told
        return await self.read_start()

    # Procedures

    async def ask(self, ask: Ask, meanwhile: Callable[[], Awaitable[None]]) -> End:
        """Make a request and wait for its end; what it brings comes as notifications.

        `meanwhile` is awaited whenever the conversation was roused.
        """
        first, last = ask.range
        procedure = PROCEDURES[ask.kind](now_s=self._now_s(), first=first, last=last)
        self._procedure = procedure
        self._roused.clear()
        try:
            await self._link.write(uuids.RACP, procedure.request)
            while procedure.outcome is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest_s(procedure.deadline_s, self._now_s())):
                        await self._roused.wait()
                self._roused.clear()
                await meanwhile()
                procedure.on_time(self._now_s())
        except BleakError as error:
            if not _is_answer(error):
                raise
            is_busy = (
                isinstance(error, BleakGATTProtocolError)
                and error.code is AttCode.PROCEDURE_ALREADY_IN_PROGRESS
            )
            return End(Outcome.REFUSED, Code.SERVER_BUSY if is_busy else None)
        finally:
            self._procedure = None
        count = procedure.count if isinstance(procedure, CountRecords) else None
        return End(procedure.outcome, procedure.code, count)

    def rouse(self) -> None:
        """Whoever waits for the end of a request has something else to do."""
        self._roused.set()

    def on_indication(self, control_point: str, payload: bytes) -> None:
        """A control point has answered.

        Raises:
            DecodeError: with what makes no sense.
        """
        procedure = self._procedure
        if control_point == uuids.CGM_SPECIFIC_OPS:
            self._on_operation(payload)
        elif procedure is not None:
            procedure.on_indication(payload, self._now_s())
            if procedure.outcome is not None:
                self.rouse()

    # Specific operations

    async def operate(self, request: Request, permit: Permit | None = None) -> Response | None:
        """Have an operation performed, one at a time; what the sensor answers, None if it does not in time.

        Raises:
            BusyError: one is under way.
            BleakError: the sensor does not take it, or the link is lost.
        """
        if self._control is not None:
            raise BusyError
        control = self._control = ControlPoint(self.profile.crc)
        self._answered.clear()
        try:
            if not self._hears_operations:
                await self._link.subscribe(uuids.CGM_SPECIFIC_OPS)
                self._hears_operations = True
            await self._link.write(uuids.CGM_SPECIFIC_OPS, control.begin(request, self._now_s(), permit))
            while control.outcome is None and control.deadline_s is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(rest_s(control.deadline_s, self._now_s())):
                        await self._answered.wait()
                control.on_time(self._now_s())
        finally:
            self._control = None
        return control.answer

    def _on_operation(self, payload: bytes) -> None:
        if self._control is not None:
            self._control.on_indication(payload)
            self._answered.set()

    # Records

    def read_records(self, payload: bytes) -> tuple[list[CgmMeasurement], list[DecodeError]]:
        """What a notification holds, and what was wrong with the rest of it."""
        self._recent.append(payload)
        records, errors = self.profile.decode(payload)
        if errors or any(record.status & cgm.RESERVED_ANNUNCIATION for record in records):
            records, errors = self._suited().decode(payload)
        if self._procedure is not None:
            for _ in (*records, *errors):
                self._procedure.on_record(self._now_s())
        return records, errors

    def _suited(self) -> CgmProfile:
        """How the newest notifications show that the sensor wants to be read."""
        if len(self._recent) == cgm_profile.RECORDS_TO_TELL:
            if self._now_s() < self._suited_s:
                return self.profile
            self._suited_s = self._now_s() + _SUITED_PAUSE_S
        profile = cgm_profile.suited(self._recent, self.profile)
        if profile != self.profile:
            crc, order = profile.crc.name, profile.octet_order.name
            log.warning("%s: is read with checksum %s, octets in order %s", self._name, crc, order)
            self.profile = profile
        return profile


def offset_min_of(error: DecodeError) -> int | None:
    """Which record it was that could not be read, as far as it can be guessed."""
    octets = error.payload[_OFFSET_OCTETS]
    return int.from_bytes(octets, "little") if len(octets) == 2 else None


def _is_answer(error: BleakError) -> bool:
    """Whether the sensor has said no, or has no such thing."""
    if isinstance(error, BleakGATTProtocolError):
        return error.code not in _SECURITY
    return isinstance(error, BleakCharacteristicNotFoundError)
