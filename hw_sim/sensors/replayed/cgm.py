"""A CGM that plays a capture: its records come as they came, and may be asked for again.

Contract: a record can be asked for from the moment on at which it was taken. That follows from its time offset and from
when a record came that was just taken; what the capture's own central had fetched is there from the beginning. The
state and the start of the session move with the time between capture and play: the sensor is as old as it was then.

Truth: `measured` are the records of the capture that are due, with the loop's time at which they were taken.

Not here: what all replayed sensors do (`connected`).
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bumble.att import ATT_Error
from bumble.device import Connection

from hw_sim.capture.heard import Device, What
from hw_sim.capture.script import Cue, Exchange
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.cgm_sensor import ERROR_INVALID_LENGTH, Measured
from hw_sim.sensors.cgm_session import CgmSession
from hw_sim.sensors.replayed.connected import ReplayedSensor
from hw_sim.sensors.spot.device import MIDNIGHT_UTC_S
from protocols import cgm, cgm_profile, racp, uuids
from protocols.cgm import CgmMeasurement
from protocols.cgm_profile import CgmProfile
from protocols.errors import DecodeError

_RECORD_PERIOD_S: Final = 0.03
_CAPACITY: Final = 100_000


class ReplayedCgm(ReplayedSensor):
    """Plays a device of a capture that has the CGM Service; everything needs an encrypted link."""

    def __init__(
        self, air: SensorAir, address: str, device: Device, *, begin_s: float, passkey: int | None = None
    ) -> None:
        service = uuids.CGM_SERVICE
        super().__init__(air, address, device, service, begin_s=begin_s, is_encrypted=True, passkey=passkey)
        self._later_s = MIDNIGHT_UTC_S - device.begin_s
        self._profile = _profile(device)
        self._payloads: dict[int, bytes] = {}
        self._session = CgmSession(begin_s, _CAPACITY)
        self._records = self._timed()

    @property
    def measured(self) -> list[Measured]:
        now_s = asyncio.get_running_loop().time()
        return [one for one in self._records if one.at_s <= now_s]

    def _timed(self) -> list[Measured]:
        """All records of the capture, oldest first, and when each was taken."""
        live = [cue for cue in self._script.cues if cue.characteristic == uuids.CGM_MEASUREMENT]
        fetched = [
            cue
            for exchange in self._script.exchanges
            for cue in exchange.answers
            if cue.characteristic == uuids.CGM_MEASUREMENT
        ]
        found: dict[int, CgmMeasurement] = {}
        began_s: float | None = None
        for cue in (*live, *fetched):
            for record in self._profile.decode(cue.payload)[0]:
                found[record.time_offset_min] = record
                self._payloads[record.time_offset_min] = cue.payload
                if began_s is None and cue in live:
                    began_s = self._begin_s + cue.after_s - 60.0 * record.time_offset_min
        if began_s is None:
            began_s = self._begin_s - 60.0 * max(found, default=0)
        self._session.began_s = began_s
        return [Measured(began_s + 60.0 * offset, 0, record) for offset, record in sorted(found.items())]

    # What moves with time

    def value(self, characteristic: str) -> bytes:
        payload = super().value(characteristic)
        try:
            if characteristic == uuids.CGM_STATUS:
                offset_min = self._session.offset_min(asyncio.get_running_loop().time())
                status = cgm.decode_status(payload, crc=self._profile.crc)
                moved = replace(status, time_offset_min=max(0, min(offset_min, racp.TIME_OFFSET_MAX)))
                return cgm.encode_status(moved, crc=self._profile.crc)
            if characteristic == uuids.CGM_SESSION_START_TIME:
                return self._moved_start(payload)
        except (DecodeError, ValueError, OverflowError):
            pass
        return payload

    def _moved_start(self, payload: bytes) -> bytes:
        """A start that the sensor was told is later by as much as the play is after the capture."""
        start = cgm.decode_session_start(payload, crc=self._profile.crc)
        told = datetime(start.year, start.month, start.day, start.hours, start.minutes, start.seconds)  # noqa: DTZ001 - its zone is kept
        now = told + timedelta(seconds=self._later_s)
        moved = replace(
            start,
            year=now.year,
            month=now.month,
            day=now.day,
            hours=now.hour,
            minutes=now.minute,
            seconds=now.second,
        )
        return cgm.encode_session_start(moved, crc=self._profile.crc)

    # Records

    def _found(self, control: str, request: bytes) -> Exchange | None:
        return None if control == uuids.RACP else super()._found(control, request)

    def improvise(self, link: Connection, characteristic: str, payload: bytes) -> None:
        if characteristic != uuids.RACP:
            super().improvise(link, characteristic, payload)
            return
        try:
            request = racp.decode_request(payload)
        except DecodeError as error:
            raise ATT_Error(ERROR_INVALID_LENGTH) from error
        self._session.stored = [one.record for one in self.measured]
        self._spawn(self._answer(self._records_of(request)))

    def _records_of(self, request: racp.Request) -> list[Cue]:
        chosen = self._session.select(request)
        if request.op not in (racp.OpCode.REPORT, racp.OpCode.REPORT_NUMBER):
            chosen = racp.Code.OP_CODE_UNSUPPORTED
        if isinstance(chosen, racp.Code):
            return [_response(0.0, racp.ResponseCode(request.op, chosen))]
        if request.op == racp.OpCode.REPORT_NUMBER:
            return [_response(0.0, racp.NumberResponse(len(chosen)))]
        payloads = dict.fromkeys(self._payloads[one.time_offset_min] for one in chosen)
        cues = [
            Cue(_RECORD_PERIOD_S * n, What.NOTIFIED, uuids.CGM_MEASUREMENT, payload)
            for n, payload in enumerate(payloads)
        ]
        code = racp.Code.SUCCESS if chosen else racp.Code.NO_RECORDS
        return [*cues, _response(_RECORD_PERIOD_S * len(cues), racp.ResponseCode(request.op, code))]


def _response(after_s: float, response: racp.Response) -> Cue:
    return Cue(after_s, What.NOTIFIED, uuids.RACP, racp.encode_response(response))


def _profile(device: Device) -> CgmProfile:
    """How the sensor is read: as it says of itself, or as its records show."""
    values = {one.characteristic: one.payload for one in device.events if one.what is What.READ}
    profile = CgmProfile()
    feature = values.get(uuids.CGM_FEATURE)
    if feature is not None:
        with suppress(DecodeError, StopIteration):
            profile = cgm_profile.pinned(feature, values.get(uuids.CGM_STATUS), profile)
    records = [
        one.payload
        for one in device.events
        if one.what is What.NOTIFIED and one.characteristic == uuids.CGM_MEASUREMENT
    ]
    return cgm_profile.suited(records[: cgm_profile.RECORDS_TO_TELL], profile)
