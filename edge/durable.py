"""Writing a small file so that a power cut leaves the whole of it or none."""

import os
from pathlib import Path

# What a crash may leave behind ends like this, begins with a dot, and means nothing.
TORN_SUFFIX = ".part"


def write(path: Path, content: bytes, mode: int) -> None:
    """Make, or replace, the file at `path`; it is on the disk when this returns.

    Raises:
        OSError: it is not sure to be on the disk. What is at `path` is whole all the same, the old or the new.
    """
    torn = path.with_name(f".{path.name}{TORN_SUFFIX}")
    try:
        descriptor = os.open(torn, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        torn.rename(path)
    except OSError:
        torn.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def replace(file: Path, path: Path) -> None:
    """Put a file in the place of another in the same directory.

    Raises:
        OSError: as `write`.
    """
    _sync(file)
    file.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
