"""Blobs: what programs keep of themselves, to go on from after a restart.

Contract: a blob is written in the same job as the data that it follows from, so that after a restart both are of the
same moment. Its version is that of the program that made it: who reads a version that is not his own throws it away,
and computes anew. What a body means is not known here.
"""

from typing import Final

from edge.store.database import Database

# Whose blobs of a kind are: the table that their `owner_no` is a key of. They are deleted together with their owner.
# The gateway itself is number 0 of no table.
OWNERS: Final[dict[str, str | None]] = {
    "alerts": None,
    "rhythm": "sensors",
    "glycaemia": "sessions",
    "reprocess": None,
}
GATEWAY: Final = 0

_PUT = """
INSERT INTO blobs VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body
"""


class Blobs:
    """The blobs of all programs, over one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, kind: str, owner_no: int, version: int, body: bytes) -> None:
        """Keep a blob in place of the owner's former one of this kind."""
        assert kind in OWNERS, f"{kind}: OWNERS must say whose it is"
        self._database.write(_PUT, kind, owner_no, version, body)

    def get(self, kind: str, owner_no: int) -> tuple[int, bytes] | None:
        """Version and body of a blob; None if there is none."""
        rows = self._database.read(
            "SELECT version, body FROM blobs WHERE kind = ? AND owner_no = ?", kind, owner_no
        )
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    def delete(self, kind: str, owner_no: int) -> None:
        """Forget a blob, if there is one."""
        self._database.write("DELETE FROM blobs WHERE kind = ? AND owner_no = ?", kind, owner_no)

    def delete_of(self, table: str, owner_no: int) -> None:
        """Forget all that belongs to a sensor or a session, because that is deleted."""
        for kind, owner in OWNERS.items():
            if owner == table:
                self.delete(kind, owner_no)
