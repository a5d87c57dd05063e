"""Sends the deliveries of one route: checks consent, sends one batch at a time, keeps the interval, tries again.

Contract: nothing is sent without consent that is valid at that moment. What the upstream cannot accept now is sent
again, byte for byte under the same name, after growing, randomly spread pauses. What it refuses is parked, and so is
what cannot be composed, so that nothing else is blocked. Nothing here waits for a disk: batches are composed in the
store's reader, changes are made in its writer, the upstream does the sending. A batch costs two transactions; if more
items wait than fit into it, the transaction that acknowledges it also begins the next.

| the batch | event | what is done | and then |
|---|---|---|---|
| none is known | start, or the store failed | the store is asked what is in flight | as it says |
| none in flight | woken, and the interval is over | what may go is composed and begun | in flight |
| none in flight | nothing may go | - | wait for an enqueue |
| in flight | consent for some of it is gone | release | none in flight |
| in flight | the upstream takes it | acknowledge, and begin the next if more waits | in flight; none in flight |
| in flight | the upstream is unavailable | pause | in flight |
| in flight | the upstream refuses it | reject: halves go next, one alone is parked; pause | none in flight |
| any | the store is unavailable | nothing is marked; pause | none is known |
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from edge.clock import NS_PER_S
from edge.config import Config
from edge.errors import StoreUnavailable, UpstreamRejected, UpstreamUnavailable
from edge.store.deliveries import Batch, Carried, Item
from edge.store.door import Store, Tables
from edge.upstream.composer import Composed, named_utc_s
from edge.upstream.consent import Consents
from edge.upstream.routes import Upstream

log = logging.getLogger(__name__)

# Enough: 2**20 times the shortest pause is longer than any longest pause.
_DOUBLINGS_MAX = 20
# How often to look again at items that wait for a trusted clock: nothing reports when the clock becomes trusted.
_CLOCK_S = 3600.0

Compose = Callable[[Tables, Sequence[Item], int | None, Carried], Composed]


class TrustedTime(Protocol):
    """What the uploader needs of the timekeeper."""

    def trusted_utc_ns(self) -> int | None: ...


@dataclass
class UploadState:
    """The number of failures in a row, and why the last attempt failed; None if it did not."""

    failures: int = 0
    trouble: str | None = None


class _Prepared(NamedTuple):
    """The next batch, how many items wait (by person and kind), and whether more may be sent than fit into it."""

    composed: Composed
    pending: dict[tuple[str, str], int]
    is_more: bool


class Uploader:
    """Sends the deliveries of one route. Set `wake` after each commit that may have enqueued something."""

    def __init__(
        self,
        config: Config,
        store: Store,
        compose: Compose,
        upstream: Upstream,
        *,
        timekeeper: TrustedTime,
        rng: random.Random,
    ) -> None:
        self.state = UploadState()
        self.wake = asyncio.Event()
        self._consents = Consents(config)
        self._limits = config.upstream
        self._store = store
        self._compose = compose
        self._upstream = upstream
        self._timekeeper = timekeeper
        self._rng = rng
        self._is_known = False  # whether `_batch` agrees with the store
        self._batch: Batch | None = None
        self._is_more = False
        self._due_s = 0.0
        self._held: set[str] = set()
        self._awaits_clock = False
        self._parked = 0

    async def run(self) -> None:
        """Send batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            pause_s = await self.step()
            if pause_s is None:
                await self._woken()
                pause_s = max(0.0, self._due_s - loop.time())
            await asyncio.sleep(pause_s)

    async def oldest(self) -> tuple[int, int] | None:
        """The boot, and the time since it, of the oldest item that may be sent and was not. None if there is none.

        Raises:
            StoreUnavailable: nobody knows.
        """
        permitted = self._consents.permitted(self._utc_s())
        return await self._store.read(
            lambda tables: tables.deliveries.oldest(self._upstream.route, permitted)
        )

    async def step(self) -> float | None:
        """Try to send a batch; the pause before the next attempt, or None if nothing may be sent now."""
        try:
            return await self._send()
        except UpstreamUnavailable as fault:
            return self._failed(fault.reason)
        except StoreUnavailable as fault:
            self._is_known = False
            return self._failed(fault.reason)

    async def _woken(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOCK_S if self._awaits_clock else None):
                await self.wake.wait()

    async def _send(self) -> float | None:
        batch = await self._permitted_batch()
        if batch is None:
            return None
        try:
            await self._upstream.send(batch.name, batch.body)
        except UpstreamRejected as fault:
            reason = fault.reason
            await self._change(lambda tables: tables.deliveries.reject(self._upstream.route, reason))
            return self._failed(reason)
        await self._acknowledge(batch)
        if self.state.trouble is not None:
            log.info("upstream %s: batches arrive again", self._upstream.route)
        self.state = UploadState()
        return 0.0 if self._is_more or self._batch is not None else None

    async def _permitted_batch(self) -> Batch | None:
        """The batch in flight, or a new one, all of which may be sent at this moment; None if nothing may."""
        route = self._upstream.route
        if not self._is_known:
            self._batch = await self._store.read(lambda tables: tables.deliveries.in_flight(route))
            self._is_known = True
            # After this batch, look at the other waiting items: their enqueueing sets `wake` only once.
            self.wake.set()
        while True:
            permitted = self._consents.permitted(self._utc_s())
            if self._batch is None:
                if not await self._begin():
                    return None
            elif permitted.issuperset((item.person, item.kind) for item in self._batch.items):
                return self._batch
            else:
                await self._change(lambda tables: tables.deliveries.release(route))

    async def _begin(self) -> bool:
        """Compose what may be sent and put it in flight; whether there was anything."""
        self.wake.clear()
        prepared = await self._next(None)
        if prepared.composed == Composed(None, ()):
            return False
        await self._change(partial(self._begin_prepared, prepared), prepared)
        return True

    async def _acknowledge(self, batch: Batch) -> None:
        """Note that the batch arrived, and begin the next in the same transaction if more waits."""
        # Items that were enqueued meanwhile keep `wake` set: a newer revision of an item of this batch waits only from
        # now on.
        prepared = await self._next(batch) if self._is_more else None
        arrived_utc_s = max(named_utc_s(batch.name), self._utc_s() or 0)

        def work(tables: Tables) -> None:
            tables.deliveries.acknowledge(self._upstream.route, arrived_utc_s)
            if prepared is not None:
                self._begin_prepared(prepared, tables)

        await self._change(work, prepared)

    async def _next(self, ahead: Batch | None) -> _Prepared:
        """Compose the next batch, in the store's reader; `ahead` is the batch that arrives before it."""
        utc_s = self._utc_s()
        prepared = await self._store.read(
            partial(self._prepare, self._consents.permitted(utc_s), utc_s, ahead)
        )
        self._say(prepared, utc_s)
        if prepared.pending:
            self._due_s = asyncio.get_running_loop().time() + self._limits.interval_s
        return prepared

    async def _change(self, work: Callable[[Tables], None], prepared: _Prepared | None = None) -> None:
        """Write to the store what happened to the batch in flight, and which batch is in flight next."""
        await self._store.write(work)
        self._batch = None if prepared is None else prepared.composed.batch
        self._is_more = prepared is not None and prepared.is_more

    def _prepare(
        self, permitted: frozenset[tuple[str, str]], utc_s: int | None, ahead: Batch | None, tables: Tables
    ) -> _Prepared:
        """Compose the next batch, in the store's reader."""
        route, deliveries = self._upstream.route, tables.deliveries
        pending = deliveries.pending(route)
        may_go = pending.keys() & permitted
        items = deliveries.waiting(route, self._limits.batch_items_max, may_go)
        after = deliveries.carried(route)
        if ahead is not None:
            last_utc_s = max(after.last_utc_s or 0, named_utc_s(ahead.name))
            after = Carried(after.batches + 1, after.items + len(ahead.items), last_utc_s)
        composed = self._compose(tables, items, utc_s, after)
        is_more = sum(pending[group] for group in may_go) > len(items)
        return _Prepared(composed, pending, is_more)

    def _begin_prepared(self, prepared: _Prepared, tables: Tables) -> None:
        """Put the next batch in flight and park what cannot be composed, in the store's writer."""
        route, deliveries = self._upstream.route, tables.deliveries
        for item, reason in prepared.composed.failed:
            deliveries.park(route, item, reason)
        if prepared.composed.batch is not None:
            deliveries.begin_batch(route, prepared.composed.batch)

    def _utc_s(self) -> int | None:
        utc_ns = self._timekeeper.trusted_utc_ns()
        return None if utc_ns is None else utc_ns // NS_PER_S

    def _say(self, prepared: _Prepared, utc_s: int | None) -> None:
        """Log when items of a class begin to wait for consent, and the 1st, 10th, 100th item that is parked."""
        held = {str(held) for held in self._consents.held(prepared.pending, utc_s)}
        for line in sorted(held - self._held):
            log.warning("upstream %s: %s", self._upstream.route, line)
        self._held = held
        self._awaits_clock = utc_s is None and bool(held) and self._consents.needs_clock()
        for item, reason in prepared.composed.failed:
            self._parked += 1
            if self._parked == 10 ** (len(str(self._parked)) - 1):
                what = f"{item.kind} is parked, {self._parked} items so far: {reason}"
                log.warning("upstream %s: %s", self._upstream.route, what)

    def _failed(self, reason: str) -> float:
        if reason != self.state.trouble:
            log.warning("upstream %s: %s; what is not sent is kept", self._upstream.route, reason)
        longest_s = min(
            self._limits.retry_s_max,
            self._limits.retry_s_min * 2 ** min(self.state.failures, _DOUBLINGS_MAX),
        )
        self.state = UploadState(self.state.failures + 1, reason)
        return self._rng.uniform(0.0, longest_s)
