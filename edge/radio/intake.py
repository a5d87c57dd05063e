"""Takes notifications from the inbox, one at a time, and hands each to its sensor by an ordinary function call.

A packet that cannot be decoded is dropped and counted; its link stays. A packet left over from an earlier link is
dropped and counted, too: its times and answers mean nothing on the new link.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from edge.clock import Clock
from edge.radio.inbox import Inbox, Notification
from protocols.errors import DecodeError

log = logging.getLogger(__name__)

# A full inbox must not delay alerts and links: after this time the other tasks of the event loop get their turn.
TURN_NS = 10_000_000


class Intake:
    """Hands each notification to its sensor."""

    def __init__(
        self, inbox: Inbox, take: Mapping[str, Callable[[Notification], None]], clock: Clock
    ) -> None:
        """`take`: by a sensor's id, the function that takes its notifications; it raises DecodeError if it cannot."""
        self._inbox = inbox
        self._take = take
        self._clock = clock
        self.undecodable: Counter[str] = Counter()
        self.leftovers: Counter[str] = Counter()

    async def run(self) -> None:
        """Run until cancelled. If a sensor's `take` raises anything but a DecodeError, this raises it, too."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        # A callback costs less than waking a task, and packets come every second for years.
        self._inbox.on_filled = partial(loop.call_soon, self._drain, ended)
        self._drain(ended)
        try:
            await ended
        finally:
            self._inbox.on_filled = lambda: None

    def _drain(self, ended: "asyncio.Future[None]") -> None:
        """Process notifications for `TURN_NS`; the rest is left for the next turn."""
        queue = self._inbox.queue
        until_ns = self._clock.boot_ns() + TURN_NS if len(queue) > 1 else 0
        try:
            while queue and not ended.done():
                self.process(queue.popleft())
                if queue and self._clock.boot_ns() >= until_ns:
                    asyncio.get_running_loop().call_soon(self._drain, ended)
                    return
        except BaseException as defect:
            ended.set_exception(defect)
            raise

    def process(self, notification: Notification) -> None:
        sensor_id = notification.sensor_id
        if notification.link != self._inbox.newest_link.get(sensor_id):
            self.leftovers[sensor_id] += 1
            return
        try:
            self._take[sensor_id](notification)
        except DecodeError as error:
            self.undecodable[sensor_id] += 1
            count = self.undecodable[sensor_id]
            # A sensor may send rubbish for days: log the 1st, 10th, 100th. The bytes are health data and stay out
            # of the log.
            if count == 10 ** (len(str(count)) - 1):
                what = f"{error.characteristic}: {error.reason}"
                log.warning("%s: packet dropped, %d so far: %s", sensor_id, count, what)
