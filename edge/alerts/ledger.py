"""What happens to alerts, on its way into the store.

Contract: nobody waits for the store. What was noted is written in its order, in one job together with the newest state
of the alerts, so that after a kill both are of the same moment. While the store cannot be written, it waits here and
goes with the next commit that works. Written twice it is there once.

    noted      | a job is under way | then
    -----------|--------------------|------------------------------------------------------
    something  | no                 | a job is made
    something  | yes                | it waits; when the job has been done, a job is made
    the job could not be done       | all of it waits for the next group, or `RETRY_S`
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from edge.agenda import Agenda
from edge.clock import NS_PER_S, Clock
from edge.store.alerts import AlertEvent
from edge.store.blobs import GATEWAY
from edge.store.door import Store, Tables

BLOB: Final = "alerts"
RETRY_S: Final = 60.0
# While nothing happens the state is kept so often, for the next process; it goes with other commits where it can.
MARK_S: Final = 300.0
# If the disk is full for weeks.
WAITING_MAX: Final = 10_000

Work = Callable[[Tables], object]


class Ledger:
    """What waits for the store.

    Attributes:
        version, body: of the blob that is written with it; `body` is asked for each job.
    """

    def __init__(self, store: Store, agenda: Agenda, clock: Clock, boot_no: int) -> None:
        self.version = 0
        self.body: Callable[[], bytes] = bytes
        self._store = store
        self._agenda = agenda
        self._clock = clock
        self._boot_no = boot_no
        self._waiting: list[Work] = []
        self._under_way: list[Work] | None = None
        self._marked_boot_ns = clock.boot_ns()
        store.join_groups(self._join)

    @property
    def is_empty(self) -> bool:
        """Whether the store has everything that was noted."""
        return not self._waiting and self._under_way is None

    def note(self, event: AlertEvent, channels: tuple[str, ...]) -> None:
        """An event happened, and was given to these channels."""
        self._waiting.append(lambda tables: tables.alerts.note(event, channels))

    def move(self, event_id: UUID, channel: str, state: str, tries: int) -> None:
        """A channel has come further with an event."""
        boot_no, boot_ns = self._boot_no, self._clock.boot_ns()
        self._waiting.append(
            lambda tables: tables.alerts.move(event_id, channel, state, tries, boot_no, boot_ns)
        )

    def close(self, rule: str, sensor_no: int | None, ordinal: int, state: str) -> None:
        """An alert was acknowledged or retracted, on whichever channel it was told."""
        boot_no, boot_ns = self._boot_no, self._clock.boot_ns()
        self._waiting.append(
            lambda tables: tables.alerts.close(rule, sensor_no, ordinal, state, boot_no, boot_ns)
        )

    def save(self) -> None:
        """Have the store write what waits, and the state of this moment."""
        if self._under_way is not None:
            return
        works, version, body = self._waiting, self.version, self.body()
        self._waiting, self._under_way = [], works
        self._marked_boot_ns = self._clock.boot_ns()
        self._agenda.set("alerts' mark", self._marked_boot_ns + round(MARK_S * NS_PER_S), self.save)

        def work(tables: Tables) -> None:
            for noted in works:
                noted(tables)
            tables.blobs.put(BLOB, GATEWAY, version, body)

        self._store.post(work, self._on_stored, otherwise=self._on_refused)

    def _on_stored(self, _: None) -> None:
        self._under_way = None
        if self._waiting:
            self.save()

    def _on_refused(self) -> None:
        assert self._under_way is not None
        self._waiting = [*self._under_way, *self._waiting][-WAITING_MAX:]
        self._under_way = None
        self._agenda.set_earlier("alerts' mark", self._clock.boot_ns() + round(RETRY_S * NS_PER_S), self.save)

    def _join(self) -> None:
        """Something is about to be committed."""
        age_s = (self._clock.boot_ns() - self._marked_boot_ns) / NS_PER_S
        if self._waiting or 2 * age_s >= MARK_S:
            self.save()
