"""One gateway per state directory: a lock that ends with the process, however it ends."""

import fcntl
import os
from pathlib import Path

from edge.errors import ConfigError


def lock(state_dir: Path) -> int:
    """Make this the only gateway on the state directory, until the descriptor is closed or the process ends."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            "gateway.state_dir", f"{state_dir}: {error.strerror}", "make it a directory this user may write"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise ConfigError(
            "gateway.state_dir",
            f"a gateway is running on {state_dir}",
            "stop it first, or give this one a state_dir of its own",
        ) from error
    return descriptor
