"""Children that run as a service does: as a user that owns nothing here, or without root's power over files."""

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NOBODY = 65_534
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def without_power_over_files() -> None:
    """In the child: from the next program on, root obeys the modes of files like everybody."""
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def another_user() -> dict[str, Any]:
    """How a child runs as another user; where that cannot be, or that user cannot reach Python, as a powerless one."""
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    if os.geteuid() == 0:
        with suppress(PermissionError):
            subprocess.run([sys.executable, "-c", "import msgspec"], check=True, **nobody)
            return nobody
    return {"preexec_fn": without_power_over_files}


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="vitalgate-test-") as directory:
        path = Path(directory)
        path.chmod(0o755)
        try:
            yield path
        finally:
            for inner in path.rglob("*"):
                if inner.is_dir() and not inner.is_symlink():
                    inner.chmod(0o755)
