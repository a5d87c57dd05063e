"""What a store has to be played: for each person and each name of a sensor the devices that had it, one after the
other, and the time that is looked at.

Contract: the store is only read.
"""

from collections.abc import Mapping
from typing import NamedTuple

from edge.kinds import Procedure
from edge.store.sensors import SensorRow
from edge.store.tables import Tables
from tools.analyse import kept

UNKNOWN = "unknown"


class Stream(NamedTuple):
    """The devices of one person under one name, the oldest first; the person as the configuration names it."""

    person: str
    sensor: str
    procedure: Procedure
    rows: tuple[SensorRow, ...]


class Window(NamedTuple):
    """The wall time that is looked at."""

    begin_utc_s: float
    end_utc_s: float


def streams(tables: Tables, people: Mapping[str, str]) -> list[Stream]:
    """All of them, glucose first. `people`: the names of people by their pseudonyms."""
    found: dict[tuple[str, str, Procedure], list[SensorRow]] = {}
    for procedure in (Procedure.CGM, Procedure.SGV, *kept.STRAPS):
        for row in kept.sensors(tables, procedure):
            pseudonym = row.person or UNKNOWN
            found.setdefault((people.get(pseudonym, pseudonym), row.id, procedure), []).append(row)
    return [Stream(*key, tuple(rows)) for key, rows in found.items()]
