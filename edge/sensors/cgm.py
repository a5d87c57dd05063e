"""A CGM's side of the gateway (Continuous Glucose Monitoring Service, 181F): connects link, store, facts and time.

Contract: the sensor keeps its records, so none may be lost, however the sensor and its link behave. Other modules
decide: `cgm_fetch` what the sensor is asked for, `cgm_recognition` which session it is in, `cgm_handover` which records
are somebody else's, `cgm_live` which are new, `validity` which count. This module carries that out. A live value is
known before it is stored, and while the store cannot be written. Records that the store could not take are missing
again, and are fetched. Nothing here ever sends Start Session or Delete: they erase the sensor's history. The sensor's
clock is set only by a trusted clock.

    phase     | what happens                                      | next
    ----------|---------------------------------------------------|--------------------
    none      | a link begins                                     | SETTLING
    SETTLING  | the session is known                              | FETCHING, STREAMING
    FETCHING  | nothing is due                                    | STREAMING
    STREAMING | something is due to be asked for                  | FETCHING
    STREAMING | a record does not fit, or `racp_reconcile_s` have | SETTLING
              | passed since the sensor was last looked at        |
    any       | the link is lost, or the sensor does not report   | none
              | in time                                           |
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from edge.clock import NS_PER_S, rest_s
from edge.config import SensorConfig
from edge.errors import SensorLost
from edge.kinds import KINDS
from edge.now.glycaemia import Glycaemia
from edge.radio.inbox import Notification
from edge.radio.link import Link
from edge.sensors import cgm_handover, cgm_identity, cgm_store
from edge.sensors.cgm_asking import Ask, End, Kind, Patience
from edge.sensors.cgm_conversation import ClockRead, Conversation, offset_min_of
from edge.sensors.cgm_handover import Handover
from edge.sensors.cgm_identity import Beginning, Known, Seen, SessionNames, Verdict
from edge.sensors.cgm_ledger import Loss
from edge.sensors.cgm_live import AHEAD_NS_MAX, warm_up_left_s, wear_left_s
from edge.sensors.cgm_receiver import Receiver
from edge.sensors.cgm_recognition import Look, Recognised, Recognition
from edge.sensors.cgm_state import CgmState, Phase
from edge.sensors.cgm_store import Stored
from edge.sensors.cgm_wearing import Wearing
from edge.sensors.means import Means
from edge.sensors.sensor import SensorLive
from edge.store.sensors import SensorRow
from edge.store.sessions import GivenUp
from protocols import uuids
from protocols.cgm import SessionStartTime
from protocols.cgm_profile import CgmProfile
from protocols.racp_procedure import Outcome

log = logging.getLogger(__name__)

# How often to look whether a clock is trusted by now: that costs the sensor nothing.
TRUST_LOOK_S: Final = 60.0


class CgmSensor:
    """Takes CGM Measurements in, live and from the sensor's storage."""

    def __init__(
        self,
        config: SensorConfig,
        row: SensorRow,
        means: Means,
    ) -> None:
        """Read what the store knows of the sensor; call this before the store's `run`."""
        store, clock, timekeeper = means.store, means.clock, means.timekeeper
        self.config = config
        self.kind = KINDS[config.kind]
        self.stale_s = config.stale_s or self.kind.stale_s
        self.battery_pct: int | None = None
        self.asks = 0
        self._sensor_no = row.no
        self._means = means
        self._clock = clock
        self._timekeeper = timekeeper
        self._check_s = means.limits.racp_reconcile_s
        self._names = SessionNames(
            partial(means.identity.id, "session", str(row.person), row.address),
            [session.uuid for session in store.tables.sessions.of_sensor(row.no)],
            means.rng,
        )
        self._patience = Patience()
        self._wake = asyncio.Event()
        self._worn_from = store.tables.sensors.worn_from(row.no)
        self._receiver = Receiver(
            config.id, means.facts, clock, self._rouse, worn_from_boot_ns=self._worn_from_boot_ns()
        )
        self._profile = cgm_store.load_profile(store.tables, row.no)
        self.glycaemia = Glycaemia(config.id, row.no, means, self._start_boot_ns)
        stored = cgm_store.load(store.tables, row.no)
        if stored is not None:
            self.glycaemia.resume(stored.beginning.uuid)
        self._wearing = self._wear(stored.beginning, stored=stored) if stored else None
        former = cgm_store.load_former(store.tables, row) if self._worn_from and not stored else None
        self._former = cgm_store.known_of(former) if former else None
        self._recognition = Recognition(
            self._receiver, clock=clock, timekeeper=timekeeper, on_clock=self._on_look, ask=self._ask
        )
        self._talk: Conversation | None = None
        self._forget_link()

    def _forget_link(self) -> None:
        self._talk = None
        self._phase: Phase | None = None
        self._was_trusted = False
        self._receiver.on_link()

    def _wear(
        self, beginning: Beginning, *, stored: Stored | None = None, foreign: GivenUp | None = None
    ) -> Wearing:
        return Wearing(
            self._sensor_no,
            beginning,
            stored=stored,
            foreign=foreign,
            means=self._means,
            patience=self._patience,
            check_s=self._check_s,
            glycaemia=self.glycaemia,
            on_written=self._rouse,
        )

    def _worn_from_boot_ns(self) -> int | None:
        """When the wearer had changed at the latest, by the time since this boot."""
        worn_from = self._worn_from
        if worn_from is None:
            return None
        return worn_from.boot_ns if worn_from.boot_no == self._timekeeper.boot_no else 0

    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    def flush(self) -> None:
        """Nothing to do: records are handed to the store as they come."""

    # The course of a link

    async def converse(self, link: Link) -> None:
        self._forget_link()
        talk = self._talk = Conversation(link, self.config.id, self._clock, self._profile)
        self._phase = Phase.SETTLING
        try:
            await talk.open()
            self.battery_pct = await link.battery_pct()
            wearing = await self._settle(talk)
            wearing.fetch.on_link(talk.refusals)
            while True:
                await self._fetch(talk, wearing)
                wearing = await self._settle(talk)
        finally:
            self._learn(talk.profile)
            self._forget_link()

    def _learn(self, profile: CgmProfile) -> None:
        """Store the order of octets, which takes some records to find out. All else the sensor tells on each link."""
        if profile.octet_order is not self._profile.octet_order:
            self._profile = replace(self._profile, octet_order=profile.octet_order)
            self._means.store.submit(
                partial(cgm_store.keep_profile, sensor_no=self._sensor_no, profile=self._profile)
            )

    # Its session

    async def _settle(self, talk: Conversation) -> Wearing:
        """Find out which session the sensor is in, and set its clock if need be."""
        self._phase = Phase.SETTLING
        wearing = self._wearing
        known = _known(wearing) or self._former
        is_first = self._worn_from is not None and wearing is None
        recognised = await self._recognition.recognise(talk, known, takes_two=is_first)
        look, verdict = recognised.look, recognised.verdict
        self._was_trusted = look.seen.trusted_utc_s is not None
        told = await self._set_time(talk, look)
        seen = look.seen._replace(told_start_utc_s=cgm_identity.told_utc_s(told))
        is_new = wearing is None or verdict is Verdict.NEW
        if wearing is None or verdict is Verdict.NEW:
            foreign = self._foreign(recognised, known)
            wearing = self._begin(talk, seen, await talk.read_run_time_h(), foreign)
        else:
            self._go_on(wearing, seen)
        self._receiver.on_session(wearing, is_new=is_new)
        return wearing

    async def _set_time(self, talk: Conversation, look: Look) -> SessionStartTime | None:
        """Set the sensor's clock by a trusted clock, if it needs that; returns the start that it tells then."""
        trusted_ns = self._timekeeper.trusted_utc_ns()
        if trusted_ns is None:
            return look.told
        clock_min = int(self._receiver.live.clock_s(self._clock.boot_ns()) // 60)
        return await talk.set_time(look.told, look.read.status.status, clock_min, trusted_ns // NS_PER_S)

    def _on_look(self, read: ClockRead) -> None:
        self._on_clock(read, self._check_s)

    def _on_clock(self, read: ClockRead, look_again_s: float) -> None:
        is_set = self._receiver.on_clock(read.status.time_offset_min, read.boot_ns, look_again_s)
        if is_set and self._wearing is not None:
            # That explains the records that did not fit. They may be missing now.
            self._wearing.fetch.look_at_end()

    def _foreign(self, recognised: Recognised, known: Known | None) -> GivenUp | None:
        """Which records of the session that begins now are of somebody else who wore the sensor before, if any."""
        if self._worn_from is None:
            return None
        timeline, (boot_no, boot_ns) = self._timekeeper.timeline, self._worn_from
        until_min = cgm_handover.foreign_until_min(
            Handover(self._worn_from, timeline.place(boot_no, boot_ns)),
            recognised.look.seen,
            recognised.verdict,
            is_proved=recognised.is_proved,
            known=known,
            is_known_own=self._wearing is not None,
        )
        if until_min < 0:
            return None
        told = "%s: another person wore it before; of its session the minutes up to %d are not taken"
        log.warning(told, self.config.id, until_min)
        now = self._timekeeper.boot_no, self._clock.boot_ns()
        return GivenUp(0, until_min, Loss.OF_ANOTHER.value, 0, *now)

    def _begin(
        self, talk: Conversation, seen: Seen, run_time_h: int | None, foreign: GivenUp | None
    ) -> Wearing:
        beginning = cgm_identity.begin(seen, self._timekeeper.utc_ns() // NS_PER_S, run_time_h, self._names)
        wearing = self._wearing = self._wear(beginning, foreign=foreign)
        self._former = None
        wearing.fetch.on_link(talk.refusals)
        wearing.begin()
        return wearing

    def _go_on(self, wearing: Wearing, seen: Seen) -> None:
        """The session is the known one: use the time that it tells, and note what is known better of it."""
        time = cgm_identity.time_told(wearing.beginning, seen)
        if time is not None:
            utc_s, error_ms = time
            self._timekeeper.suggest(utc_s * NS_PER_S, seen.start_boot_ns, error_ms, "cgm")
        wearing.change(**cgm_identity.changes(wearing.beginning, seen))

    # What it is asked for

    async def _fetch(self, talk: Conversation, wearing: Wearing) -> None:
        """Ask for what is missing, until the sensor has to be looked at again."""
        while not self._is_look_due(wearing):
            now_s, clock_s = self._now_s(), self._receiver.live.clock_s(self._clock.boot_ns())
            ask = wearing.fetch.next(now_s, clock_s)
            if ask is None:
                self._phase = Phase.STREAMING
                due_s = min(wearing.fetch.due_s(now_s, clock_s), self._receiver.look_due_s)
                await self._rest(rest_s(due_s, now_s), wearing)
                continue
            self._phase = Phase.FETCHING
            end = End(None)
            try:
                end = await self._ask(talk, ask)
            finally:
                given_up = wearing.fetch.on_end(end, self._now_s())
                if given_up:
                    wearing.give_up(given_up)
            if end.outcome is Outcome.TIMED_OUT:
                # A new link may end whatever keeps the sensor from answering.
                raise SensorLost("the sensor did not report its records in time")

    async def _ask(self, talk: Conversation, ask: Ask) -> End:
        self.asks += 1
        end = End(None)
        if ask.kind is Kind.REPORT:
            self._receiver.live.expect(ask.range)
        try:
            end = await talk.ask(ask, self._peek)
        finally:
            if end.outcome is Outcome.COMPLETE:
                self._receiver.live.expect(None)
            else:
                self._receiver.live.expect_tail(self._clock.boot_ns())
        return end

    async def _peek(self) -> None:
        """During a request: if a record does not fit, read the clock at once, so that a live value is recognised."""
        receiver, talk = self._receiver, self._talk
        if talk is not None and receiver.is_odd and self._now_s() >= receiver.look_due_s:
            self._on_clock(await talk.read_clock(), look_again_s=0.0)

    def _rouse(self) -> None:
        self._wake.set()
        if self._talk is not None and self._receiver.is_odd:
            self._talk.rouse()

    async def _rest(self, longest_s: float, wearing: Wearing) -> None:
        if self._awaits_trust(wearing):
            longest_s = min(longest_s, TRUST_LOOK_S)
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._wake.wait()

    def _awaits_trust(self, wearing: Wearing) -> bool:
        return not self._was_trusted and wearing.beginning.start_error_ms is None

    def _is_look_due(self, wearing: Wearing) -> bool:
        is_trusted_now = self._awaits_trust(wearing) and self._timekeeper.trusted_utc_ns() is not None
        return is_trusted_now or self._now_s() >= self._receiver.look_due_s

    # What it sends

    def take(self, notification: Notification) -> None:
        talk = self._talk
        if talk is None or notification.link != talk.link_no:
            return
        if notification.characteristic != uuids.CGM_MEASUREMENT:
            talk.on_indication(notification.characteristic, notification.payload)
            return
        records, errors = talk.read_records(notification.payload)
        first_value_min = self._wearing.first_value_min if self._wearing else None
        reading_of = partial(
            cgm_store.reading_of,
            profile=talk.profile,
            first_value_min=first_value_min,
            boot_no=self._timekeeper.boot_no,
            boot_ns=notification.boot_ns,
        )
        self._receiver.take(list(map(reading_of, records)))
        for error in errors:
            self._receiver.take_unread(offset_min_of(error), notification.boot_ns)
        if errors:
            raise errors[0]

    @property
    def at_hand(self) -> tuple[Conversation, Wearing] | None:
        """Its link and its session, while it is known in which session it is."""
        if self._talk is None or self._wearing is None or self._phase is Phase.SETTLING:
            return None
        return self._talk, self._wearing

    # What there is to show

    def _start_boot_ns(self) -> int | None:
        """When the session began, by the time since this boot, if anybody knows."""
        start_boot_ns, wearing = self._receiver.live.start_boot_ns, self._wearing
        if start_boot_ns is None and wearing is not None:
            start_boot_ns = wearing.start_boot_ns()
        # What seems to begin in the future was dated by a clock that was wrong.
        is_ahead = start_boot_ns is not None and start_boot_ns > self._clock.boot_ns() + AHEAD_NS_MAX
        return None if is_ahead else start_boot_ns

    @property
    def warm_up_left_s(self) -> float | None:
        """How long the session may still be without values; None if it did not just begin, or has values."""
        if self._wearing is None or self._wearing.first_value_min is not None:
            return None
        age_ns = self._age_ns()
        return None if age_ns is None else warm_up_left_s(age_ns)

    def _age_ns(self) -> int | None:
        """How long ago the session began."""
        start_boot_ns = self._start_boot_ns()
        return None if start_boot_ns is None else self._clock.boot_ns() - start_boot_ns

    def live(self) -> SensorLive:
        state, wearing = self.state(), self._wearing
        age_ns = self._age_ns()
        return SensorLive(
            state.records,
            missing=state.missing,
            warm_up_left_s=state.warm_up_left_s,
            wear_left_s=wear_left_s(age_ns, wearing.beginning.run_time_h) if wearing and age_ns else None,
            is_catching_up=state.phase in (Phase.SETTLING, Phase.FETCHING),
        )

    def state(self) -> CgmState:
        """Everything there is to show at this moment."""
        wearing, receiver = self._wearing, self._receiver
        missing = None
        if wearing is not None and receiver.live.start_boot_ns is not None:
            missing = wearing.fetch.missing_count(receiver.live.clock_s(self._clock.boot_ns()))
        return CgmState(
            phase=self._phase,
            warm_up_left_s=self.warm_up_left_s,
            session_number=wearing.number if wearing else None,
            watermark_min=wearing.ledger.watermark_min if wearing else None,
            missing=missing,
            given_up=tuple(wearing.ledger.given_up) if wearing else (),
            records=receiver.records,
            unread=receiver.unread,
            ahead=receiver.ahead,
            asks=self.asks,
            miscounts=wearing.fetch.miscounts if wearing else 0,
            hindrance=self._patience.newest,
            hindrance_code=self._patience.newest_code,
        )


def _known(wearing: Wearing | None) -> Known | None:
    return None if wearing is None else Known(wearing.beginning, wearing.newest_min, wearing.values)
