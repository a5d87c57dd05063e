"""Sensors behind the direct radio that mean harm, or are broken beyond what any maker sells.

Contract: each speaks as often and as wrong as it is told, for as long as it has a link, whoever listens. What it does
is the same in every run. What a gateway should make of it is not known here.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from random import Random
from typing import Final

from hw_sim.radio.direct_stack import DirectLink
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import cgm, racp, uuids
from protocols.cgm import CgmMeasurement
from protocols.racp import OpCode

TICK_S: Final = 0.1
ATT_OCTETS: Final = 244


class Flood:
    """Notifies one characteristic over a link, so many times a second, until the link ends or the time is up.

    Truth: `sent` counts what passed.
    """

    def __init__(self, characteristic: str, payloads: Iterator[bytes], per_s: float, lasts_s: float) -> None:
        self.sent = 0
        self._characteristic = characteristic
        self._payloads = payloads
        self._per_tick = round(per_s * TICK_S)
        self._ticks = round(lasts_s / TICK_S)

    def over(self, link: DirectLink) -> None:
        """Begin, or go on, over this link."""
        asyncio.get_running_loop().call_later(TICK_S, self._tick, link)

    def _tick(self, link: DirectLink) -> None:
        if not link.is_up or self._ticks <= 0:
            return
        self._ticks -= 1
        for _ in range(self._per_tick):
            self.sent += link.notify(self._characteristic, next(self._payloads))
        self.over(link)


class FloodingStrap(DirectStrap):
    """A strap that floods."""

    def __init__(self, address: str, flood: Flood) -> None:
        super().__init__(address)
        self.flood = flood

    def on_connected(self, link: DirectLink) -> None:
        super().on_connected(link)
        self.flood.over(link)


class FloodingCgm(WaywardCgm):
    """A CGM that floods."""

    def __init__(self, address: str, flood: Flood, *, began_s: float) -> None:
        super().__init__(address, began_s=began_s)
        self.flood = flood

    def on_connected(self, link: DirectLink) -> None:
        super().on_connected(link)
        self.flood.over(link)


class EndlessCgm(WaywardCgm):
    """A CGM whose reports never end: the same records come over and over again.

    Truth: `reports` counts those it was asked for, `told` the records.
    """

    def __init__(self, address: str, *, began_s: float, per_s: float) -> None:
        super().__init__(address, began_s=began_s)
        self.reports = self.told = 0
        self._record_period_s = 1.0 / per_s
        self._asked = 0

    def write(self, characteristic: str, payload: bytes) -> None:
        if characteristic != uuids.RACP or payload[:1] != bytes([OpCode.REPORT]):
            super().write(characteristic, payload)
            return
        self.reports += 1
        self._asked += 1
        self._go_on(self._link, self._asked, 0)

    def _go_on(self, link: DirectLink | None, asked: int, n: int) -> None:
        if link is None or not link.is_up or asked != self._asked:
            return
        stored = self.session.stored
        if stored:
            self.told += link.notify(uuids.CGM_MEASUREMENT, self.payload(stored[n % len(stored)]))
        asyncio.get_running_loop().call_later(self._record_period_s, self._go_on, link, asked, n + 1)


class LyingCgm(WaywardCgm):
    """A CGM whose values are of any length and content, each `every`-th time that one is read."""

    def __init__(self, address: str, *, began_s: float, every: int, seed: int) -> None:
        super().__init__(address, began_s=began_s)
        self._every = every
        self._rng = Random(seed)
        self._reads = 0

    def read(self, characteristic: str) -> bytes:
        self._reads += 1
        if self._reads % self._every:
            return super().read(characteristic)
        return self._rng.randbytes(self._rng.randrange(600))


def lying_records(seed: int) -> Iterator[bytes]:
    """Records whose size octet lies, in every way: nothing, too little, too much, several, and octets at random."""
    rng = Random(seed)
    made = cgm.encode_measurement(CgmMeasurement(100.0, 5), crc=True)
    shapes: tuple[Callable[[], bytes], ...] = (
        lambda: bytes([0]) + made[1:],
        lambda: bytes([rng.randrange(256)]) + made[1:],
        lambda: made + bytes([255]) + made,
        lambda: made[: rng.randrange(len(made))],
        lambda: bytes(ATT_OCTETS),
        lambda: b"\xff" * ATT_OCTETS,
        lambda: rng.randbytes(rng.randrange(600)),
    )
    while True:
        yield shapes[rng.randrange(len(shapes))]()


def lying_answers(seed: int) -> Iterator[bytes]:
    """What a control point never says."""
    rng = Random(seed)
    for n in count():
        yield bytes([n % 16]) + rng.randbytes(rng.randrange(30))


def answers_to_nothing() -> Iterator[bytes]:
    """Success, again and again."""
    while True:
        yield racp.encode_response(racp.ResponseCode(OpCode.REPORT, racp.Code.SUCCESS))
