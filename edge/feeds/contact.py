"""The contact with a feed: asks when it is time to, hands what comes to the inbox, and says where the contact stands.

Contract: one request at a time, and the next only after the answer to the last was processed: so a feed has at most one
body in memory, however it behaves. Bodies go through the inbox like everything that sensors send. What to ask for is
decided by `polling`, what an answer means by the sensor.

    phase      | the feed
    -----------|---------------------------------------------------------------------
    WAITING    | was not asked yet
    CONNECTING | is asked for the first time, or was not reached so far
    SEARCHING  | cannot be asked; `trouble` says why
    SETTLING   | answers, but says nothing new of the wearer; `trouble` says why
    STREAMING  | tells new values
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final, Protocol

from edge.clock import NS_PER_S, Clock, rest_s
from edge.config import SensorConfig
from edge.contact import ContactState, Phase
from edge.feeds import servers
from edge.feeds.client import Answer, Client, FeedFailure, Web
from edge.feeds.polling import Polling
from edge.feeds.servers import Ask, Jwt, Server
from edge.radio.inbox import Inbox, Notification
from edge.radio.trouble import Trouble
from protocols import sgv

log = logging.getLogger(__name__)

# How often what is shown is looked at again, for values grow old by themselves.
LOOK_S: Final = 30.0
# The inbox is processed within milliseconds, unless what is in it was dropped.
PROCESSED_S: Final = 60.0
HEART_S: Final = 60.0


class Feed(Protocol):
    """The sensor whose entries are asked for."""

    config: SensorConfig
    polling: Polling

    def expect(self, ask: Ask, date_utc_s: float | None) -> "asyncio.Future[None]":
        """The answer to this comes next; the future is done when it was processed."""
        ...

    def on_unchanged(self, date_utc_s: float | None) -> None:
        """The newest entries are those that are known."""
        ...

    def trouble(self) -> tuple[Trouble, str | None] | None:
        """Why nothing new comes, of a feed that answers."""
        ...

    def heart_rate_bpm(self) -> int | None:
        """What the phone is to be told."""
        ...


class FeedContact:
    """Asks one feed, for years."""

    def __init__(self, sensor: Feed, inbox: Inbox, clock: Clock, web: Web) -> None:
        self.state = ContactState()
        self._sensor = sensor
        self._inbox = inbox
        self._clock = clock
        self._client = Client(web)
        self._jwt: Jwt | None = None
        self._jwt_until_s = 0.0
        self._heart_due_s = 0.0
        self._failures = 0

    async def run(self) -> None:
        link = self._inbox.open_link(self._sensor.config.id)
        polling = self._sensor.polling
        self.state.phase = Phase.CONNECTING
        while True:
            now_s = self._now_s()
            ask = polling.next(now_s)
            if ask is not None:
                await self._ask(ask, link)
                self._show()
                # A feed whose answers take no time leaves the others theirs.
                await asyncio.sleep(0)
                continue
            await self._tell_heart_rate(now_s)
            self._show()
            await asyncio.sleep(min(LOOK_S, rest_s(polling.due_s(), self._now_s())))

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    # Asking

    async def _ask(self, ask: Ask, link: int) -> None:
        config = self._sensor.config
        try:
            jwt = await self._current_jwt() if ask.server is Server.NIGHTSCOUT_V3 else None
            request = servers.request(config.address, config.secret, ask, jwt)
            is_newest = ask.until_ms is None and not ask.is_history
            answer = await self._client.get(request, is_conditional=is_newest)
        except FeedFailure as fault:
            self._on_failure(fault)
            return
        if answer.body is None:
            self._sensor.on_unchanged(answer.date_utc_s)
        else:
            await self._hand_on(ask, answer, answer.body, link)

    async def _hand_on(self, ask: Ask, answer: Answer, body: bytes, link: int) -> None:
        polling, sensor_id = self._sensor.polling, self._sensor.config.id
        processed = self._sensor.expect(ask, answer.date_utc_s)
        self._inbox.put(Notification(sensor_id, link, sgv.NAME, self._clock.boot_ns(), body))
        try:
            async with asyncio.timeout(PROCESSED_S):
                await processed
        except TimeoutError:
            polling.on_failed(Trouble.FEED_UNREACHABLE, self._now_s())
        if polling.trouble is not None:
            self._client.forget()
            self._note(polling.trouble, "it does not tell entries")

    async def _current_jwt(self) -> str | None:
        """A JWT that is good; one is made when there is none."""
        config = self._sensor.config
        if config.secret is None:
            return None
        if self._jwt is None or self._now_s() >= self._jwt_until_s:
            answer = await self._client.get(servers.jwt_request(config.address, config.secret))
            self._jwt = servers.jwt_of(answer.body or b"")
            if self._jwt is None:
                raise FeedFailure(Trouble.FEED_NONSENSE, "it gives no JWT for the token")
            self._jwt_until_s = self._now_s() + self._jwt.good_s
        return self._jwt.text

    def _on_failure(self, fault: FeedFailure) -> None:
        self._jwt = None
        self._sensor.polling.on_failed(fault.trouble, self._now_s(), fault.retry_after_s)
        self._note(fault.trouble, fault.detail)

    # The heart rate given back

    async def _tell_heart_rate(self, now_s: float) -> None:
        """Tell a phone with xDrip+ how fast the heart beats, at most once a minute; its watch faces show it."""
        config = self._sensor.config
        if now_s < self._heart_due_s or self._sensor.polling.server is not Server.XDRIP:
            return
        rate_bpm = self._sensor.heart_rate_bpm()
        if rate_bpm is None or self.state.phase not in (Phase.STREAMING, Phase.SETTLING):
            return
        self._heart_due_s = now_s + HEART_S
        with suppress(FeedFailure):  # the next question says what the matter is
            await self._client.get(servers.heart_request(config.address, config.secret, rate_bpm))

    # What is shown

    def _note(self, trouble: Trouble, detail: str) -> None:
        state = self.state
        state.losses += state.phase in (Phase.STREAMING, Phase.SETTLING)
        if state.phase is not Phase.CONNECTING or not self._sensor.polling.is_seeking:
            state.phase = Phase.SEARCHING
        if trouble is not state.trouble:
            self._failures = 0
        self._failures += 1
        state.trouble, state.detail, state.trouble_boot_ns = trouble, detail, self._clock.boot_ns()
        # It may last for days: log the 1st, 10th, 100th.
        if self._failures == 10 ** (len(str(self._failures)) - 1):
            log.warning(
                "%s: %s (%s), %d so far", self._sensor.config.id, trouble.cause, detail, self._failures
            )

    def _show(self) -> None:
        state = self.state
        if self._sensor.polling.trouble is not None or self._sensor.polling.is_seeking:
            return
        state.connects += state.phase in (Phase.CONNECTING, Phase.SEARCHING)
        found = self._sensor.trouble()
        if found is None:
            state.phase = Phase.STREAMING
            return
        state.phase = Phase.SETTLING
        if found[0] is not state.trouble:
            log.warning("%s: %s", self._sensor.config.id, found[0].cause)
        state.trouble, state.detail = found
        state.trouble_boot_ns = self._clock.boot_ns()
