"""Calls of the C library fail at random, or do less than they were asked to: done by libfiu.

Contract: `trial` fails calls on files with a probability, from a seed; the same seed fails the same ones. The process
must have been started under `fiu-run -x`, which `command` says how; `require` tells whether it was.
"""

import ctypes
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.errors import ConfigError
from tools.rig.power.trials import Prepared, Trial, tried

LIBRARY: Final = "libfiu.so.0"
READ: Final = "posix/io/rw/pread"
# Of libfiu's names, those that SQLite and the store's own files go through; "reduce" does a part of what was asked.
POINTS: Final = (
    "posix/io/oc/open",
    READ,
    "posix/io/rw/pwrite",
    "posix/io/rw/pread/reduce",
    "posix/io/rw/pwrite/reduce",
    "posix/io/rw/ftruncate",
    "posix/io/sync/fsync",
    "posix/io/sync/fdatasync",
    "posix/io/dir/unlink",
    "posix/io/dir/rename",
)
SHARES: Final = (0.002, 0.01, 0.05)
# Of reads a smaller share: a store is opened by a hundred of them.
READ_PART: Final = 0.1


def command(arguments: Sequence[str]) -> list[str]:
    """What is called so that libfiu stands between the process and its C library."""
    if shutil.which("fiu-run") is None:
        raise ConfigError("libfiu", "is missing", "apt-get install fiu-utils libfiu0")
    return ["fiu-run", "-x", sys.executable, "-P", "-m", "tools.rig.power", *arguments]


def is_under_it() -> bool:
    """Whether this process was started so."""
    return "fiu_posix_preload" in Path("/proc/self/maps").read_text()


def trial(one: Prepared, directory: Path, seed: int) -> Trial:
    """Play a script while calls fail."""
    share = SHARES[seed % len(SHARES)]

    def fail_calls() -> None:
        fiu = ctypes.CDLL(LIBRARY)
        fiu.fiu_enable_random.argtypes = (
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_float,
        )
        fiu.fiu_set_prng_seed(seed)
        for point in POINTS:
            fiu.fiu_enable_random(point.encode(), 1, None, 0, share * (READ_PART if point == READ else 1.0))

    return tried(one, directory, fail_calls, lambda _: lambda: None)
