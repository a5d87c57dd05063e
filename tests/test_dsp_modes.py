"""All tests of `dsp` pass in the modes they do not run in here: kernels from the library, and kernels as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest
from kernel_modes import environment

from dsp.mode import MODES

HERE = Path(__file__).parent
# What places beats in time has no kernels.
OTHERS = {"test_dsp_modes.py", "test_dsp_rr.py", "test_dsp_cardiac_rr.py"}
FILES = [path for path in sorted(HERE.glob("test_dsp_*.py")) if path.name not in OTHERS]


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "jit"])
def test_everything_passes(mode: str) -> None:
    """In plain mode, with shorter input where it would take minutes."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, FILES)]
    run = subprocess.run(
        command,
        cwd=HERE.parent,
        env=environment(mode),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
