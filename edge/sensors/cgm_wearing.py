"""One session of a CGM while the gateway runs: what is known of it, and what is on its way into the store.

Contract: nothing here waits. A record that is handed to the store counts as here at once. If the store could not take
it, it is missing again, and the sensor is left alone for a while. Entries are written in the order in which they were
made, each as a whole or not at all.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from edge.clock import NS_PER_S
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.now.glycaemia import Glycaemia
from edge.sensors import cgm_store
from edge.sensors.cgm_asking import Hindrance, Patience
from edge.sensors.cgm_fetch import Fetch, GiveUp
from edge.sensors.cgm_identity import Beginning
from edge.sensors.cgm_ledger import Ledger
from edge.sensors.cgm_store import Entry, Stored, Written
from edge.sensors.means import Means
from edge.store.readings import Reading
from edge.store.sessions import GivenUp

# Enough for all values that may still be live, at one a minute, and more than are compared.
VALUES_MAX: Final = 16


class Wearing:
    """A session.

    Attributes:
        beginning: how it began, as far as is known.
        number: which one of its sensor it is; None until it is stored.
        ledger: which of its records are here.
        fetch: what is asked for of it.
        values: the newest ones, by the offsets of their records.
        newest_min: the largest offset that came, whether or not it could be stored.
        first_value_min: the smallest offset that came with a value.
    """

    def __init__(
        self,
        sensor_no: int,
        beginning: Beginning,
        *,
        stored: Stored | None,
        foreign: GivenUp | None = None,
        means: Means,
        patience: Patience,
        check_s: float,
        glycaemia: Glycaemia,
        on_written: Callable[[], None],
        on_refused: Callable[[Sequence[Reading]], None] = lambda _: None,
    ) -> None:
        """What the store has of a known session, or which records of a new one are of another person.

        `on_written` is called when something was stored or could not be, `on_refused` with readings that could not.
        """
        self.beginning = beginning
        self.number = stored.session.number if stored else None
        self.ledger = (
            Ledger(stored.session.watermark, stored.offsets_min, stored.given_up) if stored else Ledger()
        )
        if foreign is not None:
            self.ledger = Ledger(foreign.last, given_up=[foreign])
        self.fetch = Fetch(self.ledger, patience, check_s)
        self.values = dict(stored.values) if stored else {}
        self.newest_min = self.ledger.newest_min
        self.first_value_min = stored.first_value_min if stored else None
        self._sensor_no = sensor_no
        self._means = means
        self._patience = patience
        self._glycaemia = glycaemia
        self._on_written = on_written
        self._on_refused = on_refused
        # What is not written yet is part of every entry, until one of them has been written.
        self._giving_up = [] if foreign is None else [foreign]
        self._changes: dict[str, int | None] = {}
        self._calibrations: list[Reading] = []

    def is_other(self, offset_min: int, value: float | None) -> bool:
        """Whether a record that is here is known to have had another value."""
        return offset_min in self.values and self.values[offset_min] != value

    def on_value(self, offset_min: int) -> None:
        """A record has a value."""
        if self.first_value_min is None or offset_min < self.first_value_min:
            self.first_value_min = offset_min

    def start_boot_ns(self) -> int | None:
        """When it began, by the time since this boot, as far as that is known without a link."""
        beginning, timekeeper = self.beginning, self._means.timekeeper
        if beginning.start_boot_no == timekeeper.boot_no:
            return beginning.start_boot_ns
        if beginning.start_utc_s is None or beginning.start_error_ms is None:
            return None
        return timekeeper.boot_ns_at(beginning.start_utc_s * NS_PER_S)

    # Into the store

    def begin(self) -> None:
        """The session exists, whether or not there is a record of it."""
        self._glycaemia.begin(self.beginning.uuid)
        self._submit(self._entry())

    def keep(self, readings: Sequence[Reading]) -> None:
        """Store readings; all of them are held already."""
        self.newest_min = max(self.newest_min or 0, *(reading.sequence for reading in readings))
        self.values.update(cgm_store.values_of(readings))
        self._glycaemia.take(readings)
        for offset in sorted(self.values)[:-VALUES_MAX]:
            del self.values[offset]
        offsets_min = (reading.sequence for reading in readings)
        came_after_all = tuple(offset for offset in offsets_min if self.ledger.is_given_up(offset))
        self._take_back([note for note in self._giving_up if _covers(note, came_after_all)])
        self._submit(self._entry()._replace(readings=tuple(readings), came_after_all=came_after_all))

    def _take_back(self, notes: Sequence[GivenUp]) -> None:
        """These are no longer to be written. Until the store says what it has of them, their records are missing."""
        if notes:
            self._giving_up = [note for note in self._giving_up if note not in notes]
            self.ledger.note_given_up([note for note in self.ledger.given_up if note not in notes])

    def give_up(self, given_up: Sequence[GiveUp]) -> None:
        """Note what will not be asked for again."""
        boot_no, boot_ns = self._means.timekeeper.boot_no, self._means.clock.boot_ns()
        notes = [
            GivenUp(part.first, part.last, part.reason.value, part.tries, boot_no, boot_ns)
            for part in given_up
        ]
        self._giving_up += notes
        self.ledger.note_given_up([*self.ledger.given_up, *notes])
        self._submit(self._entry())

    def calibrate(self, offset_min: int, glucose_mg_dl: float, status: int, not_counted: str | None) -> None:
        """Note by what the sensor was calibrated, and why that does not count, if so."""
        boot_no, boot_ns = self._means.timekeeper.boot_no, self._means.clock.boot_ns()
        if not_counted is None:
            self._glycaemia.calibrate(offset_min)
        self._calibrations.append(
            Reading(
                offset_min,
                60 * offset_min,
                glucose_mg_dl,
                trend=None,
                quality_pct=None,
                status=status,
                not_counted=not_counted,
                boot_no=boot_no,
                boot_ns=boot_ns,
                fetched=False,
            )
        )
        self._submit(self._entry())

    def change(self, **fields: int | None) -> None:
        """Note what is known better now of its beginning. Fields that did not change are not written."""
        changes = {name: value for name, value in fields.items() if getattr(self.beginning, name) != value}
        if changes:
            self.beginning = Beginning(**{**self.beginning._asdict(), **changes})
            self._changes.update(changes)
            self._submit(self._entry())

    def _entry(self) -> Entry:
        may_move = self.ledger.reach_min > self.ledger.watermark_min
        return Entry(
            self._sensor_no,
            self.beginning,
            calibrations=tuple(self._calibrations),
            given_up=tuple(self._giving_up),
            changes=tuple(self._changes.items()),
            usual_min=self.ledger.usual_min if may_move else None,
        )

    def _submit(self, entry: Entry) -> None:
        means = self._means
        work = partial(
            cgm_store.write, entry=entry, periods=means.periods, timeline=means.timekeeper.timeline
        )
        means.store.submit(work).add_done_callback(partial(self._on_tried, entry))

    def _on_tried(self, entry: Entry, tried: "asyncio.Future[Written]") -> None:
        if tried.cancelled():
            return
        failure = tried.exception()
        if failure is None:
            self._on_stored(entry, tried.result())
        elif isinstance(failure, StoreUnavailable | StoreCorrupt | StoreGone):
            self._on_failed(entry)
        else:
            raise failure
        self._on_written()

    def _on_stored(self, entry: Entry, written: Written) -> None:
        self._patience.clear(Hindrance.NOT_STORED)
        self._changes = dict(self._changes.items() - set(entry.changes))
        self._giving_up = [note for note in self._giving_up if note not in entry.given_up]
        self._calibrations = [made for made in self._calibrations if made not in entry.calibrations]
        session = written.session
        if self.number is None:
            self._glycaemia.on_stored(session.uuid)
        self.number = session.number
        if session.start_error_ms is not None:
            # The start may have become trusted in the store first, by the timekeeper's doing.
            self.beginning = self.beginning._replace(
                start_utc_s=session.start_utc_s, start_error_ms=session.start_error_ms
            )
        self.ledger.watermark_min = max(self.ledger.watermark_min, session.watermark)
        if written.given_up is not None:
            self.ledger.note_given_up([*written.given_up, *self._giving_up])

    def _on_failed(self, entry: Entry) -> None:
        self._patience.fail(Hindrance.NOT_STORED, self._means.clock.boot_ns() / NS_PER_S)
        self.ledger.drop(reading.sequence for reading in entry.readings)
        self.fetch.on_unstored(reading.sequence for reading in entry.readings)
        self._on_refused(entry.readings)


def _covers(note: GivenUp, offsets_min: Sequence[int]) -> bool:
    return any(note.first <= offset <= note.last for offset in offsets_min)
