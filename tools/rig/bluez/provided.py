"""Where `provide.sh` has put the kernel and the versions of bluetoothd."""

import os
from pathlib import Path
from typing import Final

from edge.errors import ConfigError

VERSIONS: Final = ("5.66", "5.82")
"""Of Debian 12, and of Debian 13."""
HERE: Final = Path(__file__).parent
REMEDY: Final = "have it made, which takes some minutes: sh tools/rig/bluez/provide.sh"


def cache() -> Path:
    """The directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitalgate" / "bluez"


def require(name: str) -> Path:
    """The kernel "linux", or the directory of a version. Raises ConfigError if it is not there."""
    path = cache() / name
    if not path.exists():
        raise ConfigError("the real Bluetooth", f"{path} is missing", REMEDY)
    return path


def require_one_word(*paths: Path) -> None:
    """Raises ConfigError for a path that could not be said on a kernel's command line."""
    for path in paths:
        if any(character.isspace() for character in str(path)):
            what = f"there is a space in {str(path)!r}, which a kernel cannot be told"
            raise ConfigError("the real Bluetooth", what, "use a directory without one")
