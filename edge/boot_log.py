"""Boots, what wall time they ran at, and the sensors the store knows."""

from typing import NamedTuple

from edge.config import SensorConfig
from edge.database import Database
from edge.errors import ConfigError


class TimeAnchor(NamedTuple):
    """At `boot_ns` of this boot it was `utc_ns`, give or take `error_ms`, says `source`."""

    boot_id: str
    boot_ns: int
    utc_ns: int
    error_ms: int
    source: str


class BootLog(Database):
    """The part of the store that knows where and when its data were taken."""

    def note_boot(self, boot_id: str) -> None:
        self.write("INSERT INTO boots (boot_id) VALUES (?) ON CONFLICT DO NOTHING", boot_id)

    def boots(self) -> list[str]:
        """Boot ids in the order the boots happened."""
        return [boot_id for (boot_id,) in self.read("SELECT boot_id FROM boots ORDER BY seq")]

    def add_anchor(self, anchor: TimeAnchor) -> None:
        self.write("INSERT OR REPLACE INTO time_anchors VALUES (?, ?, ?, ?, ?)", *anchor)

    def anchors(self, boot_id: str) -> list[TimeAnchor]:
        """The anchors of a boot, oldest first."""
        rows = self.read("SELECT * FROM time_anchors WHERE boot_id = ? ORDER BY boot_ns", boot_id)
        return [TimeAnchor(*row) for row in rows]

    def register_sensor(self, sensor: SensorConfig) -> None:
        """Make a configured sensor known. Its name stands for one device for good.

        Raises:
            ConfigError: the name or the address is known already, with another partner.
        """
        known = self.read(
            "SELECT id, kind, address FROM sensors WHERE id = ? OR address = ?", sensor.id, sensor.address
        )
        if not known:
            self.write("INSERT INTO sensors VALUES (?, ?, ?)", sensor.id, sensor.kind, sensor.address)
        elif known != [(sensor.id, sensor.kind, sensor.address)]:
            reason = (
                f"{sensor.kind} at {sensor.address} does not match what is stored about sensor {known[0][0]}"
            )
            remedy = "give a new sensor a new id, and a known one the id it had"
            raise ConfigError(f"sensors.{sensor.id}", reason, remedy)

    def address(self, sensor_id: str) -> str:
        ((address,),) = self.read("SELECT address FROM sensors WHERE id = ?", sensor_id)
        return str(address)
