"""A still clock, a deaf radio, a configuration and a store for the tests of `edge`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bleak.backends.scanner import BaseBleakScanner

from edge import workers
from edge.config import Config, parse
from edge.identity import Identity
from edge.store.door import Store, Tables
from edge.store.sensors import SensorRow
from edge.workers import Workers

T = TypeVar("T")

IDENTITY = Identity(bytes(range(32)))
# 2026-11-21T00:00:00Z
MIDNIGHT_UTC_S = 1_795_219_200

MINIMAL = """
[gateway]
id = "gw-1"
state_dir = "state"
[[people]]
id = "anna"
pseudonym = "p-7f3a"
[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
[upstream]
directory = "upstream"
[[sensors]]
id = "strap"
kind = "heart_rate"
address = "A4:C1:38:00:00:01"
person = "anna"
[[sensors]]
id = "cgm"
kind = "cgm"
address = "A4:C1:38:00:00:02"
person = "anna"
accept_just_works = true
"""


class DeafScanner(BaseBleakScanner):
    """As on a machine without Bluetooth."""

    def __init__(self, callback: Any, service_uuids: Any, scanning_mode: str, **_: Any) -> None:
        super().__init__(callback, service_uuids)

    async def start(self) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    async def stop(self) -> None: ...


@dataclass
class StillClock:
    """A clock that moves when told to; `error_ms` None: nothing vouches for its wall time."""

    utc_s: float = MIDNIGHT_UTC_S
    boot_id: str = "boot-1"
    error_ms: int | None = 500

    def boot_ns(self) -> int:
        return round(self.utc_s * 1e9) - MIDNIGHT_UTC_S * 1_000_000_000

    def utc_ns(self) -> int:
        return round(self.utc_s * 1e9)

    def utc_error_ms(self) -> int | None:
        return self.error_ms


def minimal_config(directory: Path, **replacements: str) -> Config:
    """The minimal configuration, files under `directory`; replacements are of its text."""
    text = MINIMAL
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    return parse(text.encode(), directory / "gateway.toml")


def open_store(
    config: Config, identity: Identity = IDENTITY, boot_id: str = "boot-1", by: Workers | None = None
) -> Store:
    """The store of this configuration, with this boot (its number is 1) and its sensors noted."""
    store = Store(config.database, identity, simulated=True, workers=by or workers.inline())
    with store.tables.database.transaction():
        store.tables.boots.note(boot_id)
        store.tables.sensors.register(config.sensors, config.people, boot_no=1, boot_ns=0)
    return store


def sensor_row(store: Store, sensor_id: str) -> SensorRow:
    """What the store has under the name that is in use."""
    return next(row for row in store.tables.sensors.all() if row.id == sensor_id and not row.retired)


def in_transaction(store: Store, work: Callable[[Tables], T]) -> T:
    """Do a store job at once, without the writer's task."""
    with store.tables.database.transaction():
        return work(store.tables)


@asynccontextmanager
async def running(store: Store) -> AsyncIterator["asyncio.Task[None]"]:
    """The writer's task beside the block; what was submitted has been tried when the block is left."""
    task = asyncio.ensure_future(store.run())
    try:
        yield task
    finally:
        await store.drain()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
