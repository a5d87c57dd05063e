"""A feed's side of the gateway: takes its entries in, tells the new ones, keeps them, and knows how fresh they are.

Contract: a value is known before it is stored. Times are those of the phone's clock, as it tells them: if that is off
by more than `CLOCK_OFF_S`, that is said. Nothing that is dated into the future is taken; what comes with it is as much
older than it says as the clock is ahead, so that no old value is told as a fresh one. What could not be stored is asked
for again, because the feed still has it. What follows from several readings is reckoned from what was stored.

    the newest value                                            | trouble
    ------------------------------------------------------------|-----------
    there is none, because no entry makes sense                 | FEED_NONSENSE
    there is none, but the clock is off                         | FEED_CLOCK
    there is none, or code 1 came                               | FEED_ENDED
    is older than `ENDED_S`, more than the clock is off         | FEED_ENDED
    is older than three intervals, more than the clock is off   | FEED_OLD
    is fresh, or would be if the clock were not off             | FEED_CLOCK
    is fresh                                                    | none
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.feeds import entries, keeping, servers
from edge.feeds.keeping import GLUCOSE, Arrived, Written
from edge.feeds.polling import STRAY_MS, Polling, State
from edge.feeds.servers import Ask, Server
from edge.kinds import KINDS
from edge.now.glycaemia import Glycaemia
from edge.radio.inbox import Notification
from edge.radio.trouble import Trouble
from edge.sensors.means import Means
from edge.sensors.sensor import SensorLive
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from protocols import sgv
from protocols.errors import DecodeError
from protocols.sgv import Sgv

log = logging.getLogger(__name__)

CLOCK_OFF_S: Final = 120.0
OLD_INTERVALS: Final = 3.0
ENDED_S: Final = 12 * 3600.0
STRAY_S: Final = STRAY_MS / 1000.0
# More readings at once are followed in the reader's thread.
AT_ONCE_MAX: Final = 24
HEART_FRESH_NS: Final = 60 * NS_PER_S


class SgvFeed:
    """Takes the entries of one feed in."""

    def __init__(self, config: SensorConfig, row: SensorRow, means: Means) -> None:
        """Read what the store knows of the feed; call this before the store's `run`."""
        self.config = config
        self.kind = KINDS[config.kind]
        self.stale_s = config.stale_s or self.kind.stale_s
        self.battery_pct: int | None = None
        self._row = row
        self._means = means
        known = (
            [Server(config.server)] if config.server else servers.candidates(config.address, config.secret)
        )
        self.polling = Polling(known, keeping.read_until_ms(means.store.tables, row.no), means.rng)
        self.glycaemia = Glycaemia(config.id, row.no, means, self._start_boot_ns)
        self._week_utc_s: int | None = None
        self._uuid: UUID | None = None
        self._resume()
        self._expected: tuple[Ask, float | None, asyncio.Future[None]] | None = None
        self._now: tuple[float, int] | None = None  # what a clock showed, and when, since boot
        self._clock_off_s = 0.0
        self._ahead_s = 0.0  # how far the newest entry is dated into the future
        self._newest: Sgv | None = None
        self._refused: str | None = None  # why no entry of the newest answer is taken
        self._told: frozenset[int] = frozenset()  # the stamps of what came last
        self._counts: Counter[str] = Counter()
        self._is_behind = False  # what follows from the readings is to be reckoned anew

    def _resume(self) -> None:
        newest = keeping.newest(self._means.store.tables, self._row.no)
        if newest is not None:
            self._week_utc_s, self._uuid = newest.start_utc_s, newest.uuid
            self.glycaemia.resume(newest.uuid)

    # What is asked for

    def expect(self, ask: Ask, date_utc_s: float | None) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._expected = ask, date_utc_s, future
        return future

    def on_unchanged(self, date_utc_s: float | None) -> None:
        self._look_at_clock(date_utc_s, self._means.clock.boot_ns())
        self.polling.on_unchanged(self._now_s())

    def take(self, notification: Notification) -> None:
        if self._expected is None:
            return  # its answer came too late
        (ask, date_utc_s, future), self._expected = self._expected, None
        try:
            page = sgv.decode(notification.payload)
            self._look_at_clock(date_utc_s, notification.boot_ns)
            self._on_page(ask, page, notification.boot_ns)
        except DecodeError:
            self.polling.on_failed(Trouble.FEED_NONSENSE, self._now_s())
            raise
        finally:
            if not future.done():
                future.set_result(None)

    def _on_page(self, ask: Ask, page: sgv.Page, boot_ns: int) -> None:
        now_utc_s = self._utc_s(boot_ns)
        past = [entry for entry in page.entries if entry.utc_ms / 1000.0 <= now_utc_s + CLOCK_OFF_S]
        ahead = len(page.entries) - len(past)
        if ahead:
            self._counts["dated into the future"] += ahead
        if ask.is_history or (past and past[-1] != self._newest):
            self._counts.update(page.refused)
            self._counts.update(page.oddities)
        stamps_ms = [entry.utc_ms for entry in past]
        if not ask.is_history:
            self._newest = past[-1] if past else None
            self._refused = (
                None if page.entries else max(page.refused, key=page.refused.__getitem__, default=None)
            )
            if ask.until_ms is None:
                self._ahead_s = page.entries[-1].utc_ms / 1000.0 - now_utc_s if ahead else 0.0
        is_kept = self.polling.on_page(
            ask, stamps_ms, page.rows, self._now_s(), round(1000.0 * now_utc_s), ahead
        )
        arrived = [self._arrived(entry, boot_ns, fetched=ask.is_history) for entry in past]
        if arrived and not ask.is_history:
            self._tell(arrived, boot_ns, now_utc_s + _ahead_s(page.entries, now_utc_s))
        if is_kept and arrived:
            self._keep(arrived)
        elif self._is_behind:
            self._follow_newest()

    def _arrived(self, entry: Sgv, boot_ns: int, *, fetched: bool) -> Arrived:
        boot_no = self._means.timekeeper.boot_no
        reading = entries.reading_of(entry, boot_no=boot_no, boot_ns=boot_ns, fetched=fetched)
        return Arrived(entries.week_of(entry.utc_ms // 1000), reading)

    # Time

    def _now_s(self) -> float:
        return self._means.clock.boot_ns() / NS_PER_S

    def _look_at_clock(self, date_utc_s: float | None, boot_ns: int) -> None:
        trusted_ns = self._means.timekeeper.trusted_utc_ns()
        if trusted_ns is not None and date_utc_s is not None:
            self._clock_off_s = abs(date_utc_s - trusted_ns / NS_PER_S)
        elif date_utc_s is not None:
            self._now, self._clock_off_s = (date_utc_s, boot_ns), 0.0
        if trusted_ns is not None:
            self._now = None
            if date_utc_s is None:
                self._clock_off_s = 0.0

    def _utc_s(self, boot_ns: int) -> float:
        """The time by this machine's clock if that is trusted, else by the feed's, else as well as it is known."""
        if self._now is not None:
            utc_s, at_boot_ns = self._now
            return utc_s + (boot_ns - at_boot_ns) / NS_PER_S
        timekeeper = self._means.timekeeper
        return (timekeeper.utc_ns() + boot_ns - timekeeper.boot_ns()) / NS_PER_S

    def _start_boot_ns(self) -> int | None:
        if self._week_utc_s is None:
            return None
        boot_ns = self._means.clock.boot_ns()
        return boot_ns - round((self._utc_s(boot_ns) - self._week_utc_s) * NS_PER_S)

    # What is known at once

    def _tell(self, arrived: Sequence[Arrived], boot_ns: int, shows_utc_s: float) -> None:
        """`shows_utc_s`: the time by the clock that the entries were stamped by."""
        held: list[entries.Seen] = []
        told, self._told = self._told, frozenset(week + reading.at_s for week, reading in arrived)
        for week_utc_s, reading in arrived:
            (reading,) = entries.once(week_utc_s, [reading], held)
            held += entries.seen(week_utc_s, [reading])
            utc_s = week_utc_s + reading.at_s
            if utc_s in told or reading.not_counted == NotCounted.SENT_TWICE:
                continue
            self._tell_one(reading, boot_ns - round(max(0.0, shows_utc_s - utc_s) * NS_PER_S))

    def _tell_one(self, reading: Reading, taken_boot_ns: int) -> None:
        facts, sensor_id = self._means.facts, self.config.id
        if reading.value is None:
            return
        if reading.not_counted is None:
            facts.note_heard(sensor_id, taken_boot_ns)
        facts.note(sensor_id, GLUCOSE, reading.value, taken_boot_ns, reading.not_counted)

    # What is kept

    def _keep(self, arrived: Sequence[Arrived]) -> None:
        means = self._means
        work = partial(
            keeping.write,
            row=self._row,
            arrived=arrived,
            identity=means.identity,
            periods=means.periods,
            timeline=means.timekeeper.timeline,
        )
        first_ms = 1000 * (arrived[0].week_utc_s + arrived[0].reading.at_s)
        means.store.submit(work).add_done_callback(partial(self._on_tried, first_ms))

    def _on_tried(self, first_ms: int, tried: "asyncio.Future[Written]") -> None:
        if tried.cancelled():
            return
        failure = tried.exception()
        if failure is None:
            self._on_written(tried.result())
        elif isinstance(failure, StoreUnavailable | StoreCorrupt | StoreGone):
            self.polling.on_lost(first_ms)
        else:
            raise failure

    def _on_written(self, written: Written) -> None:
        self._counts["records"] += len(written.new)
        newest = written.newest
        if newest is None:
            return
        is_other = newest.uuid != self._uuid
        self._week_utc_s, self._uuid = newest.start_utc_s, newest.uuid
        if (
            is_other
            or self._is_behind
            or len(written.new) > AT_ONCE_MAX
            or self.polling.state is State.HISTORY
        ):
            self._is_behind = True
            if self.polling.state is not State.HISTORY:
                self._follow_newest()
        elif written.new:
            self.glycaemia.take(written.new)

    def _follow_newest(self) -> None:
        """Reckon anew what follows from the readings of the newest week, unless more of them are to come at once."""
        if self._uuid is not None and self.polling.state is not State.HISTORY:
            self._is_behind = False
            self.glycaemia.resume(self._uuid)

    # What is shown

    def trouble(self) -> tuple[Trouble, str | None] | None:
        """Why the feed says nothing new, though it answers."""
        newest, off_s = self._newest, max(self._clock_off_s, self._ahead_s)
        clock = (Trouble.FEED_CLOCK, f"it is off by {off_s / 60.0:.0f} min") if off_s > CLOCK_OFF_S else None
        if newest is None:
            if self._refused is not None:
                return Trouble.FEED_NONSENSE, f"no entry makes sense: {self._refused}"
            return clock or (Trouble.FEED_ENDED, None)
        age_s = self._utc_s(self._means.clock.boot_ns()) - newest.utc_ms / 1000.0
        detail = f"its newest entry is {age_s / 60.0:.0f} min old"
        if age_s - off_s > ENDED_S or newest.code == 1:
            return Trouble.FEED_ENDED, detail
        if age_s - off_s > OLD_INTERVALS * self.polling.interval_s:
            return Trouble.FEED_OLD, detail
        return clock

    def heart_rate_bpm(self) -> int | None:
        """The newest rate of the sensor that the configuration names for that, if it is fresh and counts."""
        if self.config.heart_from is None:
            return None
        fact = self._means.facts.newest(self.config.heart_from, "heart_rate")
        boot_ns = self._means.clock.boot_ns()
        if fact is None or fact.not_counted is not None or boot_ns - fact.taken_boot_ns > HEART_FRESH_NS:
            return None
        return round(fact.value)

    def flush(self) -> None:
        """Nothing to do: readings are handed to the store as they come."""

    def live(self) -> SensorLive:
        counts = self._counts
        return SensorLive(
            records=counts["records"],
            oddities=counts.total() - counts["records"],
            is_catching_up=self.polling.state is State.HISTORY,
        )


def _ahead_s(stamped: Sequence[Sgv], now_utc_s: float) -> float:
    """How far the clock is ahead, at least, by which these entries were stamped: the newest has been measured."""
    ahead_s = 0.0
    for entry in stamped:
        if 0.0 < entry.utc_ms / 1000.0 - now_utc_s <= ahead_s + STRAY_S:
            ahead_s = entry.utc_ms / 1000.0 - now_utc_s
    return ahead_s
