"""Heart packets as they arrived, a chunk of some seconds per row.

A strap stores nothing itself, so this is the only copy; it is kept for recomputation, and deleted after a
while.
"""

from typing import NamedTuple

from edge.clock import NS_PER_S
from edge.database import Database
from protocols.heart_rate import RrUnit


class HeartChunk(NamedTuple):
    """Packets of one sensor in one boot, by column. Times are int64, little-endian, one per packet."""

    sensor_id: str
    boot_id: str
    first_boot_ns: int
    last_boot_ns: int
    packets: int
    arrival_boot_ns: bytes
    last_beat_boot_ns: bytes  # -1: the packet carried no interval
    lengths: bytes  # uint16
    payloads: bytes


class HeartLog(Database):
    """The part of the store that holds heart packets."""

    def append_chunk(self, chunk: HeartChunk) -> None:
        self.write(
            "INSERT INTO heart_chunks (sensor_id, boot_id, first_boot_ns, last_boot_ns, packets,"
            " arrival_boot_ns, last_beat_boot_ns, lengths, payloads) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *chunk,
        )

    def chunks_between(
        self, sensor_id: str, boot_id: str, start_boot_ns: int, end_boot_ns: int
    ) -> list[HeartChunk]:
        """The chunks that may hold packets of [start, end), oldest first."""
        rows = self.read(
            "SELECT sensor_id, boot_id, first_boot_ns, last_boot_ns, packets, arrival_boot_ns,"
            " last_beat_boot_ns, lengths, payloads FROM heart_chunks"
            " WHERE sensor_id = ? AND boot_id = ? AND last_boot_ns >= ? AND first_boot_ns < ? ORDER BY seq",
            sensor_id,
            boot_id,
            start_boot_ns,
            end_boot_ns,
        )
        return [HeartChunk(*row) for row in rows]

    def rr_unit(self, sensor_id: str) -> RrUnit:
        """What the strap counts its RR intervals in, as far as it was told."""
        rows = self.read("SELECT value FROM meta WHERE key = ?", f"rr_unit/{sensor_id}")
        return RrUnit[rows[0][0]] if rows else RrUnit.TICKS

    def keep_rr_unit(self, sensor_id: str, unit: RrUnit) -> None:
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", f"rr_unit/{sensor_id}", unit.name)

    def delete_chunks_before(self, utc_s: int) -> int:
        """Delete what is older; the number of chunks deleted.

        A boot whose wall time was never learned has no age of its own: its chunks go when a later one goes.
        """
        return self.write(
            "DELETE FROM heart_chunks WHERE seq <= (SELECT max(c.seq) FROM heart_chunks AS c JOIN"
            " (SELECT boot_id, utc_ns - boot_ns AS zero_utc_ns, max(boot_ns) FROM time_anchors"
            " GROUP BY boot_id)"
            " USING (boot_id) WHERE c.last_boot_ns + zero_utc_ns < ?)",
            utc_s * NS_PER_S,
        )
