"""From the inbox to the sensors, one notification at a time, everything in between an ordinary call.

Bytes that make no sense are counted and dropped; the link they came over stays. What is left over from a link that was
replaced is counted and dropped too: its times and answers mean nothing on the new one.
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

# A full inbox must not hold up alerts and links: after so long the rest of the loop has its turn.
TURN_NS = 10_000_000


class Intake:
    """Hands each notification to its sensor."""

    def __init__(
        self, inbox: Inbox, take: Mapping[str, Callable[[Notification], None]], clock: Clock
    ) -> None:
        """`take`: what takes a sensor's notifications, by the sensor's id; DecodeError for what makes no sense."""
        self._inbox = inbox
        self._take = take
        self._clock = clock
        self.undecodable: Counter[str] = Counter()
        self.leftovers: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled; raises what a sensor's `take` raised that is no DecodeError."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        # A callback, and no task that waits: packets come by the second for years, and to wake a task costs more.
        self._inbox.on_filled = partial(loop.call_soon, self._drain, ended)
        self._drain(ended)
        try:
            await ended
        finally:
            self._inbox.on_filled = lambda: None

    def _drain(self, ended: "asyncio.Future[None]") -> None:
        """Process what has come, for one turn; what is left is for the next."""
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
            # A sensor may send rubbish for days: the 1st, 10th, 100th is worth a line. The bytes are health
            # data and stay out of the log.
            if count == 10 ** (len(str(count)) - 1):
                what = f"{error.characteristic}: {error.reason}"
                log.warning("%s: packet dropped, %d so far: %s", sensor_id, count, what)
