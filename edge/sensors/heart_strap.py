"""A heart-rate strap's side of the gateway: Heart Rate Service 180D.

A strap stores nothing, so every packet counts: packets are kept whole, with their arrival and the time of their last
beat, and handed to the store in chunks. A power cut costs at most the open chunk. While the store cannot be written
the chunks wait here, so many of them, and then the oldest is dropped and counted.
"""

import logging
from functools import partial
from operator import attrgetter

from dsp.cardiac.rr import Timeline as BeatTimeline
from dsp.cardiac.rr import place
from edge.agenda import Agenda
from edge.clock import NS_PER_S, Clock
from edge.config import Limits, SensorConfig
from edge.history.periods import Periods
from edge.kinds import KINDS
from edge.now.facts import Facts
from edge.radio.inbox import Notification
from edge.radio.link import Link
from edge.sensors.sensor import SensorLive
from edge.store.door import Store
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.sensors import SensorRow
from protocols import heart_rate, uuids
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement, RrUnit, RrUnitDetector

log = logging.getLogger(__name__)

# An hour of packets, if the disk is full for so long.
PACKETS_WAITING_MAX = 3600
RR_UNIT = "rr_unit"


class HeartStrap:
    """Takes Heart Rate Measurements in."""

    def __init__(
        self,
        config: SensorConfig,
        row: SensorRow,
        *,
        store: Store,
        periods: Periods,
        facts: Facts,
        agenda: Agenda,
        clock: Clock,
        boot_no: int,
        limits: Limits,
    ) -> None:
        self.config = config
        self.kind = KINDS[config.kind]
        self.stale_s = config.stale_s or self.kind.stale_s
        self.battery_pct: int | None = None
        self.packets = 0
        self.oddities = 0
        self.dropped = 0  # packets that the store could not take for too long
        self._row = row
        self._store = store
        self._periods = periods
        self._facts = facts
        self._agenda = agenda
        self._clock = clock
        self._boot_no = boot_no
        self._chunk_ns = round(limits.chunk_s * NS_PER_S)
        self._beats = BeatTimeline()
        known_unit = store.tables.sensors.trait(row.no, RR_UNIT)
        self._rr_unit = RrUnit[known_unit] if known_unit else RrUnit.TICKS
        self._rr_units = RrUnitDetector()
        self._open: list[Packet] = []
        self._waiting: list[Packet] = []  # that could not be stored yet

    async def converse(self, link: Link) -> None:
        # Nothing says how much time went by between two connections: the chain of beats starts anew.
        self._beats = BeatTimeline()
        await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
        self.battery_pct = await link.battery_pct()

    def take(self, notification: Notification) -> None:
        reading = self._read(notification.payload)
        boot_ns = notification.boot_ns
        self.packets += 1
        self._note(reading, boot_ns)
        self._learn_rr_unit(reading)
        rr_ms = heart_rate.intervals_ms(reading, self._rr_unit)
        self._beats, placed = place(self._beats, boot_ns / NS_PER_S, rr_ms)
        beat_ns = round(placed.t_s[-1] * NS_PER_S) if placed.t_s else NO_BEAT
        if not self._open:
            self._agenda.set_earlier(f"flush {self.config.id}", boot_ns + self._chunk_ns, self.flush)
        self._open.append(Packet(notification.payload, boot_ns, beat_ns))

    def _read(self, payload: bytes) -> HeartRateMeasurement:
        """The reading; what is odd behind the rate costs neither the rate nor the link, and is counted."""
        try:
            return heart_rate.decode(payload)
        except DecodeError:
            reading, _ = heart_rate.decode_lenient(payload)
            self.oddities += 1
            return reading

    def _note(self, reading: HeartRateMeasurement, boot_ns: int) -> None:
        self._facts.note_worn(self.config.id, reading.contact)
        self._facts.note_heard(self.config.id, boot_ns)
        rate_bpm, why_not = float(reading.heart_rate_bpm), why_not_counted(reading)
        self._facts.note(self.config.id, "heart_rate", rate_bpm, boot_ns, why_not)

    def _learn_rr_unit(self, reading: HeartRateMeasurement) -> None:
        """There are straps that send milliseconds; it takes minutes to tell, so it is kept."""
        self._rr_units.add(reading)
        unit = self._rr_units.unit
        if unit is not None and unit is not self._rr_unit:
            log.warning("%s: sends its RR intervals in %s", self.config.id, unit.name.lower())
            self._rr_unit = unit
            no, name = self._row.no, unit.name
            self._store.post(lambda tables: tables.sensors.keep_trait(no, RR_UNIT, name))

    def flush(self) -> None:
        """Hand the open chunk to the store, and what could not be stored before."""
        packets = self._waiting + self._open
        if not packets:
            return
        self._waiting, self._open = [], []
        chunk_packets = _chunks(packets, self._chunk_ns)
        chunks = [HeartChunk(self._row.no, self._boot_no, tuple(part)) for part in chunk_packets]
        self._store.post(
            lambda tables: self._periods.keep_chunks(tables, chunks),
            otherwise=partial(self._on_refused, packets),
        )

    def live(self) -> SensorLive:
        return SensorLive(self.packets, self.oddities, self.dropped)

    def _on_refused(self, packets: list[Packet]) -> None:
        """The store could not take them: they wait for the next flush."""
        # Several chunks may have been under way.
        waiting = sorted(self._waiting + packets, key=attrgetter("arrival_boot_ns"))
        self.dropped += max(0, len(waiting) - PACKETS_WAITING_MAX)
        self._waiting = waiting[-PACKETS_WAITING_MAX:]
        self._agenda.set_earlier(
            f"flush {self.config.id}", self._clock.boot_ns() + self._chunk_ns, self.flush
        )


def why_not_counted(reading: HeartRateMeasurement) -> str | None:
    """Why the rate of a packet does not count; None where it does."""
    if reading.contact is False:
        return "not worn"
    return None if reading.heart_rate_bpm else "no heart rate"


def _chunks(packets: list[Packet], chunk_ns: int) -> list[list[Packet]]:
    """Packets cut where a chunk would last longer than it may."""
    parts: list[list[Packet]] = []
    for packet in packets:
        if not parts or packet.arrival_boot_ns - parts[-1][0].arrival_boot_ns > chunk_ns:
            parts.append([])
        parts[-1].append(packet)
    return parts
