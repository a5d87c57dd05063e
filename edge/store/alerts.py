"""Alerts: when each was raised and when it ended."""

from typing import NamedTuple

from edge.store.database import Database


class Alert(NamedTuple):
    """An alert of one sensor; open until it is cleared."""

    no: int
    kind: str
    sensor_no: int
    value: float | None
    raised_boot_no: int
    raised_boot_ns: int
    cleared_boot_no: int | None
    cleared_boot_ns: int | None


class Alerts:
    """The alerts of all sensors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def raise_alert(self, kind: str, sensor_no: int, value: float | None, boot_no: int, boot_ns: int) -> bool:
        """Note that an alert begins; False if it is already open, for example after a restart."""
        return bool(
            self._database.write(
                "INSERT INTO alerts (kind, sensor_no, value, raised_boot_no, raised_boot_ns)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                kind,
                sensor_no,
                value,
                boot_no,
                boot_ns,
            )
        )

    def clear_alert(self, kind: str, sensor_no: int, boot_no: int, boot_ns: int) -> bool:
        """Note that an alert ended; False if none was open."""
        return bool(
            self._database.write(
                "UPDATE alerts SET cleared_boot_no = ?, cleared_boot_ns = ?"
                " WHERE kind = ? AND sensor_no = ? AND cleared_boot_ns IS NULL",
                boot_no,
                boot_ns,
                kind,
                sensor_no,
            )
        )

    def open(self) -> list[Alert]:
        """The alerts that are not cleared yet, oldest first."""
        # Without this SQLite would read all alerts rather than sort a few.
        rows = self._database.read(
            "SELECT * FROM alerts INDEXED BY alerts_open WHERE cleared_boot_ns IS NULL ORDER BY no"
        )
        return [Alert(*row) for row in rows]

    def oldest(self, limit: int) -> list[Alert]:
        return [Alert(*row) for row in self._database.read("SELECT * FROM alerts ORDER BY no LIMIT ?", limit)]

    def delete(self, no: int) -> None:
        self._database.write("DELETE FROM alerts WHERE no = ?", no)

    def newest(self, limit: int) -> list[Alert]:
        """The newest alerts, newest first."""
        return [
            Alert(*row) for row in self._database.read("SELECT * FROM alerts ORDER BY no DESC LIMIT ?", limit)
        ]
