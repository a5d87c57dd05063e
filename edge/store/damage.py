"""Handling of a damaged database: it is marked as damaged while it is in use, and the next start looks at all of it.

Contract: a mark is a suspicion: what a connection could not read once, it takes for damaged until it is closed. A
damaged file is moved together with its log, not deleted. If only the log is damaged, a copy of it is kept
and the database stays in use. Of several damaged files only the first and the last are kept, so that a failing memory
card is not filled by them.
"""

import re
from contextlib import suppress
from pathlib import Path

from edge import durable
from edge.errors import StoreGone
from edge.store.write_ahead import log_of

_COMPANIONS = ("-wal", "-shm", "")


def mark(path: Path, reason: str) -> None:
    """Leave a note for the next start to check the whole database, if the disk can still be written."""
    with suppress(OSError):
        durable.write(_mark(path), f"{reason}\n".encode(), 0o600)


def marked(path: Path) -> str | None:
    """Why the database was marked as damaged; None if it was not."""
    try:
        return _mark(path).read_text(errors="replace").strip()
    except FileNotFoundError:
        return None


def unmark(path: Path) -> None:
    """Take the note away: the whole database was checked."""
    _mark(path).unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Move the file and the files that belong to it to the next `.corrupt-<n>`; its new path.

    Raises:
        OSError: it could not be moved.
    """
    aside, surplus = _next_aside(path)
    for suffix in _COMPANIONS:
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    unmark(path)
    for older in surplus:
        for suffix in _COMPANIONS:
            older.with_name(older.name + suffix).unlink(missing_ok=True)
    return aside


def keep_log(path: Path) -> Path:
    """Copy the log of the file to the next `-wal.corrupt-<n>`; the path of the copy.

    Raises:
        OSError: it could not be copied.
    """
    log = log_of(path)
    copy, surplus = _next_aside(log)
    durable.write(copy, log.read_bytes(), 0o600)
    for older in surplus:
        older.unlink(missing_ok=True)
    return copy


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".damaged")


def _next_aside(path: Path) -> tuple[Path, list[Path]]:
    """The next path to set something aside, and the paths that are then neither the first nor the last."""
    form = re.compile(re.escape(path.name) + r"\.corrupt-(\d+)")
    names = [entry.name for entry in path.parent.iterdir()]
    numbers = sorted(int(found[1]) for name in names if (found := form.fullmatch(name)))
    numbers.append(max(numbers, default=0) + 1)
    *earlier, following = (path.with_name(f"{path.name}.corrupt-{number}") for number in numbers)
    return following, earlier[1:]


class FileIdentity:
    """Remembers which file a path led to, so that deleting or replacing it is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = self._now()

    def look(self) -> None:
        """Raise StoreGone if the path leads to another file, or to none: what is written to the open file is lost."""
        if self._now() != self._identity:
            raise StoreGone(f"{self._path} was deleted or replaced while it was in use")

    def _now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return status.st_dev, status.st_ino
