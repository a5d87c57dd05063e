"""One link to a device that delivers: what is said to it until it has delivered.

Contract: what to say follows from the row of the kind (`table`). The clock is read and set first, then the device is
subscribed to, then it is asked for its records, or waited for. `take_*` are told what comes; nothing else decides when
it is over. A refusal that the device may lift next time is an error with its trouble.

    records: from the watermark on | then
    -------------------------------|------------------------------------------------------------------------------
    reported                       | over
    there are none                 | does it still have the last that is known? If not, it was emptied: all
    refused                        | all
    all are refused, or silence    | an error
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from bleak.exc import BleakCharacteristicNotFoundError

from edge.clock import NS_PER_S, Clock, rest_s
from edge.errors import SensorLost
from edge.radio.link import Link
from edge.radio.trouble import Trouble
from edge.sensors.spot.device_clock import DeviceClock
from edge.sensors.spot.measured import Reader
from edge.sensors.spot.table import Spot
from protocols import user_data, uuids
from protocols.racp_procedure import CountRecords, Outcome, Procedure, ReportRecords

CONSENT_S_MAX: Final = 10.0


class Visit:
    """A link, from the contact until all is delivered.

    Attributes:
        clock: the device's.
        reader: reads what comes over this link.
        numbers: of the newest records that have come since they were asked for, in order.
        is_ascending: whether each has a larger number than the one before.
    """

    def __init__(self, link: Link, spot: Spot, clock: Clock) -> None:
        self.clock = DeviceClock(link, clock)
        self.reader = Reader()
        self.numbers: deque[int] = deque(maxlen=3)
        self.is_ascending = True
        self._link = link
        self._spot = spot
        self._now_ns = clock.boot_ns
        self._roused = asyncio.Event()
        self._procedure: Procedure | None = None
        self._consent: user_data.Response | None = None
        self._heard_s: float | None = None

    def _now_s(self) -> float:
        return self._now_ns() / NS_PER_S

    @property
    def is_reporting(self) -> bool:
        """Whether records are under way."""
        return isinstance(self._procedure, ReportRecords)

    # What comes

    def take_record(self, number: int | None) -> None:
        """A measurement came."""
        self._heard_s = self._now_s()
        if self._procedure is not None:
            self._procedure.on_record(self._heard_s)
        if number is not None and self.is_reporting:
            self.is_ascending &= not self.numbers or number > self.numbers[-1]
            self.numbers.append(number)
        self._roused.set()

    def take_indication(self, characteristic: str, payload: bytes) -> None:
        """A control point has answered.

        Raises:
            DecodeError: with what makes no sense.
        """
        if characteristic == uuids.USER_CONTROL_POINT:
            self._consent = user_data.RESPONSE.decode(payload)
        elif self._procedure is not None:
            self._procedure.on_indication(payload, self._now_s())
        self._roused.set()

    # What is said

    async def subscribe(self) -> None:
        """Subscribe to everything that the kind says, in that order.

        Raises:
            BleakCharacteristicNotFoundError: it is of another kind.
        """
        missing: BleakCharacteristicNotFoundError | None = None
        found = 0
        for characteristic in self._spot.measures:
            try:
                await self._link.subscribe(characteristic)
                found += 1
            except BleakCharacteristicNotFoundError as error:
                missing = error
        if missing is not None and not found:
            raise missing
        if self._spot.has_records:
            await self._link.subscribe(uuids.RACP)
        await asyncio.sleep(self._spot.pause_s)

    async def consent(self, user: int, code: int) -> None:
        """Let the device tell the data of a user.

        Raises:
            SensorLost: it does not.
        """
        await self._link.subscribe(uuids.USER_CONTROL_POINT)
        self._consent = None
        await self._link.write(
            uuids.USER_CONTROL_POINT, user_data.CONSENT.encode(user_data.Consent(user, code))
        )
        until_s = self._now_s() + CONSENT_S_MAX
        while self._consent is None:
            if self._now_s() >= until_s:
                raise SensorLost("no answer to the consent", Trouble.NO_ANSWER)
            await self._rest(until_s)
        if self._consent.code != user_data.Code.SUCCESS:
            raise SensorLost(f"it answered the consent with {self._consent.code:d}", Trouble.CONSENT_REFUSED)

    async def listen(self) -> bool:
        """Wait until all is delivered; whether anything was."""
        until_s = self._now_s() + self._spot.wait_s
        while True:
            if self._heard_s is not None:
                until_s = self._heard_s + self._spot.idle_s
            if self._now_s() >= until_s:
                return self._heard_s is not None
            await self._rest(until_s)

    async def fetch(self, watermark: int) -> bool:
        """Have the records after a number reported; whether all that there are have come.

        Raises:
            SensorLost: it does not report them.
        """
        first = watermark + 1
        report = await self._report(first)
        if report.found_none and first and await self._was_emptied(watermark):
            report = await self._report(0)
        if report.outcome is Outcome.REFUSED and first:
            report = await self._report(0)
        if report.outcome is Outcome.REFUSED:
            raise SensorLost(f"it refused to report, code {report.code}", Trouble.REFUSED)
        if report.outcome is Outcome.TIMED_OUT:
            raise SensorLost("the report of its records did not end", Trouble.NO_ANSWER)
        return report.outcome is Outcome.COMPLETE

    async def _was_emptied(self, watermark: int) -> bool:
        """Whether it does not have the last record that is known any more."""
        count = CountRecords(now_s=self._now_s(), first=watermark)
        await self._ask(count)
        return count.count == 0

    async def _report(self, first: int) -> ReportRecords:
        self.numbers.clear()
        self.is_ascending = True
        report = ReportRecords(now_s=self._now_s(), first=first)
        await self._ask(report)
        return report

    async def _ask(self, procedure: Procedure) -> None:
        self._procedure = procedure
        try:
            await self._link.write(uuids.RACP, procedure.request)
            while procedure.outcome is None:
                await self._rest(procedure.deadline_s)
                procedure.on_time(self._now_s())
        finally:
            self._procedure = None

    async def _rest(self, until_s: float) -> None:
        """Until something came, or until then."""
        self._roused.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s(until_s, self._now_s())):
                await self._roused.wait()
