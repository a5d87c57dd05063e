"""Dirty periods (those with data that are not in their summary yet): which they are, when they are due, closing them.

Contract: a period is marked dirty in the job that stores its data, and closed in a job of its own. It is closed when
its data have had time to arrive, and when it is over even if the trusted clock is wrong by its whole error. Nothing is
closed by a clock that nothing vouches for, or whose error is `SURE_ERROR_MS` or more.
Late data open a period again. Periods without data are never looked at, and nothing polls. What cannot be closed is
parked: its mark stays in the store, so that it is tried again after the next start and whenever it is marked.

    a period is | event                                        | and becomes
    ------------|----------------------------------------------|---------------------------------------------
    -           | data of it are stored                        | marked: due at its end, and a grace
    -           | the same, after its end                      | marked: due in a grace
    marked      | it is due, and fewer than `CLOSING_MAX` are  | closing
    closing     | nothing more can come of it                  | -
    closing     | a sensor may still bring records of it       | awaited: due when they can come no longer
    closing     | data of it are stored                        | marked as well
    closing     | the store is unavailable                     | marked: due again soon
    closing     | anything else goes wrong                     | parked, with the reason
    awaited     | data of it are stored                        | marked: due in a grace
    awaited     | the sensor's session has gone on, or ended   | awaited: due in a grace
    parked      | data of it are stored                        | marked: due in a grace

Code inside a job may run in the writer's thread. It reports to the event loop through `_told`, which the loop reads
when the group of the job has been tried.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from math import ceil
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from edge.anchors import NS_PER_MS, Timeline
from edge.clock import NS_PER_S
from edge.config import Config
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable, one_line
from edge.history.bounds import around, touched
from edge.history.closing import DAY_S, Closed, Closer, Now
from edge.history.due import Due, Waiting
from edge.history.placing import Placing, is_placed
from edge.identity import Identity
from edge.sensors.sources import Sources
from edge.store.door import Store, Tables
from edge.store.raw_chunks import HeartChunk
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.summaries import SummaryKey
from edge.timekeeper import Timekeeper

log = logging.getLogger(__name__)

T = TypeVar("T")

# The most closing jobs at a time, so that a group of them does not delay the next group for long.
CLOSING_MAX: Final = 16
RETRY_S: Final = 30


class _Told:
    """What jobs have reported to the loop since it looked last. Threads may share deques and flags."""

    def __init__(self) -> None:
        self.marked: deque[SummaryKey] = deque()
        self.went_on: deque[int] = deque()  # sensors whose session has gone on or ended
        self.was_placed = False
        self.was_announced = False


class Periods:
    """All dirty periods.

    Attributes:
        on_marked: called on the loop when `next_due_boot_ns` may say something else.
        on_enqueued: called on the loop after the commit of a job that enqueued deliveries.
        parked: the periods that could not be closed, with the reasons.
        undecodable: by sensor, how many stored packets cannot be decoded; counted each time their window is closed.
    """

    def __init__(self, config: Config, identity: Identity, store: Store, timekeeper: Timekeeper) -> None:
        """Load the dirty periods; call this before the store's `run`."""
        self.on_marked: Callable[[], None] = lambda: None
        self.on_enqueued: Callable[[], None] = lambda: None
        self.parked: dict[SummaryKey, str] = {}
        self.undecodable: Counter[int] = Counter()
        self._store = store
        self._timekeeper = timekeeper
        self._zone = ZoneInfo(config.gateway.timezone)
        self._grace_s = ceil(config.limits.summary_grace_s)
        self._closer = Closer(config, identity)
        self._placing = Placing(
            identity, self._zone, self._mark_starts, self._on_announced, Sources(config.sensors)
        )
        self._due = Due()
        self._closing = 0
        self._told = _Told()
        # Data that wait for their wall time are examined at the start, and whenever a wall time has become known.
        self._told.was_placed = True
        self._to_place: deque[Callable[[Tables], None]] | None = None
        self._planned_by = timekeeper.timeline
        store.notify(self._take)
        with store.tables.database.transaction():
            self._suit_zone(store.tables)
        for key in store.tables.dirty.all():
            self._due.wait(key, Waiting(self._over_utc_s(key), is_awaited=False))

    def _suit_zone(self, tables: Tables) -> None:
        """If days of another time zone are marked, mark the days of this one instead."""
        for key in tables.dirty.all():
            kind, sensor_no, start_utc_s = key
            if around(kind, start_utc_s, self._zone).start_utc_s != start_utc_s:
                tables.dirty.clear(*key)
                starts = touched(kind, start_utc_s, start_utc_s + DAY_S - 1, self._zone)
                tables.dirty.mark(kind, sensor_no, starts)

    # Inside store jobs

    def keep_chunks(self, tables: Tables, chunks: Iterable[HeartChunk]) -> None:
        """Store packets, and mark their periods as soon as their wall time is known."""
        for chunk in chunks:
            self._placing.keep_chunk(tables, self._timekeeper.timeline, chunk)

    def keep_readings(
        self,
        tables: Tables,
        session: Session,
        measurement: str,
        readings: Sequence[Reading],
        timeline: Timeline,
    ) -> list[Reading]:
        """Store readings; the new ones. If their wall time is known, mark their days and announce those that count."""
        new = self._placing.keep_readings(tables, session, measurement, readings, timeline)
        self._told.went_on.append(session.sensor_no)
        return new

    def session_changed(self, tables: Tables, before: Session, after: Session) -> None:
        """To be called in the job in which a session's start becomes known better, its watermark moves, or it ends."""
        self._placing.move_session(tables, before, after)
        self._told.went_on.append(after.sensor_no)

    def mark(self, tables: Tables, kind: str, sensor_no: int, utc_s: Iterable[int]) -> None:
        """Mark the periods of a kind that contain these moments."""
        self._placing.mark(tables, kind, sensor_no, utc_s)

    def place_again(self, tables: Tables, old: Timeline, new: Timeline) -> None:
        """To be called in the job that stores anchors: mark the periods of data that they move.

        Data that have waited for the anchors are placed in later jobs.
        """
        moved = new.moved_since(old)
        for span in moved:
            if old.is_trusted(span.boot_no):
                self._placing.move_chunks(tables, old, new, span)
        for boot_no in {span.boot_no for span in moved}:
            for session in filter(is_placed, tables.sessions.of_boot(boot_no)):
                self._placing.place_session(tables, new, session)
        self._told.was_placed = True

    def _mark_starts(self, tables: Tables, kind: str, sensor_no: int, starts_utc_s: Collection[int]) -> None:
        tables.dirty.mark(kind, sensor_no, starts_utc_s)
        for start_utc_s in starts_utc_s:
            key = SummaryKey(kind, sensor_no, start_utc_s)
            if not self._due.is_marked(key):
                self._told.marked.append(key)

    def _on_announced(self) -> None:
        self._told.was_announced = True

    # On the loop: what is due

    def next_due_boot_ns(self) -> int | None:
        """When `close_due` has something to do next; None: not before `on_marked` is called or the clock is surer."""
        self._take()
        earliest_utc_s = self._due.earliest_utc_s
        if self._closing >= CLOSING_MAX or earliest_utc_s is None:
            return None
        return self._timekeeper.boot_ns_at(earliest_utc_s * NS_PER_S + self._unsure_ns())

    def close_due(self) -> None:
        """Submit a job for each period that is due, up to `CLOSING_MAX` at a time."""
        self._take()
        now = self._now()
        while (
            now is not None and self._closing < CLOSING_MAX and (due := self._due.pop(now.utc_s)) is not None
        ):
            key, waiting = due
            self._closing += 1
            close = partial(
                self._close,
                key=key,
                timeline=self._timekeeper.timeline,
                now=now,
                only_if_complete=waiting.is_awaited,
            )
            self._store.submit(close).add_done_callback(partial(self._on_closed, key, waiting))

    def _close(self, tables: Tables, key: SummaryKey, **how: Any) -> Closed:
        """Close a period, inside a store job: the summary includes what earlier jobs have stored."""
        closed = self._closer.close(tables, key, **how)
        if closed.again_utc_s is None:
            with suppress(ValueError):
                while True:
                    self._told.marked.remove(key)
        return closed

    def _on_closed(self, key: SummaryKey, waiting: Waiting, closed: "asyncio.Future[Closed]") -> None:
        self._closing -= 1
        if closed.cancelled():
            return
        failure = closed.exception()
        if failure is None:
            self._note(key, closed.result())
        elif isinstance(failure, StoreUnavailable):
            now = self._now()
            later_utc_s = waiting.due_utc_s if now is None else now.utc_s + RETRY_S
            self._due.wait(key, waiting._replace(due_utc_s=later_utc_s))
        elif not isinstance(failure, StoreCorrupt | StoreGone):
            self._park(key, failure)
        self.on_marked()

    def _note(self, key: SummaryKey, closed: Closed) -> None:
        self.undecodable[key.sensor_no] += closed.undecodable
        if closed.again_utc_s is not None:
            self._due.wait(key, Waiting(closed.again_utc_s, is_awaited=True))
        if closed.rev is not None:
            self.on_enqueued()

    def _park(self, key: SummaryKey, failure: BaseException) -> None:
        self.parked[key] = one_line(f"{type(failure).__name__}: {failure}")
        count = len(self.parked)
        # One defect may affect every period of a year: log only the 1st, 10th, 100th.
        if count == 10 ** (len(str(count)) - 1):
            log.error("%s cannot be summarised, %d so far: %s", key.kind, count, self.parked[key])

    def _now(self) -> Now | None:
        boot_ns, utc_ns = self._timekeeper.boot_ns(), self._timekeeper.trusted_utc_ns()
        if utc_ns is None:
            return None
        return Now((utc_ns - self._unsure_ns()) // NS_PER_S, self._timekeeper.boot_no, boot_ns)

    def _unsure_ns(self) -> int:
        """How long to wait beyond the grace, because the clock may be fast."""
        error_ns = NS_PER_MS * (self._timekeeper.trusted_error_ms() or 0)
        return max(0, error_ns - NS_PER_S * self._grace_s)

    def _over_utc_s(self, key: SummaryKey) -> int:
        """When a period is over and its data have had time to arrive."""
        return around(key.kind, key.start_utc_s, self._zone).end_utc_s + self._grace_s

    # On the loop: what jobs have reported

    def _take(self) -> None:
        """Process what jobs have reported since the last time."""
        told, earliest_utc_s = self._told, self._due.earliest_utc_s
        now = self._now() if told.marked or told.went_on else None
        while told.marked:
            key = told.marked.popleft()
            self.parked.pop(key, None)
            self._due.wait(key, Waiting(self._settled_utc_s(key, now), is_awaited=False))
        while told.went_on:
            for key in self._due.awaited_of(told.went_on.popleft()):
                self._due.wait(key, Waiting(self._settled_utc_s(key, now), is_awaited=True))
        self._take_flags()
        if self._due.earliest_utc_s != earliest_utc_s or self._timekeeper.timeline is not self._planned_by:
            self._planned_by = self._timekeeper.timeline
            self.on_marked()

    def _settled_utc_s(self, key: SummaryKey, now: Now | None) -> int:
        """When a period that has just received data will be over, and its late data complete: they come in pieces."""
        over_utc_s = self._over_utc_s(key)
        return over_utc_s if now is None or now.utc_s < over_utc_s else now.utc_s + self._grace_s

    def _take_flags(self) -> None:
        if self._told.was_announced:
            self._told.was_announced = False
            self.on_enqueued()
        if self._told.was_placed and self._to_place is None:
            self._told.was_placed = False
            self._to_place = deque()
            self._submit(self._find_waiting, self._place)

    # What waits for its wall time: a job for each boot of a sensor, and for each session

    def _find_waiting(self, tables: Tables) -> list[Callable[[Tables], None]]:
        timeline = self._timekeeper.timeline
        chunks = [
            partial(self._place_chunks, sensor_no=sensor_no, boot_no=boot_no)
            for sensor_no, boot_no in tables.raw_chunks.unplaced()
            if timeline.is_trusted(boot_no)
        ]
        sessions = [
            partial(self._place_session, session_no=session.no)
            for session in tables.sessions.untrusted()
            if session.start_boot_no is not None and timeline.is_trusted(session.start_boot_no)
        ]
        return [*chunks, *sessions]

    def _place_chunks(self, tables: Tables, *, sensor_no: int, boot_no: int) -> None:
        self._placing.place_chunks(tables, self._timekeeper.timeline, sensor_no, boot_no)

    def _place_session(self, tables: Tables, *, session_no: int) -> None:
        session = tables.sessions.get(session_no)
        self._placing.place_session(tables, self._timekeeper.timeline, session)
        self._told.went_on.append(session.sensor_no)

    def _place(self, found: list[Callable[[Tables], None]] | None) -> None:
        """Submit these jobs one after the other, so that other jobs may run in between."""
        self._to_place = deque(found or ())
        self._place_next(None)

    def _place_next(self, _: None) -> None:
        if self._to_place:
            self._submit(self._to_place.popleft(), self._place_next)
        else:
            self._to_place = None
        self._take()

    def _submit(self, work: Callable[[Tables], T], then: Callable[[T | None], None]) -> None:
        """Submit a job, and again as long as the store is unavailable. `then` gets its result, or None if it failed."""

        def on_done(done: "asyncio.Future[T]") -> None:
            if done.cancelled():
                return
            failure = done.exception()
            if failure is None:
                then(done.result())
            elif isinstance(failure, StoreUnavailable):
                asyncio.get_running_loop().call_later(RETRY_S, self._submit, work, then)
            elif not isinstance(failure, StoreCorrupt | StoreGone):
                # The store has a note that these data are not placed, so the next start tries again.
                log.error("data cannot be placed: %s", one_line(f"{type(failure).__name__}: {failure}"))
                then(None)

        self._store.submit(work).add_done_callback(on_done)
