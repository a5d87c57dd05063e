"""A CGM and a strap behind the direct radio that somebody wears: what they measure comes from a body or a recording.

Contract: as the sensors on the air that `hw_sim.scenario` makes, for one tenth of the time. A sensor measures from
`start` on. A CGM stores, and tells who listens; a strap tells once a second, and what nobody hears is lost.

Truth: of a CGM `measured`, and `told`: when a record passed to a process, and when it had been taken; of a strap
`carried`, and `told`: when a rate passed, and which.

Not here: links (`direct_stack`), what sensors do wrong (`wayward_cgm`).
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from hw_sim.radio.direct_stack import DirectLink, DirectStack
from hw_sim.sensors.cgm_sensor import Measured
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.heart_rate_strap import Beat
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import heart_rate, uuids
from protocols.cgm import CgmMeasurement

_PACKET_S: Final = 1.0
_AVERAGED_BEATS: Final = 8
_RR_MAX: Final = 9
_DAY_RECORDS: Final = 288
_LEAST_MG_DL: Final = 41.0
# A body that nobody has listened to for so long goes on from now: its beats need not be known.
_UNHEARD_S: Final = 10.0


class _OnStack:
    """A sensor that knows what it is behind."""

    address: str
    _stack: DirectStack

    @property
    def loses_answer(self) -> bool:
        """Whether the next answer to a request never comes."""
        return self.address in self._stack.loses_answer

    @loses_answer.setter
    def loses_answer(self, loses: bool) -> None:
        (self._stack.loses_answer.add if loses else self._stack.loses_answer.discard)(self.address)


class WornCgm(_OnStack, WaywardCgm):
    """Takes its first reading at `begin_s` of the loop's time. While `is_silent`, it stores, and tells nobody.

    In the next `corrupts` notifications one bit is wrong. The link fades in the next report after `drops_after`
    records. While it `is_off` it measures nothing. `moved_by` says by how much more it measures at a time than is worn.
    """

    is_silent = is_off = False
    corrupts = 0
    drops_after: int | None = None
    moved_by: Callable[[float], float] = staticmethod(lambda _: 0.0)

    def __init__(
        self,
        stack: DirectStack,
        address: str,
        readings: Iterator[tuple[float, float]],
        *,
        begin_s: float,
        session_age_s: float = 3600.0,
    ) -> None:
        """`readings` are the seconds since `begin_s`, and mg/dL."""
        super().__init__(address, began_s=begin_s - session_age_s)
        self._stack = stack
        self.measured: list[Measured] = []
        self.told: list[tuple[float, float]] = []
        self.worn = 0
        self._readings = readings
        self._begin_s = begin_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._await_reading()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def forget(self) -> None:
        """What was true is not asked for; it stores the last day."""
        self.measured.clear()
        self.told.clear()
        self.requests.clear()
        self._payloads.clear()
        self._told.clear()
        del self.session.stored[:-_DAY_RECORDS]

    def replace(self) -> None:
        """A new sensor is put on, at the same transmitter."""
        self.worn += 1
        self.begin_session()

    def babble(self, payload: bytes) -> None:
        """Notify whoever listens to what it measures of something else."""
        if self._link is not None:
            self._link.notify(uuids.CGM_MEASUREMENT, payload)

    def _await_reading(self) -> None:
        for t_s, glucose_mg_dl in self._readings:
            due_s = max(self._begin_s + t_s, asyncio.get_running_loop().time())
            self._timer = asyncio.get_running_loop().call_at(due_s, self._measure, due_s, glucose_mg_dl)
            return

    def _measure(self, due_s: float, glucose_mg_dl: float) -> None:
        if not self.is_off:
            by_mg_dl = self.moved_by(due_s)
            value_mg_dl = glucose_mg_dl
            if by_mg_dl and math.isfinite(glucose_mg_dl):
                # Above 204.7 a packet has whole mg/dL.
                value_mg_dl = max(_LEAST_MG_DL, float(round(glucose_mg_dl + by_mg_dl)))
            record = self.take(value_mg_dl, times_told=0 if self.is_silent else 1)
            if record is not None:
                self.measured.append(Measured(due_s, self.worn, record))
        self._await_reading()

    def payload(self, record: CgmMeasurement) -> bytes:
        payload = super().payload(record)
        # A checksum finds it.
        return bytes([*payload[:2], payload[2] ^ 1, *payload[3:]]) if self.corrupts else payload

    def _send(self, records: Sequence[CgmMeasurement]) -> bool:
        if self._report is not None and self.drops_after is not None:
            self.drops_after -= 1
            if self.drops_after < 0 and self._link is not None:
                self.drops_after = None
                self._link.cut()
        passed = super()._send(records)
        if passed and self.corrupts:
            self.corrupts -= 1
        elif passed:
            now_s = asyncio.get_running_loop().time()
            self.told += [(now_s, self.session.began_s + 60.0 * one.time_offset_min) for one in records]
        return passed


class WornStrap(_OnStack, DirectStrap):
    """Worn from `begin_s` of the loop's time on, until its beats end. While `is_silent`, it sends nothing."""

    is_silent = False

    def __init__(
        self, stack: DirectStack, address: str, beats: Iterator[float], *, begin_s: float, end_s: float
    ) -> None:
        """`beats` are the intervals in ms; from `end_s` on it is not worn."""
        super().__init__(address)
        self._stack = stack
        self.carried: list[Beat] = []
        self.told: list[tuple[float, float]] = []
        self._beats = beats
        self._beat_s = begin_s
        self._end_s = end_s
        self._tick = round(begin_s * heart_rate.RR_TICKS_PER_S)
        self._waiting: deque[tuple[float, int]] = deque()
        self._recent: deque[int] = deque(maxlen=_AVERAGED_BEATS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """It wakes when somebody connects."""

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def babble(self, payload: bytes) -> None:
        """Notify whoever listens to what it measures of something else."""
        if self._link is not None:
            self._link.notify(uuids.HEART_RATE_MEASUREMENT, payload)

    def forget(self) -> None:
        """What was true is not asked for."""
        self.carried.clear()
        self.told.clear()

    def on_connected(self, link: DirectLink) -> None:
        super().on_connected(link)
        self._await_packet()

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self.stop()

    def _await_packet(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_PACKET_S, self._tell)

    def _tell(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self._advance(now_s)
        waiting = [self._waiting.popleft() for _ in range(min(_RR_MAX, len(self._waiting)))]
        if not self.is_silent:
            bpm = self._bpm(now_s)
            ticks = tuple(tick for _, tick in waiting) or None
            packet = heart_rate.HeartRateMeasurement(bpm, contact=bpm > 0, rr_ticks=ticks)
            if self.send(heart_rate.encode(packet)):
                self.carried += [Beat(beat_s, now_s, tick) for beat_s, tick in waiting]
                self.told.append((now_s, float(bpm)))
        # A packet may have ended the link.
        if self._link is not None:
            self._await_packet()

    def _bpm(self, now_s: float) -> int:
        """The rate that it tells; 0 while nobody wears it."""
        if now_s >= self._end_s or not self._recent:
            return 0
        return round(60 * heart_rate.RR_TICKS_PER_S * len(self._recent) / sum(self._recent))

    def _advance(self, now_s: float) -> None:
        """Let the beats until now happen. An interval is the difference of two rounded times."""
        if now_s - self._beat_s > _UNHEARD_S:
            self._beat_s = now_s - _PACKET_S if now_s < self._end_s else math.inf
            self._tick = round((now_s - _PACKET_S) * heart_rate.RR_TICKS_PER_S)
            self._waiting.clear()
        while self._beat_s <= min(now_s, self._end_s):
            tick = round(self._beat_s * heart_rate.RR_TICKS_PER_S)
            if tick > self._tick:
                self._waiting.append((self._beat_s, tick - self._tick))
                self._recent.append(tick - self._tick)
            self._tick = tick
            self._beat_s += next(self._beats) / 1000
