"""Carries the outbox upstream: the consent gate, one batch at a time, patience.

Contract: nothing is sent without consent that holds at that moment; what the upstream cannot take now is sent
again with growing, randomly spread pauses; what it refuses is parked and does not hold up the rest.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from edge.clock import NS_PER_S, Clock
from edge.config import Config
from edge.errors import UpstreamRejected, UpstreamUnavailable
from edge.outbox import DATA_CLASS, Batch, Item, Outbox

log = logging.getLogger(__name__)

# 2**20 times the shortest pause is beyond any longest one.
_DOUBLINGS_MAX = 20


class Upstream(Protocol):
    """Somewhere batches go."""

    async def send(self, name: str, body: bytes) -> None:
        """Return when the batch is safe there; the same name is the same batch.

        Raises:
            UpstreamUnavailable: not now.
            UpstreamRejected: never, as it is.
        """
        ...


@dataclass
class UploadState:
    """What the status page tells of the way upstream."""

    batches: int = 0
    failures: int = 0  # in a row
    last_success_utc_ns: int | None = None
    last_error: str | None = None


class Uploader:
    """Drains the outbox. Set `wake` after each commit that may have enqueued something."""

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        compose: Callable[[Sequence[Item]], tuple[str, bytes]],
        upstream: Upstream,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.state = UploadState()
        self.wake = asyncio.Event()
        self._consent = config.consent
        self._limits = config.upstream
        self._zone = ZoneInfo(config.gateway.timezone)
        self._outbox = outbox
        self._compose = compose
        self._upstream = upstream
        self._clock = clock
        self._rng = rng

    async def run(self) -> None:
        """Send for ever."""
        while True:
            self.wake.clear()
            while (pause_s := await self.step()) is not None:
                await asyncio.sleep(pause_s)
            with suppress(TimeoutError):
                # Now and then unasked: consent may have begun to hold, or the clock been set.
                async with asyncio.timeout(self._limits.retry_s_max):
                    await self.wake.wait()

    async def step(self) -> float | None:
        """Try to send one batch; how long to wait before the next, None if there is nothing to send."""
        batch = self._permitted_batch()
        if batch is None:
            return None
        try:
            await self._upstream.send(batch.name, batch.body)
        except UpstreamUnavailable as fault:
            self._outbox.defer(fault.reason)
            return self._failed(fault.reason)
        except UpstreamRejected as fault:
            self._outbox.reject(fault.reason)
            return self._failed(fault.reason)
        self._outbox.acknowledge()
        if self.state.last_error is not None:
            log.info("upstream: batches arrive again")
        self.state.batches += 1
        self.state.failures = 0
        self.state.last_error = None
        self.state.last_success_utc_ns = self._clock.utc_ns()
        return 0.0

    def permitted_kinds(self) -> set[str]:
        """The kinds of items whose data class has consent at this moment."""
        last_day = self._consent.valid_until
        today = datetime.fromtimestamp(self._clock.utc_ns() // NS_PER_S, self._zone).date()
        if last_day is not None and today > last_day:
            return set()
        return {kind for kind, data_class in DATA_CLASS.items() if getattr(self._consent, data_class)}

    def _permitted_batch(self) -> Batch | None:
        kinds = self.permitted_kinds()
        batch = self._outbox.in_flight()
        if batch is not None and not kinds.issuperset(item.kind for item in batch.items):
            self._outbox.release()
        return self._outbox.next_batch(self._limits.batch_items_max, kinds, self._compose)

    def _failed(self, reason: str) -> float:
        if reason != self.state.last_error:
            log.warning("upstream: %s; what is not sent is kept", reason)
        self.state.last_error = reason
        longest_s = min(
            self._limits.retry_s_max,
            self._limits.retry_s_min * 2 ** min(self.state.failures, _DOUBLINGS_MAX),
        )
        self.state.failures += 1
        return self._rng.uniform(0.0, longest_s)
