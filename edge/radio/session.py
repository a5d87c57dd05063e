"""Keeps one sensor connected for years: searches, connects, converses, notices silence, pauses, and begins again.

Contract: what is said to a sensor is decided by the code for its kind (`edge.sensors`); the bytes that arrive go to the
inbox unchanged. Every failure is shown as a `Trouble` in the state. So is a search without success after
`SEARCH_S_MAX`, but that search goes on. A link over which nothing came for `stale_s` is treated as lost. A session that
is cancelled leaves no connection and no search behind.

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
`backoff_s_min` to `backoff_s_max`; chance shortens each pause by up to half. A growing pause starts again from the
shortest after a link that brought a packet or held for `HELD_S`, and after a trouble with a steady pause.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, Final, NamedTuple

from edge.clock import NS_PER_S, Clock, rest_s
from edge.config import Limits
from edge.errors import SensorLost
from edge.radio import diagnosis
from edge.radio.adapter import Found, Radio, Search
from edge.radio.deadline import leave
from edge.radio.diagnosis import FORESEEN, Doing, diagnose
from edge.radio.inbox import Inbox
from edge.radio.link import Link
from edge.radio.trouble import Pause, Trouble
from edge.sensors.sensor import Sensor

log = logging.getLogger(__name__)

SEARCH_S_MAX: Final = 120.0
HELD_S: Final = 30.0
# The steady pause, for a trouble that may end at any moment.
STEADY_S: Final = 5.0
# A trouble that did not come for this long is logged as if it were new.
NEWS_S: Final = 3600.0

_BROKEN_OFF: Final = SensorLost("the conversation was broken off")


class Phase(StrEnum):
    """Where a session is."""

    WAITING = auto()
    SEARCHING = auto()
    CONNECTING = auto()
    SETTLING = auto()
    STREAMING = auto()
    CLOSING = auto()


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


@dataclass(slots=True)
class SessionState:
    """What the status page shows of a session.

    `trouble` is the newest one, `detail` what happened then, `trouble_boot_ns` when. While `phase` is streaming, the
    trouble is over. `adopted` counts connections that the system had already.
    """

    phase: Phase = Phase.WAITING
    connects: int = 0
    losses: int = 0
    adopted: int = 0
    trouble: Trouble | None = None
    detail: str | None = None
    trouble_boot_ns: int | None = None


class _Told(NamedTuple):
    """How often a trouble has been noted, and when last."""

    times: int
    boot_ns: int


@dataclass
class Session:
    """The loop of one sensor."""

    sensor: Sensor
    radio: Radio
    inbox: Inbox
    clock: Clock
    limits: Limits
    rng: random.Random
    state: SessionState = field(default_factory=SessionState)
    _pause_s: float = field(default=0.0, init=False)
    _takes_no_connection: bool = field(default=False, init=False)
    _distrusts_held: bool = field(default=False, init=False)
    _heard_boot_ns: int | None = field(default=None, init=False)  # when the newest packet of any link came
    # Whether the next connection is logged.
    _is_news: bool = field(default=True, init=False)
    _told: dict[Trouble, _Told] = field(default_factory=dict, init=False)

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
            await asyncio.sleep(self.rng.uniform(0.5, 1.0) * self._next_pause_s(trouble))

    def _on(self, event: Event) -> None:
        self.state.phase = NEXT[self.state.phase, event]

    async def _live_once(self) -> Trouble:
        """One round, from the search to the end of the link; returns what ended it."""
        doing = diagnosis.SEARCHING
        try:
            found = await self._search()
            self._on(Event.FOUND)
            doing = diagnosis.TAKING_OVER if found.is_held else diagnosis.CONNECTING
            ending = _Ending()
            link = await self._connect(found, ending)
        except FORESEEN as error:
            trouble = self._note(error, doing)
            self._takes_no_connection |= trouble in (Trouble.HELD_ELSEWHERE, Trouble.CONNECT_FAILED)
            self._distrusts_held = doing is diagnosis.TAKING_OVER
            self._on(Event.ENDED)
            return trouble
        try:
            trouble = self._note(await self._hold(link, ending), diagnosis.CONVERSING)
        finally:
            self._on(Event.ENDED)
            is_closed = await link.close()
            self._on(Event.CLOSED)
        if link.has_spoken:
            self._heard_boot_ns = link.heard_boot_ns
        self._distrusts_held = found.is_held and not link.has_spoken
        if not is_closed:
            return self._note(
                SensorLost("hanging up does not end", Trouble.SERVICE_SILENT), diagnosis.CONVERSING
            )
        return trouble

    # Searching

    async def _search(self) -> Found:
        address, service = self.sensor.config.address, self.sensor.kind.service
        async with self.radio.search(address, service, distrusts_held=self._distrusts_held) as search:
            while (found := await search.wait(SEARCH_S_MAX)) is None:
                self._note(self._doubt(search), diagnosis.SEARCHING)
            return found

    def _doubt(self, search: Search) -> SensorLost:
        """Why the sensor is not found, as far as that can be told."""
        searched = f"searched for {search.age_s / 60:.0f} min"
        silent_s = self._silent_s(search)
        if silent_s is not None:
            searched += f", last heard {silent_s / 60:.0f} min ago"
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

    async def _connect(self, found: Found, ending: "_Ending") -> Link:
        limits = self.limits
        client = await self.radio.connect(
            found.device, ending.on_dropped, limits.connect_timeout_s, pair=self.sensor.kind.pairs
        )
        sensor_id = self.sensor.config.id
        link = Link(client, sensor_id, self.inbox, self.clock, limits.gatt_timeout_s, self._on_first_packet)
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
        self._pause_s = self.limits.backoff_s_min

    # Connected

    async def _hold(self, link: Link, ending: "_Ending") -> Exception:
        """Converse until the link ends; returns what ended it."""
        opened_s = asyncio.get_running_loop().time()
        ending.watch(link, self.clock, self.sensor.stale_s)
        # No task group: before Python 3.13, one that fails while it is being cancelled forgets the cancellation.
        conversing = asyncio.ensure_future(self.sensor.converse(link))
        leave(conversing)
        try:
            either: set[asyncio.Future[Any]] = {conversing, ending.cause}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if conversing.done() and _failure(conversing) is None:
                await asyncio.wait({ending.cause})
        finally:
            ending.stop_watching()
            conversing.cancel()
            await asyncio.wait({conversing})
        self.state.losses += 1
        if asyncio.get_running_loop().time() - opened_s >= HELD_S:
            self._pause_s = self.limits.backoff_s_min
        failure = _failure(conversing)
        if failure is not None and not isinstance(failure, FORESEEN):
            raise failure
        # If the link was lost, the error of the conversation says less than the loss itself.
        return ending.cause.result() if ending.cause.done() else failure or _BROKEN_OFF

    # After a failure

    def _next_pause_s(self, trouble: Trouble) -> float:
        if trouble.pause is Pause.STEADY:
            self._pause_s = self.limits.backoff_s_min
            return min(STEADY_S, self.limits.backoff_s_max)
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self.limits.backoff_s_max)
        return pause_s

    def _note(self, error: Exception, doing: Doing) -> Trouble:
        """Keep a trouble for the status page, and log the 1st, 10th, 100th time that it comes."""
        trouble, detail = diagnose(error, doing)
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


def _failure(task: "asyncio.Task[None]") -> Exception | None:
    """Why a task failed; None if it did not."""
    error = _BROKEN_OFF if task.cancelled() else task.exception()
    return error if isinstance(error, Exception) else None


class _Ending:
    """How a link ends: the system says that it dropped, or nothing was heard for too long."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        # The cause is set as a result, not as an exception: asyncio complains about an exception that nobody reads.
        self.cause: asyncio.Future[SensorLost] = self._loop.create_future()

    def on_dropped(self) -> None:
        self._end(SensorLost("the sensor hung up or is out of reach", Trouble.LINK_DROPPED))

    def _end(self, cause: SensorLost) -> None:
        if not self.cause.done():
            self.cause.set_result(cause)

    def watch(self, link: Link, clock: Clock, stale_s: float) -> None:
        """End the link after `stale_s` of silence. A timer looks when the newest packet came; packets cost nothing."""

        def look() -> None:
            silent_s = (clock.boot_ns() - link.heard_boot_ns) / NS_PER_S
            if silent_s >= stale_s:
                self._end(SensorLost(f"nothing was heard for {silent_s:.0f} s", Trouble.SILENT))
            else:
                self._timer = self._loop.call_later(rest_s(stale_s, silent_s), look)

        look()

    def stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
