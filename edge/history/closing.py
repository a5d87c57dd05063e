"""Closing one period, inside a store job: compute it, keep the summary, announce it, clear its mark.

Contract: all of this happens in the caller's transaction, or none of it. The result depends on the store alone, so a
period can be closed again at any time. A result that is the same as before makes no new revision. Once the data of a
period have been deleted, its summary stays as it is. When to close a period, and what to do if that fails, is not
decided here.

    the period's data             | it has a summary | more can come      | summary          | mark
    ------------------------------|------------------|--------------------|------------------|--------
    are kept no longer            | yes              | -                  | stays            | cleared
    some that count               | -                | no                 | final, amended   | cleared
    some that count               | -                | yes                | preliminary      | stays
    none that count               | no               | no                 | -                | cleared
    none that count               | no               | yes                | -                | stays
    none that count               | yes              | no                 | empty            | cleared
    none that count               | yes              | yes                | empty            | stays
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from edge.anchors import Timeline
from edge.config import Config
from edge.history import glucose_day, heart_window
from edge.history.body import Computed
from edge.history.bounds import Bounds, around
from edge.identity import Identity
from edge.measurements import PERIODS
from edge.store.deliveries import Item, summary_ref
from edge.store.summaries import SummaryKey
from edge.store.tables import Tables
from edge.upstream.routes import ROUTES

DAY_S: Final = 86_400

Compute = Callable[[Tables, Timeline, int, Bounds, ZoneInfo], Computed]

COMPUTE: Final[Mapping[str, Compute]] = {
    "heart_5min": lambda tables, timeline, sensor_no, bounds, _: heart_window.compute(
        tables, timeline, sensor_no, bounds
    ),
    "glucose_day": lambda tables, _, sensor_no, bounds, zone: glucose_day.compute(
        tables, sensor_no, bounds, zone
    ),
}
"""What computes each kind of period."""

AWAITED: Final[Mapping[str, Callable[[Tables, int, Bounds, int], int | None]]] = {
    "glucose_day": glucose_day.awaited_until_utc_s,
}
"""What says, of each kind that awaits records, until when more can come."""

KEPT_DAYS: Final[Mapping[str, str]] = {"heart_5min": "raw_retention_days", "glucose_day": "retention_days"}
"""Which limit says how long the data of each kind are kept."""


class Now(NamedTuple):
    """The moment at which a period is closed: by the trusted clock, and as time since boot."""

    utc_s: int
    boot_no: int
    boot_ns: int


class Closed(NamedTuple):
    """What became of a period.

    Attributes:
        rev: the new revision of its summary; None if the summary has not changed.
        again_utc_s: when to look at it again if nothing happens before; None if it is settled.
        undecodable: how many packets cannot be decoded.
    """

    rev: int | None = None
    again_utc_s: int | None = None
    undecodable: int = 0


class Closer:
    """Closes periods of any kind."""

    def __init__(self, config: Config, identity: Identity, compute: Mapping[str, Compute] = COMPUTE) -> None:
        """`compute`: what computes each kind; all of them give the same, in whatever way."""
        self._compute = compute
        self._limits = config.limits
        self._identity = identity
        self._zone = ZoneInfo(config.gateway.timezone)

    def close(
        self, tables: Tables, key: SummaryKey, timeline: Timeline, now: Now, *, only_if_complete: bool
    ) -> Closed:
        """Close a period that is over; with `only_if_complete`, only if no more data of it can come."""
        kind, sensor_no, start_utc_s = key
        bounds = around(kind, start_utc_s, self._zone)
        awaited = (
            AWAITED[kind](tables, sensor_no, bounds, now.utc_s) if PERIODS[kind].awaits_records else None
        )
        if only_if_complete and awaited is not None:
            return Closed(again_utc_s=awaited)
        if self._is_past_keeping(key, now) and tables.summaries.get(key) is not None:
            tables.dirty.clear(*key)
            return Closed()
        computed = self._compute[kind](tables, timeline, sensor_no, bounds, self._zone)
        rev = None
        if computed.has_data or tables.summaries.get(key) is not None:
            rev = self._put(tables, key, bounds, computed, now, final=awaited is None)
        if awaited is None:
            tables.dirty.clear(*key)
        return Closed(rev, awaited, computed.undecodable)

    def _is_past_keeping(self, key: SummaryKey, now: Now) -> bool:
        kept_days: int = getattr(self._limits, KEPT_DAYS[key.kind])
        return key.start_utc_s < now.utc_s - kept_days * DAY_S

    def _put(
        self, tables: Tables, key: SummaryKey, bounds: Bounds, computed: Computed, now: Now, *, final: bool
    ) -> int | None:
        sensor = tables.sensors.get(key.sensor_no)
        if sensor.person is None:
            raise LookupError("nobody is known to wear this sensor")
        summary_id = self._identity.id(key.kind, sensor.person, sensor.address, *bounds)
        rev = tables.summaries.put(key, bounds.end_utc_s, summary_id, computed.body, final=final)
        if rev is not None:
            item = Item(key.kind, summary_ref(*key), summary_id, sensor.person, rev)
            for route in ROUTES:
                tables.deliveries.enqueue(item, route, now.boot_no, now.boot_ns)
        return rev
