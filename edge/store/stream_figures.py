"""Figures of what a sensor's streams said, a row for each stretch of time; the streams themselves are not kept.

Contract: a row is of the minute before its end, about, and is deleted with the packets of that time.
"""

from typing import NamedTuple

from edge.store.database import Database

_BETWEEN = """
SELECT motion_s, still_s, ecg_s, clear_s, intervals, confirmed FROM stream_figures
WHERE sensor_no = ? AND boot_no = ? AND boot_ns > ? AND boot_ns <= ? ORDER BY boot_ns
"""


class Figures(NamedTuple):
    """What was seen in a stretch of time.

    Attributes:
        motion_s, still_s: of acceleration, and without movement.
        ecg_s, clear_s: of ECG, and of that what can be trusted.
        intervals, confirmed: between beats of the strap, within what can be trusted, and confirmed by the ECG.
    """

    motion_s: float = 0.0
    still_s: float = 0.0
    ecg_s: float = 0.0
    clear_s: float = 0.0
    intervals: int = 0
    confirmed: int = 0

    def plus(self, other: "Figures") -> "Figures":
        """Both together."""
        return Figures(
            self.motion_s + other.motion_s,
            self.still_s + other.still_s,
            self.ecg_s + other.ecg_s,
            self.clear_s + other.clear_s,
            self.intervals + other.intervals,
            self.confirmed + other.confirmed,
        )


class StreamFigures:
    """The figures of all sensors, over one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, sensor_no: int, boot_no: int, boot_ns: int, figures: Figures) -> None:
        """Keep what was seen until a moment."""
        self._database.write(
            "INSERT INTO stream_figures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            sensor_no,
            boot_no,
            boot_ns,
            *figures,
        )

    def between(self, sensor_no: int, boot_no: int, from_boot_ns: int, to_boot_ns: int) -> list[Figures]:
        """Of the stretches that ended in (from, to], oldest first."""
        return [
            Figures(*row)
            for row in self._database.read(_BETWEEN, sensor_no, boot_no, from_boot_ns, to_boot_ns)
        ]

    def delete_until(self, sensor_no: int, boot_no: int, boot_ns: int) -> int:
        """Forget the stretches that ended before a moment; how many there were."""
        return self._database.write(
            "DELETE FROM stream_figures WHERE sensor_no = ? AND boot_no = ? AND boot_ns < ?",
            sensor_no,
            boot_no,
            boot_ns,
        )
