"""One gateway per state directory: a lock that is released when the process ends, in whatever way."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from edge.errors import ConfigError

LOCK_NAME: Final = "lock"
# A process that only asks whether a gateway runs holds the lock for a moment: the lock is tried so many times.
TRIES: Final = 5
PAUSE_S: Final = 0.02


def lock(state_dir: Path) -> int:
    """Make this the only gateway on the state directory, until the descriptor is closed or the process ends.

    Raises:
        ConfigError: another one runs, or the directory cannot be used.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            "gateway.state_dir", f"{state_dir}: {error.strerror}", "make it a directory this user may write"
        ) from error
    for _ in range(TRIES):
        if _is_free(descriptor, fcntl.LOCK_EX):
            return descriptor
        time.sleep(PAUSE_S)
    os.close(descriptor)
    raise ConfigError(
        "gateway.state_dir",
        f"a gateway is running on {state_dir}",
        "stop it first, or give this one a state_dir of its own",
    )


def is_locked(state_dir: Path) -> bool:
    """Whether a gateway runs on the state directory.

    Raises:
        OSError: this user may not look.
    """
    try:
        descriptor = os.open(state_dir / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _is_free(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _is_free(descriptor: int, kind: int) -> bool:
    """Take the lock, if nobody has it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
