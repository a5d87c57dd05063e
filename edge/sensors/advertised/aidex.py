"""The gateway's side of a glucose sensor that tells everything in its advertisements: AiDEX X, LinX and their brands.

Contract: each advertisement brings the newest record and the two before it, so gaps of two minutes are filled; what was
advertised while nobody listened is lost, and noted so. Records are kept as those of any CGM (`cgm_wearing`): each
once, by its minute in the session. The session begins at the time of the advertisement minus its minute. Which
advertisements are of the session is decided in `aidex_course`, which records count in `validity`. A live value is known
before it is stored. Readings that the store could not take wait here, up to `WAITING_MAX`.
"""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Final

from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.kinds import KINDS
from edge.now.glycaemia import Glycaemia
from edge.radio.inbox import Notification
from edge.sensors import cgm_identity, cgm_store, validity
from edge.sensors.advertised.aidex_course import Course, CourseJudge
from edge.sensors.cgm_asking import Patience
from edge.sensors.cgm_fetch import GiveUp
from edge.sensors.cgm_identity import Beginning, Known, Seen, SessionNames
from edge.sensors.cgm_ledger import Loss
from edge.sensors.cgm_live import LIVE_NS_MAX, NS_PER_MIN, wear_left_s
from edge.sensors.cgm_store import GLUCOSE, Stored
from edge.sensors.cgm_wearing import Wearing
from edge.sensors.means import Means
from edge.sensors.sensor import SensorLive
from edge.sensors.validity import NotCounted, Wear
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from protocols import aidex
from protocols.aidex import Advertisement, GlucoseRecord
from protocols.errors import DecodeError

# By the makers' instructions for use of AiDEX X, LinX, GlucoRx Vista, Lumiflex and Smart. A product that may be worn
# for a shorter time says itself that its session has stopped.
WEAR: Final = Wear(warm_up_min=60, wear_h=15 * 24, least_mg_dl=40, most_mg_dl=400)
# Three days.
WAITING_MAX: Final = 3 * 1440
RETRY_S: Final = 30


class AidexSensor:
    """Takes advertisements in.

    Attributes:
        why_not: why the newest one was not taken; None if it was.
    """

    def __init__(self, config: SensorConfig, row: SensorRow, means: Means) -> None:
        """Read what the store knows of the sensor; call this before the store's `run`."""
        tables = means.store.tables
        self.config = config
        self.kind = KINDS[config.kind]
        self.stale_s = config.stale_s or self.kind.stale_s
        self.battery_pct: int | None = None  # it does not tell
        self.why_not: str | None = None
        self.records = self.dropped = 0
        self._row = row
        self._means = means
        self._clock = means.clock
        self._judge = CourseJudge()
        self._names = SessionNames(
            partial(means.identity.id, "session", str(row.person), row.address),
            [session.uuid for session in tables.sessions.of_sensor(row.no)],
            means.rng,
        )
        self._worn_from_boot_ns = self._handed_over_boot_ns()
        self._waiting: list[Reading] = []
        self.glycaemia = Glycaemia(config.id, row.no, means, self._start_boot_ns)
        stored = cgm_store.load(tables, row.no)
        if stored is not None:
            self.glycaemia.resume(stored.beginning.uuid)
        self._wearing = self._wear(stored.beginning, stored=stored) if stored else None

    def _handed_over_boot_ns(self) -> int | None:
        """If somebody else wore the sensor before, when that had ended at the latest."""
        worn_from = self._means.store.tables.sensors.worn_from(self._row.no)
        if worn_from is None:
            return None
        return worn_from.boot_ns if worn_from.boot_no == self._means.timekeeper.boot_no else 0

    def _wear(self, beginning: Beginning, *, stored: Stored | None = None) -> Wearing:
        return Wearing(
            self._row.no,
            beginning,
            stored=stored,
            means=self._means,
            patience=Patience(),
            check_s=0.0,
            glycaemia=self.glycaemia,
            on_written=lambda: None,
            on_refused=self._on_refused,
        )

    def _start_boot_ns(self) -> int | None:
        """When the session began, by the time since this boot."""
        return None if self._wearing is None else self._wearing.start_boot_ns()

    # What is advertised

    def take(self, notification: Notification) -> None:
        if aidex.is_scan_response(notification.payload):
            # BlueZ joins it with the advertisement and keeps the last of two parts with the same company.
            self.why_not = "the system's Bluetooth passes on only the scan response of this sensor"
            return
        try:
            advertisement = aidex.decode(notification.payload)
            wearing = self._followed(advertisement, notification)
        except DecodeError as error:
            self.why_not = error.reason
            raise
        self.why_not = None
        self._keep(wearing, advertisement, notification.boot_ns)

    def _followed(self, advertisement: Advertisement, notification: Notification) -> Wearing:
        """The session of an advertisement; it may begin now.

        Raises:
            DecodeError: it is of none, as far as can be told.
        """
        wearing, boot_ns = self._wearing, notification.boot_ns
        seen = self._seen(advertisement.time_offset_min, boot_ns)
        known = Known(wearing.beginning, wearing.newest_min, {}) if wearing else None
        course = self._judge.judge(known, seen, self._told_boot_ns(), boot_ns)
        if course is Course.STRANGE:
            reason = "its minute does not go on from the last: an old one played again, or another sensor's"
            raise DecodeError(aidex.ADVERTISEMENT.characteristic, notification.payload, reason)
        if course is Course.BEGINS or wearing is None:
            return self._begin(seen)
        wearing.change(**cgm_identity.changes(wearing.beginning, seen))
        return wearing

    def _seen(self, minute: int, boot_ns: int) -> Seen:
        timekeeper = self._means.timekeeper
        trusted_ns = timekeeper.trusted_utc_ns()
        return Seen(
            clock_min=minute,
            told_start_utc_s=None,
            boot_no=timekeeper.boot_no,
            start_boot_ns=boot_ns - minute * NS_PER_MIN,
            trusted_utc_s=None if trusted_ns is None else trusted_ns // NS_PER_S,
            trusted_error_ms=timekeeper.trusted_error_ms(),
        )

    def _told_boot_ns(self) -> int | None:
        """When the newest record of the session was taken."""
        wearing, start_boot_ns = self._wearing, self._start_boot_ns()
        if wearing is None or start_boot_ns is None or wearing.newest_min is None:
            return None
        return start_boot_ns + wearing.newest_min * NS_PER_MIN

    def _begin(self, seen: Seen) -> Wearing:
        utc_s = self._means.timekeeper.utc_ns() // NS_PER_S
        beginning = cgm_identity.begin(seen, utc_s, WEAR.wear_h, self._names)
        self._waiting = []
        wearing = self._wearing = self._wear(beginning)
        wearing.begin()
        return wearing

    # Its records

    def _keep(self, wearing: Wearing, advertisement: Advertisement, boot_ns: int) -> None:
        records = advertisement.records
        self.records += 1
        if records:
            self._note_lost(wearing, records[0][0])
        new = [
            self._reading(minute, record, advertisement, boot_ns)
            for minute, record in records
            if not self._is_foreign(minute) and wearing.ledger.hold(minute)
        ]
        if new:
            wearing.keep(new)
        for reading in new:
            self._tell(reading)

    def _note_lost(self, wearing: Wearing, oldest_min: int) -> None:
        """What lies before the oldest record here was not heard, and is not advertised again."""
        lost = GiveUp(wearing.ledger.end_min + 1, oldest_min - 1, Loss.NOT_HEARD, 0)
        if lost.first <= lost.last:
            wearing.give_up([lost])

    def _is_foreign(self, minute: int) -> bool:
        """Whether a record is, or may be, of somebody who wore the sensor before."""
        worn_from_boot_ns, start_boot_ns = self._worn_from_boot_ns, self._start_boot_ns()
        if worn_from_boot_ns is None or start_boot_ns is None:
            return False
        return start_boot_ns + minute * NS_PER_MIN < worn_from_boot_ns + NS_PER_MIN

    def _reading(
        self, minute: int, record: GlucoseRecord, advertisement: Advertisement, boot_ns: int
    ) -> Reading:
        reason = validity.why_advertised_not_counted(minute, record, advertisement.status, WEAR)
        return Reading(
            sequence=minute,
            at_s=60 * minute,
            value=float(record.glucose_mg_dl) if record.is_measured else None,
            trend=None,  # its unit is not known
            quality_pct=float(record.quality_pct),
            status=int(advertisement.status),
            not_counted=reason.value if reason else None,
            boot_no=self._means.timekeeper.boot_no,
            boot_ns=boot_ns,
            fetched=minute != advertisement.time_offset_min,
        )

    def _tell(self, reading: Reading) -> None:
        start_boot_ns = self._start_boot_ns()
        assert start_boot_ns is not None, "the session was seen in this boot"
        taken_boot_ns = min(reading.boot_ns, start_boot_ns + reading.sequence * NS_PER_MIN)
        if reading.boot_ns - taken_boot_ns > LIVE_NS_MAX:
            return
        facts, sensor_id = self._means.facts, self.config.id
        if reading.not_counted in (None, NotCounted.WARMING_UP):
            facts.note_heard(sensor_id, taken_boot_ns)
        if reading.value is not None:
            facts.note(sensor_id, GLUCOSE, reading.value, taken_boot_ns, reading.not_counted)

    # What the store could not take

    def _on_refused(self, readings: Sequence[Reading]) -> None:
        """They count as here, and wait: the sensor does not tell them again."""
        wearing = self._wearing
        if wearing is None:
            return
        for reading in readings:
            wearing.ledger.hold(reading.sequence)
        waiting = sorted([*self._waiting, *readings], key=attrgetter("sequence"))
        self.dropped += max(0, len(waiting) - WAITING_MAX)
        self._waiting = waiting[-WAITING_MAX:]
        if self._waiting:
            due_boot_ns = self._clock.boot_ns() + RETRY_S * NS_PER_S
            self._means.agenda.set_earlier(f"flush {self.config.id}", due_boot_ns, self.flush)

    def flush(self) -> None:
        readings, self._waiting = self._waiting, []
        if readings and self._wearing is not None:
            self._wearing.keep(readings)

    # What there is to show

    def live(self) -> SensorLive:
        start_boot_ns = self._start_boot_ns()
        age_ns = None if start_boot_ns is None else self._clock.boot_ns() - start_boot_ns
        warm_up_left_s = None if age_ns is None else 60.0 * WEAR.warm_up_min - age_ns / NS_PER_S
        return SensorLive(
            self.records,
            dropped=self.dropped,
            waiting=len(self._waiting),
            warm_up_left_s=warm_up_left_s if warm_up_left_s is not None and warm_up_left_s > 0.0 else None,
            wear_left_s=None if age_ns is None else wear_left_s(age_ns, WEAR.wear_h),
        )
