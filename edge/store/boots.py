"""Boots of this machine, in the order they happened, and the anchors that say their wall time."""

from edge.anchors import Anchor, Timeline
from edge.store.database import Database


class Boots:
    """Boots and their anchors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, boot_id: str) -> int:
        """The number of this boot; a later boot has a larger one."""
        self._database.write("INSERT INTO boots (boot_id) VALUES (?) ON CONFLICT DO NOTHING", boot_id)
        no = self.find(boot_id)
        assert no is not None
        return no

    def find(self, boot_id: str) -> int | None:
        """The number of a boot, if it was noted."""
        rows = self._database.read("SELECT no FROM boots WHERE boot_id = ?", boot_id)
        return int(rows[0][0]) if rows else None

    def add_anchor(self, anchor: Anchor) -> None:
        self._database.write("INSERT OR REPLACE INTO anchors VALUES (?, ?, ?, ?, ?)", *anchor)

    def delete_anchors(self, boot_no: int, boot_ns: int) -> int:
        """Delete the anchors before the one that dates this moment of a trusted boot; how many there were."""
        return self._database.write(
            "DELETE FROM anchors WHERE boot_no = ?1 AND boot_ns < (SELECT max(boot_ns) FROM anchors"
            " WHERE boot_no = ?1 AND boot_ns <= ?2 AND error_ms IS NOT NULL)",
            boot_no,
            boot_ns,
        )

    def unused(self) -> list[int]:
        """Boots, except the newest, that are referred to by readings and deliveries at most; oldest first."""
        rows = self._database.read(
            "SELECT no FROM boots WHERE no < (SELECT max(no) FROM boots)"
            " AND NOT EXISTS (SELECT 1 FROM raw_chunks AS r WHERE sensor_no IN (SELECT no FROM sensors)"
            " AND r.boot_no = boots.no)"
            " AND no NOT IN (SELECT boot_no FROM unplaced)"
            " AND no NOT IN (SELECT start_boot_no FROM sessions WHERE start_boot_no IS NOT NULL)"
            " AND no NOT IN (SELECT boot_no FROM alert_events)"
            " AND no NOT IN (SELECT boot_no FROM alert_deliveries) ORDER BY no"
        )
        return [no for (no,) in rows]

    def delete(self, no: int) -> None:
        """Delete a boot and its anchors."""
        self._database.write("DELETE FROM anchors WHERE boot_no = ?", no)
        self._database.write("DELETE FROM boots WHERE no = ?", no)

    def timeline(self) -> Timeline:
        """The anchors of all boots."""
        anchors: dict[int, list[Anchor]] = {}
        for row in self._database.read(
            "SELECT boot_no, boot_ns, utc_ns, error_ms, source FROM anchors ORDER BY boot_no, boot_ns"
        ):
            anchor = Anchor(*row)
            anchors.setdefault(anchor.boot_no, []).append(anchor)
        return Timeline(anchors)
