"""From the inbox to the sensors, one notification at a time, everything in between an ordinary call.

Bytes that make no sense are counted and dropped; the link they came over stays.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from edge.inbox import Inbox, Notification
from edge.session import Sensor
from protocols.errors import DecodeError

log = logging.getLogger(__name__)


class Pipeline:
    """Hands each notification to its sensor."""

    def __init__(self, inbox: Inbox, sensors: Mapping[str, Sensor]) -> None:
        self._inbox = inbox
        self._sensors = sensors
        self.undecodable: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            self.process(await self._inbox.get())
            # A full inbox must not hold up alerts and links: one notification for each turn of the loop.
            await asyncio.sleep(0)

    def process(self, notification: Notification) -> None:
        try:
            self._sensors[notification.sensor_id].take(notification)
        except DecodeError as error:
            self.undecodable[notification.sensor_id] += 1
            count = self.undecodable[notification.sensor_id]
            # A sensor may send rubbish for days: the 1st, 10th, 100th is worth a line. The bytes are health
            # data and stay out of the log.
            if count == 10 ** (len(str(count)) - 1):
                what = f"{error.characteristic}: {error.reason}"
                log.warning("%s: packet dropped, %d so far: %s", notification.sensor_id, count, what)
