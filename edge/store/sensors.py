"""The devices that the store knows: who wears each, and what was learned about it.

A device is (kind, address, person). Its number never changes; its name in the configuration may. A device that the
configuration no longer names is retired: its data stay and its sessions end. If the configuration names it again, the
device and its sessions are in use again.

What a sensor with storage recorded while it was known as another person's is that person's. So where an address goes
from one person to another, the moment is kept: it is that of the start at which the configuration says so first. A
device that comes back to a person this way begins another session.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edge.config import Person, SensorConfig
from edge.measurements import PERIODS
from edge.store.blobs import Blobs
from edge.store.database import Database
from edge.store.sessions import Sessions

# The migration from version 1 writes this as the person of deliveries, until the configuration says who wears the
# sensor. No pseudonym looks like it.
_UNTOLD_PERSON = "sensor/{no}"

_TAKEN_AWAY = ("replaced", "removed")
_WORN_FROM = "worn_from"


class SensorRow(NamedTuple):
    """A device; `person` is the wearer's pseudonym, None until the configuration has named a wearer."""

    no: int
    id: str
    kind: str
    address: str
    person: str | None
    retired: bool


class WornFrom(NamedTuple):
    """The moment from which a device is its wearer's, who has it from somebody else."""

    boot_no: int
    boot_ns: int


class Sensors:
    """The devices."""

    def __init__(self, database: Database, sessions: Sessions, blobs: Blobs) -> None:
        self._database = database
        self._sessions = sessions
        self._blobs = blobs

    def register(
        self, sensors: Sequence[SensorConfig], people: Sequence[Person], *, boot_no: int, boot_ns: int
    ) -> list[SensorRow]:
        """Update the devices to the configuration, now; returns the rows of its sensors, in its order.

        A known device keeps its data and takes the new name. A name whose device has no data takes the new address.
        A name whose device has data gets a new device: the old one is retired, its sessions end as "replaced".
        """
        wanted = self._wanted(sensors, people)
        known = {row.no: row for row in self.all()}
        # Who had each address last.
        wearers = {row.address: row.person for row in sorted(known.values(), key=self._in_order_of_use)}
        numbers = {row.no for row in wanted}
        names = {row.id for row in wanted}
        # Only one device in use may have a name. So first all devices whose name changes give up their old one.
        for row in known.values():
            if not row.retired and row not in wanted:
                self._database.write("UPDATE sensors SET retired = 1 WHERE no = ?", row.no)
                if row.no not in numbers:
                    self._sessions.end_all(row.no, _TAKEN_AWAY[0] if row.id in names else _TAKEN_AWAY[1])
                if row.person is None and len(people) == 1:
                    # Version 1 knew only one person, who wore all sensors.
                    self._tell_person(row.no, people[0].pseudonym)
        now = WornFrom(boot_no, boot_ns)
        return [
            self._settle(
                row, known.get(row.no), now if wearers.get(row.address) not in (None, row.person) else None
            )
            for row in wanted
        ]

    def _in_order_of_use(self, row: SensorRow) -> tuple[WornFrom, int]:
        """Of the devices with one address, the last was in use last."""
        return self.worn_from(row.no) or WornFrom(0, 0), row.no

    def get(self, no: int) -> SensorRow:
        (row,) = self._database.read("SELECT * FROM sensors WHERE no = ?", no)
        return _row(row)

    def all(self) -> list[SensorRow]:
        """All devices, also retired ones, in the order in which they became known."""
        return [_row(row) for row in self._database.read("SELECT * FROM sensors ORDER BY no")]

    def trait(self, no: int, key: str) -> str | None:
        """What was learned about the device under this key."""
        rows = self._database.read("SELECT value FROM traits WHERE sensor_no = ? AND key = ?", no, key)
        return str(rows[0][0]) if rows else None

    def keep_trait(self, no: int, key: str, value: str) -> None:
        self._database.write("INSERT OR REPLACE INTO traits VALUES (?, ?, ?)", no, key, value)

    def drop_trait(self, no: int, key: str) -> None:
        self._database.write("DELETE FROM traits WHERE sensor_no = ? AND key = ?", no, key)

    def worn_from(self, no: int) -> WornFrom | None:
        """From when on the device is its wearer's; None if it has been nobody else's before."""
        moment = self.trait(no, _WORN_FROM)
        return None if moment is None else WornFrom(*map(int, moment.split()))

    def is_unused(self, no: int) -> bool:
        """Whether a device has no data; what was learned about it does not matter."""
        ((found,),) = self._database.read(
            "SELECT EXISTS (SELECT 1 FROM dirty WHERE sensor_no = ?1)"
            " OR EXISTS (SELECT 1 FROM unplaced WHERE sensor_no = ?1)"
            " OR EXISTS (SELECT 1 FROM alert_events WHERE sensor_no = ?1)",
            no,
        )
        return not found and not self._has_data(no)

    def delete(self, no: int) -> None:
        """Delete a device, and what was learned about it."""
        self._forget(no)
        self._database.write("DELETE FROM sensors WHERE no = ?", no)

    def _wanted(self, sensors: Sequence[SensorConfig], people: Sequence[Person]) -> list[SensorRow]:
        """The devices as the configuration describes them; those that are new to the store have number 0."""
        pseudonyms = {person.id: person.pseudonym for person in people}
        free = self.all()
        wanted = []
        for sensor in sensors:
            person = pseudonyms[sensor.person]
            row = SensorRow(0, sensor.id, sensor.kind, sensor.address, person, retired=False)
            device = next((known for known in free if _is_same(known, row)), None)
            if device:
                free.remove(device)
            wanted.append(row._replace(no=device.no if device else 0))
        names = {known.id: known for known in free if not known.retired}
        return [
            row._replace(no=names[row.id].no)
            if row.no == 0 and row.id in names and not self._has_data(names[row.id].no)
            else row
            for row in wanted
        ]

    def _has_data(self, no: int) -> bool:
        ((found,),) = self._database.read(
            "SELECT EXISTS (SELECT 1 FROM raw_chunks WHERE sensor_no = ?1)"
            " OR EXISTS (SELECT 1 FROM sessions WHERE sensor_no = ?1)",
            no,
        )
        return bool(found) or any(
            self._database.read("SELECT 1 FROM summaries WHERE kind = ? AND sensor_no = ? LIMIT 1", kind, no)
            for kind in PERIODS
        )

    def _settle(self, row: SensorRow, known: SensorRow | None, worn_from: WornFrom | None) -> SensorRow:
        """Write a device as the configuration describes it; the row with its number."""
        if row != known:
            row = self._write(row, known, is_handed_on=worn_from is not None)
        if worn_from is not None:
            self.keep_trait(row.no, _WORN_FROM, " ".join(map(str, worn_from)))
        return row

    def _write(self, row: SensorRow, known: SensorRow | None, *, is_handed_on: bool) -> SensorRow:
        if known is None:
            self._database.write(
                "INSERT INTO sensors (id, kind, address, person) VALUES (?, ?, ?, ?)", *row[1:5]
            )
            ((no,),) = self._database.read("SELECT last_insert_rowid()")
            return row._replace(no=no)
        self._database.write(
            "UPDATE sensors SET id = ?, kind = ?, address = ?, person = ?, retired = 0 WHERE no = ?",
            *row[1:5],
            row.no,
        )
        if not _is_same(known, row):
            self._forget(row.no)
        if known.person is None:
            assert row.person is not None
            self._tell_person(row.no, row.person)
        if known.retired and not is_handed_on:
            self._sessions.resume(row.no, _TAKEN_AWAY)
        return row

    def _forget(self, no: int) -> None:
        """Delete what was learned about a device."""
        self._database.write("DELETE FROM traits WHERE sensor_no = ?", no)
        self._blobs.delete_of("sensors", no)

    def _tell_person(self, no: int, person: str) -> None:
        untold = _UNTOLD_PERSON.format(no=no)
        self._database.write("UPDATE sensors SET person = ? WHERE no = ?", person, no)
        self._database.write("UPDATE deliveries SET person = ? WHERE person = ?", person, untold)


def _is_same(known: SensorRow, row: SensorRow) -> bool:
    return known[2:4] == row[2:4] and known.person in (row.person, None)


def _row(row: tuple[int, str, str, str, str | None, int]) -> SensorRow:
    return SensorRow(*row[:5], retired=bool(row[5]))
