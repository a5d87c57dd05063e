"""The rhythm of one strap's wearer as it comes, and whether the wearer is at rest; both outlive the process.

Contract: what is taken is judged at once, whether or not the store can be written. The state is stored now and then, in
the job that stores the packets up to which it goes. After a restart it goes on from there: the packets that were stored
later are taken as they were before, so the result is the same. While they are read, and before that while kernels are
compiled, nothing is known, and new packets wait. Without a state of this version, or of another unit of the intervals,
it is made anew from the last day's packets.

    the state is | event                                  | and becomes
    -------------|----------------------------------------|-----------------------------------------------------
    catching up  | packets come                           | catching up: they wait
                 | the kernels are ready                  | catching up: the stored packets are read
                 | a part of the stored packets was read  | catching up, or live after the last: what waits is
                 |                                        | taken
                 | the store cannot be read               | catching up: again after `RETRY_S`
                 | the unit of the intervals is another   | live, from the beginning; before the kernels are
                 |                                        | ready, catching up without what waits
    live         | packets come                           | live
                 | the first packet of another boot comes | live; stored with it, as time went by that only the
                 |                                        | clocks of that moment know
                 | the unit of the intervals is another   | live, from the beginning; stored
                 | an hour has gone by                    | live, by the night's rate as it is now; stored

No threshold of an alert is known here.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from edge.agenda import Agenda
from edge.anchors import Timeline
from edge.clock import NS_PER_S, Clock
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.history.beats import Reader
from edge.kernels_ready import KernelsReady
from edge.now.known import Rest, RhythmKnown
from edge.now.rest import night_bpm
from edge.now.rhythm_state import DAY_S, VERSION, RhythmState, Taken, decode, deflated, inflated
from edge.store.door import Store, Tables
from edge.store.raw_chunks import HeartChunk
from edge.store.sensors import SensorRow
from edge.timekeeper import Timekeeper
from protocols.heart_rate import RrUnit

KIND: Final = "rhythm"
KEEP_S: Final = 3600
RETRY_S: Final = 30
# An hour of packets in one read.
CHUNKS_MAX: Final = 60
# As many packets as the strap keeps while the store cannot be written.
WAITING_MAX: Final = 3600


class Rhythm:
    """The rhythm of one strap's wearer."""

    def __init__(
        self,
        row: SensorRow,
        unit: RrUnit,
        *,
        store: Store,
        timekeeper: Timekeeper,
        agenda: Agenda,
        clock: Clock,
        zone: ZoneInfo,
        kernels: KernelsReady,
    ) -> None:
        """Look for a stored state; call this before the store's `run`."""
        self._row = row
        self._store = store
        self._timekeeper = timekeeper
        self._agenda = agenda
        self._clock = clock
        self._zone = zone
        self._kernels = kernels
        self._waiting: list[Taken] | None = []
        self._is_due = False
        self._state = _stored(store.tables, row.no, unit) or RhythmState(unit)
        kernels.when(lambda: self._set("catch up", 0, self._catch_up))

    def _set(self, what: str, in_s: int, call: Callable[[], None]) -> None:
        self._agenda.set(f"rhythm {what} {self._row.no}", self._clock.boot_ns() + in_s * NS_PER_S, call)

    # What is known

    def rhythm(self, boot_ns: int) -> RhythmKnown | None:
        """What the beats say; None if nothing is known."""
        now_s = self._axis_s(boot_ns)
        return None if self._waiting is not None or now_s is None else self._state.known(now_s)

    def rest(self, boot_ns: int) -> Rest:
        """Whether the wearer is at rest."""
        now_s = self._axis_s(boot_ns)
        return Rest.UNKNOWN if self._waiting is not None or now_s is None else self._state.resting.at(now_s)

    def glucose(self, _: int) -> None:
        """A strap says nothing of it."""

    def _axis_s(self, boot_ns: int) -> float | None:
        axis = self._state.axis
        if axis is None:
            return None
        if axis.boot_no == self._timekeeper.boot_no:
            return axis.of(boot_ns)
        return axis.of(self._state.upto_ns) + self._gone_s(boot_ns)

    def _gone_s(self, boot_ns: int) -> float:
        return gone_s(self._timekeeper.timeline, self._state, self._timekeeper.boot_no, boot_ns)

    # Packets

    def take(self, packets: Sequence[Taken], unit: RrUnit) -> None:
        """Packets of this boot, in the order they came."""
        if unit is not self._state.unit:
            # What was judged so far was read in the wrong unit.
            self._state = RhythmState(unit)
            if self._kernels.is_ready:
                self._go_live()
            else:
                self._waiting = []
        if not packets:
            return
        if self._waiting is None:
            self._take(packets)
        else:
            self._waiting = [*self._waiting, *packets][-WAITING_MAX:]

    def _take(self, packets: Sequence[Taken]) -> None:
        state, boot_no = self._state, self._timekeeper.boot_no
        if state.axis is None or state.axis.boot_no != boot_no:
            boot_ns = packets[0][0]
            state.begin_boot(boot_no, boot_ns, self._gone_s(boot_ns))
            self._is_due = True
        state.take(packets)

    # The store

    def due(self) -> Callable[[Tables], None] | None:
        """What is to be done in the job that stores the packets taken so far; None if the state is not due.

        If the job fails, `keep_again` says so.
        """
        if not self._is_due or self._waiting is not None or self._state.axis is None:
            return None
        self._is_due = False
        body, no = self._state.encode(), self._row.no
        return lambda tables: tables.blobs.put(KIND, no, VERSION, deflated(body))

    def keep_again(self) -> None:
        """The state could not be stored: it is due with the next packets."""
        self._is_due = True

    def _look_at_nights(self) -> None:
        """Once an hour: what the nights say now, and the state is due."""
        self._set("night", KEEP_S, self._look_at_nights)
        self._is_due = True
        now_ns = self._timekeeper.trusted_utc_ns()
        if now_ns is None:
            return
        look = partial(night_bpm_of, sensor_no=self._row.no, now_utc_s=now_ns // NS_PER_S, zone=self._zone)
        self._read(look, self._on_nights, otherwise=lambda: None)

    def _on_nights(self, bpm: float) -> None:
        self._state.resting.night_bpm = bpm
        self._is_due = True

    def _catch_up(self) -> None:
        if self._waiting is not None:
            timeline = self._timekeeper.timeline
            replay = partial(_replay, sensor_no=self._row.no, state=self._state, timeline=timeline)
            again = partial(self._set, "catch up", RETRY_S, self._catch_up)
            self._read(replay, partial(self._on_replayed, self._state), otherwise=again)

    def _on_replayed(self, state: RhythmState, is_all: bool) -> None:
        if state is not self._state or self._waiting is None:
            return  # another one has begun meanwhile
        if not is_all:
            self._catch_up()
            return
        waiting = self._waiting
        self._go_live()
        if waiting:
            self._take(waiting)

    def _go_live(self) -> None:
        self._waiting = None
        self._look_at_nights()

    def _read(
        self, work: Callable[[Tables], object], then: Callable[..., None], otherwise: Callable[[], None]
    ) -> None:
        def on_read(read: "asyncio.Future[object]") -> None:
            if read.cancelled():
                return
            failure = read.exception()
            if failure is None:
                then(read.result())
            elif isinstance(failure, StoreUnavailable):
                otherwise()
            elif not isinstance(failure, StoreCorrupt | StoreGone):
                raise failure

        asyncio.ensure_future(self._store.read(work)).add_done_callback(on_read)


def gone_s(timeline: Timeline, state: RhythmState, boot_no: int, boot_ns: int) -> float:
    """How much time is known to have gone by from the newest packet to a moment of another boot."""
    if state.axis is None:
        return 0.0
    then = timeline.place(state.axis.boot_no, state.upto_ns)
    now = timeline.place(boot_no, boot_ns)
    if then is not None and now is not None and then.trusted and now.trusted:
        return max(0.0, (now.utc_ns - then.utc_ns) / NS_PER_S)
    return max(0.0, boot_ns / NS_PER_S)


# Jobs


def _stored(tables: Tables, sensor_no: int, unit: RrUnit) -> RhythmState | None:
    """The state that was stored, if it can be gone on with."""
    blob = tables.blobs.get(KIND, sensor_no)
    if blob is None or blob[0] != VERSION:
        return None
    try:
        state = decode(inflated(blob[1]))
    except (zlib.error, msgspec.MsgspecError, ValueError):
        return None
    return state if state.unit is unit else None


def _replay(tables: Tables, *, sensor_no: int, state: RhythmState, timeline: Timeline) -> bool:
    """Take the next stored packets; whether there are no more."""
    boot_no, boot_ns = _beginning(tables, sensor_no) if state.axis is None else _upto(state)
    chunks = tables.raw_chunks.after(sensor_no, boot_no, boot_ns, CHUNKS_MAX)
    for chunk in chunks:
        take_stored(state, timeline, chunk, _readings(chunk))
    return len(chunks) < CHUNKS_MAX


def take_stored(state: RhythmState, timeline: Timeline, chunk: HeartChunk, readings: Sequence[Taken]) -> None:
    """Take a stored chunk, whose packets say `readings`, as they were taken when they came."""
    if state.axis is None or state.axis.boot_no != chunk.boot_no:
        begin_ns = chunk.packets[0].arrival_boot_ns
        state.begin_boot(chunk.boot_no, begin_ns, gone_s(timeline, state, chunk.boot_no, begin_ns))
    state.take(readings)


def _upto(state: RhythmState) -> tuple[int, int]:
    assert state.axis is not None
    return state.axis.boot_no, state.upto_ns


def _beginning(tables: Tables, sensor_no: int) -> tuple[int, int]:
    """Where a day of packets begins, the newest being its end."""
    left_ns = DAY_S * NS_PER_S
    for boot_no in reversed(tables.raw_chunks.boots(sensor_no)):
        spans = tables.raw_chunks.spans(sensor_no, boot_no)
        first_ns, last_ns = spans[0][0], spans[-1][1]
        if last_ns - first_ns >= left_ns:
            return boot_no, last_ns - left_ns
        left_ns -= last_ns - first_ns
    return 0, 0


def _readings(chunk: HeartChunk) -> list[Taken]:
    read = Reader().read
    return [
        (arrival_ns, last_beat_ns, reading)
        for payload, arrival_ns, last_beat_ns in chunk.packets
        if (reading := read(payload)) is not None
    ]


def night_bpm_of(tables: Tables, *, sensor_no: int, now_utc_s: int, zone: ZoneInfo) -> float:
    """The night's heart rate of whoever wears a strap, as of this wall time."""
    person = tables.sensors.get(sensor_no).person
    straps = {row.no for row in tables.sensors.all() if row.person == person}
    return night_bpm(tables, straps, now_utc_s, zone)
