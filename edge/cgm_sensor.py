"""A CGM's side of the gateway: Continuous Glucose Monitoring Service 181F.

The sensor keeps its records, so none may be lost: after each connection, after a jump in the time offset and
now and then anyway, everything after the watermark is fetched through the Record Access Control Point. The
watermark moves only when a fetch ended well and all of its records were committed. Records and the control
point's answers come through the inbox in the order they were sent, so when the answer is taken, the records
before it are in the store. Nothing here ever sends Start Session or Delete: they erase the sensor's history.
"""

import asyncio
import logging
import math
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from bleak.exc import BleakError

from edge.clock import NS_PER_S, Clock
from edge.config import Limits, SensorConfig
from edge.errors import SensorLost
from edge.inbox import Inbox, Notification
from edge.session import Link
from edge.store import CgmRecord, CgmSession, Store
from edge.summary import Summaries
from protocols import cgm, cgm_profile, racp, racp_procedure, uuids
from protocols.medfloat import MedFloat, Special

log = logging.getLogger(__name__)

NS_PER_MIN = 60 * NS_PER_S
# Two session starts that differ by more than this are two sessions: a sensor keeps its session start to the
# second, but one that lost its clock and was set again may come back some minutes off.
SAME_SESSION_S = 600
# No session began before 1970 or after 2106, whatever a sensor keeps; dates of its records can be reckoned with.
CREDIBLE_UTC_S = range(1 << 32)


@dataclass(frozen=True)
class LiveGlucose:
    """The newest reading, for alerts and display."""

    boot_ns: int
    glucose_mg_dl: float


def as_number(value: MedFloat | None) -> float | None:
    """The value as the store keeps it: None for what is no measurement, infinite for off the scale."""
    match value:
        case Special.POSITIVE_INFINITY:
            return math.inf
        case Special.NEGATIVE_INFINITY:
            return -math.inf
        case Special() | None:
            return None
        case _:
            return float(value)


class CgmSensor:
    """Takes CGM Measurements in, live and from the sensor's storage."""

    pair = True

    def __init__(
        self,
        config: SensorConfig,
        store: Store,
        summaries: Summaries,
        inbox: Inbox,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self.config = config
        self.stale_s = limits.cgm_stale_s
        self.live: LiveGlucose | None = None
        self.battery_pct: int | None = None
        self.records = 0
        self.bad_records = 0
        self.fetches = 0
        self.refusals = 0  # of fetches, in a row
        self._store = store
        self._summaries = summaries
        self._inbox = inbox
        self._clock = clock
        self._limits = limits
        self._profile = cgm_profile.DEFAULT
        self._recent: deque[bytes] = deque(maxlen=cgm_profile.RECORDS_TO_TELL)
        self._session: CgmSession | None = None
        self._session_boot_ns = 0
        self._link_boot_ns = 0
        self._newest: LiveGlucose | None = None
        self._newest_offset_min: int | None = None
        self._step_min: int | None = None
        self._procedure: racp_procedure.ReportRecords | None = None
        self._answered = asyncio.Event()
        self._fetch_due = asyncio.Event()

    @property
    def is_fetching(self) -> bool:
        """Whether the sensor is reporting its stored records right now."""
        return self._procedure is not None

    def flush(self) -> None:
        """Records are committed one by one; nothing is ever open."""

    async def converse(self, link: Link) -> None:
        self._link_boot_ns = self._clock.boot_ns()
        feature, status = await link.read(uuids.CGM_FEATURE), await link.read(uuids.CGM_STATUS)
        self._profile = cgm_profile.pinned(feature, status, self._profile)
        self._recent.clear()
        await self._settle_session(link)
        self.battery_pct = await link.battery_pct()
        await link.subscribe(uuids.RACP)
        await link.subscribe(uuids.CGM_MEASUREMENT)
        while True:
            self._fetch_due.clear()
            await self._fetch(link)
            pause_s = self._limits.backoff_s_max if self.refusals else self._limits.racp_reconcile_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._fetch_due.wait()
            await self._settle_session(link)

    async def _settle_session(self, link: Link) -> None:
        """Find out which session the sensor is in; set its clock only if it has none."""
        current = self._store.current_session(self.config.id)
        newest = self._store.newest_offset(current) if current else None
        status = cgm.decode_status(await link.read(uuids.CGM_STATUS), crc=self._profile.crc)
        session_boot_ns = self._clock.boot_ns() - status.time_offset_min * NS_PER_MIN
        start_utc_s = await self._session_start_utc_s(link, status)
        # While this process runs the time since boot tells more than two settings of the sensor's clock.
        drift_ns = abs(session_boot_ns - self._session_boot_ns) if self._session else math.inf
        if (
            current is None
            # A record's minute may be rounded up while the clock's is rounded down.
            or (newest is not None and status.time_offset_min < newest - 1)
            or (min(abs(start_utc_s - current.start_utc_s), drift_ns / NS_PER_S) > SAME_SESSION_S)
        ):
            run_time_h = cgm.decode_session_run_time(
                await link.read(uuids.CGM_SESSION_RUN_TIME), crc=self._profile.crc
            )
            with self._store.transaction():
                current = self._store.begin_session(self.config.id, start_utc_s, run_time_h)
            newest = None
        if current != self._session:
            self._session, self._newest_offset_min, self._step_min = current, newest, None
        self._session_boot_ns = session_boot_ns

    async def _session_start_utc_s(self, link: Link, status: cgm.CgmStatus) -> int:
        """When the session began, as the sensor keeps it; by the gateway's clock if it keeps nothing usable."""
        now_utc_s = self._clock.utc_ns() // NS_PER_S
        start = await self._read_session_start(link)
        if start.year == 0 or cgm.SensorStatus.TIME_SYNC_REQUIRED in status.status:
            now = cgm.SessionStartTime.from_utc_seconds(now_utc_s)
            with suppress(BleakError):  # some sensors take a time at the start of a session only
                await link.write(
                    uuids.CGM_SESSION_START_TIME, cgm.encode_session_start(now, crc=self._profile.crc)
                )
            start = await self._read_session_start(link)
        start_utc_s = start.utc_seconds()
        if start_utc_s is None or start_utc_s not in CREDIBLE_UTC_S:
            return now_utc_s - 60 * status.time_offset_min
        return start_utc_s

    async def _read_session_start(self, link: Link) -> cgm.SessionStartTime:
        return cgm.decode_session_start(await link.read(uuids.CGM_SESSION_START_TIME), crc=self._profile.crc)

    async def _fetch(self, link: Link) -> None:
        """Have the sensor report every record after the watermark, and wait for the end of it."""
        session = self._session
        assert session is not None
        watermark = self._store.watermark(session)
        if watermark >= racp.TIME_OFFSET_MAX:
            return  # nothing can come after it
        losses = self._losses()
        procedure = racp_procedure.ReportRecords(now_s=self._now_s(), first=watermark + 1)
        self._answered.clear()
        self._procedure = procedure
        self.fetches += 1
        try:
            await link.write(uuids.RACP, procedure.request)
            while procedure.outcome is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, procedure.deadline_s - self._now_s())):
                        await self._answered.wait()
                procedure.on_time(self._now_s())
        finally:
            self._procedure = None
            self.live = self._newest
        if procedure.outcome is racp_procedure.Outcome.REFUSED:
            # Its live readings are worth the link all the same.
            self.refusals += 1
            if self.refusals == 1:
                log.warning("%s: refused to report its records (code %s)", self.config.id, procedure.code)
            return
        if procedure.outcome is not racp_procedure.Outcome.COMPLETE:
            raise SensorLost("the sensor did not report its records in time")
        self.refusals = 0
        if self._losses() == losses and self._newest_offset_min is not None:
            with self._store.transaction():
                self._store.move_watermark(session, self._newest_offset_min)

    def _losses(self) -> int:
        """Records of this sensor that came and could not be kept."""
        return self.bad_records + self._inbox.dropped[self.config.id]

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    def take(self, notification: Notification) -> None:
        if notification.boot_ns < self._link_boot_ns:
            # Left over from the link before. Its session may have ended, and its answers are to a fetch that
            # is no more; the sensor has the records still.
            return
        if notification.characteristic == uuids.RACP:
            if self._procedure is not None:
                self._procedure.on_indication(notification.payload, self._now_s())
                if self._procedure.outcome is not None:
                    self._answered.set()
            return
        self._recent.append(notification.payload)
        self._suit_profile()
        measurements, errors = self._profile.decode(notification.payload)
        self.bad_records += len(errors)
        self._keep(measurements, notification.boot_ns)
        if errors:
            raise errors[0]

    def _suit_profile(self) -> None:
        """Read the sensor as its newest notifications show it wants to be read."""
        profile = cgm_profile.suited(self._recent, self._profile)
        if profile != self._profile:
            crc, order = profile.crc.name, profile.octet_order.name
            log.warning("%s: is read with checksum %s, octets in order %s", self.config.id, crc, order)
            self._profile = profile
            self._fetch_due.set()  # what was misread before

    def _keep(self, measurements: list[cgm.CgmMeasurement], boot_ns: int) -> None:
        session = self._session
        if session is None:
            return
        backfilled = self._procedure is not None
        records = []
        for m in measurements:
            if not self._is_of_session(m, boot_ns):
                # The sensor has begun another session, or tells nonsense: have that settled.
                self._fetch_due.set()
                continue
            record = CgmRecord(
                time_offset_min=m.time_offset_min,
                glucose_mg_dl=as_number(m.glucose_mg_dl),
                trend_mg_dl_min=as_number(m.trend_mg_dl_min),
                quality_pct=as_number(self._profile.quality_pct(m)),
                status=int(m.status),
                received_boot_ns=boot_ns,
                backfilled=backfilled,
            )
            records.append(record)
        self.records += self._summaries.keep_records(session, records)
        for record in records:
            if self._procedure is not None:
                self._procedure.on_record(self._now_s())
            self._follow(record)
        if self._procedure is None:
            # While the past is being fetched the newest record is not yet news.
            self.live = self._newest

    def _is_of_session(self, measurement: cgm.CgmMeasurement, boot_ns: int) -> bool:
        """Whether the time offset fits the session's clock: never ahead, and behind only what was stored."""
        age_s = (boot_ns - self._session_boot_ns) / NS_PER_S - 60 * measurement.time_offset_min
        return age_s >= -SAME_SESSION_S and (self.is_fetching or age_s <= SAME_SESSION_S)

    def _follow(self, record: CgmRecord) -> None:
        """Note the newest record, and have the storage asked when one before it may be missing."""
        newest = self._newest_offset_min
        if newest is not None and record.time_offset_min <= newest:
            return
        if newest is not None:
            step_min = record.time_offset_min - newest
            self._step_min = min(step_min, self._step_min or step_min)
            if step_min >= 2 * self._step_min and not record.backfilled:
                self._fetch_due.set()
        self._newest_offset_min = record.time_offset_min
        if record.glucose_mg_dl is not None:
            taken_boot_ns = self._session_boot_ns + record.time_offset_min * NS_PER_MIN
            self._newest = LiveGlucose(min(taken_boot_ns, record.received_boot_ns), record.glucose_mg_dl)

    def live_status(self, boot_ns: int) -> dict[str, int | float | bool | None]:
        live = self.live
        return {
            "glucose_mg_dl": live.glucose_mg_dl if live and math.isfinite(live.glucose_mg_dl) else None,
            "age_s": (boot_ns - live.boot_ns) / NS_PER_S if live else None,
            "records": self.records,
            "bad_records": self.bad_records,
            "fetches": self.fetches,
            "refusals": self.refusals,
        }
