"""Finds out over a link which session a CGM is in: looks at its clock and its start, and compares records in doubt.

Contract: what a look shows and what a comparison means is decided in `cgm_identity`; this module looks and asks.
Without a checksum a wrong answer may look like a right one. If it were believed, all that the sensor has would be
stored once more, as another session's. So another session than the known one is believed only if two looks in a row
show the same. Nor is anything else believed before, if it is to be decided which records are somebody else's.

    a look                                  | its verdict | next
    ----------------------------------------|-------------|--------------------------------------------------
    no session is known                     | NEW         | done, if one look is enough
    any other                               | SAME        | done, if one look is enough
    any other                               | DOUBT       | compare records, which says SAME or NEW
    the first, or other than the one before | otherwise   | another look, at once
    as the one before                       | -           | done: as the one before
    the last of `LOOKS_MAX` looks           | -           | the link is given up

Nothing waits for this but what is kept: live values are known as soon as the sensor's clock has been read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from edge.clock import NS_PER_S, Clock
from edge.errors import SensorLost
from edge.radio.trouble import Trouble
from edge.sensors import cgm_identity
from edge.sensors.cgm_asking import Ask, End, Kind
from edge.sensors.cgm_conversation import ClockRead, Conversation
from edge.sensors.cgm_identity import Comparison, Known, Seen, Verdict
from edge.sensors.cgm_ledger import Range
from edge.sensors.cgm_live import NS_PER_MIN
from edge.sensors.cgm_receiver import Receiver
from edge.timekeeper import Timekeeper
from protocols.cgm import SessionStartTime
from protocols.racp import Code
from protocols.racp_procedure import Outcome

LOOKS_MAX: Final = 5
# The pause after a comparison's request was refused.
REFUSED_PAUSE_S: Final = 2.0


class Look(NamedTuple):
    """The sensor's clock, the start that it tells, and what identifies its session, at one moment."""

    read: ClockRead
    told: SessionStartTime | None
    seen: Seen


class Recognised(NamedTuple):
    """Whether the sensor is in the known session (SAME or NEW), and the look at it that says so.

    `is_proved`: whether the sensor has shown that, or nothing says otherwise; else it is what is likelier.
    """

    look: Look
    verdict: Verdict
    is_proved: bool


class Recognition:
    """Knows the session of one sensor again."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        clock: Clock,
        timekeeper: Timekeeper,
        on_clock: Callable[[ClockRead], None],
        ask: Callable[[Conversation, Ask], Awaitable[End]],
    ) -> None:
        """`on_clock`: called when the sensor's clock was read; `ask`: makes a request and returns how it ended."""
        self._receiver = receiver
        self._clock = clock
        self._timekeeper = timekeeper
        self._on_clock = on_clock
        self._ask = ask
        self._unanswered = 0  # requests of comparisons

    async def recognise(self, talk: Conversation, known: Known | None, *, takes_two: bool) -> Recognised:
        """Find out whether the sensor is in the known session; `takes_two`: one look is not enough for anything.

        Raises:
            SensorLost: if it does not report its records in time, or shows something else each time.
        """
        look = await self._look(talk)
        for _ in range(LOOKS_MAX - 1):
            verdict, is_proved = await self._judge(talk, known, look.seen)
            if not takes_two and (verdict is Verdict.SAME or known is None):
                return Recognised(look, verdict, is_proved)
            before, look = look, await self._look(talk)
            if cgm_identity.is_alike(before.seen, look.seen):
                return Recognised(look, verdict, is_proved)
        raise SensorLost("its clock or its start is another one each time", Trouble.NONSENSE)

    async def _look(self, talk: Conversation) -> Look:
        read = await talk.read_clock()
        self._on_clock(read)
        told = await talk.read_start()
        return Look(read, told, self._seen(read, told))

    def _seen(self, read: ClockRead, told: SessionStartTime | None) -> Seen:
        """What identifies the session, as of the moment at which the sensor's clock was read."""
        trusted_ns = self._timekeeper.trusted_utc_ns()
        since_ns = self._clock.boot_ns() - read.boot_ns
        clock_min = read.status.time_offset_min
        return Seen(
            clock_min=clock_min,
            told_start_utc_s=cgm_identity.told_utc_s(told),
            boot_no=self._timekeeper.boot_no,
            start_boot_ns=read.boot_ns - clock_min * NS_PER_MIN,
            trusted_utc_s=None if trusted_ns is None else (trusted_ns - since_ns) // NS_PER_S,
            trusted_error_ms=self._timekeeper.trusted_error_ms(),
        )

    async def _judge(self, talk: Conversation, known: Known | None, seen: Seen) -> tuple[Verdict, bool]:
        """What a look says; in doubt, what a comparison says; and whether that is proved."""
        if known is None:
            return Verdict.NEW, True
        verdict = cgm_identity.judge(known.beginning, known.newest_min, seen)
        if verdict is not Verdict.DOUBT:
            return verdict, True
        self._receiver.on_doubt()
        alone = cgm_identity.judge_alone(known.beginning, seen)
        comparison = Comparison(known.values, alone, self._unanswered)
        await self._compare(talk, comparison)
        return comparison.verdict, comparison.is_proved

    async def _compare(self, talk: Conversation, comparison: Comparison) -> None:
        """Ask for records of the known session, and compare them."""
        self._receiver.comparison = comparison
        wanted = Ask(Kind.REPORT, Range(comparison.first_min, comparison.last_min))
        try:
            while comparison.verdict is Verdict.DOUBT:
                ask = talk.refusals.widened(wanted)
                end = await self._ask(talk, ask)
                is_refused = end.outcome is Outcome.REFUSED
                if is_refused and end.code != Code.SERVER_BUSY and talk.refusals.note(ask):
                    continue
                comparison.on_end(is_answered=end.outcome is Outcome.COMPLETE)
                self._unanswered = comparison.unanswered
                if comparison.verdict is Verdict.DOUBT and end.outcome is Outcome.TIMED_OUT:
                    raise SensorLost("the sensor did not report its records in time")
                if is_refused:
                    await asyncio.sleep(REFUSED_PAUSE_S)
        finally:
            self._receiver.comparison = None
        self._unanswered = 0
