"""A heart-rate strap's side of the gateway (Heart Rate Service, 180D).

A strap stores nothing, so every packet counts. Packets are kept whole, with their arrival and the time of their last
beat, and are handed to the store in chunks: when the chunk is full, or when it is half full and something else is
committed. A power cut costs at most the open chunk. What an alert needs is taken from each packet as it comes. The
times of its beats are found only when the chunk is handed over, which costs half as much. While the store cannot be
written, up to `PACKETS_WAITING_MAX` packets wait here; then the oldest are dropped and counted. A chunk holds at most
`PACKETS_OPEN_MAX`: no heart needs more, and a strap that floods the gateway must not fill the disk. Those beyond are
dropped and counted, too; the rate that they tell is known all the same.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

from dsp.cardiac.rr import Timeline as BeatTimeline
from dsp.cardiac.rr import follow
from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.kinds import KINDS
from edge.now.rhythm import Rhythm
from edge.now.rhythm_state import Taken
from edge.radio.inbox import Notification
from edge.radio.link import Link
from edge.sensors.heart_reading import NO_HEART_RATE, RR_UNIT_TRAIT, rr_unit, why_not_counted
from edge.sensors.means import Means
from edge.sensors.sensor import SensorLive
from edge.store.door import Tables
from edge.store.raw_chunks import NO_BEAT, NS_PER_US, HeartChunk, Packet
from edge.store.sensors import SensorRow
from protocols import heart_rate, uuids
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement, RrUnit, RrUnitDetector

log = logging.getLogger(__name__)

# An hour of packets, if the disk is full for so long.
PACKETS_WAITING_MAX = 3600
# In the longest chunk, a packet for each beat of the fastest heart, three times over.
PACKETS_OPEN_MAX = 1024
US_PER_S = 1_000_000


class HeartStrap:
    """Takes Heart Rate Measurements in."""

    def __init__(
        self,
        config: SensorConfig,
        row: SensorRow,
        means: Means,
    ) -> None:
        self.config = config
        self.kind = KINDS[config.kind]
        self.stale_s = config.stale_s or self.kind.stale_s
        self.battery_pct: int | None = None
        self.packets = 0
        self.oddities = 0
        self.dropped = 0  # packets that the store could not take for too long
        self._row = row
        self._store = means.store
        self._periods = means.periods
        self._facts = means.facts
        self._agenda = means.agenda
        self._clock = means.clock
        self._boot_no = means.timekeeper.boot_no
        self._chunk_ns = round(means.limits.chunk_s * NS_PER_S)
        self._beats = BeatTimeline()
        self._rr_unit = rr_unit(means.store.tables, row.no)
        self._rr_units = RrUnitDetector()
        self.rhythm = Rhythm(
            row,
            self._rr_unit,
            store=means.store,
            timekeeper=means.timekeeper,
            agenda=means.agenda,
            clock=means.clock,
            zone=means.zone,
            kernels=means.kernels,
        )
        means.insights[config.id] = self.rhythm
        self._is_worn: bool | None = None
        self._newest_ns = -NS_PER_US  # when the newest packet came, as it is stored
        self._open: list[tuple[Notification, HeartRateMeasurement]] = []
        self._waiting: list[Packet] = []  # with the times of their beats; not in the store yet
        self._flush_due_ns: int | None = None
        self._store.join_groups(self._join_group)
        # For who knows more of the strap than its packets say: what they said, and that they are handed over.
        self.on_beats: Callable[[Sequence[Taken], RrUnit], None] = lambda _packets, _unit: None
        self.on_flush: Callable[[], None] = lambda: None

    def begin_chain(self) -> None:
        """The beats of the next packet do not follow those before."""
        self._follow()
        self._beats = BeatTimeline()

    async def converse(self, link: Link) -> None:
        # Nothing says how much time went by between two connections: the chain of beats starts anew.
        self.begin_chain()
        await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
        self.battery_pct = await link.battery_pct()

    def take(self, notification: Notification) -> None:
        # This runs for every packet, so it makes no call that can be avoided.
        payload, boot_ns = notification.payload, notification.boot_ns
        sensor_id, facts = self.config.id, self._facts
        try:
            reading = heart_rate.decode(payload)
        except DecodeError:
            # An error in the fields after the rate costs neither the rate nor the link.
            reading, _ = heart_rate.decode_lenient(payload)
            self.oddities += 1
        self.packets += 1
        if reading.contact is not self._is_worn:
            self._is_worn = reading.contact
            facts.note_worn(sensor_id, reading.contact, boot_ns)
        why_not = why_not_counted(reading)
        # Who wears it and gets no rate for long is as badly off as with a strap that is not heard.
        if why_not != NO_HEART_RATE:
            facts.note_heard(sensor_id, boot_ns)
        facts.note(sensor_id, "heart_rate", float(reading.heart_rate_bpm), boot_ns, why_not)
        if len(self._open) >= PACKETS_OPEN_MAX:
            self.dropped += 1
            return
        if not self._open:
            self._flush_by(boot_ns + self._chunk_ns)
        self._open.append((notification, reading))

    def _follow(self) -> None:
        """Find when the last beat of each open packet was; from then on the packets wait for the store."""
        self._learn_rr_unit()
        ms_per_count = heart_rate.MS_PER_COUNT[self._rr_unit]
        arrivals_s = [notification.boot_ns / NS_PER_S for notification, _ in self._open]
        spans_ms = [_span_ms(reading.rr_ticks, ms_per_count) for _, reading in self._open]
        self._beats, beats_s, _ = follow(self._beats, arrivals_s, spans_ms)
        taken = []
        for ((*_, boot_ns, payload), reading), beat_s in zip(self._open, beats_s, strict=True):
            # As the store gives them back: whole microseconds. No two packets come at the same time.
            arrival_ns = max(boot_ns // NS_PER_US * NS_PER_US, self._newest_ns + NS_PER_US)
            beat_ns = NO_BEAT if beat_s is None else round(beat_s * US_PER_S) * NS_PER_US
            self._waiting.append(Packet(payload, arrival_ns, beat_ns))
            taken.append((arrival_ns, beat_ns, reading))
            self._newest_ns = arrival_ns
        self._open.clear()
        self.rhythm.take(taken, self._rr_unit)
        if taken:
            self.on_beats(taken, self._rr_unit)
            self._facts.renew(self.config.id)

    def _learn_rr_unit(self) -> None:
        """Find out whether the strap sends milliseconds, as some do. That takes minutes, so it is stored."""
        # Once the unit is known, one packet in ten is enough to notice a mistake.
        for _, reading in self._open if self._rr_units.unit is None else self._open[::10]:
            self._rr_units.add(reading)
        unit = self._rr_units.unit
        if unit is not None and unit is not self._rr_unit:
            log.warning("%s: sends its RR intervals in %s", self.config.id, unit.name.lower())
            self._rr_unit = unit
            no, name = self._row.no, unit.name
            self._store.post(lambda tables: tables.sensors.keep_trait(no, RR_UNIT_TRAIT, name))

    def flush(self) -> None:
        """Hand the open chunk to the store, and what could not be stored before."""
        self._flush_due_ns = None
        self._agenda.set(f"flush {self.config.id}", None, self.flush)
        self._follow()
        self.on_flush()
        packets, self._waiting = self._waiting, []
        if not packets:
            return
        chunk_packets = _chunks(packets, self._chunk_ns)
        chunks = [HeartChunk(self._row.no, self._boot_no, tuple(part)) for part in chunk_packets]
        keep_rhythm = self.rhythm.due()

        def keep(tables: Tables) -> None:
            self._periods.keep_chunks(tables, chunks)
            if keep_rhythm is not None:
                keep_rhythm(tables)

        self._store.post(
            keep, otherwise=partial(self._on_refused, packets, with_rhythm=keep_rhythm is not None)
        )

    def _flush_by(self, due_ns: int) -> None:
        """Flush at this moment, unless what waits from an earlier link is due sooner."""
        if self._flush_due_ns is None or due_ns < self._flush_due_ns:
            self._flush_due_ns = due_ns
            self._agenda.set(f"flush {self.config.id}", due_ns, self.flush)

    def _join_group(self) -> None:
        """Something is about to be committed: what is due in half the time of a chunk goes with it, and needs no commit
        of its own."""
        due_ns = self._flush_due_ns
        if due_ns is not None and 2 * (due_ns - self._clock.boot_ns()) <= self._chunk_ns:
            self.flush()

    def live(self) -> SensorLive:
        return SensorLive(self.packets, self.oddities, self.dropped, len(self._waiting))

    def _on_refused(self, packets: list[Packet], *, with_rhythm: bool) -> None:
        """The store could not take them: they wait for the next flush."""
        if with_rhythm:
            self.rhythm.keep_again()
        # Several chunks may have been under way.
        waiting = sorted(self._waiting + packets, key=attrgetter("arrival_boot_ns"))
        self.dropped += max(0, len(waiting) - PACKETS_WAITING_MAX)
        self._waiting = waiting[-PACKETS_WAITING_MAX:]
        self._flush_by(self._clock.boot_ns() + self._chunk_ns)


def _span_ms(counts: tuple[int, ...] | None, ms_per_count: float) -> tuple[float, float] | None:
    """The first interval of a packet and the sum of all; None where it tells of no beat."""
    # Some time must pass between two beats, so an interval of zero is no interval.
    for count in counts or ():
        if count:
            return count * ms_per_count, sum(counts or ()) * ms_per_count
    return None


def _chunks(packets: list[Packet], chunk_ns: int) -> list[list[Packet]]:
    """Packets cut where a chunk would last longer than it may."""
    parts: list[list[Packet]] = []
    for packet in packets:
        if not parts or packet.arrival_boot_ns - parts[-1][0].arrival_boot_ns > chunk_ns:
            parts.append([])
        parts[-1].append(packet)
    return parts
