"""A heart-rate strap's side of the gateway: Heart Rate Service 180D.

A strap stores nothing, so every packet counts: packets are kept whole, with their arrival and the time of
their last beat, and committed in chunks. A power cut costs at most the open chunk.
"""

import logging
from array import array
from dataclasses import dataclass

from dsp.cardiac.rr import Timeline, place
from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.inbox import Notification
from edge.session import Link
from edge.store import HeartChunk, Store
from protocols import heart_rate, uuids
from protocols.heart_rate import RrUnitDetector

log = logging.getLogger(__name__)

NO_BEAT = -1


@dataclass(frozen=True)
class LiveHeart:
    """The newest packet, for alerts and display."""

    boot_ns: int
    heart_rate_bpm: int
    contact: bool | None


class HeartSensor:
    """Takes Heart Rate Measurements in."""

    pair = False
    is_fetching = False  # a strap stores nothing

    def __init__(self, config: SensorConfig, store: Store, boot_id: str, stale_s: float) -> None:
        self.config = config
        self.stale_s = stale_s
        self.live: LiveHeart | None = None
        self.battery_pct: int | None = None
        self.packets = 0
        self._store = store
        self._boot_id = boot_id
        self._timeline = Timeline()
        self._rr_unit = store.rr_unit(config.id)
        self._rr_units = RrUnitDetector()
        self._open: list[tuple[int, int, bytes]] = []

    async def converse(self, link: Link) -> None:
        # Nothing says how much time went by between two connections: the chain of beats starts anew.
        self._timeline = Timeline()
        await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
        self.battery_pct = await link.battery_pct()

    def take(self, notification: Notification) -> None:
        reading = heart_rate.decode(notification.payload)
        self.packets += 1
        self.live = LiveHeart(notification.boot_ns, reading.heart_rate_bpm, reading.contact)
        self._learn_rr_unit(reading)
        beat_boot_ns = NO_BEAT
        arrival_s = notification.boot_ns / NS_PER_S
        rr_ms = heart_rate.intervals_ms(reading, self._rr_unit)
        self._timeline, placed = place(self._timeline, arrival_s, rr_ms)
        if placed.t_s:
            beat_boot_ns = round(placed.t_s[-1] * NS_PER_S)
        self._open.append((notification.boot_ns, beat_boot_ns, notification.payload))

    def _learn_rr_unit(self, reading: heart_rate.HeartRateMeasurement) -> None:
        """There are straps that send milliseconds; it takes minutes to tell, so it is kept."""
        self._rr_units.add(reading)
        unit = self._rr_units.unit
        if unit is not None and unit is not self._rr_unit:
            log.warning("%s: sends its RR intervals in %s", self.config.id, unit.name.lower())
            self._rr_unit = unit
            with self._store.transaction():
                self._store.keep_rr_unit(self.config.id, unit)

    def flush(self) -> None:
        """Commit the open chunk."""
        if not self._open:
            return
        arrivals, beats, payloads = zip(*self._open, strict=True)
        chunk = HeartChunk(
            sensor_id=self.config.id,
            boot_id=self._boot_id,
            first_boot_ns=arrivals[0],
            last_boot_ns=arrivals[-1],
            packets=len(payloads),
            arrival_boot_ns=array("q", arrivals).tobytes(),
            last_beat_boot_ns=array("q", beats).tobytes(),
            lengths=array("H", map(len, payloads)).tobytes(),
            payloads=b"".join(payloads),
        )
        with self._store.transaction():
            self._store.append_chunk(chunk)
        self._open.clear()

    def live_status(self, boot_ns: int) -> dict[str, int | float | bool | None]:
        live = self.live
        return {
            "heart_rate_bpm": live.heart_rate_bpm if live else None,
            "contact": live.contact if live else None,
            "age_s": (boot_ns - live.boot_ns) / NS_PER_S if live else None,
            "packets": self.packets,
        }
