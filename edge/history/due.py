"""The order in which periods are due.

Contract: pure. A period is here at most once, with the wall time at which it is due. It waits either to be computed (it
is marked), or only to be looked at again (it is awaited: its sensor may still bring records of it). No clock is read
here.
"""

from heapq import heappop, heappush
from typing import NamedTuple

from edge.store.summaries import SummaryKey


class Waiting(NamedTuple):
    """When a period is due, and whether it is only to be looked at again."""

    due_utc_s: int
    is_awaited: bool


class Due:
    """The periods that wait."""

    def __init__(self) -> None:
        self._waiting: dict[SummaryKey, Waiting] = {}
        self._heap: list[tuple[int, SummaryKey]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def is_marked(self, key: SummaryKey) -> bool:
        """Whether the period waits to be computed. Any thread may call this."""
        waiting = self._waiting.get(key)
        return waiting is not None and not waiting.is_awaited

    @property
    def earliest_utc_s(self) -> int | None:
        """When the earliest period is due."""
        return self._heap[0][0] if self._heap else None

    def wait(self, key: SummaryKey, waiting: Waiting) -> None:
        """Add a period, unless it is already marked, or already waits for the same thing at an earlier moment."""
        known = self._waiting.get(key)
        if known is not None and (known.is_awaited, known.due_utc_s) <= (
            waiting.is_awaited,
            waiting.due_utc_s,
        ):
            return
        self._waiting[key] = waiting
        heappush(self._heap, (waiting.due_utc_s, key))
        self._tidy()

    def awaited_of(self, sensor_no: int) -> list[SummaryKey]:
        """The periods of a sensor that are only to be looked at again."""
        return [
            key for key, waiting in self._waiting.items() if waiting.is_awaited and key.sensor_no == sensor_no
        ]

    def pop(self, until_utc_s: int) -> tuple[SummaryKey, Waiting] | None:
        """Remove and return the earliest period that is due by then."""
        if not self._heap or self._heap[0][0] > until_utc_s:
            return None
        _, key = heappop(self._heap)
        waiting = self._waiting.pop(key)
        self._tidy()
        return key, waiting

    def _tidy(self) -> None:
        """Remove entries at the front of the heap whose period is gone, or due at another moment by now."""
        heap, waiting = self._heap, self._waiting
        while heap and (heap[0][1] not in waiting or waiting[heap[0][1]].due_utc_s != heap[0][0]):
            heappop(heap)
