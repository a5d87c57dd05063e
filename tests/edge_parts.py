"""A still clock, a configuration and a store for the tests of `edge`."""

from dataclasses import dataclass
from pathlib import Path

from edge.config import Config, parse
from edge.identity import Identity
from edge.store import Store

IDENTITY = Identity(bytes(range(32)))
# 2026-11-21T00:00:00Z
MIDNIGHT_UTC_S = 1_795_219_200

MINIMAL = """
[gateway]
id = "gw-1"
state_dir = "state"
[patient]
pseudonym = "p-7f3a"
[upstream]
directory = "upstream"
[consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
[[sensors]]
id = "strap"
kind = "heart_rate"
address = "A4:C1:38:00:00:01"
[[sensors]]
id = "cgm"
kind = "cgm"
address = "A4:C1:38:00:00:02"
"""


@dataclass
class StillClock:
    """A clock that moves when told to."""

    utc_s: float = MIDNIGHT_UTC_S
    boot_id: str = "boot-1"

    def boot_ns(self) -> int:
        return round(self.utc_s * 1e9) - MIDNIGHT_UTC_S * 1_000_000_000

    def utc_ns(self) -> int:
        return round(self.utc_s * 1e9)


def minimal_config(directory: Path, **replacements: str) -> Config:
    """The minimal configuration, files under `directory`; replacements are of its text."""
    text = MINIMAL
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return parse(text.encode(), directory / "gateway.toml")


def open_store(config: Config, identity: Identity = IDENTITY, boot_id: str = "boot-1") -> Store:
    """The store of this configuration, with this boot and its sensors noted."""
    store = Store(config.database, identity, simulated=True)
    with store.transaction():
        store.note_boot(boot_id)
        for sensor in config.sensors:
            store.register_sensor(sensor)
    return store
