"""Keeps the contact with a sensor that tells everything in its advertisements: nobody connects to it.

Contract: while this runs, the radio's one scan runs, except while another sensor is connected. What fits the sensor is
stamped and put into the inbox unless it was there before. Data are fresh for `stale_s` after something could be read. A
device that the system only remembers does not count as heard: `adapter` passes on what was heard, and a payload counts
once.

    phase     | event                                            | then
    ----------|--------------------------------------------------|----------------------------------------------------
    waiting   | the pause is over                                | searching
    searching | something could be read                          | streaming
    streaming | nothing could be read for `stale_s`              | searching
    any       | the system does not let us listen                | waiting, trouble as of a search

    searching for `SEARCH_S_MAX`, and | trouble
    ----------------------------------|----------------------------------------------------------------
    the sensor was heard              | NO_DATA; of one that is away most of the time, if it cannot be read
    only others were heard            | NOT_HEARD, unless it is a sensor that is away most of the time
    nothing was heard                 | NOTHING_HEARD, likewise
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from edge.clock import NS_PER_S, Clock, rest_s
from edge.contact import ContactState, Phase, forget_the_machine
from edge.errors import SensorLost
from edge.radio import diagnosis
from edge.radio.adapter import Radio
from edge.radio.advertisements import News, Sought, parts
from edge.radio.diagnosis import FORESEEN, diagnose
from edge.radio.inbox import Inbox, Notification
from edge.radio.trouble import Trouble
from edge.sensors.sensor import Advertised

log = logging.getLogger(__name__)

SEARCH_S_MAX: Final = 120.0
# The pause before listening is tried again.
STEADY_S: Final = 5.0
# What came is read by then; and a flood is looked at no more often.
READ_S: Final = 1.0


@dataclass
class Listening:
    """The loop of one sensor."""

    sensor: Advertised
    radio: Radio
    inbox: Inbox
    clock: Clock
    state: ContactState = field(default_factory=ContactState)
    news: News = field(default_factory=News, init=False)
    _link: int = field(default=0, init=False)
    _records: int = field(default=0, init=False)
    _heard_boot_ns: int | None = field(default=None, init=False)
    # When something could be read last, or listening began; and when it was said last why nothing can.
    _read_boot_ns: int = field(default=0, init=False)
    _doubt_boot_ns: int = field(default=0, init=False)
    _told: Trouble | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._sought = Sought(self.sensor.kind.found_by, self.sensor.config.address)

    async def run(self) -> None:
        """Run until cancelled."""
        self._link = self.inbox.open_link(self.sensor.config.id)
        while True:
            try:
                await self._listen()
            except FORESEEN as error:
                self._note(error)
                self.state.phase = Phase.WAITING
            await self.radio.health.rest(STEADY_S)

    async def _listen(self) -> None:
        self.state.phase = Phase.SEARCHING
        self._read_boot_ns = self._doubt_boot_ns = self.clock.boot_ns()
        kind = self.sensor.kind
        async with self.radio.listen(
            self.hear, is_awaited=kind.stays, wants_passive=kind.answer_hides
        ) as hearing:
            forget_the_machine(self.state)
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rest_s()):
                        await hearing.wait()
                await asyncio.sleep(READ_S)
                self._look()

    # What is heard

    def hear(self, device: BLEDevice, advertisement: AdvertisementData) -> bool:
        """An advertisement was heard; whether it brought something new of this sensor."""
        config, kind = self.sensor.config, self.sensor.kind
        if not self._sought.is_it(device.address, advertisement.local_name):
            return False
        self._heard_boot_ns = boot_ns = self.clock.boot_ns()
        found = False
        for part, payload in parts(advertisement):
            if part in kind.advertised and self.news.is_new(part, payload, boot_ns / NS_PER_S):
                self.inbox.put(Notification(config.id, self._link, part, boot_ns, payload))
                found = True
        return found

    # What follows from it

    def _rest_s(self) -> float:
        """How long until there is something to say even if nothing new comes."""
        if self.state.phase is Phase.STREAMING:
            return rest_s(self.sensor.stale_s, self._s_since(self._read_boot_ns))
        return rest_s(SEARCH_S_MAX, self._s_since(self._doubt_boot_ns))

    def _s_since(self, boot_ns: int) -> float:
        return (self.clock.boot_ns() - boot_ns) / NS_PER_S

    def _look(self) -> None:
        records, state = self.sensor.live().records, self.state
        if records > self._records:
            self._records, self._read_boot_ns = records, self.clock.boot_ns()
            self._stream()
        elif state.phase is Phase.STREAMING and self._s_since(self._read_boot_ns) >= self.sensor.stale_s:
            state.phase = Phase.SEARCHING
            state.losses += 1
            self._doubt()
        elif state.phase is Phase.SEARCHING and self._s_since(self._doubt_boot_ns) >= SEARCH_S_MAX:
            self._doubt()

    def _stream(self) -> None:
        if self.state.phase is not Phase.STREAMING:
            self.state.phase = Phase.STREAMING
            self.state.connects += 1
            self._told = None
            log.info("%s: its advertisements are read", self.sensor.config.id)

    def _doubt(self) -> None:
        """Say why nothing can be read, as far as that can be told."""
        self._doubt_boot_ns = self.clock.boot_ns()
        listened = f"nothing read for {self._s_since(self._read_boot_ns) / 60:.0f} min"
        is_heard = self._heard_boot_ns is not None and self._s_since(self._heard_boot_ns) <= SEARCH_S_MAX
        others = self.radio.heard_within(SEARCH_S_MAX)
        stays, why_not = self.sensor.kind.stays, self.sensor.why_not
        if is_heard and (stays or why_not):
            self._note(SensorLost(f"{listened}; {why_not}" if why_not else listened, Trouble.NO_DATA))
        elif not stays:
            self.state.trouble = None
        elif others:
            self._note(SensorLost(f"{listened}; {others} other devices were heard", Trouble.NOT_HEARD))
        else:
            self._note(SensorLost(listened, Trouble.NOTHING_HEARD))

    def _note(self, error: Exception) -> None:
        """Keep a trouble for the status page, and log it if it was not the one before."""
        trouble, detail = diagnose(error, diagnosis.SEARCHING)
        state = self.state
        state.trouble, state.detail, state.trouble_boot_ns = trouble, detail, self.clock.boot_ns()
        if trouble is not self._told:
            self._told = trouble
            log.warning("%s: %s: %s; %s", self.sensor.config.id, trouble.cause, detail, trouble.remedy)
