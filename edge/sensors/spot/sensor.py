"""The gateway's side of a device that is used, connects, delivers and hangs up, whatever it measures.

Contract: the parts decide: `table` what is said to a kind, `measured` what it has measured, `epochs` when that was,
`keeping` whether it is stored already. Here they are joined. What arrives is known and handed to the store at once; a
value that the store cannot take waits here and is given to it again. What the device measured while it was somebody
else's is not kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final
from uuid import UUID

from edge.clock import NS_PER_S
from edge.config import SensorConfig
from edge.errors import SensorLost
from edge.kinds import KINDS
from edge.radio.inbox import Notification
from edge.radio.link import Link
from edge.radio.trouble import Trouble
from edge.sensors.means import Means
from edge.sensors.sensor import SensorLive
from edge.sensors.spot import keeping, validity
from edge.sensors.spot.epochs import SET_S, Epoch, Epochs, Now, Seen, seconds_of_utc
from edge.sensors.spot.keeping import Entry, Kept, Move
from edge.sensors.spot.measured import Measured, Reader
from edge.sensors.spot.table import NOTHING_SAID, SPOTS
from edge.sensors.spot.validity import NotCounted
from edge.sensors.spot.visit import Visit
from edge.store.sensors import SensorRow
from protocols import uuids

CONTROL_POINTS: Final = frozenset({uuids.RACP, uuids.USER_CONTROL_POINT})
# What waits for the store, and what is under way to it, for a device may send without end. The oldest is dropped.
WAITING_MAX: Final = 1000
UNDER_WAY_MAX: Final = 500
RETRY_NS: Final = 30 * NS_PER_S
# What it has kept may come at once; from then on nothing measures faster. Whoever sends more floods the store.
AT_ONCE_MAX: Final = 8000.0
PER_S_MAX: Final = 4.0
# What arrives each second is stored in pieces of so long.
PIECE_NS: Final = 10 * NS_PER_S


class SpotSensor:
    """A device, and what it measures of one person."""

    def __init__(self, config: SensorConfig, row: SensorRow, means: Means) -> None:
        """Read what the store knows; call this before the store's `run`."""
        self.config = config
        self.kind = KINDS[config.kind]
        self.stale_s = config.stale_s or self.kind.stale_s
        self.battery_pct: int | None = None
        self._spot = SPOTS.get(config.kind, NOTHING_SAID)
        self._row = row
        self._means = means
        self._rng = means.rng
        tables = means.store.tables
        self._epochs = Epochs(keeping.epochs_of(tables, row.no), partial(_uuid, means.rng))
        self._watermark = keeping.watermark(tables, row.no)
        self._worn_from = tables.sensors.worn_from(row.no)
        self._visit: Visit | None = None
        self._reader = Reader()
        self._newest: tuple[Epoch, int | None] | None = None
        self._of_number: dict[int, tuple[Epoch, int | None]] = {}
        self._kept_numbers: set[int] = set()
        self._waiting: list[Entry] = []
        self._piece_ends_ns = self._under_way = 0
        self._room, self._room_ns = AT_ONCE_MAX, means.clock.boot_ns()
        self._oddities = self._dropped = self._records = 0

    # What is said

    async def converse(self, link: Link) -> None:
        spot, config = self._spot, self.config
        if spot.wants_consent and config.consent_code is None:
            raise SensorLost("no user and no consent code are configured", Trouble.CONSENT_MISSING)
        visit = self._begin(link)
        try:
            await visit.clock.read()
            local_s = self._local_s()
            if local_s is not None:
                await visit.clock.set(local_s)
            await visit.subscribe()
            if spot.wants_consent and config.user is not None and config.consent_code is not None:
                await visit.consent(config.user, config.consent_code)
            self.battery_pct = await link.battery_pct() or self.battery_pct
            if spot.has_records:
                if await visit.fetch(self._watermark):
                    self._complete()
            elif not await visit.listen() and local_s is None and visit.clock.is_there:
                raise SensorLost("it sent nothing", Trouble.TIME_UNKNOWN)
        finally:
            self.flush()

    def _begin(self, link: Link) -> Visit:
        self._visit = visit = Visit(link, self._spot, self._means.clock)
        self._oddities += self._reader.oddities
        self._reader = visit.reader
        self._epochs.begin_contact()
        self._newest = None
        self._of_number.clear()
        self._kept_numbers.clear()
        return visit

    def _local_s(self) -> int | None:
        """What a clock on the wall shows; None while none is trusted."""
        utc_ns = self._means.timekeeper.trusted_utc_ns()
        return None if utc_ns is None else seconds_of_utc(utc_ns, self._means.zone)

    # What comes

    def take(self, notification: Notification) -> None:
        visit, characteristic = self._visit, notification.characteristic
        self._means.facts.note_heard(self.config.id, notification.boot_ns)
        if characteristic in CONTROL_POINTS:
            if visit is not None:
                visit.take_indication(characteristic, notification.payload)
            return
        number = None
        try:
            measured = self._reader.read(characteristic, notification.payload)
            number = None if measured is None or measured.joins else measured.number
        finally:
            # Also one that makes no sense is a sign that more may come.
            if visit is not None:
                visit.take_record(number)
        if measured is not None and self._has_room(notification.boot_ns):
            self._take(measured, notification.boot_ns)

    def _has_room(self, boot_ns: int) -> bool:
        """Whether one more is to be taken now."""
        since_s = (boot_ns - self._room_ns) / NS_PER_S
        self._room, self._room_ns = min(AT_ONCE_MAX, self._room + since_s * PER_S_MAX), boot_ns
        if self._room < 1.0:
            self._dropped += 1
            return False
        self._room -= 1.0
        return True

    def _take(self, measured: Measured, boot_ns: int) -> None:
        now = Now(self._means.timekeeper.boot_no, boot_ns, self._means.timekeeper.trusted_utc_ns())
        placed = self._placed(measured, now)
        if placed is None:
            self._oddities += 1  # it belongs to something that did not come
            return
        epoch, stamp_s = placed
        taken_ns = boot_ns if stamp_s is None else epoch.taken_boot_ns(stamp_s, now)
        taken_ns = boot_ns if taken_ns is None else taken_ns
        if self._is_of_another(taken_ns):
            return
        is_ahead = taken_ns - boot_ns > SET_S * NS_PER_S
        against = validity.of_user(measured.user, self.config.user)
        against = against or (NotCounted.FUTURE if is_ahead else None)
        if against is not None:
            values = tuple(value._replace(not_counted=against) for value in measured.values)
            measured = measured._replace(values=values)
        for name, number, why in measured.values:
            if number is not None:
                self._means.facts.note(self.config.id, name, number, min(taken_ns, boot_ns), why)
        self._keep(measured, epoch, stamp_s, boot_ns)

    def _placed(self, measured: Measured, now: Now) -> tuple[Epoch, int | None] | None:
        """The epoch and the stamp of a measurement; None if what it belongs to is not known."""
        if measured.joins and measured.number is not None:
            return self._of_number.get(measured.number)
        if measured.joins and self._newest is not None:
            return self._newest
        stamp_s, epochs = measured.stamp_s, self._epochs
        if stamp_s is None:
            epoch = epochs.of_arrival(now)
        else:
            epoch = epochs.of_stamp(stamp_s, now, self._seen(stamp_s, now.boot_ns))
        placed = self._newest = epoch, stamp_s
        if measured.number is not None:
            self._of_number[measured.number] = placed
        return placed

    def _seen(self, _stamp_s: int, _boot_ns: int) -> Sequence[Seen]:
        """What the device's clock showed when a stamp came."""
        return [] if self._visit is None else self._visit.clock.seen

    def _is_of_another(self, taken_boot_ns: int) -> bool:
        """Whether it was measured before the device became this person's."""
        if self._worn_from is None:
            return False
        boot_no, boot_ns = self._worn_from
        timekeeper = self._means.timekeeper
        if boot_no == timekeeper.boot_no:
            return taken_boot_ns < boot_ns
        placed = timekeeper.timeline.place(boot_no, boot_ns)
        worn_ns = timekeeper.boot_ns_at(placed.utc_ns) if placed is not None and placed.trusted else None
        # While nobody knows when that was, it was before this boot at least.
        return taken_boot_ns < (0 if worn_ns is None else worn_ns)

    # Into the store

    def _keep(self, measured: Measured, epoch: Epoch, stamp_s: int | None, boot_ns: int) -> None:
        entry = Entry(
            sensor_no=self._row.no,
            # A newer stamp may correct it while the store works.
            epoch=replace(epoch),
            spare=_uuid(self._rng),
            values=measured.values,
            stamp_s=stamp_s,
            number=measured.number,
            status=measured.status,
            boot_no=self._means.timekeeper.boot_no,
            received_boot_ns=boot_ns,
            fetched=measured.number is not None,
            move=self._move(measured),
        )
        self._wait(entry)
        if measured.number is not None:
            self._kept_numbers.add(measured.number)
        # The device may not send it again; what arrives each second is no single measurement.
        if stamp_s is not None or boot_ns >= self._piece_ends_ns:
            self._piece_ends_ns = boot_ns + PIECE_NS
            self.flush()
        else:
            self._means.agenda.set_earlier(f"keep {self.config.id}", self._piece_ends_ns, self.flush)

    def _move(self, measured: Measured) -> Move | None:
        """Where the watermark may go, now that another record has come after the one before it."""
        visit = self._visit
        if visit is None or measured.joins or not visit.is_ascending or len(visit.numbers) < 2:
            return None
        before = visit.numbers[-3] if len(visit.numbers) > 2 else None
        return Move(self._watermark if before is None else before, visit.numbers[-2])

    def _complete(self) -> None:
        came, sensor_no = set(self._kept_numbers), self._row.no
        self._means.store.post(
            partial(keeping.complete, sensor_no=sensor_no, numbers=came), self._on_complete
        )

    def _on_complete(self, watermark: int) -> None:
        self._watermark = watermark

    def flush(self) -> None:
        """Give the store what it has not."""
        means, room = self._means, UNDER_WAY_MAX - self._under_way
        now, self._waiting = self._waiting[:room], self._waiting[room:]
        self._under_way += len(now)
        for entry in now:
            keep = partial(
                keeping.keep, entry=entry, periods=means.periods, timeline=means.timekeeper.timeline
            )
            means.store.post(keep, self._on_kept, otherwise=partial(self._on_refused, entry))

    def _on_kept(self, kept: Kept) -> None:
        self._records += kept.is_new
        self._watermark = kept.watermark
        self._under_way -= 1
        if self._waiting and not self._under_way:
            self.flush()

    def _on_refused(self, entry: Entry) -> None:
        """The store could not take it. The watermark stays behind, and follows when all were reported."""
        self._under_way -= 1
        self._wait(entry._replace(move=None))
        due_ns = self._means.clock.boot_ns() + RETRY_NS
        self._means.agenda.set_earlier(f"keep {self.config.id}", due_ns, self.flush)

    def _wait(self, entry: Entry) -> None:
        self._waiting.append(entry)
        self._dropped += max(0, len(self._waiting) - WAITING_MAX)
        self._waiting = self._waiting[-WAITING_MAX:]

    # What is shown

    def live(self) -> SensorLive:
        is_reporting = self._visit is not None and self._visit.is_reporting
        return SensorLive(
            records=self._records,
            oddities=self._oddities + self._reader.oddities,
            dropped=self._dropped,
            waiting=len(self._waiting),
            is_catching_up=is_reporting,
        )


def _uuid(rng: Random) -> UUID:
    return UUID(int=rng.getrandbits(128), version=4)
