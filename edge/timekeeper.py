"""Reads the clocks from time to time, and keeps the timeline that gives all data their wall time.

Contract: nothing here ever waits. A wall clock that nothing vouches for gives untrusted anchors, which move no data.
One that is vouched for gives trusted anchors. If a clock shows what was expected, to within `NOISE_NS`, it keeps time:
the anchor then holds the expected time, so that no data move. Anchors are stored in one job, together with what
`on_change` does about the data that they move. If the store is unavailable, they are stored with the next ones.
Any trusted anchor places data. But `trusted_utc_ns` tells the time only while its error is below `SURE_ERROR_MS`. The
time that a CGM tells never is that exact: it is rounded to whole minutes twice. Besides, nobody notices if the CGM's
clock is set while the machine is off.

    the wall clock is  | and, at this look,                             | anchors
    -------------------|------------------------------------------------|---------------------------------------------
    vouched for        | was not, or nothing placed this boot           | now
                       | keeps time                                     | once an hour, as expected
                       | is off by more than `STEP_NS`: it was set      | the look before, as expected then; now
                       | is off by less, or less sure than it is off    | once an hour, as seen
    not vouched for    | was at the look before                         | the look before, as expected then
                       | nothing ever was, and it is new, or was set    | now, untrusted
                       | otherwise                                      | once an hour, untrusted
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from edge.anchors import NS_PER_MS, Anchor, Placement, Timeline
from edge.clock import NS_PER_S, Clock
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.store.door import Store, Tables

# A wall clock that has moved by more than this against the time since boot has not drifted, but was set.
STEP_NS: Final = NS_PER_S // 2
# The two clocks are not read at the same instant.
NOISE_NS: Final = 5 * NS_PER_MS
RENEW_NS: Final = 3600 * NS_PER_S

SYSTEM: Final = "system"


class _Look(NamedTuple):
    boot_ns: int
    utc_ns: int
    error_ms: int | None


class Timekeeper:
    """The timeline, and the time of day as far as it is known.

    Attributes:
        timeline: the newest one. It is immutable: who keeps it has a snapshot.
        on_change: called inside a store job with the former and the new timeline, if any moment has another wall time
            by the new one.
    """

    def __init__(self, clock: Clock, store: Store, boot_no: int, timeline: Timeline) -> None:
        """`timeline`: what the store knows."""
        self.timeline = timeline
        self.boot_no = boot_no
        self.on_change: Callable[[Tables, Timeline, Timeline], None] = lambda _tables, _old, _new: None
        self._clock = clock
        self._store = store
        self._look: _Look | None = None
        self._stored = timeline
        self._unstored: list[Anchor] = []
        self._is_storing = False

    def poll(self) -> None:
        """Read the clocks, and add and store an anchor if the table says so."""
        self.look()
        self._store_anchors()

    def look(self) -> None:
        """As `poll`, before the loop runs; the first poll stores it."""
        look = _Look(self._clock.boot_ns(), self._clock.utc_ns(), self._clock.utc_error_ms())
        self._add(self._trusted(look) if look.error_ms is not None else self._untrusted(look))
        self._look = look

    def suggest(self, utc_ns: int, boot_ns: int, error_ms: int, source: str) -> None:
        """A sensor or an upstream says what time it was.

        That is used only while the system clock is not trusted, and only if it at least halves the known error.
        """
        if self._clock.utc_error_ms() is not None:
            return
        known = self._placed(boot_ns)
        if known is None or known.error_ms is None or 2 * error_ms <= known.error_ms:
            self._add([Anchor(self.boot_no, boot_ns, utc_ns, error_ms, source)])
            self._store_anchors()

    def trusted_utc_ns(self) -> int | None:
        """The time, if it is known well enough to do something irreversible by it."""
        placed = self._placed(self._clock.boot_ns())
        return placed.utc_ns if placed is not None and placed.is_sure else None

    def trusted_error_ms(self) -> int | None:
        """How far the time may be wrong; None while nothing vouches for it, nor did in this boot."""
        placed = self._placed(self._clock.boot_ns())
        return None if placed is None else placed.error_ms

    def boot_ns(self) -> int:
        """The time since boot."""
        return self._clock.boot_ns()

    def boot_ns_at(self, utc_ns: int) -> int | None:
        """When, in time since boot, the wall clock shows `utc_ns` unless it is set; None while nobody surely knows."""
        boot_ns, trusted_ns = self._clock.boot_ns(), self.trusted_utc_ns()
        return None if trusted_ns is None else boot_ns + utc_ns - trusted_ns

    def utc_ns(self) -> int:
        """The best estimate of the time."""
        placed = self._placed(self._clock.boot_ns())
        return placed.utc_ns if placed is not None and placed.trusted else self._clock.utc_ns()

    def _placed(self, boot_ns: int) -> Placement | None:
        return self.timeline.place(self.boot_no, boot_ns)

    def _trusted(self, look: _Look) -> Iterator[Anchor]:
        """The anchors that the first half of the table asks for."""
        assert look.error_ms is not None
        known, newest = self._placed(look.boot_ns), self.timeline.newest(self.boot_no)
        if known is None or newest is None or not known.trusted:
            yield self._anchor(look)
            return
        was_trusted = newest.error_ms is not None if self._look is None else self._look.error_ms is not None
        off_ns = abs(look.utc_ns - known.utc_ns)
        was_set = off_ns > STEP_NS and _says_more(look, known, off_ns)
        if was_set and was_trusted and self._look is not None:
            yield from self._as_expected(self._look)
        is_news = was_set or not was_trusted or newest.source != SYSTEM
        if is_news or look.boot_ns - newest.boot_ns >= RENEW_NS:
            yield from self._as_expected(look) if off_ns <= NOISE_NS else [self._anchor(look)]

    def _untrusted(self, look: _Look) -> Iterator[Anchor]:
        """The anchors that the second half of the table asks for."""
        if self._look is not None and self._look.error_ms is not None:
            yield from self._as_expected(self._look)
        newest = self.timeline.newest(self.boot_no)
        was_set = newest is not None and (
            abs((look.utc_ns - newest.utc_ns) - (look.boot_ns - newest.boot_ns)) > STEP_NS
        )
        is_news = was_set and not self.timeline.is_trusted(self.boot_no)
        if newest is None or is_news or look.boot_ns - newest.boot_ns >= RENEW_NS:
            yield self._anchor(look)

    def _anchor(self, look: _Look) -> Anchor:
        return Anchor(self.boot_no, look.boot_ns, look.utc_ns, look.error_ms, SYSTEM)

    def _as_expected(self, look: _Look) -> Iterator[Anchor]:
        """An anchor at the former look, which says that the clock kept time until then."""
        known = self._placed(look.boot_ns)
        if known is not None and known.trusted and look.error_ms is not None:
            error_ms = look.error_ms + NOISE_NS // NS_PER_MS
            yield Anchor(self.boot_no, look.boot_ns, known.utc_ns, error_ms, SYSTEM)

    def _add(self, anchors: Iterable[Anchor]) -> None:
        # `list`: all anchors have to be made before the timeline changes.
        for anchor in list(anchors):
            self.timeline = self.timeline.with_anchor(anchor)
            self._unstored.append(anchor)

    def _store_anchors(self) -> None:
        if self._is_storing or not self._unstored:
            return
        self._is_storing = True
        anchors, old, new = self._unstored, self._stored, self.timeline

        def work(tables: Tables) -> None:
            for anchor in anchors:
                tables.boots.add_anchor(anchor)
            if new.moved_since(old):
                self.on_change(tables, old, new)

        def on_stored(stored: "asyncio.Future[None]") -> None:
            self._is_storing = False
            if stored.cancelled():
                return
            failure = stored.exception()
            if isinstance(failure, StoreUnavailable):
                # The next look tries again.
                self._unstored = anchors + self._unstored
            elif failure is None:
                self._stored = new
                self._store_anchors()
            elif not isinstance(failure, StoreCorrupt | StoreGone):
                raise failure

        self._unstored = []
        self._store.submit(work).add_done_callback(on_stored)


def _says_more(look: _Look, known: Placement, off_ns: int) -> bool:
    """Whether the clock has a smaller error than the known placement, or contradicts it."""
    assert look.error_ms is not None
    assert known.error_ms is not None
    return look.error_ms <= known.error_ms or off_ns > (look.error_ms + known.error_ms) * NS_PER_MS
