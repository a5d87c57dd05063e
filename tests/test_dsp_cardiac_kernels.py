"""Each kernel is compiled once: one signature, whoever calls it."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

from dsp.arrays import as_f64
from dsp.cardiac import complexity
from dsp.warm import warm_cardiac

ROOMS = [
    "complexity",
    "intervals",
    "phase_rectified",
    "qrs",
    "rhythm",
    "spectrum",
    "time_domain",
    "turbulence",
]


@pytest.mark.parametrize("module", ROOMS)
def test_warming_compiles_every_kernel_once(module: str) -> None:
    warm_cardiac()
    found = vars(importlib.import_module(f"dsp.cardiac.{module}"))
    kernels = {name: k for name, k in found.items() if isinstance(k, CPUDispatcher)}
    doors = {name: len(k.signatures) for name, k in kernels.items() if name[0] != "_"}
    assert {name: n for name, n in doors.items() if n != 1 and name != "dfa_fluctuation"} == {}
    assert kernels


def test_dfa_at_one_size() -> None:
    assert complexity.dfa_fluctuation(as_f64(np.arange(100.0) % 7), 8.0) > 0.0


def test_kernels_run_without_the_compiler() -> None:
    code = "from dsp.warm import warm_cardiac; warm_cardiac()"
    env = {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
