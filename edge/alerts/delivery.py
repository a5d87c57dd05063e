"""Has each event of an alert told on each channel, at once, until the channel proves that it was.

Contract: an event is handed over as soon as it is known and waits neither for the store nor for another channel. A
channel tells one at a time, urgent ones first, each alert's in their order. How far it has come goes to the ledger, so
that after a restart the rest is told. One that fails is tried again after growing pauses, at once when something new
is to be told, and for `KEPT_S` at most; the newest about an alert that stands for as long as it does.

    issued and                               | is then
    -----------------------------------------|---------------------------------------------------------
    the channel proves that it told it       | delivered
    the channel could not                    | issued, and tried again
    `KEPT_S` have passed, and it is not the  |
      newest about an alert that stands      | failed
    the alert has ended meanwhile            | retracted; nothing is told of an alert that began and ended untold
    somebody has acknowledged the alert      | acknowledged
    delivered, and the same happens          | acknowledged; retracted, if the alert was void

A channel that must work and fails `DEAD_FAILURES` times in a row is dead until it delivers: that is an alert itself.
What an event means, and to whom it goes, is not decided here.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from edge.alerts.ledger import Ledger
from edge.alerts.message import Message
from edge.alerts.state import Tier, What
from edge.clock import NS_PER_S, Clock
from edge.errors import Undelivered

log = logging.getLogger(__name__)

KEPT_S: Final = 3600.0
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 300.0
DEAD_FAILURES: Final = 2
LANDING_S: Final = 5.0
# More alerts than anybody can look at; the oldest that are not urgent go first.
LETTERS_MAX: Final = 500
ENDS: Final = frozenset({What.OVER.value, What.RETRACTED.value})
CLOSES: Final = ENDS | {What.ACKNOWLEDGED.value}


class Channel(Protocol):
    """A way to tell people.

    Attributes:
        name: in the store, in the status and in the log.
        least_tier: it is given what is for this tier and for wider ones.
        must_work: whether it is a fault of the gateway if it does not deliver; not so of a channel that somebody has to
            listen to.
    """

    name: str
    least_tier: Tier
    must_work: bool

    async def deliver(self, message: Message) -> None:
        """Tell one; returns when that is proved. It may be cancelled, and is bounded in time if it must work.

        Raises:
            Undelivered: it was not told, or nothing proves it.
        """
        ...


class Letter(NamedTuple):
    """A message on its way by one channel; `until_boot_ns` is when it is given up."""

    number: int
    message: Message
    until_boot_ns: int
    tries: int = 0

    @property
    def order(self) -> tuple[bool, int]:
        return not self.message.urgent, self.number


class Result(NamedTuple):
    """What came of a test of a channel; `trouble` is None if it delivered."""

    channel: str
    trouble: str | None


class Outlet:
    """What one channel has to tell."""

    def __init__(self, channel: Channel, ledger: Ledger, clock: Clock) -> None:
        self.channel = channel
        self.trouble: str | None = None
        self._ledger = ledger
        self._clock = clock
        self._letters: list[Letter] = []
        self._flying: Letter | None = None
        self._failures = 0
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    @property
    def is_dead(self) -> bool:
        return self.channel.must_work and self._failures >= DEAD_FAILURES

    def add(self, letter: Letter) -> None:
        """Something is to be told, or ends what was to be told before."""
        message = letter.message
        waiting = [one for one in self._of(message) if one is not self._flying]
        if message.what in ENDS:
            self._drop(waiting, "retracted")
            if any(self._is_first(one.message) for one in waiting):
                self._move(letter, "retracted")
                return
        elif message.what == What.ACKNOWLEDGED.value:
            self._drop(waiting, "acknowledged")
        self._letters.append(letter)
        if len(self._letters) > LETTERS_MAX:
            spare = [one for one in self._letters if one is not self._flying]
            self._drop([min(spare, key=lambda one: (one.message.urgent, one.number))], "failed")
        self._wake.set()

    def _of(self, message: Message) -> list[Letter]:
        """What is to be told about the same alert."""
        return [one for one in self._letters if one.message.alert == message.alert]

    def _is_first(self, message: Message) -> bool:
        """Whether nothing was told about the alert before, on this channel."""
        is_widened = message.what == What.ESCALATED.value
        return message.what == What.RAISED.value or (
            is_widened and message.tier == self.channel.least_tier.name.lower()
        )

    async def run(self) -> None:
        """Tell what there is to tell, until cancelled."""
        while True:
            self._give_up()
            # What has been tried for long does not keep others waiting for ever.
            letter = min(self._letters, key=lambda one: (self._is_late(one), *one.order), default=None)
            self._wake.clear()
            if letter is None:
                await self._wake.wait()
            elif not await self._try(letter):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._wake.wait()

    def _is_late(self, letter: Letter) -> bool:
        return self._clock.boot_ns() >= letter.until_boot_ns

    def _give_up(self) -> None:
        """Give up what is late; not the newest about an alert that stands, or nobody would ever be told of it."""
        late = [
            one
            for one in self._letters
            if self._is_late(one) and not self._is_newest_of_standing(one.message)
        ]
        if late:
            self._drop(late, "failed")
            self._ledger.save()

    def _is_newest_of_standing(self, message: Message) -> bool:
        return message is self._of(message)[-1].message and message.what not in CLOSES

    async def test(self, message: Message) -> Result:
        """Tell a message that is not kept; what came of it."""
        async with self._turn:
            await self._told(message)
        return Result(self.channel.name, self.trouble)

    async def _try(self, letter: Letter) -> bool:
        async with self._turn:
            if letter not in self._letters:
                return True  # it was dropped while a test was under way
            self._flying = letter
            flight = asyncio.ensure_future(self._told(letter.message))
            try:
                is_told = await asyncio.shield(flight)
            except asyncio.CancelledError:
                await self._land(letter, flight)
                raise
            finally:
                self._flying = None
        if is_told:
            self._note_told(letter)
            self._ledger.save()
        else:
            tried = letter._replace(tries=letter.tries + 1)
            self._letters[self._letters.index(letter)] = tried
            self._move(tried, "issued")
            self._drop_if_over(tried)
        return is_told

    async def _land(self, letter: Letter, flight: "asyncio.Task[bool]") -> None:
        """On the way out: let the channel say for a moment whether it told the last one, lest it is told twice."""
        try:
            if self.channel.must_work:
                await asyncio.wait({flight}, timeout=LANDING_S)
        finally:
            if flight.done() and flight.result():
                self._note_told(letter)
            else:
                flight.cancel()

    def _note_told(self, letter: Letter) -> None:
        self._letters.remove(letter)
        self._move(letter._replace(tries=letter.tries + 1), "delivered")

    def _drop_if_over(self, tried: Letter) -> None:
        """Do not try again what has ended meanwhile."""
        ends = [one for one in self._of(tried.message) if one.message.what in ENDS]
        if ends and tried not in ends:
            self._drop([tried, *(ends if self._is_first(tried.message) else ())], "retracted")

    async def _told(self, message: Message) -> bool:
        try:
            async with asyncio.timeout(KEPT_S):
                await self.channel.deliver(message)
        except (Undelivered, TimeoutError) as failure:
            reason = failure.reason if isinstance(failure, Undelivered) else "it does not answer"
            if self.channel.must_work and self.trouble is None:
                log.warning("alerts cannot be told by %s: %s", self.channel.name, reason)
            self._failures += 1
            self.trouble = reason
            return False
        if self.is_dead:
            log.info("alerts are told by %s again", self.channel.name)
        self._failures, self.trouble = 0, None
        return True

    def _pause_s(self) -> float:
        return float(min(PAUSE_S_MAX, PAUSE_S_MIN * 2 ** min(self._failures - 1, 20)))

    def _drop(self, letters: Iterable[Letter], state: str) -> None:
        for letter in letters:
            self._letters.remove(letter)
            self._move(letter, state)

    def _move(self, letter: Letter, state: str) -> None:
        self._ledger.move(UUID(letter.message.id), self.channel.name, state, letter.tries)


class Delivery:
    """All channels.

    Attributes:
        dead: the channels that do not deliver though they must, and why.
    """

    def __init__(self, channels: Sequence[Channel], ledger: Ledger, clock: Clock) -> None:
        self._outlets = [Outlet(channel, ledger, clock) for channel in channels]
        self._ledger = ledger
        self._clock = clock
        self._count = 0

    @property
    def dead(self) -> Mapping[str, str]:
        return {
            outlet.channel.name: outlet.trouble or "it does not deliver"
            for outlet in self._outlets
            if outlet.is_dead
        }

    def channels_for(self, tier: int) -> tuple[str, ...]:
        """The channels that are given what is for this tier."""
        return tuple(outlet.channel.name for outlet in self._outlets if outlet.channel.least_tier <= tier)

    def hand(self, message: Message, channels: Iterable[str], age_s: float = 0.0) -> None:
        """Have it told on these channels; it is so old already."""
        self._count += 1
        until_boot_ns = self._clock.boot_ns() + round((KEPT_S - age_s) * NS_PER_S)
        letter = Letter(self._count, message, until_boot_ns)
        wanted = {*channels}
        for outlet in self._outlets:
            if outlet.channel.name in wanted:
                outlet.add(letter)

    async def test(self, message: Message) -> list[Result]:
        """Have it told on all channels that must work, whatever its tier; what came of it."""
        outlets = [outlet for outlet in self._outlets if outlet.channel.must_work]
        return list(await asyncio.gather(*(outlet.test(message) for outlet in outlets)))

    async def run(self) -> None:
        """Tell what there is to tell, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for outlet in self._outlets:
                tasks.create_task(outlet.run())
