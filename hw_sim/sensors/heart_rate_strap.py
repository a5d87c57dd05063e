"""A chest strap: Heart Rate Service with RR intervals.

Beats happen whether or not anybody listens. Once a second the strap sends the intervals that ended since;
what ended while nobody was subscribed is lost, as on a real strap, which stores nothing. What some straps do against
the specification, or at its edge, are its `Habits`.

Must not be here: where the beats come from.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from bumble.att import Attribute
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.peripheral import Peripheral, uuid16
from protocols import heart_rate, uuids

_AVERAGED_BEATS = 8
_HEART_RATE_MAX_BPM = 255  # what one octet can show
_FILLER = 500
_NOTIFICATION_OCTETS = 5  # ATT opcode and handle, then flags and an 8-bit heart rate


class Beat(NamedTuple):
    """A beat that a strap has told of: when it was and when it was sent, in the loop's time, and its interval."""

    beat_s: float
    sent_s: float
    rr_ticks: int


@dataclass(frozen=True, slots=True)
class Habits:
    """What some straps do.

    Attributes:
        rr_in_ms: count intervals in milliseconds (WHOOP).
        filler_every: tell every so many-th interval as 500, whatever the rate says (WHOOP); 0: none.
        packet_period_s: send so rarely that a packet has several intervals.
        splits_rr: send each interval in a notification of its own, with the rate once more in each (btstack).
        trailing: octets behind the last interval.
        tells_contact: whether they feel the skin and say so (H7: flags 16), or not (H10, OH1: flags 10).
        rateless_s: between these seconds of wearing they have no rate, and say 0.
        off_skin_bpm: the rate they go on to tell when they are not worn; 0: none.
    """

    rr_in_ms: bool = False
    filler_every: int = 0
    packet_period_s: float = 1.0
    splits_rr: bool = False
    trailing: bytes = b""
    tells_contact: bool = True
    rateless_s: tuple[float, float] = (0.0, 0.0)
    off_skin_bpm: int = 0


class HeartRateStrap(Peripheral):
    """Worn from `begin_s` of the loop's time on, until its beats end. While `is_silent`, it sends nothing.

    Truth: `carried` are the beats that were sent over a link that carried them; `rr_sent` and `rr_lost` count the
    intervals handed to the radio and those nobody was subscribed for.
    """

    def __init__(
        self,
        air: SensorAir,
        address: str,
        beats: Iterator[float],
        *,
        begin_s: float,
        battery_pct: int = 100,
        habits: Habits = Habits(),
    ) -> None:
        self._measurement = Characteristic[bytes](
            uuid16(uuids.HEART_RATE_MEASUREMENT), Characteristic.Properties.NOTIFY, Attribute.Permissions(0)
        )
        location = Characteristic[bytes](
            uuid16(uuids.BODY_SENSOR_LOCATION),
            Characteristic.Properties.READ,
            Attribute.Permissions.READABLE,
            heart_rate.encode_location(heart_rate.BodySensorLocation.CHEST),
        )
        service = Service(uuid16(uuids.HEART_RATE_SERVICE), [self._measurement, location])
        super().__init__(air, address, "Vitalgate HR", service, battery_pct=battery_pct)
        self._beats = beats
        self._begin_s = begin_s
        self._habits = habits
        self._ticks_per_s = 1000 if habits.rr_in_ms else heart_rate.RR_TICKS_PER_S
        self._beat_s: float | None = 0.0
        self._tick = 0
        self._waiting: deque[tuple[float, int]] = deque()
        self._recent_ticks: deque[int] = deque(maxlen=_AVERAGED_BEATS)
        self.carried: list[Beat] = []
        self.rr_sent = self.rr_lost = 0
        self._await_beat()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            # What a stalled process has missed is not made up for.
            due_s = max(due_s + self._habits.packet_period_s, loop.time())
            await asyncio.sleep(due_s - loop.time())
            self._send(due_s - self._begin_s)

    def _send(self, t_s: float) -> None:
        self._advance(t_s)
        subscribed = [] if self.is_silent or self.is_off else self.subscribed(self._measurement)
        if not subscribed:
            self.rr_lost += len(self._waiting)
            self._waiting.clear()
        for link in subscribed:
            for packet in self._packets(link, t_s):
                self.notify(link, self._measurement, heart_rate.encode(packet) + self._habits.trailing)

    def _advance(self, t_s: float) -> None:
        """Lets the beats up to `t_s` happen.

        An interval is the difference of two rounded times, not a rounded difference, so that rounding never
        adds up.
        """
        while self._beat_s is not None and self._beat_s <= t_s:
            tick = round(self._beat_s * self._ticks_per_s)
            self._waiting.append((self._begin_s + self._beat_s, tick - self._tick))
            self._recent_ticks.append(tick - self._tick)
            self._tick = tick
            self._await_beat()

    def _await_beat(self) -> None:
        rr_ms = next(self._beats, None)
        self._beat_s = None if rr_ms is None or self._beat_s is None else self._beat_s + rr_ms / 1000

    def _packets(self, link: Connection, t_s: float) -> list[heart_rate.HeartRateMeasurement]:
        packet = self._packet(link, t_s)
        if not self._habits.splits_rr or packet.rr_ticks is None:
            return [packet]
        return [replace(packet, rr_ticks=(ticks,)) for ticks in packet.rr_ticks]

    def _packet(self, link: Connection, t_s: float) -> heart_rate.HeartRateMeasurement:
        habits = self._habits
        worn = t_s >= 0 and (self._beat_s is not None or bool(self._waiting))
        if not worn:
            off = False if habits.tells_contact else None
            return heart_rate.HeartRateMeasurement(habits.off_skin_bpm, contact=off)
        room = (link.att_mtu - _NOTIFICATION_OCTETS) // 2
        sent = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        self.rr_sent += len(sent)
        if sent and self._air.carries(self.address):
            self.carried += [Beat(beat_s, self._begin_s + t_s, ticks) for beat_s, ticks in sent]
        rr_ticks = tuple(self._told(ticks, self.rr_sent - len(sent) + n) for n, (_, ticks) in enumerate(sent))
        has_rate = not habits.rateless_s[0] <= t_s < habits.rateless_s[1]
        return heart_rate.HeartRateMeasurement(
            self._heart_rate_bpm() if has_rate else 0,
            contact=True if habits.tells_contact else None,
            rr_ticks=(rr_ticks or None) if has_rate else None,
        )

    def _told(self, ticks: int, number: int) -> int:
        every = self._habits.filler_every
        return _FILLER if every and number % every == every - 1 else ticks

    def _heart_rate_bpm(self) -> int:
        if not self._recent_ticks:
            return 0
        mean_ticks = sum(self._recent_ticks) / len(self._recent_ticks)
        return min(round(60 * self._ticks_per_s / mean_ticks), _HEART_RATE_MAX_BPM)
