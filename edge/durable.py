"""Writing a small file so that after a power cut it is either complete or absent."""

import os
from pathlib import Path

# The temporary file that a crash may leave behind begins with a dot and ends like this. It may be deleted.
TORN_SUFFIX = ".part"


def write(path: Path, content: bytes, mode: int) -> None:
    """Make, or replace, the file at `path`; it is on the disk when this returns.

    Raises:
        OSError: it may not be on the disk. The file at `path` is complete all the same: the old one or the new one.
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
