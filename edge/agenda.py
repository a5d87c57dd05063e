"""A timer for many deadlines: one task makes the calls that are due.

Contract: each name has at most one deadline. When the deadline has passed, its call is made once, on the event loop.
A caller who wants another call sets a new deadline. After the machine has slept, overdue calls are made within
`REST_S_MAX` of waking.
"""

import asyncio
from collections.abc import Callable

from edge.clock import NS_PER_S, Clock

# While the machine sleeps the loop's clock stands still, but the time since boot goes on.
REST_S_MAX = 60.0


class Agenda:
    """Deadlines by name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[str, tuple[int, Callable[[], None]]] = {}
        self._rest: asyncio.Future[None] | None = None
        self._rests_until_ns = 0

    def set(self, name: str, due_boot_ns: int | None, call: Callable[[], None]) -> None:
        """Make the call at this moment. It replaces the name's former deadline; None removes that."""
        if due_boot_ns is None:
            self._due.pop(name, None)
            return
        self._due[name] = due_boot_ns, call
        if self._rest is not None and due_boot_ns < self._rests_until_ns and not self._rest.done():
            self._rest.set_result(None)

    def set_earlier(self, name: str, due_boot_ns: int, call: Callable[[], None]) -> None:
        """Like `set`, unless the name already has an earlier deadline."""
        known = self._due.get(name)
        if known is None or due_boot_ns < known[0]:
            self.set(name, due_boot_ns, call)

    async def run(self) -> None:
        """Make the calls that are due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            now_ns = self._clock.boot_ns()
            due = [(due_ns, name) for name, (due_ns, _) in self._due.items() if due_ns <= now_ns]
            for _, name in sorted(due):
                if name in self._due and self._due[name][0] <= now_ns:
                    self._due.pop(name)[1]()
            if due:
                await asyncio.sleep(0)
                continue
            next_ns = min(
                (due_ns for due_ns, _ in self._due.values()), default=now_ns + round(REST_S_MAX * NS_PER_S)
            )
            rest_s = min(REST_S_MAX, (next_ns - now_ns) / NS_PER_S)
            self._rests_until_ns = now_ns + round(rest_s * NS_PER_S)
            self._rest = loop.create_future()
            timer = loop.call_later(rest_s, _end, self._rest)
            try:
                await self._rest
            finally:
                timer.cancel()


def _end(rest: "asyncio.Future[None]") -> None:
    if not rest.done():
        rest.set_result(None)
