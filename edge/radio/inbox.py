"""The first of the gateway's two buffers: it holds notifications until the intake takes them. The second is the store.

The radio's callback only stamps a notification with its time and appends it. The inbox is bounded: if the intake cannot
keep up, the oldest notification is dropped and counted, because an alert needs the newest. What a sensor sends beyond
`PER_S_MAX` is dropped and counted at once: whoever floods the gateway takes nothing from the sensors beside it.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from edge.clock import NS_PER_S
from edge.radio.tap import Tap

# No sensor and no history on its way comes near that.
PER_S_MAX: Final = 2000


class Notification(NamedTuple):
    """One notification or indication as it came: from which sensor, over which link, which characteristic, and when."""

    sensor_id: str
    link: int
    characteristic: str
    boot_ns: int
    payload: bytes


class Inbox:
    """Bounded queue with one reader.

    Attributes:
        on_filled: called when the first notification is put into the empty queue.
        tap: is told of everything that comes, even of what is then dropped.
    """

    def __init__(self, capacity: int) -> None:
        self.queue: deque[Notification] = deque()
        self.dropped: Counter[str] = Counter()
        self.newest_link: dict[str, int] = {}
        self.on_filled: Callable[[], object] = lambda: None
        self.tap = Tap()
        self._capacity = capacity
        self._links = 0
        self._seconds: dict[str, tuple[int, int]] = {}  # by sensor, the newest second and how many came in it

    def __len__(self) -> int:
        return len(self.queue)

    def open_link(self, sensor_id: str) -> int:
        """Number a new link of a sensor. Notifications of its earlier links that are still here will be dropped."""
        self._links += 1
        self.newest_link[sensor_id] = self._links
        return self._links

    def put(self, notification: Notification) -> None:
        queue, sensor_id = self.queue, notification.sensor_id
        if self.tap.ears:
            self.tap.notified(
                sensor_id, notification.boot_ns, notification.characteristic, notification.payload
            )
        second = notification.boot_ns // NS_PER_S
        newest, came = self._seconds.get(sensor_id, (second, 0))
        came = came + 1 if newest == second else 1
        self._seconds[sensor_id] = second, came
        if came > PER_S_MAX:
            self.dropped[sensor_id] += 1
            return
        if not queue:
            self.on_filled()
        elif len(queue) >= self._capacity:
            self.dropped[queue.popleft().sensor_id] += 1
        queue.append(notification)
