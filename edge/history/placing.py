"""Finds the periods that data belong to and marks them, inside store jobs: when data arrive, and again when their wall
time becomes known or changes.

Contract: data with a trusted wall time mark their periods, and readings are announced: deliveries are enqueued. Data
without one wait, and a note in the store says so. If a wall time changes, the periods that lose data are marked as well
as those that gain them. A period is marked only if it has data, or lies within a pause that is shorter than any period.
Nothing is computed here.

    the start of a session was | and is now         | its days            | its readings
    ---------------------------|--------------------|---------------------|---------------------------------
    not trusted                | trusted            | marked              | announced
    trusted                    | trusted, the same  | -                   | -
    trusted                    | trusted, another   | old and new marked  | announced again, a revision later

Of a measurement that two sources tell, `edge.sensors.sources` says which counts; the other is marked in the same job.
A trusted start becomes another only by a clock that is sure, and contradicts it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from edge.anchors import NS_PER_MS, Span, Timeline
from edge.clock import NS_PER_S
from edge.history.beats import TOLD_WITHIN_NS, first_moment_ns
from edge.history.bounds import around, touched
from edge.identity import Identity
from edge.kinds import KINDS, SessionIdentity
from edge.measurements import MEASUREMENTS
from edge.sensors.heart_reading import rr_unit
from edge.sensors.sources import Replaced, Settled, Sources, is_source
from edge.sensors.validity import NotCounted
from edge.store.deliveries import Item, reading_ref
from edge.store.raw_chunks import HeartChunk
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from edge.store.sessions import Session
from edge.store.tables import Tables
from edge.upstream.routes import ROUTES

# Chunks with no longer pause between them make one run. No period fits into such a pause.
PAUSE_NS_MAX: Final = 120 * NS_PER_S
# The start of a session is calculated from the sensor's clock, which counts whole minutes.
RECKONED_ERROR_MS: Final = 60_000
# The start that a sensor tells is believed if it differs from the calculated one by no more than this.
TOLD_ERROR_MS: Final = 180_000
_EVER_S: Final = 1 << 40

# What was sent already in place of a reading, by its sequence and by route.
TakenOver = Mapping[int, Mapping[str, Item]]
MarkStarts = Callable[[Tables, str, int, Collection[int]], None]


class Placing:
    """Finds the periods of data, and marks them."""

    def __init__(
        self,
        identity: Identity,
        zone: ZoneInfo,
        mark_starts: MarkStarts,
        on_announced: Callable[[], None],
        sources: Sources,
    ) -> None:
        """The two functions are called inside the job.

        Args:
            identity: makes the ids of readings.
            zone: the time zone of the days.
            mark_starts: marks the periods of a kind and sensor that begin at these moments.
            on_announced: is told that deliveries were enqueued.
            sources: says which readings another source tells as well.
        """
        self._identity = identity
        self._zone = zone
        self._mark_starts = mark_starts
        self._on_announced = on_announced
        self._sources = sources

    def mark(self, tables: Tables, kind: str, sensor_no: int, utc_s: Iterable[int]) -> None:
        """Mark the periods of a kind that contain these moments."""
        starts, end_utc_s = [], -_EVER_S
        for moment in sorted(utc_s):
            if moment >= end_utc_s:
                start_utc_s, end_utc_s = around(kind, moment, self._zone)
                starts.append(start_utc_s)
        self._mark_starts(tables, kind, sensor_no, starts)

    # Raw chunks

    def keep_chunk(self, tables: Tables, timeline: Timeline, chunk: HeartChunk) -> None:
        """Store a chunk, and mark its periods, or note that its wall time is not known yet."""
        tables.raw_chunks.append(chunk)
        if timeline.is_trusted(chunk.boot_no):
            arrivals = Span(
                chunk.boot_no, chunk.packets[0].arrival_boot_ns, chunk.packets[-1].arrival_boot_ns + 1
            )
            self._mark_arrivals(tables, timeline, chunk.sensor_no, arrivals, [chunk])
        else:
            tables.raw_chunks.note_unplaced(chunk.sensor_no, chunk.boot_no)

    def place_chunks(self, tables: Tables, timeline: Timeline, sensor_no: int, boot_no: int) -> None:
        """Mark the periods of all chunks of a boot whose wall time has become known."""
        for run in _runs(tables.raw_chunks.spans(sensor_no, boot_no)):
            self._mark_arrivals(tables, timeline, sensor_no, Span(boot_no, *run))
        tables.raw_chunks.clear_unplaced(sensor_no, boot_no)

    def move_chunks(self, tables: Tables, old: Timeline, new: Timeline, moved: Span) -> None:
        """The wall time of a span has changed: mark the periods of its chunks, the former ones and the new ones."""
        boot_no, from_ns, to_ns = moved
        for sensor in tables.sensors.all():
            # A packet holds beats from before its arrival.
            spans = [
                (max(first, from_ns), min(last, to_ns + TOLD_WITHIN_NS))
                for first, last in tables.raw_chunks.spans(sensor.no, boot_no)
                if last >= from_ns and first < to_ns + TOLD_WITHIN_NS
            ]
            for run in _runs(spans):
                for timeline in (old, new):
                    self._mark_arrivals(tables, timeline, sensor.no, Span(boot_no, *run))

    def _mark_arrivals(
        self,
        tables: Tables,
        timeline: Timeline,
        sensor_no: int,
        arrivals: Span,
        chunks: Sequence[HeartChunk] | None = None,
    ) -> None:
        """Mark the periods of packets that arrived in a span without long pauses.

        The first packets may hold beats of the period before. Only then the packets themselves are needed: those of
        `chunks`, or else those of the store.
        """
        boot_no, from_ns, to_ns = arrivals
        for kind in _periods(tables.sensors.get(sensor_no)):
            starts = self._starts(kind, timeline, Span(boot_no, from_ns - TOLD_WITHIN_NS, to_ns))
            if len(starts) > 1:
                if chunks is None:
                    chunks = tables.raw_chunks.between(sensor_no, boot_no, from_ns, from_ns + TOLD_WITHIN_NS)
                packets = [p for chunk in chunks for p in chunk.packets if p.arrival_boot_ns >= from_ns]
                first_ns = first_moment_ns(packets, rr_unit(tables, sensor_no)) if packets else from_ns
                starts = self._starts(kind, timeline, Span(boot_no, min(first_ns, from_ns), to_ns))
            self._mark_starts(tables, kind, sensor_no, sorted(starts))

    def _starts(self, kind: str, timeline: Timeline, span: Span) -> set[int]:
        return {
            start
            for from_ns, to_ns in timeline.stretches(span)
            for start in touched(kind, from_ns // NS_PER_S, (to_ns - 1) // NS_PER_S, self._zone)
        }

    # Sessions and their readings

    def keep_readings(
        self,
        tables: Tables,
        session: Session,
        measurement: str,
        readings: Sequence[Reading],
        timeline: Timeline,
    ) -> list[Reading]:
        """Store readings; the new ones. If the session's start is trusted, mark their days and announce them."""
        sensor = tables.sensors.get(session.sensor_no)
        if is_placed(session) and is_source(sensor.kind):
            settled = self._sources.settle(tables, sensor, session, readings)
        else:
            settled = Settled(list(readings), [])
        new = tables.readings.insert(session.no, measurement, settled.readings)
        if is_placed(session):
            self._mark_readings(tables, sensor, session, measurement, new)
            taken_over = self._replace(tables, measurement, settled.replaced)
            self._announce(tables, sensor, session, measurement, new, 1, taken_over)
        elif new:
            self.place_session(tables, timeline, session)
        return new

    def place_session(self, tables: Tables, timeline: Timeline, session: Session) -> None:
        """Set a session's start to what the timeline says, unless the start that it has agrees with that."""
        if session.start_boot_no is None or session.start_boot_ns is None:
            return
        placed = timeline.place(session.start_boot_no, session.start_boot_ns)
        if placed is None or placed.error_ms is None:
            return
        told_s, start_s = _told_utc_s(tables, session), placed.utc_ns // NS_PER_S
        if told_s is not None and _off_ms(told_s, placed.utc_ns) <= TOLD_ERROR_MS:
            start_s = told_s
        if is_placed(session):
            assert session.start_utc_s is not None
            assert session.start_error_ms is not None
            doubt_ms = session.start_error_ms + placed.error_ms + TOLD_ERROR_MS
            if not placed.is_sure or _off_ms(session.start_utc_s, placed.utc_ns) <= doubt_ms:
                return
        error_ms = placed.error_ms + RECKONED_ERROR_MS
        tables.sessions.update(session.no, start_utc_s=start_s, start_error_ms=error_ms)
        self.move_session(tables, session, tables.sessions.get(session.no))

    def move_session(self, tables: Tables, before: Session, after: Session) -> None:
        """The start of a session has changed, or has become trusted: do what the table says."""
        if is_placed(before) == is_placed(after) and before.start_utc_s == after.start_utc_s:
            return
        sensor = tables.sensors.get(after.sensor_no)
        for measurement in KINDS[sensor.kind].measurements:
            readings = tables.readings.between(after.no, measurement, -_EVER_S, _EVER_S)
            item, rev = MEASUREMENTS[measurement].item, 1
            if is_placed(before):
                self._mark_readings(tables, sensor, before, measurement, readings)
                if item is not None:
                    rev += tables.deliveries.newest_reading_rev(item, after.no, measurement)
            if is_placed(after):
                self._mark_readings(tables, sensor, after, measurement, readings)
                settled, taken_over = self._settle_stored(tables, sensor, after, measurement, readings)
                self._announce(tables, sensor, after, measurement, settled, rev, taken_over)

    def _settle_stored(
        self,
        tables: Tables,
        sensor: SensorRow,
        session: Session,
        measurement: str,
        readings: Sequence[Reading],
    ) -> tuple[Sequence[Reading], TakenOver]:
        """Now that it is known when they were taken, it is known which another source tells as well."""
        if not is_source(sensor.kind):
            return readings, {}
        settled = self._sources.settle(tables, sensor, session, readings)
        for before, after in zip(readings, settled.readings, strict=True):
            if before.not_counted is None and after.not_counted is not None:
                tables.readings.discount(session.no, measurement, after.sequence, after.not_counted)
        return settled.readings, self._replace(tables, measurement, settled.replaced)

    def _replace(self, tables: Tables, measurement: str, replaced: Iterable[Replaced]) -> TakenOver:
        """These do not count any more; what was sent of them already, by the sequence of what takes their place."""
        kind, taken_over = MEASUREMENTS[measurement].item, dict[int, dict[str, Item]]()
        for sensor, session, reading, by_sequence in replaced:
            tables.readings.discount(session.no, measurement, reading.sequence, NotCounted.DUPLICATE.value)
            self._mark_readings(tables, sensor, session, measurement, [reading])
            for route in ROUTES if kind is not None else ():
                assert kind is not None
                ref = reading_ref(session.no, measurement, reading.sequence)
                sent = tables.deliveries.withdraw(route, kind, ref)
                if sent is not None:
                    taken_over.setdefault(by_sequence, {})[route] = sent
        return taken_over

    def _mark_readings(
        self,
        tables: Tables,
        sensor: SensorRow,
        session: Session,
        measurement: str,
        readings: Iterable[Reading],
    ) -> None:
        assert session.start_utc_s is not None
        moments = [session.start_utc_s + reading.at_s for reading in readings]
        for kind in MEASUREMENTS[measurement].periods:
            self.mark(tables, kind, sensor.no, moments)

    def _announce(
        self,
        tables: Tables,
        sensor: SensorRow,
        session: Session,
        measurement: str,
        readings: Iterable[Reading],
        rev: int,
        taken_over: TakenOver,
    ) -> None:
        """Enqueue the readings that count. Their ids do not depend on any time, so they survive a corrected clock.

        One that takes the place of what was sent already goes under its id, as the next revision of it.
        """
        kind = MEASUREMENTS[measurement].item
        if kind is None or sensor.person is None:
            return
        counted = [reading for reading in readings if reading.not_counted is None]
        if counted:
            self._on_announced()
        for reading in counted:
            ref = reading_ref(session.no, measurement, reading.sequence)
            reading_id = self._identity.id(kind, sensor.person, str(session.uuid), reading.sequence)
            for route in ROUTES:
                item = Item(kind, ref, reading_id, sensor.person, rev)
                sent = taken_over.get(reading.sequence, {}).get(route)
                if sent is not None:
                    item = item._replace(id=sent.id, rev=sent.rev + 1)
                tables.deliveries.enqueue(item, route, reading.boot_no, reading.boot_ns)


def _told_utc_s(tables: Tables, session: Session) -> int | None:
    """When a session began as its sensor tells it; a clock that people set by hand does not tell that."""
    kind = KINDS[tables.sensors.get(session.sensor_no).kind]
    return session.told_start_utc_s if kind.session is SessionIdentity.SENSOR else None


def is_placed(session: Session) -> bool:
    """Whether the wall time of the session's start is trusted."""
    return session.start_utc_s is not None and session.start_error_ms is not None


def _periods(sensor: SensorRow) -> list[str]:
    """The kinds of periods that summarise this sensor's measurements."""
    kinds = (
        kind for measurement in KINDS[sensor.kind].measurements for kind in MEASUREMENTS[measurement].periods
    )
    return list(dict.fromkeys(kinds))


def _runs(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and last arrival of each chunk -> spans [from, to) without long pauses."""
    from_ns = to_ns = None
    for first_ns, last_ns in spans:
        if to_ns is None or from_ns is None or first_ns - to_ns > PAUSE_NS_MAX:
            if to_ns is not None and from_ns is not None:
                yield from_ns, to_ns
            from_ns, to_ns = first_ns, last_ns + 1
        to_ns = max(to_ns, last_ns + 1)
    if to_ns is not None and from_ns is not None:
        yield from_ns, to_ns


def _off_ms(utc_s: int, utc_ns: int) -> int:
    return abs(utc_s * NS_PER_S - utc_ns) // NS_PER_MS
