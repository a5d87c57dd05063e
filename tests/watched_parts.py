"""A strap, a machine whose Bluetooth is watched and mended, and a session that runs, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

from radio_parts import DirectWorld, Talker, end, now_s, start, until

from edge.config_radio import RadioUse
from edge.radio.adapter import Radio, System
from edge.radio.bluez.mending import Mending
from edge.radio.session import Session
from hw_sim.clock import run
from hw_sim.sensors.direct_strap import DirectStrap

CGM_STALE_S = 900.0
PACKET = bytes((0, 72))


class Watched(DirectWorld):
    """A strap that sends once a minute, a watched machine, and a session that runs."""

    def __init__(self, *, reboot: bool = False) -> None:
        super().__init__(connect_s=0.5, request_s=0.05)
        self.bluetoothd = self.stack.bluetoothd
        self.bluetoothd.refuses = {"RestartUnit", "reset"}
        self.radio = Radio(
            *self.backends, System(self.bluetoothd.new_bus, self.bluetoothd.reset), RadioUse(reboot=reboot)
        )
        self.live: Session = self.session(Talker(stale_s=CGM_STALE_S), self.radio)
        self.is_sending = True
        self.tasks = [
            start(self.live),
            asyncio.ensure_future(self.radio.run()),
            asyncio.ensure_future(self._send()),
        ]

    async def _send(self) -> None:
        while True:
            if self.is_sending:
                self.strap.send(PACKET)
            await asyncio.sleep(1)

    @property
    def mending(self) -> Mending:
        assert self.radio.mending is not None
        return self.radio.mending

    def stranger(self) -> None:
        """Another device is in reach, and stays there."""
        self.stack.add(DirectStrap("F0:00:00:00:00:99"))

    def hear_stranger(self) -> None:
        """Another device was heard before."""
        self.radio.evidence.on_heard(is_stranger=True)

    async def close(self) -> None:
        for task in self.tasks[1:]:
            task.cancel()
        await asyncio.wait(self.tasks[1:])
        await end(self.tasks[0], 60)

    async def until_data(self, limit_s: float) -> float:
        """How long it takes until a packet gets through."""
        self.inbox.queue.clear()
        began_s = now_s()
        async with asyncio.timeout(limit_s):
            while not self.inbox.queue:
                await asyncio.sleep(0.1)
        return now_s() - began_s


def watched(scene: Callable[[Watched], Awaitable[None]], *, reboot: bool = False) -> None:
    """Play a scene that begins when data have flowed for a while."""

    async def main() -> None:
        w = Watched(reboot=reboot)
        await until(w.live.state, "streaming", 10)
        await asyncio.sleep(100)
        await scene(w)
        await w.close()

    run(main())
