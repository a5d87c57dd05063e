"""How a link ends: the sensor hangs up or is out of reach, the machine's Bluetooth ends, it was silent too long, or a
person asks to pair.

Contract: the first cause stands. A timer looks when the newest packet came; so packets cost nothing.
"""

import asyncio
from collections.abc import Callable

from edge.clock import NS_PER_S, Clock, rest_s
from edge.errors import SensorLost
from edge.radio.link import Link
from edge.radio.staleness import RESUBSCRIBE_SHARE, Staleness
from edge.radio.trouble import Trouble


class Ending:
    """How a link ends: the system says that it dropped, it died with the system's Bluetooth, or was silent too long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # The cause is set as a result, not as an exception: asyncio complains about an exception that nobody reads.
        self.cause: asyncio.Future[SensorLost] = self._loop.create_future()

    def on_dropped(self) -> None:
        self._end(SensorLost("the sensor hung up or is out of reach", Trouble.LINK_DROPPED))

    def on_asked(self) -> None:
        self._end(SensorLost("somebody asks to pair it", Trouble.BOND_LOST))

    def on_ended(self, trouble: SensorLost) -> None:
        """The machine's Bluetooth has ended, and this link with it."""
        self._end(trouble)

    def _end(self, cause: SensorLost) -> None:
        if not self.cause.done():
            self.cause.set_result(cause)

    def watch(
        self, link: Link, clock: Clock, staleness: Staleness, on_stale: Callable[[float], None]
    ) -> None:
        """End the link after a long silence. A timer looks when the newest packet came; packets cost nothing.

        `on_stale` is called a while before, once in a silence.
        """
        asked_again_ns = -1  # for the silence that began then

        def look() -> None:
            nonlocal asked_again_ns
            stale_s, heard_ns = staleness.stale_s, link.heard_boot_ns
            silent_s = (clock.boot_ns() - heard_ns) / NS_PER_S
            due_s = RESUBSCRIBE_SHARE * stale_s
            if silent_s >= stale_s:
                staleness.on_silent()
                self._end(SensorLost(f"nothing was heard for {silent_s:.0f} s", Trouble.SILENT))
                return
            if silent_s >= due_s:
                due_s = stale_s
                if link.has_spoken and asked_again_ns != heard_ns:
                    asked_again_ns = heard_ns
                    on_stale(silent_s)
            self._timer = self._loop.call_later(rest_s(due_s, silent_s), look)

        look()

    def stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
