"""To kill a migration at each thing that it does, and to compare what it leaves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edge_parts import IDENTITY

from edge import durable
from edge.store.database import Database

Rows = list[tuple[Any, ...]]


class KilledError(BaseException):
    """The process is no more."""


class Killer:
    """Takes an image of the files at the nth thing that the migration does, and ends it there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, image: Path) -> None:
        self.steps = 0
        self.at: int | None = None
        self._directory = directory
        self._image = image
        for name in ("execute", "write", "write_many"):
            self._watch(monkeypatch, Database, name)
        self._watch(monkeypatch, durable, "_sync")
        self._watch(monkeypatch, Path, "rename")
        self._watch(monkeypatch, Path, "unlink")

    def _watch(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        original = getattr(owner, name)

        def watched(*args: Any, **more: Any) -> Any:
            self._step()
            return original(*args, **more)

        monkeypatch.setattr(owner, name, watched)

    def _step(self) -> None:
        if self.steps == self.at:
            self.at = None
            shutil.copytree(self._directory, self._image)
            raise KilledError
        self.steps += 1


def contents(path: Path) -> dict[str, Rows]:
    """Everything in a store of the present version, but for what is drawn by lot."""
    database = Database(path, IDENTITY)
    tables = [
        row[0] for row in database.read("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    ]
    found = {table: database.read(f"SELECT * FROM {table}") for table in tables}
    database.close()
    found["sessions"] = [(row[0], *row[2:]) for row in found["sessions"]]
    found["alert_events"] = [(row[0], *row[2:]) for row in found["alert_events"]]
    found["meta"] = [row for row in found["meta"] if row[0] != "id"]
    return found


def killed_at(step: int, source: Path, directory: Path, work: Callable[[Path], None]) -> Path | None:
    """What the migration of a copy leaves on the disk if it is killed at its nth step; None if it has fewer."""
    copy, image = directory / f"{step}", directory / f"{step}-image"
    copy.mkdir()
    path = Path(shutil.copy(source, copy / "store.db"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        killer = Killer(monkeypatch, copy, image)
        killer.at = step
        try:
            work(path)
        except KilledError:
            return image / "store.db"
    return None
