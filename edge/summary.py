"""Closes periods: five minutes of heart data, a local day of glucose.

A period is computed from the store, never from memory, once it is over and its data have had time to arrive.
The summary, its place in the outbox and the cursor advance in one transaction. Readings that come later
change the day they belong to: a new revision under the same id.
"""

import math
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from statistics import fmean, median
from zoneinfo import ZoneInfo

from dsp.arrays import as_f64
from dsp.cardiac.hrv import heart_stats
from dsp.glucose.ranges import glucose_stats
from edge.anchors import Anchors
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.identity import Identity
from edge.outbox import Item, Outbox
from edge.store import CgmRecord, CgmSession, Store
from edge.upstream.composer import reading_ref
from edge.window import rate_window, rr_window

HEART_WINDOW_S = 300
# After a long stop there may be thousands of empty windows to step over: this many a tick, so that nothing
# else waits.
WINDOWS_PER_TICK = 50
DAYS_PER_TICK = 10
# No CGM measures more rarely than this; longer steps are gaps.
CGM_STEP_S_MAX = 900
# A packet brings beats of the seconds before it.
REPORTED_WITHIN_NS = 10 * NS_PER_S

Body = dict[str, float | int | str | None]


def number(value: float) -> float | None:
    """A statistic as JSON has it: None where it is undefined."""
    return None if math.isnan(value) or math.isinf(value) else value


def rates_body(rates_bpm: list[int]) -> Body:
    """A window of a strap that tells no intervals: one heart rate for each second it had one."""
    return {
        "hr_mean_bpm": fmean(rates_bpm),
        "hr_min_bpm": float(min(rates_bpm)),
        "hr_max_bpm": float(max(rates_bpm)),
        "sdnn_ms": None,
        "rmssd_ms": None,
        "beats": 0,
        "coverage_pct": 100.0 * len(rates_bpm) / HEART_WINDOW_S,
    }


class Summaries:
    """Computes and keeps the summaries of all sensors, and tells the outbox of everything that is to go up."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        store: Store,
        outbox: Outbox,
        anchors: Anchors,
        clock: Clock,
    ) -> None:
        self._config = config
        self._identity = identity
        self._store = store
        self._outbox = outbox
        self._anchors = anchors
        self._clock = clock
        self._zone = ZoneInfo(config.gateway.timezone)

    def tick(self) -> None:
        """Close every period that is over, and whose data have had time to arrive."""
        settled_utc_s = self._clock.utc_ns() // NS_PER_S - math.ceil(self._config.limits.summary_grace_s)
        for sensor in self._config.sensors:
            if sensor.kind == "heart_rate":
                self._close_windows(sensor, settled_utc_s)
            else:
                self._close_days(sensor, settled_utc_s)

    def _put(self, kind: str, sensor: SensorConfig, period_utc_s: tuple[int, int], body: Body) -> None:
        summary_id = self._identity.id(kind, self._config.patient.pseudonym, sensor.address, *period_utc_s)
        rev = self._store.put_summary(summary_id, kind, sensor.id, period_utc_s, body, final=True)
        if rev is not None:
            self._outbox.enqueue(Item(summary_id, kind, str(summary_id), rev))

    def _close_windows(self, sensor: SensorConfig, settled_utc_s: int) -> None:
        stream = f"heart_5min/{sensor.id}"
        newest_s = settled_utc_s // HEART_WINDOW_S * HEART_WINDOW_S
        start_s = self._store.cursor(stream)
        if start_s is None:
            # The window in which the gateway first ran is its first.
            start_s = newest_s
            with self._store.transaction():
                self._store.set_cursor(stream, start_s)
        last_s = min(newest_s, start_s + WINDOWS_PER_TICK * HEART_WINDOW_S)
        for window_s in range(start_s, last_s, HEART_WINDOW_S):
            period = (window_s, window_s + HEART_WINDOW_S)
            body = self._heart_window(sensor, *period)
            with self._store.transaction():
                if body is not None:
                    self._put("heart_5min", sensor, period, body)
                self._store.set_cursor(stream, period[1])

    def _heart_window(self, sensor: SensorConfig, start_utc_s: int, end_utc_s: int) -> Body | None:
        """Statistics of one window; None when not one beat and no heart rate is in it."""
        parts = []
        rates: dict[int, int] = {}
        for boot_id, zero_utc_ns in self._anchors.boots_since(start_utc_s):
            start_ns, end_ns = (utc_s * NS_PER_S - zero_utc_ns for utc_s in (start_utc_s, end_utc_s))
            chunks = self._store.chunks_between(sensor.id, boot_id, start_ns, end_ns + REPORTED_WITHIN_NS)
            parts.append(rr_window(chunks, start_ns, end_ns, self._store.rr_unit(sensor.id)))
            if parts[-1][0].size == 0:
                rates |= rate_window(chunks, start_ns, end_ns)
        rr_ms = as_f64([rr for part, _ in parts for rr in part])
        if rr_ms.size == 0:
            return rates_body(list(rates.values())) if rates else None
        # Two boots never follow each other without a gap: the first interval of a part follows nothing.
        follows = as_f64([follow for _, part in parts for follow in part])
        stats = heart_stats(rr_ms, follows)
        return {
            "hr_mean_bpm": number(stats.hr_mean_bpm),
            "hr_min_bpm": number(stats.hr_min_bpm),
            "hr_max_bpm": number(stats.hr_max_bpm),
            "sdnn_ms": number(stats.sdnn_ms),
            "rmssd_ms": number(stats.rmssd_ms),
            "beats": int(rr_ms.size),
            "coverage_pct": min(100.0, stats.covered_ms / (10.0 * HEART_WINDOW_S)),
        }

    def heart_closed_until_utc_s(self) -> int:
        """Up to where every strap's windows are closed."""
        straps = [sensor.id for sensor in self._config.sensors if sensor.kind == "heart_rate"]
        return min(self._store.cursor(f"heart_5min/{strap}") or 0 for strap in straps)

    def keep_records(self, session: CgmSession, records: list[CgmRecord]) -> int:
        """Commit CGM records and announce those that are new; closed days they belong to are open again.

        Returns:
            How many were new.
        """
        (sensor,) = [s for s in self._config.sensors if s.id == session.sensor_id]
        with self._store.transaction():
            new = self._store.insert_records(session, records, self._clock.boot_id)
            for record in new:
                name = ("cgm_reading", self._config.patient.pseudonym, sensor.address, session.start_utc_s)
                reading_id = self._identity.id(*name, record.time_offset_min)
                self._outbox.enqueue(
                    Item(reading_id, "cgm_reading", reading_ref(session.id, record.time_offset_min), 1)
                )
            stream = f"glucose_day/{sensor.id}"
            closed = self._store.cursor(stream)
            if new and closed is not None:
                oldest = min(self._day(session.utc_s(record.time_offset_min)) for record in new)
                self._store.set_cursor(stream, min(closed, oldest.toordinal()))
        return len(new)

    def _close_days(self, sensor: SensorConfig, settled_utc_s: int) -> None:
        """Close the days before today; the cursor is the ordinal of the first day that is still open."""
        stream = f"glucose_day/{sensor.id}"
        today = self._day(settled_utc_s).toordinal()
        first = self._store.cursor(stream)
        if first is not None and first >= today:
            return
        first = today if first is None else first
        last = min(today, first + DAYS_PER_TICK)
        with self._store.transaction():
            for ordinal in range(first, last):
                self._put_day(sensor, date.fromordinal(ordinal))
            self._store.set_cursor(stream, last)

    def _put_day(self, sensor: SensorConfig, day: date) -> None:
        body = self.glucose_day(sensor.id, day)
        if body["readings"]:
            self._put("glucose_day", sensor, self._day_utc_s(day), body)

    def glucose_day(self, sensor_id: str, day: date) -> Body:
        """Glycaemia of a local day as far as its readings are here."""
        start_utc_s, end_utc_s = self._day_utc_s(day)
        records = self._store.records_between(sensor_id, start_utc_s, end_utc_s)
        values = as_f64([math.nan if r.glucose_mg_dl is None else r.glucose_mg_dl for _, r in records])
        stats = glucose_stats(values)
        times = [utc_s for utc_s, _ in records]
        steps = [later - earlier for earlier, later in pairwise(times) if later > earlier]
        expected = (end_utc_s - start_utc_s) / min(median(steps), CGM_STEP_S_MAX) if steps else math.nan
        readings = sum(record.glucose_mg_dl is not None for _, record in records)
        return {
            "date": day.isoformat(),
            **{name: number(value) for name, value in stats._asdict().items()},
            "readings": readings,
            "coverage_pct": number(min(100.0, 100.0 * readings / expected)) if steps else None,
        }

    def _day(self, utc_s: int) -> date:
        return datetime.fromtimestamp(utc_s, self._zone).date()

    def _day_utc_s(self, day: date) -> tuple[int, int]:
        """Local midnight to local midnight: 23 or 25 hours when the clocks change."""
        midnights = (datetime.combine(d, time(), self._zone) for d in (day, day + timedelta(days=1)))
        start, end = (int(midnight.timestamp()) for midnight in midnights)
        return start, end
