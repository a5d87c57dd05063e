"""For tests in every mode of the kernels of `dsp`: less of everything where numba does not compile, and the library.

As they stand and from the library, kernels give the same as compiled by numba, which `test_dsp_compiled.py` sees in
every case. So there input is shorter (`fewer`), and of the cases of a test only every eleventh runs, beginning with the
first, and the last one (`leave_out`). The other cases run there if soak tests do; where numba compiles they always run.
As kernels stand, what takes minutes is skipped (`heavy`).
"""

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest

from dsp import mode as kernel_mode
from tools import build_kernels

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".pytest_cache/kernels"
# Names the library to test; without it one is built.
LIBRARY = "VITALGATE_KERNEL_LIBRARY"
EVERY = 11  # no divisor of how many cases there are of a kind


def fewer(usual: int, less: int) -> int:
    """How many, in the mode that the tests run in."""
    return usual if kernel_mode.MODE == "jit" else less


heavy = pytest.mark.skipif(kernel_mode.MODE == "plain", reason="takes minutes without a compiler")


def leave_out(items: Sequence[pytest.Item]) -> None:
    """Where numba does not compile, mark the cases that only soak tests run; what is not about kernels has no mode."""
    if kernel_mode.MODE == "jit":
        return
    about_kernels = [item for item in items if item.path.name.startswith("test_dsp_")]
    for _, of_a_test in groupby(about_kernels, key=lambda item: item.nodeid.partition("[")[0]):
        for k, item in enumerate(cases := list(of_a_test)):
            if k % EVERY and item is not cases[-1]:
                item.add_marker(pytest.mark.soak)


def environment(mode: str) -> dict[str, str]:
    """For a process in which the kernels run in this mode."""
    others = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "VITALGATE_"))
    }
    library = {LIBRARY: str(library_path())} if mode == "library" else {}
    return {**others, "PYTHONPATH": str(ROOT), "VITALGATE_KERNELS": mode, **library}


@functools.cache
def library_path() -> Path:
    """A library of these sources, built when it is first asked for; a skip where there is nothing to build it with."""
    if given := os.environ.get(LIBRARY):
        return Path(given).absolute()
    machine = platform.machine()
    try:
        command = build_kernels.compiler(machine)
    except SystemExit as error:
        pytest.skip(f"not tested: the library of kernels: {error}")
    tools = [ROOT / "tools/build_kernels.py", *sorted((ROOT / "tools/kernels").iterdir())]
    seen = hashlib.sha256(b"".join(path.read_bytes() for path in tools if path.is_file()))
    seen.update(f"{kernel_mode.digest()} {command}".encode())
    place = CACHE / seen.hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    path = place / build_kernels.library_name(machine)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes test, too
        if not path.exists():
            for old in set(CACHE.iterdir()) - {place}:
                shutil.rmtree(old)
            building = [sys.executable, "-P", "-m", "tools.build_kernels", "--out", str(place)]
            subprocess.run(building, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return path
