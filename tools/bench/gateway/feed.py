"""What both sides of the gateway benchmark are fed: recordings as notifications, and sensors that send them.

Contract: `recorded` gives a strap's packets at 1 Hz and a CGM's readings every 5 min, made from the recordings that
come along (repeated where the time is longer). A `Home` is a machine's Bluetooth with sensors that all send the same,
tenths of a second apart; in the running loop's time its midnight is `midnight_s`.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final, NamedTuple

from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import cgm, heart_rate
from protocols.cgm import CgmMeasurement, SessionStartTime
from protocols.crc import Crc
from tools.rig.home import recordings

MIDNIGHT_UTC_S: Final = 1_772_409_600  # 2026-03-02
LEAD_S: Final = 60.0
SESSION_AGE_S: Final = 3600
RECORDINGS: Final = Path(__file__).resolve().parents[3] / "tests" / "recordings"
PHASES: Final = 10
RR_A_PACKET_MAX: Final = 9


class Packets(NamedTuple):
    """Seconds since midnight, and what is sent then: a strap's packet, or a CGM's reading in mg/dL."""

    heart: list[tuple[float, bytes]]
    glucose: list[tuple[float, float]]

    @property
    def end_s(self) -> float:
        return max(self.heart[-1][0], self.glucose[-1][0])

    def merged(self, straps: bool, cgms: bool) -> list[tuple[float, str, str]]:
        """For the script: (time, kind, payload), as the sensors send them."""
        heart = [(t_s, "heart", payload.hex()) for t_s, payload in self.heart] if straps else []
        glucose = [(t_s, "glucose", encoded(t_s, mg_dl).hex()) for t_s, mg_dl in self.glucose] if cgms else []
        return sorted(heart + glucose)


def encoded(t_s: float, mg_dl: float) -> bytes:
    offset_min = int((SESSION_AGE_S + t_s) // 60)
    return cgm.encode_measurement(CgmMeasurement(mg_dl, offset_min), crc=Crc.MCRF4XX)


def recorded(hours: float) -> Packets:
    rr_ms = recordings.read_heart(RECORDINGS / "afdb_08219_rr.csv.gz").rr_ms.tolist()
    glucose = recordings.read_glucose(RECORDINGS / "azt1d_09_glucose.csv.gz")
    values = cycle([float(round(value)) for value in glucose.glucose_mg_dl.tolist()])
    readings = [(60.0 * minute + 0.5, next(values)) for minute in range(2, int(hours * 60) + 1, 5)]
    return Packets(heart_packets(rr_ms, round(hours * 3600)), readings)


def heart_packets(rr_ms: Sequence[float], seconds: int) -> list[tuple[float, bytes]]:
    """A packet a second with the intervals that ended since."""
    intervals = cycle(rr_ms)
    beat_s, tick = next(intervals) / 1000, 0
    waiting: deque[int] = deque()
    recent: deque[int] = deque(maxlen=8)
    packets = []
    for second in range(1, seconds + 1):
        while beat_s <= second:
            now = round(beat_s * heart_rate.RR_TICKS_PER_S)
            waiting.append(now - tick)
            recent.append(now - tick)
            tick = now
            beat_s += next(intervals) / 1000
        bpm = min(255, round(60 * heart_rate.RR_TICKS_PER_S * len(recent) / sum(recent))) if recent else 0
        sent = tuple(waiting.popleft() for _ in range(min(len(waiting), RR_A_PACKET_MAX)))
        reading = heart_rate.HeartRateMeasurement(bpm, contact=True, rr_ticks=sent or None)
        packets.append((float(second), heart_rate.encode(reading)))
    return packets


def beats(packets: Packets) -> int:
    """How many intervals the packets of a strap hold."""
    return sum(len(heart_rate.decode(payload).rr_ticks or ()) for _, payload in packets.heart)


class Home:
    """Sensors, switched on and in reach."""

    def __init__(
        self,
        straps: Iterable[str],
        cgms: Iterable[str],
        *,
        midnight_s: float = LEAD_S,
        midnight_utc_s: int = MIDNIGHT_UTC_S,
    ) -> None:
        """`straps` and `cgms` are their addresses."""
        began_s = midnight_s - SESSION_AGE_S
        self.midnight_s = midnight_s
        self.stack = DirectStack()
        self.straps = [DirectStrap(address) for address in straps]
        self.cgms = [WaywardCgm(address, began_s=began_s) for address in cgms]
        for sensor in self.cgms:
            sensor.session.start_time = SessionStartTime.from_utc_seconds(midnight_utc_s - SESSION_AGE_S)
        self.stack.add(*self.straps, *self.cgms)
        self.latest_s = 0.0

    @classmethod
    def of(cls, straps: int, cgms: int) -> "Home":
        """So many sensors."""
        return cls((f"F0:{_tail(n)}" for n in range(straps)), (f"F1:{_tail(n)}" for n in range(cgms)))

    async def send(self, packets: Packets) -> None:
        """Everything, each at its time; `latest_s` is by how much the latest came after it."""
        feeds = [self._beat(packets.heart, n) for n in range(min(PHASES, len(self.straps)))]
        if self.cgms:
            feeds.append(self._measure(packets.glucose))
        await asyncio.gather(*feeds)

    async def _beat(self, packets: list[tuple[float, bytes]], phase: int) -> None:
        straps = self.straps[phase::PHASES]
        for t_s, payload in packets:
            await self._until(t_s + phase / PHASES)
            for strap in straps:
                strap.send(payload)

    async def _measure(self, readings: list[tuple[float, float]]) -> None:
        for t_s, mg_dl in readings:
            await self._until(t_s)
            for sensor in self.cgms:
                sensor.take(mg_dl)

    async def _until(self, t_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s = self.midnight_s + t_s
        await asyncio.sleep(max(0.0, due_s - loop.time()))
        self.latest_s = max(self.latest_s, loop.time() - due_s)


def _tail(number: int) -> str:
    return f"00:00:00:{number >> 8:02X}:{number & 255:02X}"
