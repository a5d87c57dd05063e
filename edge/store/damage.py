"""What is done with a damaged database: it is marked while it is in use, and set aside by the next start.

Contract: a damaged file is moved, never deleted, together with its log. Of several, the first and the last are kept: a
dying card must not fill itself.
"""

import re
from contextlib import suppress
from pathlib import Path

from edge import durable
from edge.errors import StoreGone

_COMPANIONS = ("-wal", "-shm", "")


def mark(path: Path, reason: str) -> None:
    """Have the next start set the database aside, if the disk still takes that."""
    with suppress(OSError):
        durable.write(_mark(path), f"{reason}\n".encode(), 0o600)


def marked(path: Path) -> str | None:
    """Why the database was found damaged before; None if it was not."""
    try:
        return _mark(path).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def set_aside(path: Path) -> Path:
    """Move the file and its companions to the next `.corrupt-<n>`; where it lies then.

    Raises:
        OSError: it could not be moved.
    """
    numbers = _numbers(path)
    aside = _aside(path, max(numbers, default=0) + 1)
    for suffix in _COMPANIONS:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    _mark(path).unlink(missing_ok=True)
    for number in numbers[1:]:
        older = _aside(path, number)
        for suffix in _COMPANIONS:
            older.with_name(older.name + suffix).unlink(missing_ok=True)
    return aside


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".damaged")


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.corrupt-{number}")


def _numbers(path: Path) -> list[int]:
    form = re.compile(re.escape(path.name) + r"\.corrupt-(\d+)")
    return sorted(int(found[1]) for entry in path.parent.iterdir() if (found := form.fullmatch(entry.name)))


class FileIdentity:
    """Which file a name stood for, so that it is noticed when somebody deletes or replaces it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._now()

    def look(self) -> None:
        """Raise StoreGone once the name stands for another file or none: what is written there is lost."""
        if self._now() != self._identity:
            raise StoreGone(f"{self._path} was deleted or replaced while it was in use")

    def _now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino
