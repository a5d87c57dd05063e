"""Alerts: when each was raised and when it ended."""

from typing import NamedTuple

from edge.database import Database


class Alert(NamedTuple):
    """An alert of one sensor; open until it is cleared."""

    id: int
    kind: str
    sensor_id: str
    value: float | None
    raised_boot_id: str
    raised_boot_ns: int
    cleared_boot_id: str | None
    cleared_boot_ns: int | None


class AlertLog(Database):
    """The part of the store that holds alerts."""

    def raise_alert(self, kind: str, sensor_id: str, value: float | None, boot_id: str, boot_ns: int) -> bool:
        """Note that an alert begins; False if it is open already, as after a restart."""
        return bool(
            self.write(
                "INSERT INTO alerts (kind, sensor_id, value, raised_boot_id, raised_boot_ns)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                kind,
                sensor_id,
                value,
                boot_id,
                boot_ns,
            )
        )

    def clear_alert(self, kind: str, sensor_id: str, boot_id: str, boot_ns: int) -> bool:
        """Note that an alert ended; False if none was open."""
        return bool(
            self.write(
                "UPDATE alerts SET cleared_boot_id = ?, cleared_boot_ns = ?"
                " WHERE kind = ? AND sensor_id = ? AND cleared_boot_ns IS NULL",
                boot_id,
                boot_ns,
                kind,
                sensor_id,
            )
        )

    def open_alerts(self) -> list[Alert]:
        return [
            Alert(*row) for row in self.read("SELECT * FROM alerts WHERE cleared_boot_ns IS NULL ORDER BY id")
        ]

    def alerts(self, limit: int) -> list[Alert]:
        """The newest alerts, newest first."""
        return [Alert(*row) for row in self.read("SELECT * FROM alerts ORDER BY id DESC LIMIT ?", limit)]
