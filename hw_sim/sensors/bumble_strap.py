"""A strap whose service nobody here has written: the heart-rate profile of Bumble, as its own example serves it.

What the packets look like, how the service is laid out and how it notifies is Bumble's (`bumble.profiles`); what the
heart does, and when it was told, is known here. It measures when it is read, and is read once a second for whoever has
subscribed. Beats that ended while nobody had are lost.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final

from bumble.device import Connection
from bumble.profiles.heart_rate_service import HeartRateService

from hw_sim.radio.sensor_air import SensorAir
from hw_sim.sensors.heart_rate_strap import Beat
from hw_sim.sensors.peripheral import Peripheral

_PERIOD_S: Final = 1.0
_TICKS_PER_S: Final = 1024
_BEATS_A_PACKET_MAX: Final = 9  # what fits into the smallest packet beside flags, rate and energy


class BumbleStrap(Peripheral):
    """Worn from `begin_s` of the loop's time on, until its beats end. While `is_silent`, it sends nothing.

    Truth: `carried` are the beats that were sent over a link that carried them.
    """

    def __init__(self, air: SensorAir, address: str, beats: Iterator[float], *, begin_s: float) -> None:
        """`beats` are the intervals, in ms."""
        self._heart = HeartRateService(
            read_heart_rate_measurement=self._measure,
            body_sensor_location=HeartRateService.BodySensorLocation.WRIST,
            reset_energy_expended=lambda _: setattr(self, "_energy_kj", 0),
        )
        super().__init__(air, address, "Bumble Heart", self._heart, battery_pct=80)
        self._measurement = self._heart.heart_rate_measurement_characteristic
        self._beats = beats
        self._begin_s = begin_s
        self._elapsed_ms = 0.0
        self._energy_kj = 0
        self._next_ms = next(beats, None)
        self._waiting: deque[tuple[float, int]] = deque()
        self.carried: list[Beat] = []

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + _PERIOD_S, loop.time())
            await asyncio.sleep(due_s - loop.time())
            self._advance()
            if self.is_silent or not self.subscribed(self._measurement):
                self._waiting.clear()
            else:
                await self.device.notify_subscribers(self._measurement)

    def _advance(self) -> None:
        """Let the beats until now happen."""
        now_ms = 1000.0 * (asyncio.get_running_loop().time() - self._begin_s)
        while self._next_ms is not None and self._elapsed_ms + self._next_ms <= now_ms:
            before_ms, self._elapsed_ms = self._elapsed_ms, self._elapsed_ms + self._next_ms
            ticks = _ticks(self._elapsed_ms) - _ticks(before_ms)
            self._waiting.append((self._begin_s + self._elapsed_ms / 1000.0, ticks))
            self._next_ms = next(self._beats, None)

    def _measure(self, _: Connection) -> HeartRateService.HeartRateMeasurement:
        told = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BEATS_A_PACKET_MAX))]
        now_s = asyncio.get_running_loop().time()
        if self._air.carries(self.address):
            self.sent_s = now_s
            self.carried += [Beat(beat_s, now_s, ticks) for beat_s, ticks in told]
        self._energy_kj += len(told)
        rate_bpm = round(60 * _TICKS_PER_S * len(told) / sum(ticks for _, ticks in told)) if told else 60
        return HeartRateService.HeartRateMeasurement(
            heart_rate=rate_bpm,
            sensor_contact_detected=True,
            energy_expended=min(self._energy_kj, 0xFFFF),
            rr_intervals=[ticks / _TICKS_PER_S for _, ticks in told] or None,
        )


def _ticks(elapsed_ms: float) -> int:
    return round(elapsed_ms * _TICKS_PER_S / 1000.0)
