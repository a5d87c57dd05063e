"""Keeps one sensor connected for years: searches, connects, converses, notices silence, pauses, and begins again.

Contract: what is said to a sensor is decided by the code for its kind (`edge.sensors`); the bytes that arrive go to the
inbox unchanged. Every failure is shown as a `Trouble` in the state. So is a search without success after
`SEARCH_S_MAX`, but that search goes on. A link over which nothing came for longer than `staleness` says is treated as
lost; a while before, what was subscribed to is subscribed to once more. A session that is cancelled leaves no
connection and no search behind.

A sensor that does not stay (`Kind.stays`) is away most of the time. That is no trouble, and its search says nothing.
When it has delivered, or hangs up after it has spoken, the link has done what it was for: that is no loss, and ends the
trouble that was there. If such a contact brought nothing new, the pause doubles, too, because there are devices that
advertise all the time; it starts again from the shortest once the sensor was away.

BlueZ may say that it knows all services of a sensor before it has told them. So a sensor is of the wrong kind only if
more than `LATE_MAX` links in a row lacked something, and never if it once was whole.

    phase        event    then
    waiting      rested   searching
    searching    found    connecting   it was heard, or the system is connected to it already
    searching    ended    waiting      the system does not let us search
    connecting   linked   settling     connected, and paired where its kind demands it
    connecting   ended    waiting
    settling     heard    streaming    the first packet of the link
    settling     ended    closing      the link dropped, was silent too long, or the conversation failed
    streaming    ended    closing
    closing      closed   waiting

The pause before the next attempt (the back-off) depends on the trouble. It is steady, or it doubles each time, from
`backoff_s_min` to `backoff_s_max`; chance shortens each pause by up to half, and none goes on when the machine's
Bluetooth is back. A growing pause starts again from the shortest after a link that brought a packet or held for
`HELD_S`, and after a trouble with a steady pause.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any, Final, NamedTuple

from edge.clock import NS_PER_S, Clock
from edge.config import Limits
from edge.contact import ContactState, Phase, forget_the_machine
from edge.errors import SensorLost
from edge.radio import diagnosis
from edge.radio.adapter import Radio
from edge.radio.deadline import leave
from edge.radio.diagnosis import FORESEEN, Doing, diagnose
from edge.radio.ending import Ending
from edge.radio.inbox import Inbox
from edge.radio.link import Link
from edge.radio.pairing.bond import Bond
from edge.radio.recovery import Rung, is_stale
from edge.radio.search import Found, Search
from edge.radio.staleness import Staleness
from edge.radio.trouble import Pause, Trouble
from edge.sensors.sensor import Connected

log = logging.getLogger(__name__)

# Who has just switched a sensor on wants to know soon why it does not come.
SEARCH_S_MAX: Final = 20.0
HELD_S: Final = 30.0
# A sensor that does not stay and was searched for so long was away.
AWAY_S: Final = 30.0
# The steady pause, for a trouble that may end at any moment.
STEADY_S: Final = 5.0
# A trouble that did not come for this long is logged as if it were new.
NEWS_S: Final = 3600.0

LATE_MAX: Final = 2  # links in a row that may lack what BlueZ tells too late

_BROKEN_OFF: Final = SensorLost("the conversation was broken off")


class Event(Enum):
    """What moves a session from phase to phase."""

    RESTED = auto()
    FOUND = auto()
    LINKED = auto()
    HEARD = auto()
    ENDED = auto()
    CLOSED = auto()


NEXT: Final = {
    (Phase.WAITING, Event.RESTED): Phase.SEARCHING,
    (Phase.SEARCHING, Event.FOUND): Phase.CONNECTING,
    (Phase.SEARCHING, Event.ENDED): Phase.WAITING,
    (Phase.CONNECTING, Event.LINKED): Phase.SETTLING,
    (Phase.CONNECTING, Event.ENDED): Phase.WAITING,
    (Phase.SETTLING, Event.HEARD): Phase.STREAMING,
    (Phase.SETTLING, Event.ENDED): Phase.CLOSING,
    (Phase.STREAMING, Event.ENDED): Phase.CLOSING,
    (Phase.CLOSING, Event.CLOSED): Phase.WAITING,
}


class _Told(NamedTuple):
    """How often a trouble has been noted, and when last."""

    times: int
    boot_ns: int


@dataclass
class Session:
    """The loop of one sensor."""

    sensor: Connected
    radio: Radio
    inbox: Inbox
    clock: Clock
    limits: Limits
    rng: random.Random
    bond: Bond | None = None
    state: ContactState = field(default_factory=ContactState)
    staleness: Staleness = field(init=False)
    _pause_s: float = field(default=0.0, init=False)
    _takes_no_connection: bool = field(default=False, init=False)
    _distrusts_held: bool = field(default=False, init=False)
    # It has refused what it was asked over a link that was not paired.
    _must_pair: bool = field(default=False, init=False)
    _heard_boot_ns: int | None = field(default=None, init=False)  # when the newest packet of any link came
    # Whether the next connection is logged.
    _is_news: bool = field(default=True, init=False)
    # How many links in a row could not be made, or brought nothing.
    _fruitless: int = field(default=0, init=False)
    # How many links in a row lacked what the kind must have, and whether one ever had it.
    _lacking: int = field(default=0, init=False)
    _was_whole: bool = field(default=False, init=False)
    _told: dict[Trouble, _Told] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        sensor = self.sensor
        self.staleness = Staleness(sensor.stale_s, is_fixed=sensor.config.stale_s is not None)

    async def run(self) -> None:
        """Run until cancelled."""
        self._pause_s = self.limits.backoff_s_min
        while True:
            self._on(Event.RESTED)
            trouble = await self._live_once()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # Being cancelled may have come out of the lost link as another error.
                raise asyncio.CancelledError
            if trouble is not None:
                await self._climb(trouble)
            await self._rest(self.rng.uniform(0.5, 1.0) * self._next_pause_s(trouble))

    def _on(self, event: Event) -> None:
        self.state.phase = NEXT[self.state.phase, event]

    async def _live_once(self) -> Trouble | None:
        """One round, from the search to the end of the link; returns what ended it, None if it was not to go on."""
        doing, is_held = diagnosis.SEARCHING, False
        searching_s = asyncio.get_running_loop().time()
        try:
            found = await self._search()
            self._on(Event.FOUND)
            if not self.sensor.kind.stays and asyncio.get_running_loop().time() - searching_s >= AWAY_S:
                self._pause_s = self.limits.backoff_s_min
            is_held = found.is_held
            # One that was used and is gone again answers as little as one that another holds.
            may_be_gone = is_held or not self.sensor.kind.stays
            doing = diagnosis.TAKING_OVER if may_be_gone else diagnosis.CONNECTING
            ending = Ending()
            link = await self._connect(found, ending)
        except FORESEEN as error:
            failed = self._note(error, doing)
            self._takes_no_connection |= failed in (Trouble.HELD_ELSEWHERE, Trouble.CONNECT_FAILED)
            self._distrusts_held = is_held
            self._fruitless += doing is not diagnosis.SEARCHING
            self._on(Event.ENDED)
            return failed
        try:
            with self.radio.health.told(ending.on_ended, found.adapter):
                ended = await self._hold(link, ending)
            trouble = None if ended is None else self._note(ended, diagnosis.CONVERSING)
        finally:
            self._on(Event.ENDED)
            is_closed = await link.close()
            self.radio.on_hung_up(self.sensor.config.address)
            self._on(Event.CLOSED)
        if link.has_spoken:
            self._heard_boot_ns = link.heard_boot_ns
        self._distrusts_held = found.is_held and not link.has_spoken
        self._fruitless = 0 if link.has_spoken or trouble is None else self._fruitless + 1
        is_lacking = trouble in (Trouble.SERVICES_MISSING, Trouble.WRONG_KIND)
        self._lacking = self._lacking + 1 if is_lacking else 0
        self._was_whole |= link.has_spoken and not is_lacking
        if not is_closed:
            return self._note(
                SensorLost("hanging up does not end", Trouble.SERVICE_SILENT), diagnosis.CONVERSING
            )
        if trouble is None:
            self.state.trouble = self.state.detail = self.state.trouble_boot_ns = None
        self._must_pair |= trouble is Trouble.PAIRING_FAILED
        return trouble

    # Searching

    async def _search(self) -> Found:
        address, service = self.sensor.config.address, self.sensor.kind.service
        async with self.radio.search(
            address,
            service,
            distrusts_held=self._distrusts_held,
            is_awaited=self.sensor.kind.stays,
        ) as search:
            forget_the_machine(self.state)
            while (found := await search.wait(SEARCH_S_MAX)) is None:
                if self.sensor.kind.stays:
                    self._note(self._doubt(search), diagnosis.SEARCHING)
            return found

    def _doubt(self, search: Search) -> SensorLost:
        """Why the sensor is not found, as far as that can be told."""
        searched = f"searched for {_duration(search.age_s)}"
        silent_s = self._silent_s(search)
        if silent_s is not None:
            searched += f", last heard {_duration(silent_s)} ago"
        if self._takes_no_connection and search.silent_s is not None:
            return SensorLost(f"{searched}; then it took no connection", Trouble.HELD_ELSEWHERE)
        if search.others == 0:
            return SensorLost(searched, Trouble.NOTHING_HEARD)
        return SensorLost(f"{searched}; {search.others} other devices were heard", Trouble.NOT_HEARD)

    def _silent_s(self, search: Search) -> float | None:
        """How long ago it was heard last, by an advertisement or over a link; None if never."""
        if self._heard_boot_ns is None:
            return search.silent_s
        since_link_s = (self.clock.boot_ns() - self._heard_boot_ns) / NS_PER_S
        return since_link_s if search.silent_s is None else min(since_link_s, search.silent_s)

    # Connecting

    def _bond_in_use(self) -> Bond | None:
        """The bond, if the sensor's kind demands one, the sensor does, or a person."""
        bond = self.bond
        return bond if bond and (self.sensor.kind.pairs or self._must_pair or bond.is_asked) else None

    async def _connect(self, found: Found, ending: "Ending") -> Link:
        limits = self.limits
        client = await self.radio.connect(
            found.device,
            ending.on_dropped,
            limits.connect_timeout_s,
            self._bond_in_use(),
            adapter=found.adapter,
        )
        sensor_id = self.sensor.config.id
        link = Link(
            client,
            sensor_id,
            self.inbox,
            self.clock,
            limits.gatt_timeout_s,
            self._on_first_packet,
            self.staleness.on_gap,
            self.staleness.gap_s_min,
        )
        self._on(Event.LINKED)
        self._takes_no_connection = False
        self.state.connects += 1
        self.state.adopted += found.is_held
        if self._is_news:
            how = "took over a link that was left behind" if found.is_held else "connected"
            log.info("%s: %s", sensor_id, how)
        self._is_news = False
        return link

    def _on_first_packet(self) -> None:
        self._on(Event.HEARD)
        if self.sensor.kind.stays:
            self._pause_s = self.limits.backoff_s_min
        self.radio.on_data()

    # Connected

    async def _hold(self, link: Link, ending: "Ending") -> Exception | None:
        """Converse until the link ends; returns what ended it, None if it has done what it was for."""
        stays, is_delivered = self.sensor.kind.stays, False
        records = 0 if stays else self.sensor.live().records
        opened_s = asyncio.get_running_loop().time()
        ending.watch(link, self.clock, self.staleness, partial(self._resubscribe, link))
        # No task group: before Python 3.13, one that fails while it is being cancelled forgets the cancellation.
        conversing = asyncio.ensure_future(self._converse(link, ending))
        leave(conversing)
        try:
            either: set[asyncio.Future[Any]] = {conversing, ending.cause}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if conversing.done() and _failure(conversing) is None and stays:
                await asyncio.wait({ending.cause})
            is_delivered = not stays and self._has_delivered(link, conversing)
        finally:
            ending.stop_watching()
            conversing.cancel()
            await asyncio.wait({conversing})
        if is_delivered:
            if self.sensor.live().records > records:
                self._pause_s = self.limits.backoff_s_min
            return None
        self.state.losses += 1
        if asyncio.get_running_loop().time() - opened_s >= HELD_S:
            self._pause_s = self.limits.backoff_s_min
        failure = _failure(conversing)
        if failure is not None and not isinstance(failure, FORESEEN):
            raise failure
        # If the link was lost, the error of the conversation says less than the loss itself.
        return ending.cause.result() if ending.cause.done() else failure or _BROKEN_OFF

    def _has_delivered(self, link: Link, conversing: "asyncio.Task[None]") -> bool:
        """Whether the sensor had nothing more to say, and was not cut off while it reported."""
        if conversing.done():
            return _failure(conversing) is None
        return link.has_spoken and not self.sensor.live().is_catching_up

    async def _converse(self, link: Link, ending: "Ending") -> None:
        """Say nothing over a link that is not safe."""
        bond = self._bond_in_use()
        if bond is not None:
            bond.interrupt = ending.on_asked
            await bond.check(link)
        await self.sensor.converse(link)

    def _resubscribe(self, link: Link, silent_s: float) -> None:
        log.info(
            "%s: nothing was heard for %.0f s; its notifications are asked for again",
            link.sensor_id,
            silent_s,
        )
        leave(asyncio.ensure_future(link.resubscribe()))
        self.radio.count_rung(Rung.RESUBSCRIBE, link.sensor_id, f"nothing was heard for {silent_s:.0f} s")

    async def _climb(self, trouble: Trouble) -> None:
        """Take the sensor's own rungs of the recovery ladder. The next round is the second: it connects anew."""
        config, reason = self.sensor.config, self.state.detail or trouble.cause
        if trouble is Trouble.SILENT:
            self.radio.count_rung(Rung.RECONNECT, config.id, reason)
        if is_stale(trouble, self._fruitless):
            await self.radio.drop(config.id, config.address, reason)

    # After a link, or a failure

    async def _rest(self, pause_s: float) -> None:
        """Pause. The machine's Bluetooth that is back ends it, and a person who asks to pair."""
        if self.bond is None:
            await self.radio.health.rest(pause_s)
            return
        asked = asyncio.Event()
        self.bond.interrupt = asked.set
        either = {
            asyncio.ensure_future(self.radio.health.rest(self.bond.next_pause_s(pause_s))),
            asyncio.ensure_future(asked.wait()),
        }
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in either:
                one.cancel()
            await asyncio.wait(either)

    def _next_pause_s(self, trouble: Trouble | None) -> float:
        if trouble is not None and trouble.pause is Pause.STEADY:
            self._pause_s = self.limits.backoff_s_min
            return min(STEADY_S, self.limits.backoff_s_max)
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self.limits.backoff_s_max)
        return pause_s

    def _note(self, error: Exception, doing: Doing) -> Trouble:
        """Keep a trouble for the status page, and log the 1st, 10th, 100th time that it comes."""
        trouble, detail = diagnose(error, doing)
        if trouble is Trouble.WRONG_KIND and (self._was_whole or self._lacking < LATE_MAX):
            trouble = Trouble.SERVICES_MISSING
        state, now_ns = self.state, self.clock.boot_ns()
        state.trouble, state.detail, state.trouble_boot_ns = trouble, detail, now_ns
        told = self._told.get(trouble)
        is_new = told is None or now_ns - told.boot_ns > NEWS_S * NS_PER_S
        times = 1 if told is None or is_new else told.times + 1
        self._told[trouble] = _Told(times, now_ns)
        if times == 10 ** (len(str(times)) - 1):
            self._is_news = True
            what = f"{trouble.cause}: {detail}" + (f" ({times} times)" if times > 1 else "")
            log.warning("%s: %s; %s", self.sensor.config.id, what, trouble.remedy)
        return trouble


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120.0 else f"{seconds / 60.0:.0f} min"


def _failure(task: "asyncio.Task[None]") -> Exception | None:
    """Why a task failed; None if it did not."""
    error = _BROKEN_OFF if task.cancelled() else task.exception()
    return error if isinstance(error, Exception) else None
